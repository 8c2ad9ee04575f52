"""What of the user's is behind a failure of the analysis, or speaks against a model whatever its metrics are."""

from __future__ import annotations

import re
from pathlib import Path

import tensorflow as tf
from tensorflow_model_analysis import constants

from components.runtime.data import tfrecord
from components.runtime.errors import InputError, causes, classify
from components.runtime.evaluation.computation import fitting
from components.runtime.evaluation.computation.counts import Counts

_NO_TEXT = re.compile(r'non-UTF8 feature value .* in column "([^"]+)"', re.DOTALL)


class PredictsNaN(InputError):
    """A metric has met a prediction that is not a number."""


def nan_fault(counts: Counts) -> str:
    """Why a model that predicts NaN is not blessed; empty where none does."""
    for name, count in counts.not_a_number.items():
        if count:
            of_rows = f"for {count} of {counts.rows} examples"
            if name == constants.BASELINE_KEY:
                return (
                    f"the baseline predicts NaN {of_rows}, so nothing can be compared with it: take it out of service"
                )
            return (
                f"the model predicts NaN {of_rows}: train it again with a lower learning rate, and look at its inputs"
            )
    return ""


def explained(error: Exception, file: str, files: list[str]) -> Exception:
    """What of the user's an error in TFMA comes from, where that can be told.

    Args:
      error: the one.
      file: the configuration's.
      files: that were read, gzip TFRecords.
    """
    if classify(error) is not None:
        return error
    text = str(error)
    if "Not a valid TFRecord" in text or isinstance(error, tf.errors.DataLossError):
        return _damage(files) or InputError(f"an examples file is damaged: {fitting.reason(error)}; run ingest again")
    if sliced := _NO_TEXT.search(text):
        return InputError(
            f"a value of {sliced[1]!r}, by which {file} slices, is no text in UTF-8: mend it in front of ingest, or "
            "leave out that slice"
        )
    if "add_input failed on" in text:
        cause = error.__cause__ or error
        # Beam tells the inputs, and not the cause.
        if "float NaN" in str(cause) or re.search(r"\bnan\b", text):
            return PredictsNaN("a model predicts NaN, which these metrics cannot take")
        return InputError(
            f"{file}: a metric does not fit the labels or predictions of the model ({fitting.reason(error)}); "
            "docs/metrics.md says which metric suits which task"
        )
    # (Beam raises anew what TensorFlow raised, as another type.)
    for cause in causes(error):
        if isinstance(cause, tf.errors.InvalidArgumentError):
            return InputError(f"the model cannot read the examples: {fitting.reason(cause)}")
    return error


def _damage(files: list[str]) -> InputError | None:
    """What is wrong with the first file that cannot be read whole: neither TensorFlow nor Beam names it."""
    try:
        for file in files:
            for _ in tfrecord.read(Path(file)):
                pass
    except InputError as error:
        return error
    return None
