"""A run on Argo that waits for a person: what is told of it, and the answer that a pod writes on the volume."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.runtime.publish import approval
from components.runtime.publish.approval import Question
from runners.argo import cluster
from tests.runners.argo.argo_executor import Subprocesses
from tests.runners.argo.argo_server import Argo
from tests.runners.argo.compiled_workflows import of_model
from tests.runners.cluster_support import call

RUN = "taxi-00000"
ASKS = f"progress: waits for a person: ./millrace approve {RUN} (until 2026-11-30 04:00 UTC)\n"


@pytest.fixture
def served(tmp_path: Path, server: Argo, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The serving directory on the volume of a run that is in its stage approve."""
    folder = tmp_path / "volume"

    def read(template: dict[str, Any]) -> str:
        folders = {"/millrace": folder, "/tmp": tmp_path}
        return Subprocesses("client")(template["container"], template["metadata"]["labels"], folders).log

    server.read, server.plan = read, ["approve"]
    monkeypatch.setattr(cluster, "_READING_INTERVAL", 0.01)
    monkeypatch.setenv("MILLRACE_USER", "anna")
    workflow = of_model("taxi")
    workflow["metadata"] |= {"name": RUN, "namespace": "ml"}
    workflow["spec"]["templates"].append({"name": "approve", "metadata": {"labels": {"millrace/stage": "approve"}}})
    [directory] = [each for each in workflow["spec"]["arguments"]["parameters"] if each["name"] == "serving_directory"]
    directory["value"] = "/millrace/serving/taxi"
    server.create("ml", workflow)
    server.logs[f"{RUN}-pod-approve"] = ASKS.encode()
    question = Question(RUN, "sha256:1", "all 2 thresholds hold", {"auc": 0.91}, ["anna"], "", "2026-11-30T04:00")
    approval.ask(folder / "serving" / "taxi", question)
    return folder / "serving" / "taxi"


def look_again(server: Argo) -> None:
    """Every look of the server's brings a run on."""
    server.steps[RUN] = 0


def answer(served: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((served / ".approvals" / f"{RUN}.answer.json").read_text())
    return found


def test_what_waits_for_a_person_is_not_shown_as_running(server: Argo, served: Path) -> None:
    called = call("argo", "show", RUN)
    assert called.exit_code == 0, called.err
    shown = called.lines
    told = f"waits for a person: ./millrace argo approve {RUN} (until 2026-11-30 04:00 UTC)"
    assert "state       waiting" in shown
    assert f"why         approve: {told}" in shown
    assert next(line for line in shown if line.startswith("approve")).endswith(told)
    look_again(server)
    server.logs[f"{RUN}-pod-approve"] += b"progress: approved by anna\n"
    assert "state       running" in call("argo", "show", RUN).lines


def test_who_may_not_read_logs_learns_it_too(server: Argo, served: Path) -> None:
    server.refusals["/pods"] = 403, {"kind": "Status", "message": "pods is forbidden"}
    assert f"why         approve: waits for a person: ./millrace argo approve {RUN}" in call("argo", "show", RUN).lines


def test_following_says_what_it_waits_for(server: Argo, served: Path) -> None:
    called = call("argo", "wait", RUN, "--interval", "0.01")
    assert f"· approve  waits for a person: ./millrace argo approve {RUN}" in called.out + called.err


def test_an_answer_is_written_on_the_volume_by_a_pod(server: Argo, served: Path) -> None:
    called = call("argo", "approve", RUN, "--why", "as planned, {{workflow.name}}")
    assert called.exit_code == 0, called.err
    assert called.lines[-1] == "approved by anna"
    assert any("all 2 thresholds hold" in line for line in called.lines)
    given = answer(served)
    assert (given["approved"], given["by"], given["why"]) == (True, "anna", "as planned, {{workflow.name}}")
    assert list(server.workflows) == [("ml", RUN)], "what wrote is removed"


def test_a_no_is_written_too(server: Argo, served: Path) -> None:
    called = call("argo", "approve", "latest", "--no", "--why", "not on a Friday", "--json")
    assert json.loads(called.out)["approved"] is False
    assert answer(served)["why"] == "not on a Friday"


def test_who_may_not_is_refused_there(server: Argo, served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_USER", "bob")
    called = call("argo", "approve", RUN)
    assert (called.exit_code, called.error) == (65, f"bob may not approve {RUN}; these may: anna")
    assert not (served / ".approvals" / f"{RUN}.answer.json").exists()


def test_of_several_candidates_one_is_named(server: Argo, served: Path) -> None:
    server.logs[f"{RUN}-pod-approve"] = ASKS.replace(RUN, f"{RUN}-wide").encode()
    assert f"./millrace argo approve {RUN} --candidate wide (until" in call("argo", "show", RUN).out
    look_again(server)
    called = call("argo", "approve", RUN, "--candidate", "deep")
    assert (called.exit_code, called.error) == (65, f"{RUN}-deep waits for no answer")


def test_a_run_that_asks_nobody_begins_no_pod(server: Argo, served: Path) -> None:
    server.steps[RUN] = 5
    called = call("argo", "approve", RUN)
    assert (called.exit_code, called.error.partition(";")[0]) == (65, f"{RUN} waits for no answer")
    assert not [method for method, *_ in server.requests if method == "POST"]
