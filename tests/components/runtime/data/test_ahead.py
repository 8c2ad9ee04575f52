"""What is made ahead comes in its order, no further ahead than asked for, and with its errors in their place."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from components.runtime.data.ahead import ahead


def test_order_of_a_chain() -> None:
    made = ahead(number * 2 for number in ahead(iter(range(1000))))
    assert list(made) == [number * 2 for number in range(1000)]


def test_another_thread_makes_the_items_and_not_too_many() -> None:
    made: list[int] = []
    threads = set()

    def items() -> Iterator[int]:
        for number in range(100):
            threads.add(threading.get_ident())
            made.append(number)
            yield number

    used = ahead(items(), depth=3)
    assert next(used) == 0
    assert len(made) <= 4
    used.close()  # type: ignore[attr-defined]
    assert len(made) <= 4
    assert threads == {*threads} - {threading.get_ident()}


def test_an_error_comes_when_it_is_its_turn() -> None:
    def items() -> Iterator[int]:
        yield from (1, 2)
        raise ValueError("three")

    used = ahead(items())
    assert (next(used), next(used)) == (1, 2)
    with pytest.raises(ValueError, match="three"):
        next(used)
