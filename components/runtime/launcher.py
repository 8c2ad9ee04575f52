"""Runs one task of a compiled pipeline: cache, placeholders, executor input, the stage itself, its record, lineage.

Used where no KFP backend does this: by the local runner, and inside the containers of the Argo target.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import shutil
import signal
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime import lineage
from components.runtime.artifacts import content_digest
from components.runtime.errors import EXIT_TRANSIENT, StageError
from components.runtime.executor import ERROR_PREFIX
from components.runtime.fingerprints import fingerprint
from components.runtime.placeholders import resolve

_LOCK = "owner.lock"
_ROOM_FOR_A_LINE = 16 << 10
"""Bytes that have to be free for a stage to say why it failed."""

RUN_PLACEHOLDER = "{{$.pipeline_job_name}}"
"""`dsl.PIPELINE_JOB_NAME_PLACEHOLDER`, which a KFP backend fills in too: where a parameter is this, the run's name."""


@dataclass(frozen=True)
class Completed:
    """How a stage's process ended."""

    exit_code: int
    start_up_seconds: float
    peak_memory_bytes: int


StageRunner = Callable[[list[str], Path], Completed]
"""Runs a command, its output appended to a log file."""


@dataclass(frozen=True)
class Task:
    """One task of a pipeline with everything that it needs resolved.

    Attributes:
      component: the IR's ComponentSpec: inputDefinitions, outputDefinitions.
      container: the IR's PipelineContainerSpec: image, command, args.
      inputs: artifacts by input name, each `{"uri", "type", "metadata"}`.
      code: digest of the stage's code and environment, or of its image.
      cacheable: whether an earlier execution with the same key may stand in for a new one.
    """

    pipeline: str
    name: str
    stage: str
    run: str
    component: dict[str, Any]
    container: dict[str, Any]
    parameters: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    code: str
    cacheable: bool = True

    @functools.cached_property
    def key(self) -> str:
        """Identifies what this execution computes: code, parameters with the files they name, content of the inputs."""
        return _digest(
            {
                "code": self.code,
                "image": self.container["image"],
                "command": [*self.container.get("command", []), *self.container.get("args", [])],
                "parameters": self._fingerprint or self.parameters,
                "inputs": {name: artifact["metadata"]["digest"] for name, artifact in self.inputs.items()},
                "run": "" if self.reusable else self.run,
            }
        )[:32]

    @property
    def reusable(self) -> bool:
        """Whether the key tells all: what lies behind an address may change without the parameter."""
        return self.cacheable and self._fingerprint is not None

    @functools.cached_property
    def _fingerprint(self) -> dict[str, Any] | None:
        return fingerprint(self.parameters)


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
    with contextlib.suppress(FileNotFoundError):
        record: dict[str, Any] = json.loads((_home(root, task) / "execution.json").read_text())
        return record
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
      TaskFailed: the stage failed; nothing but the log is left behind.
    """
    home = _home(root, task)
    with _workplace(home, task.run) as workplace:
        executor_input = _executor_input(task, workplace)
        (workplace / "executor_input.json").write_text(json.dumps(executor_input, indent=1))
        command = resolve([*task.container.get("command", []), *task.container.get("args", [])], executor_input)
        started = datetime.now(UTC)
        record: dict[str, Any] = {
            "pipeline": task.pipeline,
            "task": task.name,
            "stage": task.stage,
            "key": task.key,
            "run": task.run,
            "parameters": task.parameters,
            "inputs": task.inputs,
            "started": started.isoformat(),
            "code": task.code,
            "image": task.container["image"],
        }
        lineage.started(root, task.run, record)
        try:
            completed = run_stage(command, log)
            if completed.exit_code != 0:
                raise _failure(log, completed.exit_code)
            outputs, output_parameters = _outputs(task, workplace, home)
        except BaseException as error:
            lineage.ended(root, task.run, record | {"finished": datetime.now(UTC).isoformat()}, "failed", str(error))
            raise
        finished = datetime.now(UTC)
        record |= {
            "outputs": outputs,
            "output_parameters": output_parameters,
            "finished": finished.isoformat(),
            "seconds": (finished - started).total_seconds(),
            "start_up_seconds": completed.start_up_seconds,
            "peak_memory_bytes": completed.peak_memory_bytes,
        }
        (workplace / "execution.json").write_text(json.dumps(record, indent=1))
        record = _publish(workplace, home, record)
    lineage.ended(root, task.run, record, "done")
    return record


def sweep(root: Path) -> None:
    """Removes what killed executions left half-written; those of living ones are locked and stay."""
    for lock in (root / "artifacts").glob(f"*/*/.*/{_LOCK}"):
        with contextlib.suppress(FileNotFoundError), lock.open() as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(lock.parent, ignore_errors=True)


def sweep_run(root: Path, run: str) -> int:
    """Removes what killed executions of a run that has ended left half-written; returns how many.

    For volumes of several machines, where one machine's locks may not be seen by another.
    """
    removed = 0
    for lock in (root / "artifacts").glob(f"*/*/.*/{_LOCK}"):
        with contextlib.suppress(FileNotFoundError):
            if lock.read_text() == run:
                shutil.rmtree(lock.parent, ignore_errors=True)
                removed += 1
    return removed


def _home(root: Path, task: Task) -> Path:
    return root / "artifacts" / task.pipeline / task.name / task.key


@contextlib.contextmanager
def _workplace(home: Path, run: str) -> Iterator[Path]:
    """A run's locked folder beside the execution's home, gone afterwards unless it was published."""
    folder = home.with_name(f".{home.name[:8]}-{uuid.uuid4().hex[:8]}")
    folder.mkdir(parents=True)
    with (folder / _LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write(run)
        lock.flush()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _publish(workplace: Path, home: Path, record: dict[str, Any]) -> dict[str, Any]:
    try:
        os.rename(workplace, home)
    except OSError:
        if not home.exists():
            raise
        # Another run finished the same execution meanwhile; its artifacts are as good, and may be in use already.
        earlier: dict[str, Any] = json.loads((home / "execution.json").read_text())
        return earlier
    (home / _LOCK).unlink()
    return record


def _executor_input(task: Task, folder: Path) -> dict[str, Any]:
    outputs = task.component.get("outputDefinitions", {})
    return {
        "inputs": {
            "parameterValues": {
                name: task.run if value == RUN_PLACEHOLDER else value for name, value in task.parameters.items()
            },
            "artifacts": {
                name: {
                    "artifacts": [
                        {
                            "name": name,
                            "uri": artifact["uri"],
                            "type": {"schemaTitle": artifact["type"], "schemaVersion": "0.0.1"},
                            "metadata": artifact["metadata"],
                        }
                    ]
                }
                for name, artifact in task.inputs.items()
            },
        },
        "outputs": {
            "parameters": {
                name: {"outputFile": str(folder / "parameters" / name)} for name in outputs.get("parameters", {})
            },
            "artifacts": {
                name: {
                    "artifacts": [
                        {"name": name, "uri": str(folder / name), "type": definition["artifactType"], "metadata": {}}
                    ]
                }
                for name, definition in outputs.get("artifacts", {}).items()
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }


def _outputs(task: Task, folder: Path, home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what the stage made, with the paths that hold after publication."""
    file = folder / "executor_output.json"
    written = json.loads(file.read_text()) if file.exists() else {}
    definitions = task.component.get("outputDefinitions", {})
    outputs = {}
    for name, definition in definitions.get("artifacts", {}).items():
        artifact = written.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
        metadata = dict(artifact.get("metadata", {}))
        metadata.setdefault("digest", content_digest(folder / name))
        outputs[name] = {
            "uri": str(home / name),
            "type": definition["artifactType"]["schemaTitle"],
            "metadata": metadata,
        }
    parameters = {}
    for name, definition in definitions.get("parameters", {}).items():
        text = (folder / "parameters" / name).read_text()
        parameters[name] = text if definition["parameterType"] == "STRING" else json.loads(text)
    if file.exists():
        file.write_text(file.read_text().replace(str(folder), str(home)))
    return outputs, parameters


def _failure(log: Path, exit_code: int) -> TaskFailed:
    """The stage's own one-line error, or what its exit code says."""
    with contextlib.suppress(FileNotFoundError):
        for line in reversed(log.read_text(errors="replace").splitlines()):
            if line.startswith(ERROR_PREFIX):
                return TaskFailed(line.removeprefix(ERROR_PREFIX), exit_code)
    if exit_code > 128:
        name = signal.Signals(exit_code - 128).name
        hint = "; the machine may be out of memory" if name == "SIGKILL" else ""
        return TaskFailed(f"the stage was ended by {name}{hint}", exit_code)
    if shutil.disk_usage(log.parent).free < _ROOM_FOR_A_LINE:
        return TaskFailed(
            f"{log.parent}: No space left on device, not even for the stage's log: free some space, then run again",
            EXIT_TRANSIENT,
        )
    return TaskFailed(f"the stage ended with exit code {exit_code} and said nothing", exit_code)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
