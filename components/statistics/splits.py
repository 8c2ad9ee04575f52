"""Several splits at once, where that is worth it: each in a process of its own."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.errors import TransientError
from components.runtime.launch.warm import die_with_parent
from components.runtime.stage import progress
from components.statistics.compute import Statistics, compute

PARALLEL_BYTES = 4 << 20
"""Size of all files from which on processes gain more than they cost; about 80,000 taxi trips."""


def compute_splits(
    files: Mapping[str, Sequence[Path]], schema: schema_pb2.Schema | None = None
) -> dict[str, Statistics]:
    """Statistics of several splits.

    The work of a split is never divided, so the result does not depend on the number of processors.

    Args:
      files: record files of each split.
      schema: as for `compute`.

    Raises:
      InputError: as `compute`.
      TransientError: a process was killed.
    """
    size = sum(file.stat().st_size for paths in files.values() for file in paths)
    workers = min(len(files), os.cpu_count() or 1)
    if workers < 2 or size < PARALLEL_BYTES:
        return {split: compute(paths, functools.partial(_tell, split), schema) for split, paths in files.items()}
    # Forked, since the children need what took this process seconds to import; no thread of ours is running yet.
    with ProcessPoolExecutor(workers, get_context("fork"), die_with_parent) as pool:
        try:
            packed = schema.SerializeToString() if schema else b""
            found = pool.map(_compute_bytes, files.keys(), files.values(), [packed] * len(files))
            return {split: Statistics.FromString(content) for split, content in zip(files, found, strict=True)}
        except BrokenProcessPool:
            raise TransientError(
                "a process that computes statistics was killed, most likely for memory; give the stage more of it"
            ) from None


def _compute_bytes(split: str, paths: Sequence[Path], packed: bytes) -> bytes:
    # Messages of protobuf cannot be sent between processes as such.
    schema = schema_pb2.Schema.FromString(packed) if packed else None
    content: bytes = compute(paths, functools.partial(_tell, split), schema).SerializeToString()
    return content


def _tell(split: str, rows: int) -> None:
    progress.report(f"{split}: {rows:,} rows", force=False)
