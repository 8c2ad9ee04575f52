"""Which way a metric is better."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from components.runtime.records.answered import HasOutputs
from runners.history.record_values import json_object, mapping

_FILE = "blessing.json"
_WAYS = {"higher": 1, "lower": -1}
_NEITHER = (
    "count|second|example|step|epoch|threshold|mean_label|mean_prediction|prevalence|calibration|trial|rows|bytes|seed"
)
_LOW = (
    "loss|logloss|error|mse|mae|rmse|mape|cross_?entropy|hinge|kl_?divergence|divergence|perplexity|poisson|log_cosh"
    "|false|fall_out|miss_rate|fpr|fnr|fdr|brier"
)
_HIGH = (
    "auc|roc|accuracy|balanced_accuracy|precision|recall|f1|f_?beta|lift|iou|dice|jaccard|ndcg|r2|r_squared|specificity"
    "|sensitivity|correlation|matthews|mcc|bleu|rouge|cosine_similarity|informedness|markedness|ppv|npv|tpr|tnr|true_pos"
    "|true_neg|threat_score|fowlkes|exact_match|coefficient_of_discrimination|silhouette|kappa"
)


def directions(executions: Iterable[HasOutputs]) -> dict[str, int]:
    """What the evaluations of a run say of their metrics by their thresholds: 1 where high is better, -1 where low."""
    found: dict[str, int] = {}
    for execution in executions:
        if (blessing := execution.outputs.get("blessing")) is not None:
            told = mapping(blessing.metadata, "better")
            if not told and isinstance(folder := getattr(execution, "folder", None), Path):
                # Earlier ones said it only there. (Inside the execution's folder, wherever the root has been moved to.)
                told = mapping(json_object(folder / "blessing" / _FILE) or {}, "better")
            found |= {name: _WAYS[way] for name, way in told.items() if way in _WAYS}
    return found


def better(metric: str, told: Mapping[str, int] | None = None) -> int | None:
    """Which way a metric is better: 1 where high, -1 where low, 0 where neither is, None where nobody knows.

    Args:
      metric: its name, maybe behind that of its task.
      told: what is known of metrics; the name alone tells of others.
    """
    bare = metric.rpartition(".")[2]
    if (way := (told or {}).get(bare)) is not None:
        return way
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", bare).lower()
    # A lift over the best constant answer is one, whatever of.
    for words, way in ((_NEITHER, 0), ("lift", 1), (_LOW, -1), (_HIGH, 1)):
        if re.search(rf"(?<![a-z])(?:{words})", name):
            return way
    return None


def ways(metrics: Iterable[str], told: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
    """Which way each of several metrics is better, as far as that is known, and of which an evaluation said it."""
    found = {name: way for name in metrics if (way := better(name, told)) is not None}
    return found, [name for name in found if name.rpartition(".")[2] in told]
