"""The part of the report that says how a model treats one slice against the others: rates at decision thresholds.

Shown where the EvalConfig asks for them with `ConfusionMatrixAtThresholds`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from components.evaluate.page import cells
from components.runtime.evaluation.computation.results import Results, SliceMetrics, candidate_name
from components.runtime.stage import report
from components.runtime.stage.report import Html

_MAX_SLICES = 30


@dataclass(frozen=True)
class Rates:
    """What decisions at one threshold do to the examples of a slice; None where there is nothing to divide by.

    Equal `positive` over slices is demographic parity, equal `true_positive` is equal opportunity, and that together
    with equal `false_positive` is equalised odds.
    """

    threshold: float
    examples: float
    labelled: float | None
    """Share of examples whose label is 1."""
    positive: float | None
    """Share of examples that the model decides to be 1."""
    true_positive: float | None
    false_positive: float | None
    true_negative: float | None
    false_negative: float | None
    precision: float | None

    @classmethod
    def of(cls, threshold: float, tp: float, fp: float, tn: float, fn: float) -> Rates:
        """From the counts of true and false positives and negatives."""
        rows = tp + fp + tn + fn
        return cls(
            threshold,
            rows,
            _ratio(tp + fn, rows),
            _ratio(tp + fp, rows),
            _ratio(tp, tp + fn),
            _ratio(fp, fp + tn),
            _ratio(tn, fp + tn),
            _ratio(fn, tp + fn),
            _ratio(tp, tp + fp),
        )


def sections(results: Results) -> list[Html]:
    """One section per feature that slices are cut by; none where no thresholds were asked for."""
    overall = rates(results.overall)
    groups: dict[tuple[str, ...], list[SliceMetrics]] = {}
    for entry in results.slices:
        if entry.features and rates(entry):
            groups.setdefault(entry.features, []).append(entry)
    return [_section(" and ".join(names), entries, overall) for names, entries in groups.items()]


def rates(entry: SliceMetrics) -> list[Rates]:
    """The candidate's rates in a slice, by rising threshold."""
    counts = entry.confusion.get(candidate_name(entry.confusion), [])
    return [Rates.of(*row) for row in sorted(counts)]


def _ratio(part: float, whole: float) -> float | None:
    return part / whole if whole > 0 else None


def _section(title: str, entries: list[SliceMetrics], overall: list[Rates]) -> Html:
    largest = sorted(entries, key=lambda entry: -rates(entry)[0].examples)[:_MAX_SLICES]
    shown = [entry for entry in entries if entry in largest]
    named = [("all examples", overall)] if overall else []
    named += [(", ".join(value for _, value in entry.parts), rates(entry)) for entry in shown]
    thresholds = [row.threshold for row in named[0][1]]
    note = (
        "Rates at decision thresholds: what share of a slice the model decides to be positive, and how often it is "
        "right and wrong about it. Their distance from all examples is what to look at; grey: the slice, or what the "
        f"rate is a share of, has fewer than {cells.FEW} examples."
    )
    parts: list[Html] = [report.paragraph(report.text(note, "muted")), _drawing(title, named, thresholds)]
    headers = [title, "examples", "labelled positive", "positive rate", "TPR", "FPR", "TNR", "FNR", "precision"]
    for number, threshold in enumerate(thresholds):
        rows = [[name, *_cells(found[number])] for name, found in named]
        parts += [report.heading(f"Threshold {threshold:g}"), report.table(headers, rows)]
    if len(shown) < len(entries):
        parts.append(report.paragraph(report.text(f"the {len(shown)} largest of {len(entries)} slices", "muted")))
    return report.section(f"Fairness by {title}", *parts)


def _cells(found: Rates) -> list[object]:
    positives = found.examples * (found.labelled or 0.0)
    decided = found.examples * (found.positive or 0.0)
    shares = [
        (found.labelled, found.examples),
        (found.positive, found.examples),
        (found.true_positive, positives),
        (found.false_positive, found.examples - positives),
        (found.true_negative, found.examples - positives),
        (found.false_negative, positives),
        (found.precision, decided),
    ]
    shown = [
        report.text("–" if rate is None else f"{rate:.3f}", "muted" if of < cells.FEW else "") for rate, of in shares
    ]
    return [found.examples, *shown]


def _drawing(title: str, named: list[tuple[str, list[Rates]]], thresholds: list[float]) -> Html:
    figure = report.figure(9.5, 1.2 + 0.32 * len(named))
    kinds = [
        ("positive rate", lambda row: row.positive),
        ("true positive rate", lambda row: row.true_positive),
        ("false positive rate", lambda row: row.false_positive),
    ]
    places = list(range(len(named)))
    for axes, (name, value) in zip(figure.subplots(1, 3, sharey=True), kinds, strict=True):
        for number, (threshold, color) in enumerate(zip(thresholds, report.COLORS, strict=False)):
            values = [value(found[number]) for _, found in named]
            numbers = [math.nan if entry is None else entry for entry in values]
            axes.axvline(numbers[0], color=color, linewidth=0.8, linestyle=":")
            axes.scatter(numbers, places, s=22, color=color, label=f"at {threshold:g}")
        axes.set_title(name, fontsize=9)
        axes.set_xlim(-0.03, 1.03)
        axes.set_yticks(places, [entry[0] for entry in named])
    figure.axes[0].invert_yaxis()
    figure.axes[0].legend(frameon=False, fontsize=8)
    return report.drawing(figure, f"Rates at decision thresholds by {title}; dotted: all examples")
