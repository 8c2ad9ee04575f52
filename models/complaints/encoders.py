"""Text encoders: from narratives of shape [batch] to vectors of shape [batch, n]."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from components.runtime import InputError, local_path, progress

TRAINED = "trained"

Encoder = Callable[[Any], Any]

_TEXTS_READ = 1000


def encoder(config: dict[str, Any], narratives: np.ndarray) -> Encoder:
    """The encoder that custom_config asks for.

    Args:
      config: `text_encoder` is "trained" or what `pretrained` takes; of the former `words` is the size of the
        vocabulary and `hidden_units` the length of the vectors.
      narratives: texts that words are learned from, [rows].
    """
    if config["text_encoder"] != TRAINED:
        return pretrained(config["text_encoder"])
    words = keras.layers.TextVectorization(config["words"], standardize=plain_words, output_mode="tf_idf")
    texts = tf.data.Dataset.from_tensor_slices(narratives).batch(_TEXTS_READ)
    if not any(tf.reduce_any(plain_words(some) != "") for some in texts):
        progress.report("no narratives in the split train: no words are learned")
        texts = tf.data.Dataset.from_tensors(tf.constant(["narrative"]))
    words.adapt(texts)

    def encode(texts: Any) -> Any:
        # Logarithms of the weights, so that neither a word met often nor a long text counts for more.
        weights = keras.layers.UnitNormalization()(keras.ops.log1p(words(texts)))
        return keras.layers.Dense(config["hidden_units"], use_bias=False)(weights)

    return encode


def plain_words(texts: tf.Tensor) -> tf.Tensor:
    """Lower-case ASCII letters and digits between single blanks, without the masks (XX) of names and dates."""
    texts = tf.strings.regex_replace(tf.strings.lower(texts), "[^a-z0-9]+", " ")
    return tf.strings.strip(tf.strings.regex_replace(texts, r"\bx{2,}\b", " "))


def pretrained(place: str) -> Encoder:
    """A sentence encoder, not trained further: texts of shape [batch] to vectors.

    Args:
      place: folder or URI of a SavedModel; or a handle of TensorFlow Hub, https://..., for which the package
        tensorflow_hub must be in the image of the train stage, and which that package downloads.

    Raises:
      InputError: it is not there, or not a model from texts to vectors.
    """
    loaded = _from_hub(place) if place.startswith(("https://", "http://")) else _from_folder(place)
    call = loaded if callable(loaded) else getattr(loaded, "signatures", {}).get("serving_default")
    if call is None:
        raise InputError(f"text_encoder {place}: the SavedModel can neither be called nor has it serving_default")
    layer = _Pretrained(loaded, call, name="sentence_encoder")
    try:
        shape = layer.encode(tf.constant(["a text", ""])).shape
    except (TypeError, ValueError, tf.errors.OpError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"text_encoder {place}: does not take texts of shape [batch]: {reason}") from None
    if len(shape) != 2 or shape[0] != 2:
        raise InputError(f"text_encoder {place}: answers shape {tuple(shape)} for 2 texts, expected [2, length]")
    layer.length = int(shape[1])
    return layer


class _Pretrained(keras.layers.Layer):
    """Calls a SavedModel, which is saved with the model."""

    def __init__(self, loaded: Any, function: Callable[..., Any], name: str) -> None:
        super().__init__(name=name, trainable=False)
        self.length = 0
        self._loaded = loaded
        self._function = function

    def encode(self, texts: tf.Tensor) -> tf.Tensor:
        """Texts [batch] to vectors [batch, length]."""
        structured: dict[str, Any] = getattr(self._function, "structured_input_signature", ((), {}))[1]
        answer = self._function(**{next(iter(structured)): texts}) if structured else self._function(texts)
        if isinstance(answer, dict):
            answer = answer.get("default", answer.get("outputs", next(iter(answer.values()))))
        return tf.cast(answer, tf.float32)

    def call(self, texts: Any) -> Any:
        """As `encode`, without gradients."""
        return tf.stop_gradient(self.encode(texts))

    def compute_output_spec(self, texts: Any) -> keras.KerasTensor:
        """Spares Keras a call with symbols, which a SavedModel does not take."""
        return keras.KerasTensor((texts.shape[0], self.length), "float32")


def _from_folder(place: str) -> Any:
    folder = Path(local_path(place))
    if not (folder / "saved_model.pb").is_file():
        raise InputError(
            f"text_encoder {place}: no saved_model.pb in {folder}; name the folder of a SavedModel, a https:// handle, "
            f"or {TRAINED}"
        )
    return tf.saved_model.load(str(folder))


def _from_hub(handle: str) -> Any:
    try:
        import tensorflow_hub as hub
    except ImportError:
        raise InputError(
            f"text_encoder {handle}: needs the package tensorflow_hub, which is not installed; download the model and "
            f"name its folder instead, or write {TRAINED}"
        ) from None
    try:
        return hub.load(handle)
    except Exception as error:
        raise InputError(f"text_encoder {handle}: cannot be loaded: {str(error).strip().splitlines()[0]}") from error
