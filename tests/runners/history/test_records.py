from __future__ import annotations

import fcntl
import io
import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.runtime.errors import InputError
from components.runtime.records import execution_record
from runners.commands import cli
from runners.commands import runs as history
from runners.history.comparison import compare_runs
from runners.history.outcome import outcome
from runners.history.pages import run_report
from runners.history.records import artifacts_of, list_runs, load_run
from runners.history.run_folders import OWNER_LOCK
from runners.terminal import text
from tests.runners.history.pipeline_roots import FAILED, FIRST, SECOND, RootWriter, taxi_root
from tests.support import ROOT


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records") / "root"
    taxi_root(folder)
    return folder


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runners", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_runs_come_newest_first(root: Path) -> None:
    assert [run.id for run in list_runs(root)] == [FAILED, SECOND, FIRST]


def test_a_run_is_read_with_its_executions(root: Path) -> None:
    run = load_run(root, SECOND)
    assert (run.state, run.pipeline, run.seconds) == ("done", "taxi", 20.4)
    assert {task.name: task.state for task in run.tasks}["transform"] == "cached"
    assert run.executions["transform"].run == FIRST
    assert run.executions["train"].outputs["model"].digest.startswith("sha256:")
    assert run.executions["train"].path("model").is_file()
    assert "push" not in run.executions


def test_secrets_are_not_read(root: Path) -> None:
    run = load_run(root, FIRST)
    assert run.parameters["hub_token"] == run.executions["train"].parameters["hub_token"] == "***"


@pytest.mark.parametrize(("name", "expected"), [("latest", FAILED), (FIRST, FIRST), ("taxi-20261120-2134", FIRST)])
def test_a_run_is_found_by_name(root: Path, name: str, expected: str) -> None:
    assert load_run(root, name).id == expected


@pytest.mark.parametrize("name", ["taxi-20261121-213455", "../runs", "", ".", "/etc"])
def test_an_unknown_run_is_named_with_the_nearest(root: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"no such run; the nearest are: .*taxi-20261120-2"):
        load_run(root, name)


def test_a_beginning_that_fits_several_runs_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match=r"3 runs begin so: .*give more of the id"):
        load_run(root, "taxi-2026")


def test_a_root_without_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nothing") == []
    with pytest.raises(InputError, match="no runs here"):
        load_run(tmp_path / "nothing")


def test_half_written_and_odd_records_are_left_out(tmp_path: Path) -> None:
    for name, content in {
        "half": '{"id": "half", "pipel',
        "empty": "",
        "list": "[1]",
        "binary": "\xff\x00",
        "good": '{"id": "good"}',
    }.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_bytes(content.encode("latin-1"))
    (tmp_path / "runs" / "just-made").mkdir()

    [run] = list_runs(tmp_path)

    assert (run.id, run.state, run.tasks, run.started, run.elapsed) == ("good", "running", [], None, None)
    with pytest.raises(InputError, match="not a readable run record"):
        load_run(tmp_path, "half")


def test_an_unfinished_run_is_read(tmp_path: Path) -> None:
    record = {
        "id": "r",
        "pipeline": "taxi",
        "state": "running",
        "started": "2026-11-20T21:34:55+00:00",
        "finished": "",
        "seconds": None,
        "parameters": None,
        "tasks": [
            {"name": "ingest", "state": "running", "execution": ""},
            {"name": "train", "execution": "artifacts/x"},
            3,
        ],
    }
    (tmp_path / "runs/r").mkdir(parents=True)
    (tmp_path / "runs/r/run.json").write_text(json.dumps(record))

    run = load_run(tmp_path, "r")

    assert [task.name for task in run.tasks] == ["ingest", "train"]
    assert run.executions == {}
    assert run.elapsed is not None
    assert run.elapsed > 0


def test_how_long_a_run_takes_is_known_while_it_runs_and_unknown_once_it_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    began = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
    record = {"id": "r", "state": "running", "started": began, "finished": "", "seconds": 0.0, "tasks": []}
    (folder / "run.json").write_text(json.dumps(record))
    with (folder / OWNER_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert text.duration(load_run(tmp_path, "r").elapsed).startswith("3 min ")
    killed = load_run(tmp_path, "r")
    assert (killed.state, killed.elapsed) == ("interrupted", None)


ODD = [
    "[" * 100_000,
    "[]",
    "{}",
    '"lots"',
    "5",
    "-1",
    "true",
    "null",
    "NaN",
    "Infinity",
    "1e400",
    "1" + "0" * 400,
    '"a\\u0000b"',
]
"""What may stand in a record in place of a value, as JSON."""


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value of a document, itself included; of a list only its first entry."""
    yield path
    for key, value in (
        document.items()
        if isinstance(document, dict)
        else enumerate(document[:1])
        if isinstance(document, list)
        else ()
    ):
        yield from places(value, (*path, key))


def with_value(document: Any, path: tuple[Any, ...], value: str) -> str:
    """The document as JSON with another value at a path."""
    mark = "value that is to be replaced"
    if not path:
        return value
    changed = json.loads(json.dumps(document))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = mark
    return json.dumps(changed).replace(json.dumps(mark), value)


def test_no_record_however_odd_blinds_the_commands(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    outputs = {"metrics": {"auc": 0.8}, "report": {"rows": 3}}
    made = writer.execution("r", "evaluate", parameters={"seed": 1}, outputs=outputs)
    writer.run("r", parameters={"seed": 1}, seconds=3.0)
    writer.run("other", parameters={}, seconds=3.0)
    failed = []
    for file in (tmp_path / "runs/r/run.json", tmp_path / execution_record.home(made) / execution_record.FILE):
        good = file.read_text()
        for path, odd in zip(places(json.loads(good)), itertools.cycle(ODD), strict=False):
            file.write_text(with_value(json.loads(good), path, odd))
            try:
                found = {each.id: each for each in list_runs(tmp_path)}
                for run in found.values():
                    history._row(run)
                    run_report.render(run)
                    compare_runs(run, found["other"])
                artifacts_of(tmp_path, "r")
            except Exception as error:
                failed.append(f"{file.name} {path} {odd[:20]}: {type(error).__name__} {error}")
        file.write_text(good)
    assert failed == []


@pytest.mark.parametrize("odd", ["NaN", "Infinity", '"lots"', "1" + "0" * 400])
def test_numbers_that_are_none_are_absent(tmp_path: Path, odd: str) -> None:
    task = '{"name": "a", "seconds": ODD, "start_up_seconds": ODD, "peak_memory_bytes": ODD, "rows": ODD}'
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs/r/run.json").write_text(
        f'{{"seconds": ODD, "exit_code": ODD, "tasks": [{task}]}}'.replace("ODD", odd)
    )
    run = load_run(tmp_path, "r")
    assert (run.seconds, run.exit_code) == (None, None)
    [made] = run.tasks
    assert (made.seconds, made.start_up_seconds, made.peak_memory_bytes, made.rows) == (None, None, None, None)


def test_a_run_is_called_as_its_folder(tmp_path: Path) -> None:
    (tmp_path / "runs" / "r").mkdir(parents=True)
    (tmp_path / "runs/r/run.json").write_text('{"id": "../../evil"}')
    [run] = list_runs(tmp_path)
    assert (run.id, run.folder) == ("r", tmp_path / "runs" / "r")


def test_a_run_that_goes_on_from_itself_ends(tmp_path: Path) -> None:
    for name, earlier in {"a": "b", "b": "a"}.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps({"selection": {"earlier": earlier}}))
    assert artifacts_of(tmp_path, "a") == {}


def test_notes_of_a_workflow_that_are_none_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "runs" / "taxi-1" / "tasks").mkdir(parents=True)
    note = {"task": "ingest", "execution": "", "error": "", "code": 0}
    odd = {"a": note, "b": 5, "c": {"task": "train"}, "d": note | {"execution": 5}}
    for name, content in odd.items():
        (tmp_path / "runs/taxi-1/tasks" / f"{name}.json").write_text(json.dumps(content))
    (tmp_path / "runs/taxi-1/tasks/e.json").write_text("[" * 100_000)
    [run] = list_runs(tmp_path)
    assert [task.name for task in run.tasks] == ["ingest"]


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"created": True}, ""),
        ({"created": False}, " (in service already)"),
        # As text and as floats, from other targets.
        ({"created": "false"}, " (in service already)"),
        ({"created": "true", "same_as": "1"}, " (the model of version 1 again)"),
        ({"created": 1.0, "same_as": 2.0}, " (the model of version 2 again)"),
        ({"created": 1.0, "same_as": 0.0}, ""),
        ({"created": 0.0}, " (in service already)"),
    ],
)
def test_how_a_model_was_pushed_is_read_on_every_target(tmp_path: Path, metadata: dict[str, Any], told: str) -> None:
    writer = RootWriter(tmp_path)
    writer.execution("taxi-1", "push", outputs={"pushed_model": {"version": 3, "destination": "/s"} | metadata})
    writer.run("taxi-1")
    assert outcome(load_run(tmp_path, "taxi-1")).how_pushed == told


def test_artifacts_are_found_after_the_root_has_moved(tmp_path: Path) -> None:
    taxi_root(tmp_path / "before")
    (tmp_path / "before").rename(tmp_path / "after")
    execution = load_run(tmp_path / "after", FIRST).executions["train"]
    assert execution.path("report").is_relative_to(tmp_path / "after")


def test_what_came_of_a_run(root: Path) -> None:
    good, bad, failed = (outcome(load_run(root, name)) for name in (FIRST, SECOND, FAILED))
    assert (good.blessed, good.version, good.destination, good.has_baseline) == (True, "1", "/srv/taxi", False)
    assert list(good.key_metrics()) == ["auc", "binary_accuracy", "loss"]
    assert (bad.blessed, bad.version, bad.reason) == (False, "", "auc 0.8712 is below 0.9 (all examples)")
    assert (failed.blessed, failed.metrics) == (None, {})


def test_the_list_in_a_pipe_is_plain_and_whole(root: Path) -> None:
    result = command("--root", str(root), "runs")
    lines = result.stdout.splitlines()
    assert (result.returncode, result.stderr, len(lines)) == (0, "", 4)
    assert "\x1b" not in result.stdout
    assert "…" not in result.stdout
    assert lines[3].split()[:4] == [FIRST, "taxi", "done", "2026-11-20"]
    assert "auc 0.9371, binary_accuracy 0.8771, loss 0.0629" in lines[3]
    assert lines[3].split()[-2:] == ["yes", "1"]
    assert lines[1].split()[2] == "failed"


class Terminal(io.StringIO):
    """Takes what is printed as a terminal would."""

    def isatty(self) -> bool:
        return True


def _in_terminal(monkeypatch: pytest.MonkeyPatch, root: Path, *arguments: str) -> list[str]:
    """The lines that a command prints there, without their colours."""
    terminal = Terminal()
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", terminal)
        cli.cli.main(["--root", str(root), *arguments], standalone_mode=False)
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (40, ["run", "state"]),
        (60, ["run", "state", "duration", "blessed", "pushed"]),
        (80, ["run", "state", "duration", "metric", "blessed", "pushed"]),
        (120, ["run", "pipeline", "state", "started (UTC)", "duration", "metric", "blessed", "pushed"]),
        (200, ["run", "pipeline", "state", "started (UTC)", "duration", "metrics", "blessed", "pushed"]),
    ],
)
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_in_a_terminal_a_run_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, term: str, columns: int, expected: list[str]
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(columns))
    head, *lines = _in_terminal(monkeypatch, root, "runs")
    if term != "dumb":
        assert set(lines.pop(0)) <= {"─"}
    assert re.split(r"\s{2,}", head.strip()) == expected
    assert [line.split()[0] for line in lines] == [FAILED, SECOND, FIRST], "an id is to be copied"
    assert max(len(line.rstrip()) for line in [head, *lines]) <= columns
    if "metric" in expected:
        assert " auc 0.9371 " in lines[2]
        assert "loss" not in lines[2]
    if "started (UTC)" in expected:
        assert " 2026-11-20 21:34 " in lines[2]


def test_no_color_and_dumb_terminals_are_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert text.styled("done", "bold green") == "\x1b[32m\x1b[1mdone\x1b[0m"
    monkeypatch.setenv("NO_COLOR", "1")
    assert text.styled("done", "bold green") == "\x1b[1mdone\x1b[0m"
    monkeypatch.setenv("TERM", "dumb")
    assert text.styled("done", "bold green") == "done"


def test_the_list_needs_no_kfp_and_no_drawing(root: Path) -> None:
    code = (
        "import sys; from runners.commands.cli import cli\n"
        "cli.main(['--root', sys.argv[1], 'runs'], standalone_mode=False)\n"
        "assert not {'kfp', 'matplotlib', 'openlineage', 'numpy'} & set(sys.modules), 'slow'\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(root)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_the_list_can_be_limited(root: Path) -> None:
    result = CliRunner().invoke(cli.cli, ["--root", str(root), "runs", "--limit", "1", "--pipeline", "taxi"])
    assert len(result.output.splitlines()) == 2
    assert (
        "no runs of digits" in CliRunner().invoke(cli.cli, ["--root", str(root), "runs", "--pipeline", "digits"]).stderr
    )


def test_errors_are_one_line_with_exit_code_65(root: Path) -> None:
    result = command("--root", str(root), "report", "taxi-1")
    assert (result.returncode, result.stdout) == (65, "")
    assert result.stderr.startswith("error: taxi-1: there is no such run; the nearest are: ")
    assert len(result.stderr.splitlines()) == 1


def test_a_mistyped_command_is_answered_with_the_likely_one() -> None:
    result = command("comprae")
    assert result.returncode == 2
    assert "did you mean compare or compile?" in result.stderr


def test_the_help_names_all_commands_without_importing_them() -> None:
    code = (
        "import sys; from runners.commands.cli import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print('kfp' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert all(f"  {name} " in result.stdout for name in cli.COMMANDS)
    assert result.stdout.endswith("False\n")


def test_every_command_is_there_and_has_help() -> None:
    for name in cli.COMMANDS:
        result = CliRunner().invoke(cli.cli, [name, "--help"])
        assert result.exit_code == 0, (name, result.output)
        assert result.output.startswith(f"Usage: cli {name} "), name


@pytest.mark.parametrize(
    ("value", "expected"),
    [(500.0, "500"), (64000.0, "64000"), (22450.12, "22450.1"), (1.0, "1.0000"), (0.0, "0.0000"), (0.95001, "0.9500"),
     (1e-5, "1e-05"), (1.5e12, "1500000000000"), (float("nan"), "nan")],
)  # fmt: skip
def test_numbers(value: float, expected: str) -> None:
    assert text.number(value) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "-"),
        (0.0, "<0.1 s"),
        (0.04, "<0.1 s"),
        (0.06, "0.1 s"),
        (41.2, "41 s"),
        (200.0, "3 min 20 s"),
        (7500.0, "2 h 5 min"),
    ],
)
def test_durations(seconds: float | None, expected: str) -> None:
    assert text.duration(seconds) == expected


def test_sizes() -> None:
    assert [text.size(each) for each in (None, 12, 4601, 357_000_000, 2.1e9)] == [
        "-",
        "12 B",
        "5 kB",
        "357 MB",
        "2.10 GB",
    ]


def test_a_run_of_a_part_of_the_pipeline_says_so(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(shutil.copytree(root, tmp_path / "root"))
    for run, selection in (
        (FIRST, {"until": "schema", "only": []}),
        (SECOND, {"until": "", "only": ["train", "push"]}),
    ):
        file = root / "runs" / run / "run.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | {"selection": selection}))
    monkeypatch.setenv("COLUMNS", "200")
    lines = _in_terminal(monkeypatch, root, "runs")[2:]
    assert [re.split(r"\s{2,}", line)[2] for line in lines] == ["failed", "done only train, push", "done until schema"]
