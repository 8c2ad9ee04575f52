"""What `argo stop --now` leaves: the exit handler does not run, and a record is there all the same."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import yaml

from components.runtime.records import final_status
from runners.argo import cluster
from runners.argo.schema import validate
from runners.history.records import load_run
from tests.runners.argo.argo_executor import Subprocesses
from tests.runners.argo.argo_server import Argo
from tests.runners.argo.compiled_workflows import of_model
from tests.runners.argo.restricted_pods import pods_of, violations
from tests.runners.cluster_support import call


@pytest.fixture
def run(server: Argo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A run of taxi that works at statistics."""
    monkeypatch.setattr(cluster, "_READING_INTERVAL", 0.01)
    file = tmp_path / "taxi.argo.yaml"
    file.write_text(yaml.safe_dump(of_model("taxi")))
    name = call("argo", "submit", file, "-p", "train_steps=7").lines[0].split()[1]
    for _ in range(2):
        call("argo", "show", name)
    return name


def test_the_record_of_a_run_that_was_stopped_at_once_is_written_from_outside(
    server: Argo, run: str, tmp_path: Path
) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    final_status.note_start(volume, run, "taxi", "2026-11-20T12:00:00Z")
    final_status.note_end(volume, run, "statistics", error="ended from outside", code=130)
    assert load_run(volume, run).state == "running"
    called = call("argo", "stop", run, "--now")
    assert called.exit_code == 0, called.err
    [_, (_, writer)] = server.workflows
    assert called.lines == [
        f"workflow {run}: asked to stop",
        f"workflow {writer}: is to write the run's record on the volume",
    ]
    assert writer not in call("argo", "list").out, "it is no run"
    made = copy.deepcopy(server.workflows["ml", writer])
    validate({key: made[key] for key in ("apiVersion", "kind", "metadata", "spec")})
    [(_, pod)] = pods_of(made)
    assert list(violations(pod)) == []
    [template] = made["spec"]["templates"]
    assert "{{" not in json.dumps(template["container"])

    folders = {"/millrace": volume, "/tmp": tmp_path}
    ended = Subprocesses("client")(template["container"], template["metadata"]["labels"], folders)
    assert ended.exit_code == 0, ended.log
    found = load_run(volume, run)
    assert (found.state, found.exit_code, found.error) == ("stopped", 130, "the Workflow was stopped")
    assert found.parameters["train_steps"] == 7
    states = {task.name: task.state for task in found.tasks}
    assert (states["statistics"], states["train"]) == ("stopped", "skipped")


def test_where_no_record_can_be_written_it_is_said(server: Argo, run: str) -> None:
    spec = server.workflows["ml", run]["spec"]
    spec["volumeClaimTemplates"] = spec.pop("volumes")
    called = call("argo", "stop", run, "--now")
    assert (called.exit_code, called.lines) == (0, [f"workflow {run}: asked to stop"])
    assert called.err == (
        f"warning: no record of the run is written: the volume of {run} was its own, and goes with it\n"
    )


def test_a_stop_that_runs_the_exit_handler_needs_no_help(server: Argo, run: str) -> None:
    assert call("argo", "stop", run).lines == [f"workflow {run}: asked to stop"]
    assert len(server.workflows) == 1
