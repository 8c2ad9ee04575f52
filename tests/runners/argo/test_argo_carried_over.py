"""What a pipeline says about its tasks and parameters, and what of it the Workflow has."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import dsl, kubernetes

from runners.argo.options import ArgoOptions, for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from tests.runners.argo.compiled_workflows import compiled, number, one_task, one_template
from tests.runners.compiled_models import digest, full, model


def test_what_else_the_platform_spec_says_is_carried_over(tmp_path: Path) -> None:
    def change(task: Any) -> None:
        kubernetes.use_config_map_as_env(task, "words", {"key": "WORD"})
        kubernetes.use_config_map_as_volume(task, "words", "/words")
        kubernetes.use_field_path_as_env(task, "POD", "metadata.name")
        kubernetes.empty_dir_mount(task, "scratch", "/scratch", size_limit="1Gi")
        kubernetes.add_ephemeral_volume(task, "own", "/own", ["ReadWriteOnce"], "1Gi", "fast")
        kubernetes.mount_pvc(task, "a.dotted.claim", "/part", sub_path="x")
        kubernetes.add_node_selector_json(task, {"disk": "ssd"})
        kubernetes.add_toleration(task, key="c", operator="Exists", effect="NoExecute", toleration_seconds=9)
        kubernetes.add_toleration_json(task, [{"key": "a", "operator": "Equal", "value": "b"}])
        kubernetes.add_node_affinity(task, match_expressions=[{"key": "z", "operator": "In", "values": ["q"]}])
        kubernetes.set_image_pull_policy(task, "Always")
        kubernetes.add_pod_annotation(task, "note", "a")
        kubernetes.set_security_context(task, run_as_user=2000, run_as_group=3000)

    template = one_template(tmp_path, change, access_mode="ReadWriteMany")
    assert template["container"]["env"][2:] == [
        {"name": "WORD", "valueFrom": {"configMapKeyRef": {"name": "words", "key": "key"}}},
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
    ]
    sources = {each.pop("name"): each for each in template["volumes"]}
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "1Gi"}},
        "storageClassName": "fast",
    }
    assert sources == {
        "scratch": {"emptyDir": {}},
        "config-words": {"configMap": {"name": "words"}},
        "empty-scratch": {"emptyDir": {"sizeLimit": "1Gi"}},
        "own-own": {"ephemeral": {"volumeClaimTemplate": {"spec": claim}}},
        "claim-a-dotted-claim": {"persistentVolumeClaim": {"claimName": "a.dotted.claim"}},
    }
    assert {"name": "claim-a-dotted-claim", "mountPath": "/part", "subPath": "x"} in template["container"][
        "volumeMounts"
    ]
    assert template["nodeSelector"] == {"disk": "ssd"}
    assert template["tolerations"] == [
        {"key": "c", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 9},
        {"key": "a", "operator": "Equal", "value": "b"},
    ]
    terms = [{"matchExpressions": [{"key": "z", "operator": "In", "values": ["q"]}]}]
    # A volume for many nodes draws no pod to one.
    assert template["affinity"] == {
        "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}
    }
    assert template["container"]["imagePullPolicy"] == "Always"
    assert template["metadata"]["annotations"]["note"] == "a"
    assert template["securityContext"]["runAsUser"] == 2000
    assert template["securityContext"]["runAsGroup"] == 3000
    assert template["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}


@pytest.mark.parametrize(
    ("count", "duration", "factor", "longest", "expected"),
    [
        (3, "10s", 2.0, "600s", {"duration": "10s", "factor": "2"}),
        (3, "10s", 1.5, "600s", {"duration": "10s", "factor": "2"}),
        (6, "60s", 2.0, "600s", {"duration": "60s", "factor": "1"}),
        (3, "20s", 9.0, "200s", {"duration": "20s", "factor": "3"}),
        (1, "90s", 2.0, "60s", {"duration": "60s", "factor": "1"}),
    ],
)
def test_waits_grow_by_whole_factors_up_to_the_longest(
    count: int, duration: str, factor: float, longest: str, expected: dict[str, str], tmp_path: Path
) -> None:
    retry = one_template(tmp_path, lambda task: task.set_retry(count, duration, factor, longest))["retryStrategy"]
    assert retry["limit"] == str(count)
    assert retry["backoff"] == expected
    waits = [int(expected["duration"][:-1]) * int(expected["factor"]) ** number for number in range(count)]
    assert max(waits) <= int(longest[:-1])


def test_limits_in_the_platform_spec_hold(tmp_path: Path) -> None:
    text = compile_pipeline(full(tmp_path, "2.17"), digest)
    spec = yaml.safe_load(compile_workflow(text, ArgoOptions(claim="work", ttl_seconds=1, deadline_seconds=1)))["spec"]
    assert spec["activeDeadlineSeconds"] == 24 * 3600
    assert spec["ttlStrategy"] == {"secondsAfterCompletion": 7 * 24 * 3600}


def test_the_claim_that_the_platform_spec_mounts_as_the_pipeline_root_is_the_volume(tmp_path: Path) -> None:
    spec = one_task(tmp_path, lambda task: kubernetes.mount_pvc(task, "photos", "/millrace"), claim="")["spec"]
    assert spec["volumes"] == [{"name": "millrace", "persistentVolumeClaim": {"claimName": "photos"}}]
    assert "volumeClaimTemplates" not in spec


def test_without_a_claim_each_run_makes_its_own(tmp_path: Path) -> None:
    settings = model(tmp_path / "own", "cluster: {volume: {create: true, size: 5Gi, storage_class: fast}}")
    spec = yaml.safe_load(compile_workflow(compile_pipeline(settings), for_settings(settings)))["spec"]
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "5Gi"}},
        "storageClassName": "fast",
    }
    assert spec["volumeClaimTemplates"] == [{"metadata": {"name": "millrace"}, "spec": claim}]
    assert spec["volumeClaimGC"] == {"strategy": "OnWorkflowSuccess"}
    values = {each["name"]: each.get("value") for each in spec["arguments"]["parameters"]}
    # That volume is empty at first and gone at last: where data and models lie has to be said.
    assert values == {"data": None, "serving_directory": None, "eval_steps": "50", "train_steps": "500"}


def test_parameters_are_the_workflows_arguments(tmp_path: Path) -> None:
    @dsl.pipeline(name="p", description="What it does")
    def graph(count: int, words: list = ["a", 1], share: float = 0.5, on: bool = True) -> None:  # noqa: B006
        number(value=count)

    text = compiled(graph, tmp_path)
    document = yaml.safe_load(compile_workflow(text, ArgoOptions(claim="w", parameters={"share": 0.25})))
    assert document["spec"]["arguments"]["parameters"] == [
        {"name": "count"},
        {"name": "on", "value": "true"},
        {"name": "share", "value": "0.25"},
        {"name": "words", "value": '["a", 1]'},
    ]
    # What the KFP dashboard looks at when the Workflow is uploaded.
    shown = json.loads(document["metadata"]["annotations"]["pipelines.kubeflow.org/pipeline_spec"])
    assert (shown["name"], shown["description"]) == ("p", "What it does")
    assert {each["name"]: each["type"] for each in shown["inputs"]} == {
        "count": "Integer",
        "on": "Boolean",
        "share": "Float",
        "words": "JsonObject",
    }
    assert "name" not in document["metadata"]
    assert document["metadata"]["generateName"] == "p-"


def test_namespace_and_service_account_are_said_where_they_are_given(tmp_path: Path) -> None:
    def nothing(task: Any) -> None:
        pass

    plain, said = (one_task(tmp_path, nothing, **each) for each in ({}, {"namespace": "n", "service_account": "s"}))
    assert "namespace" not in plain["metadata"]
    assert "serviceAccountName" not in plain["spec"]
    assert said["metadata"]["namespace"] == "n"
    assert said["spec"]["serviceAccountName"] == "s"
