from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest
from click.testing import CliRunner

from components.runtime.errors import InputError
from components.runtime.records import facts, run_record
from components.runtime.stage import report
from components.runtime.stage.report import escape
from runners.commands.cli import cli
from runners.history.explorer import from_records
from runners.history.pages import embedding
from runners.history.pages.embedding import embed
from runners.history.pages.run_report import render, write
from runners.history.pages.task_graph import FILLS, depths, task_graph
from runners.history.pages.timeline import spans
from runners.history.records import Task, load_run
from tests.runners.history import pipeline_roots
from tests.runners.history.pipeline_roots import FAILED, FIRST, SECOND, RootWriter, queried_root, taxi_root
from tests.support import ROOT

VOID = {"meta", "br", "hr", "img", "input", "path", "rect", "line", "use", "circle", "stop", "image"}


class Page(HTMLParser):
    """What a browser would make of a page: tags that match, ids, links, text."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.words: list[str] = []
        self.feed(document)
        assert self.open == [], "every tag is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attrs:
            self.attributes.append((name, value or ""))
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "xlink:href"):
                self.references.append(value or "")
            self.references += re.findall(r"url\((#[^)]+)\)", value or "")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open.pop() == tag, f"</{tag}> closes another tag"

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def check(document: str) -> Page:
    """A page that stands alone: no scripts, nothing loaded, no id twice, no reference into nothing."""
    page = Page(document)
    assert "script" not in page.tags
    assert len(page.ids) == len(set(page.ids)), "ids are unique"
    assert all(reference.startswith("#") for reference in page.references), "nothing is loaded"
    assert {reference[1:] for reference in page.references} <= set(page.ids)
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert "src" not in {name for name, _ in page.attributes}
    return page


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report") / "root"
    taxi_root(folder)
    return folder


def test_the_page_of_a_good_run(root: Path) -> None:
    file = write(root, FIRST)
    assert file == root / "runs" / FIRST / "report.html"
    document = file.read_text()
    page = check(document)
    assert "Blessed, and pushed as version 1 to /srv/taxi" in page.text
    assert "all thresholds met; there is no baseline yet · Baseline: none: nothing was pushed before" in page.text
    assert "0.9371 auc" in page.text
    assert "9,911 rows of data" in page.text
    for title in ("Evaluation and blessing", "Training", "Anomalies", "Statistics of the data", "Graph", "Timings"):
        assert title in page.text
    assert page.text.index("ROC curve") < page.text.index("Loss") < page.text.index("trip_miles")
    model = load_run(root, FIRST).executions["train"].outputs["model"]
    assert model.digest in document
    assert "hf_verySecretValue" not in document
    assert len(document.encode()) < 1_000_000
    assert [entry.name for entry in file.parent.iterdir() if entry.name.startswith(".")] == []


def test_the_sample_of_the_raw_data_is_behind_the_statistics_and_closed(root: Path) -> None:
    document = write(root, FIRST).read_text()
    found = re.search(r'<details class="stage"( open)?><summary>Sample of the raw data', document)
    assert found is not None
    assert found[1] is None
    assert document.index("<summary>Statistics of the data") < found.start()
    assert "train: 10 of 6,600 rows" in document


def test_the_page_of_a_run_that_asked_for_its_data(tmp_path: Path) -> None:
    queried_root(tmp_path)
    document = render(load_run(tmp_path, SECOND))
    tasks = document[document.index('<section id="tasks">') : document.index('<section id="artifacts">')]
    assert tasks.index("query") < tasks.index("ingest")
    of_pipeline = document[document.index('<section id="parameters">') :]
    assert "train_steps" in of_pipeline
    assert "data/taxi" not in of_pipeline


def test_the_page_of_a_run_that_was_not_blessed(root: Path) -> None:
    page = check(write(root, SECOND).read_text())
    assert "Not blessed, so not pushed auc 0.8712 is below 0.9 (all examples)" in page.text
    assert f"from the cache, made by {FIRST}" in page.text


def test_the_page_of_a_failed_run(root: Path) -> None:
    page = check(write(root, FAILED).read_text())
    found = "fare: expected a number, found text; payment_type: unexpected value <script>alert(2)</script>"
    error = f"the data did not pass validate: {found}; its report has them"
    assert f"transform failed {error}" in page.text
    assert f"Log: runs/{FAILED}/transform.log, exit code 65" in page.text
    assert page.text.index("Split train") < page.text.index("start-up work failed"), "the anomalies come early"
    assert "ERROR" in page.text
    assert "pushed" not in page.text


def test_the_page_tells_of_attempts_before_the_last(tmp_path: Path) -> None:
    taxi_root(tmp_path)
    lost, full = "its pod was lost: deleted, drained or preempted", "disk full"
    for run, task, before, last in ((FIRST, "train", [lost, full, lost], []), (FAILED, "transform", [lost], [full])):
        file = tmp_path / "runs" / run / run_record.FILE
        record = json.loads(file.read_text())
        [written] = [each for each in record["tasks"] if each["name"] == task]
        written["failed_attempts"] = before + last
        file.write_text(json.dumps(record))
    assert f"4 attempts, before: {lost}; {full}<" in render(load_run(tmp_path, FIRST))
    assert f"2 attempts, before: {lost}<" in render(load_run(tmp_path, FAILED))


@pytest.mark.parametrize(("approved", "said"), [(True, "Approved by anna"), (False, "Not approved by anna")])
def test_who_approved_when_and_why_stands_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, approved: bool, said: str
) -> None:
    monkeypatch.setitem(pipeline_roots.SECONDS, "approve", (35.0, 0.1))
    monkeypatch.setitem(pipeline_roots.STATE_AFTER, "approve", ["evaluate"])
    writer = RootWriter(tmp_path)
    model = writer.execution("r", "train", outputs={"model": {}})["outputs"]["model"]
    verdict = {"blessed": True, "reason": "it holds"}
    judged = writer.execution("r", "evaluate", inputs={"model": model}, outputs={"blessing": verdict})
    told = verdict | {"blessed": approved, "approved": approved, "review": f"{said.lower()}: as planned", "by": "anna"}
    told |= {"why": "as planned", "at": "2026-11-30T09:26:18+00:00"}
    inputs = {"model": model, "blessing": judged["outputs"]["blessing"]}
    made = writer.execution("r", "approve", inputs=inputs, outputs={"approval": told})
    writer.run("r")
    page = check(render(load_run(tmp_path, "r")))
    assert f"{said} as planned 30 November 2026, 09:26:18 UTC" in page.text
    assert from_records.read(load_run(tmp_path, "r"))[0].models[0].approval == f"{said.lower()}: as planned"
    assert facts.facts(made) == f"{said.lower()}: as planned"


def test_the_page_of_a_run_that_was_killed(tmp_path: Path) -> None:
    taxi_root(tmp_path)
    file = tmp_path / "runs" / SECOND / "run.json"
    record = json.loads(file.read_text())
    record |= {"state": "stopped", "finished": "", "seconds": 0.0, "exit_code": 130, "error": "stopped"}
    for task in record["tasks"][6:]:
        task |= {"state": "failed" if task["name"] == "train" else "skipped", "execution": "", "error": ""}
    file.write_text(json.dumps(record))
    page = check(write(tmp_path, SECOND).read_text())
    assert "The run was stopped stopped" in page.text


def test_a_blessing_whose_records_are_gone_is_unknown(tmp_path: Path) -> None:
    taxi_root(tmp_path)
    for task in ("evaluate", "push"):
        shutil.rmtree(tmp_path / "artifacts" / "taxi" / task)
    page = render(load_run(tmp_path, FIRST))
    assert "Whether the model is blessed is unknown: the records of evaluate are gone" in page
    assert "No blessing" not in page


def test_the_page_of_a_run_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "runs/r").mkdir(parents=True)
    (tmp_path / "runs/r/run.json").write_text('{"id": "r", "pipeline": "taxi", "state": "running", "tasks": []}')
    assert "No task finished." in check(write(tmp_path, "r").read_text()).text


def test_nothing_of_a_run_is_taken_for_markup(tmp_path: Path) -> None:
    evil = "<script>alert('x')</script>\"'&<img src=x onerror=alert(1)>"
    writer = RootWriter(tmp_path)
    writer.execution("r", "ingest", parameters={evil: evil}, outputs={"examples": {"rows": 3, "splits": [evil]}})
    writer.run(
        "r",
        pipeline=evil,
        target=evil,
        state="failed",
        error=evil,
        parameters={evil: {evil: evil}},
        states={"train": "failed"},
        errors={"train": evil},
    )
    file = tmp_path / "runs/r/run.json"
    record = json.loads(file.read_text())
    record["tasks"].append({"name": evil, "stage": evil, "state": evil, "after": ["ingest"], "condition": evil})
    file.write_text(json.dumps(record))

    page = check(render(load_run(tmp_path, "r")))

    assert "img" not in page.tags
    assert evil in page.text


def test_the_command_tells_where_the_page_is(root: Path) -> None:
    result = CliRunner().invoke(cli, ["--root", str(root), "report", "taxi-20261120-2134"])
    assert result.output == f"{root}/runs/{FIRST}/report.html\n"
    latest = CliRunner().invoke(cli, ["--root", str(root), "report"])
    assert latest.output == f"{root}/runs/{FAILED}/report.html\n"


def test_an_unknown_run_has_no_page(root: Path) -> None:
    with pytest.raises(InputError, match="no such run"):
        write(root, "digits-1")


def test_pages_that_are_too_large_stay_outside(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = len(render(load_run(root, FIRST)).encode())
    monkeypatch.setattr(embedding, "BUDGET_BYTES", 60_000)
    document = render(load_run(root, FIRST))
    assert len(document.encode()) < whole / 2
    assert "Too large for this page; it lies at artifacts/taxi/statistics/" in check(document).text
    assert "Thresholds" in document or "ROC curve" in document, "the small ones are there"


def test_figures_of_different_pages_keep_their_own_ids() -> None:
    drawn = report.figure(2, 2)
    axes = drawn.add_subplot()
    axes.plot([0, 1], [0, 1])
    axes.bar([0, 1], [1, 2], hatch="//")
    svg = report.drawing(drawn, "a line")
    document = report.page("T", report.section("One", svg, svg), report.Html('<a href="#x">to</a><p id="x">there</p>'))

    joined = embed(document, "p0") + embed(document, "p1")

    ids = re.findall(r'\sid="([^"]+)"', joined)
    references = re.findall(r'(?:url\(#|href="#)([^")]+)', joined)
    assert len(ids) == len(set(ids))
    assert set(references) <= set(ids)
    assert {each[:2] for each in ids} == {"p0", "p1"}
    assert "clip-path" in joined
    assert len(references) >= 8


@pytest.mark.parametrize(
    "document",
    [
        "<html><body><h1>Somebody's own page</h1></body></html>",
        "<!--content--><section><script>alert(1)</script></section><!--/content-->",
        '<!--content--><section onclick="x()">a</section><!--/content-->',
        '<!--content--><a href="javascript:x()">a</a><!--/content-->',
    ],
)
def test_foreign_pages_are_shown_in_a_closed_frame(document: str) -> None:
    page = Page(embed(document, "p0"))
    assert page.tags == {"section", "iframe"}
    assert dict(page.attributes)["sandbox"] == ""
    assert dict(page.attributes)["srcdoc"] == document


def test_text_about_scripts_is_no_script() -> None:
    document = report.page("T", report.section("One", report.paragraph("onclick = javascript: <script>")))
    assert "iframe" not in embed(document, "p0")


def test_the_timeline_knows_when_a_failed_task_began(root: Path) -> None:
    rows = {span.task.name: span for span in spans(load_run(root, FAILED))}
    assert (rows["transform"].begin, rows["transform"].seconds) == (11.0, pytest.approx(0.7))
    assert (rows["ingest"].begin, rows["ingest"].start_up) == (0.0, pytest.approx(0.09))
    assert rows["train"].begin is None


def test_cached_tasks_have_no_bar(root: Path) -> None:
    rows = spans(load_run(root, SECOND))
    assert [span.task.state for span in rows[:6]] == ["cached"] * 6
    assert all(span.begin is None for span in rows[:6])
    assert [span.task.name for span in rows[6:9]] == ["train", "resolve", "evaluate"]


def tasks(**after: list[str]) -> list[Task]:
    return [Task(name=name, stage=name, state="done", after=earlier) for name, earlier in after.items()]


def test_layers_follow_the_longest_path() -> None:
    assert depths(tasks(d=["a", "c"], a=[], b=["a"], c=["b", "unknown"])) == {"a": 0, "b": 1, "c": 2, "d": 3}


def test_a_circle_does_not_hang_the_drawing() -> None:
    assert task_graph(tasks(a=["b"], b=["a"], c=["c"])).count("<rect") == 3


def test_only_direct_dependencies_have_arrows() -> None:
    drawn = task_graph(tasks(a=[], b=["a"], c=["a", "b"], d=["a", "b", "c"]))
    assert drawn.count('marker-end="url(#arrow)"') == 3


def test_the_tasks_of_a_layer_do_not_overlap() -> None:
    drawn = task_graph(tasks(a=[], b=["a"], c=["a"], d=["a"], e=["b"], f=["e", "c"], g=["f", "d"]))
    boxes = [
        tuple(map(float, each))
        for each in re.findall(r'<rect x="([\d.-]+)" y="([\d.-]+)" width="([\d.]+)" height="([\d.]+)"', drawn)
    ]
    assert len(boxes) == 7
    for position, (x, y, width, height) in enumerate(boxes):
        for left, top, _, _ in boxes[:position]:
            assert abs(x - left) >= width or abs(y - top) >= height


def test_an_empty_graph_is_drawn() -> None:
    assert "<svg" in task_graph([])


def test_what_a_task_found_has_the_colour_of_a_failure_in_the_page(tmp_path: Path) -> None:
    writer = RootWriter(tmp_path)
    writer.execution("r", "ingest", outputs={"examples": {"rows": 3025, "rows_left_out": 11975}})
    writer.execution("r", "validate", outputs={"anomalies": {"anomalies": 5, "errors": 5, "valid": False}})
    writer.run("r", state="failed")
    record = json.loads((tmp_path / "runs/r/run.json").read_text())
    for task in record["tasks"]:
        if task["execution"]:
            execution = json.loads((tmp_path / task["execution"] / "execution.json").read_text())
            task |= run_record.ended(execution, task["state"])
    (tmp_path / "runs/r/run.json").write_text(json.dumps(record))
    document = render(load_run(tmp_path, "r"))
    assert '<span class="badge error">done</span>' in document
    assert "validate: done, 5 errors" in document
    assert "rows of data, 11,975 left out" in check(document).text
    graph = task_graph(load_run(tmp_path, "r").tasks)
    assert graph.count(FILLS["failed"][0]) == 1


@pytest.mark.parametrize(
    ("name", "facts", "notes"),
    [
        ("watch", "2,000 rows, drifted", ["drifted"]),
        ("watch", "1 row, drifted", ["1 row, drifted"]),
        ("watch", "3,025 rows, 11,975 left out", ["11,975 left out"]),
        ("watch", "not finite: fare, tips", ["not finite:", "fare, tips"]),
        ("watch", "not finite: fare, tips and trip_miles", ["not finite:", "fare, tips and…"]),
        ("transformed-statistics", "not finite: fare, tips", ["not finite:…"]),
    ],
)
def test_what_was_found_stands_in_its_node(name: str, facts: str, notes: list[str]) -> None:
    graph = task_graph([Task(name=name, stage="watch", state="done", alert="warning", facts=facts)])
    lines = re.findall(r">([^<]*)</text>", graph)
    assert lines[2 if "-" in name else 1 :] == notes
    assert f"<title>{name}: done, {facts}</title>" in graph


def test_a_page_names_no_place_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    root = tmp_path / "root & more"
    writer = RootWriter(root)
    parameters = {
        "data": str(ROOT / "data" / "taxi"),
        "serving_directory": str(root / "serving" / "taxi"),
        "elsewhere": "/home/ann/trips",
        "bucket": f"gs://bucket{root}/x",
    }
    pushed = {"version": 1, "destination": str(root / "serving" / "taxi"), "created": True}
    writer.execution("r", "push", parameters=parameters, outputs={"pushed_model": pushed})
    writer.run("r", parameters=parameters, states={"train": "failed"}, errors={"train": f"{root}/x: no such file"})
    document = render(load_run(root, "r"))
    page = check(document)
    assert "Pushed as version 1" in page.text
    for place in ("data/taxi", "serving/taxi", "~/trips"):
        assert f"<td>{place}</td>" in document
    assert "x: no such file" in page.text
    without_bucket = document.replace(f"gs://bucket{escape(root)}", "")
    assert str(escape(root)) not in without_bucket
    assert str(ROOT) not in document
    assert "/home/ann" not in document


@pytest.mark.parametrize("valid", [False, 0, "false", "False", True])
def test_the_anomalies_of_invalid_data_come_first_however_a_target_writes_it(tmp_path: Path, valid: object) -> None:
    writer = RootWriter(tmp_path)
    pages = {name: report.page(name, report.section(name, report.paragraph("Text."))) for name in ("validate", "train")}
    for name in ("validate", "train"):
        made = {"anomalies": {"anomalies": 1, "valid": valid}} if name == "validate" else {}
        writer.execution("r", name, outputs=made | {"report": {}}, pages={"report": pages[name]})
    writer.run("r")
    document = render(load_run(tmp_path, "r"))
    anomalies_first = document.index("<summary>Anomalies") < document.index("<summary>Training")
    assert anomalies_first is (valid is not True)
