"""Follows a run on a server until it ends, whichever server it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import click

from components.runtime.errors import StageError, TransientError
from components.runtime.text.visible import visible
from runners.terminal import output, text
from runners.terminal.display import make_display

PATIENCE = 600.0
"""Seconds without an answer after which a wait gives up; a control plane that is replaced is away for minutes."""

_SETTLING = 60.0
"""Seconds in which a server that comes back may still refuse what it allows: it has not yet read who may do what."""

STYLES = {
    "done": "green",
    "cached": "blue",
    "failed": "red",
    "stopped": "yellow",
    "running": "cyan",
    "waiting": "dim",
    "skipped": "dim",
}


@dataclass(frozen=True)
class RemoteTask:
    """A task of a run, with the states of the local runner: waiting, running, done, cached, failed, stopped, skipped.

    Attributes:
      error: why it failed, was stopped, or cannot start.
      attempts: how often it was begun; 0 where the server does not tell.
      asks: whether it waits for a person's answer; `error` says how to give it.
    """

    name: str
    state: str
    started: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    attempts: int = 0
    asks: bool = False

    @property
    def tried(self) -> str:
        """Which attempt it is, or how many there were; empty for a first one."""
        if self.attempts < 2:
            return ""
        return f"attempt {self.attempts}" if self.state == "running" else f"{self.attempts} attempts"

    @property
    def note(self) -> str:
        """What there is to say of it besides its state."""
        return f"{self.error} ({self.tried})" if self.error and self.tried else self.error or self.tried

    @property
    def seconds(self) -> float | None:
        """How long it took, or has taken till now; None where nobody knows, or where it never was at work."""
        if self.started is None or self.state == "skipped":
            return None
        if self.ended is None and self.state not in ("waiting", "running"):
            return None
        end = self.ended or datetime.now(self.started.tzinfo)
        return max(0.0, (end - self.started).total_seconds())


@dataclass(frozen=True)
class RemoteRun:
    """A run on a server.

    Attributes:
      state: waiting, running, done, failed or stopped.
    """

    id: str
    name: str
    state: str
    created: datetime | None = None
    ended: datetime | None = None
    error: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    tasks: list[RemoteTask] = field(default_factory=list)

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens to it."""
        return self.state in ("done", "failed", "stopped")

    @property
    def seconds(self) -> float | None:
        """From its start to its end, where both are known."""
        return (self.ended - self.created).total_seconds() if self.created and self.ended else None


def asking(run: RemoteRun) -> RemoteRun:
    """A run whose server does not tell what tasks do: of the stage approve, that they wait for a person."""
    how = "waits for a person; its log says for how long: ./millrace approve RUN --serving-directory FOLDER"
    tasks = [
        replace(task, state="waiting", error=how, asks=True)
        if task.state == "running" and task.name.partition("-")[0] == "approve"
        else task
        for task in run.tasks
    ]
    asked = next((task for task in tasks if task.asks), None)
    if asked and run.state == "running" and not any(task.state == "running" for task in tasks):
        return replace(run, tasks=tasks, state="waiting", error=f"{asked.name}: {asked.error}")
    return replace(run, tasks=tasks)


def follow(poll: Callable[[], RemoteRun], *, interval: float, limit: float | None = None) -> RemoteRun:
    """Shows the progress of each task until the run is over, and returns its last state.

    A server that answered once may be away for some minutes: a line says so, and the questions go on.

    Args:
      poll: asks the server.
      interval: seconds between two questions.
      limit: seconds to wait at most.

    Raises:
      TransientError: the time is up, or the server has not answered for `PATIENCE` seconds.
    """
    run = poll()
    begun = answered = time.monotonic()
    record: dict[str, Any] = {"id": run.name if run.name == run.id else f"{run.name} ({run.id})", "tasks": []}
    known: dict[str, dict[str, Any]] = {}
    display = make_display(output.console(), errors=True)
    display.begin(record)
    fault: StageError | None = None
    silent = 0.0
    try:
        while True:
            for task in run.tasks:
                _show(task, known, record["tasks"], display)
            if run.is_over:
                return run
            now = time.monotonic()
            is_late = limit is not None and now - begun + interval > limit
            if fault and (is_late or now - answered > PATIENCE):
                raise TransientError(
                    f"run {run.name}: no answer for {text.duration(now - answered)}, before that it was {run.state}; "
                    f"wait again ({fault})"
                )
            if is_late:
                raise TransientError(f"run {run.name} is still {run.state} after {limit:g} s; it goes on: wait again")
            time.sleep(interval)
            try:
                run = poll()
            except StageError as error:
                if isinstance(error, TransientError):
                    silent = time.monotonic()
                elif not fault or time.monotonic() - silent > _SETTLING:
                    raise
                if not fault:
                    display.notice(f"{error} (asked again for {PATIENCE / 60:g} min)")
                fault = error
            else:
                answered, fault = time.monotonic(), None
                display.notice("")
    finally:
        display.end(record)


def _show(task: RemoteTask, known: dict[str, dict[str, Any]], tasks: list[dict[str, Any]], display: Any) -> None:
    if task.name not in known:
        known[task.name] = {"name": task.name, "state": "", "seconds": None, "error": "", "facts": "", "rows": None}
        known[task.name]["told"] = set()
        tasks.append(known[task.name])
    row = known[task.name]
    # What hinders a task from starting changes to and fro; each is told once.
    facts = task.note if task.state == "waiting" else task.tried
    changed = row["state"] != task.state or (facts and facts not in row["told"])
    row |= {"state": task.state, "seconds": task.seconds, "error": task.note or task.state, "facts": facts}
    row["told"].add(facts)
    if changed:
        display.change(row)


def document(run: RemoteRun, *, tasks: bool = True) -> dict[str, Any]:
    """A run as a document for programs; in a list without its tasks and parameters."""
    facts = {
        "run": run.id,
        "name": run.name,
        "state": run.state,
        "created": run.created,
        "finished": run.ended,
        "seconds": run.seconds,
        "error": run.error or None,
    }
    if not tasks:
        return facts
    return facts | {
        "parameters": run.parameters,
        "tasks": [
            {
                "task": task.name,
                "state": task.state,
                "cached": task.state == "cached" if task.ended or task.state == "cached" else None,
                "started": task.started,
                "seconds": task.seconds,
                "attempts": task.attempts or None,
                "error": task.error or None,
            }
            for task in run.tasks
        ],
    }


def shown(run: RemoteRun) -> output.Result:
    """A run as it is now."""
    return output.Result(document(run), lambda: print_run(run), [run.state])


def print_run(run: RemoteRun) -> None:
    """Prints the state, the parameters and the tasks of a run."""
    click.echo(f"run         {run.name}" + (f" ({run.id})" if run.id != run.name else ""))
    click.echo(f"state       {text.styled(run.state, STYLES.get(run.state, ''))}")
    click.echo(f"created     {text.moment(run.created)}{' UTC' if run.created else ''}")
    click.echo(f"duration    {text.duration(run.seconds)}")
    if run.error:
        click.echo(f"{'why' if run.state == 'waiting' else 'error':<12}{visible(run.error)}")
    if run.parameters:
        click.echo()
        text.table(("parameter", "value"), [[name, str(value)] for name, value in run.parameters.items()])
    if run.tasks:
        click.echo()
        rows: list[list[text.Cell]] = [
            [task.name, (task.state, STYLES.get(task.state, "")), text.duration(task.seconds), task.note]
            for task in run.tasks
        ]
        text.table(("task", "state", "duration", "note"), rows)


def outcome(run: RemoteRun) -> output.Result:
    """How a run that was followed has ended."""
    code = 0 if run.state == "done" else 1
    error = "" if code == 0 else run.error or f"run {run.name}: {run.state}"
    return output.Result(document(run), lambda: _print_outcome(run), [run.state], code, error)


def _print_outcome(run: RemoteRun) -> None:
    took = f" in {text.duration(run.seconds)}" if run.seconds is not None else ""
    click.echo(f"run {run.name}: {text.styled(run.state, STYLES.get(run.state, ''))}{took}")
    if run.error:
        click.echo(f"error: {visible(run.error)}", err=True)
