"""The files of all splits at once, where that is worth it: in as many processes as there are processors."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data.statistics import Statistics, collect, compute, merged
from components.runtime.launch.forked import forked, processors
from components.runtime.stage import progress

PARALLEL_BYTES = 4 << 20
"""Size of all files from which on processes gain more than they cost; about 80,000 taxi trips."""


def compute_splits(
    files: Mapping[str, Sequence[Path]], schema: schema_pb2.Schema | None = None, rows: int | None = None
) -> dict[str, Statistics]:
    """Statistics of several splits.

    Each file is counted by itself, and what was counted is merged in the order of the files, in whichever process that
    was: the result does not depend on the number of processors.

    Args:
      files: record files of each split.
      schema: as for `generators`.
      rows: of all splits, where that is known beforehand.

    Raises:
      InputError: as `collect` and `merged`.
      TransientError: a process was killed.
    """
    every_file = [file for paths in files.values() for file in paths]
    large = sum(file.stat().st_size for file in every_file) >= PARALLEL_BYTES
    workers = min(len(every_file), processors()) if large else 1
    # The children need what took this process seconds to import; no thread of ours is running yet.
    with (
        progress.counting(rows, "rows", "computing statistics"),
        forked(workers, "computes statistics") as pool,
    ):
        if pool is None:
            return {split: compute(paths, progress.advance, schema) for split, paths in files.items()}
        packed = schema.SerializeToString() if schema else b""
        collected = pool.map(collect_packed, every_file, itertools.repeat(packed))
        return {split: merged(paths, itertools.islice(collected, len(paths)), schema) for split, paths in files.items()}


def collect_packed(file: Path, schema: bytes) -> bytes:
    """What was counted in a file, packed; `schema` is that of `collect`, serialised, or empty for none."""
    # (Messages of protobuf cannot be sent between processes as such.)
    parsed = schema_pb2.Schema.FromString(schema) if schema else None
    return collect(file, progress.advance, parsed).packed()
