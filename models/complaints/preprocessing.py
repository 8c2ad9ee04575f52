"""Features of the complaints model, the same in training and in serving."""

from __future__ import annotations

from typing import Any, TypeAlias

import features
import tensorflow as tf
import tensorflow_transform as tft
from features import transformed

Feature: TypeAlias = tf.Tensor | tf.SparseTensor

_YES, _NO = ["yes", "1", "1.0", "true"], ["no", "0", "0.0", "false"]
_NEITHER = -1


def preprocessing_fn(inputs: dict[str, Feature], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Transforms raw complaints.

    Args:
      inputs: raw features by name: dense of shape [batch, 1], or sparse with at most one value per complaint.
      custom_config: may hold the keys of `features.DEFAULTS`.

    Returns:
      Features by their transformed names, each of shape [batch]: int64 for categorical features, the bucket of the zip
      code and the label, string for the narrative.

    Raises:
      ValueError: custom_config has an unknown key, feature or kind of label, or the label among the features.
    """
    config = features.configured(custom_config, features.DEFAULTS)
    label, chosen = config["label"], config["features"]
    if unknown := [name for name in chosen if name not in features.FEATURES]:
        raise ValueError(f"features has {unknown[0]!r}; choose from: {', '.join(features.FEATURES)}")
    if label in chosen:
        raise ValueError(f"the label {label!r} is among the features, which would give the answer away; take it out")
    outputs = {}
    for name in chosen:
        values = text(inputs[name])
        if name in features.CATEGORICAL:
            values = vocabulary_rank(values, name, features.OOV_BUCKETS)
        elif name == features.ZIP_CODE:
            values = tft.bucketize(zip_number(values), features.ZIP_BUCKETS, name=name)
        outputs[transformed(name)] = values
    answer = text(inputs[label])
    if config["label_is"] == features.CLASSES:
        # The one id beyond the vocabulary is for classes that training has not seen.
        outputs[features.LABEL] = vocabulary_rank(answer, features.LABEL_VOCABULARY, oov_buckets=1)
    elif config["label_is"] == features.YES_NO:
        outputs[features.LABEL] = yes_or_no(answer, label)
    else:
        raise ValueError(f"label_is is {config['label_is']!r}; write {features.YES_NO} or {features.CLASSES}")
    return outputs


def vocabulary_rank(values: tf.Tensor, name: str, oov_buckets: int) -> tf.Tensor:
    """Ranks in the vocabulary of this name, int64; strings outside it get one of the ids that follow."""
    return tft.compute_and_apply_vocabulary(
        values, top_k=features.VOCABULARY_SIZE, num_oov_buckets=oov_buckets, vocab_filename=name
    )


def zip_number(zip_code: tf.Tensor) -> tf.Tensor:
    """Zip codes as numbers; float32, exact, since they have five digits.

    Masked digits are zeros, 331XX is 33100. Codes that have lost their first zeros, as they do in spreadsheets, have
    the same number. Of a ZIP+4 the first five digits count. What is missing or has no digits is 0.
    """
    digits = tf.strings.regex_replace(tf.strings.upper(zip_code), "X", "0")
    digits = tf.strings.regex_replace(digits, r"^\s*([0-9]{1,5})([-.\s].*)?$", r"\1")
    valid = tf.strings.regex_full_match(digits, "[0-9]{1,5}")
    return tf.strings.to_number(tf.where(valid, digits, "00000"), tf.float32)


def yes_or_no(answer: tf.Tensor, label: str) -> tf.Tensor:
    """1 for Yes, 1 or true, 0 for No, 0 or false, in any case; int64, shape [batch].

    Fails on anything else, a missing answer too: taken for No it would be learned.
    """
    lower = tf.strings.lower(tf.strings.strip(answer))
    known = tf.where(_among(lower, _YES), 1, tf.where(_among(lower, _NO), 0, _NEITHER))
    message = f"the label {label} must be Yes or No, 1 or 0; leave_out_without of ingest leaves out rows without it"
    check = tf.debugging.assert_greater(known, _NEITHER, message)
    with tf.control_dependencies([check]):
        return tf.cast(known, tf.int64)


def _among(values: tf.Tensor, words: list[str]) -> tf.Tensor:
    return tf.reduce_any(tf.equal(values[:, tf.newaxis], tf.constant(words)), axis=1)


def text(values: Feature) -> tf.Tensor:
    """One string per complaint, shape [batch], empty where it is missing; numbers as they are written.

    The type in the data depends on the data: labels of 1 and 0 are numbers where nobody has said that they are text.
    """
    if isinstance(values, tf.SparseTensor):
        # A batch in which no complaint has the value is 0 columns wide.
        strings = values.values if values.dtype == tf.string else tf.strings.as_string(values.values, shortest=values.dtype.is_floating)
        column = tf.SparseTensor(values.indices, strings, [values.dense_shape[0], 1])
        return tf.squeeze(tf.sparse.to_dense(column, ""), axis=1)
    return tf.squeeze(values if values.dtype == tf.string else tf.strings.as_string(values, shortest=values.dtype.is_floating), axis=1)
