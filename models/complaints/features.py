"""Names of the complaints' features, and what custom_config can say of them; shared by preprocessing and model."""

from __future__ import annotations

from typing import Any

CATEGORICAL = (
    "product",
    "sub_product",
    "company_response",
    "state",
    "issue",
    "timely_response",
    "submitted_via",
)
"""Strings, replaced by their rank in a vocabulary."""

ZIP_CODE = "zip_code"
"""Replaced by the number of its quantile bucket, and by its region."""

REGION = "zip_region"
"""The first three digits of the zip code, replaced by their rank in a vocabulary: a bucket holds several states."""

DATE = "date_received"
"""Replaced by its day of the week."""

NARRATIVE = "consumer_complaint_narrative"
"""Text, handed on as it is: how it is read belongs to the model."""

FEATURES = (*CATEGORICAL, ZIP_CODE, DATE, NARRATIVE)

YES_NO, CLASSES = "yes_no", "classes"
"""What a label can be: an answer, read from Yes and No or 1 and 0; or the name of one of many classes."""

DEFAULTS: dict[str, Any] = {"label": "label_disputed", "label_is": YES_NO, "features": list(FEATURES)}
"""What custom_config of the transform stage can change."""

VOCABULARY_SIZE = 1000
RARE = 20
"""What fewer complaints have counts as outside the vocabulary: nothing can be learned from so few."""
OOV_BUCKETS = 1
"""Ids of strings outside the vocabulary; they follow those of the vocabulary. One: what is rare is learned together."""

ZIP_BUCKETS = 10

WEEKDAYS = 8
"""From Monday, 0; the last one stands for a date that is missing or not written as 2015-01-31."""

LABEL = "label_xf"
"""The transformed label, whichever column it is made from, so that one evaluation fits every label."""

LABEL_VOCABULARY = "label"
"""Name of the vocabulary of classes; there is none where the label is an answer."""


def transformed(name: str) -> str:
    """Name of a feature after the transformation; Keras takes no slash in the name of an input."""
    return f"{name.replace('/', '_')}_xf"


def configured(custom_config: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """The defaults with what custom_config changes.

    Raises:
      ValueError: custom_config has an unknown key.
    """
    if unknown := sorted(custom_config.keys() - defaults.keys()):
        raise ValueError(f"custom_config has an unknown key {unknown[0]!r}; known are: {', '.join(defaults)}")
    return defaults | custom_config
