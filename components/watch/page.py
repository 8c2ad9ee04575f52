"""The page: the verdict, and how distances, metrics, answers, requests and labels went over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from matplotlib.axes import Axes

from components.runtime.stage import report
from components.watch.answers import MEAN
from components.watch.distances import MISSING, Distance
from components.watch.quality import HIGHER, Metric
from components.watch.verdict import DRIFTED, OK, Level, Looked, Verdict, left_out, why_unknown

_NEXT_TO_NONE = 0.1
"""Share of its threshold below which a share of missing values is not shown; it stands in watch.json."""
_LINES = 6
_LABELS = 8
"""Most moments that an axis of time names."""
_MUTED = "#6b7280"
_BAD = report.COLORS[4]


def watch_page(
    about: Mapping[str, Any],
    verdict: Verdict,
    windows: Sequence[Looked],
    levels: Mapping[str, Level],
    slices: Mapping[str, Mapping[str, Sequence[Metric]]],
) -> str:
    """Draws the page.

    Args:
      about: what `watch.json` says.
      verdict: what it comes to.
      windows: the oldest first.
      levels: metrics at blessing.
      slices: metrics of the window that decides, by feature and value.
    """
    parts = [report.section("Verdict", *_verdict(about, verdict, windows))]
    if verdict.distances is not None:
        parts.append(report.section("Drift and skew", *_distances(windows, verdict.distances)))
    parts.append(report.section("Quality by labels that arrived", *_quality(about, verdict, windows, levels, slices)))
    if any(each.answers for each in windows):
        parts.append(report.section("What it answers", _answers(windows)))
    parts.append(report.section("Requests and labels", _volume(windows), _table(windows)))
    return report.page("Watch", *parts)


def _verdict(about: Mapping[str, Any], verdict: Verdict, windows: Sequence[Looked]) -> list[report.Html]:
    style = {OK: "good", DRIFTED: "bad"}.get(verdict.state, "muted")
    trained = about["trained_on"]
    said = [
        report.paragraph(report.text(f"{verdict.state}: {verdict.reason}", style)),
        report.paragraph(
            f"Version {about['version']}, trained on {trained['rows']:,} rows (split {trained['split']}); "
            f"{len(windows)} windows of {about['every']} up to {_moment(windows[-1])} UTC. The newest window with "
            f"{about['min_rows']:,} rows decides on distances, that with {about['min_labels']:,} labels on metrics."
        ),
    ]
    if wrong := about["labels_left_out"]["count"]:
        told = left_out(wrong, about["labels_left_out"]["example"])
        said.append(report.paragraph(report.text(f"{told}.", "bad")))
    if about["not_logged"]:
        names = ", ".join(about["not_logged"])
        said.append(
            report.paragraph(report.text(f"Not in the log, as labels are not, and not compared: {names}.", "muted"))
        )
    return said


def _distances(windows: Sequence[Looked], place: int) -> list[report.Html]:
    deciding = windows[place]
    notes = report.paragraph(
        report.text(
            "Skew is the distance from what the model was trained on (of answers: from the oldest window with enough "
            "rows), drift that from the window before. The lines are shares of the threshold, by the beginnings of the "
            "windows.",
            "muted",
        )
    )
    headers = ["", "measure", "skew", "at most", "drift", "at most", ""]
    return [
        notes,
        _drawn_distances(windows, deciding),
        report.heading(f"Window until {_moment(deciding)}"),
        report.table(headers, _distance_rows(deciding)),
    ]


def _distance_rows(window: Looked) -> list[tuple[Any, ...]]:
    """A row for each feature and measure, the worst first; of the share of missing values none that is next to none."""
    pairs: dict[tuple[str, str], dict[str, Distance]] = {}
    for each in window.distances:
        pairs.setdefault((each.feature, each.measure), {})[each.kind] = each
    rows = []
    for (feature, measure), found in sorted(
        pairs.items(), key=lambda pair: (-max(each.share for each in pair[1].values()), pair[0])
    ):
        if measure == MISSING and max(each.share for each in found.values()) < _NEXT_TO_NONE:
            continue
        cells = [
            part
            for kind in ("skew", "drift")
            for part in ((found[kind].value, found[kind].threshold) if kind in found else (None, None))
        ]
        name = "share of missing values" if measure == MISSING else measure.replace("_", " ")
        rows.append((feature, name, *cells, _sign(list(found.values()))))
    return rows


def _sign(distances: Sequence[Distance]) -> report.Html:
    if any(each.passed for each in distances):
        return report.text("too far", "bad")
    unknown = [each for each in distances if each.value is None]
    if unknown:
        return report.text(f"{unknown[0].kind} not measured, because {unknown[0].why}", "muted")
    return report.text("within", "good")


def _drawn_distances(windows: Sequence[Looked], deciding: Looked) -> report.Html:
    figure = report.figure(9.5, 3.4)
    axes = figure.subplots(1, 2, sharey=True)
    worst: dict[str, float] = {}
    for each in deciding.distances:
        if each.value is not None:
            worst[each.feature] = max(worst.get(each.feature, 0.0), each.share)
    chosen = sorted(worst, key=lambda name: -worst[name])[:_LINES]
    titles = {"skew": "skew: from training", "drift": "drift: from the window before"}
    for axis, (kind, title) in zip(axes, titles.items(), strict=True):
        for name, color in zip(chosen, report.COLORS, strict=False):
            values = [_share(each.distances, name, kind) for each in windows]
            points = [(x, y) for x, y in enumerate(values) if y is not None]
            axis.plot([x for x, _ in points], [y for _, y in points], marker="o", markersize=3, label=name, color=color)
        axis.axhline(1, color=_BAD, linestyle=":", linewidth=1.2)
        axis.set_title(title, fontsize=9, loc="left")
        axis.set_ylim(bottom=0)
        _times(axis, windows)
    axes[0].legend(frameon=False, fontsize=7.5, loc="upper left")
    axes[0].set_ylabel("share of the threshold")
    return report.drawing(figure, "Distances of features over the windows, as shares of their thresholds")


def _share(distances: Sequence[Distance], feature: str, kind: str) -> float | None:
    found = [
        each.share for each in distances if each.feature == feature and each.kind == kind and each.value is not None
    ]
    return max(found) if found else None


def _quality(
    about: Mapping[str, Any],
    verdict: Verdict,
    windows: Sequence[Looked],
    levels: Mapping[str, Level],
    slices: Mapping[str, Mapping[str, Sequence[Metric]]],
) -> list[report.Html]:
    names = list(dict.fromkeys(metric.name for each in windows for metric in each.metrics))
    if not names or verdict.metrics is None:
        return [
            report.paragraph(
                report.text(
                    f"Unknown: {why_unknown(windows, about['min_labels'], about['labels_left_out']['count'])}.", "muted"
                )
            )
        ]
    figure = report.figure(3.2 * len(names) if len(names) > 1 else 5, 2.9)
    axes = figure.subplots(1, len(names), squeeze=False)[0]
    for axis, name in zip(axes, names, strict=True):
        found = [(place, each) for place, window in enumerate(windows) for each in window.metrics if each.name == name]
        axis.errorbar(
            [place for place, _ in found],
            [each.value for _, each in found],
            yerr=[[each.value - each.low for _, each in found], [each.high - each.value for _, each in found]],
            marker="o",
            markersize=4,
            capsize=3,
            color=report.COLORS[0],
            linewidth=1.2,
        )
        if level := levels.get(name):
            axis.axhline(level.value, color=_MUTED, linestyle="--", linewidth=1, label="at blessing")
            if level.bound is not None:
                sign = "at least" if name in HIGHER else "at most"
                axis.axhline(level.bound, color=_BAD, linestyle=":", linewidth=1.2, label=sign)
            axis.legend(frameon=False, fontsize=7.5)
        axis.set_title(name, fontsize=9, loc="left")
        axis.margins(y=0.15)
        _times(axis, windows)
    drawn = report.drawing(figure, f"{', '.join(names)} by window with 95 % intervals, and the level at blessing")
    deciding = windows[verdict.metrics]
    rows = [_metric_row(each, levels.get(each.name)) for each in deciding.metrics]
    headers = ["metric", "value", "95 % from", "to", "labels", "at blessing", "bound", ""]
    parts = [drawn, report.heading(f"Window until {_moment(deciding)}"), report.table(headers, rows)]
    for feature, values in slices.items():
        sliced: list[tuple[Any, ...]] = []
        for value, metrics in values.items():
            sliced += [(value, each.name, each.value, each.low, each.high, each.count) for each in metrics]
            sliced += [] if metrics else [(value, None, None, None, None, None)]
        headers = [feature, "metric", "value", "95 % from", "to", "labels"]
        note = report.text(f"A dash: fewer than {about['min_labels']:,} labels.", "muted")
        parts += [report.heading(f"By {feature}"), report.table(headers, sliced), report.paragraph(note)]
    return parts


def _metric_row(metric: Metric, level: Level | None) -> tuple[Any, ...]:
    if level is None:
        sign = report.text("not known from the blessing", "muted")
    elif level.bound is None:
        sign = report.text("not judged", "muted")
    else:
        sign = report.text("worse", "bad") if level.is_worse(metric) else report.text("within", "good")
    at, bound = (level.value, level.bound) if level else (None, None)
    return (metric.name, metric.value, metric.low, metric.high, metric.count, at, bound, sign)


def _answers(windows: Sequence[Looked]) -> report.Html:
    names = list(dict.fromkeys(name for each in windows for name in each.answers))[:3]
    figure = report.figure(3.2 * len(names) if len(names) > 1 else 5, 2.7)
    for axis, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        values = list(dict.fromkeys(value for each in windows for value in each.answers.get(name, {})))[:_LINES]
        for value, color in zip(values, report.COLORS, strict=False):
            points = [
                (x, each.answers[name][value]) for x, each in enumerate(windows) if value in each.answers.get(name, {})
            ]
            label = value if value == MEAN or len(value) < 25 else f"{value[:24]}…"
            axis.plot(
                [x for x, _ in points], [y for _, y in points], marker="o", markersize=3, color=color, label=label
            )
        axis.set_title(name, fontsize=9, loc="left")
        axis.set_ylabel(MEAN if values == [MEAN] else "share of the rows")
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]))
        axis.legend(frameon=False, fontsize=7.5)
        _times(axis, windows)
    return report.drawing(figure, "The answers over the windows: the mean, or the shares of the most frequent ones")


def _volume(windows: Sequence[Looked]) -> report.Html:
    figure = report.figure(9, 2.5)
    rows, share = figure.subplots(1, 2)
    places = range(len(windows))
    rows.bar(places, [each.rows for each in windows], color=report.COLORS[0], width=0.6)
    rows.set_ylabel("rows answered")
    answered = [(place, 100 * each.labels / each.rows) for place, each in enumerate(windows) if each.rows]
    share.bar([place for place, _ in answered], [each for _, each in answered], color=report.COLORS[2], width=0.6)
    share.set_ylabel("% of them with a label")
    share.set_ylim(0, 100)
    for axis in (rows, share):
        _times(axis, windows)
    return report.drawing(figure, "Rows that were answered in each window, and how many of them have a label")


def _table(windows: Sequence[Looked]) -> report.Html:
    rows = [
        (_moment(each), each.rows, each.labels, 100 * each.labels / each.rows if each.rows else None)
        for each in windows
    ]
    return report.table(["window until (UTC)", "rows", "labels", "% with a label"], rows)


def _moment(window: Looked) -> str:
    return f"{window.until:%Y-%m-%d %H:%M:%S}"


def _times(axis: Axes, windows: Sequence[Looked]) -> None:
    """Names the beginnings of windows on the axis of time."""
    day = windows[0].until - windows[0].since >= timedelta(days=1)
    step = -(-len(windows) // _LABELS)
    places = list(reversed(range(len(windows) - 1, -1, -step)))
    axis.set_xticks(
        places, [f"{windows[place].since:{'%m-%d' if day else '%H:%M:%S'}}" for place in places], fontsize=7
    )
    axis.set_xlim(-0.5, len(windows) - 0.5)
