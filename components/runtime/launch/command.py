"""Runs one task of a pipeline inside its container: the launcher's command line, `python -m components.runtime.launch`.

An Argo Workflow gives each container its task as JSON, the workflow's parameters, and where the executions of the tasks
before it lie on the volume. What later tasks need goes into small files that Argo reads as output parameters.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

from components.runtime.errors import InputError, classify, known
from components.runtime.launch import execution as launcher
from components.runtime.launch.execution import Completed, Task
from components.runtime.launch.placeholders import resolve
from components.runtime.records import execution_record, final_status
from components.runtime.stage import progress
from components.runtime.stage.artifacts import file_digest
from components.runtime.stage.executor import ERROR_PREFIX, convert

EXECUTION_OUTPUT = "millrace-execution"
"""The output parameter that says where an execution lies, relative to the pipeline root. (A hyphen: no output of a
stage can have that name.)"""

_COMPONENTS = Path(__file__).parents[2]
_PARAMETER_PLACEHOLDER = "{{$.inputs.parameters['"
PYTHON_TYPES: dict[str, type] = {
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": bool,
    "STRUCT": dict,
    "LIST": list,
    "STRING": str,
}
# The kernel allows a container 30 s between SIGTERM and SIGKILL; a stage gets this much of it.
_GRACE_SECONDS = 20.0
_VARIABLES = {
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "TF_USE_LEGACY_KERAS": "0",
}


def read_task(
    root: Path,
    run: str,
    text: str,
    parameters: dict[str, str],
    executions: dict[str, dict[str, Any]],
    status: dict[str, Any] | None = None,
) -> Task:
    """Resolves a task's specification to what it runs on.

    Args:
      root: the pipeline root.
      run: name of the workflow.
      text: the specification, JSON as `runners.argo` writes it.
      parameters: the workflow's parameters.
      executions: records of the executions that the task reads from, by task.
      status: how the workflow ended, for its exit task.

    Raises:
      InputError: the specification or an argument is wrong or missing.
    """
    try:
        spec = json.loads(text)
        definitions = spec["component"].get("inputDefinitions", {}).get("parameters", {})
        values = {
            name: status or {}
            if "final_status" in source
            else _value(name, source, definitions.get(name, {}).get("parameterType", ""), parameters, executions)
            for name, source in spec["parameters"].items()
        }
        inputs = {
            name: _execution(source["task"], executions)["outputs"][source["output"]]
            for name, source in spec["artifacts"].items()
        }
        for name, source in spec["parameters"].items():
            if "constant" in source:
                values[name] = _filled(source["constant"], values)
        return Task(
            pipeline=spec["pipeline"],
            name=spec["task"],
            stage=spec["stage"],
            run=run,
            component=spec["component"],
            container=spec["container"],
            parameters={name: value for name, value in values.items() if name in definitions},
            inputs=inputs,
            code=_code(spec["stage"], spec["container"]["image"]),
            cacheable=spec["cacheable"],
        )
    except json.JSONDecodeError as error:
        raise InputError(f"--task is not JSON: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"--task is not a task's specification: {error!r} is missing or of another type") from None


def _value(
    name: str, source: dict[str, Any], kind: str, parameters: dict[str, str], executions: dict[str, dict[str, Any]]
) -> Any:
    if "constant" in source:
        return source["constant"]
    if "parameter" in source:
        if source["parameter"] not in parameters:
            raise InputError(
                f"the workflow's parameter {source['parameter']!r} is missing; give it with --parameter NAME=VALUE"
            )
        return convert(source["parameter"], parameters[source["parameter"]], PYTHON_TYPES.get(kind, str))
    return _execution(source["task"], executions)["output_parameters"][source["output"]]


def _filled(constant: Any, values: dict[str, Any]) -> Any:
    """A constant with the DSL's f-strings filled in: placeholders for parameters of the task."""
    if isinstance(constant, dict):
        return {key: _filled(each, values) for key, each in constant.items()}
    if isinstance(constant, list):
        return [_filled(each, values) for each in constant]
    if isinstance(constant, str) and _PARAMETER_PLACEHOLDER in constant:
        return resolve([constant], {"inputs": {"parameterValues": values}})[0]
    return constant


def _execution(task: str, executions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if task not in executions:
        raise InputError(f"the execution of the task {task!r} is missing; give it with --execution TASK=PATH")
    return executions[task]


def read_execution(root: Path, task: str, path: str) -> dict[str, Any]:
    """The record of an execution on the volume.

    Raises:
      InputError: there is none.
    """
    try:
        return execution_record.usable(root, path)
    except execution_record.Unusable as reason:
        raise InputError(
            f"the execution of the task {task!r} is not at {root / path}: {reason}; is this the volume that it"
            " was written to?"
        ) from None


def write_outputs(folder: Path, record: dict[str, Any]) -> None:
    """Writes what later tasks need, one file per output parameter."""
    values = record["output_parameters"] | {EXECUTION_OUTPUT: execution_record.home(record)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / name).write_text(value if isinstance(value, str) else json.dumps(value))


def run_stage(command: list[str], log: Path) -> Completed:
    """Runs a stage's command as a process; what it prints goes to the container's log and to `log`.

    Raises:
      InputError: the image does not have the command.
    """
    begun = time.monotonic()
    with log.open("ab") as stream:
        try:
            process = subprocess.Popen(
                command,
                env=_VARIABLES | os.environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except (FileNotFoundError, PermissionError):
            raise InputError(f"the image has no command {command[0]!r}; mend the component's command") from None
        assert process.stdout
        printed = _Copy(process.stdout, [sys.stdout.buffer, stream])
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:
                _end(process)
        printed.finish()
    code = process.returncode
    return Completed(
        exit_code=code if code >= 0 else 128 - code,
        start_up_seconds=(printed.started_at or time.monotonic()) - begun,
        peak_memory_bytes=usage.ru_maxrss * 1024,
    )


class _Copy(threading.Thread):
    """Copies what a process prints, line by line; a fault of one of the targets is raised by `finish`."""

    def __init__(self, source: IO[bytes], targets: Sequence[IO[bytes]]) -> None:
        super().__init__(daemon=True)
        self._source = source
        self._targets = targets
        self._fault: OSError | None = None
        self.started_at: float | None = None
        self.start()

    def run(self) -> None:
        started = f"{progress.PREFIX}{progress.STARTED}\n".encode()
        for line in self._source:
            if line == started and self.started_at is None:
                self.started_at = time.monotonic()
            try:
                for target in self._targets if self._fault is None else ():
                    target.write(line)
                    target.flush()
            except OSError as fault:
                # Reading goes on: a process whose pipe is full would never end.
                self._fault = fault

    def finish(self) -> None:
        # What the stage left running (a library's helper process) may hold the pipe open; the stage has ended.
        self.join(timeout=5)
        if self._fault:
            raise self._fault


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends a stage with all that it started."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
            process.wait(_GRACE_SECONDS)
            return
        except ProcessLookupError:
            return
        except subprocess.TimeoutExpired:
            continue


def _code(stage: str, image: str) -> str:
    """Identifies what runs: the image by its digest, or without one the code that is in it."""
    if "@sha256:" in image:
        return image
    files = [*sorted((_COMPONENTS / stage).rglob("*.py")), *sorted((_COMPONENTS / "runtime").rglob("*.py"))]
    listing = "".join(f"{file.relative_to(_COMPONENTS)} {file_digest(file)}\n" for file in files)
    return hashlib.sha256(f"{image}\n{listing}".encode()).hexdigest()


def pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    """What was given as NAME=VALUE."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not (name and equals):
            raise InputError(f"{option} {text}: expected NAME=VALUE")
        pairs[name] = value
    return pairs


def mounted(root: Path) -> Path:
    """The pipeline root as an absolute path.

    Raises:
      InputError: it is not there.
    """
    root = root.absolute()
    if not root.is_dir():
        raise InputError(f"--root {root}: no such folder; mount the volume of the pipeline root there")
    return root


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m components.runtime.launch", description="Runs one task of a pipeline inside its container."
    )
    parser.add_argument("--root", type=Path, required=True, help="the pipeline root, on a volume that all tasks share")
    parser.add_argument("--run", required=True, metavar="NAME", help="name of the workflow")
    parser.add_argument("--task", required=True, metavar="JSON", help="the task's specification, from runners.argo")
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the workflow"
    )
    parser.add_argument(
        "--execution", action="append", default=[], metavar="TASK=PATH", help="where a task before this one left its"
        " execution, relative to the root"
    )  # fmt: skip
    parser.add_argument("--outputs", type=Path, required=True, help="folder for the files that Argo reads")
    parser.add_argument("--status", default="", metavar="PHASE", help="for an exit task: how the workflow ended")
    parser.add_argument("--failures", default="", metavar="JSON", help="for an exit task: the failed nodes, from Argo")
    return parser.parse_args(argv)


def _run(arguments: argparse.Namespace) -> None:
    root = mounted(arguments.root)
    executions = {
        task: read_execution(root, task, path) for task, path in pairs("--execution", arguments.execution).items()
    }
    parameters = pairs("--parameter", arguments.parameter)
    status = None
    if arguments.status:
        status = final_status.of_workflow(root, arguments.run, arguments.status, arguments.failures, parameters)
    task = read_task(root, arguments.run, arguments.task, parameters, executions, status)
    try:
        if record := launcher.find(root, task):
            launcher.reuse(root, task, record)
            progress.report(f"taken from the cache: the execution of run {record['run']}")
        else:
            log = root / "runs" / task.run / f"{task.name}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            record = launcher.launch(root, task, run_stage, log)
        write_outputs(arguments.outputs, record)
    except Exception as error:
        fault = known(error)
        final_status.note_end(root, task.run, task.name, error=str(fault), code=fault.exit_code)
        raise
    final_status.note_end(root, task.run, task.name, execution=execution_record.home(record))


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a task and ends the process: 0, or the exit code of the stage, 65 and 75 as everywhere.

    Args:
      argv: arguments without the program's name; those of the process when None.
    """
    arguments = _parse(argv)
    end_with(lambda: _run(arguments))


def end_with(work: Callable[[], None]) -> NoReturn:
    """Does what a container is there for, and ends it: 0, or with an error in one line and its exit code."""

    def interrupt(*_: object) -> None:
        raise SystemExit(128 + signal.SIGTERM)

    # Argo ends a container so, at its deadline or when the workflow is stopped: nothing half-written may stay.
    signal.signal(signal.SIGTERM, interrupt)
    try:
        work()
    except Exception as error:
        if classify(error) is None:
            traceback.print_exc()
        sys.stdout.flush()
        sys.stderr.write(f"{ERROR_PREFIX}{' '.join(str(known(error)).split())}\n")
        sys.exit(known(error).exit_code)
    sys.exit(0)
