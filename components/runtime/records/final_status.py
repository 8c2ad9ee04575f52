"""How a run ended, as an exit task is told: KFP's PipelineTaskFinalStatus, with what we know besides under `millrace`.

KFP's own fields are those of PipelineTaskFinalStatus in kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto. Kubeflow
and Vertex fill them in themselves; here the local runner does, and in an Argo Workflow the launcher of the exit task.
"""

from __future__ import annotations

import ast
import contextlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.runtime.errors import EXIT_INTERRUPTED, InputError
from components.runtime.records import argo_messages, execution_record
from components.runtime.records.answered import recorded
from components.runtime.records.facts import UNNAMED, of_stage
from components.runtime.records.models import models
from components.runtime.text.json_text import parse
from components.runtime.text.redaction import redact

INPUT = "status"
"""The parameter of an exit task that gets the status."""

STATES = {"done": "SUCCEEDED", "failed": "FAILED", "stopped": "CANCELLED"}
BEGUN = "workflow.json"
"""File in a run's folder that tells of a Workflow until its last pod has written the run's record."""
_NOTE = {"task": str, "execution": str, "error": str, "code": int}
"""What a note tells of a task."""

_PUSHED = ("candidate", "version", "destination", "created", "same_as")
_ATTEMPT = re.compile(r"\(\d+\)$")


def final_status(
    state: str,
    run: str,
    *,
    task: str = "",
    error: str = "",
    code: int | None = None,
    outside: bool = False,
    executions: Iterable[Mapping[str, Any]] = (),
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Returns the status of a run.

    Args:
      state: done, failed or stopped.
      run: its id.
      task: the one that failed.
      error: its one-line error.
      code: its exit code.
      outside: whether it did not fail, but was ended in its work: by a stop, a deadline, the loss of its pod.
      executions: records of the executions that the run made or took from the cache.
      parameters: the run's; secrets among them are kept out of the error.
    """
    status: dict[str, Any] = {"state": STATES[state], "pipelineJobResourceName": run}
    if error:
        status["error"] = {"code": code or 1, "message": redact(error, also=dict(parameters or {}))}
    facts: dict[str, Any] = {"task": task} if task else {}
    facts |= {"outside": True} if outside else {}
    known = list(executions)
    facts |= _blessed(known) | _pushed(known) | _watched(known)
    return status | ({"millrace": facts} if facts else {})


def _blessed(executions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Whether the model is blessed and why; of several that nothing chose from, whether any is, and what of each."""
    read = models(map(recorded, executions))
    found = {"": read.choice.blessing} if read.choice else {each.name: each.blessing or {} for each in read.leading}
    if len(found) > 1:
        told = [
            f"{name or UNNAMED}: {'' if each.get('blessed') else 'not blessed, '}{each.get('reason')}"
            for name, each in found.items()
        ]
        return {"blessed": any(each.get("blessed") for each in found.values()), "reason": "; ".join(told)}
    return {name: each.get(name) for each in found.values() for name in ("blessed", "reason")}


def _pushed(executions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What was put into service; of several models a list of these."""
    found = [
        {
            name: each["outputs"]["pushed_model"]["metadata"][name]
            for name in _PUSHED
            if name in each["outputs"]["pushed_model"]["metadata"]
        }
        for each in of_stage(executions, "push").values()
        if "pushed_model" in each.get("outputs", {})
    ]
    if len(found) > 1:
        return {"pushed": [each for each in found if each]}
    return found[0] if found else {}


def _watched(executions: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a look at a version in service came to, and why."""
    for each in of_stage(executions, "watch").values():
        metadata = each.get("outputs", {}).get("watched", {}).get("metadata", {})
        if "state" in metadata:
            followed = [
                str(other["outputs"]["retrained"]["metadata"].get("reason"))
                for other in of_stage(executions, "retrain").values()
                if "retrained" in other.get("outputs", {})
            ]
            return {"watched": metadata["state"], "watched_reason": "; ".join([str(metadata.get("reason")), *followed])}
    return {}


def note_start(root: Path, run: str, pipeline: str, started: str, target: str = "argo") -> None:
    """Notes that a Workflow goes on, for those who list runs; its first task does.

    Args:
      root: the pipeline root.
      run: the Workflow's name.
      pipeline: its pipeline.
      started: when it was made, RFC 3339; empty where nobody said.
      target: what runs it.
    """
    file = root / "runs" / run / BEGUN
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("x") as stream:
            stream.write(json.dumps({"pipeline": pipeline, "started": started, "target": target}))


def note_end(root: Path, run: str, task: str, *, execution: str = "", error: str = "", code: int = 0) -> None:
    """Leaves a note of how a task of a Workflow ended, for the exit task. The note of a later attempt replaces it.

    The code EXIT_INTERRUPTED tells of one that was ended in its work.
    """
    file = _notes(root, run) / f"{task}.json"
    # A full disk must not hide the task's own error.
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"task": task, "execution": execution, "error": error, "code": code}))


def of_workflow(
    root: Path,
    run: str,
    phase: str,
    failures: str,
    parameters: Mapping[str, str],
    retries: Mapping[str, int] | None = None,
) -> dict[str, Any]:
    """Returns the status of an Argo Workflow, from the notes of its tasks and from what Argo says.

    Args:
      root: the pipeline root.
      run: the Workflow's name.
      phase: `{{workflow.status}}`: Succeeded, Failed or Error.
      failures: `{{workflow.failures}}`: of pods that could not even start, or were killed.
      parameters: the Workflow's.
      retries: how often pods that are lost are made again, by task, where somebody knows. Argo tells of a stop at first
        only, and then how the container ended, which is how that of a lost pod ends. But that is tried again.

    Raises:
      InputError: an unknown phase.
    """
    if phase not in ("Succeeded", "Failed", "Error"):
        raise InputError(f"--status {phase!r}: expected Argo's workflow.status: Succeeded, Failed or Error")
    told = notes(root, run)
    executions = [found for note in told if (found := execution(root, note))]
    if phase == "Succeeded":
        return final_status("done", run, executions=executions)
    nodes = [node for node in _failures(failures) if str(node.get("displayName")) != run]
    stopped = any(argo_messages.is_stop(str(node.get("message"))) for node in nodes)
    stopped = stopped or _was_not_tried_again(nodes, retries or {})
    failed = next((note for note in told if note["code"] not in (0, EXIT_INTERRUPTED)), None)
    cause = {key: failed[key] for key in ("task", "error", "code")} if failed else _said_by_argo(nodes, told, stopped)
    return final_status("stopped" if stopped else "failed", run, **cause, executions=executions, parameters=parameters)


def failed_attempts(failures: str, parameters: Mapping[str, str]) -> dict[str, list[str]]:
    """Why the attempts of each task ended that did not go well, the first one first.

    Args:
      failures: `{{workflow.failures}}`.
      parameters: the Workflow's; secrets among them are kept out.
    """
    ends: dict[str, list[tuple[int, str]]] = {}
    for node in _failures(failures):
        name, message = str(node.get("displayName", "")), str(node.get("message") or "")
        if (attempt := _attempt(name)) >= 0:
            why = argo_messages.reason(message) or "Argo does not say why"
            ends.setdefault(_ATTEMPT.sub("", name), []).append((attempt, redact(why, also=dict(parameters))))
    return {task: [why for _, why in sorted(found)] for task, found in ends.items()}


def _was_not_tried_again(nodes: Sequence[Mapping[str, Any]], retries: Mapping[str, int]) -> bool:
    """Whether the last attempt of a task was ended from outside, and another one was to follow."""
    last: dict[str, tuple[int, str]] = {}
    for node in nodes:
        name = str(node.get("displayName", ""))
        if (attempt := _attempt(name)) >= 0:
            task = _ATTEMPT.sub("", name)
            last[task] = max(last.get(task, (-1, "")), (attempt, str(node.get("message") or "")))
    return any(
        attempt < retries.get(task, 0) and argo_messages.is_termination(message)
        for task, (attempt, message) in last.items()
    )


def _said_by_argo(
    nodes: Sequence[Mapping[str, Any]], told: Sequence[Mapping[str, Any]], stopped: bool
) -> dict[str, Any]:
    """What ended a run in which no stage noted a fault: pods that could not even start, were killed, or were lost."""
    found: dict[str, tuple[int, str, str]] = {}
    names = [str(node.get("displayName", "")) for node in nodes]
    above = {name for name in names if _attempt(name) < 0}
    for name, node in zip(names, nodes, strict=True):
        task, message = _ATTEMPT.sub("", name), str(node.get("message") or "")
        # Attempts without a failed node above them were followed by one that went well.
        if argo_messages.tells(message) and (task in above or not above):
            last = (_attempt(name), str(node.get("finishedAt") or ""), message)
            found[task] = max(found.get(task, last), last)
    named, (_, _, message) = min(found.items(), key=lambda entry: entry[1][1], default=("", (0, "", "")))
    ended = next((note for note in told if note["code"] == EXIT_INTERRUPTED), None)
    if not message and ended is None and names:
        return {"task": _ATTEMPT.sub("", names[0]), "error": "its pod failed, and nothing says why", "code": 1}
    if not argo_messages.is_from_outside(message) and (message or ended is None):
        return {"task": named, "error": argo_messages.reason(message), "code": 1}
    task = ended["task"] if ended else named
    if argo_messages.is_stop(message) or (stopped and argo_messages.is_termination(message)):
        return {"task": task, "error": argo_messages.STOPPED, "code": EXIT_INTERRUPTED, "outside": True}
    why = argo_messages.reason(message) or (ended or {}).get("error", "")
    return {"task": task, "error": f"{task}: {why}", "code": 1, "outside": True}


def _attempt(name: str) -> int:
    """Which attempt a node is; -1 of the node above them."""
    found = _ATTEMPT.search(name)
    return int(found[0].strip("()")) if found else -1


def _notes(root: Path, run: str) -> Path:
    return root / "runs" / run / "tasks"


def notes(root: Path, run: str) -> list[dict[str, Any]]:
    """What `note_end` left of a run's tasks, the oldest first."""
    found = []
    for file in sorted(_notes(root, run).glob("*.json"), key=lambda each: each.stat().st_mtime_ns):
        # A node that died may have left half a note.
        with contextlib.suppress(OSError, ValueError):
            note = parse(file.read_text())
            if isinstance(note, dict) and all(isinstance(note.get(name), kind) for name, kind in _NOTE.items()):
                found.append(note)
    return found


def execution(root: Path, note: Mapping[str, Any]) -> dict[str, Any] | None:
    """The record of the execution that a note names; None where it names none, or one that was removed since."""
    if not note["execution"]:
        return None
    return execution_record.read(root, note["execution"])


def _failures(text: str) -> list[dict[str, Any]]:
    """Reads Argo's list, which is JSON, quoted once more as a string of Go; nothing where it is anything else."""
    with contextlib.suppress(ValueError, SyntaxError):
        # Go's escapes are among Python's.
        plain = ast.literal_eval(text) if text.startswith('"') else text
        found = parse(plain)
        if isinstance(found, list):
            return [node for node in found if isinstance(node, dict)]
    return []
