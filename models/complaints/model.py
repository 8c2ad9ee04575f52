"""Wide & deep classifier of complaints: categories as one-hot features, the narrative through a text encoder."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import encoders
import features
import keras
import tensorflow as tf
import tensorflow_transform as tft
from features import transformed
from keras import ops
from tfx_bsl.public import tfxio

from components.runtime import FnArgs, signatures

DEFAULTS: dict[str, Any] = {
    "label": features.DEFAULTS["label"],
    "batch_size": 128,
    "learning_rate": 0.002,
    "epochs": 5,
    "wide_units": 32,
    "wide_dropout": 0.5,
    "text_encoder": encoders.TRAINED,
    "text_tokens": 20_000,
    "text_units": 64,
    "text_dropout": 0.3,
    "hidden_units": [],
}
"""What custom_config can change. An epoch here is the time between two evaluations; `text_encoder` is "trained", or
names a sentence encoder (see `encoders.pretrained`); `hidden_units` are layers behind the encoder."""

STEPS_PER_CALL = 20
"""Steps that run between two returns to Python."""

WHOLE_SPLIT = -1


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it with its preprocessing.

    Args:
      fn_args: as the train stage fills them in; `custom_config` may hold the keys of `DEFAULTS`.

    Raises:
      ValueError: custom_config has an unknown key, or there is no such sentence encoder as it names.
    """
    config = features.configured(fn_args.custom_config or {}, DEFAULTS)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)

    def batches(files: list[str], *, training: bool) -> tf.data.Dataset:
        options = tfxio.TensorFlowDatasetOptions(
            batch_size=config["batch_size"],
            shuffle=training,
            num_epochs=None if training else 1,
            label_key=features.LABEL,
        )
        return fn_args.data_accessor.tf_dataset_factory(files, options, transform_output.transformed_metadata.schema)

    def narratives() -> tf.data.Dataset:
        whole = batches(fn_args.train_files, training=False)
        return whole.map(lambda rows, _: rows[transformed(features.NARRATIVE)])

    # Keras makes whole epochs of whole calls only: both are chosen so that the steps add up exactly.
    epochs = max(count for count in range(1, config["epochs"] + 1) if fn_args.train_steps % count == 0)
    steps_per_epoch = fn_args.train_steps // epochs
    model = build(transform_output, config, narratives)
    several = classes(transform_output)

    def inputs(files: list[str], *, training: bool) -> tf.data.Dataset:
        names = [tensor.name for tensor in model.inputs]
        return batches(files, training=training).map(lambda rows, label: ({name: rows[name] for name in names}, label))

    model.compile(
        # Down to nothing at the end: where the last steps are small, the seed decides little.
        optimizer=keras.optimizers.Adam(
            keras.optimizers.schedules.CosineDecay(config["learning_rate"], fn_args.train_steps)
        ),
        loss=keras.losses.SparseCategoricalCrossentropy() if several else keras.losses.BinaryCrossentropy(),
        metrics=["accuracy"] if several else [keras.metrics.AUC(name="auc")],
        steps_per_execution=math.gcd(STEPS_PER_CALL, steps_per_epoch),
        jit_compile=False,
    )
    # Variables made while the training step is traced would have it traced a second time.
    model.optimizer.build(model.trainable_variables)
    model.fit(
        inputs(fn_args.train_files, training=True),
        shuffle=False,  # The batches are shuffled already.
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=inputs(fn_args.eval_files, training=False).take(fn_args.eval_steps or WHOLE_SPLIT),
    )
    signatures.export(model, transform_output, fn_args.serving_model_dir, labels=[config["label"]])


def classes(transform_output: tft.TFTransformOutput) -> int:
    """How many classes the label names, with one for those that are not known; 0 where it is an answer."""
    if transform_output.vocabulary_file_by_name(features.LABEL_VOCABULARY) is None:
        return 0
    return int(transform_output.vocabulary_size_by_name(features.LABEL_VOCABULARY)) + 1


def build(
    transform_output: tft.TFTransformOutput, config: dict[str, Any], narratives: Callable[[], tf.data.Dataset]
) -> keras.Model:
    """The network, not compiled.

    Args:
      transform_output: tells which features there are and how many values they have.
      config: with the keys of `DEFAULTS`.
      narratives: batches of the training split's texts, for an encoder that learns its words from them.

    Returns:
      A model from a dict of features, each of shape [batch], to probabilities: of shape [batch] where the label is an
      answer, else [batch, classes], in the order of the vocabulary, the last one for unknown classes.

    Raises:
      ValueError: there is no such sentence encoder, or nothing to learn from.
    """
    spec = transform_output.transformed_feature_spec()
    sizes = {
        name: transform_output.num_buckets_for_transformed_feature(name)
        for name in map(transformed, (*features.CATEGORICAL, features.ZIP_CODE, features.REGION))
        if name in spec
    }
    if transformed(features.DATE) in spec:
        sizes[transformed(features.DATE)] = features.WEEKDAYS
    inputs = {name: keras.Input((), name=name, dtype="int64") for name in sizes}
    several = classes(transform_output)
    logits, parts = [], []
    if sizes:
        places = _places(inputs, sizes)
        logits.append(_one_hot_layer(places, sizes, several or 1, "wide", "zeros"))
        hidden = ops.relu(_one_hot_layer(places, sizes, config["wide_units"], "wide_hidden", "uniform"))
        parts.append(keras.layers.Dropout(config["wide_dropout"])(hidden))
    narrative = transformed(features.NARRATIVE)
    if narrative in spec:
        encode = encoders.encoder(config, narratives)
        # Where the training split has no narratives there is nothing to learn from them.
        if encode is not None:
            inputs[narrative] = keras.Input((), name=narrative, dtype="string")
            parts.append(_deep(encode(inputs[narrative]), config))
    if not parts:
        raise ValueError("nothing to learn from: the only feature is the narrative, and no complaint in train has one")
    both = keras.layers.concatenate(parts) if len(parts) > 1 else parts[0]
    logit = sum(logits, keras.layers.Dense(several or 1, name="deep")(both))
    answer = ops.softmax(logit) if several else ops.sigmoid(logit)[:, 0]
    return keras.Model(inputs, answer, name="wide_and_deep")


def _places(inputs: dict[str, Any], sizes: dict[str, int]) -> Any:
    """The row of each feature's value in a table of all values of all features, [batch, features]."""
    places, start = [], 0
    for name, size in sizes.items():
        places.append(inputs[name] + start)
        start += size
    return ops.stack(places, axis=-1)


def _one_hot_layer(places: Any, sizes: dict[str, int], units: int, name: str, initializer: str) -> Any:
    """A dense layer over one-hot features, [batch, units]: the sum of a row per value."""
    table = keras.layers.Embedding(sum(sizes.values()), units, embeddings_initializer=initializer, name=name)
    return ops.sum(table(places), axis=1)


def _deep(encoded: Any, config: dict[str, Any]) -> Any:
    """A small network over the encoded narrative, [batch, last of hidden_units]."""
    deep = keras.layers.Dropout(config["text_dropout"])(encoded)
    for units in config["hidden_units"]:
        deep = keras.layers.Dense(units, activation="relu")(deep)
    return deep
