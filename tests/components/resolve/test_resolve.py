"""Resolve: the latest pushed model that is not the candidate."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from components.resolve.resolve import resolve as stage
from components.runtime.errors import TransientError
from components.runtime.publish.serving import Survey, survey
from components.runtime.stage.artifacts import OutputArtifact, content_digest
from tests.components.push.serving_support import make_blessing, make_model, tree
from tests.support import StageResult, run_stage


def resolve(folder: Path, model: Path | None, destination: Path | str) -> StageResult:
    return run_stage(
        "resolve",
        folder,
        inputs={"model": model} if model else {},
        parameters={"destination": str(destination)},
        outputs=["baseline_model"],
        output_parameters=["found"],
    )


@pytest.fixture
def serving(tmp_path: Path) -> Path:
    """A serving directory with the models `one` and `two` as versions 1 and 2."""
    blessing = make_blessing(tmp_path / "blessing")
    for name in ("one", "two"):
        result = run_stage(
            "push",
            tmp_path / f"push-{name}",
            inputs={"model": make_model(tmp_path / name, name), "blessing": blessing},
            parameters={"destination": str(tmp_path / "serving")},
            outputs=["pushed_model"],
            output_parameters=["version"],
        )
        assert result.exit_code == 0, result.stderr
    return tmp_path / "serving"


def test_first_run_has_no_baseline(tmp_path: Path) -> None:
    result = resolve(tmp_path / "out", make_model(tmp_path / "model"), tmp_path / "serving")
    assert result.exit_code == 0, result.stderr
    assert result.output["parameterValues"] == {"found": False}
    metadata = result.metadata("baseline_model")
    assert (metadata["found"], metadata["version"], metadata["in_service"]) == (False, 0, 0)
    assert metadata["reason"] == "none: nothing was pushed before"
    [note] = (tmp_path / "out" / "baseline_model").iterdir()
    told = note.read_text()
    assert told.startswith("resolve left nothing in baseline_model.\n")
    assert 'reason: "none: nothing was pushed before"' in told
    assert not (tmp_path / "serving").exists()


def test_latest_version_is_the_baseline_with_the_digest_of_its_model(tmp_path: Path, serving: Path) -> None:
    result = resolve(tmp_path / "out", make_model(tmp_path / "three", "three"), serving)
    assert result.output["parameterValues"] == {"found": True}
    metadata = result.metadata("baseline_model")
    assert (metadata["found"], metadata["version"]) == (True, 2)
    assert (metadata["in_service"], metadata["candidate_in_service"], metadata["reason"]) == (2, False, "version 2")
    assert metadata["digest"] == content_digest(tmp_path / "two")
    assert tree(tmp_path / "out" / "baseline_model") == tree(tmp_path / "two")


def test_candidate_is_never_its_own_baseline(tmp_path: Path, serving: Path) -> None:
    result = resolve(tmp_path / "out", tmp_path / "two", serving)
    assert result.metadata("baseline_model")["version"] == 1
    assert "version 2 is the candidate itself" in result.stdout
    metadata = result.metadata("baseline_model")
    assert (metadata["in_service"], metadata["candidate_in_service"]) == (2, True)
    assert metadata["reason"] == "version 1; the model in service is this one"


def test_a_candidate_that_is_all_there_is_has_no_baseline(tmp_path: Path, serving: Path) -> None:
    shutil.rmtree(serving / "2")
    result = resolve(tmp_path / "out", tmp_path / "one", serving)
    metadata = result.metadata("baseline_model")
    assert (metadata["found"], metadata["in_service"], metadata["candidate_in_service"]) == (False, 1, True)
    assert metadata["reason"] == "none: the model in service is this one"
    assert "baseline: none: the model in service is this one" in result.stdout


def test_a_candidate_under_a_lower_number_is_compared_with_what_is_in_service(tmp_path: Path, serving: Path) -> None:
    result = resolve(tmp_path / "out", tmp_path / "one", serving)
    metadata = result.metadata("baseline_model")
    assert (metadata["version"], metadata["candidate_in_service"], metadata["reason"]) == (2, False, "version 2")


def test_before_there_is_a_candidate_the_latest_model_is_found(tmp_path: Path, serving: Path) -> None:
    result = resolve(tmp_path / "out", None, serving)
    assert (result.exit_code, result.metadata("baseline_model")["version"]) == (0, 2)


def test_damaged_foreign_and_staged_versions_are_left_out(tmp_path: Path, serving: Path) -> None:
    (serving / "2" / "variables" / "variables.index").unlink()
    (serving / "3").mkdir()
    (serving / "3" / "saved_model.pb").write_text("put here by hand")
    (serving / ".staging-9-1").mkdir()
    (serving / "latest").mkdir()
    (serving / "4" / "assets.extra").mkdir(parents=True)
    (serving / "4" / "assets.extra" / "millrace.json").write_text("{")
    result = resolve(tmp_path / "out", make_model(tmp_path / "three", "three"), serving)
    assert result.exit_code == 0, result.stderr
    assert result.metadata("baseline_model")["version"] == 1
    assert "version 2 is damaged, left out: variables/variables.index: No such file" in result.stdout
    assert "version 3 was not pushed by Millrace" in result.stdout
    assert "version 4 is damaged" in result.stdout
    metadata = result.metadata("baseline_model")
    assert metadata["in_service"] == 4
    assert metadata["reason"].startswith("version 1; version 4 is damaged, left out: its manifest")
    assert tree(tmp_path / "out" / "baseline_model") == tree(tmp_path / "one")


def test_changed_bytes_are_noticed(tmp_path: Path, serving: Path) -> None:
    (serving / "2" / "saved_model.pb").write_text("graph twp")
    result = resolve(tmp_path / "out", make_model(tmp_path / "three", "three"), serving)
    assert result.metadata("baseline_model")["version"] == 1


def test_file_added_to_a_version_does_not_harm_it(tmp_path: Path, serving: Path) -> None:
    (serving / "2" / "assets.extra" / "tf_serving_warmup_requests").write_text("requests")
    result = resolve(tmp_path / "out", make_model(tmp_path / "three", "three"), serving)
    assert result.metadata("baseline_model")["digest"] == content_digest(tmp_path / "two")


def test_a_version_that_vanishes_while_it_is_copied(
    tmp_path: Path, serving: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def looked_at_before(root: Path, candidate: str) -> Survey:
        found = survey(root, candidate)
        shutil.rmtree(root / "2")
        return found

    monkeypatch.setattr("components.runtime.publish.serving.survey", looked_at_before)
    (tmp_path / "out").mkdir()
    output = OutputArtifact("baseline_model", str(tmp_path / "out" / "baseline_model"))
    with pytest.raises(TransientError, match=r"version 2 changed while it was copied .*; run again"):
        stage(None, str(serving), output)


def test_destination_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = resolve(tmp_path / "out", make_model(tmp_path / "model"), tmp_path / "file")
    assert result.exit_code == 65
    assert f"{tmp_path / 'file'} is not a directory" in result.error


def test_candidate_without_saved_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    result = resolve(tmp_path / "out", tmp_path / "model", tmp_path / "serving")
    assert result.exit_code == 65
    assert "no SavedModel" in result.error
    assert not any((tmp_path / "out").iterdir())
