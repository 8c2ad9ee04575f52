"""Push: one version per model, whole or not at all."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.runtime.artifacts import content_digest
from components.runtime.serving import MANIFEST
from tests.components.push.serving_support import make_blessing, make_model, tree
from tests.support import ROOT, StageResult, executor_input, run_stage


def arguments(model: Path, blessing: Path, destination: Path | str) -> dict[str, Any]:
    return {
        "inputs": {"model": model, "blessing": blessing},
        "parameters": {"destination": str(destination)},
        "outputs": ["pushed_model"],
        "output_parameters": ["version"],
        "metadata": {"model": {"digest": content_digest(model)}},
    }


def push(folder: Path, model: Path, blessing: Path, destination: Path | str) -> StageResult:
    return run_stage("push", folder, **arguments(model, blessing, destination))


def versions(destination: Path) -> list[str]:
    return sorted(entry.name for entry in destination.iterdir() if not entry.name.startswith("."))


def leftovers(destination: Path) -> list[str]:
    return [entry.name for entry in destination.glob(".staging-*")]


@pytest.fixture
def blessing(tmp_path: Path) -> Path:
    return make_blessing(tmp_path / "blessing")


def test_version_holds_the_saved_model_and_a_manifest(tmp_path: Path) -> None:
    model = make_model(tmp_path / "model")
    blessing = make_blessing(tmp_path / "blessing", model=model)
    result = push(tmp_path / "out", model, blessing, tmp_path / "serving")
    assert result.exit_code == 0, result.stderr
    version = tmp_path / "serving" / "1"
    pushed = tree(version)
    manifest = json.loads(pushed.pop(MANIFEST))
    assert pushed == tree(model / "Format-Serving")
    assert (version / "assets").is_dir()
    assert manifest["model_digest"] == content_digest(model)
    assert manifest["blessing"] == "all 2 thresholds hold"
    assert set(manifest["files"]) == set(pushed)
    assert result.metadata("pushed_model")["version"] == 1
    assert result.metadata("pushed_model")["created"] is True
    assert result.output["parameterValues"] == {"version": 1}
    assert json.loads((tmp_path / "out" / "pushed_model" / "pushed.json").read_text())[
        "model_digest"
    ] == content_digest(model)


def test_pushed_version_has_the_digest_of_the_model_but_for_the_manifest(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model")
    assert push(tmp_path / "out", model, blessing, tmp_path / "serving").exit_code == 0
    version = tmp_path / "serving" / "1"
    own = content_digest(model / "Format-Serving")
    assert content_digest(version, ignore=frozenset({MANIFEST})) == own


def test_same_model_twice_is_one_version(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model")
    first = push(tmp_path / "a", model, blessing, tmp_path / "serving")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "serving" / "1").rglob("*")}
    second = push(tmp_path / "b", make_model(tmp_path / "copy"), blessing, tmp_path / "serving")
    assert first.exit_code == second.exit_code == 0
    assert versions(tmp_path / "serving") == ["1"]
    assert second.metadata("pushed_model")["created"] is False
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "serving" / "1").rglob("*")}


def test_manifest_is_the_same_wherever_the_model_is_pushed(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model")
    for name in ("one", "two"):
        assert push(tmp_path / f"out-{name}", model, blessing, tmp_path / name).exit_code == 0
    assert (tmp_path / "one" / "1" / MANIFEST).read_bytes() == (tmp_path / "two" / "1" / MANIFEST).read_bytes()


def test_versions_increase_past_whatever_number_is_there(tmp_path: Path, blessing: Path) -> None:
    (tmp_path / "serving" / "007").mkdir(parents=True)
    (tmp_path / "serving" / "notes").mkdir()
    result = push(tmp_path / "a", make_model(tmp_path / "model"), blessing, tmp_path / "serving")
    assert result.metadata("pushed_model")["version"] == 8
    other = push(tmp_path / "b", make_model(tmp_path / "other", "two"), blessing, tmp_path / "serving")
    assert other.metadata("pushed_model")["version"] == 9


def test_damaged_version_does_not_count_as_pushed(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model")
    push(tmp_path / "a", model, blessing, tmp_path / "serving")
    (tmp_path / "serving" / "1" / "saved_model.pb").write_text("broken")
    again = push(tmp_path / "b", model, blessing, tmp_path / "serving")
    assert again.metadata("pushed_model")["version"] == 2
    assert "version 1 is damaged" in again.stdout


def test_unblessed_model_is_refused(tmp_path: Path) -> None:
    blessing = make_blessing(tmp_path / "blessing", blessed=False)
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / "serving")
    assert result.exit_code == 65
    assert result.error == "the model is not blessed and was not pushed: auc 0.71 < 0.85 (overall)"
    assert not (tmp_path / "serving").exists()
    assert not any((tmp_path / "out").iterdir())


def test_blessing_that_contradicts_itself_is_refused(tmp_path: Path, blessing: Path) -> None:
    (blessing / "NOT_BLESSED").touch()
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / "serving")
    assert result.exit_code == 65
    assert "not blessed" in result.error


def test_blessing_of_another_model_is_refused(tmp_path: Path) -> None:
    blessing = make_blessing(tmp_path / "blessing", model=make_model(tmp_path / "other", "two"))
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / "serving")
    assert result.exit_code == 65
    assert "blessing is of another model" in result.error


def test_no_blessing_and_no_saved_model_are_input_errors(tmp_path: Path, blessing: Path) -> None:
    (tmp_path / "empty").mkdir()
    model = make_model(tmp_path / "model")
    result = push(tmp_path / "a", model, tmp_path / "empty", tmp_path / "serving")
    assert (result.exit_code, "is no blessing" in result.error) == (65, True), result.stderr
    result = push(tmp_path / "b", tmp_path / "empty", blessing, tmp_path / "serving")
    assert (result.exit_code, "no SavedModel" in result.error) == (65, True), result.stderr


def test_model_changed_since_it_was_made_is_refused(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model")
    kwargs = arguments(model, blessing, tmp_path / "serving")
    (model / "Format-Serving" / "saved_model.pb").write_text("changed")
    result = run_stage("push", tmp_path / "out", **kwargs)
    assert result.exit_code == 65
    assert "has changed since it was made" in result.error


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_serving_directory_that_is_a_file(tmp_path: Path, blessing: Path, name: str) -> None:
    (tmp_path / "file").write_text("")
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / name)
    assert result.exit_code == 65
    assert str(tmp_path / name) in result.error
    assert "not a directory" in result.error


def test_empty_destination(tmp_path: Path, blessing: Path) -> None:
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, " ")
    assert (result.exit_code, "destination is empty" in result.error) == (65, True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A mounted file system of 1 MB; tests run as root in CI, where permission bits do not bind."""
    mount = tmp_path / "disk"
    mount.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", mount], capture_output=True, check=False
    ).returncode:
        pytest.skip("needs the right to mount a tmpfs")
    yield mount
    subprocess.run(["umount", mount], check=True)


def test_read_only_serving_directory(tmp_path: Path, blessing: Path, small_disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, small_disk)
    assert result.exit_code == 65
    assert f"{small_disk}: the serving directory is not writable" in result.error
    result = push(tmp_path / "out2", make_model(tmp_path / "model2"), blessing, small_disk / "below")
    assert (result.exit_code, "not writable" in result.error) == (65, True)


def test_full_disk_is_transient_and_leaves_nothing(tmp_path: Path, blessing: Path, small_disk: Path) -> None:
    push(tmp_path / "a", make_model(tmp_path / "small"), blessing, small_disk)
    result = push(tmp_path / "b", make_model(tmp_path / "large", "two", extra_bytes=2 << 20), blessing, small_disk)
    assert result.exit_code == 75
    assert f"{small_disk}: No space left on device" in result.error
    assert versions(small_disk) == ["1"]
    assert leftovers(small_disk) == []
    assert not any((tmp_path / "b").iterdir())


def start(folder: Path, **kwargs: Any) -> subprocess.Popen[str]:
    folder.mkdir()
    file = folder.with_name(f"{folder.name}.json")
    file.write_text(json.dumps(executor_input(folder, **kwargs)))
    command = [sys.executable, "-m", "components.push", "--executor-input", f"@{file}"]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_killed_while_copying_leaves_no_version_and_the_next_push_cleans_up(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model", extra_bytes=40 << 20)
    kwargs = arguments(model, blessing, tmp_path / "serving")
    process = start(tmp_path / "killed", **kwargs)
    serving = tmp_path / "serving"
    data = "variables/variables.data-00000-of-00001"
    deadline = time.monotonic() + 30
    while not any((folder / data).exists() for folder in serving.glob(".staging-*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert versions(serving) == []
    assert len(leftovers(serving)) == 1
    again = push(tmp_path / "again", model, blessing, serving)
    assert again.exit_code == 0, again.stderr
    assert "of a push that died" in again.stdout
    assert versions(serving) == ["1"]
    assert leftovers(serving) == []
    assert content_digest(serving / "1", ignore=frozenset({MANIFEST})) == content_digest(model / "Format-Serving")


def test_pushes_at_once_get_a_version_each_and_the_same_model_one(tmp_path: Path, blessing: Path) -> None:
    models = [make_model(tmp_path / f"model{number}", str(number % 2), extra_bytes=1 << 20) for number in range(4)]
    processes = [
        start(tmp_path / f"out{number}", **arguments(model, blessing, tmp_path / "serving"))
        for number, model in enumerate(models)
    ]
    for process in processes:
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
    assert versions(tmp_path / "serving") == ["1", "2"]
    found = [
        json.loads((tmp_path / f"out{number}" / "pushed_model" / "pushed.json").read_text()) for number in range(4)
    ]
    assert found[0]["version"] == found[2]["version"]
    assert found[1]["version"] == found[3]["version"]
    assert {entry["version"] for entry in found} == {1, 2}
