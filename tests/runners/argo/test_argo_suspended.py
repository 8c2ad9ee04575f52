"""A Workflow that is suspended while a person thinks: what is compiled, asked, recorded, shown, and how it is resumed.

(kfp needs real annotations here.)
"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, components, dsl

from components.runtime.errors import InputError
from components.runtime.publish import approval, suspension
from components.runtime.publish.approval import Answer, Question
from runners.argo import task_logs
from runners.argo.options import ArgoOptions, for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from tests.components.push.serving_support import make_blessing, make_model
from tests.runners.argo.argo_executor import Execution, Subprocesses
from tests.runners.argo.argo_server import Argo
from tests.runners.argo.compiled_workflows import of_model
from tests.runners.cluster_support import call
from tests.runners.compiled_models import digest, model
from tests.runners.loopback import Request, serving
from tests.support import ROOT

RUN = "small-1"
COPY = "import shutil, sys; [shutil.copytree(a, b, dirs_exist_ok=True) for a, b in zip(sys.argv[1::2], sys.argv[2::2])]"


@dsl.container_component
def made(model: dsl.Output[dsl.Model], blessing: dsl.Output[dsl.Artifact]):  # type: ignore[no-untyped-def]
    return dsl.ContainerSpec(
        image="millrace/made:1",
        command=["python", "-c", COPY],
        args=["/millrace/given/model", model.path, "/millrace/given/blessing", blessing.path],
    )


def compiled(folder: Path, **settings: Any) -> dict[str, Any]:
    """The Workflow of a pipeline that makes a model and asks about it."""
    spec = (ROOT / "components" / "approve" / "component.yaml").read_text()
    approve = components.load_component_from_text(spec)

    @dsl.pipeline(name="small")
    def pipeline(serving_directory: str = "/millrace/serving") -> None:
        model = made()
        task = approve(
            model=model.outputs["model"],
            blessing=model.outputs["blessing"],
            destination=serving_directory,
            run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            **({"timeout_minutes": 1.0, "approvers": ["anna"]} | settings),
        )
        task.set_caching_options(enable_caching=False)

    compiler.Compiler().compile(pipeline, str(folder / "p.yaml"))
    document: dict[str, Any] = yaml.safe_load(
        compile_workflow((folder / "p.yaml").read_text(), ArgoOptions(claim="work", retries=0))
    )
    return document


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Execution]:
    """Runs the pipeline; `answer` says what the suspended node is told, or writes it where files are looked for."""

    def run(
        answer: Callable[[Question], dict[str, str]], *, blessed: bool = True, url: str = "", **settings: Any
    ) -> Execution:
        volume = tmp_path / "volume"
        model = make_model(volume / "given" / "model")
        make_blessing(volume / "given" / "blessing", blessed, model)

        def resume(inputs: dict[str, str]) -> dict[str, str]:
            question = suspension.question_of(
                {"inputs": {"parameters": [{"name": k, "value": v} for k, v in inputs.items()]}}
            )
            if question is None:
                assert inputs[suspension.SECONDS] == "0", "nobody is asked"
                return {}
            assert inputs[suspension.SECONDS] == "60"
            assert approval.questions(volume / "serving") == {RUN: question}
            told = answer(question)
            # Argo's page, and a patch, give all outputs a value: all the inputs, and no others.
            return inputs | told if told else {}

        execution = Execution(
            compiled(tmp_path, **settings), RUN, volume, Subprocesses("client", MILLRACE_NOTIFY_URL=url)
        )
        execution.resume = resume
        execution.run()
        assert execution.phase == "Succeeded", {name: node.attempts for name, node in execution.nodes.items()}
        assert not list((volume / "serving").glob(".approvals/*")), "nobody waits any more"
        return execution

    return run


def said(tmp_path: Path) -> dict[str, Any]:
    """What the run's approval says."""
    [file] = (tmp_path / "volume" / "artifacts").rglob("approval.json")
    found: dict[str, Any] = json.loads(file.read_text())
    assert (file.parent / "BLESSED").exists() is found["approved"]
    return found


def by_command(approved: bool, by: str, why: str) -> Callable[[Question], dict[str, str]]:
    """What `argo approve` and the receiver of Slack's buttons supply."""

    def told(question: Question) -> dict[str, str]:
        workflow = {"metadata": {"resourceVersion": "7"}, "status": {"nodes": {"n": {"inputs": {"parameters": []}}}}}
        patch = suspension.resumption(workflow, "n", Answer(approved, by, why, question.model_digest))
        return {each["name"]: each["value"] for each in patch["status"]["nodes"]["n"]["outputs"]["parameters"]}

    return told


def test_no_pod_waits_and_who_answered_why_and_what_they_saw_is_recorded(run: Any, tmp_path: Path) -> None:
    execution = run(by_command(True, "anna", "as planned, {{workflow.name}}"))
    assert list(execution.nodes) == ["made", "approve-ask", "approve-wait", "approve"]
    assert execution.nodes["approve"].outputs["approved"] == "true"
    found = said(tmp_path)
    assert (found["answer"]["by"], found["answer"]["why"]) == ("anna", "as planned, { {workflow.name}}")
    assert found["question"]["reason"] == "all 2 thresholds hold"
    record = json.loads((tmp_path / "volume" / "runs" / RUN / "run.json").read_text())
    assert [(task["name"], task["state"]) for task in record["tasks"]] == [("made", "done"), ("approve", "done")]


@pytest.mark.slow
def test_argos_own_page_needs_yes_and_a_name_that_may(run: Any, tmp_path: Path) -> None:
    run(lambda _: {"approved": "yes", "by": "bob"})
    found = said(tmp_path)
    assert (found["approved"], found["answer"]) == (False, None)
    assert found["reason"] == f"nobody approved it: {RUN} was resumed without an answer that counts"


@pytest.mark.slow
@pytest.mark.parametrize(
    "told", [{"approved": "yes", "by": "anna", "why": 'it is "good"'}, {"approved": "no", "by": "anna"}]
)
def test_argos_own_page_answers(run: Any, tmp_path: Path, told: dict[str, str]) -> None:
    run(lambda _: told)
    assert said(tmp_path)["approved"] is (told["approved"] == "yes")
    assert said(tmp_path)["answer"]["why"] == told.get("why", "")


@pytest.mark.slow
def test_an_answer_in_the_serving_directory_counts_too(run: Any, tmp_path: Path) -> None:
    def file(question: Question) -> dict[str, str]:
        given = Answer(True, "anna", "by file", question.model_digest)
        approval.answer(tmp_path / "volume" / "serving", question, given)
        return {}

    run(file)
    assert said(tmp_path)["reason"] == "approved by anna: by file"


@pytest.mark.slow
def test_nobody_is_asked_about_a_model_that_is_not_blessed_and_the_workflow_goes_on(run: Any, tmp_path: Path) -> None:
    run(lambda _: {}, blessed=False)
    assert said(tmp_path) == {"approved": False, "reason": "the model is not blessed"}


@pytest.mark.slow
def test_a_question_that_cannot_be_left_fails_the_task_and_the_record_says_why(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    make_blessing(volume / "given" / "blessing", True, make_model(volume / "given" / "model"))
    (volume / "serving").write_text("no folder")
    execution = Execution(compiled(tmp_path), RUN, volume, Subprocesses("client"))
    assert execution.run() == {"made": "Succeeded", "approve-ask": "Failed"}
    record = json.loads((volume / "runs" / RUN / "run.json").read_text())
    made, asked = record["tasks"]
    assert (made["state"], asked["state"]) == ("done", "failed")
    assert "is not a directory; name another serving directory" in asked["error"]


@pytest.mark.slow
def test_people_are_told_how_to_answer_before_it_is_suspended(run: Any, tmp_path: Path) -> None:
    got: list[Request] = []

    def take(request: Request) -> tuple[int, bytes]:
        got.append(request)
        return 200, b"ok"

    link = "https://argo.example.org/workflows/ml/{run}"
    with serving(take) as url:
        run(by_command(False, "anna", ""), url=url, webhook="slack", link=link)
    [message] = [json.loads(request.body) for request in got]
    assert f"answer: ./millrace argo approve {RUN}" in message["text"]
    assert message["blocks"][-1]["elements"][-1]["url"] == link.replace("{run}", RUN)
    assert said(tmp_path)["reason"] == "not approved by anna"


# --- shown and resumed

QUESTION = Question(
    "taxi-00000",
    "sha256:1",
    "all 2 thresholds hold",
    {"auc": 0.91},
    ["anna"],
    "",
    "2999-01-01T00:00:00+00:00",
    workflow="taxi-00000",
)


@pytest.fixture
def suspended(server: Argo, monkeypatch: pytest.MonkeyPatch) -> Argo:
    """A cluster in which a run is suspended."""
    monkeypatch.setenv("MILLRACE_USER", "anna")
    server.plan = ["approve-ask", "approve-wait", "approve"]
    server.suspended["approve-wait"] = suspension.question_text(QUESTION)
    workflow = of_model("taxi")
    workflow["metadata"] |= {"name": "taxi-00000", "namespace": "ml"}
    workflow["spec"]["templates"] += [
        {"name": name, "metadata": {"labels": {"millrace/stage": "approve"}}} for name in ("approve-ask", "approve")
    ]
    workflow["spec"]["templates"].append({"name": "approve-wait", "suspend": {}})
    server.create("ml", workflow)
    server.steps["taxi-00000"] = 5
    return server


def test_a_suspended_run_is_shown_as_waiting_and_how_it_is_answered(suspended: Argo) -> None:
    shown = call("argo", "show", "taxi-00000").lines
    told = "waits for a person: ./millrace argo approve taxi-00000 (until 2999-01-01 00:00 UTC)"
    assert "state       waiting" in shown
    assert f"why         approve-wait: {told}" in shown
    assert next(line for line in shown if line.startswith("approve-ask")).split()[1] == "done"
    assert "waiting" in next(line for line in call("argo", "list").lines if line.startswith("taxi-00000"))
    called = call("argo", "logs", "taxi-00000", "approve-wait")
    assert (called.exit_code, called.error) == (65, "task approve-wait of taxi-00000: no log: it has not run")


@pytest.mark.parametrize("packed", [False, True])
def test_approve_resumes_it_without_a_pod(suspended: Argo, packed: bool) -> None:
    suspended.packed, suspended.conflicts = packed, 1
    called = call("argo", "approve", "taxi-00000", "--no", "--why", "not on a Friday")
    assert called.exit_code == 0, called.error
    assert called.lines[-1] == "refused by anna"
    assert len(suspended.workflows) == 1, "no helper was begun"
    node = suspended.resumed["approve-wait"]
    given = suspension.answered(QUESTION, {each["name"]: each["value"] for each in node["outputs"]["parameters"]})
    assert given is not None
    assert (given.approved, given.by, given.why) == (False, "anna", "not on a Friday")
    assert node["message"] == "not approved by anna: not on a Friday"
    assert call("argo", "wait", "taxi-00000", "--interval", "0.01").exit_code == 0
    again = call("argo", "approve", "taxi-00000")
    assert (again.exit_code, "waits for no answer" in again.error) == (65, True)


def test_who_may_not_is_told_and_it_stays_suspended(suspended: Argo, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_USER", "bob")
    called = call("argo", "approve", "taxi-00000")
    assert (called.exit_code, called.error) == (65, "bob may not approve taxi-00000; these may: anna")
    monkeypatch.setenv("MILLRACE_USER", "anna")
    secret = call("argo", "approve", "taxi-00000", "--why", "see https://user:hunter2@example.org")
    assert secret.exit_code == 65
    assert "hunter2" not in secret.error
    assert not suspended.resumed


def test_of_several_questions_one_is_named(suspended: Argo) -> None:
    suspended.plan = ["approve-deep-wait", "approve-wide-wait"]
    suspended.suspended.clear()
    for name in ("deep", "wide"):
        asked = suspension.question_text(replace(QUESTION, run=f"taxi-00000-{name}"))
        suspended.suspended[f"approve-{name}-wait"] = asked
    called = call("argo", "approve", "taxi-00000")
    assert called.exit_code == 65
    assert called.error == "taxi-00000 waits for 2 answers: name one of them with --candidate: deep, wide"
    assert "argo approve taxi-00000 --candidate wide (until" in call("argo", "show", "taxi-00000").out
    called = call("argo", "approve", "taxi-00000", "--candidate", "wide")
    assert called.lines[-1] == "approved by anna", called.error
    assert list(suspended.resumed) == ["approve-wide-wait"]


# --- compiled


def of_settings(folder: Path, settings: str) -> dict[str, Any]:
    """The Workflow of a model with these settings."""
    loaded = model(folder / "mine", settings)
    document: dict[str, Any] = yaml.safe_load(compile_workflow(compile_pipeline(loaded, digest), for_settings(loaded)))
    return document


def test_each_of_several_published_models_has_a_question_of_its_own(tmp_path: Path) -> None:
    workflow = of_settings(
        tmp_path,
        "approve: {approvers: [anna]}\ncandidates: {deep: {}, wide: {train: {train_steps: 5}}}\nchoose: {push: each}\n",
    )
    suspended = [each["name"] for each in workflow["spec"]["templates"] if "suspend" in each]
    assert suspended == ["approve-deep-wait", "approve-wide-wait"]


def test_where_several_tasks_share_the_pod_it_waits_there(tmp_path: Path) -> None:
    workflow = of_settings(tmp_path, "approve: {}\ncluster: {fuse: [[approve, push]]}\n")
    assert not [each for each in workflow["spec"]["templates"] if "suspend" in each]
    assert not [each for each in workflow["spec"]["templates"] if "components.approve.asking" in str(each)]


def test_secrets_of_the_settings_are_in_the_pod_that_tells_people(tmp_path: Path) -> None:
    workflow = of_settings(
        tmp_path,
        "approve: {webhook: slack}\nresources: {approve: {secrets: [{name: hook, env: {url: MILLRACE_NOTIFY_URL}}]}}\n",
    )
    templates = {each["name"]: each for each in workflow["spec"]["templates"]}
    reference = {"secretKeyRef": {"name": "hook", "key": "url"}}
    assert {"name": "MILLRACE_NOTIFY_URL", "valueFrom": reference} in templates["approve-ask"]["container"]["env"]


def test_a_condition_around_it_is_that_of_all_its_nodes(tmp_path: Path) -> None:
    spec = (ROOT / "components" / "approve" / "component.yaml").read_text()
    approve = components.load_component_from_text(spec)

    @dsl.pipeline(name="small")
    def pipeline(wanted: bool = True) -> None:
        model = made()
        with dsl.If(wanted == True):  # noqa: E712
            approve(
                model=model.outputs["model"],
                blessing=model.outputs["blessing"],
                destination="/millrace/serving",
                run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
            )

    compiler.Compiler().compile(pipeline, str(tmp_path / "p.yaml"))
    workflow = yaml.safe_load(compile_workflow((tmp_path / "p.yaml").read_text(), ArgoOptions(claim="work")))
    tasks = {each["name"]: each for each in workflow["spec"]["templates"][0]["dag"]["tasks"]}
    assert [name for name, task in tasks.items() if "when" in task] == ["approve-ask"]
    assert tasks["approve-wait"]["depends"] == "approve-ask.Succeeded"
    assert tasks["approve"]["depends"] == "approve-wait.Succeeded"


def test_a_task_with_the_name_of_such_a_node_is_refused(tmp_path: Path) -> None:
    spec = (ROOT / "components" / "approve" / "component.yaml").read_text()
    approve = components.load_component_from_text(spec)

    @dsl.pipeline(name="small")
    def pipeline() -> None:
        model = made().set_display_name("approve-wait")
        approve(
            model=model.outputs["model"],
            blessing=model.outputs["blessing"],
            destination="/millrace/serving",
            run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
        )

    compiler.Compiler().compile(pipeline, str(tmp_path / "p.yaml"))
    with pytest.raises(InputError, match="task name 'approve-wait': another has the same name in Argo"):
        compile_workflow((tmp_path / "p.yaml").read_text(), ArgoOptions(claim="work"))


def test_the_pod_that_asks_has_no_log_on_the_volume(tmp_path: Path) -> None:
    workflow = of_settings(tmp_path, "approve: {}\n")
    kept = {
        name: task_logs.keeps(workflow, {"templateName": name}) for name in ("approve-ask", "approve-wait", "approve")
    }
    assert kept == {"approve-ask": False, "approve-wait": False, "approve": True}
