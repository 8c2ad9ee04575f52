"""The network of digits: convolutional, for grey images of any size."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow_transform as tft
from preprocessing import LABEL, RAW_LABELS, TRANSFORMED_IMAGE

from components.runtime import FnArgs, distillation, signatures, training

CLASSES = 10

SHUFFLED = 2000
"""Images among which the next one is drawn: as floats they take some memory."""

DEFAULTS: dict[str, Any] = training.OPTIONS | {
    "batch_size": 64,
    "learning_rate": 0.003,
    "epochs": 5,
    "filters": [32, 64],
    "dropout": 0.3,
}
"""What custom_config and hyperparameters can change. An epoch here is the time between two evaluations."""


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


def fit_arguments(transform_output: tft.TFTransformOutput, config: dict[str, Any], fn_args: FnArgs) -> dict[str, Any]:
    """Data and steps, as arguments of `fit`."""
    return training.fit_arguments(
        fn_args,
        transform_output,
        LABEL,
        batch_size=config["batch_size"],
        epochs=config["epochs"],
        shuffle_buffer=SHUFFLED,
    )


def compiled(transform_output: tft.TFTransformOutput, config: dict[str, Any], fn_args: FnArgs) -> keras.Model:
    """The model, ready for `fit`; with `fn_args.base_model` it starts from that."""
    # Down to nothing at the end: where the last steps are small, the seed decides little.
    schedule = keras.optimizers.schedules.CosineDecay(config["learning_rate"], fn_args.train_steps)
    shape = transform_output.transformed_feature_spec()[TRANSFORMED_IMAGE].shape
    with training.placed(config["mixed_precision"]):
        model = build(shape, config["filters"], config["dropout"])
        training.start_from(model, fn_args.base_model, transform_output)
        model = distillation.taught(model, fn_args, answers="classes")
        model.compile(
            optimizer=keras.optimizers.Adam(schedule),
            loss="sparse_categorical_crossentropy",
            metrics=["accuracy"],
            steps_per_execution=training.plan(fn_args.train_steps, config["epochs"]).steps_per_call,
            jit_compile=False,
        )
        # Variables made while the training step is traced would have it traced a second time.
        model.optimizer.build(model.trainable_variables)
    return model


def build(shape: tuple[int, int, int], filters: list[int], dropout: float) -> keras.Model:
    """The network, not compiled.

    Args:
      shape: height, width and channels of an image.
      filters: of the convolutions; after each but the last the image is halved.
      dropout: share of the features that a training step leaves out.

    Returns:
      A model from `{"image_xf": [batch, *shape]}` to probabilities of shape [batch, 10].
    """
    image = keras.Input(shape, name=TRANSFORMED_IMAGE)
    layer = image
    for index, count in enumerate(filters):
        if index:
            layer = keras.layers.MaxPooling2D(padding="same")(layer)
        layer = keras.layers.Conv2D(count, 3, padding="same", use_bias=False)(layer)
        # Keras's momentum of 0.99 takes a thousand steps to forget the means of the random weights.
        layer = keras.layers.BatchNormalization(momentum=0.9)(layer)
        layer = keras.layers.ReLU()(layer)
    layer = keras.layers.Flatten()(layer)
    layer = keras.layers.Dropout(dropout)(layer)
    layer = keras.layers.Dense(64, activation="relu")(layer)
    layer = keras.layers.Dropout(dropout)(layer)
    probabilities = keras.layers.Dense(CLASSES, activation="softmax", dtype="float32")(layer)
    return keras.Model({TRANSFORMED_IMAGE: image}, probabilities, name="convolutional")
