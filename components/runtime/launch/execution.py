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
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any

from components.runtime.errors import EXIT_INTERRUPTED, EXIT_TRANSIENT, StageError
from components.runtime.launch.fingerprints import fingerprint
from components.runtime.launch.placeholders import resolve
from components.runtime.lineage import record as lineage
from components.runtime.records import execution_record
from components.runtime.stage import progress
from components.runtime.stage.artifacts import content_digest, sync
from components.runtime.stage.executor import ERROR_PREFIX
from components.runtime.text.redaction import refuse_credentials

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
        return execution_record.usable(root, _home(root, task))
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
    home = _home(root, task)
    _tell_of_damage(root, home, log)
    with _workplace(home, task.run) as workplace:
        executor_input = _executor_input(task.inputs, task, workplace)
        file = workplace / "executor_input.json"
        file.write_text(json.dumps(executor_input, indent=1))
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
        except (Interrupted, KeyboardInterrupt, SystemExit):
            lineage.ended(root, task.run, record | ended(), "interrupted")
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
        _write_records(root, task, workplace, record)
        record = _publish(root, workplace, home, record)
    lineage.ended(root, task.run, record, "done")
    return record


def sweep(root: Path) -> None:
    """Removes what killed executions left half-written; those of living ones are locked and stay."""
    for folder in (root / "artifacts").glob("*/*/.*/"):
        # One that was killed before it made its lock is told by a lock that nobody else has.
        with contextlib.suppress(FileNotFoundError, BlockingIOError), (folder / _LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


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
    return root / execution_record.home({"pipeline": task.pipeline, "task": task.name, "key": task.key})


def _tell_of_damage(root: Path, home: Path, log: Path) -> None:
    """Says in the log why an execution that was there is not taken."""
    if home.exists():
        try:
            execution_record.usable(root, home)
        except execution_record.Unusable as reason:
            with log.open("a") as stream:
                stream.write(f"{progress.PREFIX}made again: of the execution that was there, {reason}\n")


@contextlib.contextmanager
def _workplace(home: Path, run: str) -> Iterator[Path]:
    """A run's locked folder beside the execution's home, gone afterwards unless it was published."""
    folder, lock = _locked_folder(home)
    with lock:
        lock.write(run)
        lock.flush()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(home: Path) -> tuple[Path, IO[str]]:
    """Makes a folder with a lock in it, and again where another run's sweep came between the two."""
    while True:
        folder = _beside(home)
        folder.mkdir(parents=True)
        with contextlib.suppress(FileNotFoundError):
            lock = (folder / _LOCK).open("w")
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (folder / _LOCK).exists():
                return folder, lock
            lock.close()


def _beside(home: Path) -> Path:
    return home.with_name(f".{home.name[:8]}-{uuid.uuid4().hex[:8]}")


def _publish(root: Path, workplace: Path, home: Path, record: dict[str, Any]) -> dict[str, Any]:
    sync(workplace)
    while True:
        try:
            os.rename(workplace, home)
        except OSError:
            if not home.exists():
                raise
            try:
                # Another run finished the same execution meanwhile; its artifacts are as good, and may be in use.
                return execution_record.usable(root, home)
            except execution_record.Unusable:
                _put_away(home)
        else:
            (home / _LOCK).unlink()
            sync(home.parent, inside=False)
            return record


def _put_away(home: Path) -> None:
    """Removes an execution that cannot be used; at once for those who look for one."""
    aside = _beside(home)
    with contextlib.suppress(FileNotFoundError):
        os.rename(home, aside)
    shutil.rmtree(aside, ignore_errors=True)


def _write_records(root: Path, task: Task, workplace: Path, record: dict[str, Any]) -> None:
    """Writes what is kept of an execution, with places that hold after publication and wherever the root is moved."""
    execution_record.write(root, workplace, record)
    kept = execution_record.relative(root, record)
    place = Path(execution_record.home(record))
    (workplace / "executor_input.json").write_text(json.dumps(_executor_input(kept["inputs"], task, place), indent=1))
    file = workplace / "executor_output.json"
    if file.exists():
        written = json.loads(file.read_text())
        for name, entry in written.get("artifacts", {}).items():
            for artifact in entry.get("artifacts", []):
                artifact["uri"] = str(place / name)
        file.write_text(json.dumps(written, indent=1))


def _executor_input(inputs: dict[str, dict[str, Any]], task: Task, folder: Path) -> dict[str, Any]:
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
                for name, artifact in inputs.items()
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
    """Reads what the stage made, with the places that hold after publication."""
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
    return outputs, parameters


def _failure(log: Path, exit_code: int) -> TaskFailed:
    """The stage's own one-line error, or what its exit code says."""
    with contextlib.suppress(OSError):
        for line in reversed(log.read_text(errors="replace").splitlines()):
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
    return TaskFailed(f"the stage ended with exit code {exit_code} and said nothing", exit_code)


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
