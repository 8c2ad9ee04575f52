"""How a stage tells what it is doing: lines on standard output, for the log and for a runner that shows them live.

A line is a text, or says how far the stage is, in a form that a person reads in a log and a runner draws as a bar:
`progress: [82000/200000 rows] transforming`, `progress: [120/500 steps, loss 0.4312, auc 0.81]`.
"""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.runtime.text.visible import in_one_line

PREFIX = "progress: "
STARTED = "started"
COUNTER = ("millrace", "advanced")
"""Namespace and name of Beam's counter."""
WAITS = "waits for "
"""What a line begins with of a stage that itself does nothing until somebody else has done something."""

_INTERVAL_SECONDS = 0.5
_LONGEST_INTERVAL_SECONDS = 5.0
_PART_OF_TIME = 0.01
"""Share of the time so far that passes between two lines: the log of a day has no hundred thousand lines."""

_COUNT = re.compile(r"\[(\d+)(?:/(\d+))? ([a-z]+)((?:, [^,\]]+ [^ ,\]]+)*)\](?: (.*))?")

_last = 0.0
_begun = 0.0


@dataclass(frozen=True)
class Count:
    """How far a stage is.

    Attributes:
      done: of the units, in what `text` names; it begins again with 0 where something new begins.
      total: None where nobody knows.
      unit: a word of small letters, in the plural: rows, steps, images, files, bytes, trials.
      text: what is being done, in a few words.
      values: numbers of the moment by name, what matters most first: the loss.
    """

    done: int
    total: int | None = None
    unit: str = "rows"
    text: str = ""
    values: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """As it stands in a line of the log."""
        of = "" if self.total is None else f"/{self.total}"
        names = {re.sub(r"[,\]]+", "_", name): value for name, value in self.values.items()}
        values = "".join(f", {name} {value:.4g}" for name, value in names.items())
        return f"[{self.done}{of} {self.unit}{values}]{f' {self.text}' if self.text else ''}"

    @classmethod
    def read(cls, line: str) -> Count | None:
        """What a line says, without its prefix; None where it is a text."""
        if not (found := _COUNT.fullmatch(line)):
            return None
        done, total, unit, values, text = found.groups()
        numbers = {}
        for each in filter(None, values.split(", ")):
            name, _, value = each.rpartition(" ")
            try:
                numbers[name] = float(value)
            except ValueError:
                return None
        return cls(int(done), int(total) if total else None, unit, text or "", numbers)


def report(text: str, *, force: bool = True) -> None:
    """Says what the stage is doing, in a few words such as `choosing images for the report`.

    Args:
      text: one line.
      force: print even if the last line is less than half a second old; False in loops.
    """
    now = time.monotonic()
    if force or now - _last >= _interval(now):
        _print(text, now)


def count(
    done: int,
    total: int | None = None,
    unit: str = "rows",
    text: str = "",
    values: Mapping[str, float] | None = None,
    *,
    force: bool = False,
) -> None:
    """Says how far the stage is, from which a terminal draws a bar with the time that is left.

    It may be called as often as something is done: most calls print nothing.

    Args:
      done: how many of the units.
      total: how many there will be; None where that is not known.
      unit: a word of small letters, such as rows, steps, images, files, bytes, trials.
      text: what is being done, in a few words.
      values: numbers of the moment by name, what matters most first: the loss.
      force: print even if the last line is only just old; for the first and the last of a loop.
    """
    now = time.monotonic()
    if force or now - _last >= _interval(now):
        _print(str(Count(done, total or None, unit, text, values or {})), now)


def _print(text: str, now: float) -> None:
    global _last, _begun
    _last, _begun = now, _begun or now
    print(f"{PREFIX}{in_one_line(text)}", flush=True)


def _interval(now: float) -> float:
    """Seconds between two lines."""
    age = now - _begun if _begun else 0.0
    return min(max(_INTERVAL_SECONDS, age * _PART_OF_TIME), _LONGEST_INTERVAL_SECONDS)


class counting:
    """Lets `advance` count while the context is entered, in processes too that were forked since this was made."""

    def __init__(self, total: int | None, unit: str, text: str, *, repeats: bool = False) -> None:
        """Tells nothing yet.

        Args:
          total: how many units there are; None or 0 where that is not known.
          unit: as of `count`.
          text: as of `count`.
          repeats: whether all of it may be done several times, nobody knows how often: beyond the total a new pass
            begins.
        """
        from multiprocessing import get_context

        context: Any = get_context("fork")
        self._total, self._unit, self._text, self._repeats = total or None, unit, text, repeats
        self._done = context.Value("q", 0)
        self._told = context.Value("d", 0.0)
        self._outer: counting | None = None

    def __enter__(self) -> None:
        self.join()
        self._tell()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        global _counting
        _counting = self._outer
        if kind is None:
            self._tell()

    def join(self) -> None:
        """Counts from now on what is done in this process: one that was forked, in which nothing is entered."""
        global _counting
        self._outer, _counting = _counting, self

    def add(self, number: int) -> None:
        """Counts, and tells it now and then."""
        with self._done.get_lock():
            self._done.value += number
            now = time.monotonic()
            if now - self._told.value < _interval(now):
                return
            self._told.value = now
            done = self._done.value
        self._tell(done)

    def _tell(self, done: int | None = None) -> None:
        done = self._done.value if done is None else done
        total, text = self._total, self._text
        if total and done > total:
            if self._repeats:
                rounds = (done - 1) // total
                done, text = done - rounds * total, f"{text}, pass {rounds + 1}"
            else:
                # What was written down of the data is not so: what it said is no total.
                total = None
        count(done, total, self._unit, text, force=True)


_counting: counting | None = None


def advance(number: int = 1) -> None:
    """Counts what has been done: in a worker of Beam elsewhere by its counter, which the stage reads (`beam_progress`).

    Where nobody is counting nothing happens.
    """
    if _counting:
        _counting.add(number)
    elif metrics := sys.modules.get("apache_beam.metrics.metric"):
        # (Outside of a pipeline it counts nothing.)
        metrics.Metrics.counter(*COUNTER).inc(number)
