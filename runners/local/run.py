"""Runs a compiled pipeline on this machine: each task a process in the environment that its image is built from."""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import queue
import secrets
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.errors import EXIT_INTERRUPTED, InputError, StageError, TransientError, classify, known
from components.runtime.launch import execution
from components.runtime.launch.bucket_root import BucketRoot
from components.runtime.launch.execution import Completed, Interrupted
from components.runtime.launch.processes import ColdProcess, Processes, WarmProcess
from components.runtime.launch.task import Task
from components.runtime.records import facts, final_status, run_record
from components.runtime.stage.executor import ERROR_PREFIX
from runners.compiled.images import FUSED, is_of_all
from runners.compiled.tasks import Pipeline, TaskSpec, condition_names
from runners.local.containers import Containers, TaskContainer
from runners.local.environments import of_stage
from runners.local.fused_containers import FusedContainer, FusedTask
from runners.local.recording import Display, Recording
from runners.local.resolving import Resolver
from runners.local.selection import Earlier, Selection, parameters_of, producers_of
from runners.local.termination import Interruptions

_SIGNALLED = 128
"""Exit codes beyond it are those of processes that a signal ended."""

EXIT_TASK_SECONDS = 60.0
"""How long the exit task may take, behind which the end of the run waits."""

_ENDED = ("done", "cached", "failed", "stopped", "skipped")


@dataclass
class LocalRun:
    """One run of a pipeline.

    Attributes:
      root: the pipeline root.
      ir: text of the compiled pipeline, kept with the run.
      arguments: values of the pipeline's parameters.
      given: those of them that a person named, with what was written before the value: `{"data": "--data "}`.
      containers: where the tasks run in their images instead of processes.
      model: folder of the model, for the record.
      bucket: a pipeline root in object storage that the run takes executions from, and sends its own to.
      after: the look at a version in service that begins it; empty where a person does.
      earlier: what it goes on from, with --only.
    """

    root: Path
    pipeline: Pipeline
    ir: str
    arguments: dict[str, Any]
    display: Display
    selection: Selection = field(default_factory=Selection)
    use_cache: bool = True
    containers: Containers | None = None
    model: Path | None = None
    given: Mapping[str, str] = field(default_factory=dict)
    after: str = ""
    bucket: BucketRoot | None = None

    def __post_init__(self) -> None:
        """Checks the request before anything is written."""
        self.selected = self.selection.tasks(self.pipeline)
        for name in sorted(self.selected, key=list(self.pipeline.tasks).index):
            spec = self.pipeline.tasks[name]
            if self.containers:
                image = spec.pod_container["image"]
                self.containers.check(FUSED if is_of_all(image) else spec.stage, image, foreign=spec.foreign)
            else:
                of_stage(spec.stage, is_of_all(spec.container["image"]))
        self.earlier = Earlier()
        if self.selection.only:
            self.earlier = self.selection.run_before(self.root, self.pipeline, self.selected)
            # What no task reads again is what it was when the others read it.
            read = parameters_of(self.pipeline, self.selected)
            self.earlier.check_given(
                {k: v for k, v in self.given.items() if k not in read}, self.arguments, self.pipeline
            )
            self.arguments = dict(self.earlier.parameters) | {k: v for k, v in self.arguments.items() if k in read}
        now = datetime.now(UTC)
        self.id = f"{self.pipeline.name}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
        self.folder = self.root / "runs" / self.id
        self._resolver = Resolver(
            self.pipeline, self.id, self.arguments, self.containers, self.use_cache, now.isoformat()
        )
        self._resolver.executions |= self.earlier.executions
        self.record: dict[str, Any] = run_record.new_run(
            self.id,
            self.pipeline.name,
            str(self.model or ""),
            now.isoformat(),
            self.arguments,
            [self._task_record(task) for task in self.pipeline.tasks.values()],
            {"until": self.selection.until, "only": list(self.selection.only), "earlier": self.earlier.run},
            after=self.after,
        )
        self._recording = Recording(self.folder, self.record, now, self.display)
        self._ending = threading.Event()
        self._interruptions = Interruptions()

    def run(self) -> int:
        """Runs to the end and returns the exit code: 0, or that of the task that failed.

        Raises:
          StageError: nothing can be written under the pipeline root.
        """
        with self._interruptions:
            self._recording.begin(self.root, self.ir)
            exit_code = self._run()
        if self.bucket:
            self.bucket.send_run(self.id)
        # Of a run that was done when somebody would not wait for the exit task.
        return exit_code or (EXIT_INTERRUPTED if self._interruptions.count else 0)

    def _run(self) -> int:
        processes = self.containers or Processes(of_stage, self.folder)
        state, exit_code = "stopped", EXIT_INTERRUPTED
        self.display.begin(self.record)
        try:
            self._schedule(processes)
            failed = [task for task in self.record["tasks"] if task["state"] == "failed"]
            state, exit_code = ("failed", failed[0]["exit_code"]) if failed else ("done", 0)
            if failed:
                self.record["error"] = f"{failed[0]['name']}: {failed[0]['error']}"
            elif found := self.invalid_data():
                state, exit_code, self.record["error"] = "failed", InputError.exit_code, found
        except KeyboardInterrupt:
            # One that was about to start is still told as running.
            ended = [task["name"] for task in self.record["tasks"] if task["state"] in ("running", "stopped")]
            self.record["error"] = f"stopped in {', '.join(ended)}" if ended else "stopped"
        except Exception as error:
            state, exit_code, self.record["error"] = "failed", known(error).exit_code, str(known(error))
            if classify(error) is None:
                raise
        finally:
            try:
                # Who asks for a second time does not wait for anybody to be told.
                if self._interruptions.count < 2:
                    self._run_exit_tasks(state, exit_code, processes)
            finally:
                processes.close()
                self._recording.finish(state, exit_code)
        return exit_code

    def _run_exit_tasks(self, state: str, exit_code: int, processes: Processes | Containers) -> None:
        """Runs the exit task, for a while. What becomes of it changes nothing of what became of the run."""
        failed: dict[str, Any] = next(
            (task for task in self.record["tasks"] if task["state"] == "failed" and state == "failed"), {}
        )
        self._ending.clear()
        self._resolver.status = final_status.final_status(
            state,
            self.id,
            task=failed.get("name", ""),
            error=failed.get("error", "") or self.record["error"],
            code=exit_code,
            executions=self._resolver.executions.values(),
            parameters=self.arguments,
        )
        for name in [name for name, spec in self.pipeline.tasks.items() if spec.is_exit and name in self.selected]:
            with (
                contextlib.suppress(OSError, TransientError, KeyboardInterrupt),
                self._faults_of(name),
                concurrent.futures.ThreadPoolExecutor(1) as thread,
            ):
                log = f"runs/{self.id}/{name}.log"
                self._recording.change(name, state="running", log=log, started=self._recording.now())
                running = thread.submit(self._execute, name, self._resolver.task(name), processes)
                ended: queue.SimpleQueue[concurrent.futures.Future[None]] = queue.SimpleQueue()
                running.add_done_callback(ended.put)
                try:
                    with self._interruptions.heeded():
                        ended.get(timeout=EXIT_TASK_SECONDS)
                    running.result()
                except (queue.Empty, KeyboardInterrupt) as end:
                    self._ending.set()
                    processes.close()
                    concurrent.futures.wait([running])
                    if isinstance(end, queue.Empty):
                        reason = f"it did not end within {EXIT_TASK_SECONDS:g} s"
                        self._recording.change(name, state="failed", error=reason, exit_code=TransientError.exit_code)

    def invalid_data(self) -> str:
        """What validate found in the data that the selected tasks made or read; empty where it lets them go on."""
        read = set().union(*(producers_of(self.pipeline.tasks[name]) for name in self.selected))
        for name in (self.selected | read) & self._resolver.executions.keys():
            made = self._resolver.executions[name]
            if found := facts.invalid_data(made):
                return f"{name}: the data has {facts.facts(made)}: {found}; correct the data or the schema"
        return ""

    def _task_record(self, task: TaskSpec) -> dict[str, Any]:
        state = "waiting" if task.name in self.selected else "skipped"
        return run_record.new_task(task.name, task.stage, task.after, condition_names(task), state)

    def _schedule(self, processes: Processes | Containers) -> None:
        """Starts every task as soon as what it waits for has ended; after a failure nothing new is started."""
        # One call into C waits on it, which an interruption ends without a lock left behind.
        ended: queue.SimpleQueue[concurrent.futures.Future[None]] = queue.SimpleQueue()
        running = 0
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="task") as threads:
            try:
                while True:
                    for name in self._ready():
                        with self._faults_of(name):
                            if self._decide(name, processes):
                                task = self._resolver.task(name)
                                threads.submit(self._execute, name, task, processes).add_done_callback(ended.put)
                                running += 1
                    if not running:
                        if not self._ready():
                            with self._interruptions.heeded():
                                return
                        continue
                    with self._interruptions.heeded():
                        future = ended.get()
                    running -= 1
                    future.result()
            except BaseException:
                # The threads wait for their stages: end these first, and begin no other.
                self._ending.set()
                threads.shutdown(wait=False, cancel_futures=True)
                processes.close()
                raise

    def _ready(self) -> list[str]:
        if any(task["state"] == "failed" for task in self._recording.tasks.values()):
            return []
        return [
            name
            for name, task in self._recording.tasks.items()
            if task["state"] == "waiting"
            and not self.pipeline.tasks[name].is_exit
            and all(self._recording.tasks[earlier]["state"] in _ENDED for earlier in task["after"])
        ]

    def _decide(self, name: str, processes: Processes | Containers) -> bool:
        """Whether the task has to be executed; if not, its record says why."""
        spec = self.pipeline.tasks[name]
        if not self._resolver.conditions_hold(spec, chosen=bool(self.selection.only)):
            self._recording.change(name, state="skipped")
            return False
        task = self._resolver.task(name)
        with self._interruptions.heeded():
            if self.bucket and task.reusable:
                self.bucket.bring_execution(execution.home(task))
            record = execution.find(self.root, task)
        if record:
            execution.reuse(self.root, task, record)
            self._ended(name, record, state="cached")
            return False
        # The first task that has to work means that most of those behind it have to: their libraries are imported now.
        # One that is asked anew in every run, as what is in service, mostly answers what it did before.
        for other in self.selected:
            if other == name or (spec.cacheable and name in self.pipeline.ancestors(other)):
                processes.prepare(self.pipeline.tasks[other].stage)
        self._recording.change(name, state="running", log=f"runs/{self.id}/{name}.log", started=self._recording.now())
        return True

    def _process(
        self, name: str, task: Task, processes: Processes | Containers, workplace: Path
    ) -> TaskContainer | FusedTask | ColdProcess | WarmProcess:
        """What runs a task; in containers, those that the settings fuse share one."""
        if not isinstance(processes, Containers) or not (pod := self.pipeline.tasks[name].fused):
            process = processes.process(task)
            return replace(process, workplace=workplace) if isinstance(process, TaskContainer) else process

        def start() -> FusedContainer:
            tasks = [self._resolver.sketch(spec.name) for spec in self.pipeline.pods[pod.name]]
            artifacts = self.root / "artifacts" / self.pipeline.name
            return FusedContainer(processes, pod, tasks, artifacts, self.folder)

        return FusedTask(processes.shared(pod.name, start), task)

    def _execute(self, name: str, task: Task, processes: Processes | Containers) -> None:
        """Runs one task in a thread of its own."""

        def run_stage(command: list[str], log: Path, workplace: Path) -> Completed:
            completed = None
            # First, for what is started when the run has ended its processes would go on.
            process = self._process(name, task, processes, workplace)
            if not self._ending.is_set():
                task_record = self._recording.tasks[name]
                completed = process.run(command, log, lambda note: self.display.change(task_record, note))
            if completed is None or (completed.exit_code > _SIGNALLED and self._ending.is_set()):
                raise Interrupted("stopped")
            return completed

        with self._faults_of(name):
            record = execution.launch(self.root, task, run_stage, self.folder / f"{name}.log")
            if self.bucket:
                record = self.bucket.send_execution(record)
            self._ended(name, record, state="done")

    @contextlib.contextmanager
    def _faults_of(self, name: str) -> Iterator[None]:
        """Whatever goes wrong with a task is its failure; of a bug of ours its log has the trace."""
        try:
            yield
        except Interrupted:
            self._recording.change(name, state="stopped", exit_code=EXIT_INTERRUPTED)
        except Exception as error:
            fault = known(error)
            if classify(error) is None:
                log = self.folder / f"{name}.log"
                with contextlib.suppress(OSError), log.open("a", encoding="utf-8") as stream:
                    traceback.print_exc(file=stream)
                    stream.write(f"{ERROR_PREFIX}{fault}\n")
                self._recording.change(name, log=f"runs/{self.id}/{name}.log")
            self._recording.change(
                name, state="failed", error=f"{fault}{self._carried(name, fault)}", exit_code=fault.exit_code
            )

    def _carried(self, name: str, fault: StageError) -> str:
        """What a task that refuses its inputs cannot know of them: that they are of other settings than today's."""
        notes = [
            self.earlier.notes[each] for each in producers_of(self.pipeline.tasks[name]) & self.earlier.notes.keys()
        ]
        return f" ({'; '.join(sorted(notes))})" if notes and fault.exit_code == InputError.exit_code else ""

    def _ended(self, name: str, record: dict[str, Any], state: str) -> None:
        self._resolver.executions[name] = record
        self._recording.change(name, **run_record.ended(record, state))
