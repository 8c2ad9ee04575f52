"""Several splits at once, where that is worth it: each in a process of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data.statistics import Statistics, compute
from components.runtime.errors import TransientError
from components.runtime.launch.warm import die_with_parent
from components.runtime.stage import progress

PARALLEL_BYTES = 4 << 20
"""Size of all files from which on processes gain more than they cost; about 80,000 taxi trips."""


def compute_splits(
    files: Mapping[str, Sequence[Path]], schema: schema_pb2.Schema | None = None, rows: int | None = None
) -> dict[str, Statistics]:
    """Statistics of several splits.

    The work of a split is never divided, so the result does not depend on the number of processors.

    Args:
      files: record files of each split.
      schema: as for `compute`.
      rows: of all splits, where that is known beforehand.

    Raises:
      InputError: as `compute`.
      TransientError: a process was killed.
    """
    size = sum(file.stat().st_size for paths in files.values() for file in paths)
    workers = min(len(files), os.cpu_count() or 1)
    with progress.counting(rows, "rows", "computing statistics"):
        if workers < 2 or size < PARALLEL_BYTES:
            return {split: compute(paths, progress.advance, schema) for split, paths in files.items()}
        return _in_processes(files, schema, workers)


def _in_processes(
    files: Mapping[str, Sequence[Path]], schema: schema_pb2.Schema | None, workers: int
) -> dict[str, Statistics]:
    # Forked, since the children need what took this process seconds to import; no thread of ours is running yet.
    with ProcessPoolExecutor(workers, get_context("fork"), die_with_parent) as pool:
        try:
            packed = schema.SerializeToString() if schema else b""
            found = pool.map(_compute_bytes, files.values(), [packed] * len(files))
            return {split: Statistics.FromString(content) for split, content in zip(files, found, strict=True)}
        except BrokenProcessPool:
            raise TransientError(
                "a process that computes statistics was killed, most likely for memory; give the stage more of it"
            ) from None


def _compute_bytes(paths: Sequence[Path], packed: bytes) -> bytes:
    # Messages of protobuf cannot be sent between processes as such.
    schema = schema_pb2.Schema.FromString(packed) if packed else None
    content: bytes = compute(paths, progress.advance, schema).SerializeToString()
    return content
