"""TFDV's statistics of several splits by workers of Beam, a file each, for data too large for one process.

What was counted in the files is merged here in their order, as in one process: sums of floats, and the sketches of
quantiles, depend on the order of what is added to them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data.beam import mapped
from components.runtime.data.statistics import Statistics, merged
from components.statistics.splits import collect_packed


def compute_with_beam(
    files: Mapping[str, Sequence[Path]], options: Sequence[str], work: Path, schema: schema_pb2.Schema | None = None
) -> dict[str, Statistics]:
    """Statistics of several splits by one Beam pipeline.

    Args:
      files: record files of each split, on storage that the runner's workers can read.
      options: Beam's command line options.
      work: folder for intermediate results, on such storage too.
      schema: as for `compute_splits`.

    Returns:
      As `compute_splits`, byte for byte.

    Raises:
      InputError: see `compute_splits`.
    """
    function = functools.partial(collect_packed, schema=schema.SerializeToString() if schema else b"")
    collected = mapped(function, [file for paths in files.values() for file in paths], options, work, "count")
    return {split: merged(paths, itertools.islice(collected, len(paths)), schema) for split, paths in files.items()}
