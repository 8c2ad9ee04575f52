"""Writes what an evaluation hands on: the blessing, and metrics, classes and curves as KFP's metadata."""

from __future__ import annotations

import json
import math

from components.runtime.evaluation.computation.results import Results, candidate_name, metric_name
from components.runtime.evaluation.verdict.verdict import Verdict
from components.runtime.publish.blessing import SLICES
from components.runtime.stage.artifacts import OutputArtifact
from components.runtime.stage.progress import report as progress

_MAX_ROC_POINTS = 100
_MOST_SLICES = 1000
_LARGEST_CLASSES = 16 << 10
"""Letters that the list of classes may have in the metadata, which KFP hands on in one argument."""


def write_blessing(
    blessing: OutputArtifact, verdict: Verdict, metrics: dict[str, float], digest: str, baseline_digest: str
) -> None:
    """Writes `BLESSED` or `NOT_BLESSED`, and `blessing.json`.

    Args:
      blessing: gets them.
      verdict: what was decided.
      metrics: the candidate's over all examples, by which several candidates are compared.
      digest: of the candidate.
      baseline_digest: of the baseline; empty where there is none.
    """
    folder = blessing.directory()
    (folder / ("BLESSED" if verdict.blessed else "NOT_BLESSED")).touch()
    document = {
        "blessed": verdict.blessed,
        "baseline": verdict.baseline,
        "reason": verdict.reason,
        "model_digest": digest,
        # Push holds it against what is in service by then.
        "baseline_digest": baseline_digest,
        "thresholds": [outcome.as_json() for outcome in verdict.outcomes],
        "metrics": metrics,
        "better": verdict.better,
    }
    (folder / "blessing.json").write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")
    blessing.metadata |= {"blessed": verdict.blessed, "baseline": verdict.baseline, "reason": verdict.reason}
    if verdict.better:
        # Who compares runs on a server reads metadata only.
        blessing.metadata["better"] = verdict.better


def write_slices(blessing: OutputArtifact, results: Results, label: str, splits: list[str]) -> None:
    """Writes what was measured by slice beside the verdict, for those who need no TFMA to read it.

    Args:
      blessing: gets `slices.json`.
      results: what was measured; of more slices than a thousand the largest.
      label: the feature that the answers were held to.
      splits: that were evaluated on.
    """
    known = sorted((each for each in results.slices if not each.is_cross), key=lambda each: -(each.examples or 0))
    name = candidate_name(key.model_name for key in results.overall.values)
    told = [
        {
            "slice": dict(each.parts),
            "examples": each.examples,
            "metrics": {
                metric_name(key, results.class_name): value
                for key, value in each.values.items()
                if key.model_name == name and not key.is_diff and math.isfinite(value)
            },
        }
        for each in known[:_MOST_SLICES]
    ]
    document = {
        "label": label,
        "splits": splits,
        "rows": results.rows,
        "slices": told,
        "left_out": len(known) - len(told),
    }
    (blessing.path / SLICES).write_text(json.dumps(document, indent=1, allow_nan=False) + "\n")


def overall(evaluation: OutputArtifact, results: Results) -> dict[str, float]:
    """The candidate's metrics over all examples that are numbers, with their intervals.

    Args:
      evaluation: is told which ones are none.
      results: what was measured.
    """
    metrics: dict[str, float] = {}
    name = candidate_name(key.model_name for key in results.overall.values)
    missing = []
    for key, value in results.overall.values.items():
        if key.model_name == name and not key.is_diff:
            if math.isfinite(value):
                metrics[metric_name(key)] = value
                for end, bound in zip(("low", "high"), results.overall.intervals.get(key, ()), strict=False):
                    if math.isfinite(bound):
                        metrics[f"{metric_name(key)} 95% {end}"] = bound
            else:
                missing.append(metric_name(key))
    if missing:
        evaluation.metadata["not_a_number"] = ", ".join(sorted(missing))
        progress(f"not a number and left out of the metrics: {evaluation.metadata['not_a_number']}")
    return metrics


def write_classes(blessing: OutputArtifact, names: list[str]) -> None:
    """Names of the candidate's classes by number, for what is said of the model wherever it is published."""
    told = any(name != str(number) for number, name in enumerate(names))
    if told and len(json.dumps(names)) <= _LARGEST_CLASSES:
        blessing.metadata["classes"] = names


def write_classification(classification: OutputArtifact, results: Results) -> None:
    """Fills in the form that `kfp.dsl.ClassificationMetrics` keeps in its metadata."""
    plots = results.plots.get(candidate_name(results.plots))
    if plots is None:
        return
    curve = plots.roc()
    step = max(1, math.ceil(len(curve) / _MAX_ROC_POINTS))
    # The last point is the corner (1, 1), without which the curve would look cut off.
    points = curve[::step] + (curve[-1:] if (len(curve) - 1) % step else [])
    if points:
        classification.metadata["confidenceMetrics"] = [
            {"confidenceThreshold": threshold, "recall": recall, "falsePositiveRate": rate}
            for threshold, rate, recall in points
        ]
    matrix = plots.matrix()
    if matrix is not None:
        names, rows = matrix
        classification.metadata["confusionMatrix"] = {
            "annotationSpecs": [{"displayName": name} for name in names],
            "rows": [{"row": row} for row in rows],
        }
