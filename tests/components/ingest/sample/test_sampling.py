"""Samples of what passes: fair, the same every time, whatever the batches."""

from __future__ import annotations

from collections import Counter

import pytest

from components.ingest.sample.sampling import Reservoir
from components.runtime.data import tfrecord


def sampled(count: int, size: int, *, batch: int = 7, split: str = "train") -> list[tuple[int, bytes]]:
    reservoir = Reservoir(split, size, bytes)
    for start in range(0, count, batch):
        records = [b"%d" % number for number in range(start, min(start + batch, count))]
        reservoir.add(tfrecord.frame(records), len(records))
    assert reservoir.seen == count
    return reservoir.rows


@pytest.mark.parametrize(("count", "size"), [(0, 3), (1, 3), (3, 3), (4, 3), (1000, 10), (1000, 1), (50, 100), (9, 0)])
def test_as_many_as_there_are_in_their_order(count: int, size: int) -> None:
    rows = sampled(count, size)
    assert len(rows) == min(count, size)
    numbers = [number for number, _ in rows]
    assert numbers == sorted(set(numbers))
    assert all(record == b"%d" % (number - 1) for number, record in rows), "numbers are from 1"


def test_batches_change_nothing() -> None:
    assert sampled(500, 10, batch=1) == sampled(500, 10, batch=500) == sampled(500, 10, batch=33)


def test_splits_have_chances_of_their_own() -> None:
    assert sampled(500, 10, split="train") != sampled(500, 10, split="eval")


def test_every_record_has_the_same_chance() -> None:
    counts = Counter(number for run in range(2000) for number, _ in sampled(40, 4, batch=40, split=str(run)))
    # 200 each are expected, with a standard deviation of 13.4.
    assert set(counts) == set(range(1, 41))
    assert all(140 < count < 260 for count in counts.values())
