"""What the training of our models shares: configuration, data, steps, devices, precision, early stopping, warm start.

A module file may use it, and need not.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime.errors import InputError, did_you_mean
from components.runtime.module_file import hyperparameters, workers
from components.runtime.module_file.fn_args import FnArgs
from components.runtime.stage import progress
from components.runtime.stage.artifacts import file_digest

if TYPE_CHECKING:
    import keras
    import numpy as np
    import tensorflow as tf
    import tensorflow_transform as tft

OPTIONS: dict[str, Any] = {"early_stopping": 0, "mixed_precision": "auto"}
"""Keys of custom_config that these functions take, with their defaults.

`early_stopping`: evaluations without a better loss after which training ends; 0 for never. `mixed_precision`: true,
false, or `auto`: where there is a GPU that is faster with it.
"""

_STEPS_PER_CALL = 20
_WHOLE_SPLIT = -1
_ROWS_READ = 1000
_HEAVIEST = 10
_TENSOR_CORES = (7, 0)
"""The compute capability from which on a GPU is faster with 16-bit floats."""


def configuration(defaults: Mapping[str, Any], fn_args: FnArgs) -> dict[str, Any]:
    """The defaults of a module, over them `fn_args.custom_config`, over that `fn_args.hyperparameters`.

    Raises:
      InputError: a key that the defaults do not have; names the file that has it.
    """
    custom, chosen = fn_args.custom_config or {}, hyperparameters.values(fn_args.hyperparameters)
    source = getattr(fn_args.hyperparameters, "source", "hyperparameters")
    for where, given in (("custom_config in the settings", custom), (source, chosen)):
        if unknown := sorted(given.keys() - defaults.keys()):
            near = did_you_mean(unknown[0], defaults)
            raise InputError(f"{where}: unknown key {unknown[0]!r}{near}; known are: {', '.join(defaults)}")
    return {**defaults, **custom, **chosen}


@dataclass(frozen=True)
class Plan:
    """How the steps of a training fall into epochs and calls.

    Attributes:
      epochs: times of evaluation.
      steps_per_epoch: steps between two of them.
      steps_per_call: steps that run between two returns to Python.
    """

    epochs: int
    steps_per_epoch: int
    steps_per_call: int


def plan(steps: int, epochs: int) -> Plan:
    """Chooses epochs, at most so many, and calls so that the steps add up exactly: Keras makes whole ones only."""
    chosen = max(count for count in range(1, epochs + 1) if steps % count == 0)
    # On several devices TensorFlow 2.21 fails in a loop of steps ("must feed a value for placeholder").
    most = 1 if workers.count() > 1 or _devices() else _STEPS_PER_CALL
    return Plan(chosen, steps // chosen, math.gcd(most, steps // chosen))


def fit_arguments(
    fn_args: FnArgs,
    transform_output: tft.TFTransformOutput,
    label: str,
    *,
    batch_size: int,
    epochs: int,
    shuffle_buffer: int = 10_000,
) -> dict[str, Any]:
    """Data and steps, as arguments of `fit`: the split train shuffled and repeated, the split eval as validation.

    Args:
      fn_args: tells the files and how many steps of them.
      transform_output: tells which features they have.
      label: the transformed feature that is to be learned.
      batch_size: rows of a step; of several workers those of each.
      epochs: as in `plan`.
      shuffle_buffer: rows among which the next one is drawn.
    """

    def batches(files: list[str], *, repeated: bool) -> tf.data.Dataset:
        from tfx_bsl.public import tfxio

        options = tfxio.TensorFlowDatasetOptions(
            batch_size=batch_size * workers.count(),
            shuffle=repeated,
            shuffle_buffer_size=shuffle_buffer,
            num_epochs=None if repeated else 1,
            label_key=label,
        )
        found = fn_args.data_accessor.tf_dataset_factory(files, options, transform_output.transformed_metadata.schema)
        return _shared_out(found)

    # Keras says it of every end of a split whose size it does not know; the other one has none.
    warnings.filterwarnings("ignore", "Your input ran out of data", UserWarning)
    steps = plan(fn_args.train_steps, epochs)
    return {
        "x": batches(fn_args.train_files, repeated=True),
        "shuffle": False,  # The batches are shuffled already.
        "epochs": steps.epochs,
        "steps_per_epoch": steps.steps_per_epoch,
        "validation_data": batches(fn_args.eval_files, repeated=False).take(fn_args.eval_steps or _WHOLE_SPLIT),
    }


def _shared_out(batches: tf.data.Dataset) -> tf.data.Dataset:
    """Has each worker take its part of every batch, so that the steps are those of one process with the whole batch.

    TensorFlow would share out the files, where there are enough: then rows would meet in other batches.
    """
    import tensorflow as tf

    if workers.count() == 1:
        return batches
    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return batches.with_options(options)


def train_values(
    fn_args: FnArgs, transform_output: tft.TFTransformOutput, feature: str | Sequence[str], *, rows: int = 100_000
) -> np.ndarray:
    """A transformed feature, such as the label, of the first rows of the split train: shape [rows, ...].

    Of several features the columns beside each other, in their order: shape [rows, columns].
    """
    import numpy as np
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx_bsl.public import tfxio

    options = tfxio.TensorFlowDatasetOptions(batch_size=_ROWS_READ, num_epochs=1, shuffle=False)
    schema = transform_output.transformed_metadata.schema
    names = [feature] if isinstance(feature, str) else list(feature)
    # Nothing but these is read.
    alone = schema_pb2.Schema(feature=[each for each in schema.feature if each.name in names])
    batches = fn_args.data_accessor.tf_dataset_factory(fn_args.train_files, options, alone)
    read = [{name: batch[name].numpy() for name in names} for batch in batches.take(math.ceil(rows / _ROWS_READ))]
    if isinstance(feature, str):
        return np.concatenate([batch[feature] for batch in read])[:rows]
    rows_read = [np.column_stack([batch[name] for name in names]) for batch in read]
    return np.concatenate(rows_read)[:rows]


def class_weights(labels: np.ndarray, classes: int) -> list[float]:
    """Of each class the weight that makes all classes count alike, with mean 1 over the rows.

    At most `_HEAVIEST` times that of the most frequent class: a single row does not decide a training. So does what
    has no row.

    Args:
      labels: numbers of classes, shape [rows].
      classes: how many there are.
    """
    import numpy as np

    counts = np.bincount(labels, minlength=classes)
    weights = np.minimum(counts.max() / np.maximum(counts, 1), _HEAVIEST)
    found: list[float] = (weights * len(labels) / (weights * counts).sum()).tolist()
    return found


@contextlib.contextmanager
def placed(mixed_precision: bool | str = "auto") -> Iterator[None]:
    """Has a model that is built and compiled inside run on all GPUs and all workers, in the precision asked for.

    Layers whose output must not lose precision, such as the last, have to be made with `dtype="float32"`.

    Args:
      mixed_precision: as in `OPTIONS`.

    Raises:
      ValueError: mixed_precision is something else.
    """
    import keras

    with contextlib.ExitStack() as stack:
        if _is_mixed(mixed_precision):
            stack.callback(keras.config.set_dtype_policy, keras.config.dtype_policy())
            keras.config.set_dtype_policy("mixed_float16")
            progress.report("training in mixed precision")
        if workers.count() > 1:
            stack.enter_context(workers.strategy().scope())
        elif devices := _devices():
            import tensorflow as tf

            stack.enter_context(tf.distribute.MirroredStrategy(devices).scope())
            progress.report(f"training on {len(devices)} devices: {', '.join(devices)}")
        yield


def _devices() -> list[str]:
    """Devices to train on together: several GPUs, or without one several logical CPUs, as tests make them."""
    import tensorflow as tf

    found = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return [device.name for device in found] if len(found) > 1 else []


def _is_mixed(asked: bool | str) -> bool:
    import tensorflow as tf

    if isinstance(asked, bool):
        return asked
    if asked != "auto":
        raise ValueError(f"mixed_precision is {asked!r}; set it to auto, true or false")
    gpus = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
    return bool(gpus) and all(each.get("compute_capability", (0, 0)) >= _TENSOR_CORES for each in details)


def callbacks(early_stopping: int) -> list[keras.callbacks.Callback]:
    """Callbacks for `fit`.

    Args:
      early_stopping: as in `OPTIONS`; the weights of the evaluation with the lowest loss are kept, whether training
        ends early or not.
    """
    import keras

    if not early_stopping:
        return []
    return [keras.callbacks.EarlyStopping(monitor="val_loss", patience=early_stopping, restore_best_weights=True)]


def start_from(model: keras.Model, base_model: str | None, transform_output: tft.TFTransformOutput) -> bool:
    """Gives a model, not yet compiled, the weights of one that `signatures.export` wrote, where they fit.

    Where they do not, the model stays as it is; both is told.

    Args:
      model: as it was built.
      base_model: folder of a SavedModel, `fn_args.base_model`; None for no start.
      transform_output: the preprocessing of the new model: where its vocabularies are others than those of the base,
        ids have moved, which is told too.

    Returns:
      Whether the weights were taken.
    """
    import tensorflow as tf

    if base_model is None:
        return False
    before = model.get_weights()
    try:
        status = tf.train.Checkpoint(model=model).read(str(Path(base_model) / "variables" / "variables"))
        status.assert_existing_objects_matched().expect_partial()
    except (AssertionError, ValueError, tf.errors.NotFoundError) as error:
        model.set_weights(before)
        first = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        progress.report(f"training from scratch: the weights of the base model do not fit: {first}")
        return False
    moved = _other_vocabularies(Path(base_model) / "assets", transform_output)
    note = f"; other vocabularies than there: {', '.join(moved)}" if moved else ""
    progress.report(f"training on from the base model{note}")
    return True


def _other_vocabularies(assets: Path, transform_output: tft.TFTransformOutput) -> list[str]:
    ours = Path(transform_output.transform_savedmodel_dir) / "assets"
    names = sorted({file.name for folder in (assets, ours) if folder.is_dir() for file in folder.iterdir()})
    return [name for name in names if _digest(assets / name) != _digest(ours / name)]


def _digest(file: Path) -> str:
    return file_digest(file) if file.is_file() else ""
