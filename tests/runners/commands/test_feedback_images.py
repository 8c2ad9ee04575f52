"""`feedback` of models on images: masks and classes that come later, and spans that are folders of images."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import yaml
from PIL import Image

from components.runtime.records import prediction_log
from runners.history.records import list_runs
from tests.components.ingest.ingest_support import ingested
from tests.image_files import encoded, jpeg, png, raw_png
from tests.runners.cluster_support import Called, call
from tests.support import ROOT

IDS = ["a-0", "a:b-0", "c-0"]
IMAGES = [jpeg(1), png(2), jpeg(3)]
CLASSES = 'feature { name: "image" type: BYTES }\nfeature { name: "image_name" type: BYTES }\n' + "".join(
    f'feature {{ name: "{name}" type: BYTES }}\n' for name in ("image_format", "label")
)


def model(folder: Path, images: dict[str, object], schema: str = "") -> Path:
    made = folder / "shelter"
    made.mkdir()
    (made / "schema.pbtxt").write_text(schema or (ROOT / "models/pets/schema.pbtxt").read_text())
    settings = {"ingest": {"format": "images", "images": images}, "schema": {"schema_file": "schema.pbtxt"}}
    (made / "settings.yaml").write_text(yaml.safe_dump(settings))
    return made


def log(root: Path, images: list[bytes] | None = IMAGES) -> None:
    features = {"height": pa.array([48] * 3), "width": pa.array([64] * 3), "brightness": pa.array([9.0] * 3)}
    features |= {"image": pa.array(images, pa.binary())} if images else {}
    told = {"confidence": pa.array([0.5, 0.6, 0.7], pa.float32())}
    times = [datetime(2026, 11, 30, tzinfo=UTC)] * 3
    rows = prediction_log.table(IDS, times, [1] * 3, ["serving_default"] * 3, features, told)
    prediction_log.write(root / "predictions" / "shelter", rows)


def mask(values: tuple[int, ...] = (1, 2, 3), size: tuple[int, int] = (64, 48)) -> bytes:
    return encoded(Image.fromarray(np.resize(np.array(values, np.uint8), (size[1], size[0]))), "PNG")


def labels(folder: Path, masks: dict[str, bytes]) -> Path:
    (folder / "masks").mkdir()
    for number, content in enumerate(masks.values()):
        (folder / f"masks/{number}.png").write_bytes(content)
    file = folder / "labels.csv"
    lines = [f"{name},masks/{number}.png" for number, name in enumerate(masks)]
    file.write_text("\n".join(["prediction_id,mask", *lines]))
    return file


def feedback(tmp_path: Path, made: Path, *arguments: object) -> Called:
    return call("--root", tmp_path / "root", "feedback", made, "--out", tmp_path / "data", *arguments)


PAIRS: dict[str, object] = {"layout": "pairs"}


def test_masks_and_images_are_a_span_that_ingest_reads(tmp_path: Path) -> None:
    made = model(tmp_path, PAIRS)
    log(tmp_path / "root")
    file = labels(tmp_path, {"a-0": mask(), "a:b-0": mask((2,))})
    said = feedback(tmp_path, made, "--labels", file, "--json")
    assert said.exit_code == 0, said.err
    assert (said.document["rows"], said.document["span"], said.document["logged"]) == (2, 1, 3)
    found = ingested(tmp_path / "out", tmp_path / "data", splits={"all": 1}, format="images", images=PAIRS, spans=1)
    assert [(row["image"], row["mask"]) for row in found.rows()] == [
        ([IMAGES[0]], [mask()]),
        ([IMAGES[1]], [mask((2,))]),
    ]
    # They are there for watch, by the ids; and in no second span.
    kept = prediction_log.read_labels(tmp_path / "root/predictions/shelter")
    assert kept.column("label").to_pylist() == [mask(), mask((2,))]
    again = feedback(tmp_path, made, "--labels", file)
    assert "nothing new: all 2 predictions with labels are in a span already" in again.out
    assert "nothing new" in feedback(tmp_path, made).out
    [run] = list_runs(tmp_path / "root")
    page = (run.executions["feedback"].path("report")).read_text()
    assert "How much of the images has each value of the masks" in page
    assert len(list((tmp_path / "data").iterdir())) == 1


def test_without_images_in_the_log_the_labels_are_kept_and_it_is_said_what_to_do(tmp_path: Path) -> None:
    made = model(tmp_path, PAIRS)
    log(tmp_path / "root", None)
    said = feedback(tmp_path, made, "--labels", labels(tmp_path, {"a-0": mask()}))
    assert said.exit_code == 0, said.err
    assert (
        "of 1 prediction with labels the images are not in the log, which the server keeps with --log-images"
        in said.out
    )
    assert len(prediction_log.read_labels(tmp_path / "root/predictions/shelter")) == 1
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (mask((1, 4)), "masks/0.png holds the value 4; a mask may hold 1, 2, 3"),
        (mask(size=(10, 10)), "a-0: a mask of 10x10 pixels, its image has 64x48: give both the same size"),
        (jpeg(), "masks/0.png is no mask: it cannot be read as PNG"),
        (
            raw_png(60_000, 60_000, 8, 0, b""),
            "masks/0.png is no mask: it has more than 89 million pixels; make it smaller",
        ),
        (png(), "masks/0.png is no mask: it has the mode RGB; save it with one channel of 8 bits"),
    ],
)
def test_a_mask_that_is_none_changes_nothing(tmp_path: Path, content: bytes, error: str) -> None:
    made = model(tmp_path, PAIRS)
    log(tmp_path / "root")
    said = feedback(tmp_path, made, "--labels", labels(tmp_path, {"a-0": content}))
    assert said.exit_code == 65
    assert error in said.error
    assert "<_io." not in said.error
    assert not (tmp_path / "data").exists()
    assert len(prediction_log.read_labels(tmp_path / "root/predictions/shelter")) == 0
    assert list_runs(tmp_path / "root") == []


def test_a_mask_that_is_not_there_and_a_layout_that_spans_cannot_have(tmp_path: Path) -> None:
    made = model(tmp_path, PAIRS)
    log(tmp_path / "root")
    file = tmp_path / "labels.csv"
    file.write_text("prediction_id,mask\na-0,gone.png\n")
    assert "row 1: mask: " in (error := feedback(tmp_path, made, "--labels", file).error)
    assert "gone.png cannot be read (No such file or directory)" in error
    (tmp_path / "other").mkdir()
    listed = model(tmp_path / "other", {"layout": "list", "list_file": "a.csv"}, CLASSES)
    assert "its images lie as list; spans are made of pairs and of folders" in feedback(tmp_path, listed).error


@pytest.mark.parametrize("told", [True, False], ids=["told", "found out"])
def test_classes_are_folders(tmp_path: Path, told: bool) -> None:
    made = model(tmp_path, {"layout": "folders"}, CLASSES)
    if not told:
        (made / "settings.yaml").write_text("schema: {schema_file: schema.pbtxt}")
    log(tmp_path / "root")
    file = tmp_path / "labels.csv"
    file.write_text("prediction_id,label\na-0,cat\na:b-0,big dog\n")
    said = feedback(tmp_path, made, "--labels", file)
    assert said.exit_code == 0, said.err
    found = ingested(tmp_path / "out", tmp_path / "data", splits={"all": 1}, format="images", spans=1)
    assert ("first set ingest.format to images in" in said.out) == (not told)
    assert f"--data {tmp_path}/data --spans 1" in said.out
    assert {row["label"][0]: row["image"][0] for row in found.rows()} == {b"cat": IMAGES[0], b"big dog": IMAGES[1]}


@pytest.mark.parametrize("name", ["../up", "a/b", "", "."])
def test_a_class_that_can_be_no_folder_is_refused(tmp_path: Path, name: str) -> None:
    made = model(tmp_path, {"layout": "folders"}, CLASSES)
    log(tmp_path / "root")
    file = tmp_path / "labels.jsonl"
    file.write_text(f'{{"prediction_id": "a-0", "label": "{name}"}}\n')
    said = feedback(tmp_path, made, "--labels", file)
    assert said.exit_code == 65
    assert not (tmp_path / "data").exists()
