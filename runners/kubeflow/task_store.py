"""The tasks and artifacts that servers from 2.18 on keep themselves, read through their API.

No such server was tried: the shapes are those of the change that brought them (kubeflow/pipelines#13986) and of the
proposal before it (12147), which differ. So what either of them has is taken, and what is absent is absent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from typing import Any
from urllib.parse import quote, urlencode

from components.runtime.errors import InputError
from runners.history.record_values import mapping, timestamp
from runners.kubeflow.connection import Connection
from runners.kubeflow.executions import LOGS, METRICS, Artifact, Execution, described
from runners.kubeflow.state import STATES
from runners.terminal.follow import RemoteTask

FIRST_VERSION = (2, 18)
"""The first that has no metadata store."""
_PAGE = 100
_MOST = 20_000
_IDS_OF_A_REQUEST = 50
_LAYERS = frozenset({"ROOT", "CONDITION_BRANCH", "CONDITION", "LOOP", "LOOP_ITERATION", "EXIT_HANDLER", "DAG"})
"""Types of tasks that are no task of a pipeline but hold some."""
_NEVER_BEGAN = frozenset({"SKIPPED", "PENDING"})
_SHOWN = STATES | {"CACHED": "done"}
_TYPES = {
    "Metric": METRICS,
    "ClassificationMetric": "system.ClassificationMetrics",
    "SlicedClassificationMetric": "system.SlicedClassificationMetrics",
}


class TaskStore:
    """The tables of a server, as `executions.Store` has it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def executions(self, run: str) -> list[Execution]:
        """The tasks of a run that have begun, by start."""
        found = [_execution(run, task) for task in self._tasks(run) if _state(task) not in _NEVER_BEGAN]
        return sorted(found, key=lambda execution: execution.started)

    def remote_tasks(self, run: str) -> list[RemoteTask]:
        """The tasks of a run as they are shown, by start."""
        tasks = sorted(self._tasks(run), key=lambda task: _seconds(task))
        return [
            RemoteTask(
                name=_name(task),
                state=_SHOWN.get(_state(task), "waiting"),
                started=timestamp(task.get("start_time") or task.get("create_time")),
                ended=timestamp(task.get("end_time")),
                error=_error(task),
            )
            for task in tasks
        ]

    def runs_of(self, artifacts: Collection[str]) -> Iterator[str]:
        """Ids of the runs that made or read any of these artifacts."""
        ids = sorted(artifacts)
        for begin in range(0, len(ids), _IDS_OF_A_REQUEST):
            part = ids[begin : begin + _IDS_OF_A_REQUEST]
            for each in self._pages("artifact_tasks", "artifact_tasks", artifact_ids=part):
                if run := each.get("run_id"):
                    yield str(run)

    def artifacts(self, type: str = "") -> Iterator[Artifact]:
        """All artifacts of a type, or of any; no more than so many."""
        scope = {"namespace": self._connection.namespace} if self._connection.namespace else {}
        for each in self._pages("artifacts", "artifacts", sort_by="created_at desc", **scope):
            artifact = _artifact([each])
            if not type or artifact.type == type:
                yield artifact

    def _tasks(self, run: str) -> list[dict[str, Any]]:
        """All tasks of a run but the layers around them."""
        identity = quote(run, safe="")
        tasks = _objects(self._get(f"runs/{identity}", view="FULL"), "tasks")
        if not tasks:
            # A run may be too large for one answer. By the change they are listed here, by the proposal there.
            try:
                tasks = list(self._pages(f"runs/{identity}/tasks", "tasks"))
            except InputError:
                tasks = list(self._pages("tasks", "tasks", run_id=run))
        return [task for task in tasks if task.get("type") not in _LAYERS]

    def _pages(self, path: str, field: str, **query: Any) -> Iterator[dict[str, Any]]:
        token, given = "", 0
        while given < _MOST:
            page = self._get(path, **query, page_size=_PAGE, **({"page_token": token} if token else {}))
            items = _objects(page, field)
            yield from items
            given, token = given + len(items), str(page.get("next_page_token") or "")
            if not token or not items:
                return

    def _get(self, path: str, **query: Any) -> dict[str, Any]:
        doing = f"asking for {path.partition('/')[0].replace('_', ' ')}"
        answer = self._connection.fetch(f"/apis/v2beta1/{path}?{urlencode(query, doseq=True)}", doing)
        try:
            document = json.loads(answer)
        except ValueError:
            document = None
        if not isinstance(document, dict):
            raise InputError(f"{self._connection.where}: something else answers while {doing}")
        return document


def is_there(connection: Connection) -> bool:
    """Whether a server keeps tasks and artifacts itself: by its version; where it tells none, it is asked for some."""
    found = re.match(r"v?(\d+)\.(\d+)", connection.version)
    if found:
        return (int(found[1]), int(found[2])) >= FIRST_VERSION
    try:
        next(TaskStore(connection).artifacts(), None)
    except InputError:
        return False
    return True


def _execution(run: str, task: dict[str, Any]) -> Execution:
    inputs, outputs = mapping(task, "inputs"), mapping(task, "outputs")
    return Execution(
        id=str(task.get("task_id") or f"{run}/{_name(task)}"),
        run=run,
        task=_name(task),
        state={"SUCCEEDED": "done", "CACHED": "done", "FAILED": "failed"}.get(_state(task), "running"),
        started=_seconds(task),
        error=_error(task),
        parameters={
            str(_either(each, "parameter_key", "parameter_name", "name")): each.get("value")
            for each in _objects(inputs, "parameters")
        },
        inputs=_arguments(inputs),
        outputs=_arguments(outputs),
    )


def _name(task: dict[str, Any]) -> str:
    return str(_either(task, "display_name", "name", "task_id"))


def _state(task: dict[str, Any]) -> str:
    return str(_either(task, "state", "status"))


def _seconds(task: dict[str, Any]) -> float:
    moment = timestamp(task.get("start_time") or task.get("create_time"))
    return moment.timestamp() if moment else 0.0


def _error(task: dict[str, Any]) -> str:
    told = [mapping(task, "status_metadata"), mapping(task, "error")]
    told += [mapping(each, "error") for each in reversed(_objects(task, "state_history"))]
    words = [" ".join(str(_either(each, "message", "custom_message")).split()) for each in told]
    return next(filter(None, words), "") if _state(task) in ("FAILED", "CANCELED") else ""


def _arguments(side: dict[str, Any]) -> dict[str, Artifact]:
    """Artifacts by the names of inputs or outputs; several of one name, as the metrics of a task are, become one."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in _objects(side, "artifacts"):
        there = _objects(each, "artifacts") or [mapping(each, "value")]
        name = str(_either(each, "artifact_key", "parameter_name", "name") or _either(there[0], "name"))
        found.setdefault(name, []).extend(filter(None, there))
    return {name: _artifact(there) for name, there in found.items() if there and name != LOGS}


def _artifact(there: list[dict[str, Any]]) -> Artifact:
    """An artifact; of metrics each is one of the server's, with its value."""
    metadata: dict[str, Any] = {}
    for each in there:
        metadata |= mapping(each, "metadata") or mapping(each, "custom_properties")
        if isinstance(value := each.get("number_value"), int | float | str) and each.get("type") == "Metric":
            metadata[str(each.get("name"))] = float(value)
    kind = str(there[0].get("type") or "Artifact")
    return Artifact(
        id=min(str(each.get("artifact_id") or "") for each in there),
        type=_TYPES.get(kind, kind if "." in kind else f"system.{kind}"),
        uri=str(there[0].get("uri") or ""),
        metadata=described(metadata),
    )


def _objects(document: dict[str, Any], name: str) -> list[dict[str, Any]]:
    value = document.get(name)
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _either(document: dict[str, Any], *names: str) -> Any:
    return next((document[name] for name in names if document.get(name)), "")
