"""Spans of feedback on disk: a kill at any moment leaves neither a row in two spans nor one in none."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.runtime.errors import InputError, TransientError
from components.runtime.feedback import spans
from components.runtime.feedback.spans import Spans

ROWS = pa.table({"fare": [1.5, 2.5]})
IDS = ["a-0", "b-0"]


def _dies(log: Path, data: Path, moment: int) -> int:
    """Makes a span in a process that dies before its so-manieth step; 0 where it came to its end."""
    if child := os.fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    steps = itertools.count(1)

    def counted(deed: Callable[..., Any]) -> Callable[..., Any]:
        def before(*arguments: Any, **named: Any) -> Any:
            if next(steps) == moment:
                os._exit(9)
            return deed(*arguments, **named)

        return before

    try:
        for place, name in ((os, "replace"), (parquet, "write_table"), (spans, "sync"), (Path, "rename")):
            setattr(place, name, counted(getattr(place, name)))
        with spans.alone(log):
            spans.publish(Spans.of(str(data)), log, ROWS, IDS)
    except BaseException:
        os._exit(1)
    os._exit(0)


def test_a_process_that_dies_anywhere_leaves_a_whole_span_that_is_known_or_none(tmp_path: Path) -> None:
    ends = set()
    for moment in range(1, 12):
        log, data = tmp_path / f"log{moment}", tmp_path / f"data{moment}"
        log.mkdir()
        code = _dies(log, data, moment)
        with spans.alone(log):
            known = spans.used(log)
        folders = [entry for entry in data.iterdir() if not entry.name.startswith(".")] if data.exists() else []
        assert known == (set(IDS) if folders else set())
        for folder in folders:
            assert parquet.read_table(folder / "part.parquet").equals(ROWS)
        ends.add((code, bool(folders)))
        if code == 0:
            break
    assert ends == {(9, False), (9, True), (0, True)}


def test_two_at_once_wait_for_none(tmp_path: Path) -> None:
    with spans.alone(tmp_path):
        second = spans.alone(tmp_path)
        with pytest.raises(TransientError, match="another feedback is under way"):
            second.__enter__()


@pytest.mark.parametrize(
    ("there", "data", "number", "name"),
    [
        ([], "data", 1, "span-1"),
        (["span-1", "span-09", "span-x", ".span-77"], "data", 10, "span-10"),
        (["2026-w3", "span-9"], "data/2026-w{SPAN}", 4, "2026-w4"),
        (["day-2/x"], "data/day-{SPAN}/*.parquet", 3, "day-3"),
    ],
)
def test_the_next_number(there: list[str], data: str, number: int, name: str, tmp_path: Path) -> None:
    for each in there:
        (tmp_path / "data" / each).mkdir(parents=True)
    assert Spans.of(str(tmp_path / data)).next() == (number, tmp_path / "data" / name)


def test_a_damaged_record_of_what_is_in_a_span_is_named(tmp_path: Path) -> None:
    with spans.alone(tmp_path):
        spans.publish(Spans.of(str(tmp_path / "data")), tmp_path, ROWS, IDS)
    [record] = (tmp_path / "spans").glob("*.parquet")
    record.write_bytes(b"PAR1")
    with pytest.raises(InputError, match=rf"{record.name}: tells which predictions are in a span, and cannot be read"):
        spans.used(tmp_path)
