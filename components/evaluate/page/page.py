"""The report of an evaluation: the verdict first, then what it rests on."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types

from components.evaluate.computation.results import (
    EXAMPLE_COUNT,
    Plots,
    Results,
    SliceMetrics,
    candidate_name,
    metric_name,
)
from components.evaluate.metrics import segmentation
from components.evaluate.metrics.lift import NAME as LIFT
from components.evaluate.page import fairness, gallery
from components.evaluate.page import regression as regression_page
from components.evaluate.verdict import Outcome, Verdict
from components.runtime.stage import report
from components.runtime.stage.report import Html

_MAX_SLICES = 60
_MAX_CLASSES = 40
_FEWEST = 3
_TICK_LETTERS = 28
_LEVEL = 4
"""Names of so many letters need not be turned."""
_LETTER = 0.075
"""Width of a letter in inches."""
_SLANTED = 24
"""Up to so many names stand slanted under an axis, more upright."""


def render(
    results: Results,
    verdict: Verdict,
    facts: dict[str, Any],
    pictures: Sequence[gallery.Picture] = (),
    label: str = "",
) -> str:
    """Returns the page.

    Args:
      results: what was measured.
      verdict: what was decided.
      facts: further lines under the verdict, such as the number of rows.
      pictures: examples to show.
      label: the feature that holds the class; slices by it are named as the classes are.
    """
    sections = [_verdict(verdict, facts), _thresholds(results, verdict.outcomes), _overall(results), *_classes(results)]
    if pictures:
        sections.append(gallery.section(pictures, results.class_names))
    sections += _slices(results, verdict, label)
    sections += fairness.sections(results)
    sections += _curves(results)
    return report.page("Evaluation", *[entry for entry in sections if entry])


def _verdict(verdict: Verdict, facts: dict[str, Any]) -> Html:
    word = report.text("Blessed", "good") if verdict.blessed else report.text("Not blessed", "bad")
    details = " · ".join(f"{name.lower()} {value}" for name, value in facts.items())
    baseline = "compared with the latest blessed model" if verdict.baseline else "no baseline to compare with"
    return report.section(
        "Verdict",
        report.paragraph(word, ": ", verdict.reason),
        report.paragraph(report.text(f"{details} · {baseline}", "muted")),
    )


def _thresholds(results: Results, outcomes: list[Outcome]) -> Html:
    if not outcomes:
        return report.section("Thresholds", report.paragraph(report.text("No threshold is set.", "bad")))
    # Failures first: with a threshold on every slice they would drown.
    ordered = sorted(outcomes, key=lambda outcome: (outcome.passed is not False, outcome.passed is None))
    # Thresholds are judged by a class's number, people read its name.
    names = {metric_name(key): metric_name(key, results.class_name) for key in results.overall.values}
    rows = [
        [
            outcome.slice,
            names.get(outcome.metric, outcome.metric),
            outcome.kind,
            outcome.bound,
            outcome.value,
            outcome.baseline_value,
            _outcome(outcome),
        ]
        for outcome in ordered[:_MAX_SLICES]
    ]
    more = (
        [report.paragraph(report.text(f"and {len(ordered) - _MAX_SLICES} more", "muted"))]
        if len(ordered) > _MAX_SLICES
        else []
    )
    headers = ["Slice", "Metric", "Kind", "Bound", "Candidate", "Baseline", "Outcome"]
    return report.section("Thresholds", report.table(headers, rows), *more)


def _outcome(outcome: Outcome) -> Html:
    if outcome.passed is None:
        return report.text("not applied", "muted")
    return report.text("holds", "good") if outcome.passed else report.text("fails", "bad")


def _columns(results: Results, entry: SliceMetrics) -> dict[str, metric_types.MetricKey]:
    """The candidate's metrics by the name people read."""
    name = candidate_name(key.model_name for key in entry.values)
    return {metric_name(key): key for key in entry.values if key.model_name == name and not key.is_diff}


def _baseline_key(key: metric_types.MetricKey) -> metric_types.MetricKey:
    return key._replace(model_name=constants.BASELINE_KEY)


def _overall(results: Results) -> Html:
    entry = results.overall
    columns = {name: key for name, key in _columns(results, entry).items() if _class_of(key) is None}
    if any(key.model_name == constants.BASELINE_KEY for key in entry.values):
        headers = ["Metric", "Candidate", "Baseline", "Change"]
        rows = [
            [name, *(_cell(entry, part) for part in (key, _baseline_key(key), key._replace(is_diff=True)))]
            for name, key in columns.items()
        ]
    else:
        headers = ["Metric", "Value"]
        rows = [[name, _cell(entry, key)] for name, key in columns.items()]
    return report.section("All examples", report.table(headers, rows), *_interval_note([entry]))


def _cell(entry: SliceMetrics, key: metric_types.MetricKey) -> object:
    """A value, with its confidence interval where there is one."""
    value = entry.defined(key)
    if value is None or key not in entry.intervals:
        return value
    low, high = entry.intervals[key]
    return Html(f"{report.escape(value)} {report.text(f'{low:.4g} to {high:.4g}', 'muted')}")


def _interval_note(entries: Iterable[SliceMetrics]) -> list[Html]:
    if not any(entry.intervals for entry in entries):
        return []
    return [report.paragraph(report.text("grey: 95 % confidence interval", "muted"))]


def _class_of(key: metric_types.MetricKey) -> int | None:
    return key.sub_key.class_id if key.sub_key else None


def _classes(results: Results) -> list[Html]:
    """A row for each class: what the confusion matrix says of it, and its metrics."""
    overall = results.overall
    columns: dict[str, dict[int, float | None]] = {}
    plots = results.plots.get(candidate_name(results.plots))
    if plots is not None and plots.classes and not plots.pixels:
        columns |= _of_matrix(plots.classes)
    for key in _columns(results, overall).values():
        number = _class_of(key)
        if number is not None:
            name = metric_name(key._replace(sub_key=key.sub_key._replace(class_id=None)))
            columns.setdefault(name, {})[number] = overall.defined(key)
            if _baseline_key(key) in overall.values:
                columns.setdefault(f"{name}, baseline", {})[number] = overall.defined(_baseline_key(key))
    numbers = sorted({number for column in columns.values() for number in column if number >= 0})
    if not numbers:
        return []
    examples = columns.get("examples", {})
    shown = sorted(sorted(numbers, key=lambda number: -(examples.get(number) or 0.0))[:_MAX_SLICES])
    rows = [[results.class_name(number), *[column.get(number) for column in columns.values()]] for number in shown]
    parts = [report.table(["class", *columns], rows)]
    if len(shown) < len(numbers):
        parts.append(report.paragraph(report.text(f"the {len(shown)} largest of {len(numbers)} classes", "muted")))
    for number, (mine, other) in list(results.renumbered.items())[:1]:
        note = (
            f"The baseline numbers its classes otherwise: {number} is {mine!r}, and {other!r} in the baseline. "
            "Its values by class are of other classes."
        )
        parts.append(report.paragraph(report.text(note, "bad")))
    return [report.section("By class", *parts)]


def _of_matrix(classes: dict[tuple[int, int], float]) -> dict[str, dict[int, float | None]]:
    """Examples, precision, recall and F1 of each class, from examples by actual and predicted class."""
    actual: dict[int, float] = {}
    predicted: dict[int, float] = {}
    for (truth, answer), count in classes.items():
        actual[truth] = actual.get(truth, 0.0) + count
        predicted[answer] = predicted.get(answer, 0.0) + count
    numbers = {*actual, *predicted}
    right = {number: classes.get((number, number), 0.0) for number in numbers}
    both = {number: actual.get(number, 0.0) + predicted.get(number, 0.0) for number in numbers}
    return {
        "examples": {number: actual.get(number, 0.0) for number in numbers},
        "precision": {number: _ratio(right[number], predicted.get(number, 0.0)) for number in numbers},
        "recall": {number: _ratio(right[number], actual.get(number, 0.0)) for number in numbers},
        "F1": {number: _ratio(2 * right[number], both[number]) for number in numbers},
    }


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def _slices(results: Results, verdict: Verdict, label: str) -> list[Html]:
    groups: dict[tuple[str, ...], list[SliceMetrics]] = {}
    for entry in results.slices:
        if entry.features:
            groups.setdefault(entry.features, []).append(entry)
    sections = [
        _slice_group(results, " and ".join(names), entries, verdict, label) for names, entries in groups.items()
    ]
    crossed = [entry for entry in results.slices if entry.is_cross]
    return sections + ([_slice_group(results, "pairs of slices", crossed, verdict, label)] if crossed else [])


def _slice_group(results: Results, title: str, entries: list[SliceMetrics], verdict: Verdict, label: str) -> Html:
    shown = entries
    if len(entries) > _MAX_SLICES:
        largest = sorted(entries, key=lambda entry: -(entry.examples or 0))[:_MAX_SLICES]
        shown = [entry for entry in entries if entry in largest]
    columns: dict[str, metric_types.MetricKey] = {}
    for entry in shown:
        columns |= _columns(results, entry)
    names = [_label(results, entry, label) for entry in shown]
    rows = [[name, *[_cell(entry, key) for key in columns.values()]] for name, entry in zip(names, shown, strict=True)]
    # Of the label's slices no curve is defined: nothing would be drawn of it.
    drawn = [name for name, key in columns.items() if any(entry.defined(key) is not None for entry in shown)]
    main = _main_metric(drawn, verdict)
    parts: list[Html] = []
    if main is not None:
        key = columns[main]
        name = metric_name(key, results.class_name)
        parts.append(_bars(title, names, shown, key, name, results.overall.values.get(key)))
    headers = [metric_name(key, results.class_name) for key in columns.values()]
    parts += [report.table([title, *headers], rows), *_interval_note(shown)]
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
    figure = report.figure(9.5, 2.7 + _below(names))
    drawn = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1]) if counted else [figure.subplots()]
    top, bottom = drawn[0], drawn[-1]
    places = range(len(entries))
    values = [entry.defined(key) for entry in entries]
    finite = [math.nan if value is None or math.isinf(value) else value for value in values]
    top.bar(places, finite, color=report.COLORS[0])
    # A difference of two slices is not to be held against the value over all examples.
    if overall is not None and math.isfinite(overall) and counted:
        top.axhline(overall, color=report.COLORS[1], linewidth=1.2)
        top.set_title(f"line: all examples, {overall:.4g}", loc="right", fontsize=8, color="#6b7280")
    top.set_title(main, loc="left", fontsize=9)
    if counted:
        bottom.bar(places, examples, color="#9ca3af")
        bottom.set_ylabel("examples")
    _ticks(bottom.xaxis, list(places), names)
    for axes in drawn:
        axes.grid(axis="x", visible=False)
    return report.drawing(figure, f"{main} and number of examples by {title}" if counted else f"{main} by {title}")


def _ticks(axis: Any, places: Sequence[float], names: Sequence[str]) -> None:
    """Names along an axis: long ones shortened, and turned where they would run into each other."""
    turned: dict[str, Any] = {}
    if axis.axis_name == "x" and _below(names):
        turned = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"}
        if len(names) > _SLANTED:
            turned = {"rotation": 90}
    axis.set_ticks(places, list(map(_tick, names)), **turned)


def _tick(name: str) -> str:
    return name if len(name) <= _TICK_LETTERS else name[: _TICK_LETTERS - 1] + "…"


def _below(names: Sequence[str]) -> float:
    """Inches that turned names take below an axis; 0 where they need not be turned."""
    longest = max((len(_tick(name)) for name in names), default=0)
    return 0.0 if longest <= _LEVEL else longest * (_LETTER if len(names) > _SLANTED else _LETTER / 2)


def _curves(results: Results) -> list[Html]:
    sections = []
    models = sorted(results.plots, key=lambda name: name == constants.BASELINE_KEY)
    labels = {name: "baseline" if name == constants.BASELINE_KEY else "candidate" for name in models}
    named = [(labels[name], results.plots[name]) for name in models]
    for output in named[0][1].regressions if named else ():
        both = [(label, plots.regressions[output]) for label, plots in named if output in plots.regressions]
        sections.append(regression_page.section(output, both))
    drawn = [
        title
        for title, shown in [
            ("ROC curve", any(plots.roc() for _, plots in named)),
            ("calibration", any(_calibrated(plots) for _, plots in named)),
        ]
        if shown
    ]
    if drawn:
        title = " and ".join(drawn)
        sections.append(report.section(title[0].upper() + title[1:], _curve_drawing(named)))
    if any(plots.pixels for _, plots in named):
        sections.append(report.section("Intersection over union by class", _iou_drawing(named)))
    for label, plots in named[:1]:
        matrix = plots.matrix()
        if matrix is not None and plots.pixels:
            sections.append(report.section(f"Pixels by class ({label})", _matrix_drawing(*matrix, "pixels")))
        elif matrix is not None and len(matrix[0]) <= _MAX_CLASSES:
            note = "" if plots.classes else ", threshold 0.5"
            sections.append(report.section(f"Confusion matrix ({label}{note})", _matrix_drawing(*matrix)))
    return sections


def _curve_drawing(named: list[tuple[str, Plots]]) -> Html:
    """The ROC curve and the calibration, or that of the two which there is."""
    has_roc, has_calibration = (
        any(plots.roc() for _, plots in named),
        any(_calibrated(plots) for _, plots in named),
    )
    figure = report.figure(9.5 if has_roc and has_calibration else 4.9, 4.2)
    panels = list(figure.subplots(1, has_roc + has_calibration, squeeze=False)[0])
    if has_roc:
        _roc(panels[0], named)
    if has_calibration:
        _calibration(panels[-1], named)
    what = " and ".join(["ROC curve"] * has_roc + ["calibration"] * has_calibration)
    return report.drawing(figure, f"{what} of the models")


def _roc(axes: Any, named: list[tuple[str, Plots]]) -> None:
    for (label, plots), color in zip(named, report.COLORS, strict=False):
        curve = plots.roc()
        if curve:
            points = [(0.0, 0.0), *[(rate, recall) for _, rate, recall in curve]]
            axes.plot(*zip(*points, strict=True), label=label, color=color)
    _square(axes, (0.0, 1.0))
    axes.set_xlabel("false positive rate")
    axes.set_ylabel("recall")


def _calibration(axes: Any, named: list[tuple[str, Plots]]) -> None:
    """In the range of labels and predictions, from 0 to 1 at least where these are probabilities."""
    values = []
    for (label, plots), color in zip(named, report.COLORS, strict=False):
        points = _calibrated(plots)
        if points:
            predictions, labels, counts = zip(*points, strict=True)
            values += [*predictions, *labels]
            axes.plot(predictions, labels, color=color, linewidth=1)
            sizes = [8 + 60 * count / max(counts) for count in counts]
            axes.scatter(predictions, labels, s=sizes, color=color, label=label)
    low, high = min(values, default=0.0), max(values, default=1.0)
    _square(axes, (low, high) if low < 0 or high > 1 else (0.0, 1.0))
    axes.set_xlabel("mean prediction (dots: more examples are larger)")
    axes.set_ylabel("mean label")


def _calibrated(plots: Plots) -> list[tuple[float, float, float]]:
    """What of the calibration can be drawn."""
    # A bucket of infinite predictions has no place.
    points = [point for point in plots.calibration if all(map(math.isfinite, point))]
    # Of a regression all may lie beyond 0 and 1, TFMA's range where the configuration has none: that says nothing.
    return [] if plots.regressions and len(points) < _FEWEST else points


def _square(axes: Any, ends: tuple[float, float]) -> None:
    """The same range along both axes, with the diagonal."""
    margin = 0.02 * (ends[1] - ends[0] or 1.0)
    axes.plot(ends, ends, color="#9ca3af", linestyle=":", linewidth=1)
    axes.set_xlim(ends[0] - margin, ends[1] + margin)
    axes.set_ylim(ends[0] - margin, ends[1] + margin)
    axes.set_aspect("equal")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="lower right")


def _iou_drawing(named: list[tuple[str, Plots]]) -> Html:
    """Bars of each class: the best constant answer, then the models."""
    figure = report.figure(9.5, 2.9)
    axes = figure.subplots()
    matrices = [(label, matrix) for label, plots in named if (matrix := plots.matrix()) is not None]
    classes = matrices[0][1][0]
    tables = [(label, np.array(rows)) for label, (_, rows) in matrices]
    bars = [("constant answer", segmentation.constant(tables[0][1]), "#9ca3af")]
    bars += [(label, table, color) for (label, table), color in zip(tables, report.COLORS, strict=False)]
    width = 0.8 / len(bars)
    for number, (label, table, color) in enumerate(bars):
        values = segmentation.class_iou(table)
        places = [place + (number - (len(bars) - 1) / 2) * width for place in range(len(classes))]
        drawn = axes.bar(
            places, values, width=width, color=color, label=f"{label}, mean {segmentation.mean_iou(table):.3f}"
        )
        axes.bar_label(drawn, fmt="%.2f", fontsize=8, color="#6b7280")
    _ticks(axes.xaxis, range(len(classes)), classes)
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("intersection over union")
    axes.grid(axis="x", visible=False)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return report.drawing(
        figure, "Intersection over union of each class, of the models and of the best constant answer"
    )


def _matrix_drawing(names: list[str], rows: list[list[float]], unit: str = "examples") -> Html:
    size = 1.2 + (0.6 if unit == "pixels" else 0.42) * len(names)
    beside = _LETTER * max(len(_tick(name)) for name in names)
    figure = report.figure(size + 0.4 + beside, size + _below(names))
    axes = figure.subplots()
    totals = [sum(row) or 1.0 for row in rows]
    shares = [[cell / total for cell in row] for row, total in zip(rows, totals, strict=True)]
    axes.grid(visible=False)
    axes.pcolormesh(shares, cmap="Blues", vmin=0.0, vmax=1.0, edgecolors="#e5e7eb", linewidth=0.5)
    axes.invert_yaxis()
    axes.set_aspect("equal")
    for down, row in enumerate(rows):
        for across, cell in enumerate(row):
            color = "white" if shares[down][across] > 0.5 else "#1f2937"
            if cell:
                # Of pixels there are millions, which no cell has room for.
                text = f"{shares[down][across]:.1%}" if unit == "pixels" else f"{cell:.6g}"
                axes.text(across + 0.5, down + 0.5, text, ha="center", va="center", color=color, fontsize=8)
    places = [number + 0.5 for number in range(len(names))]
    _ticks(axes.xaxis, places, names)
    _ticks(axes.yaxis, places, names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("actual")
    return report.drawing(
        figure, f"{unit.capitalize()} by actual and predicted class; colour: share of the actual class"
    )
