"""Reads what runs and executions left on disk: run.json and execution.json, as docs/contract.md defines them."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import math
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.records import execution_record, final_status, run_record
from components.runtime.stage.artifacts import local_path
from components.runtime.text.json_text import parse
from components.runtime.text.redaction import redact

LATEST = "latest"
OWNER_LOCK = "owner.lock"
"""A file in a run's folder that its process keeps locked as long as it lives."""
PIPELINE = "pipeline.yaml"
"""The compiled pipeline, in a run's folder."""
_BEGINNING = re.compile(rf"{re.escape(OWNER_LOCK)}|{re.escape(PIPELINE)}|\.{re.escape(run_record.FILE)}\..*")
_BEGUN_SECONDS = 60.0


@dataclass(frozen=True)
class Artifact:
    """An artifact as an execution's record describes it."""

    name: str
    uri: str
    type: str
    metadata: dict[str, Any]

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the content; empty where it is not recorded."""
        return str(self.metadata.get("digest") or "")

    def number(self, name: str) -> float | None:
        """A number of its metadata; None where there is none, or none that counts anything."""
        return finite(self.metadata.get(name))


@dataclass(frozen=True)
class Execution:
    """One finished execution of a stage, from its execution.json."""

    folder: Path
    pipeline: str
    task: str
    stage: str
    key: str
    run: str
    parameters: dict[str, Any]
    output_parameters: dict[str, Any]
    inputs: dict[str, Artifact]
    outputs: dict[str, Artifact]
    started: datetime | None
    finished: datetime | None
    seconds: float
    start_up_seconds: float
    peak_memory_bytes: int
    image: str
    original_parameters: dict[str, Any] = field(repr=False, compare=False)

    def scrub(self, document: str) -> str:
        """What the stage wrote, without the secrets among its parameters."""
        return str(redact(document, also=self.original_parameters))

    def path(self, output: str) -> Path:
        """Where an output lies."""
        return local_path(self.outputs[output].uri)


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
    """What of the pipeline it was asked for, as `until schema`; empty where it was all."""

    @property
    def folder(self) -> Path:
        """Where the run's own files lie."""
        return self.root / "runs" / self.id

    @cached_property
    def executions(self) -> dict[str, Execution]:
        """The finished executions of its tasks, by task; a task without one is not in it."""
        found = {}
        for task in self.tasks:
            if task.execution and (execution := _execution(self.root, task.execution)):
                found[task.name] = execution
        return found

    def of_stage(self, stage: str) -> list[Execution]:
        """The finished executions of a stage, in the order of the tasks."""
        return [execution for execution in self.executions.values() if execution.stage == stage]

    @property
    def failed_tasks(self) -> list[Task]:
        """Tasks that failed."""
        return [task for task in self.tasks if task.state == "failed"]

    @property
    def elapsed(self) -> float | None:
        """Seconds that it took, or has taken so far when it is still running; None of one that was killed."""
        if self.seconds and self.state != "running":
            return self.seconds
        if self.started is None or (self.finished is None and self.state != "running"):
            return None
        seconds = ((self.finished or datetime.now(UTC)) - self.started).total_seconds()
        # Where the clock was set back since, nobody knows.
        return seconds if seconds >= 0 else None


def list_runs(root: Path) -> list[Run]:
    """All runs under a pipeline root, the newest first. A run whose record cannot be read is left out."""
    runs = [run for file in (root / "runs").glob("*/run.json") if (run := _run(root, file)) is not None]
    runs += [
        _open_workflow(root, folder.parent) for folder in (root / "runs").glob("*/tasks") if not _closed(folder.parent)
    ]
    return sorted(runs, key=lambda run: (run.started or datetime.min.replace(tzinfo=UTC), run.id), reverse=True)


def load_run(root: Path, name: str = LATEST) -> Run:
    """Finds one run.

    Args:
      root: the pipeline root.
      name: an id, the beginning of one, or `latest`.

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
        raise InputError(f"{root}: there are no runs here; start one with `run`, or name another folder with --root")
    if name == LATEST:
        return runs[0]
    ids = [run.id for run in runs]
    matches = [run for run in runs if name and run.id.startswith(name)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        several = _some([run.id for run in matches])
        raise InputError(f"{name}: {len(matches)} runs begin so: {several}; give more of the id")
    near = difflib.get_close_matches(name, ids, n=3, cutoff=0.4) or ids[:3]
    raise InputError(f"{name}: there is no such run; the nearest are: {_some(near)}; `runs` lists them all")


def artifacts_of(root: Path, run: str) -> dict[str, dict[str, Any]]:
    """Records of the executions that a run has made or gone on from, by task: its own before those of earlier ones."""
    found: dict[str, dict[str, Any]] = {}
    seen = set()
    while run and run not in seen and (record := _json(root / "runs" / run / run_record.FILE)):
        seen.add(run)
        for task in _tasks(record, {}):
            if task.execution and task.name not in found:
                with contextlib.suppress(execution_record.Unusable):
                    found[task.name] = execution_record.usable(root, task.execution)
        run = str(_dict(record, "selection").get("earlier") or "")
    return found


def sweep(root: Path) -> None:
    """Removes the folders of runs that were killed before they had a record, of which nothing else would tell."""
    for folder in (root / "runs").glob("*/"):
        with contextlib.suppress(OSError):
            if not all(_BEGINNING.fullmatch(entry.name) for entry in folder.iterdir()):
                continue
            # A run that begins right now may not hold its lock yet.
            if time.time() - folder.stat().st_mtime > _BEGUN_SECONDS and not _held(folder / OWNER_LOCK):
                shutil.rmtree(folder, ignore_errors=True)


def _held(lock: Path) -> bool:
    """Whether a living process holds a lock; of one that is not there, none does."""
    try:
        with lock.open() as stream:
            fcntl.flock(stream, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def _some(names: list[str], limit: int = 5) -> str:
    return ", ".join(names[:limit]) + (", ..." if len(names) > limit else "")


def _run(root: Path, file: Path) -> Run | None:
    record = _json(file)
    if record is None:
        return None
    parameters = _dict(record, "parameters")
    recorded = str(record.get("state") or "running")
    state = _state(file.parent, recorded)
    tasks = _tasks(record, parameters)
    if state != recorded:
        # Killed with the run, whose record nobody could bring to its end.
        ends = {"running": "interrupted", "waiting": "skipped"}
        tasks = [replace(task, state=ends.get(task.state, task.state)) for task in tasks]
    return Run(
        root=root,
        # What the record says may be the id of another run, or a path.
        id=file.parent.name,
        pipeline=str(record.get("pipeline") or ""),
        target=str(record.get("target") or ""),
        state=state,
        started=_time(record.get("started")),
        finished=_time(record.get("finished")),
        seconds=finite(record.get("seconds")),
        parameters=redact(parameters),
        exit_code=_whole(record.get("exit_code")),
        error=redact(str(record.get("error") or ""), also=parameters),
        tasks=tasks,
        part=_part(_dict(record, "selection")),
    )


def _part(selection: dict[str, Any]) -> str:
    only = selection.get("only")
    if isinstance(only, list) and only:
        return f"only {', '.join(map(str, only))}"
    return f"until {selection['until']}" if selection.get("until") else ""


def _closed(folder: Path) -> bool:
    return (folder / run_record.FILE).exists()


def _open_workflow(root: Path, folder: Path) -> Run:
    """A Workflow that Argo has not ended yet, from the notes of its tasks that have."""
    tasks, pipeline = [], folder.name.rpartition("-")[0]
    for note in final_status.notes(root, folder.name):
        made = run_record.new_task(note["task"], note["task"], [], "", "failed" if note["code"] else "done")
        made |= {"error": note["error"], "log": f"runs/{folder.name}/{note['task']}.log"}
        if execution := final_status.execution(root, note):
            state = "done" if execution["run"] == folder.name else "cached"
            made |= run_record.ended(execution, state) | {"stage": execution["stage"]}
            pipeline = execution["pipeline"]
        tasks.append(_task(made, {}))
    started = datetime.fromtimestamp(folder.stat().st_ctime, UTC)
    return Run(root, folder.name, pipeline, "argo", "running", started, None, None, {}, None, "", tasks)


def _state(folder: Path, recorded: str) -> str:
    """A run that was killed could not write so; it is told by its lock, which nobody holds any more."""
    lock = folder / OWNER_LOCK
    if recorded != "running" or not lock.exists():
        return recorded
    return recorded if _held(lock) else "interrupted"


def _tasks(record: Mapping[str, Any], parameters: dict[str, Any]) -> list[Task]:
    """The tasks of a run's record; those without a name, or with the name of an earlier one, are none."""
    tasks = [_task(task, parameters) for task in _list(record, "tasks") if isinstance(task, Mapping)]
    return list({task.name: task for task in reversed(tasks) if task.name}.values())[::-1]


def _task(record: Mapping[str, Any], parameters: dict[str, Any]) -> Task:
    name = str(record.get("name") or "")
    return Task(
        name=name,
        stage=str(record.get("stage") or name),
        state=str(record.get("state") or "waiting"),
        after=[str(each) for each in _list(record, "after")],
        condition=str(record.get("condition") or ""),
        execution=str(record.get("execution") or ""),
        log=str(record.get("log") or ""),
        started=_time(record.get("started")),
        seconds=finite(record.get("seconds")),
        start_up_seconds=finite(record.get("start_up_seconds")),
        peak_memory_bytes=_whole(record.get("peak_memory_bytes")),
        rows=_whole(record.get("rows")),
        facts=str(record.get("facts") or ""),
        alert=str(record.get("alert") or ""),
        error=redact(str(record.get("error") or ""), also=parameters),
    )


def _execution(root: Path, place: str) -> Execution | None:
    record = execution_record.read(root, place)
    if record is None:
        return None
    folder = root / place
    parameters = _dict(record, "parameters")
    return Execution(
        folder=folder,
        pipeline=str(record.get("pipeline") or ""),
        task=str(record.get("task") or folder.parent.name),
        stage=str(record.get("stage") or folder.parent.name),
        key=str(record.get("key") or folder.name),
        run=str(record.get("run") or ""),
        parameters=redact(parameters),
        output_parameters=redact(_dict(record, "output_parameters"), also=parameters),
        inputs=_artifacts(record, "inputs"),
        outputs=_artifacts(record, "outputs"),
        started=_time(record.get("started")),
        finished=_time(record.get("finished")),
        seconds=finite(record.get("seconds")) or 0.0,
        start_up_seconds=finite(record.get("start_up_seconds")) or 0.0,
        peak_memory_bytes=_whole(record.get("peak_memory_bytes")) or 0,
        image=str(record.get("image") or ""),
        original_parameters=parameters,
    )


def _artifacts(record: Mapping[str, Any], which: str) -> dict[str, Artifact]:
    return {
        name: Artifact(name, str(entry.get("uri") or ""), str(entry.get("type") or ""), _dict(entry, "metadata"))
        for name, entry in _dict(record, which).items()
        if isinstance(entry, Mapping)
    }


def _json(file: Path) -> dict[str, Any] | None:
    """A record, or None when it is not there or only half there."""
    try:
        record = parse(file.read_bytes())
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _dict(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = record.get(name)
    return dict(value) if isinstance(value, Mapping) else {}


def _list(record: Mapping[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    return value if isinstance(value, list) else []


def finite(value: object) -> float | None:
    """A number of a record; None where there is none, or what stands there cannot be counted or drawn."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value) if math.isfinite(value) else None
    except OverflowError:
        return None


def _whole(value: object) -> int | None:
    number = finite(value)
    return None if number is None else int(number)


def _time(value: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
