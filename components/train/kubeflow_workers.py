"""Several workers on Kubeflow Pipelines: the task's own pod is the chief, and a TrainJob beside it has the others.

The chief makes it, follows it, and removes it at the end, also when KFP ends the run. Where the chief is killed, the
workers end because they miss it, and what is left of the TrainJob goes with the task's pod, which owns it.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.launch.worker_forks import end, say
from components.runtime.module_file import workers
from components.runtime.stage import executor, progress
from components.runtime.stage.artifacts import remove
from components.runtime.stage.kubernetes import Asker, Kubernetes, MissingError
from components.train import handing_over, train_job

_ASKER = Asker("train asks Kubeflow Trainer for its workers", "", "manifests/trainer")
_POD = "KFP_POD_NAME"
_LOOK_SECONDS = 5.0
NOTICED_SECONDS = 15.0
"""In which the chief has to see itself that a worker is gone; TensorFlow may wait for it where no signal ends that."""
_SEEN_SECONDS = 30.0
"""In which Trainer has to know of a runtime that was made just now."""
_OVER = 0
"""In place of a signal's number: the training has ended."""


@contextlib.contextmanager
def beside(count: int, inputs: handing_over.Inputs) -> Iterator[Workers]:
    """Has the other workers run while the context is entered, with this process as the chief.

    Args:
      count: of workers, with the chief.
      inputs: of the training.

    Raises:
      InputError: Trainer is not installed, a right or a volume is missing.
      TransientError: Kubernetes does not answer.
    """
    beside = Workers(count)
    try:
        beside.begin(inputs)
        yield beside
    finally:
        beside.end()
        os.environ.pop(workers.VARIABLE, None)


class Workers(threading.Thread):
    """Looks after the TrainJob, and after signals that end the stage: TensorFlow may hold up a handler of its own."""

    def __init__(self, count: int) -> None:
        """Looks whether there is what they need, and makes nothing yet."""
        super().__init__(daemon=True)
        self._count = count
        self._cluster = Kubernetes(_ASKER)
        space = self._cluster.namespace
        self._pods = f"/api/v1/namespaces/{space}/pods"
        self._jobs = f"{train_job.API}/namespaces/{space}/trainjobs"
        self._runtimes = f"{train_job.API}/namespaces/{space}/trainingruntimes"
        self._own = self._cluster.get(f"{self._pods}/{os.environ[_POD]}")
        self._key = train_job.key(self._own)
        self._shipped = self._found()
        # (Claims of two namespaces may be one disk.)
        self._folder = train_job.shared(self._own) / "workers" / space / self._key
        self._job = ""
        self._begun = False
        self._told = ""
        self._fault: StageError | None = None
        self._lock = threading.Lock()
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)

    def _found(self) -> dict[str, Any]:
        """The runtime that we ship; before, what an attempt that was killed left is removed.

        Raises:
          InputError: what is missing.
        """
        self._live: set[str] = set()
        try:
            for place in (self._jobs, self._runtimes):
                for each in self._cluster.get(f"{place}?labelSelector={train_job.LABEL}")["items"]:
                    self._live.add(of := each["metadata"]["labels"][train_job.LABEL])
                    if of == self._key:
                        self._cluster.delete(f"{place}/{each['metadata']['name']}")
        except MissingError:
            raise InputError(
                "train.workers: this cluster has no Kubeflow Trainer (no trainjobs of trainer.kubeflow.org/v1alpha1); "
                "have it installed (docs/training.md, Several workers), or set train.workers to 1"
            ) from None
        try:
            return self._cluster.get(f"{self._runtimes}/{train_job.RUNTIME}")
        except MissingError:
            raise InputError(
                f"train.workers: the namespace {self._cluster.namespace} has no TrainingRuntime {train_job.RUNTIME}; "
                "make it: kubectl apply -k manifests/trainer, with this namespace in its kustomization.yaml"
            ) from None

    def begin(self, inputs: handing_over.Inputs) -> None:
        """Hands over the inputs and makes the TrainJob; TF_CONFIG says then that this process is the chief."""
        signal.signal(signal.SIGTERM, lambda *_: None)
        signal.set_wakeup_fd(self._woken)
        self.start()
        # A name of its own for each attempt: what was removed takes a moment to go.
        name = f"millrace-{self._key}-{secrets.token_hex(2)}"
        addresses = train_job.addresses(name, self._own, self._count)
        self._job = name
        # Who may not, is told before anything is copied.
        self._cluster.create(self._runtimes, train_job.runtime(self._shipped, name, self._own))
        handing_over.sweep(self._folder.parent, self._live)
        handing_over.put(inputs, self._folder, addresses)
        self._create(train_job.train_job(name, self._own, self._count, self._folder))
        self._begun = True
        progress.report(f"training with {self._count} workers, the others in the TrainJob {name}")
        os.environ[workers.VARIABLE] = workers.configuration(addresses, 0)

    def _create(self, job: dict[str, Any]) -> None:
        """Creates the TrainJob, as soon as Trainer's webhook has seen its runtime."""
        until = time.monotonic() + _SEEN_SECONDS
        while True:
            try:
                self._cluster.create(self._jobs, job)
                return
            except InputError as error:
                if f'"{self._job}" not found' not in str(error) or time.monotonic() > until:
                    raise
            time.sleep(0.5)

    def run(self) -> None:
        """Looks until the training has ended."""
        noticed = 0.0
        while True:
            if select.select([self._wake], [], [], _LOOK_SECONDS)[0]:
                number = os.read(self._wake, 1)[0]
                if number != _OVER:
                    say(f"ended from outside ({signal.Signals(number).name}), and its workers with it")
                    self._remove()
                    end(128 + number)
                return
            try:
                self._look()
            except Exception as error:
                # (Nobody else hears of signals, or of workers that are gone.)
                self._fault = StageError(f"the other workers cannot be followed: {error!r}")
            if self._fault:
                noticed = noticed or time.monotonic()
                if time.monotonic() - noticed > NOTICED_SECONDS:
                    self.give_up(self._fault)

    def _look(self) -> None:
        with self._lock:
            if self._fault or not self._begun:
                return
            try:
                job = self._cluster.get(f"{self._jobs}/{self._job}")
                pods = self._cluster.get(f"{self._pods}?{train_job.pods_of(self._job)}")["items"]
            except MissingError:
                self._fault = TransientError(f"somebody has removed the TrainJob {self._job}; try again")
                return
            except TransientError:
                # Kubernetes may be away for a while, and the workers train on.
                return
            except InputError as error:
                self._fault = error
                return
            self._fault = train_job.fault(job, pods, self._count)
            if not self._fault and (text := train_job.waiting(job, pods, self._count)) != self._told:
                self._told = text
                progress.report(f"{progress.WAITS}{text}" if text else "all workers run")

    def fault(self, seconds: float) -> StageError | None:
        """Why a worker ended; waits for so long."""
        until = time.monotonic() + seconds
        while True:
            self._look()
            if self._fault or time.monotonic() > until:
                return self._fault
            time.sleep(0.5)

    def give_up(self, fault: StageError) -> NoReturn:
        """Ends this process, which may wait for the workers inside of TensorFlow, as an error would."""
        self._remove()
        end(executor.failed("train", fault, on_kubeflow=True))

    def end(self) -> None:
        """Removes the TrainJob and what was handed over: the chief has what it needs."""
        if self.is_alive():
            os.write(self._woken, bytes([_OVER]))
            self.join()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.close(self._wake)
        os.close(self._woken)
        self._remove()

    def _remove(self) -> None:
        job, self._job, self._begun = self._job, "", False
        steps: list[Callable[[], None]] = [lambda: remove(self._folder)]
        if job:
            steps = [
                lambda: self._cluster.delete(f"{self._jobs}/{job}"),
                *steps,
                lambda: self._cluster.delete(f"{self._runtimes}/{job}"),
            ]
        for step in steps:
            try:
                step()
            except (StageError, OSError) as error:
                # What has been trained is worth more; the TrainJob goes with this pod.
                progress.report(f"what the other workers had could not be removed: {error}")
