"""What columns come of predictions of several versions, and when labels are called one-sided."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from components.runtime.data.schema_columns import Column
from components.runtime.errors import InputError
from components.runtime.feedback import page
from components.runtime.feedback.joining import Joined, Window, join
from components.runtime.feedback.scores import Scores
from components.runtime.records import prediction_log
from components.runtime.records.prediction_log import Labels
from components.runtime.stage.report import figure

NOW = datetime(2026, 11, 30, tzinfo=UTC)


def log(folder: Path, version: int, ids: list[str], features: dict[str, pa.Array], outputs: Any = None) -> None:
    count = len(ids)
    outputs = pa.array([0.5] * count) if outputs is None else outputs
    prediction_log.write(
        folder,
        prediction_log.table(ids, [NOW] * count, [version] * count, [""] * count, features, {"outputs": outputs}),
    )


def labels(*ids: str) -> Labels:
    count = len(ids)
    times = pa.array([NOW] * count, prediction_log.TIME)
    made = pa.table({"prediction_id": ids, "label": [1] * count, "kind": ["explicit"] * count, "time": times})
    return Labels(made)


def joined(folder: Path, columns: dict[str, Column], *ids: str) -> Joined:
    return join(folder, labels(*ids), set(), columns, "y", Window())


def test_versions_with_other_features_and_types_make_one_table(tmp_path: Path) -> None:
    log(tmp_path, 1, ["a-0"], {"x": pa.array([1], pa.int64()), "image": pa.array(["text"])})
    log(
        tmp_path,
        2,
        ["b-0"],
        {"x": pa.array([[0.5, None]]), "image": pa.array([b"\xff\xd8"]), "new": pa.array(["n"]), "left": pa.array([3])},
    )
    columns = {name: Column(name, kind) for name, kind in (("new", "BYTES"), ("x", "FLOAT"), ("image", "BYTES"))}
    found = joined(tmp_path, columns | {"y": Column("y", "INT")}, "a-0", "b-0")
    assert found.rows.schema.names == ["new", "x", "image", "y"]
    assert found.rows.to_pylist() == [
        {"new": None, "x": [1.0], "image": b"text", "y": 1},
        {"new": "n", "x": [0.5], "image": b"\xff\xd8", "y": 1},
    ]
    assert (found.versions, found.empty) == ({1: 1, 2: 1}, [])
    # Where no schema is known, all that was logged.
    assert joined(tmp_path, {}, "a-0", "b-0").rows.schema.names == ["image", "left", "new", "x", "y"]


def test_matrices_are_no_columns(tmp_path: Path) -> None:
    log(tmp_path, 1, ["a-0"], {"image": pa.array([[[1.0, 2.0], [3.0, 4.0]]])})
    with pytest.raises(InputError, match="image has more than one dimension, which no table has"):
        joined(tmp_path, {}, "a-0")


@pytest.mark.parametrize("values", [pa.array([2**63], pa.uint64()), pa.array([[2**63]], pa.list_(pa.uint64()))])
def test_integers_that_no_example_holds_are_refused_in_one_line(tmp_path: Path, values: pa.Array) -> None:
    log(tmp_path, 1, ["a-0"], {"id": values})
    with pytest.raises(
        InputError, match=r"^id: the log has a value that data to train on, .*int64.* here, cannot hold"
    ):
        joined(tmp_path, {}, "a-0")


def test_rows_whose_features_nobody_could_read_are_counted(tmp_path: Path) -> None:
    log(tmp_path, 1, ["a-0"], {})
    found = joined(tmp_path, {}, "a-0")
    assert (found.ids, found.unread, found.matched) == ([], 1, {"a-0"})


def _scores(values: pa.Array, chosen: list[bool]) -> str:
    scores = Scores()
    scores.add(_batch(values, 1, 0), chosen)
    return scores.one_sided()


def _batch(values: pa.Array, version: int, day: int) -> pa.RecordBatch:
    count = len(values)
    columns = {
        "time": pa.array([NOW + timedelta(days=day)] * count, prediction_log.TIME),
        "version": pa.array([version] * count),
        "prediction": pa.StructArray.from_arrays([values], ["outputs"]),
    }
    return pa.RecordBatch.from_arrays([*columns.values()], names=[*columns])


@pytest.mark.parametrize(
    ("values", "chosen", "said"),
    [
        # (Of classes the place of the largest share counts.)
        (
            pa.array([[0.1, 0.9, 0.0]] * 50 + [[0.9, 0.1, 0.0]] * 50),
            [True] * 50 + [False] * 50,
            "class 1 was predicted of 100% of the rows with labels, of 50% of all in their time",
        ),
        (pa.array([[0.1, 0.9, 0.0]] * 50 + [[0.9, 0.1, 0.0]] * 50), [True, False] * 50, ""),
        (pa.array([row / 100 for row in range(100)]), [row >= 50 for row in range(100)], "half of the predictions"),
        (pa.array([row / 100 for row in range(100)]), [row % 3 == 0 for row in range(100)], ""),
        # Too few to tell; all of them; nothing to compare.
        (pa.array([row / 100 for row in range(100)]), [row >= 75 for row in range(100)], ""),
        (pa.array([row / 100 for row in range(100)]), [True] * 100, ""),
        (pa.array(["yes"] * 100), [True] * 50 + [False] * 50, ""),
        (pa.array([[1.0], [1.0, 2.0]] * 50), [True] * 50 + [False] * 50, ""),
        (pa.array([float("nan")] * 100), [True] * 50 + [False] * 50, ""),
    ],
)
def test_one_sided_labels(values: pa.Array, chosen: list[bool], said: str) -> None:
    found = _scores(values, chosen)
    assert found.startswith(said) if said else found == ""


def test_labels_are_held_against_what_the_same_version_answered_in_their_time() -> None:
    scores = Scores()
    low, high = pa.array([row / 200 for row in range(100)]), pa.array([0.5 + row / 200 for row in range(100)])
    scores.add(_batch(low, 1, 0), [False] * 100)
    scores.add(_batch(low, 2, 1), [False] * 100)
    # All that was asked on one day has a label, though other days and versions were asked other things.
    scores.add(_batch(high, 1, 1), [True] * 100)
    assert scores.one_sided() == ""
    # Of the day after only what the model thought likely has one.
    scores.add(_batch(low, 1, 2), [False] * 100)
    scores.add(_batch(high, 1, 2), [True] * 100)
    scores.add(_batch(low, 1, 2), [False] * 100)
    assert scores.one_sided().startswith("half of the predictions with labels are from 0.624 to 0.87")


def test_a_page_of_every_kind_of_label_and_prediction(tmp_path: Path) -> None:
    times = [NOW, NOW + timedelta(days=3)]
    for number, (values, outputs) in enumerate(
        (
            (pa.array([f"class {row % 15}" for row in range(60)]), pa.array([[0.1, 0.9]] * 30 + [[0.9, 0.1]] * 30)),
            (pa.array([row / 7 for row in range(60)], pa.float32()), pa.array([row / 60 for row in range(60)])),
            (pa.array([row % 2 for row in range(60)]), pa.array(["yes"] * 60)),
        )
    ):
        folder = tmp_path / str(number)
        ids = [f"a{row}-0" for row in range(120)]
        for day, time in enumerate(times):
            some = ids[day * 60 : day * 60 + 60]
            features, answers = {"x": pa.array([1] * 60)}, {"outputs": outputs}
            prediction_log.write(
                folder, prediction_log.table(some, [time] * 60, [1] * 60, [""] * 60, features, answers)
            )
        made = pa.table(
            {
                "prediction_id": ids[:60],
                "label": values,
                "kind": ["explicit"] * 60,
                "time": pa.array([NOW] * 60, prediction_log.TIME),
            }
        )
        found = join(folder, Labels(made), set(), {}, "y", Window())
        document = page.render("Span 1 of m", "y", found, {"labels without an id or a value": 1234, "none": 0})
        assert document.count("<svg") == (3 if number < 2 else 2)
        assert "1,234" in document
        assert "none" not in document.partition("What the labels are")[0].partition("left out")[2]
        assert found.days == {times[0].date(): [60, 60], times[1].date(): [60, 0]}


@pytest.mark.parametrize("most", [1, 2, 7, 40_000])
def test_rows_are_counted_in_whole_numbers(most: int) -> None:
    axes = figure(7.6, 2.6).subplots()
    axes.bar([0, 1], [1, most])
    page._count(axes)
    ticks = [float(each) for each in axes.get_yticks()]
    assert ticks == sorted({float(int(each)) for each in ticks})
