"""What `run` makes before a run, where it is not there: sample data and environments."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.runtime.errors import InputError, StageError
from runners import PROJECT
from runners.local import environments, request
from runners.settings import model
from runners.settings.model import load
from tests.runners.cluster_support import call


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, dict[str, str]]]:
    """What make is asked for, in a checkout whose folder `data` is the test's."""
    calls: list[tuple[str, dict[str, str]]] = []
    monkeypatch.setattr(model.Settings, "own_data", property(lambda settings: tmp_path / "data" / settings.folder.name))
    monkeypatch.setattr(environments, "make", lambda target, **variables: calls.append((target, variables)))
    return calls


def test_sample_data_is_made_where_a_models_own_folder_is_missing_or_empty(
    asked: list[tuple[str, dict[str, str]]], tmp_path: Path
) -> None:
    place = tmp_path / "data" / "taxi"
    with pytest.raises(InputError, match=r"there is no .*data/taxi; put your data there"):
        request.check_data(str(place), load("taxi"), "--data ", named=False)
    place.mkdir(parents=True)
    request.check_data(str(place), load("taxi"), "--data ", named=False)
    assert asked == [("sample-data", {"MODEL": "taxi", "ARGS": "--if-there-is-any"})] * 2
    (place / "trips.csv").touch()
    request.check_data(str(place), load("taxi"), "--data ", named=False)
    assert len(asked) == 2


def test_no_sample_data_is_made_for_data_that_was_named_or_models_that_lie_elsewhere(
    asked: list[tuple[str, dict[str, str]]], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"--data .*named: there is no such file or folder"):
        request.check_data(str(tmp_path / "named"), load("taxi"), "--data ", named=True)
    for place in (str(tmp_path), "gs://bucket/data", str(tmp_path / "{SPAN}" / "x.csv")):
        request.check_data(place, load("taxi"), "--data ", named=True)
    (tmp_path / "taxi").mkdir()
    (tmp_path / "taxi" / "settings.yaml").write_text("{}")
    with pytest.raises(InputError, match="there is no"):
        request.check_data(str(tmp_path / "data" / "taxi"), load(str(tmp_path / "taxi")), "--data ", named=False)
    assert not asked


def test_what_make_cannot_make_is_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(StageError, match=r"`make no-such-target MODEL=x y` in .* failed; the reason stands above"):
        environments.make("no-such-target", MODEL="x y")
    printed = capfd.readouterr()
    assert printed.out == ""
    assert "no-such-target" in printed.err


def test_an_environment_counts_as_made_by_its_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environments.is_made("client")
    (tmp_path / "images" / "locks").mkdir(parents=True)
    for name in ("client", "test"):
        (tmp_path / "images" / "locks" / f"{name}.txt").write_text("other==1\n")
    (tmp_path / ".venv").symlink_to(environments.PROJECT / ".venv")
    monkeypatch.setattr(environments, "PROJECT", tmp_path)
    assert not environments.is_made("client")


def test_the_folder_of_the_last_run_of_a_name_is_known(tmp_path: Path) -> None:
    for number, folder in enumerate(("/team/old", str(load("taxi").folder), "/team/taxi")):
        said = request.other_folder(tmp_path, load("taxi"))
        assert ("was of the model in /team/old" in said) == (number == 1)
        assert said == "" or number == 1
        place = tmp_path / "runs" / f"taxi-2026010{number + 1}-000000-abcd"
        place.mkdir(parents=True)
        record = {"pipeline": "taxi", "target": "local", "model": folder}
        (place / "run.json").write_text(json.dumps(record))
    said = request.other_folder(tmp_path, load("taxi"))
    assert "if they are two models, write pipeline_name into settings.yaml" in said


def test_an_environment_without_its_interpreter_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(environments, "make", lambda target, **_: calls.append(target))
    environments.prepare(["ingest", "push"])
    assert not calls
    real = environments._stamp("client")
    python = tmp_path / ".venv" / "client" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.symlink_to(tmp_path / "gone")
    stamp = tmp_path / ".venv" / "client" / real.name
    stamp.touch()
    monkeypatch.setattr(environments, "_stamp", lambda name: stamp)
    monkeypatch.setattr(environments, "PROJECT", tmp_path)
    environments.environments.cache_clear()
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "environments.yaml").write_bytes((PROJECT / "images" / "environments.yaml").read_bytes())
    environments.prepare(["ingest"])
    assert calls == ["setup"]
    assert not stamp.exists()


@pytest.mark.parametrize("options", [("--span", "9-1"), ("--param", "span=9-1")])
def test_a_span_that_no_data_has_begins_no_run(tmp_path: Path, options: tuple[str, str]) -> None:
    refused = call("--root", tmp_path / "root", "run", "taxi", *options)
    assert (refused.exit_code, refused.err) == (65, "error: span is 9-1: the range is backwards; give 1-9\n")
    assert not (tmp_path / "root").exists()
