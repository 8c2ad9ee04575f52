"""Writes docs/metrics.md: every metric of TFMA and Keras, tried on every task and on both ways of computing.

Run it in the ml environment: `.venv/ml/bin/python -m scripts.pages.metrics_page`; `--check` fails where the page is
not what is measured.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import confusion_matrix_metrics, metric_specs, metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.utils import util
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from components.runtime.errors import InputError
from components.runtime.evaluation.computation import combine, fitting, local, tfma_private
from components.runtime.evaluation.configuration.reading import with_baseline
from runners.settings.evaluation_file import METRIC_NAMES

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
TASKS = ("binary", "multi-class", "multi-label", "regression", "ranking")
_ROWS = 24
_CLASSES = 3

SETTINGS: dict[str, dict[str, Any]] = {
    "ConfusionMatrixAtThresholds": {"thresholds": [0.5]},
    "SensitivityAtSpecificity": {"specificity": 0.5},
    "SpecificityAtSensitivity": {"sensitivity": 0.5},
    "PrecisionAtRecall": {"recall": 0.5},
    "RecallAtPrecision": {"precision": 0.5},
    "RecallAtFalsePositiveRate": {"false_positive_rate": 0.5},
    "ThresholdAtRecall": {"recall": 0.5},
    "MeanIoU": {"num_classes": _CLASSES},
    "IoU": {"num_classes": _CLASSES, "target_class_ids": [1]},
    "OneHotIoU": {"num_classes": _CLASSES, "target_class_ids": [1]},
    "OneHotMeanIoU": {"num_classes": _CLASSES},
    "NDCG": {"gain_key": "gain", "top_k_list": [1, 2]},
    "MinLabelPosition": {"label_key": "gain"},
    "SparseTopKCategoricalAccuracy": {"k": 2},
    "TopKCategoricalAccuracy": {"k": 2},
    "MeanRelativeError": {"normalizer": [100.0]},
    "Mean": {"feature_key": "gain"},
}
"""What a metric cannot be made without, as in `config` of an EvalConfig."""

_OF_ERRORS = [
    "MeanAbsoluteError",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "MeanAbsolutePercentageError",
    "MeanSquaredLogarithmicError",
    "LogCoshError",
    "R2Score",
    "SquaredPearsonCorrelation",
    "MeanLabel",
    "MeanPrediction",
    "Calibration",
    "Poisson",
]
_OF_ONE_HOT = [
    "CategoricalAccuracy",
    "CategoricalCrossentropy",
    "CategoricalCrossEntropy",
    "CategoricalHinge",
    "KLDivergence",
    "TopKCategoricalAccuracy",
    "OneHotIoU",
    "OneHotMeanIoU",
    "CosineSimilarity",
]
_OF_YES_AND_NO = [
    "BinaryCrossentropy",
    "BinaryCrossEntropy",
    "MeanLabel",
    "MeanPrediction",
    "Calibration",
    "CalibrationPlot",
    "ConfusionMatrixPlot",
    "CoefficientOfDiscrimination",
    "RelativeCoefficientOfDiscrimination",
    "ScoreDistributionPlot",
    "BinaryIoU",
    "Hinge",
    "SquaredHinge",
    "ConfusionMatrixAtThresholds",
]
_OF_CLASSES = [
    "SparseCategoricalAccuracy",
    "SparseCategoricalCrossentropy",
    "SparseTopKCategoricalAccuracy",
    "MultiClassConfusionMatrixPlot",
    "MultiClassConfusionMatrixAtThresholds",
]
_OF_QUERIES = (
    "NDCG",
    "QueryStatistics",
    "MinLabelPosition",
)
_OF_COUNTS = (
    "ExampleCount",
    "WeightedExampleCount",
)


def names() -> list[str]:
    """Every class that an EvalConfig can name without a module."""
    keras = {
        name
        for name, kind in vars(tf_keras.metrics).items()
        if isinstance(kind, type) and issubclass(kind, tf_keras.metrics.Metric)
    }
    return sorted(
        {*metric_types.registered_metrics(), *keras} - {"Metric", "MeanMetricWrapper"},
        key=lambda name: (name.lower(), name),
    )


def suits(name: str) -> set[str]:
    """The tasks whose question a metric answers."""
    kind = metric_types.registered_metrics().get(name)
    base = confusion_matrix_metrics.ConfusionMatrixMetricBase
    found: set[str] = set()
    if (kind is not None and issubclass(kind, base)) or name in _OF_YES_AND_NO:
        found |= {"binary", "multi-label"}
    if name == "MultiLabelConfusionMatrixPlot" or name in _OF_ONE_HOT:
        found |= {"multi-label"}
    found |= {"multi-class"} if name in _OF_CLASSES else set()
    found |= {"regression"} if name in _OF_ERRORS else set()
    found |= {"ranking"} if name in _OF_QUERIES else set()
    return set(TASKS) if name in _OF_COUNTS else found


def name_here(name: str) -> str:
    """What a metric is called in reports, thresholds and metadata; empty for one that cannot be made by itself."""
    try:
        config = config_pb2.MetricConfig(class_name=name, config=json.dumps(SETTINGS.get(name, {})))
        return str(metric_specs.metric_instance(config).name)
    except Exception:
        return ""


def rows(task: str) -> combine.Rows:
    """Labels and predictions of a task."""
    random = np.random.default_rng(1)
    scores = random.random((_ROWS, _CLASSES)).astype(np.float32)
    one = scores[:, :1].copy()
    numbers = np.arange(_ROWS)[:, np.newaxis]
    tasks: dict[str, combine.Rows] = {
        "binary": (numbers % 2, one),
        "multi-class": (numbers % _CLASSES, scores / scores.sum(axis=1, keepdims=True)),
        "multi-label": ((random.random((_ROWS, _CLASSES)) > 0.5).astype(np.int64), scores),
        "regression": ((25 + 300 * random.random((_ROWS, 1))).astype(np.float32), 25 + 300 * one),
        "ranking": (numbers % 2, one),
    }
    return tasks[task]


def config_of(metrics: list[str], query_key: str) -> config_pb2.EvalConfig:
    """An EvalConfig of some metrics with their settings."""
    config = config_pb2.EvalConfig()
    config.model_specs.add()
    spec = config.metrics_specs.add(query_key=query_key)
    for name in metrics:
        spec.metrics.add(class_name=name, config=json.dumps(SETTINGS.get(name, {})))
    return config


def outcome(name: str, task: str) -> str:
    """`both`, `Beam` (not in batches), or the reason why there is no number."""
    try:
        config = with_baseline(config_of([name], "query" if task == "ranking" else ""), False)
        given = {"": rows(task)}
        if task == "ranking":
            return "Beam" if _computed(fitting.measure(config, _queries(given))) else "it has no value"
        fitting.check("", config, given, None)
        exact = _computed(fitting.measure(config, fitting.extracts(given)))
        if not exact:
            return "it has no value"
        fast = _in_batches(config, given)
        if fast is None:
            return "Beam"
        _compare(name, task, exact, fast)
        return "both"
    except InputError as error:
        inner = str(error)
        return inner[inner.index("(") + 1 : inner.rindex(");")] if "(" in inner else inner
    except AssertionError:
        raise
    except Exception as error:
        return fitting.reason(error)


def _computed(values: dict[Any, Any]) -> dict[Any, Any]:
    numbers = {key: value for key, value in values.items() if isinstance(value, float | np.floating | int)}
    return values if any(math.isfinite(value) for value in numbers.values()) or len(numbers) < len(values) else {}


def _queries(given: dict[str, combine.Rows]) -> list[Any]:
    """Examples of four queries, each with its gain, as TFMA groups them."""
    examples = [dict(example) for example in fitting.extracts(given)]
    for number, example in enumerate(examples):
        example[constants.FEATURES_KEY] = {"query": np.array([number // 6]), "gain": np.array([float(number % 2)])}
    return [util.StandardExtracts(util.merge_extracts(examples[start : start + 6])) for start in range(0, _ROWS, 6)]


def _in_batches(config: config_pb2.EvalConfig, given: dict[str, combine.Rows]) -> dict[Any, Any] | None:
    computations = tfma_private.computations(config, None)
    if not all(map(combine.supported, computations.non_derived_computations)):
        return None
    values: dict[Any, Any] = {}
    for computation in computations.non_derived_computations:
        combiner = computation.combiner
        combiner.setup()
        values |= combine.output(combiner, combine.add(combiner, combiner.create_accumulator(), given))
    return local.derive(values, computations, None)


def _compare(name: str, task: str, exact: dict[Any, Any], fast: dict[Any, Any]) -> None:
    assert exact.keys() == fast.keys(), (name, task)
    for key, value in exact.items():
        if isinstance(value, float | np.floating):
            close = math.isclose(value, fast[key], rel_tol=1e-5, abs_tol=1e-6)
            assert close or (math.isnan(value) and math.isnan(fast[key])), (name, task, value, fast[key])


def page(measured: dict[str, dict[str, str]]) -> str:
    """The page, from outcomes by name and task."""
    notes: list[str] = []
    lines = []
    for name, outcomes in measured.items():
        cells = []
        for task in TASKS:
            found = outcomes[task]
            if found in ("both", "Beam"):
                mark = "yes" if found == "both" else "Beam"
                cells.append(mark if task in suits(name) else "·")
            else:
                if found not in notes:
                    notes.append(found)
                cells.append(f"[{notes.index(found) + 1}]")
        here = f"`{name_here(name)}`" if name_here(name) else ""
        lines.append(f"| `{name}` | {here} | {' | '.join(cells)} |")
    told = "\n".join(f"{number}. {note}" for number, note in enumerate(notes, 1))
    return _HEAD + "\n".join(lines) + _NOTES + told + "\n"


_HEAD = """# Metrics

What a `class_name` in an EvalConfig can be, and which task it suits. This page is measured: `scripts/pages/metrics_page.py` tries
each metric on made-up labels and predictions, one example at a time as in TFMA's Beam pipeline and in batches as here, and
holds one against the other. What blesses a model, regression and the lifts in full: [evaluation.md](evaluation.md).

Where to begin:

| task | labels and predictions | metrics | a gate that a constant answer cannot pass |
| --- | --- | --- | --- |
| binary | 0 or 1; a probability | `AUC`, `AUCPrecisionRecall`, `Precision`, `Recall`, `CalibrationPlot` | `AUC`, `MajorityLift` of `components.evaluate.metrics`, `TopLift` of `components.evaluate.metrics` for rare classes |
| multi-class | a class number; a score per class | `SparseCategoricalAccuracy`, `MultiClassConfusionMatrixPlot`; those of binary with `binarize` or `aggregate` | `MajorityLift` |
| multi-label | 0 or 1 per class; a score per class | those of binary, over all classes together or by class with `binarize` | `AUC` |
| regression | a number; a number | `MeanAbsoluteError`, `RootMeanSquaredError`, `R2Score` | `SquaredErrorLift` (the mean gets 1) or `AbsoluteErrorLift` (the median gets 1) of `components.evaluate.metrics` |
| ranking | 0 or 1; a score; `query_key` | `NDCG`, `QueryStatistics` | `NDCG` |
| segmentation | a class per pixel; a score per pixel and class | those of `components.evaluate.metrics` | `MeanIoULift` |

How metrics are called in the report, in thresholds' reasons and in the metrics' metadata: the name in snake case
(`auc`, or `name` in its `config`), then `class 3`, `rank 2`, `top 5`, `micro`, `macro` or `weighted macro` where it has
them, and `example-weighted` where examples are weighted. `(output)/` stands before those of one output of several.

- A metric of a curve (`AUC`, `RecallAtPrecision`, …) is undefined where the examples lack a class, in a slice or over all; so
  is each average over classes that has it in. TFMA gives 0.
- `options { compute_confidence_intervals { value: true } }` computes 95 % intervals (jackknife, or Poisson bootstrap by
  `confidence_intervals { method: POISSON_BOOTSTRAP }`), the same ones every time. They stand beside the values; in metadata
  they are `auc 95% low` and `auc 95% high`. `LowerBound` and `UpperBound` of `components.evaluate.metrics` make metrics of
  their ends, to put thresholds on:
  `metrics { class_name: "LowerBound" module: "components.evaluate.metrics" config: '"metric": "auc"' threshold { … } }`.
- Example weights, query keys, pairs of slices, labels of several outputs and labels that are raw features are computed with
  Beam, also where no `beam_options` are set. Rows are counted where they are read, whatever `ExampleCount` says: under
  weights it is their sum, under a query key the number of queries.
- A metric that does not fit is told before anything is computed, with its name and the shapes, and no value of an example.
- `slice_keys_sql` is refused: no wheel of tfx-bsl has SQL. So are labels that are text.
- Classes are those of tf_keras, Keras 2's package, on which TFMA is built: `PearsonCorrelation` and `ConcordanceCorrelation`
  of Keras 3 are not among them; `SquaredPearsonCorrelation` is TFMA's.

`yes`: computed on both ways, with equal results. `Beam`: with Beam only. `·`: computed, but it says little about this task.
A number: refused, see below.

| class_name | name here | binary | multi-class | multi-label | regression | ranking |
| --- | --- | --- | --- | --- | --- | --- |
"""  # noqa: E501

_NOTES = """

Why a metric is refused on a task:

"""


def main(arguments: list[str]) -> int:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="fail where the page differs")
    asked = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    text = page({name: {task: outcome(name, task) for task in TASKS} for name in names()})
    if asked.check:
        if PAGE.read_text() != text:
            print(f"{PAGE.name} is not what is measured: run python -m scripts.pages.metrics_page")
            return 1
        return 0
    PAGE.write_text(text)
    METRIC_NAMES.write_text("\n".join(names()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
