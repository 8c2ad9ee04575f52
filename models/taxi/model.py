"""Wide & deep classifier of generous tips: linear in the categorical features, a small network over the dense ones."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
from keras import ops
from preprocessing import LABEL, OOV_BUCKETS, RAW_LABELS, VOCABULARY_SIZE

from components.runtime import FnArgs, TunerFnResult, distillation, signatures, training

SIZES = {
    "trip_start_hour_xf": 24,
    "trip_start_day_xf": 32,
    "trip_start_month_xf": 13,
    "pickup_census_tract_xf": 1009,
    "dropoff_census_tract_xf": 1009,
    "pickup_community_area_xf": 100,
    "dropoff_community_area_xf": 100,
    "payment_type_xf": VOCABULARY_SIZE + OOV_BUCKETS,
    "company_xf": VOCABULARY_SIZE + OOV_BUCKETS,
}
"""Places for the values of a code; a value beyond them takes the place of its remainder. Of words as many as there can
be, not as there are: a model that starts from an earlier one has the same places, whatever words have come since."""

DEFAULTS: dict[str, Any] = training.OPTIONS | {
    "batch_size": 128,
    "learning_rate": 0.005,
    "epochs": 5,
    "hidden_units": [100, 70, 50, 25],
    "units": 0,
    "layers": 4,
    "tuner": "random",
}
"""What custom_config and hyperparameters can change. An epoch here is the time between two evaluations. With `units`
there are so many `layers`, the first of that width, each next one narrower, in place of `hidden_units`."""

NARROWER = 0.7
"""Width of a layer as a share of that before it."""

MOST_TRIALS = 1000
"""The budget is the tune stage's."""


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it with its preprocessing.

    Args:
      fn_args: as the train stage fills them in; `custom_config` and `hyperparameters` may hold the keys of `DEFAULTS`.

    Raises:
      InputError: one of them has an unknown key.
    """
    config = training.configuration(DEFAULTS, fn_args)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    model = compiled(transform_output, config, fn_args)
    model.fit(
        **fit_arguments(transform_output, config, fn_args), callbacks=training.callbacks(config["early_stopping"])
    )
    signatures.export(model, transform_output, fn_args.serving_model_dir, labels=RAW_LABELS)


def tuner_fn(fn_args: FnArgs) -> TunerFnResult:
    """Searches for the learning rate and the size of the deep part.

    Args:
      fn_args: as the tune stage fills them in; `custom_config` as for `run_fn`: its `tuner` is `random`, `bayesian` or
        `hyperband`.
    """
    import keras_tuner  # not where nothing is tuned

    config = training.configuration(DEFAULTS, fn_args)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    space = keras_tuner.HyperParameters()
    space.Float("learning_rate", 5e-4, 5e-2, sampling="log", default=config["learning_rate"])
    space.Int("units", 32, 256, sampling="log", step=2, default=128)
    space.Int("layers", 1, 4, default=4)

    def build_trial(values: keras_tuner.HyperParameters) -> keras.Model:
        chosen = {name: values.get(name) for name in ("learning_rate", "units", "layers")}
        return compiled(transform_output, config | chosen, fn_args)

    tuners = {
        "random": keras_tuner.RandomSearch,
        "bayesian": keras_tuner.BayesianOptimization,
        "hyperband": keras_tuner.Hyperband,
    }
    if config["tuner"] not in tuners:
        raise ValueError(f"tuner is {config['tuner']!r}; set it to one of: {', '.join(tuners)}")
    limit = {"max_epochs": config["epochs"]} if config["tuner"] == "hyperband" else {"max_trials": MOST_TRIALS}
    tuner = tuners[config["tuner"]](
        build_trial,
        objective=keras_tuner.Objective("val_auc", "max"),
        hyperparameters=space,
        tune_new_entries=False,
        directory=fn_args.working_dir,
        project_name="taxi",
        **limit,
    )
    return TunerFnResult(tuner, fit_arguments(transform_output, config, fn_args))


def compiled(transform_output: tft.TFTransformOutput, config: dict[str, Any], fn_args: FnArgs) -> keras.Model:
    """The model, ready for `fit`; with `fn_args.base_model` it starts from that."""
    widths = [max(1, round(config["units"] * NARROWER**layer)) for layer in range(config["layers"])]
    with training.placed(config["mixed_precision"]):
        model = build(transform_output, widths if config["units"] else config["hidden_units"])
        training.start_from(model, fn_args.base_model, transform_output)
        model = distillation.taught(model, fn_args, answers="probability")
        model.compile(
            optimizer=keras.optimizers.Adam(config["learning_rate"]),
            loss=cross_entropy,
            metrics=[keras.metrics.AUC(name="auc")],
            steps_per_execution=training.plan(fn_args.train_steps, config["epochs"]).steps_per_call,
            jit_compile=False,
        )
        # Variables made while the training step is traced would have it traced a second time.
        model.optimizer.build(model.trainable_variables)
    return model


def cross_entropy(labels: tf.Tensor, probabilities: tf.Tensor) -> tf.Tensor:
    """Of each trip, shape [batch]: on several devices Keras takes the right mean of a loss only where it has rows."""
    return keras.losses.binary_crossentropy(labels[:, None], probabilities[:, None])


def fit_arguments(transform_output: tft.TFTransformOutput, config: dict[str, Any], fn_args: FnArgs) -> dict[str, Any]:
    """Data and steps, as arguments of `fit`."""
    return training.fit_arguments(
        fn_args, transform_output, LABEL, batch_size=config["batch_size"], epochs=config["epochs"]
    )


def build(transform_output: tft.TFTransformOutput, hidden_units: list[int]) -> keras.Model:
    """The network, not compiled.

    Args:
      transform_output: tells how many values the categorical features have.
      hidden_units: widths of the deep part's layers.

    Returns:
      A model from a dict of features, each of shape [batch], to probabilities of shape [batch].
    """
    spec = transform_output.transformed_feature_spec()
    inputs = {
        name: keras.Input((), name=name, dtype=feature.dtype.name) for name, feature in spec.items() if name != LABEL
    }

    deep = ops.stack([tensor for tensor in inputs.values() if tensor.dtype == "float32"], axis=-1)
    for units in hidden_units:
        deep = keras.layers.Dense(units, activation="relu")(deep)

    # A linear model over one-hot features is a table with one weight per value: here one table for all features.
    sizes = {
        name: SIZES[name] if name in SIZES else transform_output.num_buckets_for_transformed_feature(name)
        for name, tensor in inputs.items()
        if tensor.dtype == "int64"
    }
    counts = np.array([*sizes.values()])
    places = ops.mod(ops.stack([inputs[name] for name in sizes], axis=-1), counts) + (np.cumsum(counts) - counts)
    wide = keras.layers.Embedding(int(counts.sum()), 1, embeddings_initializer="zeros", name="wide", dtype="float32")
    logit = keras.layers.Dense(1, name="deep", dtype="float32")(deep)[:, 0] + ops.sum(wide(places), axis=(1, 2))
    return keras.Model(inputs, ops.sigmoid(logit), name="wide_and_deep")
