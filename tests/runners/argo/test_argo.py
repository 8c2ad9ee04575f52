"""Workflows compiled: goldens, Argo's schema, the Pod Security Standard, what is carried over, what is refused."""

import dataclasses
import functools
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hera.workflows.models import Workflow
from kfp import compiler, dsl, kubernetes

from components.runtime.errors import InputError
from runners.argo.closing import CLOSING
from runners.argo.options import ArgoOptions, for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.settings.model import load
from tests.runners.compiled_models import digest, full, model
from tests.support import ROOT, changed

Document = dict[str, Any]

MODELS = ("taxi", "digits", "complaints", "complaints_product", "pets")
GOLDENS = ROOT / "tests" / "goldens"


@dsl.container_component
def number(value: int, out: dsl.OutputPath(int), word: str = "x"):  # type: ignore[valid-type, no-untyped-def]
    return dsl.ContainerSpec(image="millrace/number:1", command=["python"], args=[value, out, word])


def _compiled(function: Any, folder: Path) -> str:
    compiler.Compiler().compile(function, str(folder / "p.yaml"))
    return (folder / "p.yaml").read_text()


@functools.cache
def _text_of_model(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        settings = full(Path(folder), name.removeprefix("full-")) if name.startswith("full") else load(name)
        return compile_workflow(compile_pipeline(settings, digest), for_settings(settings))


def _of_model(name: str) -> Document:
    document: Document = yaml.safe_load(_text_of_model(name))
    return document


def _templates(workflow: Document) -> dict[str, Document]:
    """Templates of pods by name."""
    return {each["name"]: each for each in workflow["spec"]["templates"] if "container" in each}


def _one(folder: Path, change: Callable[[Any], None], **options: Any) -> Document:
    """A Workflow with one task, changed before it was compiled."""

    @dsl.pipeline(name="p")
    def graph() -> None:
        change(number(value=1))

    document: Document = yaml.safe_load(
        compile_workflow(_compiled(graph, folder), ArgoOptions(**({"claim": "work"} | options)))
    )
    return document


def _template(folder: Path, change: Callable[[Any], None], **options: Any) -> Document:
    return _templates(_one(folder, change, **options))["number"]


ALL = [*MODELS, "full-2.5", "full-2.17"]


@pytest.mark.parametrize("name", MODELS)
def test_compiled_as_the_golden_says(name: str) -> None:
    text = _text_of_model(name)
    golden = GOLDENS / f"{name}.argo.yaml"
    if os.environ.get("MILLRACE_REGENERATE"):
        golden.write_text(text)
    assert yaml.safe_load(text) == yaml.safe_load(golden.read_text()), (
        f"{golden.relative_to(ROOT)} differs; where that is meant: MILLRACE_REGENERATE=1 make test"
    )


@pytest.mark.parametrize("name", ALL)
def test_nothing_is_unknown_to_argos_schema(name: str) -> None:
    document = _of_model(name)
    # hera's models are generated from Argo's schema; they pass over keys that it does not have.
    assert Workflow.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True) == document
    document["spec"]["templates"][1]["container"]["imagePullPolice"] = "Always"
    assert Workflow.model_validate(document).model_dump(mode="json", by_alias=True, exclude_none=True) != document


@pytest.mark.parametrize("name", ALL)
def test_every_tag_names_something(name: str, tmp_path: Path) -> None:
    """As Argo's validation has it, which reads KFP's placeholders as tags too."""
    document = _of_model(name)
    spec = document["spec"]
    names = {"workflow.name"} | {f"workflow.parameters.{each['name']}" for each in spec["arguments"]["parameters"]}
    dag = spec["templates"][0]["dag"]["tasks"]
    templates = _templates(document)
    for task in dag:
        before = set(re.findall(r"([\w-]+)\.Succeeded", task.get("depends", "")))
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
    names |= {"workflow.status", "workflow.failures", "workflow.creationTimestamp.RFC3339"}
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
    document = _of_model(name)
    assert re.fullmatch(r"[a-z0-9][-a-z0-9]*-", document["metadata"]["generateName"])
    assert len(document["metadata"]["generateName"]) + 5 <= 63
    for template in document["spec"]["templates"]:
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", template["name"])
        for volume in template.get("volumes", []):
            assert re.fullmatch(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", volume["name"])
    assert len(json.dumps(document)) < 500_000, "Kubernetes keeps objects up to a megabyte"


# --- the Pod Security Standard `restricted`, https://kubernetes.io/docs/concepts/security/pod-security-standards/

VOLUME_TYPES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}


def _pods(workflow: Document) -> Iterator[tuple[str, Document]]:
    """The pods that Argo makes, with its own containers `init` and `wait` as the patch leaves them."""
    spec = workflow["spec"]
    patch = json.loads(spec.get("podSpecPatch", "{}"))
    claims = [
        {"name": each["metadata"]["name"], "persistentVolumeClaim": {}} for each in spec.get("volumeClaimTemplates", [])
    ]
    for name, template in _templates(workflow).items():
        yield (
            name,
            {
                **{key: spec[key] for key in ("hostNetwork", "hostPID", "hostIPC") if key in spec},
                "securityContext": template.get("securityContext", spec.get("securityContext", {})),
                "volumes": [*spec.get("volumes", []), *claims, *template.get("volumes", [])],
                "containers": [template["container"] | {"name": "main"}, *patch.get("containers", [{"name": "wait"}])],
                "initContainers": patch.get("initContainers", [{"name": "init"}]),
            },
        )


def _violations(pod: Document) -> Iterator[str]:
    """What `restricted` forbids, rule by rule, and besides a root file system that the stage could write to."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield key
    for volume in pod["volumes"]:
        if not volume.keys() - {"name"} <= VOLUME_TYPES:
            yield f"volume types: {volume}"
    context = pod["securityContext"]
    if context.get("sysctls") or context.get("seLinuxOptions") or context.get("windowsOptions"):
        yield "sysctls, SELinux or host process"
    for container in [*pod["containers"], *pod["initContainers"]]:
        own, name = container.get("securityContext", {}), container["name"]
        effective = context | own
        if own.get("privileged"):
            yield f"{name}: privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if effective.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot"
        if effective.get("runAsUser", 1) == 0:
            yield f"{name}: runAsUser"
        if effective.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or not set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities"
        if own.get("procMount", "Default") != "Default" or any(
            "hostPort" in port for port in container.get("ports", [])
        ):
            yield f"{name}: procMount or hostPort"
        if name == "main" and own.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: readOnlyRootFilesystem"


@pytest.mark.parametrize("name", ALL)
def test_every_pod_passes_the_pod_security_standard_restricted(name: str) -> None:
    pods = list(_pods(_of_model(name)))
    # The exit handler's too.
    told = name == "taxi" or name.startswith("full")
    # The full ones search and start from an earlier model, too.
    assert len(pods) == 12 + told + 2 * name.startswith("full")
    assert CLOSING in dict(pods)
    assert ("notify" in dict(pods)) == told
    for task, pod in pods:
        assert list(_violations(pod)) == [], task
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
    document = changed(_of_model("taxi"), path, value)
    assert any(each.startswith(rule) for _, pod in _pods(document) for each in _violations(pod))


@pytest.mark.parametrize("name", ALL)
def test_everything_written_goes_to_a_volume(name: str) -> None:
    for template in _templates(_of_model(name)).values():
        container = template["container"]
        mounts = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        variables = {each["name"]: each.get("value", "") for each in container["env"]}
        files = [output["valueFrom"]["path"] for output in template.get("outputs", {}).get("parameters", [])]
        root = container["args"][container["args"].index("--root") + 1]
        for path in (variables["HOME"], variables["TMPDIR"], root, *files):
            assert any(f"{path}/".startswith(f"{mount}/") for mount in mounts), path


@pytest.mark.parametrize("name", ALL)
def test_images_are_pinned_and_the_launcher_starts_the_stage(name: str) -> None:
    for task, template in _templates(_of_model(name)).items():
        container = template["container"]
        assert re.search(r"@sha256:[0-9a-f]{64}$", container["image"])
        if task == CLOSING:
            assert container["command"] == ["python", "-m", "components.runtime.close_workflow"]
            continue
        assert container["command"] == ["python", "-m", "components.runtime.launch"]
        spec = json.loads(container["args"][container["args"].index("--task") + 1])
        assert spec["container"]["image"] == container["image"]
        assert spec["container"]["args"] == ["--executor-input", "{{$}}"]


# --- what is carried over


def test_resources_mounts_secrets_and_places_are_carried_over() -> None:
    document = _of_model("full-2.5")
    templates = _templates(document)
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
        "retryPolicy": "OnFailure",
        "expression": "asInt(lastRetry.exitCode) == 75",
        "backoff": {"duration": "60s", "factor": "1"},
    }
    token = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}
    assert token in train["container"]["env"]
    assert {"name": "secret-certificates", "secret": {"secretName": "certificates"}} in train["volumes"]
    assert {"name": "claim-lookups", "mountPath": "/lookups", "readOnly": True} in train["container"]["volumeMounts"]
    assert {"name": "claim-lookups", "persistentVolumeClaim": {"claimName": "lookups"}} in train["volumes"]
    assert "retryStrategy" not in templates["reject-data"]
    address = {"name": "MILLRACE_NOTIFY_URL", "valueFrom": {"secretKeyRef": {"name": "millrace-notify", "key": "url"}}}
    assert address in templates["notify"]["container"]["env"]
    assert not any(address in each["container"]["env"] for name, each in templates.items() if name != "notify")
    ingest = templates["ingest"]["container"]
    assert {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/credentials/gcp/key.json"} in ingest["env"]
    assert [each["mountPath"] for each in ingest["volumeMounts"]].count("/millrace") == 1
    assert document["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert document["metadata"]["labels"]["team"] == "rides"
    assert all(each["metadata"]["labels"]["team"] == "rides" for each in templates.values())


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

    template = _template(tmp_path, change, access_mode="ReadWriteMany")
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
    retry = _template(tmp_path, lambda task: task.set_retry(count, duration, factor, longest))["retryStrategy"]
    assert retry["limit"] == str(count)
    assert retry["backoff"] == expected
    waits = [int(expected["duration"][:-1]) * int(expected["factor"]) ** number for number in range(count)]
    assert max(waits) <= int(longest[:-1])


def test_a_run_has_limits_is_cleaned_up_and_tied_to_its_pods() -> None:
    spec = _of_model("full-2.5")["spec"]
    assert spec["activeDeadlineSeconds"] == 24 * 3600
    assert spec["ttlStrategy"] == {"secondsAfterCompletion": 7 * 24 * 3600}
    assert spec["podGC"] == {"strategy": "OnWorkflowSuccess"}
    assert spec["volumes"] == [{"name": "millrace", "persistentVolumeClaim": {"claimName": "work"}}]
    assert "volumeClaimTemplates" not in spec
    for template in _templates({"spec": spec}).values():
        labels = template["metadata"]["labels"]
        assert labels["millrace/run"] == "{{workflow.name}}"
        assert labels["millrace/pipeline"] == labels["millrace/model"] == "full"
        (wish,) = template["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
        assert wish["podAffinityTerm"]["labelSelector"]["matchLabels"] == {"millrace/run": "{{workflow.name}}"}


def test_limits_in_the_platform_spec_hold(tmp_path: Path) -> None:
    text = compile_pipeline(full(tmp_path, "2.17"), digest)
    spec = yaml.safe_load(compile_workflow(text, ArgoOptions(claim="work", ttl_seconds=1, deadline_seconds=1)))["spec"]
    assert spec["activeDeadlineSeconds"] == 24 * 3600
    assert spec["ttlStrategy"] == {"secondsAfterCompletion": 7 * 24 * 3600}


def test_the_claim_that_the_platform_spec_mounts_as_the_pipeline_root_is_the_volume(tmp_path: Path) -> None:
    spec = _one(tmp_path, lambda task: kubernetes.mount_pvc(task, "photos", "/millrace"), claim="")["spec"]
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

    text = _compiled(graph, tmp_path)
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

    plain, said = (_one(tmp_path, nothing, **each) for each in ({}, {"namespace": "n", "service_account": "s"}))
    assert "namespace" not in plain["metadata"]
    assert "serviceAccountName" not in plain["spec"]
    assert said["metadata"]["namespace"] == "n"
    assert said["spec"]["serviceAccountName"] == "s"


# --- what is refused


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
        _one(tmp_path, change)
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
    text = _compiled(dsl.pipeline(graph, name="p"), tmp_path)
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


def test_unknown_and_missing_parameters() -> None:
    text = compile_pipeline(load("taxi"))
    with pytest.raises(InputError, match=r"no parameter 'dta'; the parameters are: data, eval_steps"):
        compile_workflow(text, dataclasses.replace(ArgoOptions(), parameters={"dta": "x"}))
    document, platform = yaml.safe_load_all(text)
    del document["components"]["comp-exit-handler-1"]["dag"]["tasks"]["ingest"]["inputs"]["parameters"]["data"]
    with pytest.raises(InputError, match=r"task ingest: the parameter 'data' is missing and has no default"):
        compile_workflow(yaml.safe_dump_all([document, platform]))
