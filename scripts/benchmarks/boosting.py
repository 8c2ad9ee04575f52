"""Trains scikit-learn's gradient boosting with its defaults on what ingest put into train, and scores it on eval.

Prints one line of JSON. Runs in the environment `ml`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

# Of a busy machine's processors each waits for the slowest after every node of a tree: one alone is quicker.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, r2_score, roc_auc_score

from components.runtime.data import examples, tfrecord

MOST_CATEGORIES = 255
"""As many as the boosting takes; a text column with more of them is left out."""
RESAMPLED = 200
AUC, ACCURACY, R2 = "auc", "sparse_categorical_accuracy", "r2_score"


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.boosting", description=__doc__)
    parser.add_argument("examples", type=Path, help="the folder with Split-train and Split-eval")
    parser.add_argument("--label", action="append", required=True)
    parser.add_argument("--metric", choices=(AUC, ACCURACY, R2), required=True)
    arguments = parser.parse_args(argv)
    train, held_out = (rows(arguments.examples / f"Split-{name}") for name in ("train", "eval"))
    table = pd.DataFrame([*train, *held_out])
    features, categorical = prepared(table.drop(columns=arguments.label))
    places = np.arange(len(table)) < len(train)
    found = [
        predicted(features, categorical, table[label].to_numpy(), places, arguments.metric) for label in arguments.label
    ]
    truths, answers = [truth for truth, _ in found], [answer for _, answer in found]
    random = np.random.default_rng(0)
    drawn = [random.integers(len(held_out), size=len(held_out)) for _ in range(RESAMPLED)]
    resampled = [
        score([truth[rows] for truth in truths], [answer[rows] for answer in answers], arguments.metric)
        for rows in drawn
    ]
    result = {
        "score": score(truths, answers, arguments.metric),
        "standard_error": float(np.nanstd(resampled)),
        "columns": table.shape[1] - len(arguments.label),
    }
    print(json.dumps(result))
    return 0


def rows(folder: Path) -> list[dict[str, Any]]:
    """Of one split, each column with its value or None."""
    found = []
    for file in sorted(folder.iterdir()):
        for record in tfrecord.read(file):
            values = {name: of[0] if of else None for name, of in examples.decode(record).items()}
            found.append({name: of.decode() if isinstance(of, bytes) else of for name, of in values.items()})
    return found


def prepared(table: pd.DataFrame) -> tuple[pd.DataFrame, list[bool]]:
    """Numbers as they are, dates as days, texts as categories; and which columns are categories."""
    made, categorical = {}, []
    for name, column in table.items():
        if pd.api.types.is_numeric_dtype(column):
            made[name] = column.astype(float)
            categorical.append(False)
        elif column.str.fullmatch(r"\d{4}[-/]\d\d?[-/]\d\d?.*").all():
            made[name] = pd.to_datetime(column).astype("int64") / 86_400e9
            categorical.append(False)
        elif column.nunique() <= MOST_CATEGORIES:
            made[name] = column.astype("category").cat.codes.replace(-1, np.nan).astype(float)
            categorical.append(True)
    return pd.DataFrame(made), categorical


def predicted(
    features: pd.DataFrame, categorical: list[bool], label: np.ndarray, train: np.ndarray, metric: str
) -> tuple[np.ndarray, np.ndarray]:
    """The truth and the prediction for the rows that are not in train: of AUC the score, else the answer."""
    make = HistGradientBoostingRegressor if metric == R2 else HistGradientBoostingClassifier
    label = label if metric == R2 else pd.factorize(label, sort=True)[0]
    model = make(categorical_features=categorical, random_state=0).fit(features[train], label[train])
    answer = model.predict_proba(features[~train])[:, 1] if metric == AUC else model.predict(features[~train])
    return label[~train], answer


def score(truths: Sequence[np.ndarray], answers: Sequence[np.ndarray], metric: str) -> float:
    """The mean over the labels; those that have one class alone in these rows have no AUC and are left out."""
    function = {AUC: roc_auc_score, ACCURACY: accuracy_score, R2: r2_score}[metric]
    pairs = [
        (truth, answer)
        for truth, answer in zip(truths, answers, strict=True)
        if metric != AUC or len(np.unique(truth)) == 2
    ]
    return float(np.mean([function(truth, answer) for truth, answer in pairs])) if pairs else float("nan")


if __name__ == "__main__":
    sys.exit(main())
