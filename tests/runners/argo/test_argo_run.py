"""Workflows really executed: order, conditions, retries, what tasks pass on. (kfp needs real annotations here.)"""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from components.runtime import close_workflow
from components.runtime.records import final_status
from runners.argo.options import ArgoOptions, for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled.images import reference
from runners.history.pages.run_report import write
from runners.history.records import load_run
from runners.settings.model import load
from runners.settings.resources import stages
from scripts.data import taxi_trips
from tests.e2e.conftest import Run
from tests.e2e.conftest import run as run_locally
from tests.runners.argo.argo_executor import Ended, Execution, Podman, RunContainer, Subprocesses
from tests.runners.small_pipelines import branches, fail, number, read


def _workflow(function: Any, folder: Path, **options: Any) -> dict[str, Any]:
    compiler.Compiler().compile(function, str(folder / "p.yaml"))
    text = compile_workflow((folder / "p.yaml").read_text(), ArgoOptions(claim="work", **options))
    document: dict[str, Any] = yaml.safe_load(text)
    return document


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    folder = tmp_path / "volume"
    folder.mkdir()
    return folder


def _execute(workflow: dict[str, Any], volume: Path, name: str = "p-1", **parameters: str) -> Execution:
    execution = Execution(workflow, name, volume, Subprocesses("client"), **parameters)
    execution.run()
    return execution


def _phases(execution: Execution) -> dict[str, str]:
    return {name: node.phase for name, node in execution.nodes.items()}


def test_values_and_artifacts_pass_from_task_to_task_and_conditions_choose(tmp_path: Path, volume: Path) -> None:
    execution = _execute(_workflow(branches, tmp_path), volume)
    log = execution.nodes["inner"].attempts[0].log if "inner" in execution.nodes else str(execution.nodes)
    assert _phases(execution) == {
        "first-number": "Succeeded",
        "second": "Succeeded",
        "inner": "Succeeded",
        "other": "Skipped",
        "beside": "Succeeded",
    }, log
    home = execution.nodes["second"].outputs["millrace-execution"]
    record = json.loads((volume / home / "execution.json").read_text())
    assert record["parameters"] == {"value": 6, "words": [], "note": "'quoted' {{$}}"}
    assert record["output_parameters"] == {"out": 12}
    assert record["run"] == "p-1"
    assert "made 6\n" in (volume / "runs" / "p-1" / "second.log").read_text()
    assert "made 6\n" in execution.nodes["second"].attempts[0].log


def test_a_skipped_branch_blocks_what_is_in_it_and_nothing_else(tmp_path: Path, volume: Path) -> None:
    execution = _execute(_workflow(branches, tmp_path), volume, limit="1", word="a: 'b' \"c\" && true")
    phases = _phases(execution)
    assert phases["second"] == "Skipped"
    assert phases["inner"] == "Omitted"
    assert phases["other"] == "Succeeded"
    # It ran, behind the skipped one, and found other words than it expected.
    assert phases["beside"] == "Failed"
    assert '1 ["x", {"y": 1}] of a: \'b\' "c" && true' in execution.nodes["beside"].attempts[0].log.replace("\\", "")


def test_a_second_run_takes_its_executions_from_the_cache(tmp_path: Path, volume: Path) -> None:
    workflow = _workflow(branches, tmp_path)
    first = _execute(workflow, volume)
    second = _execute(workflow, volume, "p-2")
    assert _phases(second) == _phases(first)
    for name, node in first.nodes.items():
        there, here = dict(node.outputs), dict(second.nodes[name].outputs)
        if there:
            assert (there.pop("millrace-state"), here.pop("millrace-state")) == ("done", "cached")
        assert here == there, name
    assert "taken from the cache: the execution of run p-1" in second.nodes["second"].attempts[0].log
    events = [json.loads(line) for line in (volume / "lineage" / "p-2" / "second.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]


@pytest.mark.parametrize(
    ("codes", "phase", "attempts"),
    [
        ("75 0", "Succeeded", 2),
        ("65 0", "Failed", 1),
        pytest.param("75 65 0", "Failed", 2, marks=pytest.mark.slow),
        pytest.param("75 75 75 75 0", "Failed", 4, marks=pytest.mark.slow),
    ],
)
def test_only_passing_faults_are_tried_again(
    codes: str, phase: str, attempts: int, tmp_path: Path, volume: Path
) -> None:
    @dsl.pipeline(name="p")
    def graph(file: str) -> None:
        fail(file=file)

    (volume / "codes").write_text(codes)
    execution = _execute(_workflow(graph, tmp_path, retries=3), volume, file="/millrace/codes")
    assert execution.nodes["fail"].phase == phase
    ended = execution.nodes["fail"].attempts
    assert [each.exit_code for each in ended] == [int(code) for code in codes.split()][:attempts]
    assert "error: as planned" in ended[0].log
    assert not list(volume.glob("artifacts/p/fail/.*"))


@pytest.mark.parametrize(
    ("ends", "phase"),
    [
        ([Ended(137, "", lost=True)], "Succeeded"),
        # Its end was seen before it was gone; or its node shuts down.
        ([Ended(143, "")], "Succeeded"),
        ([Ended(137, "", lost=True), Ended(143, "")], "Succeeded"),
        ([Ended(137, "", lost=True)] * 3, "Failed"),
        ([Ended(143, "", seconds=3600)], "Failed"),
        ([Ended(137, "OOMKilled")], "Failed"),
    ],
    ids=["deleted", "terminated", "twice", "again and again", "at its deadline", "out of memory"],
)
def test_a_lost_pod_costs_an_attempt_and_not_the_run(
    ends: list[Ended], phase: str, tmp_path: Path, volume: Path
) -> None:
    @dsl.pipeline(name="p")
    def graph() -> None:
        number(value=1, words=[], note="")

    coming = iter(ends)
    run = Subprocesses("client")

    def run_container(container: dict[str, Any], labels: dict[str, str], folders: dict[str, Path]) -> Ended:
        return next(coming, None) or run(container, labels, folders)

    workflow = _workflow(graph, tmp_path, retries=2, task_deadline_seconds=3600)
    execution = Execution(workflow, "p-1", volume, run_container)
    execution.run()
    assert execution.nodes["number"].phase == phase
    assert len(execution.nodes["number"].attempts) == len(ends) + (phase == "Succeeded")


def test_a_pipeline_without_conditions_has_edges_that_the_dashboard_draws(tmp_path: Path, volume: Path) -> None:
    @dsl.pipeline(name="p")
    def graph() -> None:
        first = number(value=3, words=[], note="of a").set_display_name("first")
        second = number(value=first.outputs["out"], words=[], note="").set_display_name("second")
        read(text=first.outputs["text"], expected="3 [] of a").set_display_name("third").after(second)
        number(value=0, words=[], note="").set_display_name("beside")

    workflow = _workflow(graph, tmp_path)
    tasks = {task["name"]: task for task in workflow["spec"]["templates"][0]["dag"]["tasks"]}
    assert {name: task.get("dependencies") for name, task in tasks.items()} == {
        "first": None,
        "second": ["first"],
        "third": ["first", "second"],
        "beside": None,
    }
    assert not any("depends" in task for task in tasks.values())
    assert set(_phases(_execute(workflow, volume)).values()) == {"Succeeded"}
    conditional = _workflow(branches, tmp_path)["spec"]["templates"][0]["dag"]["tasks"]
    assert not any("dependencies" in task for task in conditional), "what may be skipped has another form"


def test_the_record_of_a_workflow_is_that_of_any_run(tmp_path: Path, volume: Path) -> None:
    for owner in ("p-1", "p-2"):
        left = volume / "artifacts" / "p" / "second" / f".0000-{owner}"
        left.mkdir(parents=True)
        (left / "owner.lock").write_text(owner)
    _execute(_workflow(branches, tmp_path), volume)
    again = _execute(_workflow(branches, tmp_path), volume, "p-3", word="b")
    assert again.closing.phase == "Succeeded", again.closing.attempts
    assert [path.name for path in volume.glob("artifacts/p/second/.*")] == [".0000-p-2"], "that of a run of its own"
    first, second = load_run(volume, "p-1"), load_run(volume, "p-3")
    assert (first.target, first.pipeline, first.state, first.exit_code, first.error) == ("argo", "p", "done", 0, "")
    assert first.parameters == {"limit": 3, "word": "a"}
    assert str(first.started) == "2026-11-21 01:02:03+00:00"
    states = {task.name: task.state for task in first.tasks}
    assert states == {
        "First number": "done",
        "second": "done",
        "inner": "done",
        "other": "skipped",
        "beside": "done",
    }
    tasks = {task.name: task for task in first.tasks}
    assert "second" in tasks["inner"].after
    assert tasks["inner"].condition == "big and a"
    assert tasks["second"].log == "runs/p-1/second.log"
    assert first.executions["second"].output_parameters == {"out": 12}
    states = {task.name: task.state for task in second.tasks}
    assert (states["second"], states["inner"]) == ("cached", "skipped")
    assert write(volume, "p-1").read_text().count("First number") > 0


def test_the_record_of_a_workflow_that_failed_or_still_runs(tmp_path: Path, volume: Path) -> None:
    @dsl.pipeline(name="p")
    def graph(file: str) -> None:
        first = number(value=1, words=[], note="")
        fail(file=file).after(first)

    (volume / "codes").write_text("65")
    workflow = _workflow(graph, tmp_path)
    assert _execute(workflow, volume, file="/millrace/codes").phase == "Failed"
    run = load_run(volume, "p-1")
    assert (run.state, run.exit_code, run.error) == ("failed", 65, "as planned")
    assert {task.name: (task.state, task.error) for task in run.tasks} == {
        "number": ("done", ""),
        "fail": ("failed", "as planned"),
    }
    (volume / "runs" / "p-1" / "run.json").unlink()
    run = load_run(volume, "p-1")
    assert (run.state, run.pipeline, run.target) == ("running", "p", "argo"), "before the last pod has come"
    assert str(run.started) == "2026-11-21 01:02:03+00:00", "when it was made, not when something was last written"
    assert {task.name: task.state for task in run.tasks} == {"number": "done", "fail": "failed"}


def test_a_pod_that_was_killed_left_no_note(tmp_path: Path) -> None:
    nodes = [{"displayName": "train(0)", "message": "OOMKilled (exit code 137)", "phase": "Failed"}]
    status = final_status.of_workflow(tmp_path, "p-1", "Failed", json.dumps(nodes), {})
    task = {"name": "train", "stage": "train", "after": [], "condition": ""}
    plan = {"pipeline": "p", "parameters": {}, "tasks": [task, task | {"name": "push"}]}
    made = close_workflow.record(tmp_path, "p-1", plan, "2026-11-21T01:02:03Z", status, {}, {})
    states = {task["name"]: (task["state"], task["error"]) for task in made["tasks"]}
    assert states == {"train": ("failed", "OOMKilled (exit code 137)"), "push": ("skipped", "")}


def test_after_a_failure_nothing_new_starts(tmp_path: Path, volume: Path) -> None:
    @dsl.pipeline(name="p")
    def graph(file: str) -> None:
        first = fail(file=file)
        number(value=1, words=[], note="").after(first)

    (volume / "codes").write_text("65")
    assert _phases(_execute(_workflow(graph, tmp_path), volume, file="/millrace/codes")) == {"fail": "Failed"}


DATA = [
    ("ingest", "examples"),
    ("statistics", "statistics"),
    ("schema", "schema"),
    ("validate", "anomalies"),
    ("transform", "transformed_examples"),
    ("transformed-statistics", "statistics"),
]


STEPS = {"train_steps": "60", "eval_steps": "5"}


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trips")
    taxi_trips.write(folder / "trips.csv", 3000, 1)
    return folder


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, trips: Path) -> Run:
    steps = (part for name, value in STEPS.items() for part in ("--param", f"{name}={value}"))
    run = run_locally(tmp_path_factory.mktemp("local"), "taxi", "--data", str(trips), *steps)
    assert run.exit_code == 0, run.output + run.errors
    return run


def _taxi_equals(
    local: Run, trips: Path, volume: Path, run_container: RunContainer, fuse: Sequence[list[str]] = ()
) -> None:
    """Runs the Workflow of the taxi model, and holds all that it made to what the local run made."""
    shutil.copytree(trips, volume / "data" / "taxi")
    settings = load("taxi")
    settings = settings.model_copy(update={"cluster": settings.cluster.model_copy(update={"fuse": list(fuse)})})
    text = compile_workflow(
        compile_pipeline(settings, lambda name, variant: reference(name, variant)[0]), for_settings(settings)
    )
    execution = Execution(yaml.safe_load(text), "taxi-1", volume, run_container, **STEPS)
    phases = execution.run()
    pods = {task: f"{group[0]}-to-{group[-1]}" for group in fuse for task in group}
    logs = {name: node.attempts[-1].log for name, node in execution.nodes.items() if node.phase == "Failed"}
    expected = {
        pods.get(name, name): {"done": "Succeeded", "skipped": "Skipped"}[state] for name, state in local.states.items()
    }
    assert phases == expected, logs

    def record(task: str) -> dict[str, Any]:
        output = f"{task}-millrace-execution" if task in pods else "millrace-execution"
        path = volume / execution.nodes[pods.get(task, task)].outputs[output] / "execution.json"
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    for task, artifact in DATA:
        ours = record(task)["outputs"][artifact]
        assert ours["metadata"]["digest"] == local.metadata(task, artifact)["digest"], (task, artifact)
    ours, theirs = record("evaluate"), local.execution("evaluate")
    assert ours["output_parameters"] == theirs["output_parameters"] == {"blessed": True}
    for name, value in theirs["outputs"]["metrics"]["metadata"].items():
        if isinstance(value, float):
            assert ours["outputs"]["metrics"]["metadata"][name] == pytest.approx(value, abs=0.02), name
    assert (volume / "serving" / "taxi" / "1" / "saved_model.pb").is_file()
    assert record("push")["output_parameters"] == {"version": "1"}
    run = load_run(volume, "taxi-1")
    assert run.state == "done"
    assert {task.name: task.state for task in run.tasks} == local.states
    written = {path.name for path in volume.iterdir()}
    assert {"artifacts", "runs", "data", "serving"} <= written <= {"artifacts", "runs", "data", "serving", "lineage"}


@pytest.mark.slow
def test_taxi_gives_what_a_local_run_gives(local: Run, trips: Path, volume: Path) -> None:
    _taxi_equals(local, trips, volume, Subprocesses())


@pytest.mark.slow
def test_fused_tasks_give_what_a_local_run_gives(local: Run, trips: Path, volume: Path) -> None:
    groups = [["statistics", "schema", "validate"], ["train", "resolve", "evaluate", "push"]]
    _taxi_equals(local, trips, volume, Subprocesses(), groups)


@pytest.mark.slow
def test_taxi_in_its_images_gives_what_a_local_run_gives(local: Run, trips: Path, volume: Path) -> None:
    if not shutil.which("podman"):
        pytest.skip("needs podman")
    for stage in stages():
        image = reference(f"millrace/{stage}")[0]
        launcher = ["--read-only", "--entrypoint", "python", image, "-c", "import components.runtime.launch"]
        command = ["podman", "run", "--rm", "--pull=never", "--network", "none", *launcher]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            pytest.skip(f"needs the image {image} as it is now: make images STAGE={stage}")
    _taxi_equals(local, trips, volume, Podman())
