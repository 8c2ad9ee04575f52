"""Runs one task of a compiled pipeline: cache, placeholders, executor input, the stage itself, its record, lineage.

Used where no KFP backend does this: by the local runner, and inside the containers of the Argo target.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.runtime.errors import EXIT_INTERRUPTED, EXIT_TRANSIENT, StageError
from components.runtime.launch import executor_files
from components.runtime.launch.placeholders import resolve
from components.runtime.launch.task import Task
from components.runtime.launch.workplace import publish, workplace
from components.runtime.lineage import record as lineage
from components.runtime.records import execution_record
from components.runtime.stage import progress
from components.runtime.stage.executor import ERROR_PREFIX
from components.runtime.text.redaction import refuse_credentials
from components.runtime.text.visible import visible

_LONGEST_LINE = 500
_ROOM_FOR_A_LINE = 16 << 10
"""Bytes that have to be free for a stage to say why it failed."""


@dataclass(frozen=True)
class Completed:
    """How a stage's process ended."""

    exit_code: int
    start_up_seconds: float | None
    peak_memory_bytes: int | None


StageRunner = Callable[[list[str], Path, Path], Completed]
"""Runs a command, its output appended to a log file; the last is the folder of its outputs."""


class Interrupted(StageError):
    """The stage was ended because its run was: nothing is known to be wrong with it."""

    exit_code = EXIT_INTERRUPTED


class TaskFailed(StageError):
    """A stage ended badly; carries its own one-line error and exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        """Message and exit code are the stage's own."""
        super().__init__(message)
        self.exit_code = exit_code


def find(root: Path, task: Task) -> dict[str, Any] | None:
    """Returns the record of a finished execution that answers this task, or None."""
    if not task.reusable:
        return None
    try:
        return execution_record.usable(root, root / home(task))
    except execution_record.Unusable:
        return None


def reuse(root: Path, task: Task, record: dict[str, Any]) -> None:
    """Notes in the lineage that this run took an earlier execution's artifacts."""
    lineage.ended(root, task.run, record, "cached")


def launch(root: Path, task: Task, run_stage: StageRunner, log: Path) -> dict[str, Any]:
    """Executes a task and returns its record, as docs/contract.md describes it.

    Args:
      root: the pipeline root.
      task: what to run.
      run_stage: runs the stage's command.
      log: what the stage prints.

    Raises:
      InputError: a parameter is an address with credentials, which the record would keep.
      TaskFailed: the stage failed; nothing but the log is left behind.
      Interrupted: `run_stage` says so; nothing but the log is left behind.
    """
    for name, value in task.parameters.items():
        refuse_credentials(value, f"{task.name}: the parameter {name}")
    place = root / home(task)
    _tell_of_damage(root, place, log)
    with workplace(place, task.run) as folder:
        executor_input = executor_files.executor_input(task.inputs, task, folder)
        file = folder / "executor_input.json"
        file.write_text(json.dumps(executor_input, indent=1))
        if task.foreign:
            # KFP's launcher makes the folders of outputs too, and leaves what is in them to the stage.
            (folder / "parameters").mkdir()
        command = resolve([*task.container.get("command", []), *task.container.get("args", [])], executor_input, file)
        started, begun = datetime.now(UTC), time.monotonic()

        def ended() -> dict[str, Any]:
            # By a clock that nobody sets back while a stage works.
            seconds = time.monotonic() - begun
            return {"finished": (started + timedelta(seconds=seconds)).isoformat(), "seconds": seconds}

        record: dict[str, Any] = {
            "pipeline": task.pipeline,
            "task": task.name,
            "stage": task.stage,
            "key": task.key,
            "run": task.run,
            "parameters": executor_files.parameters(task),
            "inputs": task.inputs,
            "started": started.isoformat(),
            "code": task.code,
            "image": task.container["image"],
        }
        lineage.started(root, task.run, record)
        try:
            completed = run_stage(command, log, folder)
            if completed.exit_code != 0:
                raise failure(log, completed.exit_code, last_line=task.foreign)
            outputs, output_parameters = executor_files.read_outputs(task, folder, place)
        except (Interrupted, KeyboardInterrupt, SystemExit):
            lineage.ended(root, task.run, record | ended(), "stopped")
            raise
        except BaseException as error:
            lineage.ended(root, task.run, record | ended(), "failed", str(error))
            raise
        record |= {
            "outputs": outputs,
            "output_parameters": output_parameters,
            **ended(),
            "start_up_seconds": completed.start_up_seconds,
            "peak_memory_bytes": completed.peak_memory_bytes,
        }
        executor_files.write_records(root, task, folder, record)
        record = publish(root, folder, place, record)
    lineage.ended(root, task.run, record, "done")
    return record


def work_along(root: Path, task: Task, run_stage: StageRunner, log: Path) -> None:
    """Runs the stage for the pod that executes the task: what it makes here is nobody's, and nothing is recorded.

    Args:
      root: the pipeline root.
      task: what the other one executes.
      run_stage: runs the stage's command.
      log: what the stage prints.

    Raises:
      TaskFailed: the stage failed.
    """
    with workplace(root / home(task), task.run) as folder:
        executor_input = executor_files.executor_input(task.inputs, task, folder)
        file = folder / "executor_input.json"
        file.write_text(json.dumps(executor_input, indent=1))
        command = resolve([*task.container.get("command", []), *task.container.get("args", [])], executor_input, file)
        completed = run_stage(command, log, folder)
        if completed.exit_code != 0:
            raise failure(log, completed.exit_code)


def home(task: Task) -> str:
    """Where the execution of a task lies, relative to the pipeline root."""
    return execution_record.home({"pipeline": task.pipeline, "task": task.name, "key": task.key})


def _tell_of_damage(root: Path, home: Path, log: Path) -> None:
    """Says in the log why an execution that was there is not taken."""
    if home.exists():
        try:
            execution_record.usable(root, home)
        except execution_record.Unusable as reason:
            with log.open("a") as stream:
                stream.write(f"{progress.PREFIX}made again: of the execution that was there, {reason}\n")


def failure(log: Path, exit_code: int, *, last_line: bool = False) -> TaskFailed:
    """The stage's own one-line error, or what its exit code says.

    Args:
      log: what it printed.
      exit_code: of its process.
      last_line: whether what it printed last is the best that is known: it keeps to no form of ours.
    """
    lines: list[str] = []
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").splitlines()
        for line in reversed(lines):
            if line.startswith(ERROR_PREFIX):
                return TaskFailed(line.removeprefix(ERROR_PREFIX), exit_code)
    if exit_code - 128 in set(signal.Signals):
        name = signal.Signals(exit_code - 128).name
        hint = "; the machine may be out of memory" if name == "SIGKILL" else ""
        return TaskFailed(f"the stage was ended by {name}{hint}", exit_code)
    if shutil.disk_usage(log.parent).free < _ROOM_FOR_A_LINE:
        return TaskFailed(
            f"{log.parent}: No space left on device, not even for the stage's log: free some space, then run again",
            EXIT_TRANSIENT,
        )
    said = next((visible(line.strip()) for line in reversed(lines) if line.strip()), "") if last_line else ""
    told = f": {said[:_LONGEST_LINE]}" if said else " and said nothing"
    return TaskFailed(f"the stage ended with exit code {exit_code}{told}", exit_code)
