"""The explorer's files: what they hold of runs, and how they are kept up to date."""

from __future__ import annotations

import ast
import dataclasses
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from components.runtime.records import run_record
from runners.history.explorer import files, update
from tests.runners.cluster_support import call
from tests.runners.history.pipeline_roots import FAILED, FIRST, SECOND, RootWriter, taxi_root


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> RootWriter:
    return taxi_root(tmp_path_factory.mktemp("explorer") / "root")


@pytest.fixture
def written(original: RootWriter, tmp_path: Path) -> RootWriter:
    """A copy, for writing it waits for the disk."""
    shutil.copytree(original.root, tmp_path / "root")
    return dataclasses.replace(original, root=tmp_path / "root")


def parsed(file: Path) -> dict[str, Any]:
    text = file.read_text()
    document: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return document


def index(root: Path) -> dict[str, Any]:
    """What its script hands to JSON.parse."""
    text = (root / files.FOLDER / "index.js").read_text()
    document: dict[str, Any] = json.loads(ast.literal_eval(text[text.index("(") + 1 : text.rindex(")")]))
    return document


def detail(root: Path, run: str) -> dict[str, Any]:
    return parsed(root / files.FOLDER / "runs" / files.file_of(run))


def ids(root: Path) -> list[str]:
    return [row["id"] for row in index(root)["runs"]]


def copied(root: Path, run: str, name: str) -> None:
    """Another run with the same record."""
    shutil.copytree(root / "runs" / run, root / "runs" / name)


def test_what_the_list_says_of_runs(written: RootWriter) -> None:
    called = call("--root", written.root, "explore", "--write")
    assert called.exit_code == 0, called.err
    assert called.lines == [str(written.root / "explorer" / "index.html")]
    assert ids(written.root) == [FAILED, SECOND, FIRST]
    failed, second, first = index(written.root)["runs"]
    assert failed["state"] == "failed"
    assert "error" in failed
    assert "models" not in failed, "what did not come so far has no model, rather than one with metrics of 0"
    [model] = first["models"]
    assert (model["name"], model["blessed"], model["version"]) == ("train", True, "1")
    assert model["metrics"]["auc"] == pytest.approx(0.9371)
    [model] = second["models"]
    assert model["blessed"] is False
    assert "version" not in model


def test_a_run_s_file_has_its_lineage_from_the_raw_data_to_what_was_pushed(written: RootWriter) -> None:
    update.update(written.root)
    found = detail(written.root, SECOND)
    executions = {each["task"]: each for each in found["executions"]}
    artifacts = {each["id"]: each for each in found["artifacts"]}
    assert executions["ingest"]["run"] == FIRST, "it was taken from the cache"
    [source] = [artifacts[each] for each in executions["ingest"]["inputs"].values()]
    assert (source["type"], source["uri"]) == ("file", "/data/taxi")
    reached, waiting = set(), [executions["evaluate"]["id"]]
    by_id = {each["id"]: each for each in found["executions"]}
    while waiting:
        one = waiting.pop()
        reached.add(by_id[one]["task"])
        waiting += [
            artifacts[each]["maker"] for each in by_id[one].get("inputs", {}).values() if "maker" in artifacts[each]
        ]
    assert {"evaluate", "train", "transform", "ingest"} <= reached
    assert (written.root / files.FOLDER / executions["evaluate"]["page"]).resolve().is_file()


def test_secrets_are_in_no_file(written: RootWriter) -> None:
    update.update(written.root)
    for file in (written.root / files.FOLDER).rglob("*.js"):
        assert "hf_verySecretValue" not in file.read_text()


def test_only_what_has_changed_is_read_again(written: RootWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    update.update(written.root)
    read = []
    real = update.load_recorded
    monkeypatch.setattr(update, "load_recorded", lambda root, name: read.append(name) or real(root, name))
    before = detail_stamps(written.root)
    update.update(written.root)
    assert read == []
    copied(written.root, SECOND, "taxi-20261121-000000-0001")
    update.update(written.root, first="taxi-20261121-000000-0001")
    assert read == ["taxi-20261121-000000-0001"]
    assert {name: stamp for name, stamp in detail_stamps(written.root).items() if name in before} == before
    file = written.root / "runs" / FIRST / run_record.FILE
    file.write_text(file.read_text().replace('"done"', '"stopped"', 1))
    update.update(written.root)
    assert read == ["taxi-20261121-000000-0001", FIRST]
    assert index(written.root)["runs"][-1]["state"] == "stopped"


def detail_stamps(root: Path) -> dict[str, int]:
    return {file.name: file.stat().st_mtime_ns for file in (root / files.FOLDER / "runs").iterdir()}


def test_a_run_that_was_deleted_is_gone(written: RootWriter) -> None:
    update.update(written.root)
    pages = written.root / files.FOLDER / files.PAGES
    of_second = {Path(each["page"]).name for each in detail(written.root, SECOND)["executions"] if "page" in each}
    of_others = {
        Path(each["page"]).name
        for run in (FIRST, FAILED)
        for each in detail(written.root, run)["executions"]
        if "page" in each
    }
    assert of_second - of_others
    (pages / "notes.html").write_text("somebody's own")
    shutil.rmtree(written.root / "runs" / SECOND)
    update.update(written.root)
    assert ids(written.root) == [FAILED, FIRST]
    assert not (written.root / files.FOLDER / "runs" / files.file_of(SECOND)).exists()
    assert {each.name for each in pages.iterdir()} == of_others | {"notes.html"}, "what other runs share stays"


def test_a_damaged_record_is_named_and_the_others_are_shown(written: RootWriter) -> None:
    update.update(written.root)
    (written.root / "runs" / SECOND / run_record.FILE).write_text('{"id": "ta')
    update.update(written.root)
    assert ids(written.root) == [FAILED, FIRST]
    assert index(written.root)["damaged"] == [SECOND]


@pytest.mark.parametrize(
    "content", ["", "millrace.index = {", "millrace.index = [];", 'millrace.index = {"format":0};']
)
def test_a_damaged_index_is_written_anew(written: RootWriter, content: str) -> None:
    update.update(written.root)
    (written.root / files.FOLDER / "index.js").write_text(content)
    update.update(written.root)
    assert ids(written.root) == [FAILED, SECOND, FIRST]


def test_two_runs_that_end_at_once_are_both_in_the_list(written: RootWriter) -> None:
    update.update(written.root)
    names = [f"taxi-20261121-00000{number}-0001" for number in range(6)]
    for name in names:
        copied(written.root, FAILED, name)
    threads = [
        threading.Thread(target=update.update, args=(written.root,), kwargs={"first": name, "seconds": 0.0})
        for name in names
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(names) <= set(ids(written.root))


def test_many_earlier_runs_do_not_hold_up_the_end_of_one(written: RootWriter) -> None:
    assert update.update(written.root, seconds=0.0, first=FIRST) == 2
    assert ids(written.root) == [FIRST]
    assert index(written.root)["note"].startswith("2 more runs are not here yet")
    called = call("--root", written.root, "explore", "--write")
    assert called.exit_code == 0
    assert ids(written.root) == [FAILED, SECOND, FIRST]
    assert "note" not in index(written.root)


def test_a_version_is_served_rolled_back_and_removed(written: RootWriter) -> None:
    serving = Path(str(written.executions[FIRST, "push"]["outputs"]["pushed_model"]["metadata"]["destination"]))
    update.update(written.root)
    [version] = index(written.root)["versions"]
    assert version["state"] == "unknown", f"nobody can look into {serving}"
    record = written.root / "runs" / FIRST / run_record.FILE
    place = written.root / "serving" / "taxi"
    file = written.executions[FIRST, "push"]
    execution = written.root / "artifacts" / "taxi" / "push" / file["key"] / "execution.json"
    execution.write_text(execution.read_text().replace(str(serving), str(place)))
    record.write_text(record.read_text().replace('"target": "local"', '"target": "local", "by": "anna"'))
    digest = file["outputs"]["pushed_model"]["metadata"].get("model_digest", "")
    for number, content in ((1, digest), (2, "sha256:other"), (3, digest)):
        folder = place / str(number) / "assets.extra"
        folder.mkdir(parents=True)
        (folder / "millrace.json").write_text(json.dumps({"model_digest": content, "files": {"saved_model.pb": "0"}}))
    update.update(written.root)
    third, second, first = index(written.root)["versions"]
    assert (first["number"], first["state"], first["how"], first["by"]) == ("1", "earlier", "pushed", "anna")
    assert (second["state"], second["how"]) == ("earlier", "put there by hand")
    assert third["state"] == "served"
    if digest:
        assert (third["how"], third["again"]) == ("rolled back", "1")
    assert third["by"], "the owner of the folder"
    assert first["until"]
    shutil.rmtree(place / "1")
    update.update(written.root)
    assert [each["state"] for each in index(written.root)["versions"]] == ["served", "earlier", "removed"]


def test_names_that_are_markup_or_no_names_of_files(written: RootWriter) -> None:
    odd = "taxi-</script><b>-20261121"
    copied(written.root, FIRST, odd.replace("/", "∕"))
    update.update(written.root)
    assert odd.replace("/", "∕") in ids(written.root)
    assert all(file.suffix == ".js" for file in (written.root / files.FOLDER / "runs").iterdir())


@pytest.mark.parametrize(("variable", "by"), [("anna", "anna"), ("", "")])
def test_who_started_a_run_is_recorded_unless_nobody_shall_be(
    monkeypatch: pytest.MonkeyPatch, variable: str, by: str
) -> None:
    monkeypatch.setenv(run_record.BY_VARIABLE, variable)
    assert run_record.started_by() == by


def test_options_of_servers_are_for_servers(tmp_path: Path) -> None:
    called = call("--root", tmp_path, "explore", "--write", "--namespace", "mine")
    assert called.exit_code == 65
    assert "--host" in called.error
    assert os.listdir(tmp_path) == []


def test_a_root_without_runs(tmp_path: Path) -> None:
    called = call("--root", tmp_path / "new", "explore", "--write")
    assert called.exit_code == 0
    assert "runs" not in index(tmp_path / "new")
