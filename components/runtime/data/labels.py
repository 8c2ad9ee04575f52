"""Labels that came later, in the type that a model's data has; what is none of the model's is told from what is."""

from __future__ import annotations

import math
import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.runtime.data import pictures
from components.runtime.data.schema_columns import BYTES, FLOAT, INT, Column
from components.runtime.errors import did_you_mean

_SHOWN = 10
_LONGEST = 40
"""Characters of a label that are told."""
_LARGEST = 3.4028234663852886e38
"""Of the numbers of 32 bits (IEEE 754)."""
_TRUTHS = {"true": 1, "false": 0}
"""What a label that was true or false is beside texts, where a number is wanted."""
_TYPES = {INT: pa.int64(), FLOAT: pa.float32(), BYTES: pa.string()}


@dataclass(frozen=True)
class Read:
    """Labels as a server took them, one by one.

    Attributes:
      table: those that are the model's, in its type.
      wrong: the others, as they came.
      example: what is wrong with the first of these; empty where there is none.
    """

    table: pa.Table
    wrong: pa.Table
    example: str


def label_of(columns: Mapping[str, Column], given: Collection[str]) -> Column | None:
    """The label: the only column of a model's data that it is not given when it is asked; None where that is not told.

    What tells of an image that it is given is no label.

    Args:
      columns: of its data, by name.
      given: what it is asked with.
    """
    known = {*given} | pictures.describing(columns)
    rest = [column for name, column in columns.items() if name not in known]
    return rest[0] if len(rest) == 1 else None


def read(table: pa.Table, label: Column | None) -> Read:
    """Parts labels into those of a model and others.

    Args:
      table: with `prediction_id` and `label`, and other columns besides.
      label: what the model's data has there; None where nobody knows.
    """
    values, kept, wrong, example = [], [], [], ""
    for place, value in enumerate(table.column("label").to_pylist()):
        try:
            values.append(typed(value, label))
            kept.append(place)
        except ValueError as error:
            wrong.append(place)
            example = example or f"{table.column('prediction_id')[place]}: {error}"
    at = table.column_names.index("label")
    rows = table.take(pa.array(kept, pa.int64())).set_column(at, "label", array(values, label))
    return Read(rows, table.take(pa.array(wrong, pa.int64())), example)


def typed(value: Any, label: Column | None) -> Any:
    """A label in the type that the model's data has.

    Args:
      value: a text, or a value of another table.
      label: of the model; None where nobody knows: then it is as it looks.

    Raises:
      ValueError: it is none; says why.
    """
    if label is None:
        return _as_it_looks(value)
    if label.is_image:
        if isinstance(value, bytes) and pictures.format_of(value) == "png" and pictures.size(value):
            return value
        shown = value[:_LONGEST].decode(errors="replace") if isinstance(value, bytes) else str(value)[:_LONGEST]
        raise ValueError(f"{shown!r} is no mask; masks come as files: ./millrace feedback --labels")
    if label.type == BYTES:
        if not isinstance(value, str):
            raise ValueError(f"{value!r} is no text")
        if label.values and value not in label.values:
            known = ", ".join(label.values[:_SHOWN]) + (", …" if len(label.values) > _SHOWN else "")
            raise ValueError(f"{value!r} is no class of the model{did_you_mean(value, label.values)}; it knows {known}")
        return value
    number = _number(_TRUTHS.get(value, value) if isinstance(value, str) else value)
    if number is None or (isinstance(number, float) and not math.isfinite(number)):
        raise ValueError(f"{value!r} is no number")
    if label.type == FLOAT and abs(number) > _LARGEST:
        raise ValueError(f"{value!r} is too large for a number of 32 bits, which labels of the data are")
    if label.type == INT:
        if number != int(number):
            raise ValueError(f"{value!r} is no whole number")
        number = _of_64_bits(int(number))
    # In the 32 bits that a bound has: what is written as the bound is within.
    compared = struct.unpack("f", struct.pack("f", number))[0] if label.type == FLOAT else number
    if (label.least is not None and compared < label.least) or (label.most is not None and compared > label.most):
        ends = ["…" if end is None else f"{end:g}" for end in (label.least, label.most)]
        raise ValueError(f"{value!r} is none of the model's, which are {ends[0]} to {ends[1]}")
    return number if label.type == INT else float(number)


def array(values: list[Any], label: Column | None) -> pa.Array:
    """Typed labels as a column."""
    if label:
        return pa.array(values, pa.binary() if label.is_image else _TYPES[label.type])
    kinds = {type(value) for value in values}
    if str in kinds:
        return pa.array([str(value) for value in values], pa.string())
    return pa.array(map(float, values), pa.float32()) if float in kinds else pa.array(values, pa.int64())


def _as_it_looks(value: Any) -> Any:
    number = _number(value)
    if number is None:
        return str(value)
    return _of_64_bits(number) if isinstance(number, int) else number


def _number(value: Any) -> int | float | None:
    """Whole numbers to the last digit, which a float has only to 2**53."""
    if isinstance(value, int):
        return int(value)
    try:
        return int(value) if isinstance(value, str) else float(value)
    except (TypeError, ValueError):
        pass
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _of_64_bits(number: int) -> int:
    if not -(2**63) <= number < 2**63:
        raise ValueError(f"{number} is too large for an integer of 64 bits")
    return number
