"""What is read of an evaluation's files: those of a real one of taxi, its candidate beside its baseline."""

from __future__ import annotations

import itertools
import json

import pytest

from components.runtime.data import tfrecord
from runners.history import evaluations
from runners.history.directions import better
from runners.history.evaluations import Evaluation
from runners.history.tfx_files import _classes
from tests.support import ROOT

_FOLDER = ROOT / "tests" / "data" / "evaluation"


@pytest.fixture(scope="module")
def made() -> Evaluation:
    read = Evaluation()
    evaluations.add_metrics(read, tfrecord.read(next(_FOLDER.glob(evaluations.METRICS_FILES))))
    evaluations.add_plots(read, tfrecord.read(next(_FOLDER.glob(evaluations.PLOTS_FILES))))
    return read


def test_the_curve_has_the_area_that_the_metric_says(made: Evaluation) -> None:
    recalls, precisions = zip(*made.precision_recall, strict=True)
    assert list(recalls) == sorted(recalls)
    assert recalls[-1] == 1
    pairs = itertools.pairwise(made.precision_recall)
    area = recalls[0] * precisions[0] + sum((right[0] - left[0]) * (left[1] + right[1]) / 2 for left, right in pairs)
    assert area == pytest.approx(made.slices["overall"]["auc_precision_recall"], abs=0.01)
    assert made.slices["overall"]["auc"] == pytest.approx(0.95, abs=0.01)


def test_predictions_and_what_came_of_them(made: Evaluation) -> None:
    assert sum(share for _, share in made.predictions) == pytest.approx(1, abs=1e-3)
    assert [low for low, _ in made.predictions] == pytest.approx([place / 20 for place in range(20)])
    predicted = [point[0] for point in made.calibration]
    assert predicted == sorted(predicted)
    assert all(0 <= number <= 1 for point in made.calibration for number in point)


def test_of_a_regression_there_are_residuals_and_deciles() -> None:
    told = {
        "zero_or_one": False,
        "residuals": [[-1.0, 0.0, 1.0], [3.0, 5.0]],
        "outside": 2.0,
        "parts": [{"prediction": 1.5, "label": 2.0}, {"prediction": 7.0, "label": 6.5}],
    }
    message = _classes()["SliceMetrics"]()
    entry = message.metrics.add()
    entry.key.name, entry.value.bytes_value = "regression_plot", json.dumps(told).encode()
    read = Evaluation()
    evaluations.add_metrics(read, [message.SerializeToString()])
    assert read.residuals == [[-1.0, 0.3], [0.0, 0.5]]
    assert read.calibration == [[1.5, 2.0], [7.0, 6.5]]


@pytest.mark.parametrize("record", [b"", b"\xff\xff", b'{"a": 1}'])
def test_what_is_no_evaluation_tells_nothing(record: bytes) -> None:
    read = Evaluation()
    evaluations.add_metrics(read, [record])
    evaluations.add_plots(read, [record])
    assert read.says_nothing


@pytest.mark.parametrize(
    ("metric", "way"),
    [
        ("auc", 1),
        ("evaluate-wide.BinaryAccuracy", 1),
        ("mae lift", 1),
        ("mean_squared_error", -1),
        ("train.eval_loss", -1),
        ("false_positives", -1),
        ("example_count", 0),
        ("train.examples_per_second_of_steps", 0),
        ("revenue", None),
        ("previous", None),
    ],
)
def test_which_way_is_better_by_the_name(metric: str, way: int | None) -> None:
    assert better(metric) == way
    assert better(metric, {metric.rpartition(".")[2]: -1}) == -1
