"""Trains a U-Net, or a DeepLabV3+, to tell pet, background and border apart, pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import deeplab
import keras
import numpy as np
import tensorflow as tf
import tensorflow_transform as tft
import unet
from augmentation import augment
from preprocessing import CLASSES, IMAGE, TRANSFORMED_IMAGE, TRANSFORMED_MASK, pixels
from tfx_bsl.public import tfxio

from components.runtime import FnArgs, signatures, training

DEFAULTS: dict[str, Any] = training.OPTIONS | {
    "batch_size": 16,
    "learning_rate": 0.002,
    "epochs": 5,
    "network": "unet",
    "alpha": 0.35,
    "decoder_filters": [96, 64, 48, 32, 16],
    "dropout": 0.1,
    "batch_norm_momentum": 0.9,
    "smallest_cut": 0.6,
    "encoder_weights": "",
}
"""What custom_config and hyperparameters can change. An epoch here is the time between two evaluations."""

NETWORKS = {"unet": unet.build, "deeplab": deeplab.build}

WHOLE_SPLIT = -1


def run_fn(fn_args: FnArgs) -> None:
    """Trains the model and exports it with its preprocessing.

    Args:
      fn_args: as the train stage fills them in; `custom_config` and `hyperparameters` may hold the keys of `DEFAULTS`.

    Raises:
      InputError: one of them has an unknown key, or encoder_weights cannot be used.
      ValueError: one of them has a value that cannot be.
    """
    config = training.configuration(DEFAULTS, fn_args)
    check(config)
    transform_output = tft.TFTransformOutput(fn_args.transform_output)
    size = image_size(fn_args, transform_output)
    # From NumPy's generator, which the stage has given its seed.
    seed = int(np.random.randint(1 << 30))

    def batches(files: list[str], *, repeated: bool) -> tf.data.Dataset:
        options = tfxio.TensorFlowDatasetOptions(
            batch_size=config["batch_size"],
            shuffle=repeated,
            shuffle_buffer_size=1000,
            shuffle_seed=seed,
            num_epochs=None if repeated else 1,
        )
        encoded = fn_args.data_accessor.tf_dataset_factory(files, options, transform_output.transformed_metadata.schema)

        def pair(number: tf.Tensor, batch: dict[str, tf.Tensor]) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
            decoded = pixels(batch, size)
            images, masks = decoded[TRANSFORMED_IMAGE], decoded[TRANSFORMED_MASK]
            if repeated:
                images, masks = augment(
                    images, masks, tf.stack([seed, tf.cast(number, tf.int32)]), config["smallest_cut"]
                )
            return {TRANSFORMED_IMAGE: images}, masks

        return encoded.enumerate().map(pair, num_parallel_calls=2).prefetch(2)

    plan = training.plan(fn_args.train_steps, config["epochs"])
    schedule = keras.optimizers.schedules.CosineDecay(config["learning_rate"], fn_args.train_steps)
    with training.placed(config["mixed_precision"]):
        model = NETWORKS[config["network"]](
            (size, size),
            len(CLASSES),
            alpha=config["alpha"],
            decoder_filters=config["decoder_filters"],
            dropout=config["dropout"],
            momentum=config["batch_norm_momentum"],
            encoder_weights=config["encoder_weights"],
        )
        training.start_from(model, fn_args.base_model, transform_output)
        model.compile(
            optimizer=keras.optimizers.Adam(schedule),
            loss=keras.losses.SparseCategoricalCrossentropy(),
            metrics=[
                keras.metrics.SparseCategoricalAccuracy(name="pixel_accuracy"),
                keras.metrics.MeanIoU(len(CLASSES), sparse_y_pred=False, name="mean_iou"),
            ],
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
    signatures.export(
        model,
        transform_output,
        fn_args.serving_model_dir,
        labels=[name for name in transform_output.raw_feature_spec() if name != IMAGE],
        decode=lambda transformed: pixels(transformed, size),
        answer=answer,
    )


def answer(probabilities: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a client gets: of every pixel the class, and how sure the model is of it.

    Args:
      probabilities: [batch, size, size, classes].

    Returns:
      `mask`, uint8 numbers of `CLASSES`, and `confidence`, the float32 probability of that class; both of shape
      [batch, size, size].
    """
    return {
        "mask": tf.cast(tf.argmax(probabilities, axis=-1), tf.uint8),
        "confidence": tf.reduce_max(probabilities, axis=-1),
    }


def check(config: dict[str, Any]) -> None:
    """Holds a configuration to what can be.

    Raises:
      ValueError: a value that cannot be; says which can.
    """

    def number(value: Any, lowest: float, highest: float) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and lowest <= value <= highest

    def count(value: Any) -> bool:
        return isinstance(value, int) and number(value, 1, math.inf)

    filters, steps = config["decoder_filters"], unet.HALVINGS
    demands = {
        "batch_size": (count(config["batch_size"]), "a whole number, at least 1"),
        "epochs": (count(config["epochs"]), "a whole number, at least 1"),
        "learning_rate": (number(config["learning_rate"], 1e-9, 10), "a number above 0, such as 0.002"),
        "network": (config["network"] in NETWORKS, f"one of {', '.join(NETWORKS)}"),
        "alpha": (number(config["alpha"], 0.1, 2), "a number from 0.1 to 2; 1 is the published width"),
        "dropout": (number(config["dropout"], 0, 0.9), "a number from 0 to 0.9"),
        "batch_norm_momentum": (number(config["batch_norm_momentum"], 0, 0.9999), "a number from 0 to 0.9999"),
        "smallest_cut": (number(config["smallest_cut"], 0.1, 1), "a number from 0.1 to 1"),
        "decoder_filters": (
            isinstance(filters, list) and len(filters) == steps and all(map(count, filters)),
            f"a list of {steps} whole numbers, coarsest first",
        ),
        "encoder_weights": (isinstance(config["encoder_weights"], str), "a file, or imagenet, or nothing"),
    }
    for name, (holds, demand) in demands.items():
        if not holds:
            raise ValueError(f"custom_config: {name} is {config[name]!r}; give {demand}")


def image_size(fn_args: FnArgs, transform_output: tft.TFTransformOutput) -> int:
    """Pixels along a side of the transformed images: those of the first one.

    So the size is set in one place, the transformation's custom_config.
    """
    options = tfxio.TensorFlowDatasetOptions(batch_size=1, shuffle=False, num_epochs=1)
    schema = transform_output.transformed_metadata.schema
    first = next(iter(fn_args.data_accessor.tf_dataset_factory(fn_args.train_files, options, schema)))
    return int(tf.io.decode_png(first[TRANSFORMED_IMAGE][0]).shape[1])
