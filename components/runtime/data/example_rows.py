"""Whole batches of canonical tf.Examples as Arrow columns, without work in Python per row or cell.

Of one kind are the records that our stages write (see `examples`): each has the same features in the same order. So the
place of a feature is found in all of them at once, by NumPy. A parser of protobuf makes a message of every record, and
of every feature a few allocations: for taxi trips 11 microseconds a row in tfx_bsl's decoder, most of it
allocation; this takes 2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from components.runtime.data.example_columns import varint

Places: TypeAlias = npt.NDArray[np.int64]
"""One for each record: where something begins or ends in the bytes of all, or a number of bytes."""

# Tags of the wire format: (field number << 3) | 2, for fields with a length. In a Feature they tell the type.
_FIELD_1, _FIELD_2 = b"\x0a", b"\x12"
_BYTES, _FLOATS, _INTEGERS = 0x0A, 0x12, 0x1A

_LENGTH_BYTES, _INTEGER_BYTES = 5, 10
"""Of varints: of a length below 2 GiB, of 64 bits."""


class _OtherForm(ValueError):
    """The records are none that this module reads."""


def decode_batch(records: Sequence[bytes]) -> pa.RecordBatch | None:
    """Decodes records of one form.

    Args:
      records: serialised tf.Examples, at least one.

    Returns:
      What tfx_bsl's ExamplesToRecordBatchDecoder makes of them: large lists of int64, float32 or large binaries, by the
      features' names, null where a feature is missing, of type null where it is in all. None where the records are not
      canonical, differ in their features, have several texts in one, or are none: ask that decoder.
    """
    try:
        return _Records(records).decode()
    except (_OtherForm, IndexError, UnicodeDecodeError):
        # (IndexError: a length goes beyond the last byte.)
        return None


class _Records:
    def __init__(self, records: Sequence[bytes]) -> None:
        self._data = b"".join(records)
        self._bytes = np.frombuffer(self._data, np.uint8)
        sizes = np.fromiter(map(len, records), np.int64, len(records))
        self._ends = np.cumsum(sizes)
        self._starts = self._ends - sizes

    def decode(self) -> pa.RecordBatch:
        size, at = self._length(self._behind(self._starts, _FIELD_1))
        _hold(at + size, self._ends)
        columns: dict[bytes, pa.Array] = {}
        while at[0] < self._ends[0]:
            size, at = self._length(self._behind(at, _FIELD_1))
            end = at + size
            name = self._name(int(at[0]))
            size, at = self._length(self._behind(at, _FIELD_1 + varint(len(name)) + name + _FIELD_2))
            _hold(at + size, end)
            if name in columns:
                raise _OtherForm
            columns[name] = self._column(at, size)
            at = end
        _hold(at, self._ends)
        if not columns:
            # Arrow does not know how many rows a batch without columns has.
            raise _OtherForm
        names = sorted(columns)
        return pa.RecordBatch.from_arrays([columns[name] for name in names], [name.decode() for name in names])

    def _behind(self, at: Places, expected: bytes) -> Places:
        """The places behind what stands there in every record."""
        size = len(expected)
        # Each element of the view is some bytes, from each place on.
        windows = np.ndarray((max(0, len(self._data) - size + 1),), f"V{size}", self._data, strides=(1,))
        if windows[at].tobytes() != expected * len(at):
            raise _OtherForm
        return at + size

    def _length(self, at: Places) -> tuple[Places, Places]:
        """The lengths that stand there, and the places behind."""
        byte = self._bytes[at]
        length, at = (byte & 0x7F).astype(np.int64), at + 1
        more, shift = byte > 0x7F, 7
        while more.any():
            if shift == 7 * _LENGTH_BYTES:
                raise _OtherForm
            byte = self._bytes[np.where(more, at, 0)]
            length |= np.where(more, byte & 0x7F, 0).astype(np.int64) << shift
            at, more, shift = at + more, more & (byte > 0x7F), shift + 7
        return length, at

    def _name(self, at: int) -> bytes:
        """The name in an entry of the map: that of the first record, to which all others are held."""
        (length,), (begin,) = self._length(np.array([at + 1]))
        return self._data[begin : begin + length]

    def _column(self, at: Places, size: Places) -> pa.Array:
        """One feature: values as lists, null where the Feature is empty."""
        rows = len(at)
        present = size > 0
        if not present.any():
            return pa.nulls(rows)
        if missing := rows - int(np.count_nonzero(present)):
            at, size = at[present], size[present]
        kind = self._bytes[at]
        if (kind != kind[0]).any():
            raise _OtherForm
        end = at + size
        size, at = self._length(at + 1)
        _hold(at + size, end)
        size, at = self._length(self._behind(at, _FIELD_1))
        # One field with all numbers, or one text.
        _hold(at + size, end)
        counts, values = self._values(int(kind[0]), at, size)
        offsets = np.zeros(rows + 1, np.int64)
        offsets[1:][present] = counts
        buffers = [pa.array(present).buffers()[1] if missing else None, pa.py_buffer(np.cumsum(offsets))]
        return pa.Array.from_buffers(pa.large_list(values.type), rows, buffers, missing, children=[values])

    def _values(self, kind: int, at: Places, size: Places) -> tuple[Places, pa.Array]:
        """How many values each record has, and all of them."""
        if kind == _BYTES:
            return np.ones_like(size), self._pieces(at, size)
        if not size.all():
            raise _OtherForm
        packed = self._pieces(at, size).buffers()[2]
        if kind == _FLOATS:
            if (size % 4).any():
                raise _OtherForm
            counts = size // 4
            return counts, pa.Array.from_buffers(pa.float32(), int(counts.sum()), [None, packed])
        if kind == _INTEGERS:
            return _integers(np.frombuffer(packed, np.uint8)[: size.sum()], np.cumsum(size))
        raise _OtherForm

    def _pieces(self, at: Places, size: Places) -> pa.Array:
        """The bytes of that size at each place: every second value of an array that has what is in between, too."""
        offsets = np.stack([at, at + size], axis=1)
        everything = pa.Array.from_buffers(
            pa.large_binary(), 2 * len(at) - 1, [None, pa.py_buffer(offsets), pa.py_buffer(self._data)]
        )
        return everything.take(pa.array(np.arange(0, 2 * len(at), 2)))


def _integers(packed: npt.NDArray[np.uint8], ends: Places) -> tuple[Places, pa.Array]:
    """Varints one behind the other, of which each record has those before its end."""
    is_last = packed < 0x80
    if not is_last[ends - 1].all():
        raise _OtherForm
    counts = np.diff(np.cumsum(is_last)[ends - 1], prepend=0)
    stops = np.flatnonzero(is_last)
    starts = np.concatenate([[0], stops[:-1] + 1])
    numbers = np.zeros(len(stops), np.uint64)
    longest = int((stops - starts).max()) + 1
    if longest > _INTEGER_BYTES:
        raise _OtherForm
    for place in range(longest):
        at = starts + place
        group = np.where(at <= stops, packed[np.minimum(at, stops)] & 0x7F, 0)
        numbers |= group.astype(np.uint64) << np.uint64(7 * place)
    return counts, pa.array(numbers.view(np.int64))


def _hold(places: Places, others: Places) -> None:
    if (places != others).any():
        raise _OtherForm
