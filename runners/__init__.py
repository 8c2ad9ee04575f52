"""Runs compiled pipelines, and tells what came of them."""

from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
"""The checkout."""
