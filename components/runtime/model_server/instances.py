"""Rows as servers take them, by the inputs of a signature: https://www.tensorflow.org/tfx/serving/api_rest."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime import missing
from components.runtime.errors import InputError
from components.runtime.model_server.client import Tensor


def instance(row: Mapping[str, Any], inputs: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    """A row as the server takes it; what the model does not take is left out.

    Args:
      row: value by name; None, or no value, is a missing value.
      inputs: of the signature.
      where: where the row is from, for errors.

    Raises:
      InputError: a value is of another type.
    """
    return {name: _value(row.get(name), tensor, f"{where}: {name}") for name, tensor in inputs.items()}


def _value(value: Any, tensor: Tensor, where: str) -> Any:
    several = len(tensor.shape) > 1
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if not several:
            raise InputError(f"{where} takes one value, not a list")
        return [_value(each, Tensor(tensor.dtype, tensor.shape[1:]), where) for each in value]
    if several and value is not None:
        raise InputError(f"{where} takes a list of values")
    if value is None and several:
        # As many missing values as there are places; none where that is open.
        return [_value(None, Tensor(tensor.dtype, tensor.shape[1:]), where)] * max(tensor.shape[1], 0)
    if tensor.dtype == "DT_STRING":
        return _text(value)
    if tensor.dtype == "DT_BOOL":
        return _bool(value, where)
    whole = "INT" in tensor.dtype
    if value is None:
        return missing.INTEGER if whole else math.nan
    try:
        if isinstance(value, bool):
            raise ValueError(value)
        number = int(value) if whole and isinstance(value, str) else float(value) if isinstance(value, str) else value
        if not isinstance(number, int | float) or (whole and number != int(number)):
            raise ValueError(number)
        return int(number) if whole else number
    except (ValueError, OverflowError):
        raise InputError(f"{where} takes a {'whole ' if whole else ''}number, not {value!r}") from None


def _text(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if not isinstance(value, str):
        return str(value)
    return value


def _bool(value: Any, where: str) -> bool:
    told = str(value).lower() if value is not None else "false"
    if told not in ("true", "false", "0", "1"):
        raise InputError(f"{where} takes true or false, not {value!r}")
    return told in ("true", "1")
