"""Features of complaints, the same in training and in serving."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_transform as tft

from components.runtime import InputError, columns

LABEL = "label_xf"
"""Whichever column it is made from: one evaluation fits every label."""

CLASSES = "label"
"""Vocabulary of the classes; there is none where the label is an answer, yes or no."""

NARRATIVE = "consumer_complaint_narrative"

FREQUENT = 20
"""Rows that a category must have to be one of its own."""

MOST = 1000
"""Values of a category; rarer ones share the number behind the last."""

ZIP_BUCKETS = 10

FEATURES = {
    "product": lambda values: {"product_xf": category(values, "product")},
    "sub_product": lambda values: {"sub_product_xf": category(values, "sub_product")},
    "company_response": lambda values: {"company_response_xf": category(values, "company_response")},
    "state": lambda values: {"state_xf": category(values, "state")},
    "issue": lambda values: {"issue_xf": category(values, "issue")},
    "timely_response": lambda values: {"timely_response_xf": category(values, "timely_response")},
    "submitted_via": lambda values: {"submitted_via_xf": category(values, "submitted_via")},
    # A bucket holds several states: the first three digits are a category besides.
    "zip_code": lambda values: {
        "zip_code_xf": tft.bucketize(zip_number(values), ZIP_BUCKETS),
        "zip_region_xf": category(zip_region(values), "zip_region"),
    },
    "date_received": lambda values: {"date_received_week_xf": columns.cyclic(columns.days(values), period=7)},
    # How it is read belongs to the network.
    NARRATIVE: lambda values: {f"{NARRATIVE}_xf": columns.text(values)},
}
"""What becomes of each column."""

DEFAULTS: dict[str, Any] = {"label": "label_disputed", "label_is": "yes_no", "features": [*FEATURES]}
"""What custom_config can change. A label is an answer, `yes_no`, or the name of one of many `classes`."""

_YES, _NO = ["yes", "1", "1.0", "true"], ["no", "0", "0.0", "false"]


def preprocessing_fn(inputs: dict[str, columns.Values], custom_config: dict[str, Any]) -> dict[str, tf.Tensor]:
    """Transforms raw complaints.

    Args:
      inputs: the columns that schema.pbtxt has, by name; `columns` makes them dense.
      custom_config: may hold the keys of `DEFAULTS`.

    Returns:
      Features by their names with `_xf`, of shape [batch], [batch, 2] where they are cyclic: int64 for categories and
      buckets, string for the narrative, which the network reads. And the label, 1 for yes, or the number of its class.

    Raises:
      InputError: custom_config has an unknown key, feature or kind of label, or the label among the features.
    """
    if unknown := sorted(custom_config.keys() - DEFAULTS.keys()):
        raise InputError(f"custom_config has an unknown key {unknown[0]!r}; known are: {', '.join(DEFAULTS)}")
    config = DEFAULTS | custom_config
    label, chosen = config["label"], config["features"]
    if unknown := [name for name in chosen if name not in FEATURES]:
        raise InputError(f"features has {unknown[0]!r}; choose from: {', '.join(FEATURES)}")
    if label in chosen:
        raise InputError(f"the label {label!r} is among the features, which would give the answer away; take it out")
    if config["label_is"] not in ("yes_no", "classes"):
        raise InputError(f"label_is is {config['label_is']!r}; write yes_no or classes")
    outputs = {name: values for column in chosen for name, values in FEATURES[column](inputs[column]).items()}
    if config["label_is"] == "classes":
        # One number more is for classes that training has not seen.
        return outputs | {LABEL: category(inputs[label], CLASSES, frequent=1, missing="")}
    return outputs | {LABEL: yes_or_no(inputs[label], label)}


def category(values: columns.Values, name: str, frequent: int = FREQUENT, missing: str = "(missing)") -> tf.Tensor:
    """The rank of a text or a code in a vocabulary, int64 of shape [batch].

    What is met too rarely, and what training has not seen, shares the number behind the last; missing is a category.
    """
    return tft.compute_and_apply_vocabulary(
        columns.text(values, missing=missing),
        frequency_threshold=frequent,
        top_k=MOST,
        num_oov_buckets=1,
        vocab_filename=name,
    )


def zip_number(values: columns.Values) -> tf.Tensor:
    """Zip codes as numbers, float32 of shape [batch], which holds five digits exactly.

    Masked digits are zeros, 331XX is 33100. Codes that have lost their first zeros, as they do in spreadsheets, have
    the same number. Of a ZIP+4 the first five digits count. What is missing or has no digits is 0.
    """
    digits = tf.strings.regex_replace(tf.strings.upper(columns.text(values)), "X", "0")
    digits = tf.strings.regex_replace(digits, r"^\s*([0-9]{1,5})([-.\s].*)?$", r"\1")
    valid = tf.strings.regex_full_match(digits, "[0-9]{1,5}")
    return tf.strings.to_number(tf.where(valid, digits, "00000"), tf.float32)


def zip_region(values: columns.Values) -> tf.Tensor:
    """The first three digits, as a column of texts, shape [batch, 1]."""
    return tf.strings.as_string(tf.cast(zip_number(values), tf.int64) // 100, width=3, fill="0")[:, None]


def yes_or_no(values: columns.Values, label: str) -> tf.Tensor:
    """1 for Yes, 1 or true, 0 for No, 0 or false, in any case; int64, shape [batch].

    Fails on anything else, a missing answer too: taken for No it would be learned.
    """
    answer = columns.text(values)
    lower = tf.strings.lower(tf.strings.strip(answer))
    wrong = tf.strings.join([label, " '", answer, "' is neither Yes nor No, 1 nor 0"])
    number = tf.where(_among(lower, _YES), "1", tf.where(_among(lower, _NO), "0", wrong))
    # No assertion: that would run when the model serves, too, and labels are missing then. This runs where it is used.
    return tf.strings.to_number(number, tf.int64)


def _among(values: tf.Tensor, words: list[str]) -> tf.Tensor:
    return tf.reduce_any(tf.equal(values[:, None], tf.constant(words)), axis=1)
