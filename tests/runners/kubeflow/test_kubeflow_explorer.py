"""The explorer of runs on servers, with a metadata store and without: the same as of the same runs on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from runners.history.explorer import files, update
from tests.runners.cluster_support import Called, call
from tests.runners.history.pipeline_roots import FAILED, FIRST, SECOND, RootWriter, taxi_root
from tests.runners.kubeflow import recorded
from tests.runners.kubeflow.kfp_history import History
from tests.runners.kubeflow.kfp_server import Kfp, serve
from tests.runners.kubeflow.test_kubeflow_lineage import SERVERS


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> RootWriter:
    return taxi_root(tmp_path_factory.mktemp("explorer") / "root")


def explore(server: History, folder: Path, *arguments: object) -> Called:
    return call("explore", "--host", server.url, "--write", "--output", folder, *arguments)


def parsed(file: Path) -> dict[str, Any]:
    text = file.read_text()
    document: dict[str, Any] = json.loads(text[text.index("{") : text.rindex("}") + 1])
    return document


def details(folder: Path) -> dict[str, dict[str, Any]]:
    """All of each run, by the run's name."""
    rows = parsed(folder / "index.js")["runs"]
    return {row["name"]: parsed(folder / "runs" / row["file"]) for row in rows}


def edges(detail: dict[str, Any]) -> set[tuple[str, str]]:
    """What led to what, by names."""
    names = {each["id"]: each["name"] for each in detail["artifacts"]}
    found = set()
    for each in detail["executions"]:
        found |= {(names[one], each["task"]) for one in each.get("inputs", {}).values()}
        found |= {(each["task"], names[one]) for one in each.get("outputs", {}).values()}
    return found


@pytest.mark.parametrize("kind", SERVERS)
def test_a_server_s_runs_have_the_lineage_that_they_have_here(kind: str, written: RootWriter, tmp_path: Path) -> None:
    server = SERVERS[kind]()
    server.tell(written)
    server.contents = {thing.uri: b"<html>a report" for thing in server.things if thing.type == "system.HTML"}
    with serve(server):
        called = explore(server, tmp_path)
    assert called.exit_code == 0, called.err
    assert "3 of 3 runs read" in called.err
    update.update(written.root)
    here = {run: parsed(written.root / files.FOLDER / "runs" / files.file_of(run)) for run in (FAILED, SECOND, FIRST)}
    there = details(tmp_path)
    assert list(there) == [FAILED, SECOND, FIRST]
    for run, detail in there.items():
        assert edges(here[run]) <= edges(detail) | {("train/model", "resolve")}
        assert run == FAILED or ("/data/taxi", "ingest") in edges(detail)
    first, second = there[FIRST], there[SECOND]
    ids = {each["task"]: each["id"] for each in first["executions"]}
    assert ids["ingest"] in {each["id"] for each in second["executions"]}, "taken from the cache: one and the same node"
    [page] = [each["page"] for each in first["executions"] if each["task"] == "evaluate"]
    assert (tmp_path / page).read_bytes() == b"<html>a report"
    rows = {row["name"]: row for row in parsed(tmp_path / "index.js")["runs"]}
    assert rows[FIRST]["models"][0]["blessed"] is True
    assert rows[SECOND]["models"][0]["blessed"] is False
    assert "models" not in rows[FAILED]
    assert first["metrics"]["auc"] == pytest.approx(0.9371)
    assert (first["better"]["auc"], first["told"]) == (1, ["auc"]), "as the blessing's metadata say"
    [version] = parsed(tmp_path / "index.js")["versions"]
    assert (version["number"], version["state"]) == ("1", "unknown"), "what is served only the cluster sees"
    assert "by" not in version, "nobody tells who started it"
    assert not any("hf_verySecretValue" in file.read_text() for file in tmp_path.rglob("*.js"))


def test_the_newest_runs_and_what_cannot_be_fetched_are_told(written: RootWriter, tmp_path: Path) -> None:
    server = SERVERS["own tasks"]()
    server.tell(written)
    with serve(server):
        called = explore(server, tmp_path, "--limit", 2)
    assert called.exit_code == 0, called.err
    assert list(details(tmp_path)) == [FAILED, SECOND]
    note = parsed(tmp_path / "index.js")["note"]
    assert note.startswith("the newest 2 runs; --limit reads more; not all is here: ")
    assert "not found (404)" in note
    assert not any("page" in each for each in details(tmp_path)[SECOND]["executions"])


def test_tasks_of_somebody_else_are_told_by_what_they_read_and_made(tmp_path: Path) -> None:
    server = SERVERS["own tasks"]()
    run = server.add_run("theirs")
    data = server.add(
        run, "download", parameters={"data": "gs://bucket/raw.csv"}, outputs={"table": {"type": "system.Dataset"}}
    )
    wide = server.add(
        run, "fit-wide", inputs=data, outputs={"estimator": {"type": "system.Model", "digest": "sha256:aa"}}
    )
    deep = server.add(
        run, "fit-deep", inputs=data, outputs={"estimator": {"type": "system.Model", "digest": "sha256:bb"}}
    )
    for name, made, score in (("score-wide", wide, 0.8), ("score-deep", deep, 0.9)):
        server.add(run, name, inputs=data | made, outputs={"scores": {"type": "system.Metrics", "f1": score}})
    with serve(server):
        called = explore(server, tmp_path)
    assert called.exit_code == 0, called.err
    [row] = parsed(tmp_path / "index.js")["runs"]
    assert [(each["name"], each["metrics"]) for each in row["models"]] == [
        ("fit-wide", {"f1": 0.8}),
        ("fit-deep", {"f1": 0.9}),
    ]
    assert "blessed" not in row["models"][0], "nobody has judged it"
    [detail] = details(tmp_path).values()
    assert {
        ("gs://bucket/raw.csv", "download"),
        ("download/table", "fit-wide"),
        ("fit-wide/estimator", "score-wide"),
    } <= edges(detail)


@pytest.mark.skipif("taxi_done" not in recorded.names(), reason="no recording of a server here")
def test_what_a_real_server_answered_is_shown_though_it_tells_no_artifacts(tmp_path: Path) -> None:
    server = Kfp(tag="2.17.0")
    for name in ("taxi_done", "no_data_failed"):
        recorded.put(server, name)
    with serve(server):
        called = explore(server, tmp_path)
    assert called.exit_code == 0, called.err
    rows = parsed(tmp_path / "index.js")["runs"]
    assert {row["state"] for row in rows} == {"done", "failed"}
    [failed] = [row for row in rows if row["state"] == "failed"]
    tasks = parsed(tmp_path / "runs" / failed["file"])["tasks"]
    assert {"ingest": "failed"}.items() <= {task["name"]: task["state"] for task in tasks}.items()
    assert next(task["error"] for task in tasks if task["name"] == "ingest")
    assert "without what every run made" in parsed(tmp_path / "index.js")["note"]


def test_a_server_that_does_not_answer(tmp_path: Path) -> None:
    called = call("explore", "--host", "http://127.0.0.1:9", "--write", "--output", tmp_path / "out")
    assert called.exit_code == 75
    assert "127.0.0.1:9" in called.error
    assert not (tmp_path / "out").exists()
