"""Whole batches add up to what TFMA's own combiners make of the same examples one by one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.evaluation.computation import combine, tfma_private
from components.runtime.evaluation.computation.combine import Rows
from components.runtime.evaluation.metrics.tfma_repairs import KerasCombiner

ROWS, CLASSES = 300, 4


def binary() -> Rows:
    random = np.random.default_rng(5)
    # Numbers that are thresholds and bounds of buckets, too.
    scores = np.append(random.random(ROWS - 20), np.linspace(0.0, 1.0, 20))
    return random.integers(2, size=(ROWS, 1)), scores[:, np.newaxis]


def multi_class() -> Rows:
    random = np.random.default_rng(6)
    return random.integers(CLASSES, size=(ROWS, 1)), random.dirichlet(np.ones(CLASSES), ROWS)


def combiners(metrics_specs: str) -> list[Any]:
    config = text_format.Parse(f'model_specs {{ label_key: "y" }} {metrics_specs}', config_pb2.EvalConfig())
    found = [entry.combiner for entry in tfma_private.computations(config, None).non_derived_computations]
    for combiner in found:
        combiner.setup()
    return found


@pytest.mark.parametrize(
    ("kind", "rows", "metric"),
    [
        (tfma_private.ExampleCount, binary(), 'class_name: "ExampleCount"'),
        (tfma_private.CalibrationHistogram, binary(), 'class_name: "CalibrationPlot"'),
        (tfma_private.CalibrationHistogram, binary(), """class_name: "CalibrationPlot" config: '"left": 0.25'"""),
        (tfma_private.CalibrationHistogram, binary(), 'class_name: "AUC"'),
        (tfma_private.BinaryConfusionMatrices, binary(), 'class_name: "BinaryAccuracy"'),
        (
            tfma_private.BinaryConfusionMatrices,
            binary(),
            """class_name: "ConfusionMatrixAtThresholds" config: '"thresholds": [0.0, 0.3, 1.0]'""",
        ),
        (
            tfma_private.MultiClassConfusionMatrix,
            multi_class(),
            """class_name: "MultiClassConfusionMatrixPlot" config: '"thresholds": [0.5]'""",
        ),
        (KerasCombiner, binary(), 'class_name: "RootMeanSquaredError"'),
    ],
)
def test_a_batch_is_what_its_examples_are_one_by_one(kind: type, rows: Rows, metric: str) -> None:
    (combiner,) = (found for found in combiners(f"metrics_specs {{ metrics {{ {metric} }} }}") if type(found) is kind)
    assert tfma_private.is_plain(combiner)
    batches, single = combiner.create_accumulator(), combiner.create_accumulator()
    for part in (slice(0, 100), slice(100, ROWS)):
        added = combine._FAST[kind](combiner, batches, rows[0][part], rows[1][part])
        assert added is not None
        batches = added
    for label, prediction in zip(*rows, strict=True):
        single = combiner.add_input(single, metric_types.StandardMetricInputs(labels=label, predictions=prediction))
    expected, found = combiner.extract_output(single), combine.output(combiner, batches)
    assert found.keys() == expected.keys() != set()
    for key, value in expected.items():
        assert numbers(found[key]) == pytest.approx(numbers(value), rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("metric", ["CalibrationPlot", "AUC", "BinaryAccuracy"])
def test_a_batch_of_other_labels_among_the_rest(metric: str) -> None:
    labels, scores = binary()
    labels = np.where(np.arange(ROWS)[:, np.newaxis] // 100 == 1, 0.25, labels)
    for combiner in combiners(f'metrics_specs {{ metrics {{ class_name: "{metric}" }} }}'):
        batches, single = combiner.create_accumulator(), combiner.create_accumulator()
        for part in (slice(0, 100), slice(100, 200), slice(200, ROWS)):
            batches = combine.add(combiner, batches, {"": (labels[part], scores[part])})
        for label, prediction in zip(labels, scores, strict=True):
            single = combiner.add_input(single, metric_types.StandardMetricInputs(labels=label, predictions=prediction))
        expected, found = combiner.extract_output(single), combine.output(combiner, batches)
        for key, value in expected.items():
            assert numbers(found[key]) == pytest.approx(numbers(value), rel=1e-12, abs=1e-12)


def numbers(value: Any) -> list[float]:
    """All numbers in a metric's value, whatever it is made of, in a fixed order."""
    if isinstance(value, dict):
        return [number for key in sorted(value) for number in [*numbers(key), *numbers(value[key])]]
    if hasattr(value, "__dict__"):
        return numbers(vars(value))
    if isinstance(value, tuple | list | np.ndarray):
        return [number for entry in value for number in numbers(entry)]
    return [] if isinstance(value, str) or value is None else [float(value)]


@pytest.mark.parametrize(
    ("kind", "spec"),
    [
        (tfma_private.ExampleCount, 'example_weights { weighted: true } metrics { class_name: "ExampleCount" }'),
        (
            tfma_private.CalibrationHistogram,
            'example_weights { weighted: true } metrics { class_name: "CalibrationPlot" }',
        ),
        (tfma_private.CalibrationHistogram, 'binarize { class_ids { values: 1 } } metrics { class_name: "AUC" }'),
        (tfma_private.BinaryConfusionMatrices, 'output_names: "head" metrics { class_name: "BinaryAccuracy" }'),
        (
            tfma_private.BinaryConfusionMatrices,
            'aggregate { micro_average: true } metrics { class_name: "BinaryAccuracy" }',
        ),
        (
            tfma_private.MultiClassConfusionMatrix,
            'example_weights { weighted: true } metrics { class_name: "MultiClassConfusionMatrixPlot" }',
        ),
        (KerasCombiner, 'binarize { class_ids { values: 1 } } metrics { class_name: "RootMeanSquaredError" }'),
        (KerasCombiner, 'output_names: "head" metrics { class_name: "RootMeanSquaredError" }'),
    ],
)
def test_what_needs_more_than_labels_and_predictions_is_not_plain(kind: type, spec: str) -> None:
    found = [combiner for combiner in combiners(f"metrics_specs {{ {spec} }}") if type(combiner) is kind]
    assert found
    assert not any(map(tfma_private.is_plain, found))


@pytest.mark.parametrize("name", ["", "candidate"])
def test_the_model_of_a_combiner(name: str) -> None:
    metrics = ["ExampleCount", "AUC", "BinaryAccuracy", "MultiClassConfusionMatrixPlot", "RootMeanSquaredError"]
    config = config_pb2.EvalConfig()
    config.model_specs.add(name=name)
    if name:
        config.model_specs.add(name="baseline", is_baseline=True)
    spec = config.metrics_specs.add(model_names=[name])
    for metric in metrics:
        spec.metrics.add(class_name=metric)
    found = [entry.combiner for entry in tfma_private.computations(config, None).non_derived_computations]
    assert {type(combiner) for combiner in found} >= {
        tfma_private.ExampleCount,
        tfma_private.CalibrationHistogram,
        tfma_private.BinaryConfusionMatrices,
        tfma_private.MultiClassConfusionMatrix,
        KerasCombiner,
    }
    assert {tfma_private.model_name(combiner) for combiner in found} == {name}
