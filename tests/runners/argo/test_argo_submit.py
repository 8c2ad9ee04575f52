"""The `argo` commands against a server on loopback that speaks the Kubernetes API."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.runners.argo.argo_server import TOKEN, Argo, write_kubeconfig
from tests.runners.argo.compiled_workflows import of_model
from tests.runners.cluster_support import call
from tests.runners.loopback import serving
from tests.support import ROOT

WORKFLOW = """\
apiVersion: argoproj.io/v1alpha1
kind: Workflow
metadata: {generateName: taxi-, labels: {model: taxi}}
spec:
  entrypoint: pipeline
  arguments:
    parameters:
    - {name: data}
    - {name: train_steps, value: "500"}
    - {name: mode, value: fast, enum: [fast, slow]}
"""


@pytest.fixture
def workflow(tmp_path: Path) -> Path:
    file = tmp_path / "taxi.argo.yaml"
    file.write_text(WORKFLOW)
    return file


def submitted(workflow: Path, *options: object) -> str:
    called = call("argo", "submit", workflow, "-p", "data=/d", *options)
    assert called.exit_code == 0, called.err
    return called.lines[0].split()[1]


def test_a_workflow_is_submitted_with_its_parameters(server: Argo, workflow: Path) -> None:
    called = call("argo", "submit", workflow, "-p", "data=/data=1", "-p", "mode=slow")
    assert (called.exit_code, called.lines) == (0, ["workflow taxi-00000 submitted to the namespace ml"])
    made = server.workflows["ml", "taxi-00000"]
    values = {each["name"]: each["value"] for each in made["spec"]["arguments"]["parameters"]}
    assert values == {"data": "/data=1", "train_steps": "500", "mode": "slow"}
    assert yaml.safe_load(workflow.read_text()) == yaml.safe_load(WORKFLOW), "the file is as it was"


@pytest.mark.parametrize("by", ["anna", ""])
def test_the_last_pod_is_told_who_submitted_it(
    server: Argo, workflow: Path, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    workflow.write_text(
        f"{WORKFLOW}  templates: [{{name: close, container: {{image: i}}}}, {{name: train, container: {{}}}}]\n"
    )
    monkeypatch.setenv("MILLRACE_USER", by)
    made = server.workflows["ml", submitted(workflow)]
    last, other = (each["container"] for each in made["spec"]["templates"])
    assert last.get("env", []) == ([{"name": "MILLRACE_USER", "value": by}] if by else [])
    assert other == {}


def test_the_namespace_is_that_of_the_option_the_file_or_the_context(server: Argo, workflow: Path) -> None:
    call("argo", "-n", "mine", "submit", workflow, "-p", "data=/d")
    call("argo", "--context", "other", "submit", workflow, "-p", "data=/d")
    workflow.write_text(WORKFLOW.replace("labels:", "namespace: its-own, labels:"))
    call("argo", "submit", workflow, "-p", "data=/d")
    call("argo", "-n", "mine", "submit", workflow, "-p", "data=/d")
    assert [namespace for namespace, _ in server.workflows] == ["mine", "default", "its-own", "mine"]


def test_a_model_means_its_compiled_file(server: Argo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    called = call("argo", "submit", "taxi")
    assert called.exit_code == 65
    assert called.error.startswith("build/taxi.argo.yaml: No such file or directory; compile the pipeline first")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("dat=/d", "no parameter 'dat'; did you mean 'data'?"),
        ("mode=medium", "--param mode=medium: it is one of fast, slow"),
        ("mode", "expected NAME=VALUE"),
        ("mode=slow", "the parameter 'data' is missing and has no default"),
        ("data=/d/{{workflow.name}}", "Argo reads {{ as one of its own tags; leave it out"),
    ],
)
def test_wrong_parameters_are_refused_before_a_server_is_asked(
    server: Argo, workflow: Path, given: str, message: str
) -> None:
    called = call("argo", "submit", workflow, "-p", given)
    assert called.exit_code == 65
    assert message in called.error
    assert server.requests == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: Pod", "not one Argo Workflow"),
        (f"{WORKFLOW}---\n{WORKFLOW}", "not one Argo Workflow"),
        ("a: [", "not YAML"),
        ("kind: Workflow\nspec: {}", "neither metadata.name nor metadata.generateName"),
    ],
)
def test_what_is_not_a_workflow(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(content)
    called = call("argo", "submit", file)
    assert called.exit_code == 65
    assert message in called.error


@pytest.mark.parametrize("packed", [False, True])
def test_a_wait_shows_every_task_once(server: Argo, workflow: Path, packed: bool) -> None:
    server.packed = packed
    called = call("argo", "submit", workflow, "-p", "data=/d", "--wait", "--interval", "0.01")
    assert called.exit_code == 0
    marks = [line.split()[:2] for line in called.lines if line[0] in "▶✔✘"]
    names = ("ingest", "statistics", "train")
    assert marks == [pair for name in names for pair in (["▶", name], ["✔", name])], "attempts are not tasks"
    assert called.lines[-1] == "run taxi-00000: done in 30 s"


def test_a_failed_workflow(server: Argo, workflow: Path) -> None:
    server.fails_at = "statistics"
    name = submitted(workflow)
    called = call("argo", "wait", "latest", "--interval", "0.01")
    assert called.exit_code == 1
    assert "✘ statistics  the data has no label" in called.out
    assert called.error == "statistics: the data has no label"
    assert call("argo", "show", "taxi").out == call("argo", "show", "latest").out
    shown = call("argo", "show", name)
    assert "train_steps  500" in shown.out
    assert [line.split() for line in shown.lines if line.startswith("statistics  failed")] == [
        ["statistics", "failed", "7.0", "s", "the", "data", "has", "no", "label", "(2", "attempts)"]
    ]
    assert "error       statistics: the data has no label" in shown.out
    assert call("argo", "list").lines[1].endswith("statistics: the data has no label")


def test_a_long_error_is_listed_in_a_short_line_and_shown_whole(server: Argo, workflow: Path) -> None:
    server.hindered["statistics"] = "Unschedulable: " + "a node has no room, " * 40 + "and that is all"
    name = submitted(workflow)
    call("argo", "show", name)
    assert "and that is all" in call("argo", "show", name).out
    listed = call("argo", "list").lines[1]
    assert listed.endswith(" …")
    assert "statistics: Unschedulable: a node has no room" in listed
    assert len(listed) < 250


def test_a_pod_that_cannot_start_is_told_at_once_and_once(server: Argo, workflow: Path) -> None:
    server.hindered["statistics"] = "ImagePullBackOff: Back-off pulling image"
    name = submitted(workflow)
    call("argo", "show", name)
    shown = call("argo", "show", name)
    assert "statistics  waiting" in shown.out
    assert "state       waiting" in shown.out
    assert "Back-off pulling image" in shown.out
    assert "statistics: ImagePullBackOff: Back-off pulling image" in call("argo", "list").out
    server.steps[name] = 0
    server.plan = ["statistics"]
    server.hindered["statistics"] = "Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."
    called = call("argo", "wait", name, "--interval", "0.01")
    assert called.exit_code == 0
    told = [line for line in called.lines if "Insufficient cpu" in line]
    assert told == ["· statistics  Unschedulable: 0/1 nodes are available: 1 Insufficient cpu."]
    assert "▶ statistics" not in called.out


def test_a_wait_gives_up_in_time(server: Argo, workflow: Path) -> None:
    server.plan = [f"task-{place}" for place in range(1000)]
    called = call("argo", "wait", submitted(workflow), "--interval", "0.01", "--limit", "0.05")
    assert called.exit_code == 75
    assert "is still running after 0.05 s" in called.error


@pytest.mark.parametrize(("option", "strategy"), [((), "Stop"), (("--now",), "Terminate")])
def test_a_workflow_is_stopped(server: Argo, workflow: Path, option: tuple[str, ...], strategy: str) -> None:
    name = submitted(workflow)
    call("argo", "show", name)
    assert call("argo", "stop", name, *option).exit_code == 0
    assert server.workflows["ml", name]["spec"]["shutdown"] == strategy
    waited = call("argo", "wait", name)
    assert waited.exit_code == 1
    assert f"run {name}: stopped" in waited.out


def test_to_stop_what_has_ended_changes_nothing(server: Argo, workflow: Path) -> None:
    name = submitted(workflow, "--wait", "--interval", "0.01")
    called = call("argo", "stop", name)
    assert (called.exit_code, called.lines) == (0, [f"workflow {name}: has ended before, done; nothing to stop"])
    assert not any(method == "PATCH" for method, _, _ in server.requests)
    assert "shutdown" not in server.workflows["ml", name]["spec"]
    assert f"run {name}: done" in call("argo", "wait", name).out


def test_workflows_are_listed_over_pages_the_newest_first(server: Argo, workflow: Path) -> None:
    names = [submitted(workflow) for _ in range(5)]
    called = call("argo", "list")
    assert [line.split()[0] for line in called.lines[1:]] == names[::-1]
    server.workflows["ml", names[0]]["metadata"]["labels"] = {"model": "digits"}
    assert len(call("argo", "list", "-l", "model=taxi").lines) == 5
    empty = call("argo", "-n", "elsewhere", "list")
    assert (empty.exit_code, empty.error) == (0, f"no workflows in the namespace elsewhere on {server.url}")


@pytest.fixture
def done(server: Argo, workflow: Path) -> str:
    name = submitted(workflow, "--wait", "--interval", "0.01")
    server.logs[f"{name}-pod-ingest"] = "one\ntwo\nüber drei\n".encode()
    server.logs[f"{name}-pod-statistics-0"] = b"first attempt\n"
    server.logs[f"{name}-pod-statistics-1"] = b"second attempt"
    return name


def test_the_log_of_a_task(server: Argo, done: str) -> None:
    assert call("argo", "logs", done, "ingest").out == "one\ntwo\nüber drei\n"
    assert call("argo", "logs", done, "ingest", "--tail", "1").out == "über drei\n"
    assert call("argo", "logs", done, "ingest", "--follow").out == "one\ntwo\nüber drei\n"
    assert any("follow=True" in path for _, path, _ in server.requests)
    assert call("argo", "logs", done, "statistics").out == "second attempt\n", "of the last attempt"


def test_logs_that_are_not_there(done: str) -> None:
    called = call("argo", "logs", done, "ingst")
    assert called.exit_code == 65
    assert called.error == f"no task 'ingst' in the workflow {done}; did you mean 'ingest'?"
    gone = call("argo", "logs", done, "train")
    assert gone.exit_code == 65
    assert gone.error == (
        f"{done}: no log: the pods are gone, and {done} is no Workflow of ours, which keep logs and records on a volume"
    )
    assert "name it" in call("argo", "logs", done, "--follow").error
    assert "no workflow 'taxi-0000'" in call("argo", "logs", "taxi-0000", "train").error


@pytest.mark.parametrize(
    ("status", "exit_code", "message"),
    [
        (401, 65, "not signed in (401) while submitting to the namespace ml: because"),
        (403, 65, "not allowed (403) while submitting to the namespace ml: because"),
        (409, 65, "in the way of something that is there (409)"),
        (422, 65, "refused (422)"),
        (500, 75, "fault of the server (500)"),
    ],
)
def test_refusals(server: Argo, workflow: Path, status: int, exit_code: int, message: str) -> None:
    server.refusals["POST"] = (status, {"kind": "Status", "message": f"because of {TOKEN}"})
    called = call("argo", "submit", workflow, "-p", "data=/d")
    assert called.exit_code == exit_code
    assert called.error.startswith(f"{server.url}: {message}")
    assert "because of ***" in called.error


def test_argo_is_not_installed(server: Argo, workflow: Path) -> None:
    server.installed = False
    called = call("argo", "submit", workflow, "-p", "data=/d")
    assert called.exit_code == 65
    assert called.error == f"{server.url}: Argo Workflows is not installed there; install it first"


def test_no_kubeconfig(kubeconfig: Path) -> None:
    called = call("argo", "list")
    assert called.exit_code == 65
    assert called.error.startswith("no cluster: ")
    assert called.error.endswith("set KUBECONFIG")


def test_no_such_context(server: Argo) -> None:
    called = call("argo", "--context", "knd", "list")
    assert called.exit_code == 65
    assert called.error == "no context 'knd' in the kubeconfig; did you mean 'kind'?"


def test_no_server_and_a_slow_one(server: Argo, kubeconfig: Path) -> None:
    server.delay = 3
    slow = call("argo", "--timeout", "0.2", "list")
    assert slow.exit_code == 75
    assert "no answer in time while listing workflows in the namespace ml" in slow.error
    write_kubeconfig(kubeconfig, "http://127.0.0.1:9")
    absent = call("argo", "list")
    assert absent.exit_code == 75
    assert absent.error.startswith("http://127.0.0.1:9: no connection while listing workflows")


def test_the_token_is_never_shown(
    server: Argo, workflow: Path, kubeconfig: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    called = [call("argo", "submit", workflow, "-p", "data=/d", "--wait", "--interval", "0.01")]
    called += [call("argo", *words) for words in (("list",), ("show", "latest"), ("logs", "latest"))]
    write_kubeconfig(kubeconfig, server.url, "another-secret")
    called.append(call("argo", "list"))
    assert called[-1].exit_code == 65
    assert "not signed in (401)" in called[-1].error
    for each in called:
        assert TOKEN not in each.out + each.err
        assert "another-secret" not in each.out + each.err
    assert TOKEN not in caplog.text
    assert json.loads(kubeconfig.read_text())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("train_steps=abc", "--param train_steps=abc: expected a whole number"),
        ("train_steps=3.5", "--param train_steps=3.5: expected a whole number"),
        ("train_steps=", "--param train_steps=: expected a whole number"),
        ("data=s3://user:s3cretpw@bucket/x", "data"),
    ],
)
def test_values_have_the_types_that_the_pipeline_declares(
    server: Argo, tmp_path: Path, given: str, message: str
) -> None:
    file = tmp_path / "taxi.argo.yaml"
    file.write_text(yaml.safe_dump(of_model("taxi")))
    refused = call("argo", "submit", file, "-p", "data=/d", "-p", given)
    assert refused.exit_code == 65
    assert message in refused.error
    assert "s3cretpw" not in refused.err
    assert server.requests == []
    assert call("argo", "submit", file, "-p", "data=/d", "-p", "train_steps=7").exit_code == 0
    [made] = server.workflows.values()
    assert {"name": "train_steps", "value": "7"} in made["spec"]["arguments"]["parameters"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind: Workflow\nmetadata: {name: x}\n", "the Workflow has no spec"),
        ("kind: Workflow\nmetadata: [a]\nspec: {}\n", "neither metadata.name nor metadata.generateName"),
        ("kind: Workflow\nmetadata: {name: x}\nspec: {arguments: {parameters: [1]}}\n", "no list of parameters"),
        ("kind: Workflow\nmetadata: {name: x}\nspec: {arguments: [1]}\n", "no list of parameters"),
    ],
)
def test_a_workflow_written_by_hand_is_looked_at_first(
    server: Argo, tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "x.yaml").write_text(content)
    refused = call("argo", "submit", tmp_path / "x.yaml")
    assert (refused.exit_code, message in refused.error) == (65, True), refused.err


def test_the_commands_begin_without_the_compiler() -> None:
    code = "import sys, runners.commands.argo; print(sorted({'kfp', 'kubernetes', 'hera'} & sys.modules.keys()))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert ended.stdout == "[]\n"


@pytest.mark.parametrize(
    "command", [("list",), ("schedules",), ("wait", "latest"), ("show", "taxi-1"), ("unschedule", "a", "--yes")]
)
def test_a_namespace_that_is_not_there_is_no_empty_one(server: Argo, command: tuple[str, ...]) -> None:
    server.absent = frozenset({"mll"})
    called = call("argo", "-n", "mll", *command)
    assert called.exit_code == 65
    assert called.error == (f"{server.url}: there is no namespace 'mll'; make it, or name another one with --namespace")


def test_who_may_not_ask_for_the_namespace_hears_what_is_known(server: Argo, workflow: Path) -> None:
    server.refusals["GET /api/v1/namespaces/ml"] = (403, {"message": "namespaces is forbidden"})
    called = call("argo", "list")
    assert (called.exit_code, called.err) == (0, f"no workflows in the namespace ml on {server.url}\n")
    server.absent = frozenset({"mll"})
    called = call("argo", "-n", "mll", "submit", workflow, "-p", "data=/d")
    assert called.error.endswith('while submitting to the namespace mll: namespaces "mll" not found')


PARTS = [{}, {"spec": 3}, {"spec": {}, "status": 3}, {"spec": {}, "status": {"nodes": 3}}]
ODD = [{}, [], None, 3, {"items": 3}, *({"items": [{"metadata": {"name": "w"}} | part]} for part in PARTS)]


@pytest.mark.parametrize("reply", [*ODD, b"hello", b"\xff"], ids=str)
def test_a_server_of_something_else_is_told_as_that(kubeconfig: Path, workflow: Path, reply: Any) -> None:
    commands = [("list",), ("show", "w"), ("stop", "w"), ("schedules",), ("submit", workflow, "-p", "data=/d")]
    with serving(lambda _: (200, reply)) as url:
        write_kubeconfig(kubeconfig, url)
        for command in commands:
            called = call("argo", *command)
            assert (called.exit_code, called.error) == (
                65,
                f"{url}: answers, but not as Kubernetes does; check the address",
            )


def test_every_command_has_a_document_for_programs(server: Argo, workflow: Path, done: str) -> None:
    made = call("argo", "submit", workflow, "-p", "data=/d", "--json")
    assert made.document["run"] == made.document["run"].strip()
    assert made.document["namespace"] == "ml"
    assert call("--quiet", "argo", "submit", workflow, "-p", "data=/d").out.startswith("taxi-")
    waited = call("argo", "wait", done, "--interval", "0.01", "--json").document
    assert (waited["run"], waited["state"], waited["error"]) == (done, "done", None)
    assert [task["state"] for task in waited["tasks"]] == ["done"] * len(waited["tasks"])
    shown = call("argo", "--json", "show", done).document
    assert shown["tasks"] == waited["tasks"]
    assert shown["created"].endswith("Z")
    listed = call("argo", "list", "--json").document["runs"]
    assert done in [run["run"] for run in listed]
    logs = call("argo", "logs", done, "ingest", "--json").document
    assert logs["logs"] == [{"task": "ingest", "log": "one\ntwo\nüber drei\n"}]
    assert call("argo", "logs", done, "ingest", "--quiet").out == "one\ntwo\nüber drei\n"
    assert call("argo", "stop", done, "--json").document["state"] == "done"
    assert call("argo", "schedules", "--json").document["schedules"] == []
