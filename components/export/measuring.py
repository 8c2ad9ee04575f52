"""What an export costs: bytes, and milliseconds in this process on one thread."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.export.source import Arrays
from components.runtime.stage.artifacts import content_bytes, content_files

BATCH = 64
_SECONDS = 0.5
_MOST = 300
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Cost:
    """Of one export, or of the model.

    Attributes:
      size: bytes of its files.
      packed: the same compressed by DEFLATE, as apps and web servers hand them over.
      single: milliseconds for one row, median.
      batch: the same for `BATCH` rows.
    """

    size: int
    packed: int
    single: float
    batch: float


def cost(folder: Path, ask: Callable[[Arrays], Any], features: Arrays) -> Cost:
    """Measures.

    Args:
      folder: with its files.
      ask: what answers.
      features: some rows.
    """
    return Cost(content_bytes(folder), packed(folder), _median(ask, features, 1), _median(ask, features, BATCH))


def packed(folder: Path) -> int:
    """Bytes of the files of a folder when they are compressed, each for itself."""
    total = 0
    for file in content_files(folder):
        packer = zlib.compressobj(6)
        with file.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                total += len(packer.compress(chunk))
        total += len(packer.flush())
    return total


def _median(ask: Callable[[Arrays], Any], features: Arrays, count: int) -> float:
    rows = len(next(iter(features.values())))
    chosen = np.arange(count) % rows
    given = {name: values[chosen] for name, values in features.items()}
    for _ in range(3):
        # The first ones plan and allocate.
        ask(given)
    times: list[float] = []
    end = time.perf_counter() + _SECONDS
    while time.perf_counter() < end and len(times) < _MOST:
        begun = time.perf_counter()
        ask(given)
        times.append(time.perf_counter() - begun)
    return float(np.median(times)) * 1e3
