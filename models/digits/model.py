"""A small convolutional network over grey images of any size."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf
import tensorflow_transform as tft
from preprocessing import LABEL, TRANSFORMED_IMAGE, TRANSFORMED_LABEL
from tfx_bsl.public import tfxio

from components.runtime import FnArgs, signatures, training

CLASSES = 10

DEFAULTS: dict[str, Any] = training.OPTIONS | {
    "batch_size": 64,
    "learning_rate": 0.003,
    "epochs": 5,
    "filters": [32, 64],
}
"""What custom_config and hyperparameters can change. An epoch here is the time between two evaluations."""

WHOLE_SPLIT = -1


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it with its preprocessing.

    Args:
      fn_args: as the train stage fills them in; `custom_config` and `hyperparameters` may hold the keys of `DEFAULTS`.

    Raises:
      InputError: one of them has an unknown key.
    """
    config = training.configuration(DEFAULTS, fn_args)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)

    def batches(files: list[str], *, repeated: bool) -> tf.data.Dataset:
        options = tfxio.TensorFlowDatasetOptions(
            batch_size=config["batch_size"],
            shuffle=repeated,
            shuffle_buffer_size=2000,
            num_epochs=None if repeated else 1,
            label_key=TRANSFORMED_LABEL,
        )
        return fn_args.data_accessor.tf_dataset_factory(files, options, transform_output.transformed_metadata.schema)

    plan = training.plan(fn_args.train_steps, config["epochs"])
    schedule = keras.optimizers.schedules.CosineDecay(config["learning_rate"], fn_args.train_steps)
    with training.placed(config["mixed_precision"]):
        model = build(transform_output.transformed_feature_spec()[TRANSFORMED_IMAGE].shape, config["filters"])
        training.start_from(model, fn_args.base_model, transform_output)
        model.compile(
            optimizer=keras.optimizers.Adam(schedule),
            loss=keras.losses.SparseCategoricalCrossentropy(),
            metrics=[keras.metrics.SparseCategoricalAccuracy(name="accuracy")],
            steps_per_execution=plan.steps_per_call,
            jit_compile=False,
        )
        # Variables made while the training step is traced would have it traced a second time.
        model.optimizer.build(model.trainable_variables)
    model.fit(
        batches(fn_args.train_files, repeated=True),
        shuffle=False,  # The batches are shuffled already.
        epochs=plan.epochs,
        steps_per_epoch=plan.steps_per_epoch,
        validation_data=batches(fn_args.eval_files, repeated=False).take(fn_args.eval_steps or WHOLE_SPLIT),
        callbacks=training.callbacks(config["early_stopping"]),
    )
    signatures.export(model, transform_output, fn_args.serving_model_dir, labels=[LABEL])


def build(shape: tuple[int, int, int], filters: list[int]) -> keras.Model:
    """The network, not compiled.

    Args:
      shape: height, width and channels of an image.
      filters: filters of the convolutions; after each but the last the image is halved.

    Returns:
      A model from `{"image_xf": [batch, *shape]}` to probabilities of shape [batch, 10].
    """
    image = keras.Input(shape, name=TRANSFORMED_IMAGE)
    layer = keras.layers.GaussianNoise(0.1)(image)
    for index, count in enumerate(filters):
        if index:
            layer = keras.layers.MaxPooling2D(padding="same")(layer)
        layer = keras.layers.Conv2D(count, 3, padding="same", activation="relu")(layer)
    layer = keras.layers.Flatten()(layer)
    layer = keras.layers.Dropout(0.5)(layer)
    layer = keras.layers.Dense(64, activation="relu")(layer)
    layer = keras.layers.Dropout(0.3)(layer)
    probabilities = keras.layers.Dense(CLASSES, activation="softmax", dtype="float32")(layer)
    return keras.Model({TRANSFORMED_IMAGE: image}, probabilities, name="digits")
