"""Pipelines from a notebook: `from millrace import Pipeline`."""

from runners.notebook.pipeline import Pipeline

__all__ = ["Pipeline"]
