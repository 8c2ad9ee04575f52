"""The page: what became of the new version, and what was seen of it beside the stable one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from components.canary.counters import Counted
from components.canary.judging import TITLES
from components.canary.traffic import CANARY, STABLE
from components.canary.watching import Sample, Step
from components.runtime.stage.report import COLORS, Html, drawing, figure, page, paragraph, section, table, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLE = "Canary"
_UNKNOWN = "unknown"


def render(
    promoted: bool, reason: str, version: int, label: str, stable: int, last: Step | None, samples: Sequence[Sample]
) -> str:
    """The page as HTML.

    Args:
      promoted: whether the version has the label now.
      reason: the verdict in a line.
      version: the new one; 0 where none was pushed.
      label: such as stable.
      stable: the version that it was watched beside; 0 where there was none.
      last: the last step that was watched.
      samples: what was counted over time.
    """
    told = f"version {version} is {label} now" if promoted else "not promoted"
    parts = [section("What became of it", paragraph(text(f"{told}: {reason}", "good" if promoted else "bad")))]
    if last:
        checks = [
            [
                TITLES[each.name],
                _UNKNOWN if each.found is None else f"{each.found:.4g}",
                f"at most {each.limit:g}",
                _sign(each.holds),
            ]
            for each in last.checks
        ]
        parts.append(section("Bounds", table(["", f"at {last.percent} % of the traffic", "bound", "kept"], checks)))
        names = {STABLE: f"version {stable} ({label})", CANARY: f"version {version}"}
        counted = [
            [names[side], each.requests, _percent(each.error_rate), _ms(each, 0.5), _ms(each, 0.99)]
            for side, each in last.sides.items()
        ]
        headers = ["", "requests", "without an answer", "median, ms", "99 %, ms"]
        parts.append(section(f"At {last.percent} % of the traffic", table(headers, counted)))
        if samples:
            parts.append(section("Over time", _drawn(samples, names)))
    return page(_TITLE, *parts)


def _sign(holds: bool | None) -> Html | str:
    if holds is None:
        return _UNKNOWN
    return text("yes", "good") if holds else text("no", "bad")


def _percent(share: float | None) -> str:
    return _UNKNOWN if share is None else f"{share:.2%}"


def _ms(counted: Counted, share: float) -> str:
    found = counted.quantile(share)
    return _UNKNOWN if found is None else f"{found * 1000:.1f}"


def _drawn(samples: Sequence[Sample], names: dict[str, str]) -> Html:
    drawn = figure(9, 7)
    share, requests, errors, slow = drawn.subplots(4, 1, sharex=True)
    minutes = [each.minute for each in samples]
    share.step(minutes, [each.percent for each in samples], where="pre", color=COLORS[0])
    share.set_ylabel("% of traffic")
    share.set_ylim(0, 105)
    values: list[tuple[Axes, str, Callable[[Counted, Sample], float | None]]] = [
        (requests, "requests a second", lambda each, sample: each.requests / sample.seconds),
        (errors, "% without an answer", lambda each, _: None if each.error_rate is None else each.error_rate * 100),
        (slow, "99 % within, ms", lambda each, _: None if (found := each.quantile(0.99)) is None else found * 1000),
    ]
    for axes, title, value in values:
        for side, color in ((STABLE, COLORS[0]), (CANARY, COLORS[1])):
            known = [(each.minute, value(each.sides[side], each)) for each in samples]
            points = [(minute, number) for minute, number in known if number is not None]
            if points:
                axes.plot(*zip(*points, strict=True), color=color, marker="o", markersize=3, label=names[side])
        axes.set_ylabel(title)
        axes.set_ylim(bottom=0)
    requests.legend(frameon=False, loc="upper left")
    slow.set_xlabel("minutes")
    return drawing(drawn, "Share of the traffic, requests, errors and latencies of both versions over time")
