"""How an Argo Workflow ended, from its tasks' notes and from what Argo says: what failed, and what was ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.notify.message import Message
from components.runtime import close_workflow
from components.runtime.records import argo_messages, final_status

GRACE = "ended from outside (SIGTERM): by a deadline, a stop, or because its pod had to go"
ABOVE = "retryStrategy.expression evaluated to false"
STOP = "workflow shutdown with strategy:  Stop"
RUN_DEADLINE = "Step exceeded its deadline"
TASK_DEADLINE = "Pod was active on the node longer than the specified deadline"


def _node(name: str, message: str, minute: int = 0) -> dict[str, Any]:
    return {
        "displayName": name,
        "message": message,
        "phase": "Failed",
        "finishedAt": f"2026-11-21T01:{minute:02}:00Z",
    }


def _status(root: Path, *nodes: dict[str, Any]) -> dict[str, Any]:
    """As the exit handler is told: Argo names the Workflow's own node too, and quotes its list as a string of Go."""
    failures = json.dumps(json.dumps([_node("taxi-1", ""), *nodes]))
    return final_status.of_workflow(root, "taxi-1", "Failed", failures, {})


def _told(status: dict[str, Any]) -> tuple[str, str, str]:
    """State, task, error."""
    return status["state"], status["millrace"]["task"], status["error"]["message"]


def _note(root: Path, task: str, code: int, error: str = GRACE) -> None:
    final_status.note_end(root, "taxi-1", task, error=error, code=code)


@pytest.mark.parametrize(
    ("messages", "state", "error"),
    [
        ((STOP, "Stopped with strategy 'Stop'"), "CANCELLED", "the Workflow was stopped"),
        (
            (RUN_DEADLINE, "retry exceeded workflow deadline 2026-11-29 02:30:14 +0000 UTC"),
            "FAILED",
            "train: the run's time was over (cluster.deadline)",
        ),
        (
            (TASK_DEADLINE, ABOVE),
            "FAILED",
            # Argo gives a pod no more time than its Workflow has left.
            "train: its time was over (timeout in resources, or what cluster.deadline left of the run)",
        ),
        (("pod deleted", "No more retries left"), "FAILED", "train: its pod was lost: deleted, drained or preempted"),
        (
            (
                'wait: Error (exit code 64): Patch "https://10.96.0.1:443/apis/argoproj.io/v1alpha1/namespaces/n/'
                'workflowtaskresults/taxi-1-9": dial tcp 10.96.0.1:443: connect: connection refused',
                "No more retries left",
            ),
            "FAILED",
            "train: what it made could not be handed to Argo: Kubernetes' API server did not answer",
        ),
        (
            (f"main: Error (exit code 143): error: {GRACE}", "No more retries left"),
            "FAILED",
            "train: its pod had to go (SIGTERM): it was deleted, or its node shut down",
        ),
    ],
)
@pytest.mark.parametrize("noted", [True, False])
def test_what_was_ended_from_outside_is_no_fault_of_a_stage(
    messages: tuple[str, str], state: str, error: str, noted: bool, tmp_path: Path
) -> None:
    if noted:
        _note(tmp_path, "train", 130)
    status = _status(tmp_path, _node("train", messages[1]), _node("train(0)", messages[0]))
    assert _told(status) == (state, "train", error)
    assert status["millrace"]["outside"]
    facts = dict(Message.read(status, "taxi").facts)
    assert facts["ended in"] == "train"
    assert "failed task" not in facts
    task = {"name": "train", "stage": "train", "after": [], "condition": ""}
    plan = {"pipeline": "taxi", "parameters": {}, "tasks": [task]}
    made = close_workflow.record(tmp_path, "taxi-1", plan, "2026-11-21T01:02:03Z", status, {}, {})
    assert final_status.STATES[made["state"]] == state
    assert made["by"] == "", "nobody has told the pod"
    assert made["error"] == error
    assert made["exit_code"] == (130 if state == "CANCELLED" else 1)
    assert (made["tasks"][0]["state"], made["tasks"][0]["exit_code"]) == ("stopped", 130)


def test_a_stages_own_fault_comes_before_all_that_was_ended_with_it(tmp_path: Path) -> None:
    _note(tmp_path, "statistics", 130)
    _note(tmp_path, "train", 65, "wrong")
    status = _status(tmp_path, _node("statistics", STOP), _node("train", f"main: Error (exit code 65): {ABOVE}"))
    assert _told(status) == ("CANCELLED", "train", "wrong")
    assert "outside" not in status["millrace"]


def test_a_pod_that_was_lost_once_and_ran_out_of_memory_then(tmp_path: Path) -> None:
    _note(tmp_path, "train", 130)
    nodes = [_node("train(1)", "OOMKilled (exit code 137)"), _node("train(0)", "pod deleted"), _node("train", ABOVE)]
    status = _status(tmp_path, *nodes)
    assert _told(status) == ("FAILED", "train", "OOMKilled (exit code 137)")
    assert "outside" not in status["millrace"]


def test_an_attempt_that_was_followed_by_a_good_one_is_no_reason(tmp_path: Path) -> None:
    # (Of ingest only the attempt has failed.)
    nodes = [
        _node("ingest(0)", "pod deleted"),
        _node("train(0)", "main: OOMKilled (exit code 137)", 5),
        _node("train", ABOVE, 5),
        _node("push(0)", "main: OOMKilled (exit code 137)", 4),
        _node("push", ABOVE, 4),
    ]
    assert _told(_status(tmp_path, *nodes)) == ("FAILED", "push", "OOMKilled (exit code 137)"), "the first that failed"


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("main: Error (exit code 65): error: data: no such folder", "data: no such folder"),
        ("main: Error (exit code 1): a log\nof lines\nerror: the last one", "the last one"),
        ("main: Error (exit code 3)", "Error (exit code 3)"),
        ("main: Error (exit code 1): x: error: y", "y"),
        (
            'ImagePullBackOff: Back-off pulling image "a:1": ErrImagePull: rpc error: code = NotFound',
            'ImagePullBackOff: Back-off pulling image "a:1": ErrImagePull: rpc error: code = NotFound',
        ),
        ('pods "p" is forbidden: no\nservice account', 'pods "p" is forbidden: no service account'),
        (
            'main: Error (exit code 1): begun\nTraceback (most recent call last):\n  File "a.py", line 1, in f\n'
            "    g()\nKeyError: 'cell'\n",
            "Error (exit code 1): KeyError: 'cell'",
        ),
        ("", ""),
    ],
)
def test_the_reason_of_a_node_is_one_line(message: str, reason: str) -> None:
    assert argo_messages.reason(message) == reason
