"""What a run looks like, in windows of several sizes, in terminals that can do little, and in a pipe."""

from __future__ import annotations

import io
import os
import pty
import re
import select
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from rich.cells import cell_len
from rich.console import Console

from components.runtime.records import facts
from components.runtime.stage.progress import Count
from runners.terminal.display import LineDisplay, LiveDisplay, make_display
from runners.terminal.summary import summary
from tests.support import ROOT

NAMES = ("ingest", "statistics", "schema", "validate", "transform", "transformed-statistics", "train", "push")
LONG = "step 200/500 auc 0.956, loss 0.2092, eval auc 0.9473, " * 4


def a_run(**states: str) -> dict[str, Any]:
    """A run whose tasks are done where nothing else is said."""
    common = {"seconds": 12.3, "alert": "", "error": "", "exit_code": None}
    named = [(name, states.get(name, "done")) for name in NAMES]
    tasks = [
        common | {"name": name, "stage": name, "state": state, "facts": "3,025 rows" if state == "done" else ""}
        for name, state in named
    ]
    return {"id": "taxi-20261129-043741-434c", "state": "done", "seconds": 41.0, "error": "", "tasks": tasks}


def task(run: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(task for task in run["tasks"] if task["name"] == name)
    return found


def picture(run: dict[str, Any], *, width: int = 80, height: int = 30, ended: bool = False) -> list[str]:
    """What a window shows, line by line."""
    console = Console(file=io.StringIO(), force_terminal=True, width=width, height=height, color_system=None)
    display = LiveDisplay(console, errors=False)
    display._run, display._has_ended = run, ended
    # The clock stands still: what runs has run for no time, however busy the machine is.
    with mock.patch("runners.terminal.display.time", mock.Mock(monotonic=lambda: 0.0)):
        for each in run["tasks"]:
            display.change(each, LONG)
        with console.capture() as captured:
            console.print(display._render())
    return captured.get().splitlines()


@pytest.mark.parametrize("width", [60, 80, 120])
def test_sign_name_and_time_keep_their_places_whatever_a_task_says(width: int) -> None:
    run = a_run(transform="running", train="waiting", push="waiting")
    task(run, "ingest")["facts"] = LONG
    lines = picture(run, width=width)
    assert lines[0] == f"run {run['id']}"
    assert all(cell_len(line) <= width for line in lines)
    assert [line[:24].rstrip() for line in lines[1:]] == [
        *("✔ ingest", "✔ statistics", "✔ schema", "✔ validate"),
        *("▶ transform", "✔ transformed-statistics", "· train", "· push"),
    ]
    assert [line[24:34].strip() for line in lines[1:]] == ["12 s"] * 4 + ["<0.1 s", "12 s", "", ""]
    assert lines[1].endswith("…")
    assert lines[5].endswith("…")
    assert lines[2].endswith("  3,025 rows")


@pytest.mark.parametrize("height", [3, 5, 8, 10])
def test_in_a_low_window_the_running_task_is_seen_and_what_is_over_gives_way(height: int) -> None:
    run = a_run(train="running", push="waiting")
    lines = picture(run, height=height)
    assert len(lines) <= max(3, height - 1)
    assert any(line.startswith("▶ train") for line in lines)
    over = [line for line in lines if line.startswith("✔")]
    if height < 10:
        assert len(over) <= max(0, height - 5)
        assert re.fullmatch(r"… and \d done(, 1 waiting)?", lines[-1])
        assert (height < 5) == ("waiting" in lines[-1])
    assert len(picture(run, height=height, ended=True)) == 1 + len(NAMES), "the last picture has all"


def test_what_concerns_no_task_alone_stands_below_the_title_as_long_as_it_holds() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=30, color_system=None)
    display = LiveDisplay(console, errors=True)
    display._run = a_run()
    display.notice("no connection")
    with console.capture() as captured:
        console.print(display._render())
    assert captured.get().splitlines()[1] == "! no connection"
    display.notice("")
    with console.capture() as captured:
        console.print(display._render())
    assert "no connection" not in captured.get()


ASKS = "waits for a person: ./millrace approve taxi-1 (until 2026-11-30 04:00 UTC)"


def test_what_waits_for_a_person_is_not_shown_as_running() -> None:
    run = a_run(push="running")
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=30, color_system=None)
    live = LiveDisplay(console, errors=False)
    live._run = run
    live.change(task(run, "push"), ASKS)
    with console.capture() as captured:
        console.print(live._render())
    [line] = [line for line in captured.get().splitlines() if "push" in line]
    assert line.startswith("? push")
    assert line.endswith(ASKS)
    file = io.StringIO()
    lines = LineDisplay(Console(file=file, width=80), errors=False)
    for note in (ASKS, ASKS, "approved by anna"):
        lines.change(task(run, "push"), note)
    assert file.getvalue() == f"? push  {ASKS}\n", "whole, so that it can be copied, and once"


def test_tasks_that_are_not_part_of_the_run_are_not_shown() -> None:
    stream = io.StringIO()
    run = a_run(transform="skipped", train="skipped", push="skipped", validate="waiting")
    display = LiveDisplay(Console(file=stream, force_terminal=True, width=80), errors=False)
    display.begin(run)
    task(run, "validate")["state"] = "skipped"
    display.end(run)
    last = stream.getvalue().rpartition("taxi-")[2]
    assert "train" not in last
    assert "validate" in last, "skipped by the run itself"


def test_what_a_task_found_is_not_told_with_a_tick() -> None:
    run = a_run()
    task(run, "validate").update(alert="error", facts="5 errors")
    assert f"{'! validate':<24}      12 s  5 errors" in picture(run)
    task(run, "validate").update(state="cached")
    assert f"{'! validate':<24}            cached, 5 errors" in picture(run)


def test_settings_that_are_not_to_blame_are_not_told() -> None:
    run = a_run(ingest="failed") | {"state": "failed"}
    failed = task(run, "ingest")
    failed.update(stage="query", exit_code=65, error="postgresql at h: mend source.user", log="runs/x/query.log")
    settings = Path("models/taxi/settings.yaml")
    assert f"settings  {settings}, ingest.query\n" in summary(Path("root"), run, {}, settings=settings).plain
    failed.update(error="postgresql at h: put the right password into CITY in the environment")
    assert "settings" not in summary(Path("root"), run, {}, settings=settings).plain


def test_an_error_is_told_once() -> None:
    run = a_run(train="failed", push="skipped") | {"state": "failed", "error": "train: model.py:3: no such feature"}
    task(run, "train").update(error="model.py:3: no such feature", log="runs/x/train.log")
    assert f"{'✘ train':<24}{'':<12}model.py:3: no such feature" in picture(run), "while others run"
    whole = "\n".join(picture(run, ended=True)) + lines_of(run) + summary(Path("root"), run, {}).plain
    assert whole.count("no such feature") == 1
    assert "error     train: model.py:3: no such feature\nlog       root/runs/x/train.log\n" in whole
    task(run, "train").update(exit_code=65)
    refused = summary(Path("root"), run, {}, settings=Path("models/taxi/settings.yaml")).plain
    assert "train.log\nsettings  models/taxi/settings.yaml, train\n" in refused
    other = summary(Path("root"), run, {}, settings=Path("models/taxi/settings.yaml"), sections={"ingest"}).plain
    assert "settings" not in other, "a section that is not there"
    with_errors = io.StringIO()
    LineDisplay(Console(file=with_errors), errors=True).change(task(run, "train"))
    assert with_errors.getvalue() == "✘ train  model.py:3: no such feature\n"


def lines_of(run: dict[str, Any], **options: Any) -> str:
    """What goes into a pipe, or another file."""
    stream = io.StringIO()
    display = make_display(Console(file=stream, width=60, **options))
    display.begin(run)
    for each in run["tasks"]:
        display.change(each)
    display.end(run)
    return stream.getvalue()


def test_a_pipe_and_a_terminal_that_cannot_draw_get_whole_lines() -> None:
    run = a_run(train="running", push="waiting") | {"selection": {"only": ["push"], "earlier": "taxi-1"}}
    task(run, "push")["after"] = ["train"]
    task(run, "ingest")["facts"] = LONG
    task(run, "validate").update(alert="warning", facts="2 errors let through")
    piped = lines_of(run)
    assert piped.splitlines() == [
        "run taxi-20261129-043741-434c",
        "on the artifacts of taxi-1",
        f"✔ ingest  12 s  {LONG}",
        *("✔ statistics  12 s  3,025 rows", "✔ schema  12 s  3,025 rows"),
        "! validate  12 s  2 errors let through",
        *("✔ transform  12 s  3,025 rows", "✔ transformed-statistics  12 s  3,025 rows", "▶ train"),
    ]
    dumb = {"force_terminal": True, "_environ": {"TERM": "dumb"}}
    assert lines_of(run, **dumb) == piped
    coloured = lines_of(run, force_terminal=True, _environ={"TERM": "dumb"}, color_system=None)
    assert coloured == piped


@pytest.mark.parametrize(("only", "is_used"), [(["ingest"], False), (["ingest", "push"], False), (["push"], True)])
def test_only_a_run_whose_artifacts_are_used_is_named(only: list[str], is_used: bool) -> None:
    run = a_run() | {"selection": {"only": only, "earlier": "taxi-1"}}
    task(run, "ingest")["after"], task(run, "push")["after"] = [], ["ingest"]
    assert ("on the artifacts of taxi-1" in lines_of(run)) is is_used


def test_no_color_is_obeyed() -> None:
    run = a_run(train="failed")
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=True, _environ={"NO_COLOR": "1", "TERM": "xterm-256color"})
    display = LiveDisplay(console, errors=True)
    display._run = run
    console.print(display._render())
    assert "train" in stream.getvalue()
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]", stream.getvalue())


@pytest.mark.parametrize(
    ("outputs", "expected"),
    [
        (
            {"examples": {"rows": 3025, "rows_left_out": 11975}, "sample": {"sample_rows": 10}},
            "3,025 rows, 11,975 left out",
        ),
        ({"examples": {"rows": 1, "left_out": 2}}, "1 row, 2 files left out"),
        ({"anomalies": {"anomalies": 5, "errors": 3, "valid": False}}, "3 errors, 2 warnings"),
        ({"anomalies": {"anomalies": 1, "errors": 1, "valid": True}}, "1 error let through"),
        ({"anomalies": {"anomalies": 0, "errors": 0, "valid": True}}, "no anomalies"),
        (
            {"best_hyperparameters": {"objective": "auc", "score": 0.95312}, "trials": {"trials": 3, "failed": 1}},
            "best auc 0.9531, 3 trials (1 failed)",
        ),
        (
            {"transform_graph": {"features": 9}, "transformed_examples": {"rows": 5, "not_finite": "x: 1 NaN in eval"}},
            "5 rows, not finite: x: 1 NaN in eval",
        ),
        ({"model": {"steps": 500}, "metrics": {"auc": 0.9}}, "500 steps"),
        ({"model": {"steps": 120, "stopped_early_at": 120}}, "stopped early after 120 steps"),
        ({"model": {"steps": 5000, "resumed_at": 1500}}, "5,000 steps, went on from step 1,500"),
        (
            {"trials": {"trials": 9, "failed": 1, "of_earlier_attempts": 4}},
            "9 trials (1 failed), 4 of them of an earlier attempt",
        ),
        ({"evaluation": {"rows": 963}, "blessing": {"blessed": False}}, "963 rows, not blessed"),
        ({"report": {}}, ""),
    ],
)
def test_what_came_of_a_task_in_a_few_words(outputs: dict[str, dict[str, Any]], expected: str) -> None:
    assert facts.facts({"outputs": {name: {"metadata": metadata} for name, metadata in outputs.items()}}) == expected


def _execution(task: str, output: str, **metadata: Any) -> dict[str, Any]:
    outputs = {output: {"metadata": metadata, "uri": f"/r/{task}/{output}"}}
    return {"task": task, "stage": task.partition("-")[0], "inputs": {"model": {}}, "outputs": outputs}


def test_the_summary_tells_of_invalid_data_and_of_rows_left_out() -> None:
    anomalies = {"anomalies": 5, "errors": 5, "valid": False, "summary": "train: fare: Column dropped; and 4 more"}
    found = {
        "ingest": _execution("ingest", "examples", rows=3025, rows_left_out=11975),
        "validate": _execution("validate", "anomalies", **anomalies),
    }
    run = a_run(push="skipped") | {"state": "failed", "error": "validate: the data is invalid: train: fare"}
    lines = summary(Path("root"), run, found).plain.splitlines()
    assert lines[:3] == [
        "run       taxi-20261129-043741-434c failed in 41 s",
        "data      invalid: train: fare: Column dropped; and 4 more",
        "rows      3,025 rows, 11,975 left out",
    ]
    assert "error" not in "".join(lines)
    found["validate"] = _execution(
        "validate", "anomalies", **anomalies | {"valid": True, "summary": "1 error let through: train: fare: Column"}
    )
    lines = summary(Path("root"), a_run(), found).plain.splitlines()
    assert lines[1] == "data      1 error let through: train: fare: Column"


def test_a_run_up_to_a_task_says_so() -> None:
    run = a_run() | {"selection": {"until": "validate"}}
    assert summary(Path("root"), run, {}).plain.startswith(f"run       {run['id']} done up to validate in 41 s\n")


@pytest.mark.parametrize(("error", "told"), [("stopped", "stopped"), ("stopped in train", "stopped in train")])
def test_an_interruption_is_no_error(error: str, told: str) -> None:
    run = a_run(train="stopped", push="skipped") | {"state": "stopped", "error": error}
    lines = summary(Path("root"), run, {}).plain.splitlines()
    assert lines[0] == f"run       {run['id']} {told}, after 41 s"
    assert not any(line.startswith("error") for line in lines)
    assert any(line.startswith("■ train") for line in picture(run))


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_summary_breaks_between_words_and_gives_a_path_lines_of_its_own(width: int) -> None:
    uri = "/a/pipeline_root/artifacts/taxi/train/986b61c4a08700d20045a60361fab3db/model"
    model = {"uri": uri, "type": "system.Model", "metadata": {}}
    found = {
        "train": {"task": "train", "stage": "train", "outputs": {"model": model}},
        "evaluate": _execution("evaluate", "blessing", blessed=False, reason="auc 0.5 < 0.6 (overall); " * 6),
    }
    lines = summary(Path("root"), a_run(), found, width=width).plain.splitlines()
    path = f"{uri}/Format-Serving"
    assert (f"model     {path}" in lines) == (width == 120)
    assert (path in lines) == (width < 120)
    begin = next(place for place, line in enumerate(lines) if line.startswith("blessed"))
    end = next(place for place, line in enumerate(lines) if line.startswith("pushed"))
    assert all(line.startswith(" " * 10) and len(line) <= width for line in lines[begin + 1 : end])
    assert " ".join(" ".join(lines[begin:end]).split()) == "blessed no: " + " ".join(["auc 0.5 < 0.6 (overall);"] * 6)


@pytest.mark.parametrize("width", [24, 40, 60, 80, 120])
@pytest.mark.parametrize("height", [5, 10, 30])
def test_how_far_a_task_is_has_the_room_behind_its_time(width: int, height: int) -> None:
    run = a_run(train="running", push="waiting")
    count = str(Count(1200, 3000, "steps", "", {"loss": 0.25, "auc": 0.9}))
    with mock.patch(f"{__name__}.LONG", count):
        lines = picture(run, width=width, height=height)
    assert all(cell_len(line) <= width for line in lines)
    [line] = [line for line in lines if line.startswith("▶ train")]
    assert not line.endswith("…") or width < 40
    assert ("━━━━──────   40 %  loss 0.25" in line) == (width == 80)
    assert ("1,200/3,000 steps" in line) == (width == 120)


def test_a_text_takes_the_place_of_a_bar_and_what_has_ended_has_none() -> None:
    run = a_run(train="running")
    for note, shown in (("[1/2 steps]", " 50 %"), ("exporting the model", "exporting the model")):
        with mock.patch(f"{__name__}.LONG", note):
            assert any(line.startswith("▶ train") and shown in line for line in picture(run))
    with mock.patch(f"{__name__}.LONG", "[1/2 steps]"):
        assert not any("%" in line for line in picture(a_run()))


# --- a real terminal

_PROGRAM = """
    import sys, time
    sys.path.insert(0, {root!r})
    from rich.console import Console
    from runners.terminal.display import make_display
    task = {{"name": "train", "state": "running", "seconds": 0.0, "facts": "", "alert": "", "error": ""}}
    run = {{"id": "taxi-1", "tasks": [task]}}
    display = make_display(Console())
    display.begin(run)
    try:
        display.change(task, "drawing")
        time.sleep(60)
    finally:
        display.end(run)
"""


CURSOR_UP = "\x1b[1A"


class Shell:
    """A shell in a terminal of its own, with a person who types."""

    def __init__(self, terminal: int) -> None:
        self.terminal = terminal
        self.seen = ""

    def type(self, keys: str) -> None:
        self.seen = ""
        os.write(self.terminal, keys.encode())

    def read_until(self, wanted: str, times: int = 1) -> str:
        """What appears until a text has come so many times."""
        deadline = time.monotonic() + 60
        while self.seen.count(wanted) < times:
            ready, _, _ = select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"no {wanted!r} in ...{self.seen[-500:]!r}"
            self.seen += os.read(self.terminal, 4096).decode(errors="replace")
        return self.seen

    @property
    def echoes(self) -> bool:
        """Whether what is typed would be shown; bash itself edits without, so a program is asked."""
        self.type("stty -a; echo asked\n")
        return " echo " in self.read_until("\r\nasked").replace(";", " ")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    (tmp_path / "program.py").write_text(textwrap.dedent(_PROGRAM.format(root=str(ROOT))))
    process, terminal = pty.fork()
    if process == 0:
        environment = {**os.environ, "TERM": "xterm", "PS1": "$ ", "PROGRAM": f"{sys.executable} {tmp_path}/program.py"}
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], environment)
    yield Shell(terminal)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    os.close(terminal)


@pytest.mark.parametrize("keys", ["\x03", "\x1c"], ids=["Ctrl-C", "Ctrl-backslash"])
def test_what_is_typed_does_not_tear_the_table_and_the_terminal_comes_back_as_it_was(shell: Shell, keys: str) -> None:
    shell.type("$PROGRAM\n")
    shell.read_until("drawing")
    shell.type("typed")
    assert "typed" not in shell.read_until("drawing", times=4)
    shell.type("\x1a")
    shell.read_until("Stopped")
    assert shell.echoes
    shell.type("fg\n")
    before, _, _ = shell.read_until("drawing").partition("run taxi-1")
    assert CURSOR_UP not in before, "drawn below, not over what has come since"
    shell.type("typed")
    assert "typed" not in shell.read_until("drawing", times=4)
    shell.type(keys)
    shell.read_until("$ ")
    assert shell.echoes
