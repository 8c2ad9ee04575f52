"""Shows a run in the terminal: live where it is one, line by line where the output goes to a file or a pipe."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from components.runtime.records import facts
from components.runtime.stage.progress import WAITS, Count
from components.runtime.text.visible import in_one_line
from runners.terminal import text
from runners.terminal.meter import Meter

_MARKS = {
    "waiting": ("·", "dim"),
    "running": ("▶", "cyan"),
    "done": ("✔", "green"),
    "cached": ("↺", "blue"),
    "failed": ("✘", "red"),
    "stopped": ("■", "yellow"),
    "skipped": ("–", "dim"),
}
_ASKS = ("?", "yellow")
"""Sign of a task that itself does nothing until a person has answered."""
_ALERTS = {facts.ERROR: ("!", "red"), facts.WARNING: ("!", "yellow")}
"""Signs of tasks that ended well and found something wrong."""

_TIME = 8
"""Columns that times have at least."""

_FIRST_LINE_SECONDS = 10.0
_LAST_LINE_SECONDS = 120.0
"""When a task's first line comes in a pipe, and how far apart they are in the end; they double till then."""


class LineDisplay:
    """One line for every change of state, and now and then one for how far a long task is."""

    def __init__(self, console: Console, *, errors: bool) -> None:
        """Takes where to print, and whether a failed task's line tells why: once is enough where a summary follows."""
        self._console = console
        self._errors = errors
        self._meters: dict[str, Meter] = {}
        self._next: dict[str, tuple[float, float]] = {}
        self._asked: dict[str, str] = {}

    def begin(self, run: dict[str, Any]) -> None:
        """Names the run."""
        for line in _title(run):
            self._console.print(line, highlight=False, soft_wrap=True)

    def change(self, task: dict[str, Any], note: str = "") -> None:
        """Prints a finished or started task, or why one waits; what it is doing meanwhile is in its log."""
        if note:
            self._follow(task, note)
            return
        if task["state"] in ("waiting", "skipped") and not task.get("facts"):
            return
        if task["state"] == "running":
            self._next.setdefault(task["name"], (time.monotonic() + _FIRST_LINE_SECONDS, _FIRST_LINE_SECONDS))
        mark, style = _sign(task)
        line = Text(f"{mark} {task['name']}", style=style if task["state"] not in ("running", "done") else "")
        if task.get("alert"):
            line.stylize(style)
        for each, its_style in ((_took(task), "dim"), (_detail(task, errors=self._errors), "")):
            line.append(f"  {in_one_line(each)}" if each else "", its_style)
        self._console.print(line, highlight=False, soft_wrap=True)

    def _follow(self, task: dict[str, Any], note: str) -> None:
        """Prints how far a task is, at intervals that grow."""
        name, now = task["name"], time.monotonic()
        if note.startswith(WAITS) and self._asked.get(name) != note:
            self._asked[name] = note
            line = Text.assemble(f"{_ASKS[0]} {name}", f"  {in_one_line(note)}", style=_ASKS[1])
            self._console.print(line, highlight=False, soft_wrap=True)
        if not (count := Count.read(note)) or name not in self._next:
            return
        meter = self._meters.setdefault(name, Meter())
        meter.add(count, now)
        due, interval = self._next[name]
        if now >= due:
            interval = min(2 * interval, _LAST_LINE_SECONDS)
            self._next[name] = (now + interval, interval)
            line = Text.assemble(_sign(task)[0], f" {name}  ", (in_one_line(meter.line(now)), "dim"))
            self._console.print(line, highlight=False, soft_wrap=True)

    def notice(self, said: str) -> None:
        """Prints what concerns no task alone; nothing is said of its end."""
        if said:
            self._console.print(Text(f"! {in_one_line(said)}", style="yellow"), highlight=False, soft_wrap=True)

    def end(self, run: dict[str, Any]) -> None:
        """Nothing more to print."""


class LiveDisplay:
    """A table that follows the run.

    Sign, name and time keep their places; the detail behind them is cut where the line ends. In a low window finished
    tasks make room for those that run; the last picture has all.
    """

    def __init__(self, console: Console, *, errors: bool) -> None:
        """Takes a console that is a terminal, and whether the last picture tells why tasks failed."""
        # The modes of terminals are a matter of Unix alone.
        from runners.terminal.screen import Drawing

        self._console = console
        self._errors = errors
        self._run: dict[str, Any] = {}
        self._notes: dict[str, str] = {}
        self._meters: dict[str, Meter] = {}
        self._notice = ""
        self._running_since: dict[str, float] = {}
        self._not_selected: frozenset[str] = frozenset()
        self._has_ended = False
        self._live: Live | None = None
        self._drawing = Drawing(console.file, self._draw, self._leave)  # type: ignore[arg-type]

    def begin(self, run: dict[str, Any]) -> None:
        """Starts drawing."""
        self._run = run
        self._not_selected = frozenset(task["name"] for task in run["tasks"] if task["state"] == "skipped")
        self._drawing.open()

    def change(self, task: dict[str, Any], note: str = "") -> None:
        """Remembers what a task is doing; the table is drawn by the clock."""
        # No lock: a handler of signals ends the drawing, and must not wait for what it has interrupted.
        if count := Count.read(note):
            self._meters.setdefault(task["name"], Meter()).add(count, time.monotonic())
        else:
            self._meters.pop(task["name"], None)
        self._notes[task["name"]] = note
        if task["state"] == "running":
            self._running_since.setdefault(task["name"], time.monotonic())

    def notice(self, said: str) -> None:
        """Shows what concerns no task alone below the title; an empty one takes it away."""
        self._notice = said

    def end(self, run: dict[str, Any]) -> None:
        """Draws the last state and stops."""
        self._has_ended = True
        if not self._drawing.is_drawing:
            self._console.print(self._render())
        self._drawing.close()

    def _draw(self) -> None:
        # One that was stopped would draw over the lines that have come since.
        self._live = Live(
            console=self._console, get_renderable=self._render, refresh_per_second=8, vertical_overflow="visible"
        )
        self._live.start()

    def _leave(self) -> None:
        if self._live:
            self._live.stop()

    def _render(self) -> Group:
        tasks = [task for task in self._run["tasks"] if task["name"] not in self._not_selected]
        title = [*_title(self._run), *([f"! {in_one_line(self._notice)}"] if self._notice else [])]
        shown, others = tasks, ""
        if not self._has_ended:
            shown, others = _fitting(tasks, self._console.height - 1 - len(title))
        name_width = max((cell_len(task["name"]) for task in tasks), default=0)
        times = [self._time(task) for task in shown]
        time_width = max([_TIME, *map(len, times)])
        lines = [Text(line, style="bold" if place == 0 else "dim") for place, line in enumerate(title)]
        for task, took in zip(shown, times, strict=True):
            asks = task["state"] == "running" and self._notes.get(task["name"], "").startswith(WAITS)
            mark, style = _ASKS if asks else _sign(task)
            line = Text.assemble(
                (mark, style),
                (f" {task['name']}{' ' * (name_width - cell_len(task['name']))}", "" if mark == "✔" else style),
                (f"  {took:>{time_width}}  ", "dim"),
                (
                    in_one_line(self._told(task, self._console.width - name_width - time_width - 6)),
                    style if asks or task["state"] == "failed" or task.get("alert") else "dim",
                ),
            )
            lines.append(line)
        lines += [Text(others, style="dim")] if others else []
        for line in lines:
            line.no_wrap, line.overflow = True, "ellipsis"
        return Group(*lines)

    def _time(self, task: dict[str, Any]) -> str:
        if task["state"] != "running":
            return _took(task)
        return text.duration(time.monotonic() - self._running_since.get(task["name"], time.monotonic()))

    def _told(self, task: dict[str, Any], width: int) -> str:
        if task["state"] == "running":
            if meter := self._meters.get(task["name"]):
                return meter.line(time.monotonic(), width)
            return self._notes.get(task["name"]) or _detail(task, errors=False)
        # While the run goes on, nothing else says it.
        return _detail(task, errors=self._errors or not self._has_ended)


def make_display(console: Console, *, errors: bool = False) -> LineDisplay | LiveDisplay:
    """The display that suits where the output goes; a terminal that cannot move its cursor gets lines.

    Args:
      console: where it goes.
      errors: whether a failed task's line tells why, since nothing after it will.
    """
    suited = LiveDisplay if console.is_terminal and not console.is_dumb_terminal else LineDisplay
    return suited(console, errors=errors)


def _title(run: Mapping[str, Any]) -> list[str]:
    """The run's name, or what stands in its place, and whose artifacts it goes on from."""
    selection = run.get("selection", {})
    only = set(selection.get("only", ()))
    # (What the first task alone is asked to do goes on from nothing.)
    is_used = any(set(task["after"]) - only for task in run["tasks"] if task["name"] in only)
    earlier = selection.get("earlier", "") if is_used else ""
    return [run.get("title") or f"run {run['id']}", *([f"on the artifacts of {earlier}"] if earlier else [])]


def _sign(task: Mapping[str, Any]) -> tuple[str, str]:
    return _ALERTS.get(task.get("alert", "")) or _MARKS[task["state"]]


def _took(task: Mapping[str, Any]) -> str:
    return text.duration(task["seconds"]) if task["state"] == "done" else ""


def _detail(task: Mapping[str, Any], *, errors: bool) -> str:
    if task["state"] == "failed":
        return " ".join(str(task["error"]).split()) if errors else ""
    return ", ".join(filter(None, ["cached" if task["state"] == "cached" else "", task.get("facts", "")]))


def _fitting(tasks: list[dict[str, Any]], room: int) -> tuple[list[dict[str, Any]], str]:
    """The tasks that have room, and a line about the others: what is over gives way first, then what is far away."""
    if len(tasks) <= room:
        return tasks, ""
    kept = {id(task): task for task in tasks}
    over = [task for task in tasks if task["state"] in ("done", "cached", "skipped") and not task.get("alert")]
    waiting = [task for task in reversed(tasks) if task["state"] == "waiting"]
    rest = [task for task in tasks if task["state"] != "running" and task not in over and task not in waiting]
    left_out: Counter[str] = Counter()
    for task in [*over, *waiting, *rest]:
        if len(kept) < room:
            break
        left_out[task["state"]] += 1
        del kept[id(task)]
    counts = ", ".join(f"{count} {state}" for state, count in left_out.items())
    return list(kept.values()), f"… and {counts}"
