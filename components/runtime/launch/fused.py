"""Stages of one container after the other: the image that has all of them, and an environment for each.

Where a pod's stages share an environment, its libraries are imported once, and while the stage before still works.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.runtime.errors import StageError
from components.runtime.launch.execution import Completed, TaskFailed
from components.runtime.launch.log_copy import copied
from components.runtime.launch.processes import Environment, Processes
from components.runtime.launch.stage_process import VARIABLES

PARTS_OPTION = "--parts"
"""What a task that stands for several has the specifications of these by, see runners/compiled/fusing.py."""

FUSED_TASK = "task"
"""What begins the progress line that parts the logs of a container's tasks."""
JOINT = "-to-"
"""What a task that stands for several has in its name: `statistics-to-validate`."""

ENVIRONMENTS_VARIABLE = "MILLRACE_ENVIRONMENTS"
"""The folder with the environments of an image that has several."""


def inner_name(task: str, name: str) -> str:
    """What an input or output of a task is called in one that stands for it."""
    return f"{task.replace('-', '_')}_{name}"


def failed_in(task: str, fault: StageError) -> TaskFailed:
    """The failure of a container of several tasks: of that it is the question which of them failed."""
    return TaskFailed(f"{task}: {str(fault).removeprefix(f'{task}: ')}", fault.exit_code)


class FusedStages:
    """The processes of a container's stages."""

    def __init__(self, stages: Mapping[str, Mapping[str, Any]], *, aloud: bool = True) -> None:
        """Starts nothing.

        Args:
          stages: by the name of a stage its environment, in the order in which they run: `name`, and `preload`, what a
            warm process of it imports.
          aloud: whether what stages print goes to standard output too, which is the container's log.
        """
        self._aloud = aloud
        self._stages = stages
        self._folder = tempfile.TemporaryDirectory(prefix="millrace-fused-")
        self._processes = Processes(self._environment, Path(self._folder.name))
        self._prepared = False

    def _environment(self, stage: str, _on_beam: bool) -> Environment:
        of_stage = self._stages[stage]
        python = Path(os.environ.get(ENVIRONMENTS_VARIABLE, ""), of_stage["name"], "bin", "python")
        return Environment(
            of_stage["name"],
            # The one that the image stands on is where this runs.
            python if python.exists() else Path(sys.executable),
            tuple(of_stage["preload"]),
            Path.cwd(),
            VARIABLES | os.environ,
        )

    def prepare(self, stage: str) -> None:
        """Starts importing for a stage and all behind it: the first that has to work means that those have to.

        They live as long as the thread that this is called in.
        """
        if not self._prepared:
            names = list(self._stages)
            for later in names[names.index(stage) :]:
                self._processes.prepare(later)
            self._prepared = True

    def run(self, stage: str, command: list[str], log: Path, _workplace: Path | None = None) -> Completed:
        """Runs a stage's command, its output appended to `log`."""
        self.prepare(stage)
        with copied(log) if self._aloud else contextlib.nullcontext():
            return self._processes.of_stage(stage).run(command, log, lambda note: None)

    def close(self) -> None:
        """Ends all processes."""
        self._processes.close()
        self._folder.cleanup()
