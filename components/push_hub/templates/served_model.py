"""Downloads a SavedModel from the Hub and asks its signature `serving_default`."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# Before the import of huggingface_hub, which else tells with each request what runs it.
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"

import numpy as np
import tensorflow as tf
from huggingface_hub import snapshot_download
from PIL import Image

SIGNATURE = "serving_default"
OUTPUTS = "outputs"
MISSING_INTEGER = -(2**63)

COLORS = ("#2563eb", "#ea580c", "#059669", "#7c3aed", "#dc2626", "#0891b2")


class ServedModel:
    """A model of the Hub at one commit."""

    def __init__(self, repo_id: str, commit: str, classes: Sequence[str] = ()) -> None:
        """Downloads the model, unless it was downloaded before, and loads it."""
        self._loaded = tf.saved_model.load(snapshot_download(repo_id, revision=commit))
        self._ask = self._loaded.signatures[SIGNATURE]
        arguments = self._ask.structured_input_signature[1].items()
        # An argument is a name of Python, which that of a column need not be.
        self._arguments = {spec.name or argument: argument for argument, spec in arguments}
        self.inputs: dict[str, Any] = dict(sorted((spec.name or argument, spec) for argument, spec in arguments))
        self.classes = tuple(classes)

    def kind(self, name: str) -> str:
        """What an input takes: `text`, `integer` or `number`, or `several` of these, parted by commas."""
        spec = self.inputs[name]
        if spec.shape.rank != 1:
            return "several"
        return "text" if spec.dtype == tf.string else "integer" if spec.dtype.is_integer else "number"

    def row(self, values: Mapping[str, Any]) -> np.ndarray:
        """The answer for one example; what is None or empty is missing.

        Raises:
          ValueError: a value that the input does not take, with the name of the input.
        """
        tensors = {name: _tensor(name, spec, values.get(name)) for name, spec in self.inputs.items()}
        return self._answer(tensors)

    def image(self, file: str) -> np.ndarray:
        """The answer for an encoded image, which may be sent as it is or, where the model wants that, in base64.

        Raises:
          ValueError: the model cannot read it.
        """
        (name,) = self.inputs
        content = Path(file).read_bytes()
        try:
            return self._answer({name: tf.constant([content])})
        except tf.errors.InvalidArgumentError:
            try:
                return self._answer({name: tf.io.encode_base64(tf.constant([content]), pad=True)})
            except tf.errors.InvalidArgumentError as error:
                raise ValueError(f"The model cannot read this image: {error.message.splitlines()[0]}") from None

    def _answer(self, tensors: Mapping[str, Any]) -> np.ndarray:
        answers = self._ask(**{self._arguments[name]: tensor for name, tensor in tensors.items()})
        answer: np.ndarray = answers[OUTPUTS if OUTPUTS in answers else min(answers)].numpy()[0]
        return answer

    def scores(self, answer: np.ndarray) -> dict[str, float]:
        """An answer of one number or of one per class, by name."""
        values = [float(value) for value in np.ravel(answer)]
        names = self.classes if len(self.classes) == len(values) else [f"class {each}" for each in range(len(values))]
        if len(values) == 1:
            # A score for one of two classes, the second; or a number of its own.
            if len(self.classes) == 2 and 0 <= values[0] <= 1:
                return {self.classes[0]: 1 - values[0], self.classes[1]: values[0]}
            names = [OUTPUTS] if len(self.classes) != 1 else self.classes
        return dict(zip(names, values, strict=True))

    def masks(self, answer: np.ndarray, file: str) -> dict[str, np.ndarray]:
        """An answer with a class, or one score per class, for each pixel.

        Returns:
          For each class the pixels of the image that are of it, as Booleans of shape [height, width].
        """
        labels = answer
        if answer.ndim == 3 and answer.shape[-1] > 1:
            labels = answer.argmax(axis=-1)
        elif np.issubdtype(answer.dtype, np.floating):
            labels = answer > 0.5
        labels = labels.reshape(answer.shape[:2]).astype(np.uint8)
        with Image.open(file) as image:
            labels = np.asarray(Image.fromarray(labels).resize(image.size, Image.Resampling.NEAREST))
        count = max(int(labels.max()) + 1, len(self.classes))
        names = self.classes if len(self.classes) >= count else [f"class {each}" for each in range(count)]
        return {name: labels == number for number, name in enumerate(names)}


def shares(masks: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Which part of the image is of each class."""
    return {name: float(mask.mean()) for name, mask in masks.items()}


def colors(names: Sequence[str]) -> dict[str, str]:
    """A colour for each class."""
    return {name: COLORS[number % len(COLORS)] for number, name in enumerate(names)}


def painted(file: str, masks: Mapping[str, np.ndarray]) -> Image.Image:
    """The image with its classes in colours."""
    image = Image.open(file).convert("RGB")
    paint = Image.new("RGB", image.size)
    for name, color in colors(list(masks)).items():
        paint.paste(color, mask=Image.fromarray(masks[name]))
    return Image.blend(image, paint, 0.5)


def _tensor(name: str, spec: Any, value: Any) -> tf.Tensor:
    """One example's value as the signature takes it; the first dimension is that of examples."""
    shape = [1 if size is None else size for size in spec.shape[1:]]
    if spec.shape.rank == 1:
        return tf.constant([_plain(name, spec.dtype, value)], spec.dtype)
    words = [word.strip() for word in str(value or "").split(",") if word.strip()]
    values = [_plain(name, spec.dtype, word) for word in words]
    if None in spec.shape[1:]:
        return tf.constant([values], spec.dtype, [1, len(values)])
    if len(values) != math.prod(shape):
        raise ValueError(f"{name} takes {math.prod(shape)} values, parted by commas, not {len(values)}")
    return tf.reshape(tf.constant(values, spec.dtype), [1, *shape])


def _plain(name: str, dtype: Any, value: Any) -> Any:
    if dtype == tf.string:
        return "" if value is None else str(value)
    if value is None or not str(value).strip():
        return dtype.min if dtype.is_integer else math.nan
    try:
        return int(value) if dtype.is_integer else float(value)
    except ValueError:
        raise ValueError(f"{name} takes a {'whole ' if dtype.is_integer else ''}number, not {value!r}") from None
