"""The stories as far as they need no training: what they refuse, and what they draw. Whole ones are in tests/e2e."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from components.runtime.records import prediction_log
from scripts.story import city, pets, picture
from tests.image_files import encoded, jpeg


@pytest.mark.parametrize("story", [city, pets])
def test_a_folder_that_is_there_stays_as_it_is(
    story: object, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert story.main(["--folder", str(tmp_path)]) == 65  # type: ignore[attr-defined]
    assert "is there already; remove it, or give --folder another" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_too_few_photographs_are_told_before_anything_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images/a.jpg").write_bytes(jpeg())
    arguments = ["--folder", str(tmp_path / "story"), "--photographs", str(tmp_path), "--first", "20", "--asked", "10"]
    assert pets.main(arguments) == 65
    assert "1 photographs in images, 70 are needed: give --first and --asked less" in capsys.readouterr().err
    assert not (tmp_path / "story").exists()


def test_no_photograph_is_of_two_days(tmp_path: Path) -> None:
    for folder, suffix in (("images", "jpg"), ("annotations/trimaps", "png")):
        (tmp_path / folder).mkdir(parents=True)
        for number in range(30):
            (tmp_path / folder / f"{number:02}.{suffix}").write_bytes(b"")
    story = pets.Story(tmp_path / "story", photographs=tmp_path, first=5, asked=5)
    assert len({story.pair(place)[0] for place in range(30)}) == 30


def test_the_picture_has_what_was_seen_what_was_true_and_what_was_answered(tmp_path: Path) -> None:
    ids = [f"day{day}.0-{place}" for day in (1, 2) for place in range(2)]
    times = [datetime(2026, 11, 30, tzinfo=UTC)] * 4
    true, told = np.full((48, 64), 3, np.uint8), np.zeros((4, 8, 8), int)
    features = {"image": pa.array([encoded(Image.new("RGB", (64, 48), (0, 0, 255)), "PNG")] * 4, pa.binary())}
    prediction = {"mask": pa.array(told.tolist(), pa.list_(pa.list_(pa.uint8())))}
    rows = prediction_log.table(ids, times, [1, 1, 2, 2], ["serving_default"] * 4, features, prediction)
    prediction_log.write(tmp_path, rows)
    masks = pa.array([encoded(Image.fromarray(true), "PNG")] * 4, pa.binary())
    labels = {"prediction_id": ids, "label": masks, "kind": ["explicit"] * 4, "time": times}
    prediction_log.write_labels(tmp_path, pa.table(labels))
    picture.draw(tmp_path, 2, tmp_path / "days.png")
    drawn = Image.open(tmp_path / "days.png").convert("RGB")
    colours = {drawn.getpixel((x, y)) for x in (100, 500) for y in (60, 180, 300)}
    assert colours == {(0, 0, 255), (250, 204, 21), (234, 88, 12)}
