"""Tries a model's code on a few rows, for its own tests: what its preprocessing makes of them, what it answers."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime.data import beam, examples, tfmd, tfrecord
from components.runtime.module_file import loading
from components.runtime.module_file.fn_args import FnArgs

if TYPE_CHECKING:
    import tensorflow_transform as tft

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Trial:
    """What came of it.

    Attributes:
      transformed: of each row its transformed features: NumPy arrays.
      model: folder of the SavedModel.
    """

    transformed: list[dict[str, Any]]
    model: Path

    def answers(self, rows: Sequence[Row]) -> Any:
        """What the exported model answers to rows, as NumPy: whatever they have of the raw features."""
        import tensorflow as tf

        served = tf.saved_model.load(str(self.model)).signatures["from_examples"]
        return served(examples=tf.constant([examples.encode(row) for row in rows]))["outputs"].numpy()


def run(model: Path | str, rows: Sequence[Row], folder: Path, *, steps: int = 2, **custom_config: Any) -> Trial:
    """Learns the preprocessing from rows, trains a few steps on them, and exports the model.

    Args:
      model: folder of the model, with `schema.pbtxt`, `preprocessing.py` and `model.py`.
      rows: raw features by name; None or an empty list where one is missing. To have more of them, repeat them.
      folder: to write to.
      steps: of the training.
      custom_config: handed to `preprocessing_fn`, where it takes one, and to `run_fn`.

    Raises:
      InputError: the model's code or its schema is wrong.
    """
    # TensorFlow Transform would turn `tf.keras` into Keras 2 for the user's code.
    os.environ["TF_USE_LEGACY_KERAS"] = "0"
    import tensorflow_transform as tft

    model = Path(model)
    graph, exported = str(folder / "transform_graph"), str(folder / "model")
    raw, transformed = folder / "raw.gz", folder / "transformed.gz"
    records = [examples.encode(row) for row in rows]
    tfrecord.write(raw, records)
    _learn(model, raw, graph, str(folder / "work"), custom_config)
    found = _transformed(tft.TFTransformOutput(graph), records)
    tfrecord.write(transformed, [examples.encode(row) for row in found])
    schema = str(model / tfmd.SCHEMA_FILE)
    arguments = FnArgs(
        working_dir=str(folder / "work"),
        train_files=[str(transformed)],
        eval_files=[str(transformed)],
        train_steps=steps,
        schema_path=schema,
        schema_file=schema,
        transform_graph_path=graph,
        transform_output=graph,
        serving_model_dir=exported,
        model_run_dir=str(folder / "logs"),
        custom_config=custom_config,
    )
    loading.call(loading.load_function(str(model / "model.py"), "run_fn"), arguments)
    return Trial(found, Path(exported))


def _learn(model: Path, raw: Path, graph: str, work: str, custom_config: dict[str, Any]) -> None:
    """Writes the transform graph that the preprocessing learns from a file of tf.Examples, with its raw schema."""
    import tensorflow_transform.beam as tft_beam
    from tensorflow_transform.tf_metadata.dataset_metadata import DatasetMetadata
    from tfx_bsl.public import tfxio

    function = loading.load_function(str(model / "preprocessing.py"), "preprocessing_fn")
    more = [custom_config] if len(inspect.signature(function).parameters) > 1 else []
    schema = tfmd.read_schema(model / tfmd.SCHEMA_FILE)
    source = tfxio.TFExampleRecord([str(raw)], schema=schema, telemetry_descriptors=["millrace"])
    with beam.pipeline([]) as run, tft_beam.Context(temp_dir=work):
        batches = run | "Read" >> source.BeamSource()
        learned = (batches, source.TensorAdapterConfig()) | tft_beam.AnalyzeDataset(
            lambda inputs: loading.call(function, inputs, *more)
        )
        _ = learned | tft_beam.WriteTransformFn(graph)
        _ = DatasetMetadata(schema) | tft_beam.WriteMetadata(f"{graph}/metadata", pipeline=run)


def _transformed(output: tft.TFTransformOutput, records: list[bytes]) -> list[dict[str, Any]]:
    import tensorflow as tf

    layer = output.transform_features_layer()
    batch = layer(tf.io.parse_example(tf.constant(records), output.raw_feature_spec()))
    columns = {name: value.numpy() for name, value in batch.items()}
    return [{name: value[row] for name, value in columns.items()} for row in range(len(records))]
