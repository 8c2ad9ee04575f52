"""The network of complaints: wide & deep, the narrative through a text encoder."""

from __future__ import annotations

from typing import Any

import encoders
import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from keras import ops
from preprocessing import CLASSES, LABEL

from components.runtime import FnArgs, signatures, training

DEFAULTS: dict[str, Any] = training.OPTIONS | {
    "label": "label_disputed",
    "batch_size": 128,
    "epochs": 5,
    "learning_rate": 0.002,
    "hidden_units": 64,
    "hidden_layers": 2,
    "dropout": 0.2,
    "embedding_units": 8,
    "text_encoder": encoders.TRAINED,
    "words": 20_000,
}
"""What custom_config and hyperparameters can change. An epoch here is the time between two evaluations; `text_encoder`
is "trained", or names a sentence encoder (see `encoders.pretrained`)."""


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it with its preprocessing.

    Args:
      fn_args: as the train stage fills them in; `custom_config` and `hyperparameters` may hold the keys of `DEFAULTS`.

    Raises:
      InputError: one of them has an unknown key, or there is no such sentence encoder.
    """
    config = training.configuration(DEFAULTS, fn_args)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    model = compiled(transform_output, config, fn_args)
    model.fit(
        **fit_arguments(transform_output, config, fn_args), callbacks=training.callbacks(config["early_stopping"])
    )
    signatures.export(model, transform_output, fn_args.serving_model_dir, labels=[config["label"]])


def fit_arguments(transform_output: tft.TFTransformOutput, config: dict[str, Any], fn_args: FnArgs) -> dict[str, Any]:
    """Data and steps, as arguments of `fit`."""
    return training.fit_arguments(
        fn_args, transform_output, LABEL, batch_size=config["batch_size"], epochs=config["epochs"]
    )


def compiled(transform_output: tft.TFTransformOutput, config: dict[str, Any], fn_args: FnArgs) -> keras.Model:
    """The model, ready for `fit`; with `fn_args.base_model` it starts from that."""
    # Down to nothing at the end: where the last steps are small, the seed decides little.
    schedule = keras.optimizers.schedules.CosineDecay(config["learning_rate"], fn_args.train_steps)
    several = classes(transform_output)
    with training.placed(config["mixed_precision"]):
        model = build(transform_output, config, fn_args)
        training.start_from(model, fn_args.base_model, transform_output)
        model.compile(
            optimizer=keras.optimizers.AdamW(schedule, weight_decay=0.01),
            loss="sparse_categorical_crossentropy" if several else loss,
            metrics=["accuracy"] if several else [keras.metrics.AUC(name="auc")],
            steps_per_execution=training.plan(fn_args.train_steps, config["epochs"]).steps_per_call,
            jit_compile=False,
        )
        # Variables made while the training step is traced would have it traced a second time.
        model.optimizer.build(model.trainable_variables)
    return model


def loss(labels: tf.Tensor, answers: tf.Tensor) -> tf.Tensor:
    """Of each row, shape [batch]: only then Keras takes the right mean on several devices."""
    return keras.losses.binary_crossentropy(labels[:, None], answers[:, None])


def classes(transform_output: tft.TFTransformOutput) -> int:
    """How many classes the label names, with one for those that are not known; 0 where it is an answer."""
    if transform_output.vocabulary_file_by_name(CLASSES) is None:
        return 0
    return int(transform_output.vocabulary_size_by_name(CLASSES)) + 1


def build(transform_output: tft.TFTransformOutput, config: dict[str, Any], fn_args: FnArgs) -> keras.Model:
    """The network, not compiled.

    Args:
      transform_output: tells which features there are, and how many values categories have.
      config: with the keys of `DEFAULTS`.
      fn_args: tells the split train, of which the text encoder learns its words.

    Returns:
      A model from transformed features by name to probabilities: of shape [batch] where the label is an answer, else
      [batch, classes], in the order of the vocabulary, the last one for unknown classes.

    Raises:
      InputError: there is no such sentence encoder.
    """
    spec = transform_output.transformed_feature_spec()
    inputs = {
        name: keras.Input(tuple(feature.shape), name=name, dtype=feature.dtype.name)
        for name, feature in spec.items()
        if name != LABEL
    }
    outputs = classes(transform_output) or 1
    wide, deep = [], []

    numbers = [tensor for tensor in inputs.values() if tensor.dtype == "float32"]
    if numbers:
        deep.append(ops.concatenate(numbers, axis=-1))
        wide.append(keras.layers.Dense(outputs, name="wide_numbers", dtype="float32")(deep[0]))

    # One table for the values of all categories: the linear part is a weight per value, the deep one a vector.
    sizes = {
        name: transform_output.num_buckets_for_transformed_feature(name)
        for name, tensor in inputs.items()
        if tensor.dtype == "int64"
    }
    if sizes:
        rows = int(sum(sizes.values()))
        starts = np.cumsum([0, *sizes.values()])[:-1]
        places = ops.stack([inputs[name] for name in sizes], axis=-1) + starts
        weights = keras.layers.Embedding(rows, outputs, "zeros", name="wide_categories", dtype="float32")(places)
        vectors = keras.layers.Embedding(rows, config["embedding_units"], name="deep_categories")(places)
        # What is rare is learned by heart otherwise.
        wide.append(ops.sum(keras.layers.Dropout(config["dropout"])(weights), axis=1))
        deep.append(keras.layers.Flatten()(keras.layers.Dropout(config["dropout"])(vectors)))

    for _ in range(config["hidden_layers"] if deep else 0):
        hidden = keras.layers.Dense(config["hidden_units"], activation="relu")(ops.concatenate(deep, axis=-1))
        deep = [keras.layers.Dropout(config["dropout"])(hidden)]

    # Each word says something by itself: with layers behind them they are learned by heart.
    for name in [name for name, tensor in inputs.items() if tensor.dtype == "string"]:
        encode = encoders.encoder(config, training.train_values(fn_args, transform_output, name))
        deep.append(keras.layers.Dropout(config["dropout"])(encode(inputs[name])))

    hidden = ops.concatenate(deep, axis=-1)
    logits = sum(wide, keras.layers.Dense(outputs, name="deep", dtype="float32")(hidden))
    answers = ops.softmax(logits) if classes(transform_output) else ops.sigmoid(logits)[:, 0]
    return keras.Model(inputs, answers, name="wide_and_deep")
