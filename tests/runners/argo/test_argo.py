"""Workflows of the models: goldens, Argo's schema, the Pod Security Standard, what their settings say."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hera.workflows.models import Workflow

from components.runtime.records.argo_workflow import CLOSING
from tests.runners.argo.compiled_workflows import MODELS, of_model, pod_templates, text_of_model
from tests.runners.argo.restricted_pods import pods_of, violations
from tests.support import ROOT, changed

GOLDENS = ROOT / "tests" / "goldens"


ALL = [*MODELS, "full-2.5", "full-2.17"]


@pytest.mark.parametrize("name", MODELS)
def test_compiled_as_the_golden_says(name: str) -> None:
    text = text_of_model(name)
    golden = GOLDENS / f"{name}.argo.yaml"
    if os.environ.get("MILLRACE_REGENERATE"):
        golden.write_text(text)
    assert yaml.safe_load(text) == yaml.safe_load(golden.read_text()), (
        f"{golden.relative_to(ROOT)} differs; where that is meant: MILLRACE_REGENERATE=1 make test"
    )


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_unknown_to_argos_schema(name: str) -> None:
    document = of_model(name)
    # hera's models are generated from Argo's schema; they pass over keys that it does not have.
    assert Workflow.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True) == document
    document["spec"]["templates"][1]["container"]["imagePullPolice"] = "Always"
    assert Workflow.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True) != document


@pytest.mark.parametrize("name", ALL)
def test_every_tag_names_something(name: str, tmp_path: Path) -> None:
    """As Argo's validation has it, which reads KFP's placeholders as tags too."""
    document = of_model(name)
    spec = document["spec"]
    names = {"workflow.name", "workflow.creationTimestamp.RFC3339"} | {
        f"workflow.parameters.{each['name']}" for each in spec["arguments"]["parameters"]
    }
    dag = spec["templates"][0]["dag"]["tasks"]
    templates = pod_templates(document)
    for task in dag:
        before = set(re.findall(r"([\w-]+)\.Succeeded", task.get("depends", ""))) | set(task.get("dependencies", []))
        made = {
            f"tasks.{other}.outputs.parameters.{output['name']}"
            for other in before
            for output in templates[other]["outputs"]["parameters"]
        }
        used = set(re.findall(r"\{\{(?!=)(.*?)\}\}", json.dumps(task)))
        expression = re.sub(r"\['([^']+)'\]", r".\1", task.get("when", ""))
        used |= set(re.findall(r"(?:tasks\.[\w-]+\.outputs\.parameters|workflow\.parameters)\.[\w-]+", expression))
        assert used <= names | made, used - names - made
        wanted = {each["name"] for each in templates[task["template"]].get("inputs", {}).get("parameters", [])}
        assert wanted == {each["name"] for each in task.get("arguments", {}).get("parameters", [])}
        inside = {f"inputs.parameters.{each}" for each in wanted}
        tags = set(re.findall(r"\{\{(.*?)\}\}", json.dumps(templates[task["template"]])))
        assert tags <= names | inside, tags - names - inside
    # Only in the exit handler are these known.
    names |= {"workflow.status", "workflow.failures"}
    (exit_handler,) = [each for each in spec["templates"] if each["name"] == spec["onExit"]]
    for step in (step for group in exit_handler["steps"] for step in group):
        used = set(re.findall(r"\{\{(.*?)\}\}", json.dumps(templates[step["template"]])))
        inputs = templates[step["template"]].get("inputs", {}).get("parameters", [])
        given = {each["name"] for each in step.get("arguments", {}).get("parameters", [])}
        assert given == {each["name"] for each in inputs}
        assert used <= names | {f"inputs.parameters.{each}" for each in given}, used - names
        assert {"workflow.status", "workflow.failures"} <= used


@pytest.mark.parametrize("name", ALL)
def test_names_fit_into_what_kubernetes_and_argo_allow(name: str) -> None:
    document = of_model(name)
    assert re.fullmatch(r"[a-z0-9][-a-z0-9]*-", document["metadata"]["generateName"])
    assert len(document["metadata"]["generateName"]) + 5 <= 63
    for template in document["spec"]["templates"]:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", template["name"])
        for volume in template.get("volumes", []):
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", volume["name"])
    assert len(json.dumps(document)) < 500_000, "Kubernetes keeps objects up to a megabyte"


@pytest.mark.parametrize("name", ALL)
def test_every_pod_passes_the_pod_security_standard_restricted(name: str) -> None:
    pods = list(pods_of(of_model(name)))
    # The exit handler's too.
    told = name.startswith("full")
    # The full ones tell how they ended, search, and start from an earlier model.
    assert len(pods) == 11 + 3 * told
    assert CLOSING in dict(pods)
    assert ("notify" in dict(pods)) == told
    for task, pod in pods:
        assert list(violations(pod)) == [], task
        assert pod["securityContext"]["runAsUser"] == pod["securityContext"]["fsGroup"] == 1000


@pytest.mark.parametrize(
    ("path", "value", "rule"),
    [
        (("spec", "securityContext", "runAsNonRoot"), None, "wait: runAsNonRoot"),
        (("spec", "securityContext", "runAsUser"), 0, "main: runAsUser"),
        (("spec", "securityContext", "seccompProfile"), None, "main: seccompProfile"),
        (("spec", "podSpecPatch"), "{}", "wait: allowPrivilegeEscalation"),
        (("spec", "hostNetwork"), True, "hostNetwork"),
        (("spec", "templates", 1, "container", "securityContext", "capabilities"), None, "main: capabilities"),
        (("spec", "templates", 1, "container", "securityContext", "readOnlyRootFilesystem"), False, "main: readOnly"),
        (("spec", "templates", 1, "volumes", 0), {"name": "x", "hostPath": {"path": "/"}}, "volume types"),
    ],
)
def test_a_pod_that_would_not_pass_is_found(path: tuple[Any, ...], value: Any, rule: str) -> None:
    document = changed(of_model("taxi"), path, value)
    assert any(each.startswith(rule) for _, pod in pods_of(document) for each in violations(pod))


@pytest.mark.parametrize("name", ALL)
def test_everything_written_goes_to_a_volume(name: str) -> None:
    for template in pod_templates(of_model(name)).values():
        container = template["container"]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        variables = {each["name"]: each.get("value", "") for each in container["env"]}
        files = [output["valueFrom"]["path"] for output in template.get("outputs", {}).get("parameters", [])]
        root = container["args"][container["args"].index("--root") + 1]
        for path in (variables["HOME"], variables["TMPDIR"], root, *files):
            assert any(f"{path}/".startswith(f"{mount}/") for mount in mounts), path


@pytest.mark.parametrize("name", ALL)
def test_images_are_pinned_and_the_launcher_starts_the_stage(name: str) -> None:
    for task, template in pod_templates(of_model(name)).items():
        container = template["container"]
        assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])
        if task == CLOSING:
            assert container["command"] == ["python", "-m", "components.runtime.close_workflow"]
            continue
        assert container["command"] == ["python", "-m", "components.runtime.launch"]
        spec = json.loads(container["args"][container["args"].index("--task") + 1])
        assert spec["container"]["image"] == container["image"]
        assert spec["container"]["args"] == ["--executor-input", "{{$}}"]


def test_resources_mounts_secrets_and_places_are_carried_over() -> None:
    document = of_model("full-2.5")
    templates = pod_templates(document)
    train = templates["train"]
    assert train["container"]["resources"] == {
        "requests": {"cpu": "500m", "memory": "6Gi"},
        "limits": {"cpu": "8", "memory": "12Gi", "nvidia.com/gpu": "2"},
    }
    assert train["container"]["image"].startswith("millrace/train-gpu@sha256:")
    assert train["metadata"]["labels"]["millrace/stage"] == "train"
    assert train["nodeSelector"] == {"pool": "batch", "kind": "l4", "disk": "ssd"}
    assert {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"} in train["tolerations"]
    assert train["activeDeadlineSeconds"] == 86400
    assert train["retryStrategy"] == {
        "limit": "5",
        "retryPolicy": "Always",
        "expression": "lastRetry.status == 'Error' || asInt(lastRetry.exitCode) == 75 || "
        "(asInt(lastRetry.exitCode) == 143 && asFloat(lastRetry.duration) < 86400)",
        "backoff": {"duration": "60s", "factor": "1"},
    }
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    assert token in train["container"]["env"]
    assert {"name": "secret-certificates", "secret": {"secretName": "certificates"}} in train["volumes"]
    assert {"name": "claim-lookups", "mountPath": "/lookups", "readOnly": True} in train["container"]["volumeMounts"]
    assert {"name": "claim-lookups", "persistentVolumeClaim": {"claimName": "lookups"}} in train["volumes"]
    address = {"name": "MILLRACE_NOTIFY_URL", "valueFrom": {"secretKeyRef": {"name": "millrace-notify", "key": "url"}}}
    assert address in templates["notify"]["container"]["env"]
    assert not any(address in each["container"]["env"] for name, each in templates.items() if name != "notify")
    ingest = templates["ingest"]["container"]
    assert {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/credentials/gcp/key.json"} in ingest["env"]
    assert [each["mountPath"] for each in ingest["volumeMounts"]].count("/millrace") == 1
    assert document["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert document["metadata"]["labels"]["team"] == "rides"
    assert all(each["metadata"]["labels"]["team"] == "rides" for each in templates.values())


def test_a_run_has_limits_is_cleaned_up_and_tied_to_its_pods() -> None:
    spec = of_model("full-2.5")["spec"]
    assert spec["activeDeadlineSeconds"] == 24 * 3600
    assert spec["ttlStrategy"] == {"secondsAfterCompletion": 7 * 24 * 3600}
    assert spec["podGC"] == {"strategy": "OnWorkflowSuccess"}
    assert spec["volumes"] == [{"name": "millrace", "persistentVolumeClaim": {"claimName": "work"}}]
    assert "volumeClaimTemplates" not in spec
    for template in pod_templates({"spec": spec}).values():
        labels = template["metadata"]["labels"]
        assert labels["millrace/run"] == "{{workflow.name}}"
        assert labels["millrace/pipeline"] == labels["millrace/model"] == "full"
        (wish,) = template["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert wish["podAffinityTerm"]["labelSelector"]["matchLabels"] == {"millrace/run": "{{workflow.name}}"}
