"""The one container of tasks that the settings fuse: it starts with the first that has to work, and serves the others.

A container gets its folders when it starts, before anybody knows where the later of its tasks will read and write. So
this one sees all executions of the pipeline; what a task may write is lent to it while it works, as to one of its own.
"""

from __future__ import annotations

import contextlib
import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from components.runtime.errors import TransientError
from components.runtime.launch.execution import Completed
from components.runtime.launch.processes import OnProgress, StageServer
from components.runtime.launch.task import Task
from components.runtime.launch.warm import die_with_parent
from runners.compiled.tasks import FusedPod
from runners.local import engine
from runners.local.container_mounts import Mounts, lent, mounts
from runners.local.containers import Containers, result_file

_SERVER = "components.runtime.launch.fused_server"
_KILLED = Completed(128 + 9, 0.0, None)


class FusedContainer(StageServer):
    """A container that runs stages as it is asked to, until it is closed."""

    def __init__(
        self, containers: Containers, pod: FusedPod, tasks: Sequence[Task], artifacts: Path, logs: Path
    ) -> None:
        """Starts it.

        Args:
          containers: of the run.
          pod: what the compiled pipeline says of it; its image has been checked.
          tasks: those that it may run, with what is known of their parameters.
          artifacts: folder of the pipeline's executions.
          logs: folder of the run.
        """
        self._name = f"millrace-{pod.name}-{uuid.uuid4().hex[:12]}"
        self._pod = pod.name
        self._containers = containers
        self._log = logs / f"{pod.name}.log"
        self._closed = False
        seen = [mounts(task, artifacts) for task in tasks]
        readable = dict.fromkeys(path for each in seen for path in each.readable if not path.is_relative_to(artifacts))
        writable = dict.fromkeys([*(path for each in seen for path in each.writable), logs])
        self._made = [path for path in writable if not path.exists()]
        for path in self._made:
            path.mkdir(parents=True)
        options = ["--interactive", *containers.options(self._name, Mounts((*readable,), (*writable,)), tasks)]
        image = containers.check(tasks[0].stage, pod.container["image"]).reference
        serve = ["python", "-m", _SERVER, json.dumps(pod.environments)]
        self._around = contextlib.ExitStack()
        self._around.enter_context(containers.running(self._name))
        stderr = self._around.enter_context(self._log.open("ab"))
        super().__init__(
            [containers.engine.name, "run", *options, image, *serve],
            self._name,
            stderr=stderr,
            preexec_fn=die_with_parent,
        )

    def close(self) -> None:
        """Ends it and the stages that it still runs."""
        self._closed = True
        self._containers.kill(self._name)
        super().close()
        self._around.close()
        for path in self._made:
            with contextlib.suppress(OSError):
                # Gone again where nothing came to be in it.
                path.rmdir()

    def _without(self, command: list[str], log: Path, on_progress: OnProgress) -> Completed:
        if self._closed:
            return _KILLED
        reason = engine.last_line(self._log.read_text(errors="replace")) or "it ended"
        raise TransientError(f"{self._containers.engine.name} lost the container of {self._pod}: {reason}")


@dataclass
class FusedTask:
    """Runs one task in the container that it shares with others."""

    container: FusedContainer
    task: Task

    def run(self, command: list[str], log: Path, on_progress: OnProgress) -> Completed:
        """Runs the command; returns when it has ended.

        Raises:
          TransientError: the container is no more.
        """
        seen = mounts(self.task, result_file(command).parent)
        log.touch()
        with lent((*seen.writable, log)):
            return self.container.run(command, log, on_progress)
