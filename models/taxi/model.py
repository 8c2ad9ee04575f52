"""Wide & deep classifier of generous tips: linear in the categorical features, a small network over the dense ones."""

from __future__ import annotations

import math
from typing import Any

import features
import keras
import tensorflow as tf
import tensorflow_transform as tft
from features import transformed
from keras import ops
from tfx_bsl.public import tfxio

from components.runtime import signatures
from components.runtime.fn_args import FnArgs

SIZES = {
    "trip_start_hour": 24,
    "trip_start_day": 32,
    "trip_start_month": 13,
    "pickup_census_tract": 1009,
    "dropoff_census_tract": 1009,
    "pickup_community_area": 100,
    "dropoff_community_area": 100,
}
"""Places for the values of an integer feature; a value beyond them takes the place of its remainder."""

DEFAULTS: dict[str, Any] = {"batch_size": 128, "learning_rate": 0.005, "epochs": 5, "hidden_units": [100, 70, 50, 25]}
"""What custom_config can change. An epoch here is the time between two evaluations."""

STEPS_PER_CALL = 20
"""Steps that run between two returns to Python."""

WHOLE_SPLIT = -1


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it with its preprocessing.

    Args:
      fn_args: as the train stage fills them in; `custom_config` may hold the keys of `DEFAULTS`.

    Raises:
      ValueError: custom_config has an unknown key.
    """
    config = DEFAULTS | (fn_args.custom_config or {})
    if unknown := sorted(config.keys() - DEFAULTS.keys()):
        raise ValueError(f"custom_config has an unknown key {unknown[0]!r}; known are: {', '.join(DEFAULTS)}")
    transform_output = tft.TFTransformOutput(fn_args.transform_output)

    def batches(files: list[str], *, training: bool) -> tf.data.Dataset:
        options = tfxio.TensorFlowDatasetOptions(
            batch_size=config["batch_size"],
            shuffle=training,
            num_epochs=None if training else 1,
            label_key=transformed(features.LABEL),
        )
        return fn_args.data_accessor.tf_dataset_factory(files, options, transform_output.transformed_metadata.schema)

    # Keras makes whole epochs of whole calls only: both are chosen so that the steps add up exactly.
    epochs = max(count for count in range(1, config["epochs"] + 1) if fn_args.train_steps % count == 0)
    steps_per_epoch = fn_args.train_steps // epochs
    model = build(transform_output, config["hidden_units"])
    model.compile(
        optimizer=keras.optimizers.Adam(config["learning_rate"]),
        loss=keras.losses.BinaryCrossentropy(),
        metrics=[keras.metrics.AUC(name="auc")],
        steps_per_execution=math.gcd(STEPS_PER_CALL, steps_per_epoch),
        jit_compile=False,
    )
    # Variables made while the training step is traced would have it traced a second time.
    model.optimizer.build(model.trainable_variables)
    model.fit(
        batches(fn_args.train_files, training=True),
        shuffle=False,  # The batches are shuffled already.
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        validation_data=batches(fn_args.eval_files, training=False).take(fn_args.eval_steps or WHOLE_SPLIT),
    )
    signatures.export(model, transform_output, fn_args.serving_model_dir, labels=[features.LABEL])


def build(transform_output: tft.TFTransformOutput, hidden_units: list[int]) -> keras.Model:
    """The network, not compiled.

    Args:
      transform_output: tells how many values the categorical features have.
      hidden_units: widths of the deep part's layers.

    Returns:
      A model from a dict of features, each of shape [batch], to probabilities of shape [batch].
    """
    sizes = {
        name: transform_output.num_buckets_for_transformed_feature(name)
        for name in map(transformed, features.VOCABULARY + features.BUCKETISED)
    } | {transformed(name): SIZES[name] for name in features.CATEGORICAL}
    dense = {name: keras.Input((), name=name, dtype="float32") for name in map(transformed, features.DENSE_FLOAT)}
    categorical = {name: keras.Input((), name=name, dtype="int64") for name in sizes}

    deep = ops.stack(list(dense.values()), axis=-1)
    for units in hidden_units:
        deep = keras.layers.Dense(units, activation="relu")(deep)

    # A linear model over one-hot features is a table with one weight per value: here one table for all features.
    places, start = [], 0
    for name, size in sizes.items():
        places.append(ops.mod(categorical[name], size) + start)
        start += size
    weights = keras.layers.Embedding(start, 1, embeddings_initializer="zeros", name="wide")(ops.stack(places, axis=-1))

    logit = keras.layers.Dense(1, name="deep")(deep)[:, 0] + ops.sum(weights, axis=(1, 2))
    return keras.Model(dense | categorical, ops.sigmoid(logit), name="wide_and_deep")
