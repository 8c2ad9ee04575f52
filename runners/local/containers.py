"""Runs the tasks of a pipeline in their images, with podman or docker: as a cluster would, without one.

A container gets what its task names and nothing else: the inputs and the raw data read-only, a folder for the outputs,
for push the serving directory; no root user, no capability, no file system to write but `/tmp`, and no network unless
a parameter of the task is a URI or the stage talks to somebody.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from components.runtime.errors import InputError, TransientError
from components.runtime.launch.execution import Completed, Interrupted
from components.runtime.launch.processes import LogReader, OnProgress, StageServer
from components.runtime.launch.task import Task
from components.runtime.launch.warm import die_with_parent
from runners.compiled import image_content, images
from runners.local import engine
from runners.local.container_memory import PeakMemory
from runners.local.container_mounts import USER, Mounts, destinations, lent, mounts, needs_network

Shared = TypeVar("Shared", bound=StageServer)

_POLL_SECONDS = 0.05
# The image does not have the command, or it cannot be executed.
_NO_COMMAND = (126, 127)
_HARDENING = [
    *("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
    # Where SELinux is on, files of the host stay labelled as they are.
    *("--security-opt", "label=disable"),
    *("--tmpfs", "/tmp:rw,nosuid,nodev,mode=1777"),
    *("--log-driver", "none"),
]
# What a task that may use the network gets to know of the clouds, where it is set here.
_CLOUD_VARIABLES = (
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION"),
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "STORAGE_EMULATOR_HOST"),
)
# What one stage alone gets to know besides.
_STAGE_VARIABLES = {"push_hub": ("HF_TOKEN", "HF_ENDPOINT", "HF_HUB_OFFLINE", "HF_HUB_DISABLE_XET")}
_GOOGLE_KEY = "GOOGLE_APPLICATION_CREDENTIALS"


@dataclass(frozen=True)
class LocalImage:
    """An image as the engine has it.

    Attributes:
      reference: what a container is started from.
      identity: of its content, for the cache.
      stale: whether the code here is not what it was built from.
    """

    reference: str
    identity: str
    stale: bool


@dataclass
class Containers:
    """The containers of one run; stands in for `runners.local.environments.Processes`.

    Attributes:
      chosen: name of the engine, or empty.
      _running: names of its containers, and whether they may go on.
      _shared: the containers of several tasks, by the name of their pod.
    """

    chosen: str = ""
    _images: dict[str, LocalImage] = field(default_factory=dict)
    _running: dict[str, bool] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _shared: dict[str, Any] = field(default_factory=dict)
    _starting: threading.Lock = field(default_factory=threading.Lock)
    _ended: bool = False

    def __post_init__(self) -> None:
        """Finds the engine; InputError where there is none."""
        self.engine = engine.find(engine.RUNNERS, self.chosen)

    def check(self, stage: str, image: str, *, foreign: bool = False) -> LocalImage:
        """Finds the image of a stage.

        Args:
          stage: its name.
          image: as the compiled pipeline names it.
          foreign: whether somebody else made it.

        Raises:
          InputError: it was not built here and cannot be had, or the engine starts no container.
        """
        if image not in self._images:
            found = self._find_foreign(stage, image) if foreign else self._find(stage, image)
            if not self._images and (refusal := self.engine.refusal(found.reference, _HARDENING)):
                raise InputError(f"{self.engine.name} cannot run containers here: {refusal}; run without --docker")
            self._images[image] = found
        return self._images[image]

    def _find_foreign(self, stage: str, image: str) -> LocalImage:
        found = self.engine.inspect(image)
        if not found:
            raise InputError(
                f"the image {image} of {stage} is not on this machine; get it with `{self.engine.name} pull {image}`"
            )
        return LocalImage(image, found[0] or image, stale=False)

    def _find(self, stage: str, image: str) -> LocalImage:
        reference, pinned = images.reference(image)
        candidates = [reference]
        built = images.read_lock(images.lock_file()).get(stage)
        if built and pinned and reference == built.reference:
            # docker knows what it built by no digest; the tag names the content just as well.
            candidates.append(f"{built.image}:{built.tag}")
        for candidate in candidates:
            if found := self.engine.inspect(candidate):
                labels = self.engine.labels(candidate)
                return LocalImage(
                    candidate, found[0] or labels.get(image_content.CONTENT_LABEL, candidate), _stale(stage, labels)
                )
        raise InputError(
            f"the image {reference} of {stage} is not on this machine; build it with `make images STAGE={stage}`"
            f" or get it with `{self.engine.name} pull {reference}`"
        )

    def digest(self, task_image: str) -> str:
        """Identifies what a checked image holds."""
        return self._images[task_image].identity

    @property
    def stale(self) -> list[str]:
        """Checked images whose code is older, or newer, than that of this checkout."""
        return sorted(images.stage_of(name) for name, image in self._images.items() if image.stale)

    def prepare(self, stage: str) -> None:
        """Nothing to warm up: a container starts when its task does."""

    def process(self, task: Task) -> TaskContainer:
        """The container of one task, not started yet."""
        return TaskContainer(self, task, self.check(task.stage, task.container["image"], foreign=task.foreign))

    def shared(self, pod: str, start: Callable[[], Shared]) -> Shared:
        """The container of several tasks; the first of them starts it.

        Args:
          pod: its name in the pipeline.
          start: starts it.

        Raises:
          Interrupted: the run has ended its containers.
        """
        with self._starting:
            if self._ended:
                raise Interrupted("stopped")
            if pod not in self._shared:
                self._shared[pod] = start()
            return self._shared[pod]

    def close(self) -> None:
        """Ends the containers that still run, or are being started."""
        with self._lock:
            self._running = dict.fromkeys(self._running, False)
        for name in tuple(self._running):
            self.kill(name)
        with self._starting:
            self._ended = True
            for container in self._shared.values():
                container.close()
            self._shared = {}

    def options(self, name: str, seen: Mounts, tasks: Sequence[Task]) -> list[str]:
        """Options of a container.

        Args:
          name: of the container.
          seen: what it sees of this machine.
          tasks: that it runs.
        """
        options = ["--rm", "--name", name, *_HARDENING, *_identity(self.engine), *seen.options()]
        for variable in (each for task in tasks for each in task.container.get("env", [])):
            options += ["--env", f"{variable['name']}={variable['value']}"]
        talking = [task for task in tasks if needs_network(task)]
        if not talking:
            return [*options, "--network", "none"]
        # By name only: values of secrets stay out of the list of processes.
        if talking[0].stage == "notify":
            return [*options, *(part for each in destinations(talking[0]) for part in ("--env", each))]
        of_stages = [task.parameters["variable"] for task in talking if task.stage == "query"]
        of_stages += [variable for task in talking for variable in _STAGE_VARIABLES.get(task.stage, ())]
        for each in (*_CLOUD_VARIABLES, *of_stages):
            options += ["--env", each] if os.environ.get(each) else []
        if key := os.environ.get(_GOOGLE_KEY):
            options += ["--env", _GOOGLE_KEY, *Mounts((Path(key).absolute(),), ()).options()]
        return options

    def kill(self, name: str) -> None:
        """Ends a container, if it is there."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.engine.call("kill", name)

    def keep(self, name: str) -> None:
        """Ends a container that was not there yet when the others were ended."""
        if not self._running[name]:
            self.kill(name)

    @contextlib.contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Notes a container, so that the end of the run is its end too."""
        with self._lock:
            self._running[name] = True
        try:
            yield
        finally:
            with self._lock:
                del self._running[name]


@dataclass
class TaskContainer:
    """Runs one task's command in a container.

    Attributes:
      workplace: the folder of its outputs; without, the one that the command's executor input names.
    """

    containers: Containers
    task: Task
    image: LocalImage
    workplace: Path | None = None

    def run(self, command: list[str], log: Path, on_progress: OnProgress) -> Completed:
        """Runs the command; returns when the container has ended.

        Raises:
          TransientError: the engine could not start it, or cannot tell how it ended.
          InputError: the image does not have the command.
        """
        begun = time.monotonic()
        result = None if self.task.foreign else result_file(command)
        workplace = result.parent if result else self.workplace
        assert workplace
        seen = mounts(self.task, workplace)
        made = [path for path in seen.writable if not path.exists()]
        for path in made:
            path.mkdir(parents=True)
        name = f"millrace-{self.task.stage}-{uuid.uuid4().hex[:12]}"
        reader = LogReader(log, on_progress)
        with tempfile.TemporaryDirectory(prefix="millrace-") as folder, log.open("ab") as stream:
            pid_file = Path(folder) / "pid"
            options = self.containers.options(name, seen, [self.task])
            if self.containers.engine.name == "podman":
                options += ["--pidfile", str(pid_file)]
            with self.containers.running(name), lent(seen.writable):
                process = subprocess.Popen(
                    [self.containers.engine.name, "run", *options, *self._started_as(command)],
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                    preexec_fn=die_with_parent,
                )
                memory = PeakMemory(self.containers.engine, name, pid_file)
                while process.poll() is None:
                    self.containers.keep(name)
                    reader.read()
                    memory.look(started=reader.started_at is not None)
                    time.sleep(_POLL_SECONDS)
                reader.read()
        for path in made:
            with contextlib.suppress(OSError):
                # Gone again where nothing came to be in it.
                path.rmdir()
        self._ensure_known(process.returncode, result, log)
        code = process.returncode
        return Completed(
            exit_code=code if code >= 0 else 128 - code,
            # A stage of somebody else's does not say when it begins to work.
            start_up_seconds=None if self.task.foreign else (reader.started_at or time.monotonic()) - begun,
            # Of a container that had ended before anybody looked, nobody knows.
            peak_memory_bytes=memory.peak_bytes or None,
        )

    def _started_as(self, command: list[str]) -> list[str]:
        """The image and the command; what a foreign image has for an entry point is no part of it, as on a cluster."""
        if not self.task.foreign or not command:
            return [self.image.reference, *command]
        return ["--entrypoint", command[0], self.image.reference, *command[1:]]

    def _ensure_known(self, code: int, result: Path | None, log: Path) -> None:
        name = self.containers.engine.name
        if code in (engine.FAULT, *_NO_COMMAND):
            kind = TransientError if code == engine.FAULT else InputError
            reason = engine.last_line(log.read_text(errors="replace"))
            raise kind(f"{name} did not run {self.image.reference}: {reason}")
        if code == 0 and result and not result.exists():
            raise TransientError(f"{name} lost the container of {self.task.name}: it left no result; see {log}")


def _identity(engine_: engine.Engine) -> list[str]:
    """Who the stage is: the person who runs this, so that the outputs are theirs; never root."""
    if os.geteuid() == 0:
        return ["--user", USER]
    user = ["--user", f"{os.geteuid()}:{os.getegid()}"]
    return ["--userns", "keep-id", *user] if engine_.name == "podman" else user


def result_file(command: list[str]) -> Path:
    """Where the stage leaves its result: the outputFile of KFP's executor input."""
    for word in command:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            content: Any = json.loads(Path(word[1:]).read_text() if word.startswith("@") else word)
            return Path(content["outputs"]["outputFile"])
    raise InputError("the task's command carries no executor input ({{$}}), so its results cannot be found")


def _stale(stage: str, labels: dict[str, str]) -> bool:
    content = labels.get(image_content.CONTENT_LABEL)
    if not content:
        # Somebody's own image.
        return False
    python_image = labels.get(image_content.PYTHON_LABEL, image_content.PYTHON_IMAGE)
    recipes = [image_content.recipe(stage, "", python_image)]
    if stage in images.GPU_STAGES:
        recipes.append(image_content.recipe(stage, images.GPU, python_image))
    return content not in [recipe.tag for recipe in recipes]
