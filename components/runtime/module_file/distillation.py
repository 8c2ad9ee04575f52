"""Distillation: a network that learns what a larger one answers, besides the labels.

After [Hinton et al. 2015](https://arxiv.org/abs/1503.02531): the teacher's answers at a temperature are a second
target, `alpha * T² * H(teacher at T, student at T) + (1 - alpha) * loss(labels)`, with H the cross-entropy.
Of numbers, which have no temperature, it is their squared difference.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from components.runtime.errors import InputError, did_you_mean
from components.runtime.module_file import signatures
from components.runtime.module_file.fn_args import FnArgs
from components.runtime.stage import progress

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

KEY = "distil"
"""In the custom_config of the stage train, which takes it out before `run_fn` sees the rest."""

DEFAULTS = {"temperature": 2.0, "alpha": 0.5, "warm_start": False}

IN_SERVICE = "the model in service"
"""In `fn_args.taught_by`, where it teaches."""

Answers = Literal["probability", "classes", "numbers"]
_SMALLEST = 1e-7


def options(given: Any) -> dict[str, Any]:
    """What is asked for, with what holds where nothing is said.

    Raises:
      InputError: a key that there is not, or a number out of range.
    """
    said = given if isinstance(given, Mapping) else {}
    if unknown := sorted(set(said) - DEFAULTS.keys()):
        near = did_you_mean(str(unknown[0]), DEFAULTS)
        raise InputError(f"train.distil: no option {unknown[0]!r}{near}; there are temperature, alpha")
    chosen: dict[str, Any] = {**DEFAULTS, **said}
    if not (_is_number(chosen["temperature"]) and 0 < chosen["temperature"] < float("inf")):
        raise InputError(f"train.distil.temperature: expected a number above 0, not {chosen['temperature']!r}")
    if not (_is_number(chosen["alpha"]) and 0 <= chosen["alpha"] <= 1):
        raise InputError(f"train.distil.alpha: expected a share from 0 to 1, not {chosen['alpha']!r}")
    return chosen


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def taught(model: keras.Model, fn_args: FnArgs, *, answers: Answers) -> keras.Model:
    """The same network, with the same weights, that learns from the teacher as well; the model itself where none is.

    Call it before `compile`; what is compiled then is the loss by the labels.

    Args:
      model: a functional model from a dict of transformed features to what `answers` says.
      fn_args: as the train stage fills them in.
      answers: `probability` of a sigmoid, shape [B] or [B, 1]; `classes` of a softmax, probabilities in the last
        dimension; `numbers` of a regression.
    """
    import keras
    import tensorflow as tf

    if fn_args.distil is None:
        return model
    fn_args.taught_by = "nobody: no model was in service"
    if fn_args.teacher_model is None:
        progress.report("no teacher yet: nothing is in service; training by the labels alone")
        return model
    loaded = tf.saved_model.load(fn_args.teacher_model)
    if lack := _lack(loaded, model):
        fn_args.taught_by = f"nobody: {lack}"
        progress.report(f"training by the labels alone: {lack}")
        return model
    temperature, alpha = float(fn_args.distil["temperature"]), float(fn_args.distil["alpha"])

    class Taught(keras.Model):
        def compute_loss(
            self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
        ) -> tf.Tensor:
            by_labels = super().compute_loss(x, y, y_pred, sample_weight, training)
            if not training:
                return by_labels
            asked = {
                name: tf.cast(x[name], spec.dtype) for name, spec in signatures.network_features(loaded.network).items()
            }
            soft = _soft_loss(loaded.network(asked), y_pred, answers, temperature)
            return alpha * soft + (1 - alpha) * by_labels

    fn_args.taught_by = IN_SERVICE
    progress.report(f"learning from the model in service: temperature {temperature:g}, alpha {alpha:g}")
    return Taught(model.input, model.output, name=model.name)


def _lack(loaded: Any, model: keras.Model) -> str:
    """Why a model cannot teach; empty where it can."""
    if not hasattr(loaded, signatures.NETWORK):
        return (
            f"the model in service has no function {signatures.NETWORK!r} of its transformed features; it was pushed "
            "before there was one, or not made by signatures.export"
        )
    taken = model.input if isinstance(model.input, Mapping) else {tensor.name: tensor for tensor in model.inputs}
    missing = sorted(signatures.network_features(loaded.network).keys() - taken.keys())
    return f"the model in service takes a feature {missing[0]!r}, which this one does not have" if missing else ""


def _soft_loss(teacher: tf.Tensor, student: tf.Tensor, answers: Answers, temperature: float) -> tf.Tensor:
    """How far the student is from the teacher, on average over the batch.

    Probabilities stand for their logits: at a temperature they are their own powers, made to add up to 1 again.
    """
    import tensorflow as tf

    teacher, student = tf.cast(teacher, tf.float32), tf.cast(student, tf.float32)
    teacher = tf.reshape(teacher, tf.shape(student))
    if answers == "numbers":
        return tf.reduce_mean(tf.square(teacher - student))
    if answers == "probability":
        teacher, student = (tf.stack([each, 1 - each], axis=-1) for each in (teacher, student))

    def softened(values: tf.Tensor) -> tf.Tensor:
        return tf.nn.log_softmax(tf.math.log(tf.clip_by_value(values, _SMALLEST, 1.0)) / temperature)

    cross = -tf.reduce_sum(tf.exp(softened(teacher)) * softened(student), axis=-1)
    return tf.reduce_mean(cross) * temperature**2
