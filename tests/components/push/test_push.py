"""Push: one version per model, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from components.runtime.publish import exports, serving, trained_on
from components.runtime.publish.serving import MANIFEST
from components.runtime.stage.artifacts import content_digest, file_digest
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
    assert result.output["parameterValues"] == {"version": "1"}
    assert json.loads((tmp_path / "out" / "pushed_model" / "pushed.json").read_text())[
        "model_digest"
    ] == content_digest(model)


def test_a_version_says_what_metrics_it_was_blessed_with(tmp_path: Path, blessing: Path) -> None:
    document = json.loads((blessing / "blessing.json").read_text()) | {"metrics": {"auc": 0.91, "auc 95% low": 0.9}}
    (blessing / "blessing.json").write_text(json.dumps(document))
    assert push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / "serving").exit_code == 0
    version = serving.read_version(1, tmp_path / "serving" / "1")
    assert version is not None
    assert version.about["metrics"] == {"auc": 0.91, "auc 95% low": 0.9}


def test_a_version_says_what_it_was_trained_on(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model")
    data = {"schema": tmp_path / "schema", "statistics": tmp_path / "statistics"}
    for place in (
        "schema/schema.pbtxt",
        "statistics/Split-eval/FeatureStats.pb",
        "statistics/Split-train/FeatureStats.pb",
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(place)
    given = arguments(model, blessing, tmp_path / "serving")
    given["inputs"] |= data
    assert run_stage("push", tmp_path / "out", **given).exit_code == 0
    version = serving.read_version(1, tmp_path / "serving" / "1")
    assert version is not None
    found = trained_on.read(version.folder)
    assert found.schema is not None
    assert found.schema.read_text() == "schema/schema.pbtxt"
    assert [(name, file.read_text()) for name, file in found.statistics.items()] == [
        ("train", "statistics/Split-train/FeatureStats.pb"),
        ("eval", "statistics/Split-eval/FeatureStats.pb"),
    ]
    assert version.about["besides"] == {
        str(file.relative_to(version.folder)): file_digest(file) for file in (found.schema, *found.statistics.values())
    }
    serving.verify(version)
    assert set(version.files) == set(tree(model / "Format-Serving"))


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


@pytest.mark.parametrize("kind", ["file", "broken link"])
def test_a_number_that_is_taken_by_no_folder_is_left_out(tmp_path: Path, blessing: Path, kind: str) -> None:
    serving = tmp_path / "serving"
    serving.mkdir()
    if kind == "file":
        (serving / "1").write_text("notes")
    else:
        (serving / "1").symlink_to("nowhere")
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, serving)
    assert (result.exit_code, result.metadata("pushed_model")["version"]) == (0, 2), result.stderr


def test_numbers_are_those_that_serving_can_read(tmp_path: Path, blessing: Path) -> None:
    serving = tmp_path / "serving"
    (serving / str(2**63)).mkdir(parents=True)
    (serving / ("9" * 20)).mkdir()
    model = make_model(tmp_path / "model")
    result = push(tmp_path / "a", model, blessing, serving)
    assert (result.exit_code, result.metadata("pushed_model")["version"]) == (0, 1), result.stderr
    (serving / str(2**63 - 1)).mkdir()
    result = push(tmp_path / "b", make_model(tmp_path / "other", "two"), blessing, serving)
    assert result.exit_code == 65
    assert "9223372036854775807: there is no version above it" in result.error


def test_a_lock_that_is_no_file(tmp_path: Path, blessing: Path) -> None:
    (tmp_path / "serving" / ".millrace.lock").mkdir(parents=True)
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / "serving")
    assert result.exit_code == 65
    assert ".millrace.lock is not a file" in result.error


@pytest.mark.parametrize("depth", [300, 100_000])
def test_a_manifest_that_is_nested_too_deeply_is_damage(tmp_path: Path, blessing: Path, depth: int) -> None:
    model = make_model(tmp_path / "model")
    push(tmp_path / "a", model, blessing, tmp_path / "serving")
    (tmp_path / "serving" / "1" / MANIFEST).write_text("[" * depth + "]" * depth)
    result = push(tmp_path / "b", model, blessing, tmp_path / "serving")
    assert (result.exit_code, result.metadata("pushed_model")["version"]) == (0, 2), result.stderr
    assert "version 1 is damaged" in result.stdout


def test_damaged_version_does_not_count_as_pushed(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model")
    push(tmp_path / "a", model, blessing, tmp_path / "serving")
    (tmp_path / "serving" / "1" / "saved_model.pb").write_text("broken")
    again = push(tmp_path / "b", model, blessing, tmp_path / "serving")
    assert again.metadata("pushed_model")["version"] == 2
    assert "version 1 is damaged" in again.stdout


def test_a_model_under_a_lower_number_becomes_the_version_in_service(tmp_path: Path, blessing: Path) -> None:
    one, two, serving = make_model(tmp_path / "one"), make_model(tmp_path / "two", "two"), tmp_path / "serving"
    for number, model in enumerate((one, two)):
        assert push(tmp_path / f"{number}", model, blessing, serving).exit_code == 0
    back = push(tmp_path / "back", one, make_blessing(tmp_path / "back-blessing", model=one, baseline=two), serving)
    assert back.exit_code == 0, back.stderr
    metadata = back.metadata("pushed_model")
    assert (metadata["version"], metadata["created"], metadata["replaced"], metadata["same_as"]) == (3, True, 2, 1)
    assert "version 3" in back.stdout
    assert "(the model of version 1 again), in place of version 2" in back.stdout
    assert content_digest(serving / "3", ignore=frozenset({MANIFEST})) == content_digest(one / "Format-Serving")
    # Once more: it is what is in service.
    again = push(tmp_path / "again", one, make_blessing(tmp_path / "again-blessing", baseline=two), serving)
    assert (again.metadata("pushed_model")["version"], again.metadata("pushed_model")["created"]) == (3, False)
    assert "(in service already)" in again.stdout
    assert versions(serving) == ["1", "2", "3"]


@pytest.mark.parametrize("above", ["damaged", "foreign", "empty"])
def test_what_serving_takes_instead_of_the_model_is_no_version_that_holds_it(
    tmp_path: Path, blessing: Path, above: str
) -> None:
    """TensorFlow Serving takes the highest number, whatever lies there."""
    model, serving = make_model(tmp_path / "model"), tmp_path / "serving"
    push(tmp_path / "a", model, blessing, serving)
    if above == "damaged":
        push(tmp_path / "b", make_model(tmp_path / "other", "two"), blessing, serving)
        (serving / "2" / "saved_model.pb").unlink()
    else:
        (serving / "2").mkdir()
        if above == "foreign":
            (serving / "2" / "saved_model.pb").write_text("put here by hand")
    again = push(tmp_path / "c", model, make_blessing(tmp_path / "c-blessing", baseline=""), serving)
    assert again.exit_code == 0, again.stderr
    assert again.metadata("pushed_model")["version"] == 3
    assert push(tmp_path / "d", model, blessing, serving).metadata("pushed_model")["created"] is False
    assert versions(serving) == ["1", "2", "3"]


def test_a_version_that_was_copied_back_by_hand_is_in_service(tmp_path: Path, blessing: Path) -> None:
    """How people go back without `rollback`."""
    serving = tmp_path / "serving"
    for name in ("one", "two"):
        push(tmp_path / f"push-{name}", make_model(tmp_path / name, name), blessing, serving)
    shutil.copytree(serving / "1", serving / ".back")
    (serving / ".back").rename(serving / "3")
    assert push(tmp_path / "a", tmp_path / "one", blessing, serving).metadata("pushed_model")["version"] == 3
    late = make_blessing(tmp_path / "late", baseline=tmp_path / "two")
    assert push(tmp_path / "b", make_model(tmp_path / "three", "three"), late, serving).exit_code == 75


@pytest.mark.parametrize(
    ("compared_with", "message"),
    [
        ("", "version 2 has come, while this model was compared with nothing"),
        ("one", "the latest model is version 2, not the one that this one was compared with"),
        ("two", ""),
    ],
)
def test_a_blessing_holds_against_the_baseline_that_it_was_given_against(
    tmp_path: Path, blessing: Path, compared_with: str, message: str
) -> None:
    serving = tmp_path / "serving"
    models = {name: make_model(tmp_path / name, name) for name in ("one", "two", "three")}
    for name in ("one", "two"):
        assert push(tmp_path / f"push-{name}", models[name], blessing, serving).exit_code == 0
    given = make_blessing(tmp_path / "given", model=models["three"], baseline=models.get(compared_with, ""))
    result = push(tmp_path / "out", models["three"], given, serving)
    if not message:
        assert (result.exit_code, versions(serving)) == (0, ["1", "2", "3"])
        return
    assert result.exit_code == 75
    assert result.error == (
        f"{serving}: {message}: evaluate again, by running the pipeline again (trying push alone again cannot help)"
    )
    assert (versions(serving), leftovers(serving)) == (["1", "2"], [])
    assert not any((tmp_path / "out").iterdir())


def test_a_baseline_that_is_gone_is_not_the_one_of_the_blessing(tmp_path: Path) -> None:
    given = make_blessing(tmp_path / "given", baseline=make_model(tmp_path / "gone", "gone"))
    result = push(tmp_path / "out", make_model(tmp_path / "model"), given, tmp_path / "serving")
    assert (result.exit_code, "is gone or damaged: evaluate again" in result.error) == (75, True)


def test_nothing_is_published_of_a_model_without_a_blessing(tmp_path: Path) -> None:
    blessing = make_blessing(tmp_path / "blessing", blessed=False)
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / "serving")
    assert result.exit_code == 0, result.stderr
    assert "nothing published: the model is not blessed: auc 0.71 < 0.85 (overall)" in result.stdout
    assert not (tmp_path / "serving").exists()
    facts = {"pushed": False, "reason": "auc 0.71 < 0.85 (overall)"}
    assert json.loads((tmp_path / "out" / "pushed_model" / "pushed.json").read_text()) == facts
    assert result.metadata("pushed_model").items() >= facts.items()
    assert "version" not in result.metadata("pushed_model"), "no number where there is none"
    assert result.output["parameterValues"] == {"version": ""}


def test_blessing_that_contradicts_itself_is_refused(tmp_path: Path, blessing: Path) -> None:
    (blessing / "NOT_BLESSED").touch()
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / "serving")
    assert result.exit_code == 65
    assert "contradicts itself (blessed: True, files: BLESSED, NOT_BLESSED); run evaluate again" in result.error
    assert not (tmp_path / "serving").exists()


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


def test_of_pushes_at_once_one_model_wins_and_the_others_are_evaluated_again(tmp_path: Path) -> None:
    """Two runs and a repetition of each, all blessed while nothing was in service."""
    blessing = make_blessing(tmp_path / "blessing", baseline="")
    models = [make_model(tmp_path / f"model{number}", str(number % 2), extra_bytes=1 << 20) for number in range(4)]
    processes = [
        start(tmp_path / f"out{number}", **arguments(model, blessing, tmp_path / "serving"))
        for number, model in enumerate(models)
    ]
    said = [process.communicate(timeout=60)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert sorted(codes) == [0, 0, 75, 75], said
    assert (codes[0], codes[1]) == (codes[2], codes[3])
    assert all("evaluate again" in text for text, code in zip(said, codes, strict=True) if code)
    assert versions(tmp_path / "serving") == ["1"]


def test_killed_at_any_instant_a_repeated_push_still_gives_one_version(tmp_path: Path, blessing: Path) -> None:
    """Before the version appears, while it does, and after it did but before the stage could say so."""
    serving, old = tmp_path / "serving", make_model(tmp_path / "old", "old")
    assert push(tmp_path / "first", old, blessing, serving).exit_code == 0
    for number in range(6):
        model = make_model(tmp_path / f"model{number}", f"new {number}", extra_bytes=1 << 20)
        given = make_blessing(tmp_path / f"blessing{number}", model=model, baseline=old)
        version = str(number + 2)
        process = start(tmp_path / f"killed{number}", **arguments(model, given, serving))
        if number % 2:
            # As soon as it is there.
            while not (serving / version).exists() and process.poll() is None:
                pass
        else:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05 + 0.05 * number)
        process.kill()
        process.communicate()
        again = push(tmp_path / f"again{number}", model, given, serving)
        assert again.exit_code == 0, again.stderr
        assert again.metadata("pushed_model")["version"] == int(version)
        assert versions(serving) == sorted(str(each) for each in range(1, number + 3))
        assert leftovers(serving) == []
        old = model


def test_the_model_card_goes_into_the_version_and_is_no_part_of_the_model(tmp_path: Path, blessing: Path) -> None:
    (blessing / "model_card").mkdir()
    for name in ("model_card.md", "model_card.html"):
        (blessing / "model_card" / name).write_text(f"card in {name}")
    model = make_model(tmp_path / "model")
    assert push(tmp_path / "out", model, blessing, tmp_path / "serving").exit_code == 0
    version = tmp_path / "serving" / "1"
    folder = version / serving.CARD
    assert (folder / serving.CARD_MARKDOWN).read_text() == "card in model_card.md"
    assert (folder / serving.CARD_HTML).read_text() == "card in model_card.html"
    assert json.loads((version / MANIFEST).read_text())["model_digest"] == content_digest(model)
    # Another card makes no other model.
    (blessing / "model_card" / "model_card.md").write_text("other words")
    assert push(tmp_path / "again", model, blessing, tmp_path / "serving").output["parameterValues"]["version"] == "1"


def test_warm_up_requests_of_the_serving_check_go_into_the_version(tmp_path: Path, blessing: Path) -> None:
    (blessing / "warm_up").mkdir()
    (blessing / "warm_up" / "tf_serving_warmup_requests").write_bytes(b"requests")
    model = make_model(tmp_path / "model")
    assert push(tmp_path / "out", model, blessing, tmp_path / "serving").exit_code == 0
    version = tmp_path / "serving" / "1"
    assert (version / "assets.extra" / "tf_serving_warmup_requests").read_bytes() == b"requests"
    manifest = json.loads((version / MANIFEST).read_text())
    assert manifest["model_digest"] == content_digest(model), "they are no part of the model, which is the same without"
    assert push(tmp_path / "again", model, blessing, tmp_path / "serving").output["parameterValues"]["version"] == "1"


def with_exports(blessing: Path, **hows: str) -> None:
    """Puts exports into a blessing as the stage export does, and one that was refused."""
    entries = {name: {"format": "onnx", "how": how, "passed": True, "inputs": "raw"} for name, how in hows.items()}
    for name, how in hows.items():
        (blessing / "exports" / name / "weights").mkdir(parents=True, exist_ok=True)
        (blessing / "exports" / name / "weights" / "model.onnx").write_text(f"{name} {how}")
    refused = {"tfjs": {"passed": False, "how": "TensorFlow.js", "refused": "auc 0.5 < 0.9"}}
    (blessing / "exports.json").write_text(json.dumps(entries | refused))


def test_exports_that_passed_go_into_the_version_with_their_digests(tmp_path: Path, blessing: Path) -> None:
    with_exports(blessing, phone="ONNX", small="ONNX, dynamic")
    model = make_model(tmp_path / "model")
    result = push(tmp_path / "out", model, blessing, tmp_path / "serving")
    assert result.metadata("pushed_model")["exports"] == ["phone", "small"]
    version = tmp_path / "serving" / "1"
    pushed = {name: text for name, text in tree(version).items() if "exports" in name}
    assert pushed.keys() == {f"assets.extra/exports/{name}/weights/model.onnx" for name in ("phone", "small")}
    manifest = json.loads((version / MANIFEST).read_text())
    assert manifest["model_digest"] == content_digest(model), "they are no part of the model"
    assert not [name for name in manifest["files"] if "exports" in name]
    assert manifest["exports"].keys() == {"phone", "small"}
    digest = hashlib.sha256(b"small ONNX, dynamic").hexdigest()
    assert manifest["besides"]["assets.extra/exports/small/weights/model.onnx"] == digest
    assert manifest["exports"]["small"]["how"] == "ONNX, dynamic"
    read = serving.read_version(1, version)
    assert read is not None
    exports.verify(read)
    serving.verify(read)
    (version / "assets.extra" / "exports" / "phone" / "weights" / "model.onnx").write_text("other")
    serving.verify(read)
    with pytest.raises(serving.DamagedError, match=r"assets.extra/exports/phone/weights/model.onnx is missing, or has"):
        exports.verify(read)


def test_the_model_in_service_gets_an_export_that_it_lacks_as_the_next_version(tmp_path: Path, blessing: Path) -> None:
    model = make_model(tmp_path / "model")

    def number(out: str) -> str:
        result = push(tmp_path / out, model, blessing, tmp_path / "serving")
        assert result.exit_code == 0, result.stderr
        return str(result.output["parameterValues"]["version"])

    assert number("plain") == "1"
    with_exports(blessing, phone="ONNX")
    assert number("phone") == "2"
    assert number("again") == "2"
    with_exports(blessing, phone="ONNX, dynamic")
    assert number("other") == "3"
    # What is not asked for any more is no reason for another one.
    (blessing / "exports.json").unlink()
    assert number("less") == "3"


def test_exports_that_cannot_be_read_publish_nothing(tmp_path: Path, blessing: Path) -> None:
    with_exports(blessing, phone="ONNX")
    shutil.rmtree(blessing / "exports")
    result = push(tmp_path / "out", make_model(tmp_path / "model"), blessing, tmp_path / "serving")
    assert result.exit_code == 65
    assert "exports/phone: the export has no files; run export again" in result.error
    assert versions(tmp_path / "serving") == []
