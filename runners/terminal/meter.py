"""How far a task is, drawn into the room that there is: bar, share, rows, rate, time left, and where the loss goes."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from components.runtime.stage.progress import Count
from runners.terminal import text

_WINDOW_SECONDS = 20.0
_WINDOW_SAMPLES = 5
"""What a rate is taken of: the samples of the last seconds, and never fewer than these where there are so many."""

_FIRST_SECONDS = 1.0
"""Sooner than this nobody knows how long something takes."""

_FEW = 50
"""Of so few, such as trials, several may end at once: their rate is that since the beginning."""

_BAR, _WIDE_BAR, _WIDE = 10, 20, 60
"""Columns of a bar, and of one where there are so many columns for all."""

_EXTRA = 6
"""The rank from which a part takes only what the others leave, in their long forms."""

_LEVELS = "▁▂▃▄▅▆▇█"
_CURVES = (5, 8)
_MOST_POINTS = 400


class Meter:
    """What is known of one task from the counts that it reports."""

    def __init__(self) -> None:
        """Knows nothing yet."""
        self._count: Count | None = None
        self._samples: deque[tuple[float, int]] = deque()
        self._begun = 0.0
        self._first = 0
        self._curve: list[tuple[int, float]] = []

    def add(self, count: Count, now: float) -> None:
        """Takes a count that was reported at a time, in seconds of a clock that only goes on."""
        before = self._count
        if before is None or (count.unit, count.total) != (before.unit, before.total) or count.done < before.done:
            # New ones, not emptied: the drawing reads them in a thread of its own.
            self._samples, self._curve, self._begun, self._first = deque(), [], now, count.done
        self._count = count
        # What comes before the first unit, such as a compilation, says nothing of those that follow; who goes on from a
        # checkpoint begins with more than none.
        if count.done > self._first and (not self._samples or count.done > self._samples[-1][1]):
            self._samples.append((now, count.done))
        while len(self._samples) > _WINDOW_SAMPLES and now - self._samples[0][0] > _WINDOW_SECONDS:
            self._samples.popleft()
        if count.values:
            curve = self._curve if len(self._curve) < _MOST_POINTS else self._curve[::2]
            self._curve = [*curve, (count.done, next(iter(count.values.values())))]

    @property
    def share(self) -> float | None:
        """Of what there is to do, from 0 to 1; None where nobody knows how much that is."""
        count = self._count
        return count.done / count.total if count and count.total and count.done <= count.total else None

    def rate(self, now: float) -> float | None:
        """Units in a second; None as long as that cannot be said."""
        samples = self._samples
        if len(samples) < 2 or now - self._begun < _FIRST_SECONDS:
            return None
        (first, before), (last, done) = samples[0], samples[-1]
        count = self._count
        if count and count.total and count.total <= _FEW:
            first, before = self._begun, self._first
        return (done - before) / (last - first) if last > first else None

    def left(self, now: float) -> float | None:
        """Seconds that the rest will take; None where nobody can say, or where nothing has moved for too long."""
        rate, count, samples = self.rate(now), self._count, self._samples
        if not rate or count is None or not count.total or count.done >= count.total or len(samples) < 2:
            return None
        last, done = samples[-1]
        silent, usual = now - last, (last - samples[0][0]) / (len(samples) - 1)
        if silent > max(10.0, 3 * usual):
            return None
        return max(0.0, (count.total - done) / rate - silent)

    def line(self, now: float, width: int | None = None) -> str:
        """What there is to say, as much of it as has room; without a width all but the bar, for a log."""
        count = self._count
        if count is None:
            return ""
        share, rate, left = self.share, self.rate(now), self.left(now)
        # Each with its forms from short to long, in the order in which they stand; what is dearest is the lowest.
        parts: list[tuple[int, Sequence[str]]] = [
            (1, [] if share is None or width is None else [_bar(share, _BAR if width < _WIDE else _WIDE_BAR)]),
            (0, [] if share is None else [f"{int(100 * share):>3} %"]),
            (4, [_counted(count, short=True), _counted(count, short=False)]),
            (7, [] if rate is None else [f"{_amount(rate, count.unit)}/s"]),
            # (Words are dearer to nobody than a curve: they take what is left by its short form.)
            (2, [] if left is None else [*[about(left, short=True)] * 2, f"{about(left)} left"]),
            (3, self._first_value(count)),
            (6, [_value(count, 1)] if len(count.values) > 1 else []),
            (2 if count.done in (0, count.total) else 8, [count.text] if count.text else []),
        ]
        return _fitted(parts, width)

    def _first_value(self, count: Count) -> list[str]:
        """The first value alone, and with its curve so far."""
        if not count.values:
            return []
        said = _value(count, 0)
        curves = [sparkline(self._curve, columns) for columns in _CURVES]
        return [said, *(f"{said} {curve}" for curve in curves if curve)]


def _fitted(parts: Sequence[tuple[int, Sequence[str]]], width: int | None) -> str:
    """The parts that have room, two blanks between them: first the short form of each, then the long ones."""
    if width is None:
        return "  ".join(forms[-1].strip() for _, forms in parts if forms)
    chosen: dict[int, str] = {}

    def used(instead: dict[int, str]) -> int:
        return sum(map(len, instead.values())) + 2 * (len(instead) - 1)

    ranked = sorted((rank, place) for place, (rank, forms) in enumerate(parts) if forms)
    for needed in (True, False):
        for form in range(max((len(forms) for _, forms in parts), default=0)):
            for rank, place in ranked:
                forms = parts[place][1]
                if (rank < _EXTRA) == needed and form < len(forms) and (form == 0 or place in chosen):
                    tried = chosen | {place: forms[form]}
                    chosen = tried if used(tried) <= width else chosen
    return "  ".join(chosen[place] for place in sorted(chosen))


def about(seconds: float, *, short: bool = False) -> str:
    """A time that nobody knows exactly, in words that do not pretend to: `about 2 min`, in short `~2 min`."""
    if seconds < 57.5:
        said = f"{max(5, 5 * round(seconds / 5))} s"
    elif seconds < 3570:
        said = f"{max(1, round(seconds / 60))} min"
    else:
        minutes = 10 * round(seconds / 600)
        said = f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    return f"~{said}" if short else f"about {said}"


def sparkline(curve: Sequence[tuple[int, float]], size: int) -> str:
    """Values over steps as a row of small bars, from the smallest to the largest; empty where there are too few."""
    values = [(step, value) for step, value in curve if abs(value) < float("inf")]
    if len({step for step, _ in values}) < 2:
        return ""
    first, last = values[0][0], values[-1][0]
    columns: list[list[float]] = [[] for _ in range(min(size, len(values)))]
    for step, value in values:
        columns[min(len(columns) - 1, (step - first) * len(columns) // (last - first))].append(value)
    means = [sum(column) / len(column) for column in columns if column]
    low, high = min(means), max(means)
    scale = (len(_LEVELS) - 1) / (high - low) if high > low else 0.0
    return "".join(_LEVELS[round((mean - low) * scale)] for mean in means)


def _bar(share: float, size: int) -> str:
    filled = int(share * size)
    return "━" * filled + "─" * (size - filled)


def _counted(count: Count, *, short: bool) -> str:
    total = count.total if count.total and count.done <= count.total else None
    if total is None:
        return _amount(count.done, count.unit)
    if count.unit == "bytes":
        return f"{text.size(count.done) if count.done else '0 B'}{'/' if short else ' of '}{text.size(total)}"
    done, of = (_few(count.done), _few(total)) if short else (f"{count.done:,}", f"{total:,}")
    # What grows does not push to and fro what stands behind it.
    return f"{done:>{len(of)}}/{of} {count.unit}"


def _amount(number: float, unit: str) -> str:
    if unit == "bytes":
        return text.size(number) if number else "0 B"
    return f"{f'{number:,.0f}' if number >= 10 or number == int(number) else f'{number:.1f}'} {unit}"


def _few(number: int) -> str:
    if number < 10_000:
        return f"{number}"
    return f"{number / 1000:.0f}k" if number < 1_000_000 else f"{number / 1_000_000:.1f}M"


def _value(count: Count, place: int) -> str:
    name, value = list(count.values.items())[place]
    return f"{name} {value:.4g}"
