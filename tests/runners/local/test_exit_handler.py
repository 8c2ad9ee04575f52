"""The exit handler, really run: by the local runner, and from an Argo Workflow. (kfp needs real annotations here.)"""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.protobuf import json_format
from kfp import compiler, dsl
from kfp.pipeline_spec.pipeline_spec_pb2 import ParameterType, PipelineSpec

from components.runtime.errors import InputError
from components.runtime.records import final_status
from runners.argo.options import ArgoOptions
from runners.argo.workflow import compile_workflow
from runners.compiled import building
from runners.compiled.ir import documents, read
from runners.compiled.tasks import FinalStatus
from runners.local import run as local
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.settings.cluster import Cluster
from runners.vertex.jobs import make_job
from tests.runners.argo.argo_executor import Execution, Subprocesses
from tests.runners.loopback import Request, serving
from tests.support import ROOT

SECRET = "/hooks/Secret-Path"


@dsl.container_component
def sleep(seconds: int):  # type: ignore[no-untyped-def]
    """Runs where ingest does."""
    return dsl.ContainerSpec(
        image="millrace/ingest",
        command=["python", "-c", "import sys, time; print('asleep', flush=True); time.sleep(float(sys.argv[1]))"],
        args=[seconds],
    )


def compiled(folder: Path, server: str = "2.5", first: Callable[[str], Any] | None = None) -> str:
    """A pipeline of ingest and notify."""

    @dsl.pipeline(name="small")
    def graph(data: str = "", told: str = "always") -> None:
        notify = building.component(ROOT / "components/notify/component.yaml", Cluster(kfp_server=server))
        tell = notify(pipeline="small", when=told).set_caching_options(False).set_retry(2, "1s")
        with dsl.ExitHandler(tell, name="run"):
            if first:
                first(data)
            else:
                building.component(ROOT / "components/ingest/component.yaml", Cluster())(data=data)

    compiler.Compiler().compile(graph, str(folder / "p.yaml"))
    return (folder / "p.yaml").read_text()


@pytest.fixture
def trips(tmp_path: Path) -> Path:
    """Raw data, in a folder that can stand for a volume."""
    folder = tmp_path / "volume" / "trips"
    folder.mkdir(parents=True)
    (folder / "trips.csv").write_text("fare,tips\n" + "".join(f"{n}.5,{n % 3}\n" for n in range(60)))
    return folder


class Hook:
    """A webhook: its address, the texts that it got, and what it answers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.url = ""
        self.codes: list[int] = []
        self.delay = 0.0

    def answer(self, request: Request) -> tuple[int, bytes]:
        self.requests.append(request)
        time.sleep(self.delay)
        return (self.codes.pop(0) if self.codes else 200), b"ok"

    @property
    def texts(self) -> list[list[str]]:
        return [json.loads(request.body)["text"].splitlines() for request in self.requests]


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    found = Hook()
    with serving(found.answer) as url:
        found.url = url + SECRET
        monkeypatch.setenv("MILLRACE_NOTIFY_URL", found.url)
        yield found


class Silent:
    """A display that shows nothing."""

    def begin(self, run: dict[str, Any]) -> None:
        pass

    def change(self, task: dict[str, Any], note: str = "") -> None:
        pass

    def end(self, run: dict[str, Any]) -> None:
        pass


def run(root: Path, ir: str, selection: Selection | None = None, **arguments: Any) -> tuple[int, dict[str, Any]]:
    """Runs a pipeline here; returns the exit code and run.json."""
    pipeline = read(documents(ir)[0])
    made = LocalRun(root, pipeline, ir, pipeline.values(arguments), Silent(), selection or Selection())
    code = made.run()
    record: dict[str, Any] = json.loads((root / "runs" / made.id / "run.json").read_text())
    return code, record


def states(record: dict[str, Any]) -> dict[str, str]:
    """State of every task."""
    return {task["name"]: task["state"] for task in record["tasks"]}


def keeps_the_secret(root: Path) -> bool:
    """Whether no file under the pipeline root has the webhook's path."""
    return not any(b"Secret-Path" in file.read_bytes() for file in root.rglob("*") if file.is_file())


# --- on this machine


@pytest.mark.parametrize("server", ["2.5", pytest.param("2.14", marks=pytest.mark.slow)])
def test_a_done_run_is_told_once_each_time(server: str, tmp_path: Path, trips: Path, hook: Hook) -> None:
    ir = compiled(tmp_path, server)
    assert ("TASK_FINAL_STATUS" in ir) == ("taskFinalStatus" in ir) == (server == "2.14")
    code, record = run(tmp_path / "root", ir, data=str(trips))
    assert code == 0
    assert (record["state"], states(record)) == ("done", {"ingest": "done", "notify": "done"})
    assert hook.texts == [[f"\u2705 small done: run {record['id']}"]]
    assert record["tasks"][1]["after"] == ["ingest"]
    home = tmp_path / "root" / record["tasks"][1]["execution"]
    assert json.loads((home / "execution.json").read_text())["parameters"]["status"]["state"] == "SUCCEEDED"
    assert f"| run | {record['id']} |" in (home / "message").read_text()
    assert (tmp_path / "root" / "lineage" / record["id"] / "notify.jsonl").exists()
    again = run(tmp_path / "root", ir, data=str(trips))[1]
    assert states(again) == {"ingest": "cached", "notify": "done"}
    assert [text[0] for text in hook.texts[1:]] == [f"\u2705 small done: run {again['id']}"]
    assert keeps_the_secret(tmp_path / "root")


def test_a_failed_run_is_told_once_with_its_error_and_keeps_its_exit_code(tmp_path: Path, hook: Hook) -> None:
    code, record = run(tmp_path / "root", compiled(tmp_path), data=str(tmp_path / "absent"))
    assert (code, record["exit_code"], record["state"]) == (65, 65, "failed")
    assert states(record) == {"ingest": "failed", "notify": "done"}
    ((title, task, error),) = hook.texts
    assert title == f"\u274c small failed: run {record['id']}"
    assert task == "failed task: ingest"
    assert error == f"error: {record['tasks'][0]['error']}"
    assert "absent" in error


def test_a_webhook_that_refuses_leaves_a_done_run_done(tmp_path: Path, trips: Path, hook: Hook) -> None:
    hook.codes = [404]
    code, record = run(tmp_path / "root", compiled(tmp_path), data=str(trips))
    assert (code, record["state"], record["error"]) == (0, "done", "")
    assert states(record) == {"ingest": "done", "notify": "failed"}
    assert "answers 404 Not Found" in record["tasks"][1]["error"]
    assert keeps_the_secret(tmp_path / "root")


def test_the_end_of_a_run_does_not_wait_for_ever(
    tmp_path: Path, trips: Path, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "EXIT_TASK_SECONDS", 2.0)
    hook.delay = 8.0
    code, record = run(tmp_path / "root", compiled(tmp_path), data=str(trips))
    assert (code, record["state"]) == (0, "done")
    assert record["tasks"][1]["error"] == "it did not end within 2 s"
    assert record["seconds"] < 8


def test_a_part_of_a_run_tells_nobody(tmp_path: Path, trips: Path, hook: Hook) -> None:
    ir = compiled(tmp_path)
    code, record = run(tmp_path / "root", ir, Selection(until="ingest"), data=str(trips))
    assert (code, states(record)) == (0, {"ingest": "done", "notify": "skipped"})
    code, only = run(tmp_path / "root", ir, Selection(only=("ingest",), earlier=record["id"]), data=str(trips))
    assert (code, states(only)) == (0, {"ingest": "cached", "notify": "skipped"})
    assert not hook.requests
    for selection in (Selection(until="notify"), Selection(only=("notify",), earlier=record["id"])):
        with pytest.raises(InputError, match="notify tells how a whole run ended; run the pipeline without --until"):
            run(tmp_path / "root", ir, selection, data=str(trips))


@pytest.mark.parametrize("sign", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_run_is_told_and_ends_soon(sign: signal.Signals, tmp_path: Path, hook: Hook) -> None:
    compiled(tmp_path, first=lambda _: sleep(seconds=300))
    program = textwrap.dedent("""
        import sys
        from pathlib import Path
        from tests.runners.local.test_exit_handler import run
        sys.exit(run(Path(sys.argv[1]), Path(sys.argv[2]).read_text())[0])
    """)
    command = [sys.executable, "-c", program, str(tmp_path / "root"), str(tmp_path / "p.yaml")]
    process = subprocess.Popen(command, cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not (logs := list((tmp_path / "root").glob("runs/*/sleep.log"))) or "asleep" not in logs[0].read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(sign)
    assert process.wait(60) == 130, process.stderr and process.stderr.read()
    record = json.loads((logs[0].parent / "run.json").read_text())
    assert (record["state"], states(record)["notify"]) == ("stopped", "done")
    assert hook.texts == [[f"\u23f9\ufe0f small stopped: run {record['id']}", "error: stopped in sleep"]]


# --- as an Argo Workflow


def argo(folder: Path, volume: Path, ir: str, hook: Hook, **parameters: str) -> Execution:
    """Runs a pipeline as an Argo Workflow."""
    workflow = yaml.safe_load(compile_workflow(ir, ArgoOptions(claim="work")))
    execution = Execution(workflow, "small-1", volume, Subprocesses(MILLRACE_NOTIFY_URL=hook.url), **parameters)
    execution.run()
    return execution


def test_a_workflow_that_failed_names_the_task_and_its_error(tmp_path: Path, trips: Path, hook: Hook) -> None:
    execution = argo(tmp_path, trips.parent, compiled(tmp_path), hook, data="/millrace/absent")
    assert (execution.phase, execution.nodes["notify"].phase) == ("Failed", "Succeeded")
    ((title, task, error),) = hook.texts
    assert (title, task) == ("\u274c small failed: run small-1", "failed task: ingest")
    assert "absent" in error


@pytest.mark.parametrize(
    ("codes", "phase", "attempts"), [([503], "Succeeded", 2), pytest.param([404], "Failed", 1, marks=pytest.mark.slow)]
)
def test_only_a_passing_refusal_is_tried_again_and_none_fails_the_workflow(
    codes: list[int], phase: str, attempts: int, tmp_path: Path, trips: Path, hook: Hook
) -> None:
    hook.codes = codes
    execution = argo(tmp_path, trips.parent, compiled(tmp_path), hook, data="/millrace/trips")
    assert execution.phase == "Succeeded", execution.nodes
    assert execution.nodes["notify"].phase == phase
    assert hook.texts[-1] == ["\u2705 small done: run small-1"]
    if phase == "Succeeded":
        assert (trips.parent / execution.nodes["notify"].outputs["millrace-execution"] / "message").exists()
    assert keeps_the_secret(trips.parent)
    assert len(execution.nodes["notify"].attempts) == len(hook.requests) == attempts
    assert not any("Secret-Path" in each.log for each in execution.nodes["notify"].attempts)


def test_parameters_of_the_workflow_reach_the_exit_task(tmp_path: Path, trips: Path, hook: Hook) -> None:
    execution = argo(tmp_path, trips.parent, compiled(tmp_path), hook, data="/millrace/trips", told="failure")
    assert execution.nodes["notify"].phase == "Succeeded"
    assert "only failure is told" in execution.nodes["notify"].attempts[0].log
    assert not hook.requests


def _quoted(nodes: Any) -> str:
    """As Argo has it: JSON as a string of Go."""
    return json.dumps(json.dumps(nodes))


@pytest.mark.parametrize(
    ("failures", "state", "task", "error"),
    [
        (
            _quoted([{"displayName": "w", "message": ""}, {"displayName": "train(0)", "message": "OOMKilled\nhelp"}]),
            *("FAILED", "train", "OOMKilled help"),
        ),
        (
            _quoted([{"displayName": "train", "message": "Error (exit code 65): progress: x\nerror: no 'rows'\n"}]),
            *("FAILED", "train", "no 'rows'"),
        ),
        # As Argo's controller wrote it, but for the order.
        (
            r'"[{\"displayName\":\"train\",\"message\":\"retryStrategy.expression evaluated to false\",'
            r"\"templateName\":\"train\",\"phase\":\"Failed\"},{\"displayName\":\"train(0)\",\"message\":\"main: Error "
            r'(exit code 65): progress: x\\nerror: no \\\"rows\\\" in \\u003cb\\u003e\\n\",\"phase\":\"Failed\"}]"',
            *("FAILED", "train", 'no "rows" in <b>'),
        ),
        (
            _quoted([{"displayName": "train", "message": "workflow shutdown with strategy:  Stop"}]),
            *("CANCELLED", "train", "the Workflow was stopped"),
        ),
        # Characters that Go writes in its own way, and what is no list at all.
        ('"[{\\"displayName\\": \\"a\\", \\"message\\": \\"\\x7f\\U0001f525\\"}]"', "FAILED", "a", "\x7f\U0001f525"),
        *((text, "FAILED", None, None) for text in ("", "null", '"null"', '"[', "{{workflow.failures}}", "[1]")),
    ],
)
def test_what_argo_says_of_pods_that_could_say_nothing(
    failures: str, state: str, task: str | None, error: str | None, tmp_path: Path
) -> None:
    status = final_status.of_workflow(tmp_path, "w", "Failed", failures, {})
    assert status["state"] == state
    assert status.get("millrace", {}).get("task") == task
    assert status.get("error", {}).get("message") == error


def test_notes_of_tasks_say_more_than_argo_and_secrets_stay_out(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    record = {
        "stage": "evaluate",
        "inputs": {},
        "outputs": {"blessing": {"uri": "b", "metadata": {"blessed": False, "reason": "auc", "digest": "x"}}},
    }
    (tmp_path / "artifacts" / "execution.json").write_text(json.dumps(record))
    final_status.note_end(tmp_path, "w", "evaluate", execution="artifacts")
    final_status.note_end(tmp_path, "w", "push", error="the token s3cr3t-token is refused", code=65)
    (tmp_path / "runs" / "w" / "tasks" / "half.json").write_text('{"task": "ha')
    nodes = _quoted([{"displayName": "push", "message": "Error (exit code 65)"}])
    status = final_status.of_workflow(tmp_path, "w", "Failed", nodes, {"api_token": "s3cr3t-token"})
    assert status == {
        "state": "FAILED",
        "pipelineJobResourceName": "w",
        "error": {"code": 65, "message": "the token *** is refused"},
        "millrace": {"task": "push", "blessed": False, "reason": "auc"},
    }
    assert "error" not in final_status.of_workflow(tmp_path, "w", "Succeeded", "null", {})
    with pytest.raises(InputError, match=r"--status 'Sleeping': expected Argo's workflow\.status"):
        final_status.of_workflow(tmp_path, "w", "Sleeping", "", {})


def test_the_exit_task_is_read_from_either_form(tmp_path: Path) -> None:
    for server in ("2.5", "2.17"):
        tasks = read(documents(compiled(tmp_path, server))[0]).tasks
        assert [task.is_exit for task in tasks.values()] == [False, True]
        assert tasks["notify"].parameters["status"] == FinalStatus()
        assert not tasks["notify"].cacheable


@pytest.mark.parametrize("server", ["2.5", "2.14"])
def test_vertex_is_given_the_status_whatever_the_file_was_compiled_for(server: str, tmp_path: Path) -> None:
    compiled(tmp_path, server)
    job = make_job(tmp_path / "p.yaml", {"data": "gs://bucket/data"}, "gs://bucket/root")
    spec = json_format.ParseDict(job.ir, PipelineSpec())
    task, component = spec.root.dag.tasks["notify"], spec.components["comp-notify"]
    assert task.inputs.parameters["status"].task_final_status.producer_task == "exit-handler-1"
    definition = component.input_definitions.parameters["status"]
    assert definition.parameter_type == ParameterType.TASK_FINAL_STATUS
