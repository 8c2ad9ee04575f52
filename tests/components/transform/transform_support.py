"""Small data sets for the transform stage, and reading back what it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.runtime.data import examples, tfrecord
from components.runtime.stage.executor import Execution
from components.transform.transform import transform
from tests.support import executor_input

OUTPUTS = ["transform_graph", "transformed_examples", "report"]
TYPES = {int: "INT", float: "FLOAT", str: "BYTES", bytes: "BYTES"}

Rows = Sequence[Mapping[str, Any]]


def write_examples(folder: Path, splits: Mapping[str, Rows | Sequence[Rows]]) -> Path:
    """Splits of one file each, or of several where the rows come as a list of lists."""
    for split, rows in splits.items():
        target = folder / f"Split-{split}"
        target.mkdir(parents=True)
        shards = rows if rows and not isinstance(rows[0], Mapping) else [rows]
        for index, shard in enumerate(shards):
            records = [examples.encode(row) for row in shard]  # type: ignore[arg-type]
            tfrecord.write(target / f"data_tfrecord-{index:05d}-of-{len(shards):05d}.gz", records)
    return folder


def write_schema(folder: Path, **features: type) -> Path:
    """A schema without shapes, as one that is inferred: every feature comes sparse."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(f'feature {{ name: "{name}" type: {TYPES[kind]} }}\n' for name, kind in features.items())
    (folder / "schema.pbtxt").write_text(text)
    return folder


def write_module(folder: Path, body: str, header: str = "def preprocessing_fn(inputs):") -> str:
    """A module whose preprocessing_fn has this body; `one` turns a sparse feature into a dense one."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"    {line}\n" for line in body.splitlines())
    one = "def one(values):\n    return tf.squeeze(tf.sparse.to_dense(values), axis=1)\n"
    (folder / "preprocessing.py").write_text(
        f"import tensorflow as tf\nimport tensorflow_transform as tft\n\n{one}\n{header}\n{lines}"
    )
    return str(folder / "preprocessing.py")


def run_transform(folder: Path, examples_path: Path, schema: Path, module_file: str, **parameters: Any) -> Path:
    """Runs the stage in this process; its outputs lie in the returned folder."""
    execution = Execution.parse(
        "transform",
        executor_input(
            folder,
            parameters={
                "module_file": module_file,
                "custom_config": {},
                "beam_options": [],
                "on_not_finite": "warn",
                **parameters,
            },
            inputs={"examples": examples_path, "schema": schema},
            outputs=OUTPUTS,
        ),
    )
    execution.run(transform)
    return folder


def read_split(folder: Path, split: str) -> list[dict[str, list[Any]]]:
    """Transformed rows in their order."""
    files = sorted((folder / "transformed_examples" / f"Split-{split}").iterdir())
    return [examples.decode(record) for file in files for record in tfrecord.read(file)]
