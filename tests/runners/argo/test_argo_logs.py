"""Logs of runs whose pods are gone: a Workflow reads them on the volume, with the program that runs here too."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from runners.argo import cluster, task_logs
from runners.argo.schema import validate
from tests.runners.argo.argo_executor import Subprocesses
from tests.runners.argo.argo_server import Argo
from tests.runners.argo.compiled_workflows import of_model
from tests.runners.argo.restricted_pods import pods_of, violations
from tests.runners.cluster_support import call


@pytest.fixture
def volume(tmp_path: Path, server: Argo, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()

    def read(template: dict[str, Any]) -> str:
        folders = {"/millrace": folder, "/tmp": tmp_path}
        return Subprocesses("client")(template["container"], template["metadata"]["labels"], folders).log

    server.read = read
    server.plan = ["ingest", "statistics", "close"]
    monkeypatch.setattr(cluster, "_READING_INTERVAL", 0.01)
    return folder


@pytest.fixture
def run(server: Argo, volume: Path, tmp_path: Path) -> str:
    """A run of taxi that has ended well, whose pods are gone."""
    file = tmp_path / "taxi.argo.yaml"
    file.write_text(yaml.safe_dump(of_model("taxi")))
    called = call("argo", "submit", file, "--wait", "--interval", "0.01")
    assert called.exit_code == 0, called.err
    name = called.lines[0].split()[1]
    logs = volume / "runs" / name
    logs.mkdir(parents=True)
    (logs / "ingest.log").write_text("progress: started\nüber drei\n")
    (logs / "statistics.log").write_text("first attempt\nsecond attempt")
    return name


def test_the_log_of_a_task_comes_from_the_volume(server: Argo, run: str) -> None:
    assert call("argo", "logs", run, "ingest").out == "progress: started\nüber drei\n"
    assert call("argo", "logs", run, "ingest", "--tail", "1").out == "über drei\n"
    assert call("argo", "logs", run, "ingest", "--tail", "0").out == "\n"
    assert list(server.workflows) == [("ml", run)], "what read is removed"


def test_the_logs_of_all_tasks_come_at_once(server: Argo, run: str) -> None:
    called = call("argo", "logs", run)
    assert called.lines == [
        *("== ingest", "progress: started", "über drei"),
        *("== statistics", "first attempt", "second attempt"),
    ]
    assert sum(method == "POST" for method, _, _ in server.requests) == 2, "the run, and one that reads"


def test_a_pod_that_is_there_is_asked_itself(server: Argo, run: str) -> None:
    server.logs[f"{run}-pod-statistics-1"] = b"of the pod\n"
    assert call("argo", "logs", run, "statistics").out == "of the pod\n"
    assert call("argo", "logs", run).lines[-2:] == ["== statistics", "of the pod"]


def test_a_pod_that_goes_between_two_questions_is_gone(server: Argo, run: str) -> None:
    server.logs[f"{run}-pod-ingest"] = b"of the pod\n"
    server.refusals[f"{run}-pod-ingest/log"] = 404, {"kind": "Status", "message": "pods not found"}
    assert call("argo", "logs", run, "ingest").out == "progress: started\nüber drei\n"


def test_what_is_not_on_the_volume(server: Argo, volume: Path, run: str) -> None:
    (volume / "runs" / run / "ingest.log").unlink()
    assert call("argo", "logs", run, "ingest").out.startswith(
        f"(no log; what came from the cache, or did not run, leaves none: {volume}/runs/{run}/ingest.log: No "
    )
    assert "its pod is gone, and it writes none to the volume" in call("argo", "logs", run, "close").error
    spec = server.workflows["ml", run]["spec"]
    spec["volumeClaimTemplates"] = spec.pop("volumes")
    assert f"the pods are gone, and the volume of {run} was its own" in call("argo", "logs", run, "ingest").error


def test_a_long_log_is_cut_where_a_node_would_cut_it(volume: Path, run: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task_logs, "_MOST_BYTES", 100)
    (volume / "runs" / run / "ingest.log").write_text("".join(f"line {number}\n" for number in range(100)))
    lines = call("argo", "logs", run, "ingest").lines
    assert lines[0].startswith("(the beginning is left out; the volume has all of it: ")
    assert lines[1:] == [f"line {number}" for number in range(88, 100)], "whole lines"


def test_what_reads_is_told_where_it_cannot_start_and_is_removed(
    server: Argo, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_READING_SECONDS", 0.05)
    server.hindered["read-logs"] = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."
    server.delay = 0.06
    called = call("argo", "logs", run, "ingest")
    assert called.exit_code == 75
    assert "1 Insufficient cpu.; try again" in called.error
    assert list(server.workflows) == [("ml", run)]


def test_what_reads_is_a_workflow_that_any_cluster_takes(run: str, server: Argo) -> None:
    workflow = server.workflows["ml", run]
    node = {"templateName": "ingest"}
    made = task_logs.reader(copy.deepcopy(workflow), {"ingest": node}, None, "--")
    validate(made)
    [(_, pod)] = pods_of(made)
    assert list(violations(pod)) == []
    assert "{{" not in json.dumps(made["spec"]["templates"][0]["container"])
    assert made["spec"]["volumes"] == workflow["spec"]["volumes"]
    server.create("ml", made | {"metadata": made["metadata"] | {"namespace": "ml"}})
    assert run in call("argo", "list").out
    assert "-read-logs-" not in call("argo", "list").out, "it is no run"


def test_a_pod_of_several_tasks_has_the_logs_of_all(server: Argo, volume: Path, run: str) -> None:
    """With the line between them that the pod's own log has."""
    for template in server.workflows["ml", run]["spec"]["templates"]:
        if template["name"] == "statistics":
            arguments = template["container"]["args"]
            place = arguments.index("--task")
            arguments[place : place + 2] = [
                part for task in ("ingest", "validate") for part in ("--task", json.dumps({"task": task}))
            ]
    (volume / "runs" / run / "validate.log").write_text("no anomalies\nvalid\n")
    lines = call("argo", "logs", run, "statistics").lines
    assert lines == [
        *("progress: task ingest", "progress: started", "über drei"),
        *("progress: task validate", "no anomalies", "valid"),
    ]
    # One of them is asked for by its own name.
    assert call("argo", "logs", run, "validate").lines == ["no anomalies", "valid"]
    assert call("argo", "logs", run, "validate", "--tail", "1").lines == ["valid"]
    server.logs[f"{run}-pod-statistics-1"] = b"progress: task ingest\none\nprogress: task validate\ntwo\nthree"
    assert call("argo", "logs", run, "validate").lines == ["two", "three"]
    assert call("argo", "logs", run, "validate", "--tail", "1").lines == ["three"]


def test_what_argo_prints_around_a_task_is_none_of_its_log(server: Argo, run: str) -> None:
    of_argo = b'time="2026-11-29T20:25:29.956Z" level=info msg="no need to save parameter: /tmp/outputs/x" argo=true\n'
    server.logs[f"{run}-pod-statistics-1"] = of_argo + b"one\ntime=now\ntwo\n" + of_argo * 3
    assert call("argo", "logs", run, "statistics").lines == ["one", "time=now", "two"]
    assert call("argo", "logs", run, "statistics", "--tail", "1").lines == ["two"]
