"""What is found out about a model, as JSON for programs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from components.explain.findings import Fairness, Findings
from components.runtime.explaining.rows import OTHER, Array, Rows, kind, take, told
from components.runtime.explaining.thresholds import THRESHOLDS, Group

FILE = "explanations.json"


def document(findings: Findings, split: str) -> dict[str, Any]:
    """All of it, but for pictures; what is not known is null or not there."""
    subject, found = findings.subject, findings.attributions
    mean, half = findings.importance
    made: dict[str, Any] = {
        "output": subject.output,
        "task": subject.task,
        "classes": list(subject.classes),
        "split": split,
        "examples": len(findings.answers),
        "explained": len(findings.explained),
        "background": found.background,
        "baseline": _numbers(found.baseline),
        "importance": [
            {"feature": found.features[place], "mean": float(mean[place]), "half_interval": _number(half[place])}
            for place in findings.order
        ],
        "rows": [_row(findings, place) for place in findings.shown],
        "dependence": [
            {
                "feature": each.feature,
                "kind": each.kind,
                "values": [told(value) for value in each.grid],
                "answers": [_numbers(row) for row in each.mean],
                "edges": _numbers(each.edges),
                "counts": [int(number) for number in each.counts],
                "missing": each.absent,
            }
            for each in findings.curves
        ],
        "thresholds": [_fairness(each) for each in findings.fairness],
        "notes": findings.notes,
    }
    if findings.gradients:
        given = findings.gradients
        features = sorted(given.values[0])
        sizes = {name: float(np.mean([np.abs(each[name]).sum() for each in given.values])) for name in features}
        made["integrated_gradients"] = {
            "rows": len(given.rows),
            "importance": sizes,
            "held": list(given.held),
            "not_added_up": given.missed,
        }
    return made


def features_of(rows: Rows, place: int) -> dict[str, Any]:
    """The values of one row that are numbers or texts."""
    return {name: told(values[place]) for name, values in rows.items() if kind(values) != OTHER}


def _row(findings: Findings, place: int) -> dict[str, Any]:
    found, at = findings.attributions, findings.explained[place]
    target = int(findings.targets[place])
    made: dict[str, Any] = {
        "features": features_of(findings.rows, at),
        "answer": _numbers(found.answers[place]),
        "target": target,
        "attributions": dict(zip(found.features, _numbers(found.values[place, :, target]), strict=True)),
        "errors": dict(zip(found.features, _numbers(found.errors[place, :, target]), strict=True)),
    }
    if findings.labels is not None:
        made["label"] = told(findings.labels[at])
    if findings.others and (other := findings.others[findings.shown.index(place)]):
        made["nearest_other"] = {
            "features": features_of(take(findings.rows, [other.row]), 0),
            "answer": _numbers(findings.answers[other.row]),
            "distance": other.distance,
            "differs": list(other.differs),
        }
    return made


def counts(group: Group) -> dict[str, Any]:
    """The rows of a group, and how many of them each threshold decides to be positive, rightly and wrongly."""
    return {
        "rows": group.rows,
        "labelled": group.labelled,
        "right": group.right.tolist(),
        "wrong": group.wrong.tolist(),
    }


def _fairness(each: Fairness) -> dict[str, Any]:
    return {
        "feature": each.feature,
        "groups": {group.name: group.rows for group in each.groups},
        "left_out": list(each.left_out),
        "at": [_number(value) for value in THRESHOLDS],
        "counts": {group.name: counts(group) for group in each.groups},
        "goals": [
            {
                "goal": chosen.goal,
                # No score reaches a threshold that is infinite: null.
                "thresholds": {name: _number(value) for name, value in chosen.thresholds.items()},
                "accuracy": chosen.accuracy,
                "gap": chosen.gap,
                "rates": chosen.rates,
            }
            for chosen in each.chosen
        ],
    }


def _numbers(values: Array) -> list[float | None]:
    return [_number(value) for value in values]


def _number(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
