"""Runs the task of a container, or its tasks: the launcher's command line, `python -m components.runtime.launch`.

An Argo Workflow gives each container its task as JSON, the workflow's parameters, and where the executions of the tasks
before it lie on the volume. What later tasks need goes into small files that Argo reads as output parameters. Airflow
hands nothing from pod to pod: there the launcher finds earlier executions by the notes on the volume, and the few
values that Airflow itself needs are the container's message. Where the settings fuse several tasks into one pod, they
run here one after the other, each with its own execution and record.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from components.runtime.errors import EXIT_INTERRUPTED, InputError, classify, known
from components.runtime.launch import execution
from components.runtime.launch.beside import Beside
from components.runtime.launch.bucket_root import BucketRoot
from components.runtime.launch.execution import StageRunner
from components.runtime.launch.fused import FUSED_TASK, FusedStages, failed_in
from components.runtime.launch.stage_process import run_stage
from components.runtime.launch.task import Task
from components.runtime.launch.task_specification import fused_stages, read_task
from components.runtime.module_file import workers
from components.runtime.records import argo_messages, execution_record, final_status
from components.runtime.stage import pod, progress
from components.runtime.stage.executor import ERROR_PREFIX

EXECUTION_OUTPUT = "millrace-execution"
"""The output parameter that says where an execution lies, relative to the pipeline root. (A hyphen: no output of a
stage can have that name.)"""
FROM_CACHE = "taken from the cache: the execution of run"
"""What a line of progress begins with that tells of it."""

_ENDED = "ended from outside (SIGTERM): by a deadline, a stop, or because its pod had to go"


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


def noted_execution(root: Path, run: str, task: str) -> dict[str, Any]:
    """The record of the execution that a task of the same run noted on the volume.

    Raises:
      InputError: it noted none.
    """
    note = next((each for each in final_status.notes(root, run) if each["task"] == task), None)
    if note is None or not note["execution"]:
        raise InputError(
            f"the task {task!r} of the run {run} has left no note of its execution below {root}; is this the volume"
            " that it was written to?"
        )
    return read_execution(root, task, note["execution"])


def write_outputs(folder: Path, record: dict[str, Any], prefix: str = "") -> None:
    """Writes what later tasks need, one file per output parameter; `prefix` begins their names."""
    values = record["output_parameters"] | {EXECUTION_OUTPUT: execution_record.home(record)}
    folder.mkdir(parents=True, exist_ok=True)
    for name, value in values.items():
        (folder / f"{prefix}{name}").write_text(value if isinstance(value, str) else json.dumps(value))


def message(names: Sequence[str], executions: Mapping[str, dict[str, Any]]) -> str:
    """Outputs of the container's tasks as JSON for its message: values of parameters, metadata of artifacts.

    Args:
      names: as TASK/OUTPUT.
      executions: records by task.

    Raises:
      InputError: no such output, or more than a message holds.
    """
    told = {}
    for name in names:
        task, _, output = name.partition("/")
        record = executions.get(task, {})
        if output in record.get("output_parameters", {}):
            told[name] = record["output_parameters"][output]
        elif output in record.get("outputs", {}):
            told[name] = record["outputs"][output]["metadata"]
        else:
            raise InputError(f"--message {name}: the container's tasks have no such output")
    text = json.dumps(told)
    if len(text.encode()) > pod.LONGEST_MESSAGE:
        raise InputError(
            f"--message: {', '.join(names)} are longer than the {pod.LONGEST_MESSAGE} bytes that Kubernetes hands on;"
            " let conditions go by shorter outputs"
        )
    return text


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


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Reads the command line; that of the process when None."""
    parser = argparse.ArgumentParser(
        prog="python -m components.runtime.launch", description="Runs the task of a container, or several in order."
    )
    parser.add_argument("--root", type=Path, required=True, help="the pipeline root, on a volume that all tasks share")
    parser.add_argument(
        "--bucket",
        default="",
        metavar="URI",
        help="the root is in object storage, and each task has a part of it in the folder",
    )
    parser.add_argument("--run", required=True, metavar="NAME", help="name of the workflow")
    parser.add_argument("--started", default="", metavar="TIME", help="when the workflow was made, RFC 3339")
    parser.add_argument("--target", default="argo", help="what runs it")
    parser.add_argument(
        "--scheduled",
        default="",
        metavar="TIME",
        help="when the workflow was scheduled, RFC 3339; as --started without",
    )
    parser.add_argument(
        "--task", required=True, action="append", metavar="JSON", help="a task's specification, from runners.argo"
    )
    parser.add_argument(
        "--parameter", action="append", default=[], metavar="NAME=VALUE", help="a parameter of the workflow"
    )
    parser.add_argument(
        "--execution", action="append", default=[], metavar="TASK=PATH", help="where a task before this one left its"
        " execution, relative to the root"
    )  # fmt: skip
    parser.add_argument(
        "--earlier", action="append", default=[], metavar="TASK", help="a task before this one, whose note on the"
        " volume says where it left its execution"
    )  # fmt: skip
    parser.add_argument(
        "--message", action="append", default=[], metavar="TASK/OUTPUT", help="an output that the container's message"
        " tells, in JSON"
    )  # fmt: skip
    parser.add_argument("--outputs", type=Path, required=True, help="folder for the files that Argo reads")
    parser.add_argument("--status", default="", metavar="PHASE", help="for an exit task: how the workflow ended")
    parser.add_argument("--failures", default="", metavar="JSON", help="for an exit task: the failed nodes, from Argo")
    return parser.parse_args(argv)


@contextlib.contextmanager
def given_task(arguments: argparse.Namespace) -> Iterator[Task]:
    """The one task of a container, for what works beside the stage."""
    with _root(arguments) as (root, bucket):
        parameters = pairs("--parameter", arguments.parameter)
        task = read_task(root, arguments.run, arguments.task[0], parameters, _executions(root, bucket, arguments))
        final_status.note_start(root, task.run, task.pipeline, arguments.started, arguments.target)
        yield task


@contextlib.contextmanager
def _root(arguments: argparse.Namespace) -> Iterator[tuple[Path, BucketRoot | None]]:
    """The pipeline root, and the bucket that it lies in, if it does; what a task leaves of its run goes there."""
    root = mounted(arguments.root)
    bucket = BucketRoot(arguments.bucket, root) if arguments.bucket else None
    with bucket.run(arguments.run) if bucket else contextlib.nullcontext():
        yield root, bucket


def _executions(root: Path, bucket: BucketRoot | None, arguments: argparse.Namespace) -> dict[str, dict[str, Any]]:
    before = pairs("--execution", arguments.execution)
    if bucket:
        for path in before.values():
            bucket.bring_execution(path)
    return {task: read_execution(root, task, path) for task, path in before.items()} | {
        task: noted_execution(root, arguments.run, task) for task in arguments.earlier
    }


def _run(arguments: argparse.Namespace) -> None:
    with _root(arguments) as (root, bucket):
        _run_tasks(arguments, root, bucket)


def _run_tasks(arguments: argparse.Namespace, root: Path, bucket: BucketRoot | None) -> None:
    executions = _executions(root, bucket, arguments)
    parameters = pairs("--parameter", arguments.parameter)
    status = None
    if arguments.status:
        status = final_status.of_workflow(root, arguments.run, arguments.status, arguments.failures, parameters)
    run: StageRunner = run_stage
    if number := workers.index() or workers.index(workers.SEARCH_VARIABLE):
        scheduled = arguments.scheduled or arguments.started
        task = read_task(root, arguments.run, arguments.task[0], parameters, executions, status, scheduled)
        _work_along(root, task, bucket, number)
        return
    worked = False
    told: list[dict[str, str]] = []
    with contextlib.ExitStack() as around:
        fused = FusedStages(fused_stages(arguments.task)) if len(arguments.task) > 1 else None
        if fused:
            around.callback(fused.close)
        for text in arguments.task:
            scheduled = arguments.scheduled or arguments.started
            task = read_task(root, arguments.run, text, parameters, executions, status, scheduled)
            final_status.note_start(root, task.run, task.pipeline, arguments.started, arguments.target)
            if task.foreign:
                beside = Beside(task.inputs)
                around.callback(beside.close)
                run = beside.run
            if fused:
                run = functools.partial(fused.run, task.stage)
                executions[task.name] = _one_of_several(root, task, run, arguments.outputs, told, bucket)
            else:
                executions[task.name] = _execute(root, task, run, arguments.outputs, bucket)
            worked = worked or executions[task.name]["run"] == task.run
    (arguments.outputs / argo_messages.STATE_OUTPUT).write_text("done" if worked else "cached")
    if arguments.message:
        pod.tell(message(arguments.message, executions))


def _work_along(root: Path, task: Task, bucket: BucketRoot | None, number: int) -> None:
    """Runs the stage as one of the workers of a task whose chief is another pod, unless that has it already."""
    if record := _found(root, task, bucket, ""):
        progress.report(f"{FROM_CACHE} {record['run']}")
        return
    log = root / "runs" / task.run / f"{task.name}-worker-{number}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    execution.work_along(root, task, run_stage, log)


def _one_of_several(
    root: Path,
    task: Task,
    run: StageRunner,
    outputs: Path,
    told: list[dict[str, str]],
    bucket: BucketRoot | None,
) -> dict[str, Any]:
    """Runs one of the container's tasks, and adds to what Argo is told how it went."""
    progress.report(f"{FUSED_TASK} {task.name}")
    told.append({"task": task.name, "state": "failed", "started": datetime.now(UTC).isoformat()})
    try:
        record = _execute(root, task, run, outputs, bucket, f"{task.name}-")
        if record["run"] == task.run:
            # An earlier attempt of the pod may have done it.
            told[-1] |= {"state": "done", "started": record["started"], "ended": record["finished"]}
        else:
            told[-1]["state"] = "cached"
        return record
    except SystemExit:
        told[-1]["state"] = "stopped"
        raise
    except Exception as error:
        if classify(error) is None:
            traceback.print_exc()
        raise failed_in(task.name, known(error)) from None
    finally:
        told[-1].setdefault("ended", datetime.now(UTC).isoformat())
        # A full disk must not hide the task's own error.
        with contextlib.suppress(OSError):
            outputs.mkdir(parents=True, exist_ok=True)
            (outputs / argo_messages.TASKS_OUTPUT).write_text(json.dumps(told))


def _found(root: Path, task: Task, bucket: BucketRoot | None, prefix: str) -> dict[str, Any] | None:
    """The record of an execution that answers a task; of a bucket a pod of several tasks has what it made, too."""
    if bucket and task.reusable:
        if not prefix:
            return bucket.find(execution.home(task))
        bucket.bring_execution(execution.home(task))
    return execution.find(root, task)


def _execute(
    root: Path, task: Task, run: StageRunner, outputs: Path, bucket: BucketRoot | None, prefix: str = ""
) -> dict[str, Any]:
    """Runs a task or takes it from the cache, notes how it ended, and returns its record."""
    try:
        if record := _found(root, task, bucket, prefix):
            execution.reuse(root, task, record)
            progress.report(f"{FROM_CACHE} {record['run']}")
        else:
            log = root / "runs" / task.run / f"{task.name}.log"
            log.parent.mkdir(parents=True, exist_ok=True)
            record = execution.launch(root, task, run, log)
            if bucket:
                record = bucket.send_execution(record)
        write_outputs(outputs, record, prefix)
    except Exception as error:
        fault = known(error)
        final_status.note_end(root, task.run, task.name, error=str(fault), code=fault.exit_code)
        raise
    except SystemExit:
        final_status.note_end(root, task.run, task.name, error=_ENDED, code=EXIT_INTERRUPTED)
        raise
    final_status.note_end(root, task.run, task.name, execution=execution_record.home(record))
    return record


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs a task and ends the process: 0, or the exit code of the stage, 65 and 75 as everywhere.

    Args:
      argv: arguments without the program's name; those of the process when None.
    """
    arguments = parse(argv)
    end_with(lambda: _run(arguments))


def end_with(work: Callable[[], None]) -> NoReturn:
    """Does what a container is there for, and ends it: 0, or with an error in one line and its exit code."""

    def interrupt(*_: object) -> None:
        # Once is enough: a second one would end the tidying up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise SystemExit(128 + signal.SIGTERM)

    # Argo ends a container so, at its deadline or when the workflow is stopped: nothing half-written may stay.
    signal.signal(signal.SIGTERM, interrupt)
    pod.limit_rights()
    try:
        work()
    except SystemExit:
        _tell(_ENDED)
        raise
    except Exception as error:
        if classify(error) is None:
            traceback.print_exc()
        _tell(" ".join(str(known(error)).split()))
        sys.exit(known(error).exit_code)
    sys.exit(0)


def _tell(error: str) -> None:
    """Says why the container ends: as the last line of its log, and as what its pod shows."""
    sys.stdout.flush()
    sys.stderr.write(f"{ERROR_PREFIX}{error}\n")
    pod.tell(f"{ERROR_PREFIX}{error}")
