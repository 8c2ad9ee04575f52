"""Models outside of the checkout: found by their path, run from there, compiled only where pods find them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import yaml

from components.runtime.errors import InputError
from runners.compiled import image_content, images
from runners.compiled.image_content import recipe
from runners.settings.folders import carried, folder_of_models
from runners.settings.model import load
from scripts.data.sample_data import main as sample_data
from tests.runners.cluster_support import Called
from tests.runners.cluster_support import call as call_here
from tests.runners.command_line import command
from tests.support import ROOT


@pytest.fixture
def team(tmp_path: Path) -> Path:
    """A team's repository: two models, of which one uses the other's code, and what is no model."""
    folder = tmp_path / "their models"
    shutil.copytree(ROOT / "models" / "taxi", folder / "churn", ignore=shutil.ignore_patterns("__pycache__"))
    settings = (folder / "churn" / "settings.yaml").read_text()
    (folder / "other").mkdir()
    (folder / "other" / "settings.yaml").write_text(
        re.sub(r"(\w+_file): (?!/)(\w)", r"\1: ../churn/\2", settings) + "\npipeline_name: other\n"
    )
    (folder / "churn" / "data").mkdir()
    (folder / "churn" / "data" / "secret.csv").write_text("a\n1\n")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    return folder


def call(*arguments: str, cwd: Path, **variables: str) -> Called:
    """Calls the command in this process, where kfp is imported once."""
    with contextlib.chdir(cwd), mock.patch.dict(os.environ, variables):
        return call_here(*arguments)


def test_a_model_is_named_by_its_path(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(team)
    for path in (str(team / "churn"), "./churn", "churn/", "other/../churn"):
        settings = load(path)
        assert (settings.pipeline_name, settings.folder) == ("churn", team / "churn")
        assert settings.own_data == team / "churn" / "data"
        assert settings.arguments("train")["module_file"] == str(team / "churn" / "model.py")
    monkeypatch.chdir(team / "churn")
    assert load(".").folder == team / "churn"


def test_a_path_that_is_no_model(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(team)
    with pytest.raises(InputError, match=r"no model \./nix: there is no .*/nix/settings\.yaml; a model is a folder"):
        load("./nix")
    with pytest.raises(InputError, match=r"no model 'churn'.*, did you mean \./churn, the folder here\?; the models"):
        load("churn")


def test_what_the_settings_name_is_relative_to_the_model(team: Path) -> None:
    with (team / "churn" / "settings.yaml").open("a") as file:
        file.write("\ndata: ../raw\nserving_directory: /srv/models\n")
    settings = load(str(team / "churn"))
    assert Path(settings.local_place(settings.data)).resolve() == team / "raw"
    assert settings.local_place(settings.serving_directory) == "/srv/models"
    assert settings.local_place("gs://bucket/x") == "gs://bucket/x"


@pytest.mark.parametrize("stage", ["train", "tune"])
def test_checkpoints_lie_beside_the_settings_that_name_them(team: Path, stage: str) -> None:
    def directory(**given: Any) -> str:
        said = load(str(team / "churn"), **given).arguments(stage)["custom_config"]["execution"]
        return str(said["checkpoint_directory"])

    file = team / "churn" / "settings.yaml"
    for named, here, there in (
        ("checkpoints", str(team / "churn" / "checkpoints"), "checkpoints"),
        ("/millrace/checkpoints", "/millrace/checkpoints", "/millrace/checkpoints"),
        ("gs://bucket/x", "gs://bucket/x", "gs://bucket/x"),
    ):
        document = yaml.safe_load(file.read_text())
        document[stage] = (document.get(stage) or {}) | {"checkpoint_directory": named}
        file.write_text(yaml.safe_dump(document))
        assert directory() == here
        assert directory(module="/millrace/code") == there


def test_compiling_one_that_no_pod_finds_is_refused_before_anything_is_written(team: Path, tmp_path: Path) -> None:
    found = call("compile", "./churn", "--output", str(tmp_path / "out"), cwd=team)
    assert found.exit_code == 65
    (line,) = found.err.splitlines()
    assert "is on this machine, where no pod finds it" in line
    assert f"give --models '{team}/churn'" in line
    assert "--module PLACE" in line
    assert not (tmp_path / "out").exists()


def test_a_folder_in_the_checkout_that_no_image_has_is_refused_too(tmp_path: Path) -> None:
    """`models/` is what goes into images; of the rest of the checkout they have nothing of a model's."""
    folder = ROOT / "build" / "test-model-of-nobody"
    shutil.copytree(ROOT / "models" / "taxi", folder, dirs_exist_ok=True)
    try:
        found = call("compile", str(folder), "--output", str(tmp_path / "out"), cwd=ROOT)
    finally:
        shutil.rmtree(folder)
    assert found.exit_code == 65
    assert "no pod finds it" in found.err


@pytest.mark.parametrize("place", ["gs://bucket/code/churn", "/millrace/code/churn", "/gcs/bucket/churn"])
def test_compiling_with_its_code_where_pods_read_it(team: Path, tmp_path: Path, place: str) -> None:
    found = call("compile", "./churn", "--module", place, "--output", str(tmp_path / "out"), cwd=team)
    assert found.exit_code == 0, found.err
    text = (tmp_path / "out" / "churn.kfp.yaml").read_text()
    assert f"{place}/model.py" in text
    assert str(team) not in text


def test_a_folder_of_this_machine_is_no_place_for_pods(team: Path, tmp_path: Path) -> None:
    found = call("compile", "./churn", "--module", str(team / "churn"), "--output", str(tmp_path / "out"), cwd=team)
    assert found.exit_code == 65
    assert f"module {team}/churn: no pod has that folder; name a gs:// or s3:// URI, or a folder on the volume" in (
        found.err
    )
    assert not (tmp_path / "out").exists()


def lock(file: Path, models: Path | None, **others: str) -> Path:
    """An images.lock as a build with these models leaves it."""
    entries = {}
    for stage in image_content.image_stages():
        made = recipe(stage, models=models)
        noted = others.get(stage, made.models)
        entries[stage] = images.Built(f"millrace/{stage}", f"sha256:{'1' * 64}", made.tag, noted)
    file.write_text(images.lock_text(entries))
    return file


def test_compiling_with_images_that_have_it(team: Path, tmp_path: Path) -> None:
    for given, name in ((team, "churn"), (team, "other"), (team / "churn", "churn")):
        file = lock(tmp_path / "images.lock", given)
        found = call(
            *("compile", name, "--models", str(given), "--output", str(tmp_path / "out")),
            cwd=tmp_path,
            MILLRACE_IMAGES_LOCK=str(file),
        )
        assert (found.exit_code, found.err) == (0, ""), found.err
        for kind in ("kfp", "argo"):
            text = (tmp_path / "out" / f"{name}.{kind}.yaml").read_text()
            assert "models/churn/model.py" in text
            assert str(tmp_path) not in text


def test_images_that_have_others_are_refused(team: Path, tmp_path: Path) -> None:
    file = lock(tmp_path / "images.lock", team)
    (team / "churn" / "model.py").write_text("# edited since\n")
    arguments = ("compile", "./churn", "--models", ".", "--output", str(tmp_path / "out"))
    found = call(*arguments, cwd=team, MILLRACE_IMAGES_LOCK=str(file))
    assert found.exit_code == 65
    quoted = "'--models '\"'\"'" + str(team) + "'\"'\"''"
    assert f"with what is in {team} now; build them: make images ARGS={quoted}" in found.err
    assert not (tmp_path / "out").exists()
    # Images of which nobody noted what they have, and none at all.
    for kept in (lock(file, team, train="", transform="", evaluate="", tune=""), tmp_path / "absent.lock"):
        assert "build them" in call(*arguments, cwd=team, MILLRACE_IMAGES_LOCK=str(kept)).err


def test_images_built_before_an_edit_of_the_checkouts_models_are_told(tmp_path: Path) -> None:
    file = lock(tmp_path / "images.lock", None, train="0" * 64)
    found = call("compile", "taxi", "--output", str(tmp_path / "out"), cwd=ROOT, MILLRACE_IMAGES_LOCK=str(file))
    assert found.exit_code == 0
    assert "built before models/ was edited, or with other models: the images of train;" in found.err


def test_images_are_not_asked_about_models_that_lie_beside_them(tmp_path: Path) -> None:
    file = lock(tmp_path / "images.lock", None, train="0" * 64)
    arguments = ("compile", "taxi", "--module", "gs://b/c", "--output", str(tmp_path / "out"))
    found = call(*arguments, cwd=ROOT, MILLRACE_IMAGES_LOCK=str(file))
    assert (found.exit_code, found.err) == (0, "")


@pytest.mark.parametrize("place", ["data/model.py", ".hidden/model.py"])
def test_code_that_images_do_not_take_is_refused(team: Path, tmp_path: Path, place: str) -> None:
    file = team / "churn" / place
    file.parent.mkdir(exist_ok=True)
    file.write_bytes((team / "churn" / "model.py").read_bytes())
    settings = team / "churn" / "settings.yaml"
    settings.write_text(settings.read_text().replace("module_file: model.py", f"module_file: {place}"))
    kept = lock(tmp_path / "images.lock", team)
    found = call(
        *("compile", "churn", "--models", str(team), "--output", str(tmp_path / "out")),
        cwd=tmp_path,
        MILLRACE_IMAGES_LOCK=str(kept),
    )
    assert found.exit_code == 65
    assert f"train.module_file: {file} is not taken into images" in found.err


def test_a_model_that_is_a_link_is_taken_into_images(team: Path, tmp_path: Path) -> None:
    (team / "other").joinpath("settings.yaml").unlink()
    (tmp_path / "away").mkdir()
    (team / "churn").rename(tmp_path / "away" / "churn")
    (team / "churn").symlink_to(tmp_path / "away" / "churn")
    (team / "churn" / "loop").symlink_to(team)
    (team / "dangling").symlink_to(tmp_path / "nowhere")
    names = set(carried(team))
    assert {"churn/model.py", "churn/settings.yaml"} <= names
    assert not any("loop" in name or "dangling" in name for name in names)


def test_hidden_folders_are_no_models(tmp_path: Path) -> None:
    (tmp_path / ".only").mkdir()
    (tmp_path / ".only" / "settings.yaml").write_text("{}")
    with pytest.raises(InputError, match="holds no model"):
        folder_of_models(str(tmp_path))
    with pytest.raises(InputError, match=r"--models .*/settings\.yaml: is a file"):
        folder_of_models(str(tmp_path / ".only" / "settings.yaml"))
    with pytest.raises(InputError, match="--models : "):
        folder_of_models("")


def test_the_checkout_by_another_name_is_the_checkout(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(ROOT)
    assert load(str(tmp_path / "link" / "models" / "taxi")).folder == load("taxi").folder


def test_home_is_home(team: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    settings = load(str(team / "churn"))
    assert settings.local_place("~/served") == "/home/somebody/served"


def test_the_code_is_in_one_place(team: Path) -> None:
    found = call("compile", "./churn", "--models", ".", "--module", "gs://b/c", cwd=team)
    assert found.exit_code == 65
    assert "--module and --models each say where" in found.err


def test_what_images_with_other_models_are_made_of(team: Path) -> None:
    (team / "other" / "model.py").write_text("theirs = True\n")
    plain, theirs, one = recipe("train"), recipe("train", models=team), recipe("train", models=team / "churn")
    assert len({plain.tag, theirs.tag, one.tag}) == 3
    assert len({plain.models, theirs.models, one.models}) == 3
    names = {name for name in theirs.files if name.startswith("models/")}
    assert {"models/churn/model.py", "models/churn/preprocessing.py"} <= names
    assert not any(part in name for name in names for part in ("data", ".git", "taxi", "settings.yaml"))
    assert {name for name in one.files if name.startswith("models/")} == {
        name for name in names if name.startswith("models/churn/")
    }
    assert recipe("ingest", models=team) == recipe("ingest")
    assert recipe("ingest", models=team).models == ""
    assert image_content.models_digest(team) == theirs.models


def test_a_folder_without_models(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--models .*: holds no model; name a folder of models"):
        folder_of_models(str(tmp_path))
    with pytest.raises(InputError, match=r"--models .*/nix: no such folder"):
        folder_of_models(str(tmp_path / "nix"))


def test_the_key_is_not_the_persons_to_set(team: Path) -> None:
    (team / "churn" / "settings.yaml").write_text("models: x\n")
    with pytest.raises(InputError, match=r"unknown key 'models'"):
        load(str(team / "churn"))


def test_it_runs_from_where_it_lies(team: Path, tmp_path: Path) -> None:
    """Its data in its folder, what it makes in the pipeline root that was named, and nothing in the checkout."""
    assert sample_data(["taxi", "--rows", "200", "--output", str(team / "churn" / "data")]) == 0
    (team / "churn" / "data" / "secret.csv").unlink()
    before = set((ROOT / "pipeline_root").glob("runs/churn*"))
    found = command("--root", "../root", "run", "./churn", "--until", "ingest", cwd=team)
    assert found.returncode == 0, found.stdout + found.stderr
    (record,) = (tmp_path / "root" / "runs").glob("churn-*/run.json")
    assert yaml.safe_load(record.read_text())["parameters"]["data"] == str(team / "churn" / "data")
    assert set((ROOT / "pipeline_root").glob("runs/churn*")) == before
