"""Shows a run in the terminal: live where it is one, line by line where the output goes to a file or a pipe."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

_MARKS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "cyan"),
    "done": ("✔", "green"),
    "cached": ("↺", "blue"),
    "failed": ("✘", "red"),
    "skipped": ("–", "dim"),
}


class LineDisplay:
    """One line for every change of state."""

    def __init__(self, console: Console) -> None:
        """Takes where to print."""
        self._console = console

    def begin(self, run: dict[str, Any]) -> None:
        """Names the run."""
        self._console.print(f"run {run['id']}", highlight=False)

    def change(self, task: dict[str, Any], note: str = "") -> None:
        """Prints a finished or started task; what it is doing meanwhile is in its log."""
        if note or task["state"] in ("waiting", "skipped"):
            return
        self._console.print(_line(task), highlight=False, soft_wrap=True)

    def end(self, run: dict[str, Any]) -> None:
        """Nothing more to print."""


class LiveDisplay:
    """A table that follows the run."""

    def __init__(self, console: Console) -> None:
        """Takes a console that is a terminal."""
        self._console = console
        self._tasks: list[dict[str, Any]] = []
        self._notes: dict[str, str] = {}
        self._running_since: dict[str, float] = {}
        self._title = ""
        self._lock = threading.Lock()
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=8, transient=False)

    def begin(self, run: dict[str, Any]) -> None:
        """Starts drawing."""
        self._title = f"run {run['id']}"
        self._tasks = run["tasks"]
        self._live.start()

    def change(self, task: dict[str, Any], note: str = "") -> None:
        """Remembers what a task is doing; the table is drawn by the clock."""
        with self._lock:
            self._notes[task["name"]] = note
            if task["state"] == "running":
                self._running_since.setdefault(task["name"], time.monotonic())

    def end(self, run: dict[str, Any]) -> None:
        """Draws the last state and stops."""
        self._live.stop()

    def _render(self) -> Group:
        table = Table(box=None, pad_edge=False, show_header=False)
        table.add_column(no_wrap=True)
        table.add_column(no_wrap=True)
        table.add_column(justify="right", no_wrap=True)
        table.add_column(overflow="ellipsis", no_wrap=True)
        with self._lock:
            for task in self._tasks:
                mark, style = _MARKS[task["state"]]
                seconds = task["seconds"]
                if task["state"] == "running":
                    seconds = time.monotonic() - self._running_since.get(task["name"], time.monotonic())
                note = self._notes.get(task["name"], "") if task["state"] == "running" else _facts(task)
                table.add_row(
                    Text(mark, style=style),
                    Text(task["name"], style=style if task["state"] != "done" else ""),
                    Text(f"{seconds:.1f} s" if seconds else "", style="dim"),
                    Text(note, style="red" if task["state"] == "failed" else "dim"),
                )
        return Group(Text(self._title, style="bold"), table)


def make_display(console: Console) -> LineDisplay | LiveDisplay:
    """The display that suits where the output goes."""
    return LiveDisplay(console) if console.is_terminal else LineDisplay(console)


def summary(root: Path, run: dict[str, Any], executions: dict[str, dict[str, Any]]) -> Text:
    """What was made, where it lies, and whether the model was blessed, in a few lines.

    Args:
      root: the pipeline root.
      run: the run's record.
      executions: records of its executions by task.
    """
    lines = Text()

    def line(label: str, value: object, style: str = "") -> None:
        lines.append(f"{label:<10}", style="dim")
        lines.append(f"{value}\n", style=style)

    state = {"done": "green", "failed": "red", "interrupted": "yellow"}[run["state"]]
    line("run", f"{run['id']} {run['state']} in {run['seconds']:.1f} s", state)
    if run["error"]:
        line("error", run["error"], "red")
    for task in run["tasks"]:
        if task["state"] == "failed" and task["error"]:
            line("log", root / task["log"])
    if "train" in executions:
        line("model", short(Path(executions["train"]["outputs"]["model"]["uri"]) / "Format-Serving"))
    if "evaluate" in executions:
        blessing = executions["evaluate"]["outputs"]["blessing"]["metadata"]
        verdict = "yes" if blessing["blessed"] else "no"
        line("blessed", f"{verdict}: {blessing['reason']}", "green" if blessing["blessed"] else "yellow")
    if "push" in executions:
        pushed = executions["push"]["outputs"]["pushed_model"]["metadata"]
        how = "" if pushed["created"] else " (was there already)"
        line("pushed", f"{short(Path(pushed['destination']))}/{pushed['version']}{how}", "green")
    elif "evaluate" in executions:
        line("pushed", "nothing")
    if "push-hub" in executions:
        line("hub", executions["push-hub"]["outputs"]["pushed_model"]["metadata"]["url"], "green")
    if "push-vertex" in executions:
        registered = executions["push-vertex"]["outputs"]["pushed_model"]["metadata"]
        answers = f", at {registered['endpoint']}" if registered.get("endpoint") else ""
        how = "" if registered["created"] else " (was there already)"
        line("vertex", f"{registered['resourceName']}{how}{answers}", "green")
    line("report", root / "runs" / run["id"] / "report.html")
    return lines


def short(path: Path) -> Path:
    """A path as a person would type it here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _line(task: dict[str, Any]) -> Text:
    mark, style = _MARKS[task["state"]]
    text = Text(f"{mark} {task['name']}", style=style if task["state"] in ("failed", "cached") else "")
    if task["state"] == "done":
        text.append(f"  {task['seconds']:.1f} s", style="dim")
    if facts := _facts(task):
        text.append(f"  {facts}")
    return text


def _facts(task: dict[str, Any]) -> str:
    if task["state"] == "failed":
        return str(task["error"])
    facts = []
    if task["state"] == "cached":
        facts.append("cached")
    if task["rows"] is not None:
        facts.append(f"{task['rows']:,} rows")
    return ", ".join(facts)
