"""Pipelines and options that cannot become a Workflow: each is refused with one line that says why."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl, kubernetes

from components.runtime.errors import InputError
from runners.argo.options import ArgoOptions
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.settings.model import load
from tests.runners.argo.compiled_workflows import (
    compiled,
    number,
    one_task,
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"claim": "My_Claim"}, r"claim 'My_Claim': Kubernetes refuses this name"),
        ({"claim": "x" * 254}, r"Kubernetes refuses this name"),
        ({"storage_class": "-fast"}, r"storage_class '-fast'"),
        ({"service_account": "a b"}, r"service_account 'a b'"),
        ({"namespace": "a.b"}, r"namespace 'a.b'"),
        ({"size": "4 gigs"}, r"size '4 gigs'.*did you mean '4Gi'"),
        ({"access_mode": "ReadOnly"}, r"access_mode 'ReadOnly': expected one of ReadWriteOnce"),
        ({"mount_path": "millrace"}, r"mount_path 'millrace': expected an absolute path"),
        ({"mount_path": "/tmp"}, r"mount_path '/tmp': /tmp belongs to the container"),
        ({"ttl_seconds": 0}, r"ttl_seconds is 0"),
        ({"retries": -1}, r"retries is -1"),
        ({"labels": {"a b": "c"}}, r"label 'a b'"),
        ({"model": "x" * 64}, r"label millrace/model="),
    ],
)
def test_options_that_kubernetes_would_refuse(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        ArgoOptions(**options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda task: task.set_display_name("x" * 64), r"task name 'x+': Kubernetes refuses it.*at most 63"),
        (lambda task: task.set_display_name("!"), r"task name '!': Kubernetes refuses it"),
        (lambda task: task.set_display_name("Pipeline"), r"task name 'Pipeline': another has the same name in Argo"),
        (
            lambda task: kubernetes.mount_pvc(task, "c", "/millrace"),
            r"task number: two volumes are mounted at /millrace",
        ),
        (lambda task: kubernetes.mount_pvc(task, "c", "/tmp"), r"task number: mount path '/tmp'"),
        (
            lambda task: kubernetes.mount_pvc(task, "C_", "/c"),
            r"task number: pvcName 'C_': Kubernetes refuses this name",
        ),
        (lambda task: kubernetes.set_security_context(task, run_as_user=0), r"task number: the security context asks"),
        (lambda task: kubernetes.add_pod_label(task, "millrace/run", "1"), r"labels under millrace/ are our own"),
        (
            lambda task: task.set_env_variable("A", "{{workflow.name}}"),
            r"task number: the variable A has a placeholder",
        ),
        (
            lambda task: kubernetes.add_node_affinity_json(
                task, {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
            ),
            r"task number: nodeAffinityJson cannot be translated",
        ),
    ],
)
def test_tasks_that_argo_cannot_run(change: Callable[[Any], None], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=message) as error:
        one_task(tmp_path, change)
    assert "\n" not in str(error.value)


def _exit_handler_around_a_part() -> None:
    with dsl.ExitHandler(number(value=1)):
        number(value=2)
    number(value=3)


def _two_exit_handlers() -> None:
    with dsl.ExitHandler(number(value=1)):
        number(value=2)
    with dsl.ExitHandler(number(value=3)):
        number(value=4)


def _whatever_became_of_another() -> None:
    number(value=2, word="y").set_display_name("late").after(number(value=1, word="x")).ignore_upstream_failure()


def _loop() -> None:
    with dsl.ParallelFor([1, 2]) as item:
        number(value=item)


def _one_of() -> None:
    first = number(value=1)
    with dsl.If(first.outputs["out"] == 1):
        one = number(value=2)
    with dsl.Else():
        other = number(value=3)
    number(value=dsl.OneOf(one.outputs["out"], other.outputs["out"]))


def _created_claim() -> None:
    claim = kubernetes.CreatePVC(access_modes=["ReadWriteOnce"], size="1Gi", pvc_name="c")
    kubernetes.mount_pvc(number(value=1), claim.outputs["name"], "/c")


def _claim_from_an_output() -> None:
    kubernetes.mount_pvc(number(value=1), number(value=2).set_display_name("first").outputs["out"], "/c")


def _run_name() -> None:
    # By itself it is filled in by the launcher; in a text it is not.
    number(value=1, word=f"the run {dsl.PIPELINE_JOB_NAME_PLACEHOLDER}")


def _same_names() -> None:
    number(value=1).set_display_name("A b")
    number(value=1).set_display_name("a-B")


def _condition_on_text() -> None:
    with dsl.If(number(value=1, word="it").outputs["out"] == "it's"):
        number(value=2)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (_exit_handler_around_a_part, r"exit handlers around a part of the pipeline, run on the KFP backend only"),
        (_two_exit_handlers, r"exit handlers around a part of the pipeline, run on the KFP backend only"),
        (_whatever_became_of_another, r"task number[-2]*: ignore_upstream_failure, and .* run on the KFP backend only"),
        (_loop, r"loops run on the KFP backend only"),
        (_one_of, r"outputs of a group of tasks .* run on the KFP backend only"),
        (_created_claim, r"argostub/createpvc is a stand-in that only the KFP backend knows|can only be a constant"),
        (_claim_from_an_output, r"can only be a constant for Argo"),
        (_run_name, r"task number: 'word' has the placeholder .*pipeline_job_name.*, which only KFP knows"),
        (_same_names, r"another has the same name in Argo, 'a-b'"),
        (_condition_on_text, r"condition '[^']+': Argo cannot evaluate .*not understood"),
    ],
)
def test_constructs_that_argo_cannot_run(graph: Callable[[], None], message: str, tmp_path: Path) -> None:
    text = compiled(dsl.pipeline(graph, name="p"), tmp_path)
    with pytest.raises(InputError, match=message) as error:
        compile_workflow(text, ArgoOptions(claim="work"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a compiled pipeline"),
        ("a: [", "not YAML"),
        ("a: 1", "not a compiled pipeline"),
        ("apiVersion: argoproj.io/v1alpha1\nkind: Workflow", "an Argo Workflow already"),
        ("a: 1\n---\nplatforms: {mars: {}}", "the platform spec is for 'mars'"),
        ("a: 1\n---\nplatforms: {kubernetes: {moons: 2}}", "moons of the platform spec cannot be translated"),
    ],
)
def test_texts_that_are_no_pipeline(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        compile_workflow(text)


@pytest.mark.parametrize("name", ["x" * 58, "Taxi", "a.b"])
def test_pipeline_names_that_kubernetes_would_refuse(name: str, tmp_path: Path) -> None:
    text = compile_pipeline(load("taxi")).replace("\n  name: taxi\n", f"\n  name: {name}\n")
    with pytest.raises(InputError, match=r"pipeline name .*: expected at most 57 lower-case letters"):
        compile_workflow(text)


def test_a_default_in_which_argo_would_find_a_tag(tmp_path: Path) -> None:
    def graph(value: int = 1, word: str = "{{workflow.name}}") -> None:
        number(value=value, word=word)

    with pytest.raises(
        InputError, match=r"the parameter 'word' is '{{workflow.name}}': Argo reads {{ as one of its own"
    ):
        compile_workflow(compiled(dsl.pipeline(graph, name="p"), tmp_path), ArgoOptions(claim="work"))

    def escaped(words: list = ["{{x}}"]) -> None:  # type: ignore[type-arg]  # noqa: B006
        number(value=1)

    document = yaml.safe_load(
        compile_workflow(compiled(dsl.pipeline(escaped, name="p"), tmp_path), ArgoOptions(claim="work"))
    )
    [parameter] = document["spec"]["arguments"]["parameters"]
    assert "{{" not in parameter["value"]
    assert json.loads(parameter["value"]) == ["{{x}}"]


def test_unknown_and_missing_parameters() -> None:
    text = compile_pipeline(load("taxi"))
    with pytest.raises(InputError, match=r"no parameter 'dta'; the parameters are: data, eval_steps"):
        compile_workflow(text, dataclasses.replace(ArgoOptions(), parameters={"dta": "x"}))
    document, platform = yaml.safe_load_all(text)
    del document["root"]["dag"]["tasks"]["ingest"]["inputs"]["parameters"]["data"]
    with pytest.raises(InputError, match=r"task ingest: the parameter 'data' is missing and has no default"):
        compile_workflow(yaml.safe_dump_all([document, platform]))
