"""Decoding by columns against tfx_bsl's decoder, which stands for what it does not read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.runtime.data import examples, statistics, tfrecord
from components.runtime.data.example_rows import decode_batch

_ROWS = [
    {"b": "", "a": 0, "é": -1.5, "lists": [1, -(2**63), 2**63 - 1], "floats": [0.5, float("inf")], "never": None},
    {"b": "ü" * 300, "a": 127, "é": None, "lists": None, "floats": [0.0], "never": None},
    {"b": b"\xff\x00\x0a", "a": -1, "é": 3e38, "lists": [128] * 200, "floats": None, "never": None},
    {"b": None, "a": 2**40, "é": 1.0, "lists": [0], "floats": [-0.0] * 100, "never": None},
]


def _whole(records: list[bytes]) -> pa.RecordBatch:
    return ExamplesToRecordBatchDecoder().DecodeBatch(records)


@pytest.mark.parametrize("count", [1, 2, 4, 1000])
def test_columns_are_those_of_tfx_bsl(count: int) -> None:
    records = [examples.encode(_ROWS[number % len(_ROWS)]) for number in range(count)]
    decoded = decode_batch(records)
    assert decoded is not None
    decoded.validate(full=True)
    expected = _whole(records)
    assert decoded.schema == expected.schema
    assert decoded.equals(expected)


_GOOD = examples.encode({"a": 1, "b": "text"})


@pytest.mark.parametrize(
    "other",
    [
        examples.encode({"a": 1}),
        examples.encode({"a": 1, "c": "text"}),
        examples.encode({"a": 1, "b": "text", "c": 1}),
        examples.encode({"a": 1.5, "b": "text"}),
        examples.encode({"a": 1, "b": ["two", "texts"]}),
        # The same features in another order, an integer that is not packed, an empty list, a field that is unknown.
        b"\x0a\x16\x0a\x0d\x0a\x01b\x12\x08\x0a\x06\x0a\x04text\x0a\x05\x0a\x01a\x12\x00",
        b"\x0a\x17\x0a\x09\x0a\x01a\x12\x04\x1a\x02\x08\x01\x0a\x0a\x0a\x01b\x12\x05\x0a\x03\x0a\x01t",
        b"\x0a\x16\x0a\x08\x0a\x01a\x12\x03\x1a\x01\x00\x0a\x0a\x0a\x01b\x12\x05\x0a\x03\x0a\x01t",
        b"\x0a\x13\x0a\x07\x0a\x01a\x12\x02\x1a\x00\x0a\x08\x0a\x01b\x12\x03\x0a\x01t",
        _GOOD + b"\x12\x00",
        _GOOD[:-1],
        b"",
        b"\x0a",
        b"nothing of the kind",
    ],
)
def test_records_of_another_form_are_left_to_tfx_bsl(other: bytes) -> None:
    assert decode_batch([_GOOD, other, _GOOD]) is None
    assert decode_batch([_GOOD, _GOOD]) is not None


@pytest.mark.parametrize("record", [b"", b"\x0a\x00"])
def test_rows_without_features_are_rows(tmp_path: Path, record: bytes) -> None:
    for records in ([record] * 7, [_GOOD] * 10 + [record] * 7):
        tfrecord.write(tmp_path / "file.gz", records)
        (dataset,) = statistics.compute([tmp_path / "file.gz"], lambda _: None).datasets
        assert dataset.num_examples == len(records)
    tfrecord.write(tmp_path / "good.gz", [_GOOD] * 10)
    tfrecord.write(tmp_path / "bare.gz", [record] * 7)
    (dataset,) = statistics.compute([tmp_path / "good.gz", tmp_path / "bare.gz"], lambda _: None).datasets
    assert dataset.num_examples == 17
    assert {feature.string_stats.common_stats.num_missing for feature in dataset.features if feature.type == 2} == {7}


def test_no_byte_that_is_changed_gives_other_columns_than_tfx_bsl() -> None:
    record = examples.encode({"a": [1, 300], "b": "text", "c": 0.5})
    read = 0
    for place in range(len(record)):
        for bit in range(8):
            changed = bytearray(record)
            changed[place] ^= 1 << bit
            for records in ([bytes(changed)], [record, bytes(changed)], [bytes(changed), record]):
                decoded = decode_batch(records)
                if decoded is not None:
                    read += 1
                    assert decoded.equals(_whole(records)), (place, bit)
    assert read > 100
