"""Features of the complaints model, the same in training and in serving."""

from __future__ import annotations

from typing import Any, TypeAlias

import features
import tensorflow as tf
import tensorflow_transform as tft
from features import transformed

Feature: TypeAlias = tf.Tensor | tf.SparseTensor

_YES, _NO = ["yes", "1", "1.0", "true"], ["no", "0", "0.0", "false"]


def preprocessing_fn(inputs: dict[str, Feature], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Transforms raw complaints.

    Args:
      inputs: raw features by name: dense of shape [batch, 1], or sparse with at most one value per complaint.
      custom_config: may hold the keys of `features.DEFAULTS`.

    Returns:
      Features by their transformed names, each of shape [batch]: int64 for categorical features, bucket and region of
      the zip code, weekday and label, string for the narrative.

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
            values = vocabulary_rank(values, name, features.OOV_BUCKETS, rare=features.RARE)
        elif name == features.ZIP_CODE:
            number = zip_number(values)
            region = tf.strings.as_string(tf.cast(number, tf.int64) // 100, width=3, fill="0")
            outputs[transformed(features.REGION)] = vocabulary_rank(
                region, features.REGION, features.OOV_BUCKETS, rare=features.RARE
            )
            values = tft.bucketize(number, features.ZIP_BUCKETS)
        elif name == features.DATE:
            values = weekday(values)
        outputs[transformed(name)] = values
    answer = text(inputs[label])
    if config["label_is"] == features.CLASSES:
        # The one id beyond the vocabulary is for classes that training has not seen.
        outputs[features.LABEL] = vocabulary_rank(answer, features.LABEL_VOCABULARY, oov_buckets=1, rare=1)
    elif config["label_is"] == features.YES_NO:
        outputs[features.LABEL] = yes_or_no(answer, label)
    else:
        raise ValueError(f"label_is is {config['label_is']!r}; write {features.YES_NO} or {features.CLASSES}")
    return outputs


def vocabulary_rank(values: tf.Tensor, name: str, oov_buckets: int, rare: int) -> tf.Tensor:
    """Ranks in the vocabulary of this name, int64; strings outside it get one of the ids that follow.

    Args:
      values: strings, shape [batch].
      name: of the vocabulary, for the model to find it by.
      oov_buckets: how many ids follow.
      rare: strings that fewer complaints have stay outside.
    """
    return tft.compute_and_apply_vocabulary(
        values,
        top_k=features.VOCABULARY_SIZE,
        frequency_threshold=rare,
        num_oov_buckets=oov_buckets,
        vocab_filename=name,
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


def weekday(date: tf.Tensor) -> tf.Tensor:
    """The day of the week of dates such as 2015-01-31, int64, from Monday, 0; the last of `features.WEEKDAYS` without.

    By Sakamoto's formula: in a year that begins with March a month shifts the weekday by a fixed number.
    """
    valid = tf.strings.regex_full_match(date, r"[0-9]{4}-(0[1-9]|1[0-2])-[0-3][0-9].*")
    known = tf.where(valid, date, "2000-01-01")
    year, month, day = (
        tf.strings.to_number(tf.strings.substr(known, start, length), tf.int64)
        for start, length in ((0, 4), (5, 2), (8, 2))
    )
    year -= tf.cast(month < 3, tf.int64)
    shift = tf.gather(tf.constant([0, 3, 2, 5, 0, 3, 5, 1, 4, 6, 2, 4], tf.int64), month - 1)
    from_sunday = (year + year // 4 - year // 100 + year // 400 + shift + day) % 7
    return tf.where(valid, (from_sunday + 6) % 7, tf.constant(features.WEEKDAYS - 1, tf.int64))


def yes_or_no(answer: tf.Tensor, label: str) -> tf.Tensor:
    """1 for Yes, 1 or true, 0 for No, 0 or false, in any case; int64, shape [batch].

    Fails on anything else, a missing answer too: taken for No it would be learned.
    """
    lower = tf.strings.lower(tf.strings.strip(answer))
    wrong = tf.strings.join([label, " '", answer, "' is neither Yes nor No, 1 nor 0"])
    number = tf.where(_among(lower, _YES), "1", tf.where(_among(lower, _NO), "0", wrong))
    # No assertion: that would run when the model serves, too, and labels are missing then. This runs where it is used.
    return tf.strings.to_number(number, tf.int64)


def _among(values: tf.Tensor, words: list[str]) -> tf.Tensor:
    return tf.reduce_any(tf.equal(values[:, tf.newaxis], tf.constant(words)), axis=1)


def text(values: Feature) -> tf.Tensor:
    """One string per complaint, shape [batch], empty where it is missing; numbers as they are written.

    The type in the data depends on the data: labels of 1 and 0 are numbers where nobody has said that they are text.
    """
    if isinstance(values, tf.SparseTensor):
        # A batch in which no complaint has the value is 0 columns wide.
        strings = (
            values.values
            if values.dtype == tf.string
            else tf.strings.as_string(values.values, shortest=values.dtype.is_floating)
        )
        column = tf.SparseTensor(values.indices, strings, [values.dense_shape[0], 1])
        return tf.squeeze(tf.sparse.to_dense(column, ""), axis=1)
    return tf.squeeze(
        values if values.dtype == tf.string else tf.strings.as_string(values, shortest=values.dtype.is_floating), axis=1
    )
