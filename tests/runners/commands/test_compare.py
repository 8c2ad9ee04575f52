from __future__ import annotations

import hashlib
import json
import math
import re
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from components.runtime.lineage import record as lineage
from runners.commands.cli import cli
from runners.history import as_json, evaluations
from runners.history.comparison import MetricRow, compare_runs
from runners.history.pages.compare_page import render
from runners.history.records import load_run
from runners.terminal import text
from tests.runners.history.pipeline_roots import FAILED, FIRST, SECOND, SECONDS, STATE_AFTER, RootWriter, taxi_root
from tests.runners.history.test_run_report import check


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare") / "root"
    taxi_root(folder)
    return folder


def compare(root: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli, ["--root", str(root), "compare", *arguments], catch_exceptions=False)


def test_what_differs_is_found(root: Path) -> None:
    compared = compare_runs(load_run(root, FIRST), load_run(root, SECOND))
    parameters = {row.name: (row.left, row.right) for row in compared.parameters if row.differs}
    assert parameters["train_steps"] == ("500", "50")
    assert "data" not in parameters
    metrics = {row.name: row for row in compared.metrics}
    assert metrics["auc"].difference == pytest.approx(-0.0659)
    assert metrics["auc"].is_better is False
    assert metrics["train.loss"].difference == pytest.approx(0.09)
    assert metrics["train.loss"].is_better is False
    assert metrics["example_count"].is_better is None
    artifacts = {row.name: row.differs for row in compared.artifacts}
    assert artifacts["transform/transform_graph"] is False
    assert artifacts["train/model"] is True
    assert artifacts["push/pushed_model"] is True
    assert "train/report" not in artifacts


def test_parameters_of_tasks_that_have_not_finished_do_not_differ(root: Path) -> None:
    rows = {row.name: row for row in compare_runs(load_run(root, FIRST), load_run(root, SECOND)).parameters}
    assert not rows["push.destination"].differs
    assert rows["train_steps"].differs
    assert "of unfinished tasks" not in compare(root, FIRST, SECOND).output


def test_settings_are_shown_as_people_wrote_them(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    distil = {"temperature": 2.0, "alpha": 0.9, "warm_start": True}
    for run, own in ((FIRST, {}), (SECOND, {"execution": {"workers": 2}, "distil": distil})):
        parameters = {"train_steps": 9, "custom_config": {"epochs": 3, **own}}
        writer.execution(run, "train", parameters=parameters, outputs={"model": {"steps": 9}})
        writer.run(run)
    rows = {
        row.name: (row.left, row.right)
        for row in compare_runs(*(load_run(tmp_path, r) for r in (FIRST, SECOND))).parameters
    }
    assert rows["train.custom_config"] == ('{"epochs": 3}', '{"epochs": 3}')
    assert rows["train.workers"] == (None, "2")
    assert rows["train.distil"] == (None, '{"temperature": 2.0, "alpha": 0.9}')
    page = Path(CliRunner().invoke(cli, ["--root", str(tmp_path), "report", SECOND]).output.split()[-1]).read_text()
    assert "execution" not in re.sub(r"<script.*?</script>|<style.*?</style>", "", page, flags=re.DOTALL)
    assert "<td>workers</td>" in page


def test_the_rate_of_the_steps_is_told_by_its_own_clock() -> None:
    assert MetricRow("train.examples_per_second_of_steps", 1.0, 2.0).is_of_work


@pytest.mark.parametrize("write", [int, float], ids=["here", "as other targets write numbers"])
def test_counts_are_shown_whole(tmp_path: Path, write: type) -> None:
    root = tmp_path / "root"
    taxi_root(root)
    for run, failed in ((FIRST, 0), (SECOND, 1)):
        [train] = [execution for execution in load_run(root, run).executions.values() if execution.stage == "train"]
        file = root / train.folder / "execution.json"
        record = json.loads(file.read_text())
        counts = {"failed_trials": write(failed), "cut_short_trials": write(0), "best_trial": write(1)}
        record["outputs"]["metrics"]["metadata"] |= counts | {"share": 1.0}
        file.write_text(json.dumps(record))
    lines = [line.lstrip("* ").split() for line in compare(root, FIRST, SECOND).output.splitlines()]
    work = lines[next(place for place, line in enumerate(lines) if line[:1] == ["work"]) :]
    assert ["train.failed_trials", "0", "1", "+1"] in work
    assert ["train.cut_short_trials", "0", "0"] in work
    assert ["train.best_trial", "1", "1"] in work
    assert ["train.share", "1.0000", "1.0000"] in lines


@pytest.mark.parametrize(
    ("name", "left", "right", "expected"),
    [
        ("auc", 0.8, 0.9, True),
        ("val_loss", 0.8, 0.9, False),
        ("squared_error_lift", 4.87, 4.91, True),
        ("rmse", 0.9, 0.8, True),
        ("auc", 0.9, 0.9, None),
        ("auc", None, 0.9, None),
        ("auc", math.nan, 0.9, None),
        ("example_count", 1.0, 2.0, None),
        ("train.seconds", 1.0, 2.0, None),
    ],
)
def test_what_is_better(name: str, left: float | None, right: float | None, expected: bool | None) -> None:
    assert MetricRow(name, left, right).is_better is expected


def test_two_nans_are_alike() -> None:
    assert not MetricRow("auc", math.nan, math.nan).differs
    assert MetricRow("auc", math.nan, 0.5).differs


def test_the_tables_in_a_pipe_are_plain(root: Path) -> None:
    result = compare(root, FIRST, SECOND)
    lines = result.output.splitlines()
    assert "\x1b" not in result.output
    assert [line.split() for line in lines if "train_steps" in line] == [["*", "train_steps", "500", "50"]]
    assert [line.split() for line in lines if line.startswith("* auc")] == [["*", "auc", "0.9371", "0.8712", "-0.0659"]]
    assert "artifacts: 9 the same (--all shows them)" in lines
    assert not [line for line in lines if "ingest/examples" in line]
    assert "hf_verySecretValue" not in result.output
    page = root / "comparisons" / f"{FIRST}-{SECOND}.html"
    assert lines[:3] == [f"A  {FIRST}", f"B  {SECOND}", "*  where they differ"]
    assert lines[-1] == f"page: {page}"
    assert page.is_file()


def test_what_differs_in_every_run_has_no_mark_and_stands_apart(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(STATE_AFTER, "notify", [])
    monkeypatch.setitem(SECONDS, "notify", (0.0, 0.1))
    lines = compare(root, FIRST, SECOND).output.splitlines()
    for name in ("started (UTC)", "duration"):
        assert next(line for line in lines if name in line).startswith(f"  {name}")
    writer = RootWriter(tmp_path)
    for run, seconds in (("a", 1.0), ("b", 2.0)):
        metrics = {"loss": 0.3, "seconds": seconds, "steps": 5}
        inputs = {"examples": {"uri": run, "metadata": {}}}
        writer.execution(run, "train", inputs=inputs, outputs={"metrics": metrics})
        writer.execution(run, "notify", parameters={"status": f'{{"run": "{run}"}}', "when": "always"})
        writer.run(run)
    compared = compare_runs(load_run(tmp_path, "a"), load_run(tmp_path, "b"))
    assert [row.name for row in compared.metrics] == ["train.loss"]
    assert {row.name: row.differs for row in compared.work} == {"train.seconds": True, "train.steps": False}
    assert [row.name for row in compared.parameters] == ["notify.when"], "not what notify is told of the run's end"


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_in_a_terminal_marks_stand_beside_their_names(
    root: Path, columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(text, "_draws", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = compare(root, FIRST, SECOND).output.splitlines()
    assert all(len(line) <= columns for line in lines if not line.startswith("page: "))
    assert not [line for line in lines if line.strip() == "*"]
    assert [line.split() for line in lines if line.startswith("* auc ")] == [
        ["*", "auc", "0.9371", "0.8712", "-0.0659"]
    ]


def test_all_shows_what_is_the_same(root: Path, tmp_path: Path) -> None:
    result = compare(root, FIRST, SECOND, "--all", "--html", str(tmp_path / "deep" / "page.html"))
    assert "  ingest/examples" in result.output
    assert (tmp_path / "deep" / "page.html").is_file()


def test_a_comparison_is_no_run(root: Path) -> None:
    compare(root, FIRST, SECOND)
    result = CliRunner().invoke(cli, ["--root", str(root), "runs"])
    assert len(result.output.splitlines()) == 4


def test_the_page_stands_alone(root: Path) -> None:
    document = render(compare_runs(load_run(root, FIRST), load_run(root, SECOND)))
    page = check(document)
    assert "0 metrics better 5 metrics worse" in page.text
    assert "ROC curves" in page.text
    assert "9 artifacts are the same" in page.text
    assert "hf_verySecretValue" not in document
    assert len(document) < 500_000


def test_a_failed_run_can_be_compared(root: Path) -> None:
    page = check(render(compare_runs(load_run(root, FIRST), load_run(root, FAILED))))
    assert "<script>alert(1)</script>" in page.text, "as text"


def test_a_run_is_like_itself(root: Path) -> None:
    run = load_run(root, FIRST)
    compared = compare_runs(run, run)
    assert not [row for row in [*compared.parameters, *compared.metrics, *compared.artifacts] if row.differs]
    assert "parameters: all" in compare(root, FIRST, FIRST).output


def test_runs_with_nothing_in_them(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    writer.run("a")
    writer.run("b")
    result = compare(tmp_path, "a", "b")
    assert result.exit_code == 0
    assert "Neither run has metrics." in check((tmp_path / "comparisons/a-b.html").read_text()).text


def test_the_roc_curve_is_read_from_kfps_metadata(root: Path) -> None:
    rates, recalls = zip(*evaluations.of_execution(load_run(root, FIRST).executions["evaluate"]).roc, strict=True)
    assert (rates[0], rates[-1], recalls[-1]) == (0, 1, 1)
    assert list(rates) == sorted(rates)
    assert "evaluate" not in load_run(root, FAILED).executions


def test_what_thresholds_say_goes_before_what_a_name_says(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    for run, value in (("a", 0.1), ("b", 0.2)):
        outputs = {"blessing": {"blessed": True}, "metrics": {"recall": value, "gain": value, "surprise": value}}
        execution = writer.execution(run, "evaluate", parameters={"seed": run}, outputs=outputs)
        place = Path(execution["outputs"]["blessing"]["uri"])
        place.unlink()
        place.mkdir()
        (place / "blessing.json").write_text('{"better": {"surprise": "lower"}}')
        writer.run(run)
    compared = compare_runs(load_run(tmp_path, "a"), load_run(tmp_path, "b"))
    assert {row.name: row.is_better for row in compared.metrics} == {
        "recall": True,
        "gain": None,
        "surprise": False,
    }


def test_files_whose_content_differs_are_told(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path / "root")
    code, schema = tmp_path / "preprocessing.py", tmp_path / "schema.pbtxt"
    schema.write_text("feature {}")
    for run, number in (("a", 1), ("b", 2)):
        code.write_text(f"NUMBER = {number}")
        files = {"module_file": str(code), "schema_file": str(schema)}
        writer.execution(run, "transform", parameters=files | {"seed": run}, outputs={"transform_graph": {}})
        writer.run(run, states=dict.fromkeys(STATE_AFTER, "done"))
        # (The digest is that of the moment when the event is written.)
        lineage.flush()
    result = compare(tmp_path / "root", "a", "b")
    first, second = (hashlib.sha256(f"NUMBER = {number}".encode()).hexdigest()[:12] for number in (1, 2))
    assert re.search(rf"\* preprocessing.py +{first} +{second}", result.output)
    assert "schema.pbtxt" not in result.output
    compared = compare_runs(load_run(tmp_path / "root", "a"), load_run(tmp_path / "root", "b"))
    assert {each["name"]: each["differs"] for each in as_json.comparison(compared)["files"]} == {
        "preprocessing.py": True,
        "schema.pbtxt": False,
    }
    page = render(compared)
    assert "<td>preprocessing.py</td>" in page.partition("<h2>Files</h2>")[2].partition("<details")[0]
