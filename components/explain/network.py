"""The network of a model, on the transformed features: what integrated gradients follow."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.runtime.explaining.gradients import Integrated, integrated_gradients
from components.runtime.explaining.rows import Array, Rows, count, in_batches, take
from components.runtime.module_file import signatures
from components.runtime.module_file.predictions import ExportedModel
from components.runtime.stage import progress

_IMAGE_RANK = 3
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Gradients:
    """Integrated gradients of some rows.

    Attributes:
      rows: places of the rows.
      values: of each row by feature.
      given: what the network was given, by feature.
      missed: by how much the values of a row do not add up, at most.
      held: features without a gradient, which stay as they are.
    """

    rows: Sequence[int]
    values: Sequence[Mapping[str, Array]]
    given: Rows
    missed: float
    held: Sequence[str]


class Network:
    """What an exported model is behind its preprocessing."""

    def __init__(self, function: Any, features: Mapping[str, Any]) -> None:
        """Takes what `of` found."""
        self._function = function
        self._features = features

    @classmethod
    def of(cls, exported: ExportedModel, records: Sequence[bytes]) -> tuple[Network | None, str]:
        """The network of a model, or why it has none, in one line."""
        import tensorflow as tf

        function, transform = exported.network, exported.signature(signatures.TRANSFORM_FEATURES)
        if function is None or transform is None:
            return None, "the model was saved without its network beside the signatures, as signatures.export does it"
        [argument] = transform.structured_input_signature[1]
        try:
            transformed = transform(**{argument: tf.constant(records, tf.string)})
        except tf.errors.InvalidArgumentError as error:
            return None, f"the preprocessing refuses these examples: {str(error.message).splitlines()[0][:200]}"
        taken = function.concrete_functions[0].structured_input_signature[0][0]
        return cls(function, {name: transformed[name].numpy() for name in sorted(taken)}), ""

    @property
    def features(self) -> Rows:
        """What the network is given for the records."""
        return self._features

    def answer(self, rows: Rows) -> Array:
        """What it returns, shape [rows, answers]."""
        import tensorflow as tf

        found = self._function({name: tf.constant(values) for name, values in rows.items()}).numpy()
        return np.asarray(found, np.float64).reshape(count(rows), -1)

    def gradient(self, rows: Rows, target: int) -> dict[str, Array]:
        """Of one of the answers by each feature of numbers with fractions."""
        import tensorflow as tf

        given = {name: tf.constant(values) for name, values in rows.items()}
        numbers = {name: tensor for name, tensor in given.items() if tensor.dtype.is_floating}
        with tf.GradientTape() as tape:
            tape.watch(numbers)
            answers = tf.reshape(self._function(given), [count(rows), -1])[:, target]
        found = tape.gradient(answers, numbers, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return {name: tensor.numpy() for name, tensor in found.items()}

    @property
    def takes_images(self) -> bool:
        """Whether one of the features that have a gradient is an image."""
        return any(values.dtype.kind == "f" and is_image(values) for values in self._features.values())

    def integrated(
        self, rows: Sequence[int], background: Sequence[int], steps: int, over: Callable[[], bool]
    ) -> tuple[Gradients | None, str]:
        """Integrated gradients of some of the records, or why there are none, in one line.

        Args:
          rows: places of the records.
          background: places of those whose mean is where the line begins; of an image it is the darkest value.
          steps: of the line.
          over: whether to go by the rows so far.
        """
        given = self._features
        numbers = [name for name, values in given.items() if values.dtype.kind == "f"]
        if not numbers:
            return None, "all that the network takes are whole numbers or texts, which have no gradient"
        answers = in_batches(self.answer, take(given, list(rows)))
        if answers.shape[1] > _MOST_CLASSES:
            return None, f"the network answers {answers.shape[1]:,} numbers to a row"
        baseline = {name: _start(given[name][list(background)]) for name in numbers}
        targets = answers.argmax(1)
        found: list[Integrated] = []
        with progress.counting(len(rows), "rows", "integrated gradients"):
            for row, target in zip(rows, targets, strict=True):
                if found and over():
                    break
                one = take(given, [row])
                found.append(integrated_gradients(self.gradient, self.answer, one, baseline, int(target), steps))
                progress.advance()
        done = list(rows)[: len(found)]
        held = sorted(set(given) - set(numbers))
        missed = max((abs(each.missed) for each in found), default=0.0)
        return Gradients(done, [each.values for each in found], take(given, done), missed, held), ""


def is_image(values: Array) -> bool:
    """Whether a feature has the shape of images: [rows, height, width] or [rows, height, width, colours]."""
    return values.ndim in (_IMAGE_RANK, _IMAGE_RANK + 1) and (values.ndim == _IMAGE_RANK or values.shape[-1] in (1, 3))


def _start(values: Array) -> Array:
    if is_image(values):
        return np.full_like(values[:1], values.min())
    return values.mean(0, keepdims=True).astype(values.dtype)
