"""The log of predictions on disk: what is written is read again, whole or not at all, and joined with labels."""

from __future__ import annotations

import datetime
import threading
from pathlib import Path

import pyarrow as pa
import pytest

from components.runtime.errors import InputError
from components.runtime.records import prediction_log

DAY = datetime.datetime(2026, 11, 29, 23, 59, 59, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)


def _rows(ids: list[str], times: list[datetime.datetime], redacted: tuple[str, ...] = ()) -> pa.Table:
    count = len(ids)
    return prediction_log.table(
        ids,
        times,
        [3] * count,
        ["serving_default"] * count,
        {"fare": pa.array([1.5] * (count - 1) + [None], pa.float32()), "words": pa.array([["a", "b"]] * count)},
        {"outputs": pa.array([[0.25]] * count, pa.list_(pa.float32()))},
        redacted,
    )


def _labels(*rows: tuple[str, object, datetime.datetime]) -> pa.Table:
    ids, labels, times = zip(*rows, strict=True)
    kinds = [prediction_log.EXPLICIT] * len(rows)
    return pa.table(
        {"prediction_id": ids, "label": labels, "kind": kinds, "time": pa.array(times, prediction_log.TIME)}
    )


def test_rows_are_read_again_by_the_day_of_their_request(tmp_path: Path) -> None:
    written = prediction_log.write(tmp_path, _rows(["a-0", "a-1", "b-0"], [DAY, DAY, DAY + SECOND], ("name",)))
    assert [file.parent.name for file in written] == ["date=2026-11-29", "date=2026-11-30"]
    one, other = prediction_log.read(tmp_path)
    assert one.column("prediction_id").to_pylist() == ["a-0", "a-1"]
    assert one.column("time").to_pylist() == [DAY, DAY]
    assert prediction_log.features(other)["fare"].to_pylist() == [None]
    assert prediction_log.features(one)["words"].to_pylist() == [["a", "b"]] * 2
    assert prediction_log.prediction(one)["outputs"].to_pylist() == [[0.25]] * 2
    assert prediction_log.redacted(one) == {"name"}


@pytest.mark.parametrize(
    ("since", "until", "ids"),
    [
        (None, None, ["a-0", "b-0"]),
        (DAY + SECOND, None, ["b-0"]),
        (None, DAY + SECOND, ["a-0"]),
        (DAY, DAY + SECOND, ["a-0"]),
        (DAY + 2 * SECOND, None, []),
    ],
)
def test_since_is_within_and_until_is_not(
    since: datetime.datetime | None, until: datetime.datetime | None, ids: list[str], tmp_path: Path
) -> None:
    prediction_log.write(tmp_path, _rows(["a-0", "b-0"], [DAY, DAY + SECOND]))
    batches = prediction_log.read(tmp_path, since, until, ["prediction_id"])
    assert [each for batch in batches for each in batch.column("prediction_id").to_pylist()] == ids


def test_a_model_without_a_log_has_no_rows_and_no_labels(tmp_path: Path) -> None:
    assert list(prediction_log.read(tmp_path / "none")) == []
    assert len(prediction_log.Labels(prediction_log.read_labels(tmp_path / "none"))) == 0


def test_what_a_writer_left_half_is_not_read_and_a_damaged_file_is_named(tmp_path: Path) -> None:
    [file] = prediction_log.write(tmp_path, _rows(["a-0"], [DAY]))
    half = file.with_name(f".{file.name}")
    half.write_bytes(file.read_bytes()[:100])
    assert len(list(prediction_log.read(tmp_path))) == 1
    file.write_bytes(half.read_bytes())
    with pytest.raises(InputError, match=rf"{file.name}: no file of a prediction log .*; remove it$"):
        list(prediction_log.read(tmp_path))


def test_many_writers_of_one_folder_lose_nothing(tmp_path: Path) -> None:
    def add(writer: int) -> None:
        for number in range(10):
            prediction_log.write(tmp_path, _rows([f"{writer}.{number}-0"], [DAY]))

    writers = [threading.Thread(target=add, args=(writer,)) for writer in range(4)]
    for each in writers:
        each.start()
    for each in writers:
        each.join()
    found = {each for batch in prediction_log.read(tmp_path) for each in batch.column("prediction_id").to_pylist()}
    assert found == {f"{writer}.{number}-0" for writer in range(4) for number in range(10)}


def test_features_that_are_all_redacted_leave_rows_without_features(tmp_path: Path) -> None:
    rows = prediction_log.table(
        ["a-0"], [DAY], [1], ["serving_default"], {}, {"outputs": pa.array([1])}, ("fare", "words")
    )
    prediction_log.write(tmp_path, rows)
    [batch] = prediction_log.read(tmp_path)
    assert prediction_log.features(batch) == {}


def test_the_newest_label_of_a_prediction_is_joined(tmp_path: Path) -> None:
    prediction_log.write(tmp_path, _rows(["a-0", "a-1", "b-0"], [DAY, DAY, DAY]))
    prediction_log.write_labels(tmp_path, _labels(("a-1", 1, DAY + SECOND), ("a-1", 0, DAY), ("x-0", 1, DAY)))
    prediction_log.write_labels(tmp_path, _labels(("b-0", 0.5, DAY)))
    labels = prediction_log.Labels(prediction_log.read_labels(tmp_path))
    assert (len(labels), labels.superseded) == (3, 1)
    [batch] = prediction_log.read(tmp_path)
    joined = labels.join(batch)
    assert pa.Table.from_batches([joined]).select(["prediction_id", "label", "label_time"]).to_pylist() == [
        {"prediction_id": "a-1", "label": 1.0, "label_time": DAY + SECOND},
        {"prediction_id": "b-0", "label": 0.5, "label_time": DAY},
    ]


def test_labels_that_were_written_before_what_is_wanted_are_not_read(tmp_path: Path) -> None:
    def labels(ids: list[str], name: str) -> None:
        column = {"prediction_id": ids, "label": [1] * len(ids), "kind": ["explicit"] * len(ids)}
        file = prediction_log.write_labels(
            tmp_path, pa.table(column | {"time": pa.array([DAY] * len(ids), prediction_log.TIME)})
        )
        file.rename(file.with_name(name))

    labels(["old"], "20261129T100000000000-aaaaaaaaaaaa.parquet")
    # By a clock that is half an hour behind.
    labels(["near"], "20261129T232959000000-bbbbbbbbbbbb.parquet")
    labels(["new"], "20261130T000000000000-cccccccccccc.parquet")
    labels(["by-hand"], "mine.parquet")
    found = prediction_log.read_labels(tmp_path, DAY)
    assert sorted(found.column("prediction_id").to_pylist()) == ["by-hand", "near", "new"]
    # In another zone the same moment.
    zone = datetime.timezone(datetime.timedelta(hours=9))
    assert prediction_log.read_labels(tmp_path, DAY.astimezone(zone)).equals(found)
    (tmp_path / "labels" / "20261129T100000000000-aaaaaaaaaaaa.parquet").write_bytes(b"damaged")
    assert prediction_log.read_labels(tmp_path, DAY).equals(found)
    with pytest.raises(InputError, match="no file of a prediction log"):
        prediction_log.read_labels(tmp_path)


def test_no_label_of_a_batch_is_a_batch_without_rows(tmp_path: Path) -> None:
    prediction_log.write(tmp_path, _rows(["a-0"], [DAY]))
    prediction_log.write_labels(tmp_path, _labels(("x-0", "yes", DAY)))
    [batch] = prediction_log.read(tmp_path)
    joined = prediction_log.Labels(prediction_log.read_labels(tmp_path)).join(batch)
    assert joined.num_rows == 0
    assert joined.schema.field("label").type == pa.string()
