"""Lineage, metrics and reports of runs on a server: with a metadata store, and with tasks of its own."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runners.compiled.fusing import fuse
from runners.compiled.ir import documents
from runners.compiled.op_functions import bare_name
from runners.compiled.pipelines import compile_pipeline
from runners.settings.model import load
from tests.runners.cluster_support import Called, call
from tests.runners.history.pipeline_roots import FAILED, FIRST, SECOND, RootWriter, taxi_root
from tests.runners.kubeflow.kfp_history import After, Before, History
from tests.runners.kubeflow.kfp_server import serve

SERVERS: dict[str, Callable[[], History]] = {
    "metadata store": lambda: Before(tag="2.17.0"),
    "own tasks": After,
    "as proposed": lambda: After(proposal=True),
    "own tasks, listed": lambda: After(whole_runs=False),
    "as proposed, listed": lambda: After(whole_runs=False, proposal=True),
}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> RootWriter:
    return taxi_root(tmp_path_factory.mktemp("lineage") / "root")


@pytest.fixture(params=["metadata store", "own tasks"])
def server(request: pytest.FixtureRequest) -> Iterator[History]:
    state = SERVERS[request.param]()
    state.page_size_limit = 50
    with serve(state):
        yield state


def kubeflow(server: History, *arguments: object) -> Called:
    return call("kubeflow", "--host", server.url, *arguments)


def tree(lines: list[str]) -> list[str]:
    """The lines of the trees, without what differs here and there: how runs are called, digests of metrics."""
    found = [re.sub(r" \([0-9a-f]{8}\)", "", line) for line in lines if not line.startswith("  ")]
    return [re.sub(r"(metrics|classification) (\w{12}|in metadata)", r"\1", line) for line in found]


WHICHEVER = pytest.mark.parametrize("server", SERVERS, indirect=True)


@WHICHEVER
@pytest.mark.parametrize(("run", "artifact"), [(FIRST, "ingest/examples"), (SECOND, "train/model")])
def test_a_server_tells_the_tree_that_is_told_here(
    server: History, written: RootWriter, artifact: str, run: str
) -> None:
    server.tell(written)
    here = call("--root", written.root, "lineage", f"{run}/{artifact}", "--all")
    there = kubeflow(server, "lineage", f"{run}/{artifact}", "--all")
    assert there.exit_code == 0, there.err
    # (Tasks that began at once come in either order.)
    assert sorted(tree(there.lines)) == sorted(tree(here.lines))
    assert len(there.lines) > 15
    assert "hf_verySecretValue" not in there.out


def test_what_is_said_of_an_artifact(server: History, written: RootWriter) -> None:
    server.tell(written)
    lines = kubeflow(server, "lineage", f"{FIRST}/push/pushed_model", "--up").lines
    digest = str(written.executions[FIRST, "push"]["outputs"]["pushed_model"]["metadata"]["digest"])
    assert lines[0] == f"push/pushed_model {digest.removeprefix('sha256:')[:12]} (version 1)"
    assert "  created: True" in lines
    assert "  producer: millrace/push 0.1.0" in lines
    assert not [line for line in lines if "session" in line or "display_name" in line]
    examples = kubeflow(server, "lineage", f"{FIRST}/ingest/examples", "--up").lines
    assert "  splits: eval, train" in examples
    assert "  rows: 9,911" in examples


@pytest.mark.parametrize("reference", ["latest", SECOND, "id", "digest", "uri", "inside", "taxi@1"])
def test_a_run_or_an_artifact_is_found_by(server: History, written: RootWriter, reference: str) -> None:
    server.tell(written)
    model = written.executions[FIRST, "train"]["outputs"]["model"]["metadata"]["digest"]
    first = next(iter(server.runs))
    uri = f"minio://mlpipeline/v2/artifacts/taxi/{first}/train/model"
    text = {"id": first[:9], "digest": model, "uri": uri, "inside": f"{uri}/Format-Serving/x"}.get(reference, reference)
    called = kubeflow(server, "lineage", text, "--up")
    assert called.exit_code == 0, called.err
    made = dict.fromkeys(("id", "taxi@1"), "push/pushed_model") | {"latest": "validate/anomalies"}
    assert called.lines[0].startswith(f"{made.get(reference, 'train/model')} ")
    run = {"latest": f"validate in {FAILED}", SECOND: f"train in {SECOND}"}.get(reference, f"train in {FIRST}")
    assert f"{run} (" in called.out


def test_a_baseline_leads_to_the_model_that_it_is(server: History) -> None:
    content = {"type": "system.Model", "digest": "sha256:aa00", "bytes": 7}
    first, second, third = map(server.add_run, ("first", "second", "third"))
    server.add(first, "train", outputs={"model": dict(content)})
    server.add(
        first, "resolve", outputs={"baseline_model": {"type": "system.Model", "digest": "sha256:e3", "bytes": 0}}
    )
    found = server.add(second, "resolve", outputs={"baseline_model": content | {"found": True}})
    server.add(second, "evaluate", inputs=found, outputs={"blessing": {"blessed": False}})
    server.add(
        third, "resolve", outputs={"baseline_model": {"type": "system.Model", "digest": "sha256:e3", "bytes": 0}}
    )
    up = kubeflow(server, "lineage", "second/evaluate/blessing", "--up")
    assert up.exit_code == 0, up.err
    assert up.lines[0].endswith("(not blessed)")
    assert "found: train/model aa00" in up.out
    assert "train in first (" in up.out
    assert "evaluate in second (" in kubeflow(server, "lineage", "first/train/model", "--down").out
    alone = server.asked("GET", f"runs/{third}?"), server.asked("GET", f"runs/{third}/tasks")
    assert alone == (0, 0), "runs that both have no baseline do not hang together"


@WHICHEVER
def test_a_task_that_failed_says_so(server: History) -> None:
    run = server.add_run("bad")
    examples = server.add(run, "ingest", parameters={"data": "/d", "api_token": "hush"}, outputs={"examples": {}})
    server.add(run, "train", state="failed", inputs=examples, error="error: no\nmemory")
    called = kubeflow(server, "lineage", "bad")
    assert "ingest/examples no digest" in called.lines[0]
    told = "train in bad (" + run[:8] + "), failed"
    assert told in called.out
    if isinstance(server, After):
        assert f"{told}: error: no memory" in called.out
    assert "data: /d" in called.out


def test_no_more_runs_are_read_than_are_told(server: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runners.kubeflow.lineage.MOST_RUNS", 3)
    examples = server.add(server.add_run("run 0"), "ingest", outputs={"examples": {"rows": 1}})
    for number in range(1, 5):
        server.add(server.add_run(f"run {number}"), "train", inputs=examples, outputs={"model": {}})
    called = kubeflow(server, "lineage", "run 0")
    assert called.exit_code == 0
    assert called.out.count("train in run") == 2
    assert called.error == "not all that hangs together is told: of 3 runs, the nearest, and no more"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing", "no run 'nothing' on"),
        ("abcdef", "no run 'abcdef' on"),
        ("taxi@7", "no such run and no such version on"),
        (f"{FIRST}/push/model", "push has no output 'model'; it has: pushed_model"),
        (f"{FAILED}/push/model", "push has not run in"),
        ("gs://bucket/x", "knows of no artifact that lies there"),
    ],
)
def test_what_is_not_there(server: History, written: RootWriter, reference: str, message: str) -> None:
    server.tell(written)
    called = kubeflow(server, "lineage", reference)
    assert called.exit_code == 65
    assert message in called.error


@WHICHEVER
def test_metrics_and_reports_are_the_same_whichever_server_tells_them(
    server: History, written: RootWriter, tmp_path: Path
) -> None:
    server.tell(written)
    server.contents = {thing.uri: b"<html>" for thing in server.things if thing.type == "system.HTML"}
    lines = [line.split() for line in kubeflow(server, "compare", FIRST, SECOND, "--all").lines]
    assert ["*", "auc", "0.9371", "0.8712", "-0.0659"] in lines
    assert ["example_count", "3311", "3311"] in lines
    assert any(line[:2] == ["*", "train.loss"] for line in lines)
    assert not [line for line in lines if "bytes" in line]
    fetched = kubeflow(server, "report", FIRST, "--output", tmp_path / "pages")
    assert [Path(line).name for line in fetched.lines] == [
        "evaluate-report.html",
        "ingest-sample.html",
        "statistics-report.html",
        "train-report.html",
        "transformed-statistics-report.html",
        "validate-report.html",
    ]


@pytest.mark.parametrize(
    ("tag", "asks"), [("2.17.3", "POST"), ("2.18.0", "GET"), ("3.0", "GET"), ("v2.18.1-rc.1", "GET"), ("2.9", "POST")]
)
def test_the_version_says_which_is_asked(written: RootWriter, tag: str, asks: str) -> None:
    state: History = After(tag=tag) if asks == "GET" else Before(tag=tag)
    state.tell(written)
    with serve(state):
        assert kubeflow(state, "report", FIRST, "--output", "/nowhere").exit_code == 65
    assert bool(state.asked("POST", "/ml_metadata")) == (asks == "POST")
    assert bool(state.asked("GET", "view=FULL")) == (asks == "GET")


@pytest.mark.parametrize("kind", [Before, After])
def test_a_server_that_tells_no_version_is_asked_for_artifacts_of_its_own(
    written: RootWriter, kind: type[History]
) -> None:
    state = kind(tag="master", page_size_limit=50)
    state.tell(written)
    with serve(state):
        called = kubeflow(state, "lineage", f"{FIRST}/train/model", "--up")
    assert called.exit_code == 0, called.err
    assert bool(state.asked("POST", "/ml_metadata")) == (kind is Before)


def test_tasks_are_shown_where_a_run_does_not_have_them(written: RootWriter) -> None:
    state = After()
    state.tell(written)
    with serve(state):
        text = kubeflow(state, "show", SECOND).out
    assert re.search(r"\bingest\b.*\bdone\b", text), "answered by the cache"
    assert re.search(r"\btrain\b.*\bdone\b", text)
    assert "root" not in text


ODD = [
    [{}],
    [{"task_id": "t", "outputs": None, "inputs": []}],
    [{"name": "x", "state": "SUCCEEDED", "outputs": {"artifacts": [{}, None, {"artifact_key": "k", "artifacts": []}]}}],
    [{"name": "x", "outputs": {"artifacts": [{"artifacts": [{"name": "m"}]}], "parameters": [{"value": 1}, 2]}}],
    [{"name": "x", "outputs": {"artifacts": [{"value": {"name": "auc", "type": "Metric", "number_value": "NaN"}}]}}],
    [{"name": "x", "outputs": {"artifacts": [{"value": {"name": "auc", "type": "Metric"}}]}, "error": "no object"}],
    [{"name": "x", "create_time": 7, "inputs": {"parameters": [{"name": "data", "value": ["/d"]}]}}],
]


@pytest.mark.parametrize("tasks", ODD)
def test_what_a_server_leaves_out_or_writes_otherwise_is_no_fault_here(tasks: list[dict[str, Any]]) -> None:
    state = After()
    left, right = state.add_run("left"), state.add_run("right")
    state.tasks = lambda run: tasks  # type: ignore[method-assign]
    with serve(state):
        compared, told = kubeflow(state, "compare", left, right), kubeflow(state, "lineage", left)
    assert compared.exit_code == 0, compared.err
    assert told.exit_code in (0, 65)
    assert len(told.err.splitlines()) <= 1
    assert "nan" in compared.out.lower() or "NaN" not in str(tasks)


# --- tasks that the settings fused


@pytest.fixture(scope="module")
def fused_ir() -> dict[str, Any]:
    groups = [["statistics", "schema", "validate"], ["train", "resolve", "evaluate", "push"]]
    return documents(fuse(compile_pipeline(load("taxi")), groups, bare_name))[0]


def said(told: Called) -> set[str]:
    """The lines of a tree, wherever in it: a server gives the inputs of a task in any order."""
    return {re.sub(r"^[│├└─ ]*|  \(see above\)$", "", line) for line in tree(told.out.splitlines())}


def test_fused_tasks_are_told_as_the_single_ones(
    server: History, written: RootWriter, fused_ir: dict[str, Any]
) -> None:
    server.tell(written)
    references = (FIRST, SECOND, f"{SECOND}/train/model", f"{SECOND}/evaluate/metrics")
    before = [kubeflow(server, "lineage", reference, "--all") for reference in references]
    metrics = kubeflow(server, "compare", FIRST, SECOND)
    tasks = len(server.done)
    server.fuse(fused_ir)
    assert len(server.done) < tasks - 10
    for reference, told in zip(references, before, strict=True):
        assert told.exit_code == 0, told.err
        again = kubeflow(server, "lineage", reference, "--all")
        # (These runs have no baseline where there was none, which the pipeline has even then.)
        more = {line for line in said(again) - said(told) if "resolve" not in line and "evaluate in" not in line}
        assert (said(told) - said(again), more) == (set(), set()), reference
    again = kubeflow(server, "compare", FIRST, SECOND)
    wanted = [line for line in metrics.out.splitlines() if "auc" in line or "train.loss" in line]
    assert wanted
    assert [line for line in again.out.splitlines() if "auc" in line or "train.loss" in line] == wanted
