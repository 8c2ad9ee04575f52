"""The examples of an evaluation: their files, and what is told of those that cannot be evaluated."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.errors import InputError
from components.runtime.evaluation.computation import batches, fitting
from components.runtime.evaluation.computation.counts import Counts, rows_with_nan
from components.runtime.evaluation.configuration.saved_model import SavedModelFacts
from components.runtime.stage.artifacts import InputArtifact


def files_of(examples: InputArtifact, splits: list[str]) -> list[str]:
    """The files of splits, in a fixed order.

    Raises:
      InputError: no split is named, one has no examples, or a file is no gzip TFRecord.
    """
    if not splits:
        raise InputError("example_splits is empty: name the splits to evaluate on, such as eval")
    files: list[str] = []
    for split in splits:
        found = sorted(str(path) for path in examples.split(split).glob("*.gz"))
        if not any(True for file in found for _ in _first_record(file)):
            raise InputError(
                f"{examples.name}: the split {split!r} is empty, there is nothing to evaluate on; "
                "change the splits of ingest"
            )
        files += found
    return files


def check_rows(examples: InputArtifact, splits: list[str], read: int) -> None:
    """Holds what was read against what ingest wrote.

    TensorFlow takes a compressed file that was cut off between two records for a whole one.

    Raises:
      InputError: examples are missing.
    """
    expected = examples.rows(*splits)
    if expected is not None and read != expected:
        raise InputError(
            f"{examples.name}: an examples file is damaged: {read} of {expected} examples could be read; "
            "run ingest again"
        )


def check_labels(counts: Counts, candidate: config_pb2.ModelSpec) -> None:
    """Looks for examples without a label.

    TFMA leaves such examples out of some metrics, counts them as a class in others, and fails in the rest.

    Args:
      counts: what was read.
      candidate: names the label.

    Raises:
      InputError: there are some.
    """
    if counts.unlabelled:
        raise InputError(
            f"{_labels(candidate)} is NaN in {counts.unlabelled} of {counts.rows} examples, which says "
            "nothing of a model: fill it in or leave these rows out before ingest"
        )


def unlabelled(files: list[str], config: config_pb2.EvalConfig, models: dict[str, SavedModelFacts]) -> Counts:
    """Counts examples without a label, where the models run in this process.

    Raises:
      InputError: one of them cannot read the examples.
    """
    specs = {spec.name: spec for spec in config.model_specs}
    counts = Counts()
    if all(batches.runs(specs[name], facts) for name, facts in models.items()):
        loaded = {name: batches.Model(facts.folder, specs[name]) for name, facts in models.items()}
        for examples in batches.serialised(files, loaded.values()):
            labels = []
            for name, model in loaded.items():
                with batches.reading_by(name):
                    labels.append(model.labels(examples))
            counts.rows += len(examples)
            counts.unlabelled += rows_with_nan(*labels)
    return counts


def check_weights(
    files: list[str],
    config: config_pb2.EvalConfig,
    models: dict[str, SavedModelFacts],
    schema: schema_pb2.Schema,
) -> None:
    """Looks for examples without their weight, which fail in whatever metric comes first.

    Raises:
      InputError: there are some.
    """
    for spec in config.model_specs:
        transformed = models[spec.name].transformed(spec.preprocessing_function_names) or set()
        keys = {key for key in (spec.example_weight_key, *spec.example_weight_keys.values()) if key} - transformed
        for key in sorted(keys & {feature.name for feature in schema.feature}):
            rows = lacking = 0
            for record in tf.data.TFRecordDataset(files, compression_type="GZIP").as_numpy_iterator():
                feature = tf.train.Example.FromString(record).features.feature
                rows += 1
                lacking += key not in feature or feature[key].WhichOneof("kind") is None or not _size(feature[key])
            if lacking:
                raise InputError(
                    f"the example weight {key!r} is missing in {lacking} of {rows} examples: fill it in or leave these "
                    "rows out before ingest"
                )


def _size(feature: tf.train.Feature) -> int:
    return len(getattr(feature, feature.WhichOneof("kind")).value)


def _first_record(file: str) -> Any:
    try:
        return list(tf.data.TFRecordDataset(file, compression_type="GZIP").take(1))
    except tf.errors.OpError as error:
        raise InputError(f"{file}: not a gzip TFRecord ({fitting.reason(error)}); run ingest again") from None


def _labels(spec: config_pb2.ModelSpec) -> str:
    """A model's labels, for a message."""
    several = sorted({*spec.label_keys.values()})
    return f"one of the labels {', '.join(map(repr, several))}" if several else f"the label {spec.label_key!r}"
