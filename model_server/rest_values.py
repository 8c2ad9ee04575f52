"""Values of REST requests and answers, as TensorFlow Serving writes them in JSON.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from model_server.errors import BadRequestError
from model_server.signature import Signature

_BYTES_ENDING = "_bytes"
# More dimensions than any tensor has.
_DEEPEST = 64


def body(content: bytes) -> dict[str, Any]:
    """Reads a request's JSON; NaN and Infinity are numbers in it, as they are for TensorFlow Serving.

    Raises:
      BadRequestError: it is no JSON object.
    """
    try:
        found = json.loads(content)
    except RecursionError:
        raise BadRequestError("the request is nested too deeply") from None
    except ValueError as error:
        raise BadRequestError(f"the request is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise BadRequestError("the request has to be a JSON object, with `instances` or `inputs`")
    return found


def given(request: Mapping[str, Any], signature: Signature) -> tuple[dict[str, Any], bool]:
    """The values of a request by input.

    Returns:
      nested lists by input, and whether they came by rows, in which form the answer goes back.

    Raises:
      BadRequestError: neither rows nor columns, both, or rows that differ in their names.
    """
    if ("instances" in request) == ("inputs" in request):
        raise BadRequestError("the request has to have either `instances` (a list of rows) or `inputs` (by name)")
    only = next(iter(signature.inputs)) if len(signature.inputs) == 1 else ""
    if "inputs" in request:
        columns = request["inputs"]
        if not isinstance(columns, dict) or set(columns) == {"b64"}:
            if not only:
                raise BadRequestError(f"`inputs` has to name the inputs: {', '.join(sorted(signature.inputs))}")
            columns = {only: columns}
        return {name: _decoded(values) for name, values in columns.items()}, False
    rows = request["instances"]
    if not isinstance(rows, list) or not rows:
        raise BadRequestError("`instances` has to be a list with a row or more")
    named = [isinstance(row, dict) and set(row) != {"b64"} for row in rows]
    if not any(named):
        if not only:
            raise BadRequestError(f"each of `instances` has to name the inputs: {', '.join(sorted(signature.inputs))}")
        return {only: [_decoded(row) for row in rows]}, True
    if not all(named):
        raise BadRequestError("some of `instances` name their inputs, and others do not")
    names = rows[0].keys()
    for place, row in enumerate(rows):
        if row.keys() != names:
            differing = sorted(row.keys() ^ names)[0]
            raise BadRequestError(f"row {place} of `instances` and row 0 have different inputs ({differing!r})")
    return {name: [_decoded(row[name]) for row in rows] for name in names}, True


def answer(outputs: Mapping[str, np.ndarray[Any, Any]], *, by_rows: bool, count: int) -> dict[str, Any]:
    """The answer to `predict`: `predictions` for rows, `outputs` for columns.

    Raises:
      BadRequestError: rows were given, and an output is not by rows.
    """
    lists = {name: encoded(name, values) for name, values in outputs.items()}
    if not by_rows:
        return {"outputs": next(iter(lists.values())) if len(lists) == 1 else lists}
    for name, values in outputs.items():
        if not values.ndim or len(values) != count:
            raise BadRequestError(f"the output {name!r} is not by rows; ask by `inputs` in place of `instances`")
    if len(lists) == 1:
        return {"predictions": next(iter(lists.values()))}
    return {"predictions": [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]}


def _numbers(values: np.ndarray[Any, Any]) -> Any:
    if values.dtype.kind in "biu" or values.dtype == np.float64:
        return values.tolist()
    # A float of 32 bits is told by the digits that it has, not by those that 64 bits would add.
    short = values.astype(np.float32)
    return short.astype(str).astype(np.float64).reshape(values.shape).tolist()


def text(document: Mapping[str, Any]) -> bytes:
    """JSON of an answer; numbers that are none stand in it as NaN and Infinity."""
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _decoded(value: Any, depth: int = 0) -> Any:
    if isinstance(value, list):
        if depth > _DEEPEST:
            raise BadRequestError("the values are nested too deeply")
        return [_decoded(each, depth + 1) for each in value]
    if isinstance(value, dict):
        if set(value) != {"b64"} or not isinstance(value["b64"], str):
            raise BadRequestError('an object among the values has to be {"b64": "…"}, for bytes')
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, ValueError):
            raise BadRequestError("a value in `b64` is no base64") from None
    return value


def encoded(name: str, values: np.ndarray[Any, Any]) -> Any:
    """An array as JSON has it: nested lists; bytes that are no text, or of a name that ends so, in base64."""
    if values.dtype.kind not in "OSU":
        return _numbers(values)
    listed = values.tolist()
    as_bytes = name.endswith(_BYTES_ENDING)

    def each(value: Any) -> Any:
        if isinstance(value, list):
            return [each(one) for one in value]
        if isinstance(value, str):
            return value
        if as_bytes:
            return {"b64": base64.b64encode(value).decode()}
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}

    return each(listed)
