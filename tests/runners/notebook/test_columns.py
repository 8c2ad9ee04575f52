"""Rows as pandas has them, and rows of whatever form as dicts."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from components.runtime.errors import InputError
from runners.notebook import columns


def test_columns_have_the_types_of_their_values() -> None:
    rows = [
        {
            "i": [1],
            "m": [2],
            "f": [np.float32(27.05).item()],
            "t": [b"x"],
            "b": [b"\xff"],
            "l": [1, 2],
            "w": [b"a"],
            "n": [],
        },
        {"i": [3], "m": [], "f": [], "t": [], "b": [b"b"], "l": [3], "w": [b"b", "ü".encode()], "n": []},
    ]
    made = columns.frame(iter(rows), None)
    assert [str(made[name].dtype) for name in ("i", "m", "f")] == ["int64", "Int64", "float64"]
    assert made["f"][0] == 27.05
    assert made["m"].isna().tolist() == [False, True]
    assert made["t"].tolist() == ["x", None]
    assert made["b"].tolist() == [b"\xff", b"b"]
    assert made["l"].tolist() == [[1, 2], [3]]
    assert made["w"].tolist() == [["a"], ["b", "ü"]]
    assert made["n"].tolist() == [None, None]
    assert len(columns.frame(iter(rows), 1)) == 1
    assert columns.frame(iter(rows), 0).empty


def test_rows_of_every_form_are_dicts() -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None], "c": pd.array([None, 4], dtype="Int64")})
    expected = [{"a": 1, "b": "x", "c": None}, {"a": 2, "b": None, "c": 4}]
    assert columns.rows_of(frame) == expected
    assert columns.rows_of(frame.to_dict("records")) == expected
    assert columns.rows_of(expected[0]) == expected[:1]
    assert columns.rows_of(frame.iloc[1]) == expected[1:]
    assert columns.rows_of([{"a": float("nan"), "b": np.float64("nan"), "c": pd.NaT}]) == [
        {"a": None, "b": None, "c": None}
    ]
    for wrong in (3, "text", [3], None):
        with pytest.raises(InputError, match="expected"):
            columns.rows_of(wrong)
