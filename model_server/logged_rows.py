"""What a request asked and was answered, and the rows that the log of predictions has of it."""

from __future__ import annotations

import contextlib
import datetime
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from components.runtime.data import pictures
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


def table(answered: Sequence[Answered], redacted: Collection[str], *, images: bool = False) -> pa.Table:
    """The rows of requests of one group.

    What is asked about an encoded image is logged as what can be measured of it, and what is answered by pixel as whole
    numbers, such as a mask, or as a mean.

    Args:
      answered: one or more.
      redacted: features and outputs that are left out.
      images: whether the images are logged too.
    """
    answered = sorted(answered, key=lambda each: each.time)
    first, rows = answered[0], sum(each.rows for each in answered)
    features = _features(answered, redacted)
    answers = [each.answers for each in answered]
    if image := _image(features):
        features = _measured(features, image, redacted, kept=images)
        answers = [{name: _by_image(values) for name, values in each.items()} for each in answers]
    return log_files.table(
        [f"{each.request}-{row}" for each in answered for row in range(each.rows)],
        [each.time for each in answered for _ in range(each.rows)],
        [first.version] * rows,
        [first.signature.name] * rows,
        features,
        _columns(answers, redacted, missing=False),
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


def _image(features: Mapping[str, pa.Array]) -> str:
    """The only feature that is of encoded images; empty where there is none, or several."""
    found = [
        name
        for name, values in features.items()
        if pa.types.is_binary(values.type)
        # (Beside an image other bytes may be a photograph that is broken.)
        and any(map(pictures.format_of, values.drop_null().to_pylist()))
    ]
    return found[0] if len(found) == 1 else ""


def _measured(
    features: Mapping[str, pa.Array], image: str, redacted: Collection[str], *, kept: bool
) -> dict[str, pa.Array]:
    """The features with what is known of their image, under the names that ingest has for it."""
    contents = [each or b"" for each in features[image].to_pylist()]
    sizes = [pictures.size(each) or (None, None) for each in contents]
    measures = [pictures.measured(each) for each in contents]
    known = {
        pictures.IMAGE_FORMAT: pa.array([pictures.format_of(each) or None for each in contents], pa.string()),
        pictures.HEIGHT: pa.array([height for height, _ in sizes], pa.int64()),
        pictures.WIDTH: pa.array([width for _, width in sizes], pa.int64()),
        **{name: pa.array([each.get(name) for each in measures], pa.float32()) for name in pictures.MEASURES},
    }
    given = {name: values for name, values in features.items() if kept or name != image}
    # (What the model is given under such a name goes before.)
    return {name: values for name, values in {**known, **given}.items() if name not in redacted}


def _by_image(values: Array) -> Array:
    """Numbers with a fraction for each place of an image, such as how sure a model is of it, as their mean."""
    by_place = values.ndim > 2 and values.dtype.kind not in "biuOSU"
    return values.reshape(len(values), -1).mean(axis=1, dtype=np.float64).astype(np.float32) if by_place else values


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
