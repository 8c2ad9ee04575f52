from __future__ import annotations

import gzip
import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from components.runtime.data import examples, tfrecord
from components.runtime.data.example_columns import encode_batch
from tests.support import shared


def batch(rows: int, seed: int = 0) -> pa.RecordBatch:
    """Columns of every type with missing values, varints of every length and awkward numbers."""
    random = np.random.default_rng(seed)

    def some(values: list[Any]) -> list[Any]:
        return [None if missing else value for value, missing in zip(values, random.random(rows) < 0.2, strict=True)]

    powers = [(-1) ** row * 2 ** (row % 63) for row in range(rows)]
    floats = [[0.0, -0.0, float("inf"), float("-inf"), 1.5e-42][row % 5] for row in range(rows)]
    return pa.RecordBatch.from_pydict(
        {
            "z": pa.array(some(powers), pa.int64()),
            "powers": pa.array(powers, pa.int64()),
            "random": pa.array(random.integers(-(2**63), 2**63 - 1, rows), pa.int64()),
            "B": pa.array(some(floats), pa.float32()),
            "normal": pa.array(some(random.normal(size=rows).tolist()), pa.float32()),
            "text": pa.array(some(["ü€\n," * int(count) for count in random.integers(0, 120, rows)])),
            "bytes": pa.array([random.bytes(row % 300) for row in range(rows)], pa.binary()),
            "long" * 40: pa.array(some(["x"] * rows)),
            "nothing": pa.nulls(rows),
            "typed nothing": pa.nulls(rows, pa.int64()),
            "é": pa.array(some(list(range(rows))), pa.int64()),
        }
    )


def test_columns_give_the_bytes_that_single_values_give() -> None:
    rows = batch(500)
    encoded = encode_batch(rows)
    for row, record, identity in zip(
        rows.to_pylist(), encoded.examples.to_pylist(), encoded.identities.to_pylist(), strict=True
    ):
        assert record == examples.encode(row)
        assert examples.canonical(record) == (record, identity)
        assert (
            examples.identity(examples.encode({name: value for name, value in row.items() if value is not None}))
            == identity
        )


def test_a_slice_of_a_batch_gives_the_same_bytes() -> None:
    rows = batch(50)
    whole = encode_batch(rows).examples.to_pylist()
    assert encode_batch(rows.slice(7, 20)).examples.to_pylist() == whole[7:27]


def test_bytes_are_those_of_tfx() -> None:
    files = sorted(shared("tfx_testdata/recorded_run/CsvExampleGen/examples/train").iterdir())
    count = 0
    for record in itertools.chain.from_iterable(tfrecord.read(file) for file in files[:3]):
        assert examples.canonical(record)[0] == record
        decoded = examples.decode(record)
        floats = {
            name: np.array(values, np.float32)
            for name, values in decoded.items()
            if values and type(values[0]) is float
        }
        assert examples.encode(decoded | floats) == record
        count += 1
    assert count > 1000


def test_bytes_of_a_small_example() -> None:
    # Written out by hand after the wire format: "a" has the integer 300, "b" is missing, "c" is the text "x".
    entries = b"\x0a\x0d\x0a\x01a\x12\x08\x1a\x06\x0a\x04\xac\x02\xad\x02"
    entries += b"\x0a\x05\x0a\x01b\x12\x00"
    entries += b"\x0a\x0a\x0a\x01c\x12\x05\x0a\x03\x0a\x01x"
    record = b"\x0a" + bytes([len(entries)]) + entries
    assert examples.encode({"c": "x", "b": None, "a": [300, 301]}) == record
    assert examples.decode(record) == {"a": [300, 301], "b": [], "c": [b"x"]}
    assert examples.identity(record) == entries[:15] + entries[22:]


def test_other_writings_of_the_same_example_become_canonical() -> None:
    # Features in the other order, and integers that are not packed.
    entries = (
        b"\x0a\x0a\x0a\x01c\x12\x05\x0a\x03\x0a\x01x" + b"\x0a\x0d\x0a\x01a\x12\x08\x1a\x06\x08\xac\x02\x08\xad\x02"
    )
    record = b"\x0a" + bytes([len(entries)]) + entries
    assert examples.canonical(record)[0] == examples.encode({"a": [300, 301], "c": "x"})


@pytest.mark.parametrize("missing", [b"\x12\x00", b"\x12\x02\x0a\x00", b"\x12\x02\x12\x00", b"\x12\x02\x1a\x00", b""])
def test_every_form_of_a_missing_value_has_the_same_identity(missing: bytes) -> None:
    present = examples.identity(examples.encode({"a": 0, "c": [b"", b"\x12\x00"]}))
    entry = b"\x0a\x01b" + missing
    whole = present + b"\x0a" + bytes([len(entry)]) + entry
    record = b"\x0a" + bytes([len(whole)]) + whole
    assert examples.identity(record) == present
    assert examples.decode(record)["b"] == []


def test_an_empty_text_is_a_value() -> None:
    assert examples.identity(examples.encode({"a": 1, "b": ""})) != examples.identity(
        examples.encode({"a": 1, "b": None})
    )


def test_values_of_numpy_and_python_are_the_same() -> None:
    plain = {"f": [1.5, 2.0], "i": [1, 2], "s": "x", "one": 3}
    numpy = {"f": np.array([[1.5], [2.0]], np.float32), "i": np.array([1, 2], np.int32), "s": b"x", "one": np.int64(3)}
    assert examples.encode(plain) == examples.encode(numpy)


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (b"hello, this is text", "not those of the message"),
        (b"\x0a\x05\x0a\x03\x0a\x01", "not those of the message"),
        (b"\x0a\x07\x0a\x05\x0a\x01\xff\x12\x00", "not those of the message"),  # a name that is not UTF-8
        (b"", "no features"),
        (b"\x12\x03abc", "does not have"),  # as in a SequenceExample
        (b"\x0a\x02\x18\x01", "does not have"),
    ],
)
def test_other_bytes_are_no_examples(record: bytes, message: str) -> None:
    with pytest.raises(ValueError) as error:
        examples.canonical(record)
    assert message in str(error.value)


def test_columns_of_other_types_are_refused() -> None:
    with pytest.raises(TypeError, match="'when' is of type date32"):
        encode_batch(pa.RecordBatch.from_pydict({"when": pa.array([1], pa.date32())}))


def test_the_default_descriptor_pool_stays_clean() -> None:
    from google.protobuf import descriptor_pool

    examples.encode({"a": 1})
    with pytest.raises(KeyError):
        descriptor_pool.Default().FindMessageTypeByName("millrace.Example")


def test_gzip_of_the_standard_library_reads_what_is_written(tmp_path) -> None:  # type: ignore[no-untyped-def]
    tfrecord.write(tmp_path / "f.gz", [examples.encode({"a": 1})])
    assert gzip.decompress((tmp_path / "f.gz").read_bytes())[12:-4] == examples.encode({"a": 1})
