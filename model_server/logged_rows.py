"""What a request asked and was answered, and the rows that the log of predictions has of it."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.runtime.records import prediction_log as log_files
from model_server import logged_values
from model_server.logged_values import Array
from model_server.signature import CLASSIFY, REGRESS, Signature, Tensor

Arrays = Mapping[str, Array]

_SERVING_DEFAULT, _TRANSFORM_FEATURES, _EXAMPLES = "serving_default", "transform_features", "examples"
_OVERHEAD = 500
"""Bytes of a request besides its values, roughly."""


@dataclass(frozen=True)
class Answered:
    """A request with its answer.

    Attributes:
      request: its id.
      features: that the model takes, where tf.Examples were given; None where nobody knows.
      given: arrays by input, of shape [rows, ...] each.
      answers: the same by output.
      group: version, signature, names and types: those of one group go into one file.
      size: in memory, in bytes.
    """

    request: str
    time: datetime.datetime
    version: int
    signature: Signature
    features: Mapping[str, Tensor] | None
    given: Arrays
    answers: Arrays
    rows: int
    group: tuple[Any, ...]
    size: int


def of(
    request: str,
    version: int,
    signatures: Mapping[str, Signature],
    signature: Signature,
    given: Arrays,
    answers: Arrays,
) -> Answered | None:
    """A request that was answered now; None of one that is no prediction, or not answered by rows."""
    sizes = {len(values) if values.ndim else -1 for values in (*given.values(), *answers.values())}
    if signature.name == _TRANSFORM_FEATURES or not given or len(sizes) != 1 or -1 in sizes:
        return None
    default = signatures.get(_SERVING_DEFAULT)
    return Answered(
        request,
        datetime.datetime.now(datetime.UTC),
        version,
        signature,
        default.inputs if default and _EXAMPLES not in default.inputs else None,
        given,
        answers,
        sizes.pop(),
        (version, signature.name, _kinds(given), _kinds(answers)),
        _OVERHEAD + sum(map(_bytes, (*given.values(), *answers.values()))),
    )


def table(answered: Sequence[Answered], redacted: Collection[str]) -> pa.Table:
    """The rows of requests of one group.

    Args:
      answered: one or more.
      redacted: features and outputs that are left out.
    """
    answered = sorted(answered, key=lambda each: each.time)
    first, rows = answered[0], sum(each.rows for each in answered)
    return log_files.table(
        [f"{each.request}-{row}" for each in answered for row in range(each.rows)],
        [each.time for each in answered for _ in range(each.rows)],
        [first.version] * rows,
        [first.signature.name] * rows,
        _features(answered, redacted),
        _columns([each.answers for each in answered], redacted, missing=False),
        redacted,
    )


def _features(answered: Sequence[Answered], redacted: Collection[str]) -> dict[str, pa.Array]:
    first = answered[0]
    if _takes_examples(first):
        [name] = first.given
        records = [record for each in answered for record in each.given[name].tolist()]
        with contextlib.suppress(ValueError):
            found = logged_values.of_examples(records, first.features)
            return {feature: values for feature, values in found.items() if feature not in redacted}
        # What cannot be read may hold what is to be left out.
        if redacted:
            return {}
    return _columns([each.given for each in answered], redacted, missing=True)


def _takes_examples(asked: Answered) -> bool:
    """Whether the values given are serialised tf.Examples."""
    if asked.signature.method in (CLASSIFY, REGRESS):
        return True
    [name, *others] = asked.given
    is_text = not others and asked.given[name].dtype.kind in "OSU" and asked.given[name].ndim == 1
    by_features = asked.features is not None and asked.signature.name != _SERVING_DEFAULT
    return is_text and (name == _EXAMPLES or (by_features and name not in (asked.features or {})))


def _columns(arrays: Sequence[Arrays], redacted: Collection[str], *, missing: bool) -> dict[str, pa.Array]:
    return {
        name: logged_values.column([each[name] for each in arrays], missing=missing)
        for name in sorted(arrays[0])
        if name not in redacted
    }


def _kinds(arrays: Arrays) -> tuple[tuple[str, str, int], ...]:
    # (Texts come as objects, and of fixed sizes.)
    return tuple(
        (name, "text" if values.dtype.kind in "OSU" else str(values.dtype), values.ndim)
        for name, values in sorted(arrays.items())
    )


def _bytes(values: Any) -> int:
    texts = sum(map(len, values.ravel().tolist())) if values.dtype == object else 0
    return int(values.nbytes) + texts
