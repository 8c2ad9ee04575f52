"""How a span that was made is trained on: the command, as far as one is known to work."""

from __future__ import annotations

import shlex
from pathlib import Path

from components.runtime.feedback.spans import Spans
from runners.settings.model import Settings

FEW = 100
"""Rows below which a span by itself is told to be little to train on."""


def command(model: str, settings: Settings, spans: Spans, *, are_images: bool = False) -> str:
    """What a person calls to train on the spans; where the settings keep that from working, what they have to say.

    Args:
      model: as it was named.
      settings: of the model.
      spans: among which the new one is.
      are_images: whether they are folders of images.
    """
    if settings.ingest.query:
        # (Files and a query are not read together.)
        return f"load the span into what ingest.query asks, then ./millrace run {shlex.quote(model)}"
    lacks = []
    if settings.ingest.format not in ("auto", "parquet") and not are_images:
        lacks.append(f"set ingest.format to auto (it is {settings.ingest.format}, and spans are Parquet)")
    if are_images and settings.ingest.format == "auto" and not settings.ingest.images:
        lacks.append("set ingest.format to images")
    if settings.ingest.split_patterns:
        lacks.append("take out ingest.split_patterns, which look for other files than a span has")
    told = _run(model, spans, are_images=are_images)
    return f"first {' and '.join(lacks)} in {settings.folder / 'settings.yaml'}, then {told}" if lacks else told


def _run(model: str, spans: Spans, *, are_images: bool) -> str:
    there = spans.folders()
    readable = len(there) if are_images else _newest_of_parquet([there[number] for number in sorted(there)])
    told = f"./millrace run {shlex.quote(model)} --data {shlex.quote(spans.place)} --spans {readable}"
    older = len(there) - readable
    return told + (f"  # {older} older not: their files are not Parquet, and a run reads one format" if older else "")


def _newest_of_parquet(folders: list[Path]) -> int:
    """How many of the last hold Parquet files alone."""
    count = 0
    for folder in reversed(folders):
        if any(file.suffix != ".parquet" for file in folder.rglob("[!._]*") if file.is_file()):
            break
        count += 1
    return count
