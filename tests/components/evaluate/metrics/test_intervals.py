"""Confidence intervals: what TFMA computes, the same every time, shown, and with thresholds of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from components.runtime.errors import InputError
from components.runtime.evaluation.computation import resampling
from components.runtime.evaluation.computation.counts import Counts
from components.runtime.evaluation.computation.result_files import load
from tests.components.evaluate import evaluation_support as support

CONFIG = """
model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" label_key: "tips_xf" }
slicing_specs {} slicing_specs { feature_keys: "payment_type" }
options { compute_confidence_intervals { value: true } confidence_intervals { method: METHOD } }
metrics_specs {
  metrics { class_name: "ExampleCount" }
  metrics { class_name: "BinaryAccuracy" }
  metrics {
    class_name: "LowerBound" module: "components.evaluate.metrics" config: '"metric": "binary_accuracy"'
    per_slice_thresholds {
      slicing_specs {}
      threshold {
        value_threshold { lower_bound { value: BOUND } }
        change_threshold { direction: HIGHER_IS_BETTER absolute { value: -0.01 } }
      }
    }
  }
}
"""


def evaluate(
    tmp_path: Path, text: str, examples: Path, model: Path, schema: Path, **arguments: Any
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Metadata of the outputs, and blessing.json."""
    tmp_path.mkdir(exist_ok=True)
    (tmp_path / "evaluation.pbtxt").write_text(text)
    given = support.arguments(examples, model, schema, tmp_path / "evaluation.pbtxt", **arguments)
    metadata = support.evaluate_in_process(tmp_path / "out", **given)
    return metadata, json.loads((tmp_path / "out" / "blessing" / "blessing.json").read_text())


def test_jackknife_is_the_formula_and_gates(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = CONFIG.replace("METHOD", "JACKKNIFE").replace("BOUND", "0.87")
    metadata, blessing = evaluate(tmp_path, text, trip_examples, good_model, trip_schema)
    rows = support.trips(600)
    right = np.array([(row["payment_type"] == "Credit Card") == (row["tips"] > 2) for row in rows])
    bucket = np.random.default_rng(resampling.SEED).integers(20, size=600)
    left = np.array([right[bucket != number].mean() for number in range(20)])
    pseudo = 20 * right.mean() - 19 * left
    half = stats.t.ppf(0.975, 19) * pseudo.std(ddof=1) / np.sqrt(20)
    metrics = metadata["metrics"]
    assert metrics["binary_accuracy"] == right.mean() == 0.875
    assert metrics["binary_accuracy 95% low"] == pytest.approx(left.mean() - half, abs=1e-9)
    assert metrics["binary_accuracy 95% high"] == pytest.approx(left.mean() + half, abs=1e-9)
    assert "example_count 95% low" not in metrics
    # The value passes the bound, the lower end of its interval does not.
    assert metrics["binary_accuracy_lower_bound"] == metrics["binary_accuracy 95% low"] < 0.87
    assert blessing["blessed"] is False
    assert blessing["reason"].startswith("binary_accuracy_lower_bound 0.8")
    page = (tmp_path / "out" / "report").read_text()
    assert "95 % confidence interval" in page
    assert f"{metrics['binary_accuracy 95% low']:.4g} to {metrics['binary_accuracy 95% high']:.4g}" in page


def test_bootstrap_is_the_same_twice_and_near_tfmas_own(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path, hour_model: Path
) -> None:
    text = CONFIG.replace("METHOD", "POISSON_BOOTSTRAP").replace("BOUND", "0.8")
    first, blessing = evaluate(tmp_path / "a", text, trip_examples, good_model, trip_schema, baseline=hour_model)
    second, _ = evaluate(tmp_path / "b", text, trip_examples, good_model, trip_schema, baseline=hour_model)
    assert first["evaluation"]["digest"] == second["evaluation"]["digest"]
    assert first["metrics"] == second["metrics"]
    assert blessing["reason"] == "all 2 thresholds hold"
    (overall,) = (
        entry for entry in load(tmp_path / "a" / "out" / "evaluation", Counts()).slices if entry.name == "overall"
    )
    (change,) = (key for key in overall.values if key.is_diff and key.name == "binary_accuracy_lower_bound")
    assert overall.values[change] == overall.intervals[change._replace(name="binary_accuracy")][0]
    # Of 600 examples, an eighth wrong: the standard error of a proportion, met by 20 samples within a half.
    low, high = overall.intervals[change._replace(name="binary_accuracy", is_diff=False)]
    assert not any(key.name == "example_count" for key in overall.intervals)
    half = stats.t.ppf(0.975, 19) * np.sqrt(0.875 * 0.125 / 600)
    assert (high - low) / 2 == pytest.approx(half, rel=0.5)


@pytest.mark.slow
def test_beam_computes_the_same_intervals_twice(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = CONFIG.replace("METHOD", "POISSON_BOOTSTRAP").replace("BOUND", "0.8")
    runs = [
        evaluate(tmp_path / name, text, trip_examples, good_model, trip_schema, beam_options=["--runner=FnApiRunner"])
        for name in ("a", "b")
    ]
    names = [name for name in runs[0][0]["metrics"] if name.startswith("binary_accuracy")]
    assert len(names) == 4
    for name in names:
        assert runs[0][0]["metrics"][name] == pytest.approx(runs[1][0]["metrics"][name], rel=1e-9)
    assert runs[0][1]["blessed"] is True


def test_an_end_of_an_interval_without_intervals_is_refused(
    tmp_path: Path, trip_examples: Path, trip_schema: Path, good_model: Path
) -> None:
    text = CONFIG.replace("METHOD", "JACKKNIFE").replace("BOUND", "0.8").replace("{ value: true }", "{ value: false }")
    with pytest.raises(InputError, match=r"binary_accuracy_lower_bound needs options \{ compute_confidence_intervals"):
        evaluate(tmp_path, text, trip_examples, good_model, trip_schema)
