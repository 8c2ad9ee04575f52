"""Answers every file of every split, in this process or on Beam, and tells what the predictions are like."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from components.bulk_infer import page
from components.bulk_infer.asking import Model
from components.bulk_infer.distribution import SAMPLED
from components.bulk_infer.kept import find
from components.bulk_infer.shards import Asked, Result, Shard, predict_shard, schema
from components.bulk_infer.writing import SUFFIXES
from components.runtime.data import tfrecord
from components.runtime.data.beam import data_files, pipeline
from components.runtime.errors import InputError
from components.runtime.launch.forked import processors
from components.runtime.publish import serving
from components.runtime.records.facts import counted
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, remove

FILE = "predictions"
BATCH_ROWS = 8192
_BATCH_BYTES = 8 << 20
_FIRST_ROWS = 16
_WORK = ".work"
_LARGEST_COLUMNS = 32 << 10
"""Letters that the list of columns may have in the metadata, as ingest holds it."""


def predict_dataset(
    examples: InputArtifact,
    model: InputArtifact,
    model_digest: str,
    splits: Sequence[str],
    output_format: str,
    columns: Sequence[str],
    signature: str,
    batch_size: int,
    sample_rows: int,
    beam_options: Sequence[str],
    *,
    predictions: OutputArtifact,
    metrics: OutputArtifact,
    report: OutputArtifact,
) -> int:
    """Does the work of the stage; arguments and errors are those of `components.bulk_infer.bulk_infer`."""
    if not splits:
        raise InputError(f"examples: no Split-<name> folders in {examples.path}; run ingest again")
    folder = str(serving.saved_model(model))
    files = {split: data_files(examples.split(split)) for split in splits}
    progress.report("loading the model")
    loaded = Model(folder, signature)
    every_file = [file for each in files.values() for file in each]
    kept = find(examples, every_file, columns, as_text=output_format == "csv")
    if kept.left_out:
        names = ", ".join(map(repr, kept.left_out))
        progress.report(f"warning: left out of the CSV, for it is bytes that are no text: {names}; Parquet can hold it")
    columns_written = schema(loaded, kept)
    rows = examples.rows(*splits)
    asked = Asked(
        folder,
        loaded.signature,
        kept,
        output_format,
        batch_size or _batch_rows(every_file, loaded),
        max(1, (rows or 0) // SAMPLED),
        sample_rows,
    )
    begun = time.monotonic()
    found = _predict(files, asked, predictions, rows, beam_options)
    seconds = time.monotonic() - begun
    for split, result in found.items():
        _check_rows(examples, split, result.rows)
    whole = Result()
    for result in found.values():
        whole.merge(Result(result.rows, result.distributions))
    version = int(float(model.metadata.get("version") or 0))
    predictions.metadata |= {
        "predicted": True,
        "splits": list(found),
        "rows": whole.rows,
        **{f"rows_{split}": result.rows for split, result in found.items()},
        "format": output_format,
        "signature": loaded.signature,
        "model_digest": model_digest,
        "version": version,
    }
    types = {each.name: str(each.type) for each in columns_written}
    if len(json.dumps(types)) <= _LARGEST_COLUMNS:
        predictions.metadata["columns"] = types
    if kept.left_out:
        predictions.metadata["left_out"] = list(kept.left_out)
    if nan := max(each.nan for each in whole.distributions):
        predictions.metadata["not_a_number"] = nan
        progress.report(f"warning: the model answers NaN in {nan:,} of {counted(whole.rows, 'row')}")
    metrics.metadata |= _metrics(whole, seconds)
    answered = page.Answered(version, loaded.signature, seconds, bool(beam_options), output_format, types)
    report.path.write_text(page.render(found, whole, answered), encoding="utf-8")
    progress.report(f"{counted(whole.rows, 'row')} answered, {whole.rows / seconds:,.0f} a second")
    return whole.rows


def _predict(
    files: Mapping[str, Sequence[str]],
    asked: Asked,
    predictions: OutputArtifact,
    rows: int | None,
    beam_options: Sequence[str],
) -> dict[str, Result]:
    """Answers all files; what came of them, by split."""
    work = predictions.directory() / _WORK
    work.mkdir()
    shards = []
    for split, sources in files.items():
        target = predictions.split(split)
        for index, source in enumerate(sources):
            name = f"{FILE}-{index:05d}-of-{len(sources):05d}{SUFFIXES[asked.output_format]}"
            shards.append(Shard(split, source, str(target / name), str(work / f"{split}-{index}.json")))
    with progress.counting(rows, "rows", "predicting" + (" with Beam" if beam_options else "")):
        if beam_options:
            _on_beam(shards, asked, beam_options)
        else:
            for shard in shards:
                predict_shard(shard, asked, threads=processors())
    found = {split: Result() for split in files}
    for shard in shards:
        found[shard.split].merge(shard.result())
    for result in found.values():
        del result.first[asked.sample_rows :]
    remove(work)
    return found


def _on_beam(shards: Sequence[Shard], asked: Asked, beam_options: Sequence[str]) -> None:
    import apache_beam as beam

    with pipeline(beam_options) as run:
        _ = run | "Shards" >> beam.Create(shards, reshuffle=True) | "Predict" >> beam.Map(predict_shard, asked)


def _batch_rows(files: Sequence[str], model: Model) -> int:
    """How many rows one machine can hold at once, and what the model says about them."""
    first = itertools.islice(itertools.chain.from_iterable(map(tfrecord.read, map(Path, files))), _FIRST_ROWS)
    size = max([1, model.row_bytes, *map(len, first)])
    return max(1, min(BATCH_ROWS, _BATCH_BYTES // size))


def _check_rows(examples: InputArtifact, split: str, answered: int) -> None:
    """Holds what was read against what ingest wrote.

    TensorFlow takes a compressed file that was cut off between two records for a whole one.
    """
    expected = examples.rows(split)
    if expected is not None and answered != expected:
        raise InputError(
            f"{examples.name}: an examples file of the split {split!r} is damaged: {answered:,} of {expected:,} rows "
            "could be read; run ingest again"
        )


def _metrics(whole: Result, seconds: float) -> dict[str, float]:
    found: dict[str, float] = {"rows": whole.rows, "rows_per_second": whole.rows / seconds}
    for each in whole.distributions:
        found[f"{each.column}_nan_rows"] = each.nan
        if each.mean is not None:
            found |= {f"{each.column}_mean": each.mean, f"{each.column}_min": each.low, f"{each.column}_max": each.high}
    return found
