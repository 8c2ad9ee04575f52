"""The watch stage: drift and decay are found, chance is not taken for them, and what nobody knows is told as that."""

from __future__ import annotations

import math
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.runtime.errors import InputError
from components.runtime.records import prediction_log
from components.watch.quality import Metric
from components.watch.verdict import Level, Looked, decide
from tests.components.watch.watched import END, Rides, Watched, World
from tests.support import run_stage

CURATED_WITH_ANOTHER = """
feature { name: "fare" type: FLOAT }
feature { name: "hour" type: INT }
feature { name: "payment" type: BYTES }
feature { name: "generous" type: INT }
feature { name: "weather" type: BYTES }
"""
AT_BLESSING = {"auc": 0.91, "binary_accuracy": 0.91, "binary_crossentropy": 0.3}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Version 1, and two quiet days, then two of drift: the last has hardly a label yet."""
    world = World(tmp_path_factory.mktemp("world"))
    world.push(Rides.of(4000, 1), AT_BLESSING)
    for day, drift, labelled in ((3, 0.0, 0.5), (2, 0.0, 0.5), (1, 0.9, 0.5), (0, 1.0, 0.05)):
        world.ask(Rides.of(800, 10 + day, drift=drift), day, labelled=labelled)
    return world


@pytest.fixture(scope="module")
def looked(served: World) -> Watched:
    """At all of it."""
    return served.watch(slices=["payment"])


def of(found: dict[str, Any], window: int, feature: str, kind: str) -> float:
    """The largest distance of a feature in a window."""
    return max(
        each["value"]
        for each in found["windows"][window]["distances"]
        if each["feature"] == feature and each["kind"] == kind
    )


def test_drift_and_decay_are_found_and_what_decides_is_told(looked: Watched) -> None:
    result, found = looked, looked.told
    assert found["state"] == "drifted"
    assert (result.folder / "watched" / "WATCHED_DRIFTED").exists()
    assert (result.folder / "parameters" / "drifted").read_text() == "true"
    # Distances are those of the newest window, metrics those of the newest with labels enough.
    assert found["decided_by"] == {"distances": 3, "metrics": 2}
    assert [line.split()[0] for line in found["passed"][:3]] == ["auc", "accuracy", "log_loss"]
    assert any(line.startswith("skew of payment ") for line in found["passed"])
    assert any(line.startswith("skew of fare ") for line in found["passed"])
    assert not any(" of hour " in line for line in found["passed"])
    # About 40 % paid by card, and nobody does any more.
    assert of(found, 3, "payment", "skew") == pytest.approx(0.4, abs=0.04)
    assert of(found, 0, "payment", "skew") < 0.06
    # The drift was between the second day and the third, not between the third and the last.
    assert of(found, 2, "payment", "drift") > 0.3
    assert of(found, 3, "payment", "drift") < 0.1
    assert found["not_logged"] == ["generous"]
    assert result.metadata("watched")["state"] == "drifted"
    assert result.metadata("metrics")["labels"] == 400
    # Of the drifted window hardly anybody paid by card: of too few nothing is told.
    assert found["slices"]["payment"]["Cash"]
    assert found["slices"]["payment"]["Credit Card"] == []


def test_the_page_shows_it_over_time(looked: Watched) -> None:
    page = looked.page
    assert page.count("<svg") == 4
    for said in (
        "drifted: version 1: auc",
        "too far",
        "worse",
        "at blessing",
        "Distances of features over the windows",
    ):
        assert said in page
    assert "<script" not in page


def test_quiet_windows_are_ok(served: World) -> None:
    result = served.watch(windows=2, until=(END - timedelta(days=2)).isoformat())
    found = result.told
    assert (found["state"], found["passed"]) == ("ok", [])
    assert "auc, accuracy, log_loss as at blessing" in found["reason"]
    assert (result.folder / "watched" / "WATCHED_OK").exists()
    assert (result.folder / "parameters" / "drifted").read_text() == "false"


@pytest.mark.slow
def test_what_another_version_answered_is_another_matter(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(2000, 1), AT_BLESSING)
    world.push(Rides.of(2000, 2, drift=1.0), AT_BLESSING)
    world.ask(Rides.of(600, 3, drift=1.0), 1, version=1)
    world.ask(Rides.of(600, 4, drift=1.0), 0, version=2)
    assert world.watch(version=1).told["state"] == "drifted"
    # (It answers no better: there the labels are left out.)
    newer = world.watch(worse_by={}).told
    assert (newer["version"], newer["state"]) == (2, "ok")
    assert [window["rows"] for window in newer["windows"]] == [0, 0, 0, 600]


def test_of_too_little_nothing_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(2000, 1), AT_BLESSING)
    world.ask(Rides.of(200, 3, drift=1.0), 0, labelled=0.2)
    result = world.watch()
    found = result.told
    assert found["state"] == "unknown"
    assert found["reason"] == (
        "version 1 answered 200 rows, 200 at most in one window, and min_rows is 300: nothing is judged"
    )
    assert all(window["distances"] == window["metrics"] == [] for window in found["windows"])
    assert (result.folder / "watched" / "WATCHED_UNKNOWN").exists()
    assert "labels" not in result.metadata("metrics")
    assert "Unknown: 40 labels at most in one window" in result.page


def test_without_labels_the_metrics_are_unknown_and_not_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(2000, 1), AT_BLESSING)
    world.ask(Rides.of(600, 3), 0, labelled=0)
    found = world.watch().told
    assert found["state"] == "ok"
    assert "metrics unknown (0 labels at most in one window, and min_labels is 100)" in found["reason"]
    assert all(window["metrics"] == [] for window in found["windows"])


def test_one_label_that_nobody_can_read_does_not_hide_the_others(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(2000, 1), AT_BLESSING)
    world.ask(Rides.of(600, 3), 0, labelled=0.5)
    said_again = {"prediction_id": ["r0-1-0", "r0-1-1"], "kind": ["explicit"] * 2}
    for label in (["abc", "generous"], [True, False]):
        times = pa.array([END] * 2, prediction_log.TIME)
        prediction_log.write_labels(world.log, pa.table({**said_again, "label": label, "time": times}))
    result = world.watch()
    found = result.told
    assert "auc, accuracy, log_loss as at blessing" in found["reason"]
    assert found["windows"][-1]["metrics"][0]["count"] == 300
    assert found["labels_left_out"] == {"count": 2, "example": "r0-1-0: 'abc' is no number"}
    assert "2 labels left out, none of the model&#x27;s; the first: r0-1-0" in result.page


def test_where_no_label_says_anything_the_true_reason_is_told(tmp_path: Path) -> None:
    world = World(tmp_path)
    # (Of two columns that are not logged nobody knows which is the label.)
    rides = Rides.of(600, 3)
    world.push(Rides.of(2000, 1), AT_BLESSING, curated=CURATED_WITH_ANOTHER)
    world.ask(rides, 0, labelled=0)
    ids = [f"r0-1-{place}" for place in range(200)]
    times = pa.array([END] * 200, prediction_log.TIME)
    kinds = ["explicit"] * 200
    table = {"prediction_id": ids, "label": ["yes"] * 200, "kind": kinds, "time": times}
    prediction_log.write_labels(world.log, pa.table(table))
    why = "of 200 labels 0 can be compared with the answers: the labels are texts, the answers outputs numbers"
    result = world.watch()
    assert f"metrics unknown ({why})" in result.told["reason"]
    assert f"Unknown: {why}." in result.page


def test_what_was_not_measured_is_not_counted_as_within(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(2000, 1))
    world.ask(Rides.of(600, 3), 0, labelled=0, without={"fare": 0.9})
    result = world.watch(windows=1, thresholds={"fare": 1.0})
    assert (
        "2 features and outputs within their thresholds, 2 not measured (fare, prediction.outputs)"
        in (result.told["reason"])
    )
    assert "skew not measured, because the window has but 60 values of it, fewer than 300" in result.page
    assert "skew not measured, because it is the oldest window with enough rows" in result.page


@pytest.mark.slow
def test_a_version_without_metrics_of_its_blessing_is_not_judged_by_them(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(2000, 1))
    world.ask(Rides.of(600, 3), 0)
    found = world.watch().told
    assert (found["state"], found["at_blessing"]) == ("ok", {})
    assert "none is known from the blessing" in found["reason"]
    assert found["windows"][-1]["metrics"][0]["name"] == "auc"


@pytest.mark.slow
def test_the_comparators_of_the_schema_go_before_the_default_and_own_thresholds_before_both(tmp_path: Path) -> None:
    world = World(tmp_path)
    curated = """
      feature { name: "fare" type: FLOAT drift_comparator { jensen_shannon_divergence { threshold: 0.9 } } }
      feature { name: "hour" type: INT }
      feature { name: "payment" type: BYTES skew_comparator { infinity_norm { threshold: 0.7 } } }
      feature { name: "generous" type: INT }
    """
    world.push(Rides.of(2000, 1), curated=curated)
    world.ask(Rides.of(600, 3, drift=1.0), 0, labelled=0)
    found = world.watch(thresholds={"hour": 0.2, "prediction.outputs": 0.5}).told
    bounds = {
        each["feature"]: each["threshold"]
        for each in found["windows"][-1]["distances"]
        if each["measure"] != "missing" and each["kind"] == "skew"
    }
    assert bounds == pytest.approx({"fare": 0.9, "hour": 0.2, "payment": 0.7, "prediction.outputs": 0.5})
    assert found["state"] == "ok"
    assert world.watch(thresholds={"payment": 0.3}).told["passed"][0].startswith("skew of payment ")


def test_values_that_go_missing_are_drift(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(2000, 1))
    world.ask(Rides.of(600, 3), 1, labelled=0)
    rides = Rides.of(600, 4)
    world.ask(rides, 0, labelled=0, without={"fare": 0.25, "hour": 1.0})
    found = world.watch().told
    assert found["state"] == "drifted"
    assert "skew of missing values of fare 0.25, at most 0.1" in found["passed"]
    assert "skew of missing values of hour 1, at most 0.1" in found["passed"]
    unknown = [each for each in found["windows"][-1]["distances"] if each["value"] is None]
    assert {each["feature"] for each in unknown} == {"hour"}
    assert all("has no finite values of it" in each["why"] for each in unknown)


def test_labels_that_are_numbers_become_classes_by_a_share_of_a_feature(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(2000, 1), AT_BLESSING)
    rides = Rides.of(600, 3)
    world.ask(rides, 0, labelled=0)
    tips = rides.fare * (0.1 + 0.2 * rides.generous)
    labels = {
        "prediction_id": [f"r0-1-{place}" for place in range(600)],
        "label": tips,
        "kind": ["explicit"] * 600,
        "time": pa.array([END] * 600, prediction_log.TIME),
    }
    prediction_log.write_labels(world.log, pa.table(labels))
    found = world.watch(positive={"above": 0.2, "of": "fare"}).told
    metrics = {each["name"]: each for each in found["windows"][-1]["metrics"]}
    right = ((rides.told > 0.5) == (rides.generous == 1)).mean()
    assert metrics["accuracy"]["value"] == pytest.approx(right)
    assert metrics["accuracy"]["count"] == 600
    # Without it dollars are none of the labels of the data, which are 0 and 1.
    assert "0 labels at most in one window, without 600 that are none of the model's" in world.watch().told["reason"]


def test_metrics_that_the_blessing_does_not_have_are_named() -> None:
    # As of dollars that are held against probabilities: a regression.
    measured = [Metric(name, 2.0, 1.9, 2.1, 400) for name in ("mae", "rmse")]
    looked = [Looked(END, END, 400, 400, metrics=measured)]
    found = decide(looked, {"auc": Level("auc", 0.9, 0.85)}, version=1, min_rows=300, min_labels=100)
    assert "metrics not judged (mae, rmse are measured, auc known from the blessing; where a label is" in found.reason


@pytest.mark.parametrize(
    ("parameters", "error"),
    [
        ({"log": "/nowhere"}, "log /nowhere: no such folder; a server that logs its predictions makes it"),
        ({"version": 7}, "there is no version 7; there are 1"),
        ({"every": "1 month"}, "every: '1 month' is no length of a window"),
        ({"windows": 0}, "windows: expected 1 to 1000, not 0"),
        ({"until": "tomorrow"}, "until: 'tomorrow' is no time"),
        ({"windows": 1000, "every": "999w"}, "reach back before the first year"),
        ({"threshold": 7.0}, "threshold: expected a number from 0 to 1, not 7.0"),
        ({"thresholds": {"fare": "high"}}, "thresholds.fare: expected a number from 0 to 1, not 'high'"),
        ({"thresholds": {"far": 0.1}}, "thresholds: nothing is called 'far', did you mean 'fare'"),
        ({"worse_by": {"auc": "a bit"}}, "worse_by.auc: expected a number from 0, not 'a bit'"),
        ({"worse_by": {"aoc": 0.1}}, "worse_by: 'aoc', did you mean 'auc'"),
        ({"positive": {"over": 1}}, "positive: expected above (a number) and of (a feature)"),
        ({"slices": ["colour"]}, "'colour' is no feature in the log; there are fare, hour, payment"),
        ({"min_labels": 1}, "min_labels: expected 2 or more, not 1"),
    ],
)
def test_what_is_wrong_is_one_line(served: World, parameters: dict[str, Any], error: str) -> None:
    with pytest.raises(InputError, match=re.escape(error)) as raised:
        served.watch(**parameters)
    assert "\n" not in str(raised.value)


@pytest.mark.slow
def test_as_a_process_it_ends_well_with_drift_and_with_one_line_where_nothing_is_there(served: World) -> None:
    result = run_stage("watch", served.folder / "process", **served.arguments())
    assert result.exit_code == 0, result.stderr
    assert "progress: drifted: version 1: auc " in result.stdout
    result = run_stage("watch", served.folder / "failed", **served.arguments(log="/nowhere"))
    assert (result.exit_code, result.error.partition(":")[0]) == (65, "log /nowhere")
    assert "Traceback" not in result.stderr
    assert list((served.folder / "failed").iterdir()) == []


def test_a_log_that_is_none_or_of_another_model(tmp_path: Path) -> None:
    world = World(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no version is served from here"):
        world.watch(log=str(tmp_path / "empty"))
    world.push(Rides.of(1000, 1))
    with pytest.raises(InputError, match="nothing was asked of it yet that a server logged"):
        world.watch(log=str(tmp_path / "empty"))
    (tmp_path / "empty" / "taxi").mkdir()
    with pytest.raises(InputError, match="holds no predictions, which are date=YYYY-MM-DD"):
        world.watch(log=str(tmp_path / "empty"))
    other = prediction_log.table(["a-0"], [END], [1], ["s"], {"pixels": pa.array([1])}, {"outputs": pa.array([0.5])})
    prediction_log.write(tmp_path / "other", other)
    told = r"none of its features \(pixels\) is one of version 1 \(fare, generous, hour, payment\)"
    with pytest.raises(InputError, match=told):
        world.watch(log=str(tmp_path / "other"))


def test_a_version_that_does_not_tell_what_it_was_trained_on(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.push(Rides.of(1000, 1), tells=False)
    world.ask(Rides.of(400, 2), 0)
    with pytest.raises(InputError, match="version 1 does not tell what it was trained on"):
        world.watch()


def test_all_numbers_are_numbers(looked: Watched) -> None:
    def numbers(value: Any) -> list[float]:
        if isinstance(value, dict):
            return [one for each in value.values() for one in numbers(each)]
        if isinstance(value, list):
            return [one for each in value for one in numbers(each)]
        return [value] if isinstance(value, float) else []

    assert all(map(math.isfinite, numbers(looked.told)))
