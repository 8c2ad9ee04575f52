"""Runs compiled pipelines, and tells what came of them."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout."""


def in_checkout(name: str) -> Path:
    """A file or folder of the checkout, as a person would write it who stands where the command was called."""
    path = PROJECT / name
    try:
        here = Path.cwd()
    except FileNotFoundError:
        return path
    return path.relative_to(here) if path.is_relative_to(here) else path
