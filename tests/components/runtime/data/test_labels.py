"""Labels in the type that a model's data has, whole numbers to the last digit."""

from __future__ import annotations

import struct
from typing import Any

import pyarrow as pa
import pytest

from components.runtime.data.labels import array, typed
from components.runtime.data.schema_columns import Column

LARGE = 2**53 + 1
"""No float64 is it."""


@pytest.mark.parametrize("value", [LARGE, str(LARGE), 2**63 - 1, -(2**63)])
@pytest.mark.parametrize("label", [Column("y", "INT"), None])
def test_whole_numbers_are_kept(value: Any, label: Column | None) -> None:
    made = typed(value, label)
    assert (made, type(made)) == (int(value), int)
    assert array([made], label).to_pylist() == [int(value)]


@pytest.mark.parametrize("value", [2**63, str(2**64), -(2**63) - 1])
@pytest.mark.parametrize("label", [Column("y", "INT"), None])
def test_those_beyond_64_bits_are_refused(value: Any, label: Column | None) -> None:
    with pytest.raises(ValueError, match=f"^{value} is too large for an integer of 64 bits$"):
        typed(value, label)


@pytest.mark.parametrize(
    ("value", "label", "made"),
    [
        ("1.0", Column("y", "INT"), 1),
        (True, Column("y", "INT"), 1),
        ("true", Column("y", "INT"), 1),
        (3, Column("y", "FLOAT"), 3.0),
        (2**64, Column("y", "FLOAT"), 2.0**64),
        ("2.50", None, 2.5),
        ("7", None, 7),
        ("a", None, "a"),
    ],
)
def test_types(value: Any, label: Column | None, made: Any) -> None:
    found = typed(value, label)
    assert (found, type(found)) == (made, type(made))


def test_a_bound_of_32_bits_is_within() -> None:
    heat = Column("y", "FLOAT", least=struct.unpack("f", struct.pack("f", -273.15))[0], most=1)
    assert typed("-273.15", heat) == -273.15
    with pytest.raises(ValueError, match=r"^'-273.2' is none of the model's, which are -273.15 to 1$"):
        typed("-273.2", heat)


def test_whole_numbers_beside_others_are_floats() -> None:
    assert array([2**24 + 1, 0.5], None) == pa.array([2.0**24, 0.5], pa.float32())
    assert array([2**24 + 1], Column("y", "INT")).type == pa.int64()
