"""`--json` and `--quiet`, which every command has: one document, or nothing but what a command is called for."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import click
import pytest

from runners.commands import cli
from runners.terminal import output
from tests.runners.cluster_support import call
from tests.runners.history.pipeline_roots import FAILED, FIRST, SECOND, taxi_root


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("output") / "root"
    taxi_root(folder)
    return folder


def commands(group: click.Group, context: click.Context, words: str = "") -> Iterator[tuple[str, click.Command]]:
    """All commands, groups among them, by what a person types."""
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield f"{words} {name}".strip(), command
        if isinstance(command, click.Group):
            yield from commands(command, context, f"{words} {name}")


ALL = dict(commands(cli.cli, click.Context(cli.cli)))


def test_every_command_has_both_options_and_returns_what_it_prints() -> None:
    assert {"run", "argo submit", "kubeflow compare", "vertex schedule"} <= ALL.keys()
    for words, command in {**ALL, "": cli.cli}.items():
        options = [option for parameter in command.params for option in parameter.opts]
        assert options.count("--json") == options.count("--quiet") == 1, words
        if not isinstance(command, click.Group):
            assert command.callback is not None
            assert command.callback.__annotations__["return"] in ("Result", "output.Result"), words


@pytest.mark.parametrize(
    ("words", "keys"),
    [
        (("runs",), {"runs"}),
        (("runs", "--pipeline", "nothing"), {"runs"}),
        (("compare", FIRST, SECOND), {"left", "right", "metrics", "work", "parameters", "files", "artifacts", "page"}),
        (("lineage", f"{FIRST}/push/pushed_model"), {"asked", "artifacts", "executions"}),
        (("report", FIRST), {"run", "report"}),
        (("completion", "fish"), {"shell", "script"}),
    ],
)
def test_a_command_prints_one_document(root: Path, words: tuple[str, ...], keys: set[str]) -> None:
    before, behind = call("--json", "--root", root, *words), call("--root", root, *words, "--json")
    assert (before.exit_code, behind.exit_code) == (0, 0), before.err
    assert before.document == behind.document
    assert before.document.keys() == keys | {"error", "code", "warnings"}
    assert "NaN" not in before.out


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("report", "nothing"), 65, "nothing: there is no such run"),
        (("lineage", "xyz"), 65, "xyz: no such artifact"),
        (("run", "nothing"), 65, "nothing"),
        (("compile", "nothing"), 65, "nothing"),
        (("new-stage", "Not A Name"), 65, "Not A Name"),
        (("argo", "show", "latest"), 65, "no cluster"),
        (("kubeflow", "--host", "ftp://x", "list"), 65, "ftp://x"),
        (("vertex", "--project", "P", "list"), 65, "--project P"),
        (("runs", "--limit", "none"), 2, "'none' is not a valid integer range"),
        (("runs", "--nothing"), 2, "No such option"),
        (("nothing",), 2, "no command 'nothing'"),
        ((), 2, "Missing command"),
    ],
)
def test_an_error_is_a_document_too(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, error: str
) -> None:
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
    called = call("--root", root, *words, "--json")
    assert called.exit_code == code
    assert called.document.keys() == {"error", "code", "warnings"}
    assert error in called.document["error"]
    assert called.err, "for whoever reads the log"
    quiet = call("--root", root, *words, "--quiet")
    assert (quiet.exit_code, quiet.out) == (code, "")
    assert error in quiet.err


def test_a_bug_is_a_document_too(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ZeroDivisionError("of ours")

    monkeypatch.setattr("runners.commands.runs.read_runs", broken)
    printed: list[str] = []
    monkeypatch.setattr(click, "echo", lambda text, **_: printed.append(text))
    with pytest.raises(ZeroDivisionError):
        cli.main(["--json", "--root", str(root), "runs"])
    assert json.loads(printed[0])["error"] == "ZeroDivisionError: of ours"


@pytest.mark.parametrize("options", [["--json"], []])
def test_a_full_disk_is_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    with open("/dev/full", "w") as full, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", full)
        with pytest.raises(SystemExit) as ended:
            cli.main([*options, "--root", str(root), "runs"])
        output.to_nobody(full)
    assert ended.value.code == 75
    assert capsys.readouterr().err == "error: No space left on device: free some space, then run again\n"


def test_a_stream_that_is_closed_is_nobodys(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    moved: list[tuple[int, int]] = []
    monkeypatch.setattr("os.dup2", lambda *numbers: moved.append(numbers))
    monkeypatch.setattr("sys.stdout", None)
    cli.with_streams()
    assert moved[0][1] == 1
    with pytest.raises(SystemExit) as ended:
        cli.main(["--root", str(root), "runs"])
    assert ended.value.code == 0


def test_a_reader_that_goes_away_interrupts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w") as stream, monkeypatch.context() as patched:
        patched.setattr("sys.stdout", stream)
        with pytest.raises(KeyboardInterrupt):
            output.console().print("x")
    assert "nobody reads" in capsys.readouterr().err


def test_what_a_document_says_of_a_run(root: Path) -> None:
    runs = {run["run"]: run for run in call("--root", root, "runs", "--json").document["runs"]}
    assert list(runs) == [FAILED, SECOND, FIRST]
    good, failed = runs[FIRST], runs[FAILED]
    assert (good["state"], good["blessed"], good["error"]) == ("done", True, None)
    assert good["started"] == "2026-11-20T21:34:55Z"
    assert good["pushed"]["version"] == 1
    assert isinstance(good["metrics"]["auc"], float)
    assert (failed["state"], failed["blessed"], failed["pushed"], failed["metrics"]) == ("failed", None, None, None)
    assert failed["error"]
    metrics = {row["name"]: row for row in call("--root", root, "compare", FIRST, SECOND, "--json").document["metrics"]}
    assert metrics["auc"]["difference"] == pytest.approx(-0.0659)
    assert metrics["auc"]["better"] is False


def test_parameters_keep_their_types(root: Path) -> None:
    document = call("--root", root, "compare", FIRST, SECOND, "--json").document
    parameters = {row["name"]: row for row in document["parameters"]}
    assert (parameters["train_steps"]["left"], parameters["train_steps"]["right"]) == (500, 50)
    assert parameters["train_steps"]["differs"] is True


def test_lineage_tells_what_was_asked_for_and_one_way_only_where_one_is_meant(root: Path) -> None:
    asked = f"{FIRST}/transform/transform_graph"

    def tasks(*options: str) -> set[str]:
        document = call("--root", root, "lineage", asked, *options, "--json").document
        known = {artifact["id"] for artifact in document["artifacts"]}
        assert set(document["asked"]) <= known
        for execution in document["executions"]:
            assert known & {*execution["inputs"].values(), *execution["outputs"].values()}
        return {execution["task"] for execution in document["executions"]}

    up, down = tasks("--up"), tasks("--down")
    assert "ingest" in up
    assert "train" not in up
    assert "train" in down
    assert "ingest" not in down
    assert tasks() == up | down


def test_quiet_leaves_what_a_command_is_called_for(root: Path) -> None:
    assert call("--root", root, "--quiet", "runs").lines == [FAILED, SECOND, FIRST]
    assert call("--root", root, "report", FIRST, "--quiet").lines == [str(root / "runs" / FIRST / "report.html")]
    page = call("--root", root, "compare", FIRST, SECOND, "--quiet").lines
    assert page == [str(root / "comparisons" / f"{FIRST}-{SECOND}.html")]
    none = call("--root", root, "runs", "--pipeline", "nothing", "--quiet")
    assert (none.out, none.err) == ("", "")


def test_what_stands_behind_two_dashes_is_no_option(root: Path) -> None:
    called = call("--root", root, "report", "--", "--json")
    assert called.exit_code == 65
    assert called.error.startswith("--json: there is no such run")
    assert not called.out


def test_a_document_has_no_secrets_and_nothing_that_is_no_json() -> None:
    moment = datetime(2026, 11, 29, 12, tzinfo=timezone(timedelta(hours=2)))
    assert output.plain({"a": float("nan"), "b": float("inf"), "c": moment, "d": Path("x"), "e": (1, None, True)}) == {
        "a": None,
        "b": None,
        "c": "2026-11-29T10:00:00Z",
        "d": "x",
        "e": [1, None, True],
    }
    assert output.plain(datetime(2026, 11, 29, tzinfo=UTC)) == "2026-11-29T00:00:00Z"


def test_secrets_are_hidden(capsys: pytest.CaptureFixture[str]) -> None:
    with output.as_asked(["--json"]):
        output.warn("warning: s3://key:sesame@bucket/x")
        output.show(output.Result({"parameters": {"api_key": "abcdefgh"}, "said": "with abcdefgh"}))
    document = json.loads(capsys.readouterr().out)
    assert document["parameters"] == {"api_key": "***"}
    assert document["said"] == "with ***"
    assert document["warnings"] == ["s3://***@bucket/x"]
