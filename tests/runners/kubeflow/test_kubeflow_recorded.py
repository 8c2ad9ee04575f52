"""The commands on what a real Kubeflow Pipelines 2.17.0 answered of runs of ours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.runners.cluster_support import Called, call
from tests.runners.kubeflow import kfp_workflow, recorded
from tests.runners.kubeflow.kfp_server import Kfp, serve

LOG = """\
I1129 02:24:49.105284      15 launcher_v2.go:218] PipelineName: taxi
ingest has started
error: /millrace/data/nosuch: no such file or folder
F1129 02:24:50.118402      15 main.go:59] failed to execute component: exit status 65
Error: exit status 1
"""
OURS = "/millrace/data/nosuch: no such file or folder"
ROOT_LOG = (
    'F1129 02:52:26.118402      15 main.go:127] KFP driver: driver.RootDAG(pipelineName=hello, runID=1, task="", '
    'component="") failed: parse bucket config failed: unrecognized pipeline root format: "/millrace/artifacts"'
)
RESTRICTED = 'is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot != true'

BEFORE = ("ingest", "statistics", "schema", "validate")
TAXI = (*BEFORE, "transform", "transformed-statistics", "train", "resolve", "evaluate", "push", "reject-data", "notify")
DIGITS = (*BEFORE, "transform", "transformed-statistics", "train", "resolve", "evaluate", "reject-data")


@dataclass
class Expected:
    """What is told of a run.

    Attributes:
      state: of the run.
      stages: of its pipeline.
      states: of the stages that were not skipped, in the order of their start.
      notes: beginnings or parts of what is told of some.
      error: part of the run's.
      without: what is told of states where the server does not show the Workflow, if it is something else.
    """

    state: str
    stages: tuple[str, ...]
    states: dict[str, str]
    notes: dict[str, str] = field(default_factory=dict)
    error: str = ""
    without: dict[str, str] = field(default_factory=dict)
    log: str = LOG


def done(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, "done")


WORKED = done(*BEFORE, "transform", "transformed-statistics", "train", "resolve", "evaluate", "push")
KEYS = {"transformed-statistics": "statistics-2", "reject-data": "validate-2"}
"""What the server calls stages that have another name on display."""
RUNS = {
    "taxi_done": Expected("done", TAXI, WORKED | {"notify": "failed"}, {"notify": f"{OURS} (3 attempts)"}),
    "taxi_uncached_done": Expected("done", TAXI, WORKED | done("notify")),
    "no_data_failed": Expected(
        "failed", TAXI, {"ingest": "failed", "notify": "done"}, {"ingest": f"{OURS} (3 attempts)"}, f"ingest: {OURS}"
    ),
    "no_data_failed_default_install": Expected(
        "failed", TAXI, {"ingest": "failed", "notify": "done"}, {"ingest": OURS}, f"ingest: {OURS}"
    ),
    "invalid_data_failed": Expected("failed", DIGITS, done(*BEFORE) | {"reject-data": "failed"}, {"reject-data": OURS}),
    "stopped_while_training": Expected(
        "stopped",
        TAXI,
        done(*BEFORE) | {"transform": "stopped", "notify": "failed"},
        {"schema": "2 attempts", "transform": "3 attempts", "notify": RESTRICTED},
        without={"notify": "stopped"},
    ),
    "stopped_2": Expected(
        "stopped",
        TAXI,
        dict.fromkeys((*BEFORE, "transform", "transformed-statistics"), "cached")
        | {"train": "stopped", "notify": "done"},
    ),
    "stopped_retried": Expected("failed", DIGITS, done(*BEFORE) | {"transform": "failed"}, {"transform": RESTRICTED}),
    "pod_killed_failed": Expected(
        "failed", TAXI, {"ingest": "failed", "notify": "done"}, {"ingest": "pod deleted"}, "ingest: pod deleted"
    ),
    "pod_killed_then_done": Expected("done", TAXI, WORKED | done("notify")),
    "server_outage_failed": Expected("failed", ("hello",), {"hello": "failed"}, {"hello": OURS}),
    "no_account_failed": Expected("failed", ("hello",), {}, error='serviceaccount "nosuch" not found'),
    "bad_root_failed": Expected(
        "failed",
        ("hello",),
        {},
        error='root-driver: parse bucket config failed: unrecognized pipeline root format: "/millrace/artifacts"',
        log=ROOT_LOG,
    ),
    "of_schedule_done": Expected("done", ("hello",), done("hello")),
}


@pytest.fixture
def server() -> Iterator[Kfp]:
    with serve(Kfp(tag="2.17.0")) as state:
        yield state


def kubeflow(server: Kfp, *arguments: object) -> Called:
    return call("kubeflow", "--host", server.url, *arguments)


def tasks(called: Called) -> dict[str, list[str]]:
    """The lines of the table of tasks, split in name, state, and what follows."""
    lines = called.lines[next(place for place, line in enumerate(called.lines) if line.startswith("task ")) + 1 :]
    return {line.split()[0]: line.split(None, 2)[1:] for line in lines}


def test_every_recorded_run_is_expected() -> None:
    assert set(recorded.names()) == set(RUNS)


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("has_workflows", [True, False])
def test_show_tells_the_stages_of_the_pipeline_by_their_start(server: Kfp, name: str, has_workflows: bool) -> None:
    expected = RUNS[name]
    server.log, server.has_workflows = expected.log, has_workflows
    called = kubeflow(server, "show", recorded.put(server, name))
    assert called.exit_code == 0, called.err
    assert called.lines[1] == f"state       {expected.state}"
    told = tasks(called)
    assert sorted(told) == sorted(expected.stages)
    states = expected.states if has_workflows else expected.states | expected.without
    assert {stage: state for stage, (state, _) in told.items() if state != "skipped"} == states
    assert {stage: rest for stage, (state, rest) in told.items() if state == "skipped" and rest != "-"} == {}
    begun = [stage for stage, (state, _) in told.items() if state != "skipped"]
    assert list(told)[: len(begun)] == begun, "those that were never reached come last"
    started = {each["display_name"]: each["start_time"] for each in named(server, name)}
    assert (times := [started[KEYS.get(stage, stage)] for stage in begun]) == sorted(times)
    if has_workflows:
        for stage, note in expected.notes.items():
            assert note in told[stage][1]
        assert expected.error in next((line for line in called.lines if line.startswith("error ")), "")
        counted = {stage for stage, (_, rest) in told.items() if "attempts" in rest}
        assert counted == {stage for stage, note in expected.notes.items() if "attempts" in note}


@pytest.mark.parametrize("name", RUNS)
def test_wait_ends_as_the_run_did(server: Kfp, name: str) -> None:
    expected = RUNS[name]
    server.log = expected.log
    called = kubeflow(server, "wait", recorded.put(server, name))
    assert called.exit_code == (0 if expected.state == "done" else 1)
    assert f": {expected.state} in " in called.lines[-1]
    marks = {"done": "✔", "failed": "✘", "stopped": "■", "cached": "↺"}
    told = sorted(line.split()[:2] for line in called.lines[1:-1])
    assert told == sorted([marks[state], stage] for stage, state in expected.states.items())
    if expected.error:
        assert expected.error in called.error


def named(server: Kfp, name: str) -> list[dict[str, Any]]:
    run = next(each for each in server.runs.values() if each["display_name"] == name)
    details: list[dict[str, Any]] = run["run_details"]["task_details"]
    return [each for each in details if each.get("display_name")]


@pytest.mark.parametrize("name", RUNS)
def test_the_server_of_the_tests_tells_tasks_as_the_real_one_does(name: str) -> None:
    """What it makes of the recorded Workflow is what the real one answered, but for times of its own."""
    run = recorded.answer(f"run_{name}")
    nodes = recorded.answer(f"run_{name}.workflow_status")["nodes"]
    made = kfp_workflow.details(run["run_id"], nodes)
    assert not any("error" in each or "parent_task_id" in each for each in made)

    def shapes(details: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
        told = (each for each in details if each.get("display_name"))
        return Counter((each["display_name"], each.get("state"), each["start_time"], each["end_time"]) for each in told)

    assert shapes(made) == shapes(run["run_details"]["task_details"])


def test_a_comparison_has_the_defaults_of_parameters_and_the_stages(server: Kfp) -> None:
    server.refusals["/ml_metadata"] = (404, {})
    for name in ("pod_killed_then_done", "taxi_uncached_done"):
        recorded.put(server, name)
    compared = kubeflow(server, "compare", "--all", "pod_killed_then_done", "taxi_uncached_done")
    lines = [line.split() for line in compared.lines]
    assert ["*", "train_steps", "100", "500"] in lines, "one of them was left to its default"
    assert ["transformed-statistics", "done,", "21", "s", "done,", "21", "s"] in lines


def test_a_list_says_stopped(server: Kfp) -> None:
    for name in ("stopped_2", "no_data_failed"):
        recorded.put(server, name)
    states = {line.split()[1]: line.split()[2] for line in kubeflow(server, "list").lines[1:]}
    assert states == {"stopped_2": "stopped", "no_data_failed": "failed"}
