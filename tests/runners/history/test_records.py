"""Records of runs: how they are read and found, what came of them, and the list of them."""

from __future__ import annotations

import fcntl
import io
import json
import re
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.runtime.errors import InputError
from components.runtime.publish import approval
from components.runtime.publish.approval import Question
from components.runtime.records import final_status
from runners.commands import cli
from runners.history import as_json
from runners.history.explorer import from_records
from runners.history.outcome import outcome
from runners.history.records import list_runs, load_run
from runners.history.run_folders import OWNER_LOCK
from runners.terminal import text
from tests.runners.cluster_support import call
from tests.runners.command_line import command
from tests.runners.history.pipeline_roots import FAILED, FIRST, SECOND, RootWriter, taxi_root
from tests.support import ROOT


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records") / "root"
    taxi_root(folder)
    return folder


def test_runs_come_newest_first(root: Path) -> None:
    assert [run.id for run in list_runs(root)] == [FAILED, SECOND, FIRST]


def test_a_run_is_read_with_its_executions(root: Path) -> None:
    run = load_run(root, SECOND)
    assert (run.state, run.pipeline, run.seconds) == ("done", "taxi", 20.4)
    assert {task.name: task.state for task in run.tasks}["transform"] == "cached"
    assert run.executions["transform"].run == FIRST
    assert run.executions["train"].outputs["model"].digest.startswith("sha256:")
    assert run.executions["train"].path("model").is_file()
    assert run.executions["push"].outputs["pushed_model"].metadata["pushed"] is False


def test_secrets_are_not_read(root: Path) -> None:
    run = load_run(root, FIRST)
    assert run.parameters["hub_token"] == run.executions["train"].parameters["hub_token"] == "***"


@pytest.mark.parametrize(
    ("name", "expected"), [("latest", FAILED), (FIRST, FIRST), ("taxi-20261120-2134", FIRST), ("taxi", FAILED)]
)
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
    assert (killed.state, killed.elapsed) == ("stopped", None)


def asked(root: Path, run: str, workflow: str = "", until: str = "2999-01-01T00:00:00+00:00") -> None:
    """Leaves a run's question in the serving directory of taxi."""
    question = Question(run, "sha256:1", "", {}, [], "", until, workflow=workflow)
    approval.ask(root / "serving" / "taxi", question)


@pytest.mark.parametrize(
    ("question", "others", "states"),
    [
        ("r", "done", ("waiting", "waiting")),
        ("r", "running", ("running", "waiting")),
        ("r-wide", "done", ("running", "running")),
        ("r2", "done", ("running", "running")),
        ("", "done", ("running", "running")),
    ],
)
def test_a_run_that_waits_for_a_person_is_not_told_as_running(
    tmp_path: Path, question: str, others: str, states: tuple[str, str]
) -> None:
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    tasks = [{"name": "train", "state": others}, {"name": "approve", "state": "running"}]
    began = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
    parameters = {"serving_directory": str(tmp_path / "serving" / "taxi")}
    record = {"id": "r", "state": "running", "started": began, "parameters": parameters, "tasks": tasks}
    (folder / "run.json").write_text(json.dumps(record))
    if question:
        asked(tmp_path, question)
    with (folder / OWNER_LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        run = load_run(tmp_path, "r")
        assert (run.state, run.tasks[1].state) == states
        assert text.duration(run.elapsed).startswith("3 min ")
        if run.tasks[1].state == "waiting":
            assert run.tasks[1].facts == "waits for a person: ./millrace approve r (until 2999-01-01 00:00 UTC)"
            assert f" {states[0]} " in call("--root", tmp_path, "runs").lines[-1]
            assert from_records.read(run)[0].seconds is None, "nobody knows yet how long it takes"
    # Killed, it asks nobody any more.
    assert load_run(tmp_path, "r").state == "stopped"


def test_a_workflow_that_is_suspended_waits(tmp_path: Path) -> None:
    final_status.note_start(tmp_path, "taxi-1", "taxi", "2026-11-30T00:00:00+00:00")
    final_status.note_end(tmp_path, "taxi-1", "train", error="", code=0)
    assert load_run(tmp_path, "taxi-1").state == "running"
    asked(tmp_path, "taxi-1", "taxi-1")
    run = load_run(tmp_path, "taxi-1")
    assert (run.state, [(task.name, task.state) for task in run.tasks]) == (
        "waiting",
        [("train", "done"), ("approve", "waiting")],
    )
    assert "./millrace argo approve taxi-1 (until" in run.tasks[1].facts


def test_a_record_with_the_word_of_before_is_told_with_that_of_today(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "r"
    folder.mkdir(parents=True)
    task = {"name": "train", "state": "interrupted"}
    (folder / "run.json").write_text(json.dumps({"id": "r", "state": "interrupted", "tasks": [task]}))
    run = load_run(tmp_path, "r")
    assert (run.state, run.tasks[0].state) == ("stopped", "stopped")


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


@pytest.mark.parametrize("state", ["ok", "drifted", "unknown"])
def test_a_look_at_a_version_has_its_verdict_beside_its_state(root: Path, tmp_path: Path, state: str) -> None:
    root = Path(shutil.copytree(root, tmp_path / "root"))
    file = root / "runs" / SECOND / "run.json"
    record = json.loads(file.read_text())
    place = root / "artifacts" / "taxi-watch" / "watch" / "0"
    place.mkdir(parents=True)
    watched = {"uri": str(place / "watched"), "type": "system.Artifact", "metadata": {"state": state, "rows": 3}}
    task = record["tasks"][0] | {"name": "watch", "stage": "watch", "execution": "artifacts/taxi-watch/watch/0"}
    execution = json.loads((root / record["tasks"][0]["execution"] / "execution.json").read_text())
    execution |= {"pipeline": "taxi-watch", "task": "watch", "stage": "watch", "outputs": {"watched": watched}}
    (place / "execution.json").write_text(json.dumps(execution))
    file.write_text(json.dumps(record | {"pipeline": "taxi-watch", "tasks": [task]}))
    line = next(each for each in command("--root", str(root), "runs").stdout.splitlines() if each.startswith(SECOND))
    assert f" done ({state}) " in line
    found = load_run(root, SECOND)
    assert as_json.run(found)["watched"] == state
    assert from_records.read(found)[0].part == state


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
    assert [re.split(r"\s{2,}", line)[2] for line in lines] == [
        "failed",
        "done (only train, push)",
        "done (until schema)",
    ]
