from __future__ import annotations

import itertools

import pyarrow as pa
import pytest

from components.ingest.tables.columns import Kind, convert, infer


def kind_by_python(cells: list[str | None]) -> Kind:
    """The rule as TFX states it, in plain Python."""
    kind = Kind.MISSING
    for cell in cells:
        if cell is None:
            continue
        try:
            kind = max(kind, Kind.INT if -(2**63) <= int(cell) < 2**63 else Kind.BYTES)
        except ValueError:
            try:
                float(cell)
                kind = max(kind, Kind.FLOAT)
            except ValueError:
                kind = Kind.BYTES
    return kind


CELLS: list[str | None] = [
    None, "1", "-7", "007", "-0", " 5", "5\t", "+5", "9223372036854775807", "-9223372036854775808",
    "9223372036854775808", "-9223372036854775809", "1" * 30, "2.5", "1.", ".5", "-.5", "+1.5", "1e5", "1E-5", "1e+400",
    "nan", "NaN", "inf", "-Infinity", " 2.5 ", "0x1F", "0X1f", "1.5f", "nan(abc)", "--1", "+-1", "++1", "-", "+", ".",
    "e5", "1,5", "1 000", "a", "true", " ", "\u00a05", "ü", "123456789012345678", "9300000000000000000.5",
]  # fmt: skip


@pytest.mark.parametrize("cell", CELLS)
def test_the_type_of_one_cell_is_that_of_tfx(cell: str | None) -> None:
    assert infer(pa.array([cell], pa.string()), Kind.MISSING) is kind_by_python([cell])


def test_the_type_of_mixed_cells_is_that_of_tfx_in_one_batch_or_two() -> None:
    for pair in itertools.product(CELLS, repeat=2):
        expected = kind_by_python(list(pair))
        assert infer(pa.array(pair, pa.string()), Kind.MISSING) is expected, pair
        first = infer(pa.array(pair[:1], pa.string()), Kind.MISSING)
        assert infer(pa.array(pair[1:], pa.string()), first) is expected, pair


@pytest.mark.parametrize("cell", ["1_000", "1_0.5", "٣"])
def test_numbers_that_only_python_knows_are_text(cell: str) -> None:
    # On purpose unlike TFX: no other reader takes these for numbers.
    assert infer(pa.array([cell]), Kind.MISSING) is Kind.BYTES


def test_values() -> None:
    assert convert(pa.array(["1", None, " +7", "-0"]), Kind.INT).to_pylist() == [1, None, 7, 0]
    assert convert(pa.array(["1", None, " +2.5", "1e400"]), Kind.FLOAT).to_pylist() == [1.0, None, 2.5, float("inf")]
    assert convert(pa.array([" 1 ", None]), Kind.BYTES).to_pylist() == [" 1 ", None]
    assert convert(pa.array([None, None], pa.string()), Kind.MISSING).null_count == 2


def test_floats_are_rounded_once_to_double_and_then_to_single() -> None:
    # As Python and protobuf do it; rounded straight to single this is 1.0.
    text = "1.00000005960464478"
    import numpy as np

    assert convert(pa.array([text]), Kind.FLOAT)[0].as_py() == float(np.float32(float(text)))


@pytest.mark.parametrize(("cell", "kind"), [("x", Kind.INT), ("x", Kind.FLOAT), ("x", Kind.MISSING)])
def test_a_cell_of_another_kind_is_noticed(cell: str, kind: Kind) -> None:
    with pytest.raises(ValueError):
        convert(pa.array([cell]), kind)
