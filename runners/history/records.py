"""Reads what runs left on disk: run.json, as docs/contract.md defines it."""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from components.runtime.errors import EXIT_INTERRUPTED, InputError
from components.runtime.records import execution_record, final_status, run_record
from components.runtime.text.redaction import redact
from runners.history import waiting
from runners.history.executions import Execution, load_execution
from runners.history.record_values import finite, json_object, mapping, sequence, timestamp, whole
from runners.history.run_folders import OWNER_LOCK, is_held

LATEST = "latest"
_NEEDED = {"state", "tasks"}
"""What makes an object a run's record."""
GOES_ON = ("running", "waiting")
"""The states of a run that has not ended."""
_STATES = {"waiting", "running", "done", "cached", "failed", "stopped", "skipped"}


@dataclass(frozen=True)
class Task:
    """One task of a run, as run.json tells it."""

    name: str
    stage: str
    state: str
    after: list[str] = field(default_factory=list)
    condition: str = ""
    execution: str = ""
    log: str = ""
    started: datetime | None = None
    seconds: float | None = None
    start_up_seconds: float | None = None
    peak_memory_bytes: int | None = None
    rows: int | None = None
    facts: str = ""
    alert: str = ""
    error: str = ""
    failed_attempts: list[str] = field(default_factory=list)
    """Why each attempt ended that did not go well; the last of a failed task is among them."""


@dataclass(frozen=True)
class Run:
    """One run of a pipeline, from its run.json."""

    root: Path
    id: str
    pipeline: str
    target: str
    state: str
    started: datetime | None
    finished: datetime | None
    seconds: float | None
    parameters: dict[str, Any]
    exit_code: int | None
    error: str
    tasks: list[Task]
    part: str = ""
    """What of the pipeline it was asked for, as `until schema`, or the decision that it is; empty where it was all."""
    by: str = ""
    """Who started it; empty where nobody said."""
    decision: str = ""
    """What a person did with versions, such as `rollback`; empty of a run of the pipeline."""

    @property
    def folder(self) -> Path:
        """Where the run's own files lie."""
        return self.root / "runs" / self.id

    @cached_property
    def executions(self) -> dict[str, Execution]:
        """The finished executions of its tasks, by task; a task without one is not in it."""
        found = {}
        for task in self.tasks:
            if task.execution and (execution := load_execution(self.root, task.execution)):
                found[task.name] = execution
        return found

    def of_stage(self, stage: str) -> list[Execution]:
        """The finished executions of a stage, in the order of the tasks."""
        return [execution for execution in self.executions.values() if execution.stage == stage]

    @property
    def watched(self) -> str:
        """Verdict of a look at a version in service: ok, drifted or unknown; empty of another run."""
        looks = (each.outputs["watched"].metadata for each in self.of_stage("watch") if "watched" in each.outputs)
        return next((str(each["state"]) for each in looks if "state" in each), "")

    @property
    def remark(self) -> str:
        """What stands beside the state in a list: the part that was asked for, the decision, or a look's verdict."""
        return self.part or self.watched

    @property
    def failed_tasks(self) -> list[Task]:
        """Tasks that failed."""
        return [task for task in self.tasks if task.state == "failed"]

    @property
    def goes_on(self) -> bool:
        """Whether it has not ended: it works, or waits for a person."""
        return self.state in GOES_ON

    @property
    def elapsed(self) -> float | None:
        """Seconds that it took, or has taken so far when it is still running; None of one that was killed."""
        if self.seconds and not self.goes_on:
            return self.seconds
        if self.started is None or (self.finished is None and not self.goes_on):
            return None
        seconds = ((self.finished or datetime.now(UTC)) - self.started).total_seconds()
        # Where the clock was set back since, nobody knows.
        return seconds if seconds >= 0 else None


def list_runs(root: Path) -> list[Run]:
    """All runs under a pipeline root, the newest first. A run whose record cannot be read is left out."""
    return read_runs(root)[0]


def read_runs(root: Path) -> tuple[list[Run], list[str]]:
    """All runs under a pipeline root, the newest first, and the folders' names of those whose record is damaged."""
    read = {file.parent.name: _run(root, file) for file in (root / "runs").glob(f"*/{run_record.FILE}")}
    runs = sorted(
        [*filter(None, read.values()), *list_open(root)],
        key=lambda run: (run.started or datetime.min.replace(tzinfo=UTC), run.id),
        reverse=True,
    )
    return runs, sorted(name for name, run in read.items() if run is None)


def list_open(root: Path) -> list[Run]:
    """Workflows that Argo has not ended yet, which have no record of their own so far."""
    begun = {file.parent for name in (final_status.BEGUN, "tasks") for file in (root / "runs").glob(f"*/{name}")}
    return [_open_workflow(root, folder) for folder in begun if not _closed(folder)]


def load_recorded(root: Path, identity: str) -> Run | None:
    """The run of an id; None where there is no record of it that can be read."""
    return _run(root, root / "runs" / identity / run_record.FILE)


def load_run(root: Path, name: str = LATEST) -> Run:
    """Finds one run.

    Args:
      root: the pipeline root.
      name: an id, the beginning of one, the name of a pipeline for the newest of its runs, or `latest`.

    Raises:
      InputError: there is none, or more than one.
    """
    exact = root / "runs" / name / "run.json"
    if name not in ("", ".", "..", LATEST) and "/" not in name and exact.is_file():
        if run := _run(root, exact):
            return run
        raise InputError(f"{exact}: not a readable run record; a power cut may have damaged it, start another run")
    runs = list_runs(root)
    if not runs:
        raise InputError(
            f"{root}: there are no runs here; start one with `./millrace run MODEL`, or name another folder with --root"
        )
    if name == LATEST:
        # A decision about versions is none of the pipeline's runs, which people mean.
        return next((run for run in runs if not run.decision), runs[0])
    # Ids begin with their pipeline's name: that alone is no beginning of one, but means the newest.
    if newest := next((run for run in runs if name and run.pipeline == name and not run.decision), None):
        return newest
    ids = [run.id for run in runs]
    matches = [run for run in runs if name and run.id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        several = _some([run.id for run in matches])
        raise InputError(f"{name}: {len(matches)} runs begin so: {several}; give more of the id")
    near = difflib.get_close_matches(name, ids, n=3, cutoff=0.4) or ids[:3]
    raise InputError(f"{name}: there is no such run; the nearest are: {_some(near)}; `./millrace runs` lists them all")


def artifacts_of(root: Path, run: str) -> dict[str, dict[str, Any]]:
    """Records of the executions that a run has made or gone on from, by task: its own before those of earlier ones."""
    found: dict[str, dict[str, Any]] = {}
    seen = set()
    while run and run not in seen and (record := json_object(root / "runs" / run / run_record.FILE)):
        seen.add(run)
        for task in _tasks(record, {}):
            if task.execution and task.name not in found:
                with contextlib.suppress(execution_record.Unusable):
                    found[task.name] = execution_record.usable(root, task.execution)
        run = str(mapping(record, "selection").get("earlier") or "")
    return found


def _some(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _run(root: Path, file: Path) -> Run | None:
    record = json_object(file)
    if record is None or not record.keys() >= _NEEDED:
        return None
    parameters = mapping(record, "parameters")
    recorded = _state_of(record)
    state = _state(file.parent, recorded)
    tasks = _tasks(record, parameters)
    decision = str(record.get("decision") or "")
    if state != recorded:
        # Killed with the run, whose record nobody could bring to its end.
        ends = {"running": "stopped", "waiting": "skipped"}
        tasks = [replace(task, state=ends.get(task.state, task.state)) for task in tasks]
    if state == "running" and (served := str(parameters.get("serving_directory") or "")):
        state, tasks = _waiting(tasks, waiting.asked([Path(served)], file.parent.name))
    return Run(
        root=root,
        # What the record says may be the id of another run, or a path.
        id=file.parent.name,
        pipeline=str(record.get("pipeline") or ""),
        target=str(record.get("target") or ""),
        state=state,
        started=timestamp(record.get("started")),
        finished=timestamp(record.get("finished")),
        seconds=finite(record.get("seconds")),
        parameters=redact(parameters),
        exit_code=whole(record.get("exit_code")),
        error=redact(str(record.get("error") or ""), also=parameters),
        tasks=tasks,
        part=_part(mapping(record, "selection")) or decision,
        by=str(record.get("by") or ""),
        decision=decision,
    )


def last_model(root: Path, pipeline: str) -> str:
    """The folder of the model that the newest run of a pipeline was of; empty where no run on this machine tells."""
    for file in sorted(root.glob(f"runs/{pipeline}-[0-9]*/{run_record.FILE}"), reverse=True):
        record = json_object(file)
        if record and record.get("pipeline") == pipeline and record.get("target") == "local":
            return str(record.get("model") or "")
    return ""


def _part(selection: dict[str, Any]) -> str:
    only = selection.get("only")
    if isinstance(only, list) and only:
        return f"only {', '.join(map(str, only))}"
    return f"until {selection['until']}" if selection.get("until") else ""


def _closed(folder: Path) -> bool:
    return (folder / run_record.FILE).exists()


def _open_workflow(root: Path, folder: Path) -> Run:
    """A run of pods whose last one has not come yet, from the notes of its first task and of those that have ended."""
    begun = json_object(folder / final_status.BEGUN) or {}
    tasks, pipeline = [], str(begun.get("pipeline") or folder.name.rpartition("-")[0])
    for note in final_status.notes(root, folder.name):
        state = {0: "done", EXIT_INTERRUPTED: "stopped"}.get(note["code"], "failed")
        made = run_record.new_task(note["task"], note["task"], [], "", state)
        made |= {"error": note["error"], "log": f"runs/{folder.name}/{note['task']}.log"}
        if execution := final_status.execution(root, note):
            state = "done" if execution["run"] == folder.name else "cached"
            made |= run_record.ended(execution, state) | {"stage": execution["stage"]}
        tasks.append(_task(made, {}))
    started = timestamp(begun.get("started"))
    target = str(begun.get("target") or "argo")
    asked = waiting.asked(sorted((root / "serving").glob("*")), folder.name)
    # No note tells of a task that has not ended; one that asks has begun.
    known = {task.name for task in tasks}
    asking = [f"approve{each}" for each in asked if f"approve{each}" not in known]
    tasks += [Task(name, "approve", "running") for name in asking]
    state, tasks = _waiting(tasks, asked)
    return Run(root, folder.name, pipeline, target, state, started, None, None, {}, None, "", tasks)


def _waiting(tasks: list[Task], asked: dict[str, str]) -> tuple[str, list[Task]]:
    """The state of a run that goes on, and its tasks: who waits for a person is not at work."""
    told = [
        replace(task, state="waiting", facts=said)
        if task.state == "running" and (said := waiting.of_task(task.name, task.stage, asked))
        else task
        for task in tasks
    ]
    waits = told != tasks and not any(task.state == "running" for task in told)
    return ("waiting" if waits else "running"), told


def _state_of(record: Mapping[str, Any]) -> str:
    """The state of a run or a task, as it is called today; `unknown` where the record tells none that there is."""
    state = str(record.get("state"))
    return {"interrupted": "stopped"}.get(state, state if state in _STATES else "unknown")


def _state(folder: Path, recorded: str) -> str:
    """A run that was killed could not write so; it is told by its lock, which nobody holds any more."""
    lock = folder / OWNER_LOCK
    if recorded != "running" or not lock.exists():
        return recorded
    return recorded if is_held(lock) else "stopped"


def _tasks(record: Mapping[str, Any], parameters: dict[str, Any]) -> list[Task]:
    """The tasks of a run's record; those without a name, or with the name of an earlier one, are none."""
    tasks = [_task(task, parameters) for task in sequence(record, "tasks") if isinstance(task, Mapping)]
    return list({task.name: task for task in reversed(tasks) if task.name}.values())[::-1]


def _task(record: Mapping[str, Any], parameters: dict[str, Any]) -> Task:
    name = str(record.get("name") or "")
    return Task(
        name=name,
        stage=str(record.get("stage") or name),
        state=_state_of(record),
        after=[str(each) for each in sequence(record, "after")],
        condition=str(record.get("condition") or ""),
        execution=str(record.get("execution") or ""),
        log=str(record.get("log") or ""),
        started=timestamp(record.get("started")),
        seconds=finite(record.get("seconds")),
        start_up_seconds=finite(record.get("start_up_seconds")),
        peak_memory_bytes=whole(record.get("peak_memory_bytes")),
        rows=whole(record.get("rows")),
        facts=str(record.get("facts") or ""),
        alert=str(record.get("alert") or ""),
        error=redact(str(record.get("error") or ""), also=parameters),
        failed_attempts=[redact(str(each), also=parameters) for each in sequence(record, "failed_attempts")],
    )
