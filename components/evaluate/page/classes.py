"""The section with a row for each class."""

from __future__ import annotations

from components.evaluate.page import cells
from components.runtime.evaluation.computation.results import Results, candidate_name, metric_name
from components.runtime.stage import report
from components.runtime.stage.report import Html


def sections(results: Results) -> list[Html]:
    """A row for each class: what the confusion matrix says of it, and its metrics."""
    overall = results.overall
    columns: dict[str, dict[int, float | None]] = {}
    plots = results.plots.get(candidate_name(results.plots))
    if plots is not None and plots.classes and not plots.pixels:
        columns |= _of_matrix(plots.classes)
    for key in cells.columns(overall).values():
        number = cells.class_of(key)
        if number is not None:
            name = metric_name(key._replace(sub_key=key.sub_key._replace(class_id=None)))
            columns.setdefault(name, {})[number] = overall.defined(key)
            if cells.baseline_key(key) in overall.values:
                columns.setdefault(f"{name}, baseline", {})[number] = overall.defined(cells.baseline_key(key))
    numbers = sorted({number for column in columns.values() for number in column if number >= 0})
    if not numbers:
        return []
    examples = columns.get("examples", {})
    shown = sorted(sorted(numbers, key=lambda number: -(examples.get(number) or 0.0))[: cells.MAX_ROWS])
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
