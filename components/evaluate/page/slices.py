"""The sections by slice: a table for each way of cutting, over it the bars of one metric."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tensorflow_model_analysis.metrics import metric_types

from components.evaluate.page import cells, ticks
from components.runtime.evaluation.computation.results import EXAMPLE_COUNT, Results, SliceMetrics, metric_name
from components.runtime.evaluation.metrics.lift import NAME as LIFT
from components.runtime.evaluation.verdict.verdict import Verdict
from components.runtime.stage import report
from components.runtime.stage.report import Html

_PALE_COLOR = "#c7d7f8"
_PALE = (
    f"pale: fewer than {cells.FEW} examples, or than {cells.FEW_OF_A_CLASS} of one of the two classes, so that the "
    "value may be chance"
)


def sections(results: Results, verdict: Verdict, label: str) -> list[Html]:
    """A section for each way that the examples are cut, and one for pairs of slices.

    Args:
      results: what was measured.
      verdict: what was decided; a metric with a threshold is the one that is drawn.
      label: the feature that holds the class; slices by it are named as the classes are.
    """
    groups: dict[tuple[str, ...], list[SliceMetrics]] = {}
    for entry in results.slices:
        if entry.features:
            groups.setdefault(entry.features, []).append(entry)
    by_features = [
        _slice_group(results, " and ".join(names), entries, verdict, label) for names, entries in groups.items()
    ]
    crossed = [entry for entry in results.slices if entry.is_cross]
    return by_features + ([_slice_group(results, "pairs of slices", crossed, verdict, label)] if crossed else [])


def _slice_group(results: Results, title: str, entries: list[SliceMetrics], verdict: Verdict, label: str) -> Html:
    shown = entries
    if len(entries) > cells.MAX_ROWS:
        largest = sorted(entries, key=lambda entry: -(entry.examples or 0))[: cells.MAX_ROWS]
        shown = [entry for entry in entries if entry in largest]
    columns: dict[str, metric_types.MetricKey] = {}
    for entry in shown:
        columns |= cells.columns(entry)
    names = [_label(results, entry, label) for entry in shown]
    rows = [
        [name, *[cells.cell(entry, key) for key in columns.values()]] for name, entry in zip(names, shown, strict=True)
    ]
    # Of the label's slices no curve is defined: nothing would be drawn of it.
    drawn = [name for name, key in columns.items() if any(entry.defined(key) is not None for entry in shown)]
    main = _main_metric(drawn, verdict)
    parts: list[Html] = []
    if main is not None:
        key = columns[main]
        name = metric_name(key, results.class_name)
        parts.append(_bars(title, names, shown, key, name, results.overall.values.get(key)))
        bars = [entry for entry in shown if entry.defined(key) is not None]
        notes = [_PALE] if any(map(cells.is_of_few, bars)) else []
        notes += ["dark lines: 95 % confidence intervals"] if any(key in entry.intervals for entry in bars) else []
        if notes:
            parts.append(report.paragraph(report.text("; ".join(notes), "muted")))
    headers = [metric_name(key, results.class_name) for key in columns.values()]
    parts += [report.table([title, *headers], rows), *cells.interval_note(shown)]
    if any(cell is None for row in rows for cell in row):
        parts.append(report.paragraph(report.text("–: not defined on these examples", "muted")))
    if len(shown) < len(entries):
        parts.append(report.paragraph(report.text(f"the {len(shown)} largest of {len(entries)} slices", "muted")))
    return report.section(f"By {title}", *parts)


def _label(results: Results, entry: SliceMetrics, label: str) -> str:
    """The values that a slice has of the features it is cut by; those of the label by the class's name."""
    if entry.is_cross:
        return entry.name
    return ", ".join(
        results.class_name(int(value)) if feature == label and value.isdigit() else value
        for feature, value in entry.parts
    )


def _main_metric(columns: Iterable[str], verdict: Verdict) -> str | None:
    # Lift says nothing in a slice by the label, where a single class is left.
    names = [name for name in columns if name not in (EXAMPLE_COUNT, LIFT)] or [
        name for name in columns if name == LIFT
    ]
    judged = [outcome.metric for outcome in verdict.outcomes if outcome.metric in names]
    return judged[0] if judged else (names[0] if names else None)


def _bars(
    title: str,
    names: list[str],
    entries: list[SliceMetrics],
    key: metric_types.MetricKey,
    main: str,
    overall: float | None,
) -> Html:
    """A bar for each slice.

    Args:
      title: what the slices are cut by.
      names: of the slices.
      entries: the slices.
      key: of the metric that is drawn.
      main: its name.
      overall: its value over all examples.
    """
    examples = [float(entry.examples) for entry in entries if entry.examples is not None]
    counted = len(examples) == len(entries)
    figure = report.figure(9.5, 2.7 + ticks.room_below(names))
    drawn = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1]) if counted else [figure.subplots()]
    top, bottom = drawn[0], drawn[-1]
    places = range(len(entries))
    values = [entry.defined(key) for entry in entries]
    finite = [math.nan if value is None or math.isinf(value) else value for value in values]
    colors = [_PALE_COLOR if cells.is_of_few(entry) else report.COLORS[0] for entry in entries]
    top.bar(places, finite, color=colors)
    for place, entry in zip(places, entries, strict=True):
        if key in entry.intervals and entry.defined(key) is not None:
            top.vlines(place, *entry.intervals[key], color="#374151", linewidth=1.2)
    # A difference of two slices is not to be held against the value over all examples.
    if overall is not None and math.isfinite(overall) and counted:
        top.axhline(overall, color=report.COLORS[1], linewidth=1.2)
        top.set_title(f"line: all examples, {overall:.4g}", loc="right", fontsize=8, color="#6b7280")
    top.set_title(main, loc="left", fontsize=9)
    if counted:
        bottom.bar(places, examples, color="#9ca3af")
        bottom.set_ylabel("examples")
    ticks.put(bottom.xaxis, list(places), names)
    for axes in drawn:
        axes.grid(axis="x", visible=False)
    return report.drawing(figure, f"{main} and number of examples by {title}" if counted else f"{main} by {title}")
