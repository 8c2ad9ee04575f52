"""What is told of runs that go on, wait, were retried, or whose server tells less."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runners.kubeflow import logs
from tests.runners.cluster_support import Called, call, write_pipeline
from tests.runners.kubeflow.kfp_server import Kfp, serve

STAGES = ("ingest", "condition-1/statistics-2", "condition-1/train")
NAMES = ["ingest", "transformed-statistics", "train"]
UNSCHEDULABLE = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."
LOG = "error: the column fare is missing\nF1129 02:24:50.118402      15 main.go:59] failed to execute component\n"


@pytest.fixture(params=[False, True], ids=["plain", "every node a retry node"])
def server(request: pytest.FixtureRequest) -> Iterator[Kfp]:
    with serve(Kfp(log=LOG)) as state:
        state.outcome.outer = request.param
        yield state


def kubeflow(server: Kfp, *arguments: object) -> Called:
    return call("kubeflow", "--host", server.url, *arguments)


def started(server: Kfp, folder: Path) -> str:
    called = kubeflow(server, "run", write_pipeline(folder, stages=STAGES), "-p", "data=/data")
    assert called.exit_code == 0, called.err
    return next(line for line in called.lines if line.startswith("run ")).split()[1]


def shown(server: Kfp, run: str) -> list[list[str]]:
    called = kubeflow(server, "show", run)
    assert called.exit_code == 0, called.err
    lines = called.lines[next(place for place, line in enumerate(called.lines) if line.startswith("task ")) + 1 :]
    return [line.split(None, 2) for line in lines]


def test_all_stages_are_there_from_the_beginning_and_groups_never(server: Kfp, tmp_path: Path) -> None:
    run = started(server, tmp_path)
    for step, states in enumerate((["running", "waiting", "waiting"], ["done", "running", "waiting"], ["done"] * 3)):
        server.steps[run] = step + (step == 2)
        assert [line[:2] for line in shown(server, run)] == [list(pair) for pair in zip(NAMES, states, strict=True)]


@pytest.mark.parametrize("has_workflows", [True, False])
def test_a_pod_that_waits_is_not_running_and_says_why(server: Kfp, tmp_path: Path, has_workflows: bool) -> None:
    run = started(server, tmp_path)
    server.outcome.pending, server.has_workflows = UNSCHEDULABLE, has_workflows
    server.steps[run] = 1
    [_, waits, last] = shown(server, run)
    assert waits[:2] == ["transformed-statistics", "waiting"]
    if has_workflows:
        assert waits[2] == f"-         {UNSCHEDULABLE}"
        waited = kubeflow(server, "wait", run, "--interval", "0.01", "--limit", "0.05")
        assert [line for line in waited.lines if line.startswith("·")] == [f"· transformed-statistics  {UNSCHEDULABLE}"]
        assert "▶ transformed-statistics" not in waited.out
    assert last == ["train", "waiting", "-"]


@pytest.mark.parametrize("message", ["", "ContainerCreating", "PodInitializing"])
def test_a_pod_that_starts_has_nothing_to_say(server: Kfp, tmp_path: Path, message: str) -> None:
    run = started(server, tmp_path)
    server.outcome.pending = message
    assert shown(server, run)[0] == ["ingest", "waiting", "-"]


def test_the_driver_of_a_group_that_waits_says_why(server: Kfp, tmp_path: Path) -> None:
    run = started(server, tmp_path)
    server.outcome.pending = ""
    kubeflow(server, "show", run)
    nodes = server.workflows[run]["status"]["nodes"]
    for node in nodes.values():
        node |= {"phase": "Pending", "message": "ImagePullBackOff"} if "root-driver" in node["name"] else {}
    server.progress = lambda identity: server.runs[identity]  # type: ignore[method-assign]
    assert shown(server, run)[0] == ["ingest", "waiting", "-         ImagePullBackOff"]


def test_attempts_are_counted(server: Kfp, tmp_path: Path) -> None:
    run = started(server, tmp_path)
    server.outcome.attempts = {"ingest": 2, "train": 3}
    assert shown(server, run)[0][2].endswith("attempt 2")
    server.steps[run] = 3
    assert [line[2].split("s", 1)[1].strip() for line in shown(server, run)] == ["2 attempts", "", "3 attempts"]


def test_a_stage_between_two_attempts_waits(server: Kfp, tmp_path: Path) -> None:
    run = started(server, tmp_path)
    kubeflow(server, "show", run)
    for node in server.workflows[run]["status"]["nodes"].values():
        if node["displayName"] == "executor(0)":
            node |= {"phase": "Failed", "message": "main: Error (exit code 1)"}
        elif node["displayName"] == "executor":
            node["message"] = "Backoff for 30 seconds"
    server.progress = lambda identity: server.runs[identity]  # type: ignore[method-assign]
    [ingest, *_] = shown(server, run)
    assert ingest[1] == "waiting"
    assert ingest[2].endswith("Backoff for 30 seconds")


def test_what_came_from_the_cache_is_cached(server: Kfp, tmp_path: Path) -> None:
    run = started(server, tmp_path)
    server.outcome.cached = frozenset({"ingest"})
    server.steps[run] = 3
    assert [state for _, state, *_ in shown(server, run)] == ["cached", "done", "done"]


def test_a_stopped_run_has_stopped_what_ran_and_skipped_the_rest(server: Kfp, tmp_path: Path) -> None:
    run = started(server, tmp_path)
    server.steps[run] = 1
    assert kubeflow(server, "terminate", run).exit_code == 0
    waited = kubeflow(server, "wait", run, "--interval", "0.01")
    assert waited.exit_code == 1
    assert "■ transformed-statistics" in waited.out
    assert [state for _, state, *_ in shown(server, run)] == ["done", "stopped", "skipped"]
    assert "stopped" in kubeflow(server, "list").lines[1]


def test_a_run_whose_pipeline_is_gone_is_told_by_what_its_server_calls_the_tasks(server: Kfp, tmp_path: Path) -> None:
    run = started(server, tmp_path)
    server.steps[run] = 3
    kubeflow(server, "show", run)
    server.refusals["GET /apis/v2beta1/pipelines/"] = (404, {"message": "no such version"})
    for server.has_workflows in (True, False):
        assert sorted(line[:2] for line in shown(server, run)) == [
            ["ingest", "done"], ["statistics-2", "done"], ["train", "done"],
        ]  # fmt: skip


FAILED = ["ingest", "failed", "7.0 s     the column fare is missing"]


def failed(server: Kfp, folder: Path) -> str:
    run = started(server, folder)
    server.fails_at, server.steps[run] = "ingest", 1
    return run


def test_why_a_stage_failed_is_read_once_from_the_log_that_argo_kept(server: Kfp, tmp_path: Path) -> None:
    run = failed(server, tmp_path)
    server.steps[run] = 0
    waited = kubeflow(server, "wait", run, "--interval", "0.01")
    assert "✘ ingest  the column fare is missing" in waited.out
    assert waited.error == "ingest: the column fare is missing"
    assert server.asked("GET", "main-logs:read") == 1
    assert server.asked("GET", "/k8s/pod/logs") == 0
    assert shown(server, run)[0] == FAILED


def test_where_argo_keeps_no_logs_the_dashboard_has_that_of_the_pod(server: Kfp, tmp_path: Path) -> None:
    run = failed(server, tmp_path)
    server.refusals["main-logs:read"] = (404, {"error_message": "artifact not found"})
    assert shown(server, run)[0] == FAILED
    [asked] = [target for _, target, _ in server.requests if "/k8s/pod/logs" in target]
    assert f"podname=taxi-{run[:5]}-retry-system-container-impl-" in asked
    assert f"runid={run}" in asked
    assert "podnamespace=kubeflow" in asked


def test_without_any_log_the_exit_code_is_told(server: Kfp, tmp_path: Path) -> None:
    run = failed(server, tmp_path)
    server.refusals |= {"main-logs:read": (404, {}), "/k8s/pod/logs": (500, b"no such pod")}
    assert shown(server, run)[0][2].endswith("exit code 1; its log says no more, or is not to be had")


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("main: Error (exit code 1): error: no column fare", "no column fare"),
        ("Error (exit code 1): the end of some log", "the column fare is missing"),
        ("main: OOMKilled (exit code 137)", "main: OOMKilled (exit code 137)"),
        ("pod deleted", "pod deleted"),
        ("", "the column fare is missing"),
    ],
)
def test_what_argo_itself_says_of_a_pod(server: Kfp, tmp_path: Path, message: str, told: str) -> None:
    run = failed(server, tmp_path)
    kubeflow(server, "show", run)
    for node in server.workflows[run]["status"]["nodes"].values():
        node |= {"message": message} if node["displayName"] in ("executor", "executor(0)") else {}
    assert shown(server, run)[0] == ["ingest", "failed", f"7.0 s     {told}"]


def test_an_error_of_the_api_is_told_as_it_is(server: Kfp, tmp_path: Path) -> None:
    run = failed(server, tmp_path)
    server.has_workflows, server.errors_of_tasks, server.log = False, True, "the task\nfailed for good"
    assert shown(server, run)[0] == ["ingest", "failed", "7.0 s     the task failed for good"]


@pytest.mark.parametrize("status", [404, 403, 501])
def test_a_server_without_the_older_api_is_asked_for_no_workflow(server: Kfp, tmp_path: Path, status: int) -> None:
    run = started(server, tmp_path)
    server.refusals["/apis/v1beta1/"] = (status, {"message": "unknown service"})
    called = kubeflow(server, "wait", run, "--interval", "0.01")
    assert called.exit_code == 0, called.err
    assert [line for line in called.lines if line.startswith("✔")] == [f"✔ {name}  7.0 s" for name in NAMES]


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("error: one\nerror: two\nI1129 02:24:50.1 15 main.go:59] bye\n", "two"),
        (
            'time="2026-11-29" level=info msg="sub-process exited"\nTypeError: no\nError: exit status 1\n',
            "TypeError: no",
        ),
        ("E1129 02:24:50.11      15 x.go:9] first\nF1129 02:24:50.12      15 x.go:10] last\ngoroutine 1:\n", "last"),
        ('{"level":"INFO","msg":"capturing"}\n', ""),
        ("", ""),
        ("error: cannot open s3://user:hunter22@host/x\n", "cannot open s3://***@host/x"),
    ],
)
def test_the_line_of_a_log_that_says_why(log: str, told: str) -> None:
    assert logs.in_log(log) == told
