"""Masks that came later, held to what was answered of every pixel."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from components.runtime.records import prediction_log
from components.watch import masks
from components.watch.distances import KOLMOGOROV_SMIRNOV
from components.watch.quality import Metric, measured
from components.watch.windows import Answered
from tests.components.watch.watched import END, Rides, World
from tests.image_files import encoded

VALUES = (1, 2, 3)


def png(mask: np.ndarray) -> bytes:
    return encoded(Image.fromarray(mask.astype(np.uint8)), "PNG")


def metrics(pixels: np.ndarray) -> dict[str, Metric]:
    nothing = pa.nulls(len(pixels))
    return {each.name: each for each in measured(Answered(nothing, {}, {}, pixels), {})}


def test_pixels_are_counted_by_what_is_true_and_what_was_told() -> None:
    told = pa.array([[[0, 1], [2, 2]], [[1, 1], [1, 0]]], pa.list_(pa.list_(pa.uint8())))
    # Twice the size, where each pixel of the answer has four; a value that is none counts nowhere.
    first = np.kron([[1, 2], [3, 1]], np.ones((2, 2)))
    second = np.kron([[9, 2], [2, 2]], np.ones((2, 2)))
    found = masks.confusions({"sure": pa.array([0.1, 0.2]), "mask": told}, pa.array([png(first), png(second)]), VALUES)
    assert found is not None
    assert found.tolist() == [[[1, 0, 1], [0, 1, 0], [0, 0, 1]], [[0, 0, 0], [1, 2, 0], [0, 0, 0]]]
    assert masks.confusions({"sure": pa.array([0.1])}, pa.array([png(first)]), VALUES) is None


def test_masks_of_several_sizes_stay_apart() -> None:
    told = pa.array([[[0, 0, 1]], [[1], [1]]], pa.list_(pa.list_(pa.int64())))
    shares = masks.shares(told, 2)
    assert shares["0"].to_pylist() == pytest.approx([2 / 3, 0])
    assert shares["1"].to_pylist() == pytest.approx([1 / 3, 1])


def test_metrics_by_hand_and_classes_that_nobody_has_count_nowhere() -> None:
    found = metrics(np.array([[[6, 2, 0], [1, 7, 0], [0, 0, 0]]]))
    assert found["mean_iou"].value == pytest.approx((6 / 9 + 7 / 10) / 2)
    assert found["pixel_accuracy"].value == pytest.approx(13 / 16)
    assert measured(Answered(pa.nulls(0), {}, {}, np.zeros((0, 3, 3), np.int64)), {}) == []


def test_the_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    random = np.random.default_rng(11)

    def images(count: int) -> np.ndarray:
        """Of each image another share is right, so that its pixels are alike."""
        right = random.beta(8, 2, count)
        true = random.binomial(400, 0.3, count)
        both = [random.binomial(each, right) for each in (true, 400 - true)]
        return np.stack([np.stack([both[0], true - both[0]], 1), np.stack([400 - true - both[1], both[1]], 1)], 1)

    truth = {name: each.value for name, each in metrics(images(200_000)).items()}
    within = dict.fromkeys(truth, 0)
    for _ in range(300):
        for name, each in metrics(images(60)).items():
            within[name] += each.low <= truth[name] <= each.high
    assert all(272 <= count <= 299 for count in within.values()), within


@pytest.fixture(scope="module")
def cameras(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Three days on which a model answers masks, the last of them mostly wrong; one label that is no mask."""
    world = World(tmp_path_factory.mktemp("cameras"))
    world.push(Rides.of(600, 1), {"mean_iou": 0.9, "pixel_accuracy": 0.95})
    random = np.random.default_rng(5)
    for day, wrong in ((2, 0.05), (1, 0.05), (0, 0.6)):
        count = 120
        ids = [f"c{day}-{place}" for place in range(count)]
        true = random.integers(0, 3, (count, 8, 8))
        told = np.where(random.random(true.shape) < wrong, 0, true)
        times = [END - timedelta(days=day + 1) + timedelta(minutes=place) for place in range(count)]
        features = {"fare": pa.array(Rides.of(count, day).fare, pa.float32())}
        prediction = {
            "mask": pa.array(told.tolist(), pa.list_(pa.list_(pa.uint8()))),
            "confidence": pa.array(random.random(count), pa.float32()),
        }
        rows = prediction_log.table(ids, times, [1] * count, ["serving_default"] * count, features, prediction)
        prediction_log.write(world.log, rows)
        found = pa.array([png(mask + 1) for mask in true], pa.binary())
        for labels in (found, pa.array(["a cat"])):
            table = {
                "prediction_id": ids[: len(labels)],
                "label": labels,
                "kind": ["explicit"] * len(labels),
                "time": pa.array([END - timedelta(hours=day)] * len(labels), prediction_log.TIME),
            }
            if day or labels is found:
                prediction_log.write_labels(world.log, pa.table(table))
    return world


def look(world: World, **parameters: Any) -> dict[str, Any]:
    worse_by = {"mean_iou": 0.05, "pixel_accuracy": 0.05}
    given = {"windows": 3, "mask_values": [1.0, 2.0, 3.0], "min_rows": 100, "min_labels": 50, "threshold": 0.4}
    return world.watch(worse_by=worse_by, **given | parameters).told


@pytest.fixture(scope="module")
def found(cameras: World) -> dict[str, Any]:
    return look(cameras)


def test_decay_is_found_by_masks_that_came_later(found: dict[str, Any]) -> None:
    assert found["state"] == "drifted"
    assert found["passed"][0].startswith("mean_iou ")
    assert found["passed"][1].startswith("pixel_accuracy ")
    by_day = [{each["name"]: each["value"] for each in window["metrics"]} for window in found["windows"]]
    # A third of what is answered as class 0 was that before.
    assert by_day[0]["pixel_accuracy"] == pytest.approx(1 - 0.05 * 2 / 3, abs=0.01)
    assert by_day[2]["pixel_accuracy"] == pytest.approx(1 - 0.6 * 2 / 3, abs=0.01)
    assert found["at_blessing"]["mean_iou"] == {"value": 0.9, "bound": pytest.approx(0.85)}
    distances = found["windows"][2]["distances"]
    far = {
        each["feature"]: each for each in distances if (each["kind"], each["measure"]) == ("skew", KOLMOGOROV_SMIRNOV)
    }
    assert far["prediction.mask.0"]["passed"]
    assert not far["prediction.confidence"]["passed"]


def test_a_label_that_is_no_mask_is_told_and_hides_no_other(found: dict[str, Any]) -> None:
    assert found["labels_left_out"]["count"] == 2
    assert "'a cat' is no mask; masks come as files" in found["labels_left_out"]["example"]
    # (The newest label of a prediction counts, of those that are masks.)
    assert [window["labels"] for window in found["windows"]] == [120, 120, 120]


def test_without_the_values_of_masks_nothing_is_said_of_them(cameras: World) -> None:
    said = look(cameras, mask_values=[])
    assert said["decided_by"]["metrics"] is None
    assert "prediction.mask.0" not in str(said["windows"])
