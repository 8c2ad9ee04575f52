"""Answers one file of examples, batch by batch, into one file of predictions.

Here and on Beam's workers it is the same work with the same batches, so that the files are equal, byte for byte.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import tensorflow as tf

from components.bulk_infer.asking import Model, RefusedRow
from components.bulk_infer.distribution import Distribution
from components.bulk_infer.kept import Kept
from components.bulk_infer.writing import writer
from components.runtime.errors import InputError, operation_cause
from components.runtime.stage.progress import advance
from components.runtime.text.visible import visible

_LONGEST_CELL = 120
_NOT_WHOLE = (tf.errors.DataLossError, tf.errors.InvalidArgumentError)


@dataclass(frozen=True)
class Asked:
    """What is the same for all shards.

    Attributes:
      model: folder of the SavedModel.
      signature: of it.
      kept: columns of the data.
      output_format: of the predictions.
      batch_rows: how many are asked at once.
      every: of so many rows one goes into the sample of the distributions.
      sample_rows: how many of the first rows are kept for the page.
    """

    model: str
    signature: str
    kept: Kept
    output_format: str
    batch_rows: int
    every: int
    sample_rows: int


@dataclass(frozen=True)
class Shard:
    """One file to be answered in another, with what came of it told in a third."""

    split: str
    source: str
    target: str
    told: str

    def result(self) -> Result:
        """What came of it, once it is answered."""
        document = json.loads(Path(self.told).read_text())
        distributions = [Distribution.read(each) for each in document["distributions"]]
        return Result(document["rows"], distributions, document["first"])


@dataclass
class Result:
    """What came of a shard, or of a split.

    Attributes:
      rows: that were answered.
      distributions: of the outputs.
      first: cells of the first rows, for people.
    """

    rows: int = 0
    distributions: list[Distribution] = field(default_factory=list)
    first: list[list[str]] = field(default_factory=list)

    def merge(self, other: Result) -> None:
        """Takes in what came of the next shard."""
        self.rows += other.rows
        self.first += other.first
        if not self.distributions:
            self.distributions = other.distributions
            return
        for mine, its in zip(self.distributions, other.distributions, strict=True):
            mine.merge(its)


def schema(model: Model, kept: Kept) -> pa.Schema:
    """Of what is written: the columns that are kept, then the predictions.

    Raises:
      InputError: a column of the data is called as a prediction is.
    """
    predicted = [pa.field(output.column, output.type) for output in model.outputs]
    for each in predicted:
        if each.name in kept.schema.names:
            raise InputError(
                f"columns: the data has a column {each.name!r}, as what is predicted is called; name the columns to "
                "keep without it"
            )
    return pa.schema([*kept.schema, *predicted])


def predict_shard(shard: Shard, asked: Asked, threads: int = 1) -> None:
    """Answers one file.

    Args:
      shard: the files.
      asked: what is asked, and how.
      threads: batches that are worked on at once.

    Raises:
      InputError: the file is corrupt, or the model refuses a row.
    """
    model = Model(asked.model, asked.signature)
    result = Result(distributions=[Distribution.of(output) for output in model.outputs])
    columns = schema(model, asked.kept)
    file = writer(asked.output_format, Path(shard.target), columns)
    with ThreadPoolExecutor(threads) as pool:
        for answers, batch in _answered(shard, asked, model, columns, pool, threads):
            for distribution, values in zip(result.distributions, answers, strict=True):
                distribution.add(values, asked.every)
            if len(result.first) < asked.sample_rows:
                result.first += _cells(batch.slice(0, asked.sample_rows - len(result.first)))
            file.write(batch)
            result.rows += batch.num_rows
            advance(batch.num_rows)
    file.close()
    document = {
        "rows": result.rows,
        "distributions": [each.document() for each in result.distributions],
        "first": result.first,
    }
    Path(shard.told).write_text(json.dumps(document))


def _answered(
    shard: Shard, asked: Asked, model: Model, columns: pa.Schema, pool: ThreadPoolExecutor, threads: int
) -> Iterator[tuple[list[Any], pa.RecordBatch]]:
    """Batches with their predictions in order; a few are worked on while one is written, so that memory stays flat."""

    def answer(first: int, records: tf.Tensor) -> tuple[list[Any], pa.RecordBatch]:
        try:
            answers = model(records)
            kept = asked.kept.columns(records.numpy().tolist())
        except RefusedRow as error:
            raise InputError(f"{shard.source}, row {first + error.row}: the model refuses it: {error.why}") from None
        predicted = [output.column_of(values) for output, values in zip(model.outputs, answers, strict=True)]
        return answers, pa.RecordBatch.from_arrays([*kept, *predicted], schema=columns)

    waiting: deque[Future[tuple[list[Any], pa.RecordBatch]]] = deque()
    first = 0
    for records in _batches(shard.source, asked.batch_rows):
        waiting.append(pool.submit(answer, first, records))
        first += len(records)
        while len(waiting) > threads:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _batches(file: str, rows: int) -> Iterator[tf.Tensor]:
    dataset = tf.data.TFRecordDataset(file, "GZIP").batch(rows).prefetch(1)
    try:
        yield from dataset
    except _NOT_WHOLE as error:
        raise InputError(f"{file}: not a whole TFRecord ({operation_cause(error.message)}); run ingest again") from None


def _cells(batch: pa.RecordBatch) -> list[list[str]]:
    return [[_cell(value) for value in row.values()] for row in batch.to_pylist()]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, list):
        some = ", ".join(_cell(each) for each in value[:8])
        return f"[{some}, … {len(value):,} values]" if len(value) > 8 else f"[{some}]"
    text = visible(str(value))
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
