"""TFDV's statistics of several splits by one Beam pipeline, for data too large for one process.

This needs the whole library, with TensorFlow and Beam: it is imported where somebody asks for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import apache_beam as beam
import pyarrow as pa
import tensorflow_data_validation as tfdv
from tensorflow_data_validation.statistics.generators.basic_stats_generator import BasicStatsGenerator
from tensorflow_data_validation.statistics.generators.top_k_uniques_sketch_stats_generator import (
    TopKUniquesSketchStatsGenerator,
)
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.runtime.data.beam import pipeline
from components.runtime.data.example_rows import decode_batch
from components.runtime.data.records import batches
from components.runtime.data.statistics import ComparedCounts, Statistics, find_fault, generators, tidy
from components.runtime.stage import progress


class _Counts(ComparedCounts, TopKUniquesSketchStatsGenerator):
    """Those that Beam's workers can find by name."""


def compute_with_beam(
    files: Mapping[str, Sequence[Path]], options: Sequence[str], work: Path, schema: schema_pb2.Schema | None = None
) -> dict[str, Statistics]:
    """Statistics of several splits by one Beam pipeline.

    Args:
      files: record files of each split, on storage that the runner's workers can read.
      options: Beam's command line options.
      work: folder for intermediate results, on such storage too.
      schema: as for `generators`.

    Returns:
      As `compute`, by split. Quantiles may differ from those of `compute` within TFDV's tolerance of 1 %.

    Raises:
      InputError: see `compute`.
    """
    settings = tfdv.StatsOptions(
        add_default_generators=False, generators=generators(schema, BasicStatsGenerator, _Counts)
    )
    with pipeline(options) as run:
        for split, paths in files.items():
            # Our reader, not Beam's: it tells which record of which file is damaged.
            _ = (
                run
                | f"Files[{split}]" >> beam.Create([str(path) for path in paths])
                | f"Spread[{split}]" >> beam.Reshuffle()
                | f"Decode[{split}]" >> beam.FlatMap(_decode_file)
                | f"Statistics[{split}]" >> tfdv.GenerateStatistics(settings)
                | f"Write[{split}]" >> tfdv.WriteStatisticsToBinaryFile(str(work / f"{split}.pb"))
            )
    return {split: tidy(tfdv.load_stats_binary(str(work / f"{split}.pb"))) for split in files}


def _decode_file(path: str) -> Iterator[pa.RecordBatch]:
    decoder = ExamplesToRecordBatchDecoder()
    for batch in batches([Path(path)]):
        try:
            decoded = decode_batch(batch)
            if decoded is None:
                decoded = decoder.DecodeBatch(batch)
        except RuntimeError as error:
            raise find_fault([Path(path)], error) from error
        yield decoded
        progress.advance(len(batch))
