"""Confidence intervals on one machine: TFMA's Poisson bootstrap and jackknife, with draws that are the same every time.

Poisson bootstrap: in each of 20 samples every example occurs as often as a draw of Poisson(1) says. Jackknife: every
example falls into one of 20 buckets, and each sample is all examples but one bucket. The samples' metrics go into
TFMA's own formulas. An example is drawn alike for all slices and models, so that the intervals of changes against the
baseline are those of pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from tensorflow_model_analysis.evaluators import confidence_intervals_util
from tensorflow_model_analysis.metrics import metric_specs
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.evaluation.computation import tfma_private

SEED = 20191
"""Of all that is drawn by chance in an evaluation."""

ALL = -1
"""Number of the sample that is all examples."""

_SAMPLES = 20
"""TFMA's own number, of samples and of buckets."""


class Sample(NamedTuple):
    """One way of drawing among the examples."""

    number: int
    draw: Callable[[int], np.ndarray]
    """Of so many examples that follow, how often each is in the sample."""


def samples(config: config_pb2.EvalConfig) -> list[Sample]:
    """All examples, and the samples that the configuration's confidence intervals need."""
    found = [Sample(ALL, lambda rows: np.ones(rows, dtype=np.int64))]
    if not config.options.compute_confidence_intervals.value:
        return found
    if _is_jackknife(config):
        # Each sample goes through the same draws by itself: that keeps the samples apart, and them in step.
        return found + [Sample(number, _Buckets(number)) for number in range(_SAMPLES)]
    return found + [Sample(number, _Poisson(number)) for number in range(_SAMPLES)]


def combined(values: dict[int, dict[Any, Any]], config: config_pb2.EvalConfig) -> dict[Any, Any]:
    """Metrics with their distribution, from those of each sample; as they are where no intervals are asked for."""
    if not config.options.compute_confidence_intervals.value:
        return values[ALL]
    skipped = metric_specs.metric_keys_to_skip_for_confidence_intervals(config.metrics_specs, eval_config=config)
    if _is_jackknife(config):
        combiner = tfma_private.JackknifeSamples(_SAMPLES, skipped)
    else:
        combiner = tfma_private.BootstrapSamples(_SAMPLES, skipped)
    accumulator = combiner.create_accumulator()
    for number in sorted(values):
        sample = confidence_intervals_util.SampleMetrics(values[number], number)
        accumulator = combiner.add_input(accumulator, sample)
    return dict(combiner.extract_output(accumulator))


def _is_jackknife(config: config_pb2.EvalConfig) -> bool:
    return bool(config.options.confidence_intervals.method == config_pb2.ConfidenceIntervalOptions.JACKKNIFE)


class _Poisson:
    def __init__(self, number: int) -> None:
        self._random = np.random.default_rng([SEED, number])

    def __call__(self, rows: int) -> np.ndarray:
        return self._random.poisson(1.0, rows)


class _Buckets:
    def __init__(self, left_out: int) -> None:
        self._random = np.random.default_rng(SEED)
        self._left_out = left_out

    def __call__(self, rows: int) -> np.ndarray:
        return (self._random.integers(_SAMPLES, size=rows) != self._left_out).astype(np.int64)
