"""The report of an evaluation: the verdict first, then what it rests on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tensorflow_model_analysis import constants

from components.evaluate.page import cells, classes, curves, fairness, gallery, slices
from components.runtime.evaluation.computation.results import Results, metric_name
from components.runtime.evaluation.verdict.outcomes import Outcome
from components.runtime.evaluation.verdict.verdict import Verdict
from components.runtime.stage import report
from components.runtime.stage.report import Html


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
    sections = [
        _verdict(verdict, facts),
        _thresholds(results, verdict.outcomes),
        _overall(results),
        *classes.sections(results),
    ]
    if pictures:
        sections.append(gallery.section(pictures, results.class_names))
    sections += slices.sections(results, verdict, label)
    sections += fairness.sections(results)
    sections += curves.sections(results)
    return report.page("Evaluation", *[entry for entry in sections if entry])


def _verdict(verdict: Verdict, facts: dict[str, Any]) -> Html:
    # Stages behind this one may refuse what it blesses: whether the model is blessed in the end says the run's page.
    word = report.text("Passed", "good") if verdict.blessed else report.text("Not passed", "bad")
    details = " · ".join(f"{name.lower()} {value}" for name, value in facts.items())
    baseline = "compared with the latest blessed model" if verdict.baseline else "no baseline to compare with"
    return report.section(
        "Verdict of the evaluation",
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
            _outcome(outcome),
            outcome.slice,
            names.get(outcome.metric, outcome.metric),
            outcome.kind,
            outcome.bound,
            outcome.value,
            outcome.baseline_value,
        ]
        for outcome in ordered[: cells.MAX_ROWS]
    ]
    more = (
        [report.paragraph(report.text(f"and {len(ordered) - cells.MAX_ROWS} more", "muted"))]
        if len(ordered) > cells.MAX_ROWS
        else []
    )
    # What matters first: names of slices may be long, and the dashboard's panel shows the left 490 pixels.
    headers = ["Outcome", "Slice", "Metric", "Kind", "Bound", "Candidate", "Baseline"]
    return report.section("Thresholds", report.table(headers, rows), *more)


def _outcome(outcome: Outcome) -> Html:
    if outcome.passed is None:
        return report.text("not applied", "muted")
    return report.text("holds", "good") if outcome.passed else report.text("fails", "bad")


def _overall(results: Results) -> Html:
    entry = results.overall
    columns = {name: key for name, key in cells.columns(entry).items() if cells.class_of(key) is None}
    if any(key.model_name == constants.BASELINE_KEY for key in entry.values):
        headers = ["Metric", "Candidate", "Baseline", "Change"]
        rows = [
            [name, *(cells.cell(entry, part) for part in (key, cells.baseline_key(key), key._replace(is_diff=True)))]
            for name, key in columns.items()
        ]
    else:
        headers = ["Metric", "Value"]
        rows = [[name, cells.cell(entry, key)] for name, key in columns.items()]
    notes = [*cells.interval_note([entry]), *cells.lift_note(columns.values())]
    return report.section("All examples", report.table(headers, rows), *notes)
