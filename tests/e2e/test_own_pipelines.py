"""The examples of docs/pipelines.md, run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from runners.local import engine
from tests.e2e.conftest import run
from tests.runners.own_pipelines import BUSYBOX, example
from tests.support import ROOT


@pytest.fixture
def trips(tmp_path: Path) -> Path:
    folder = tmp_path / "trips"
    folder.mkdir()
    (folder / "trips.csv").write_text("fare,tips\n" + "".join(f"{n}.5,{n % 3}\n" for n in range(60)))
    return folder


@pytest.mark.slow
def test_stages_left_out(tmp_path: Path, trips: Path) -> None:
    model = example("left_out", tmp_path / "models", "{}").folder
    result = run(tmp_path / "root", str(model), "--data", str(trips))
    assert result.exit_code == 0, result.output + result.errors
    assert result.states == dict.fromkeys(("ingest", "statistics", "schema", "validate"), "done")
    assert "pushed" not in result.output
    assert "blessed" not in result.output
    assert (tmp_path / "root" / "runs" / result.record["id"] / "report.html").is_file()
    wrong = run(tmp_path / "root", str(model), "--data", str(trips), "--param", "train_steps=5")
    assert wrong.exit_code == 65
    assert "no parameter 'train_steps'" in wrong.errors
    only = run(tmp_path / "root", str(model), "--only", "validate", "--no-cache")
    assert only.states["validate"] == "done"


@pytest.mark.slow
def test_stages_repeated(tmp_path: Path, taxi_data: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    settings = (ROOT / "models" / "taxi" / "settings.yaml").read_text()
    folder = example("repeated", models, settings).folder
    for file in (ROOT / "models" / "taxi").iterdir():
        if file.is_file() and file.name != "settings.yaml":
            shutil.copy(file, folder)
    lines = (taxi_data / "data.csv").read_bytes().splitlines(keepends=True)[:601]
    (tmp_path / "few").mkdir()
    (tmp_path / "few" / "data.csv").write_bytes(b"".join(lines))
    given = ("--data", str(tmp_path / "few"), "--param", "train_steps=5", "--param", "long_steps=10")
    result = run(tmp_path / "root", str(folder), *given)
    assert result.exit_code == 0, result.output + result.errors
    steps = {task: result.metadata(task, "model")["steps"] for task in ("train", "train-short")}
    assert steps == {"train": 10, "train-short": 5}
    assert {"evaluate", "evaluate-short", "push"} <= {name for name, state in result.states.items() if state == "done"}
    model = result.execution("push")["inputs"]["model"]["metadata"]["digest"]
    assert model == result.metadata("train", "model")["digest"]
    # Of what takes the most time, nothing is done again for another graph.
    text = (folder / "pipeline.py").read_text()
    (folder / "pipeline.py").write_text(
        text.replace('(("-short", train_steps), ("", long_steps))', '[("", long_steps)]')
    )
    again = run(tmp_path / "root", str(folder), *given[:2], "--param", "long_steps=10")
    assert again.exit_code == 0, again.output + again.errors
    assert (again.states["transform"], again.states["train"]) == ("cached", "cached")
    assert "train-short" not in again.states


def test_a_stage_of_any_image_is_refused_without_one(tmp_path: Path, trips: Path) -> None:
    model = example("foreign", tmp_path / "models", "{}").folder
    result = run(tmp_path / "root", str(model), "--data", str(trips))
    assert (result.exit_code, result.output) == (65, "")
    assert result.errors == (
        f"error: task list-columns: the stage list_columns runs in its image, {BUSYBOX}, and nowhere else; give "
        "--docker, or leave it out with --until or --only\n"
    )


@pytest.mark.slow
@pytest.mark.containers
def test_a_stage_in_a_shell(tmp_path: Path, trips: Path) -> None:
    """Its artifacts are recorded as those of any stage, and taken from the cache; a failure says why."""
    try:
        if not engine.find(engine.RUNNERS).inspect(BUSYBOX):
            pytest.skip(f"needs the image {BUSYBOX}")
    except Exception as error:
        pytest.skip(str(error))
    model = example("foreign", tmp_path / "models", "{}").folder
    root = tmp_path / "root"
    before = run(root, str(model), "--data", str(trips), "--until", "schema")
    assert before.exit_code == 0, before.output + before.errors
    alone = ("--only", "list-columns", "--docker")
    first = run(root, str(model), *alone)
    if "cannot run containers here" in first.errors:
        pytest.skip(first.errors)
    assert first.exit_code == 0, first.output + first.errors
    record = first.execution("list-columns")
    assert (first.path("list-columns", "columns") / "columns.txt").read_text() == "columns\nfare\ntips\n"
    assert (record["output_parameters"], record["image"], record["start_up_seconds"]) == ({"count": 2}, BUSYBOX, None)
    assert record["inputs"]["schema"]["metadata"]["digest"] == before.metadata("schema", "schema")["digest"]
    assert record["outputs"]["columns"]["metadata"].keys() == {"digest", "bytes", "producer"}
    events = (root / "lineage" / first.record["id"] / "list-columns.jsonl").read_text().splitlines()
    assert json.loads(events[-1])["eventType"] == "COMPLETE"
    assert run(root, str(model), *alone).states["list-columns"] == "cached"
    assert run(root, str(model), *alone, "--param", "heading=all").states["list-columns"] == "done"
    spec = model / "components" / "list_columns" / "component.yaml"
    spec.write_text(spec.read_text().replace('mkdir -p "$2"', 'ls "$1/none" "$2"'))
    failed = run(root, str(model), *alone)
    assert failed.exit_code == 1
    assert "list-columns: the stage ended with exit code 1: ls: " in failed.output
    spec.write_text(spec.read_text().replace('ls "$1/none" "$2"', 'exit 0; mkdir "$2"'))
    nothing = run(root, str(model), *alone)
    assert nothing.exit_code == 65
    assert "list-columns: the stage ended well and left no output 'columns'; it writes to its path" in nothing.output
