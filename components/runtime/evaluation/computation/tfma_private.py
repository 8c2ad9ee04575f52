"""The names that TensorFlow Model Analysis keeps to itself and the computation needs, under names of ours.

Read in version 0.52.0 (images/locks/ml.txt). Another version may drop them, or mean something else by them. Each says
which test fails then; above all stand those of tests/components/evaluate/computation/test_local.py, which hold every
number of the analysis by whole batches against TFMA's own pipeline on Beam.

What is put right by classes of ours in TFMA's places is in `components.runtime.evaluation.metrics.tfma_repairs` and
`components.runtime.evaluation.metrics.curves`, with the private names that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.contrib.aggregates import binary_confusion_matrices as matrices
from tensorflow_model_analysis.evaluators import jackknife, poisson_bootstrap
from tensorflow_model_analysis.evaluators import metrics_plots_and_validations_evaluator as evaluator
from tensorflow_model_analysis.metrics import (
    binary_confusion_matrices,
    calibration_histogram,
    example_count,
    metric_specs,
    metric_util,
    multi_class_confusion_matrix_metrics,
)
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.writers import eval_config_writer

# --- combiners: what they were made for and what they add up. Guarded by test_combine.py, beside test_local.py: it adds
# the same rows by whole batches and one by one, and looks at combiners of one class, with weights and with averages.

ExampleCount = example_count._ExampleCountCombiner
CalibrationHistogram = calibration_histogram._CalibrationHistogramCombiner
BinaryConfusionMatrices = binary_confusion_matrices._BinaryConfusionMatrixCombiner
MultiClassConfusionMatrix = multi_class_confusion_matrix_metrics._MultiClassConfusionMatrixCombiner

ThresholdEntry = matrices._ThresholdEntry
"""What `ThresholdCounts.merge` takes: a matrix, and ids of examples of each of its cells."""


class Buckets(NamedTuple):
    """How a `CalibrationHistogram` cuts predictions.

    Attributes:
      number: of the buckets between `left` and `left + width`; two more are beyond them.
      left: where the first begins.
      width: of all of them.
    """

    number: int
    left: float
    width: float


class ThresholdCounts(NamedTuple):
    """How `BinaryConfusionMatrices` counts.

    Attributes:
      thresholds: of predictions, and of labels where these are not fractional.
      fractional_labels: whether only a label of 1 is positive, and not each that is above the threshold.
      merge: from an accumulator, a threshold and a `ThresholdEntry` to the entry that the accumulator has then.
    """

    thresholds: Sequence[float]
    fractional_labels: bool
    merge: Callable[[dict[Any, Any], float, Any], Any]


def is_plain(combiner: Any) -> bool:
    """Whether a combiner takes all examples of all classes as they are: no weights, no class, average or output."""
    key = getattr(combiner, "_key", None)
    special = [
        getattr(combiner, name, None)
        for name in ("_aggregation_type", "_class_weights", "_example_weighted", "_sub_key")
    ]
    default = metric_util.to_label_prediction_example_weight
    extract = getattr(combiner, "_extract_label_prediction_and_weight", default)
    special.append(extract is not default)
    names = [name for name in getattr(combiner, "_output_names", []) if name]
    of_key = [key.sub_key, key.output_name, key.example_weighted] if key is not None else []
    return not any([*special, *names, *of_key])


def model_name(combiner: Any) -> str:
    """The model whose predictions a combiner adds up; empty where it is the only one."""
    key = getattr(combiner, "_key", None)
    return str(key.model_name if key is not None else getattr(combiner, "_model_name", "") or "")


def buckets(combiner: Any) -> Buckets | None:
    """The buckets of a `CalibrationHistogram`; None where it does not go by predictions."""
    if not combiner._prediction_based_bucketing:
        return None
    return Buckets(combiner._num_buckets, combiner._left, combiner._range)


def threshold_counts(combiner: Any) -> ThresholdCounts | None:
    """How `BinaryConfusionMatrices` counts; None where it keeps ids of examples, too."""
    if combiner._example_id_key:
        return None
    counter = combiner._binary_confusion_matrices
    return ThresholdCounts(counter._thresholds, combiner._enable_fractional_labels, counter._merge_entry)


def class_thresholds(combiner: Any) -> Sequence[float]:
    """The thresholds of a `MultiClassConfusionMatrix`."""
    return list(combiner._thresholds)


# --- the steps of TFMA's pipeline without Beam. Guarded by test_local.py and, beside it, by test_fitting.py:
# test_some_metrics_are_as_the_page_says, test_r2_is_the_same_on_all_ways.

MetricComputations: TypeAlias = evaluator.MetricComputations
Preprocessor = evaluator._PreprocessorDoFn
"""Makes of an example's extracts what `Computations` adds up."""
Computations = evaluator._ComputationsCombineFn
"""Adds up all computations at once."""


def computations(config: config_pb2.EvalConfig, schema: schema_pb2.Schema | None) -> MetricComputations:
    """What a configuration asks for: what is added up, and what follows from that."""
    found = metric_specs.to_computations(list(config.metrics_specs), eval_config=config, schema=schema)
    return evaluator._filter_and_separate_computations(found)


def public(values: dict[Any, Any]) -> dict[Any, Any]:
    """The metrics without those that only others follow from."""
    return {key: value for key, value in values.items() if not evaluator._is_private_metrics(key)}


def has_difference(value: Any) -> bool:
    """Whether a metric's change against the baseline is told."""
    return bool(evaluator._is_metric_diffable(value))


# --- confidence intervals. Guarded by tests/components/evaluate/metrics/test_intervals.py:
# test_jackknife_is_the_formula_and_gates, test_bootstrap_is_the_same_twice_and_near_tfmas_own.

JackknifeSamples = jackknife._JackknifeSampleCombineFn
BootstrapSamples = poisson_bootstrap._BootstrapSampleCombineFn


def eval_run(config: config_pb2.EvalConfig, location: str, file_format: str, models: dict[str, str]) -> str:
    """What TFMA's eval_config.json says of an evaluation.

    Guarded by tests/components/evaluate/test_evaluate.py: test_result_directory_is_tfmas_own_and_names_no_machine.

    Args:
      config: of the evaluation.
      location: of the examples.
      file_format: of the examples.
      models: location by name.
    """
    return str(eval_config_writer._serialize_eval_run(config, location, file_format, models))
