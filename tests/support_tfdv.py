"""What tests of the TFDV stages share: examples written to disk, and stages called in this process."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.runtime.data import tfrecord
from components.runtime.stage.executor import Execution
from tests.support import executor_input

Value = bytes | str | int | float
Row = Mapping[str, Value | Sequence[Value] | None]


def example(row: Row) -> bytes:
    """A tf.Example; None is a feature without a value."""
    message = tf.train.Example()
    for name, value in row.items():
        feature = message.features.feature[name]
        values = [] if value is None else list(value) if isinstance(value, list | tuple) else [value]
        for entry in values:
            if isinstance(entry, bytes | str):
                feature.bytes_list.value.append(entry.encode() if isinstance(entry, str) else entry)
            elif isinstance(entry, float):
                feature.float_list.value.append(entry)
            else:
                feature.int64_list.value.append(entry)
    return message.SerializeToString(deterministic=True)


def write_examples(folder: Path, splits: Mapping[str, Iterable[Row]], shards: int = 1) -> Path:
    """Writes rows as an examples artifact and returns its folder."""
    for split, rows in splits.items():
        target = folder / f"Split-{split}"
        target.mkdir(parents=True)
        records = [example(row) for row in rows]
        for shard in range(shards):
            tfrecord.write(target / f"data_tfrecord-{shard:05d}-of-{shards:05d}.gz", records[shard::shards])
    return folder


def run_statistics(
    examples: Path, folder: Path, beam_options: Sequence[str] = (), schema_file: Path | str = ""
) -> Execution:
    """Runs the statistics stage in this process; its outputs lie in `folder`."""
    return call(
        "statistics",
        executor_input(
            folder,
            parameters={"schema_file": str(schema_file), "beam_options": list(beam_options)},
            inputs={"examples": examples},
            outputs=["statistics", "report"],
        ),
    )


def run_schema(statistics: Path, folder: Path, schema_file: Path | str = "") -> Execution:
    """Runs the schema stage in this process."""
    return call(
        "schema",
        executor_input(
            folder, parameters={"schema_file": str(schema_file)}, inputs={"statistics": statistics}, outputs=["schema"]
        ),
    )


def run_validate(
    statistics: Path,
    schema: Path,
    folder: Path,
    on_anomalies: str = "stop",
    previous: Path | str = "",
    schema_metadata: dict[str, Any] | None = None,
) -> Execution:
    """Runs the validate stage in this process."""
    return call(
        "validate",
        executor_input(
            folder,
            parameters={"on_anomalies": on_anomalies, "previous_statistics": str(previous)},
            inputs={"statistics": statistics, "schema": schema},
            metadata={"schema": schema_metadata or {}},
            outputs=["anomalies", "report"],
            output_parameters=["valid"],
        ),
    )


def call(stage: str, arguments: dict[str, Any]) -> Execution:
    """Runs a stage's function as the executor does."""
    execution = Execution.parse(stage, arguments)
    module = importlib.import_module(f"components.{stage}.{stage}")
    execution.run(getattr(module, stage))
    return execution


def left_behind(folder: Path) -> list[str]:
    """Names of what lies in a stage's output folder, hidden files too."""
    return sorted(entry.name for entry in folder.iterdir()) if folder.exists() else []
