"""Tests of forked processes: how many there are, and what comes of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from components.runtime.errors import TransientError
from components.runtime.launch.forked import affordable, forked, mapped, processors

GIB = 1 << 30


@pytest.mark.parametrize(
    ("quota", "most"),
    [("max 100000", None), ("100000 100000", 1), ("50000 100000", 1), ("6400000 100000", None), ("", None)],
)
def test_processors_are_those_that_the_container_may_use(tmp_path: Path, quota: str, most: int | None) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(f"{quota}\n")
    assert processors(file) == (most or len(os.sched_getaffinity(0)))


def test_processors_without_control_groups(tmp_path: Path) -> None:
    assert processors(tmp_path / "cpu.max") == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(("limit", "processes"), [(8 * GIB, 14), (4 * GIB, 6), (2 * GIB, 2), (GIB, 1), (GIB // 2, 1)])
def test_no_more_processes_than_there_is_memory_for(tmp_path: Path, limit: int, processes: int) -> None:
    file = tmp_path / "memory.max"
    file.write_text(f"{limit}\n")
    assert affordable(64, GIB, GIB // 2, file) == processes
    assert affordable(2, GIB, GIB // 2, file) == min(2, processes)


def test_without_a_limit_the_machine_has_it(tmp_path: Path) -> None:
    file = tmp_path / "memory.max"
    file.write_text("max\n")
    assert affordable(64, 0, 1 << 60, file) == 1
    assert affordable(64, 0, 1, file) == 64


def test_results_come_in_order_from_several_processes() -> None:
    with mapped(_with_process, iter(range(40)), 3, "counts") as found:
        results = list(found)
    assert [number for number, _ in results] == list(range(40))
    assert os.getpid() not in {process for _, process in results}
    with mapped(_with_process, iter(range(3)), 1, "counts") as found:
        assert list(found) == [(number, os.getpid()) for number in range(3)]


def test_no_more_is_read_ahead_than_the_processes_need() -> None:
    read = []

    def items() -> Iterator[int]:
        for number in range(100):
            read.append(number)
            yield number

    with mapped(_with_process, items(), 2, "counts") as found:
        next(iter(found))
        assert len(read) <= 5


def test_a_killed_process_is_a_passing_fault_that_says_what_it_did() -> None:
    with pytest.raises(TransientError, match="a process that counts was killed"):
        _kill_one()


def test_what_begins_each_process_is_called_in_it(tmp_path: Path) -> None:
    def begin() -> None:
        (tmp_path / str(os.getpid())).touch()

    with forked(2, "counts", begin) as pool:
        assert pool is not None
        pool.submit(int).result()
    assert len(list(tmp_path.iterdir())) == 2
    assert not (tmp_path / str(os.getpid())).exists()


def _kill_one() -> None:
    with forked(2, "counts") as pool:
        assert pool is not None
        pool.submit(signal.raise_signal, signal.SIGKILL).result()


def _with_process(number: int) -> tuple[int, int]:
    return number, os.getpid()
