"""The record of a run that goes on: run.json and the run's lock, and what a person is shown of both."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

from components.runtime.errors import InputError, TransientError
from components.runtime.launch import workplace
from components.runtime.records import run_record
from runners.history import run_folders


class Display(Protocol):
    """Shows a run to a person while it goes on."""

    def begin(self, run: dict[str, Any]) -> None:
        """The run starts."""

    def change(self, task: dict[str, Any], note: str = "") -> None:
        """A task changed its state, or says what it is doing."""

    def end(self, run: dict[str, Any]) -> None:
        """The run has ended."""


class Recording:
    """Keeps the record of a run as far as the run is.

    Attributes:
      record: content of its run.json.
      tasks: the record's tasks by name.
    """

    def __init__(self, folder: Path, record: dict[str, Any], started: datetime, display: Display) -> None:
        """Takes the time; writes nothing yet.

        Args:
          folder: of the run.
          record: its first content.
          started: when the run started.
          display: shows every change.
        """
        self.record = record
        self.tasks = {task["name"]: task for task in record["tasks"]}
        self._folder = folder
        self._display = display
        self._lock = threading.RLock()
        self._started, self._begun = started, time.monotonic()

    def begin(self, root: Path, ir: str = "") -> None:
        """Makes the run's folder, and sees that the root can be written, before anything is shown.

        Args:
          root: the pipeline root.
          ir: text of the compiled pipeline, kept with the run; empty where it is of none.

        Raises:
          InputError: no folder can be made there.
          TransientError: it went away meanwhile.
        """
        try:
            self._folder.mkdir(parents=True)
        except FileExistsError as error:
            # A link that leads nowhere, or a file.
            raise InputError(f"{error.filename}: this is no folder; name another one with --root") from None
        except FileNotFoundError as error:
            # As below /proc.
            raise InputError(f"{error.filename}: no folder can be made there; name another one with --root") from None
        try:
            self._begin_record(root, ir)
        except (OSError, TransientError):
            shutil.rmtree(self._folder, ignore_errors=True)
            raise

    def _begin_record(self, root: Path, ir: str) -> None:
        # Held until this process ends, however it does; Python's own files are not inherited by the stages.
        self._owner = (self._folder / run_folders.OWNER_LOCK).open("w")
        fcntl.flock(self._owner, fcntl.LOCK_EX)
        self._save()
        if ir:
            (self._folder / run_folders.PIPELINE).write_text(ir)
        workplace.sweep(root)
        run_folders.sweep(root)

    def change(self, name: str, **values: Any) -> None:
        """Notes and shows what became of a task, from whatever thread."""
        with self._lock:
            task = self.tasks[name]
            if values.get("state") in ("failed", "stopped"):
                values = {"seconds": self._since(task)} | values
            task |= values
            self._save()
            self._display.change(task)

    def now(self) -> str:
        """The time, by a clock that nobody sets back while the run goes on."""
        return (self._started + timedelta(seconds=time.monotonic() - self._begun)).isoformat()

    def _since(self, task: Mapping[str, Any]) -> float | None:
        """Seconds since a task began, by the same clock; None of one that did not."""
        if not task["started"]:
            return None
        return (datetime.fromisoformat(self.now()) - datetime.fromisoformat(task["started"])).total_seconds()

    def finish(self, state: str, exit_code: int) -> None:
        """Notes and shows that the run has ended, and lets go of its lock."""
        for task in self.tasks.values():
            if task["state"] == "running":
                task["seconds"] = self._since(task)
            task["state"] = {"running": "stopped", "waiting": "skipped"}.get(task["state"], task["state"])
        self.record |= {
            "state": state,
            "exit_code": exit_code,
            "finished": self.now(),
            "seconds": time.monotonic() - self._begun,
        }
        with contextlib.suppress(OSError, TransientError):
            # On a full disk the record stays as it was; its lock tells that the run has ended.
            self._save()
        self._owner.close()
        self._display.end(self.record)

    def _save(self) -> None:
        with self._lock:
            try:
                run_record.write(self._folder, self.record)
            except FileNotFoundError:
                raise TransientError(f"{self._folder}: removed while the run worked in it; run again") from None
