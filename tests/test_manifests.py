"""The manifests, without a cluster: rendered by kustomize where it is installed, and read as files everywhere."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.runtime import VERSION
from components.runtime.publish import receiver, slack
from components.runtime.stage import kubernetes
from runners.settings.model import Settings
from runners.settings.parameters import PARAMETERS
from tests.manifest_support import (
    MANIFESTS,
    Object,
    documents,
    kustomize,
    name,
    pod_security_errors,
    pod_specs,
    rendered,
    schema_errors,
)
from tests.support import ROOT, changed

KUSTOMIZATIONS = sorted(MANIFESTS.rglob("kustomization.yaml"))
FOLDERS = [file.parent for file in KUSTOMIZATIONS if yaml.safe_load(file.read_text())["kind"] == "Kustomization"]
OVERLAYS = [folder for folder in FOLDERS if folder.parent.name == "overlays"]
OBJECT_FILES = sorted(
    file
    for file in MANIFESTS.rglob("*.yaml")
    if file.name != "kustomization.yaml" and file.parent.name not in ("schedules", "config")
)
OBJECTS = [thing for file in OBJECT_FILES for thing in documents(file)]
CUSTOM_KINDS = {"PodMonitor", "HTTPRoute", "FlinkDeployment", "TrainingRuntime"}
METRICS = "/monitoring/prometheus/metrics"
SERVED = "taxi"


def ids(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(MANIFESTS)) for path in paths]


def the(kind: str, called: str, things: list[Object] = OBJECTS) -> Object:
    found = [thing for thing in things if name(thing) == f"{kind}/{called}"]
    assert len(found) == 1, f"{len(found)} of {kind}/{called}"
    return found[0]


@pytest.fixture(scope="module")
def render() -> Any:
    command = kustomize()
    if command is None:
        pytest.skip("needs kubectl or kustomize")
    return lambda folder: rendered(folder, command)


# --- as files


def test_there_is_something_to_check() -> None:
    assert {folder.name for folder in OVERLAYS} == {"kind", "gke", "gke-rwx", "kubeflow"}
    assert len(OBJECTS) > 20


@pytest.mark.parametrize("file", KUSTOMIZATIONS, ids=ids(KUSTOMIZATIONS))
def test_kustomization_names_what_is_there(file: Path) -> None:
    content = yaml.safe_load(file.read_text())
    for reference in [*content.get("resources", []), *content.get("components", [])]:
        target = file.parent / reference
        if target.is_dir():
            kind = yaml.safe_load((target / "kustomization.yaml").read_text())["kind"]
            assert kind == ("Component" if reference in content.get("components", []) else "Kustomization")
        else:
            assert target.is_file(), f"{file}: {reference}"
    for generator in content.get("configMapGenerator", []):
        assert all((file.parent / path).is_file() for path in generator["files"])


def test_every_file_is_used_by_a_kustomization() -> None:
    used = set()
    for file in KUSTOMIZATIONS:
        content = yaml.safe_load(file.read_text())
        used |= {(file.parent / path).resolve() for path in content.get("resources", [])}
        used |= {
            (file.parent / path).resolve() for maker in content.get("configMapGenerator", []) for path in maker["files"]
        }
    there = {path.resolve() for path in MANIFESTS.rglob("*") if path.is_file() and path.name != "kustomization.yaml"}
    assert {path for path in there - used if path.parent.name != "schedules"} == set()


@pytest.mark.parametrize("thing", [thing for thing in OBJECTS if thing["kind"] not in CUSTOM_KINDS], ids=name)
def test_object_is_as_the_api_defines_it(thing: Object) -> None:
    assert schema_errors(thing) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["spec", "replica"], 1, "no such field"),
        (["spec", "selector"], None, "selector"),
        (["spec", "template", "spec", "containers", 0, "ports", 0, "containerPort"], "8500", "no int"),
        (["spec", "template", "spec", "containers", 0, "env"], [{"name": "A", "value": 1}], "no str"),
        (["spec", "template", "spec", "volumes", 0, "persistentVolumeClaim"], {"claim": "a"}, "no such field"),
        (["kind"], "Deploiment", "no kind"),
    ],
)
def test_mistake_in_an_object_is_found(path: list[Any], value: Any, expected: str) -> None:
    thing = changed(the("Deployment", "serving"), path, value)
    assert expected in " ".join(schema_errors(thing))


PODS = [(name(thing), spec) for thing in OBJECTS for spec in pod_specs(thing)]


@pytest.mark.parametrize(("called", "spec"), PODS, ids=[called for called, _ in PODS])
def test_pod_passes_restricted(called: str, spec: Object) -> None:
    assert pod_security_errors(spec) == []
    assert spec["automountServiceAccountToken"] is False
    for container in spec["containers"]:
        assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
        assert "memory" in container["resources"]["limits"]
        # On a read-only root file system.
        assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]


def test_workers_of_a_training_on_kubeflow_pass_restricted() -> None:
    [job] = the("TrainingRuntime", "millrace-workers")["spec"]["template"]["spec"]["replicatedJobs"]
    spec = job["template"]["spec"]["template"]["spec"]
    assert pod_security_errors(spec) == []
    assert spec["automountServiceAccountToken"] is False


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        (["securityContext", "runAsNonRoot"], None, "runAsNonRoot"),
        (["securityContext", "runAsUser"], 0, "runAsUser is 0"),
        (["securityContext", "seccompProfile"], None, "seccomp"),
        (["hostNetwork"], True, "hostNetwork"),
        (["volumes", 0], {"name": "a", "hostPath": {"path": "/"}}, "hostPath"),
        (["containers", 0, "securityContext", "allowPrivilegeEscalation"], None, "allowPrivilegeEscalation"),
        (["containers", 0, "securityContext", "capabilities"], None, "drop ALL"),
        (["containers", 0, "securityContext", "capabilities", "add"], ["SYS_ADMIN"], "adds capabilities"),
        (["containers", 0, "securityContext", "privileged"], True, "privileged"),
        (["containers", 0, "securityContext", "runAsNonRoot"], False, "runAsNonRoot"),
        (["containers", 0, "securityContext", "readOnlyRootFilesystem"], False, "writable"),
        (["containers", 0, "ports"], [{"containerPort": 1, "hostPort": 1}], "port of the host"),
        (["initContainers"], [{"name": "prepare", "image": "a"}], "prepare: allowPrivilegeEscalation"),
    ],
)
def test_pod_that_would_not_pass_is_found(path: list[Any], value: Any, expected: str) -> None:
    spec = changed(the("Pod", "storage-access")["spec"], path, value)
    assert expected in " ".join(pod_security_errors(spec))


def test_namespace_enforces_restricted() -> None:
    labels = the("Namespace", "millrace")["metadata"]["labels"]
    assert [labels[f"pod-security.kubernetes.io/{mode}"] for mode in ("enforce", "audit", "warn")] == ["restricted"] * 3


# --- rights


def roles() -> dict[str, list[tuple[str, str, str]]]:
    return {
        thing["metadata"]["name"]: [
            (group, resource, verb)
            for rule in thing["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        ]
        for thing in OBJECTS
        if thing["kind"] == "Role"
    }


def test_rights_are_the_least() -> None:
    assert roles()["millrace-executor"] == [
        ("argoproj.io", "workflowtaskresults", "create"),
        ("argoproj.io", "workflowtaskresults", "patch"),
    ]
    # The stage that begins a run does no more than that.
    begins = [
        (resource, verb) for _, resource, verb in roles()["millrace-retrain"] if resource != "workflowtaskresults"
    ]
    assert begins == [("workflowtemplates", "get"), ("workflows", "create"), ("workflows", "get")]
    for group, resource, verb in [right for rights in roles().values() for right in rights]:
        assert "*" not in (group, resource, verb)
        assert resource not in ("secrets", "pods/exec", "serviceaccounts/token")
        # The stage canary sets the weights of one route, and asks what servers answer.
        canary = {("gateway.networking.k8s.io", "httproutes", "patch"), ("", "pods/proxy", "create")}
        # A training with several workers makes a TrainJob of them, and removes it.
        train = {
            ("trainer.kubeflow.org", resource, verb)
            for resource in ("trainjobs", "trainingruntimes")
            for verb in ("create", "delete")
        }
        assert verb in ("get", "list", "watch") or group == "argoproj.io" or (group, resource, verb) in canary | train
    assert not [thing for thing in OBJECTS if thing["kind"].startswith("ClusterRole")]


def test_bindings_name_roles_and_accounts_that_are_there() -> None:
    accounts = {thing["metadata"]["name"] for thing in OBJECTS if thing["kind"] == "ServiceAccount"}
    # Every namespace has the one, and that of KFP the other.
    accounts |= {"default", "pipeline-runner"}
    for binding in [thing for thing in OBJECTS if thing["kind"] == "RoleBinding"]:
        assert binding["roleRef"]["name"] in roles()
        for subject in binding["subjects"]:
            assert subject["kind"] == "Group" or subject["name"] in accounts or subject["namespace"] == "monitoring"
    for called, spec in PODS:
        assert spec["serviceAccountName"] in accounts - {"default", "pipeline-runner"}, called


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for item in value.values():
            yield from strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, str):
        yield value


def test_no_secret_is_in_the_manifests() -> None:
    assert not [thing for thing in OBJECTS if thing["kind"] == "Secret"]
    suspicious = re.compile(r"(?i)password|private.key|BEGIN |secret_?access|[A-Za-z0-9+/]{40,}={0,2}$")
    assert [text for thing in OBJECTS for text in strings(thing) if suspicious.search(text)] == []


# --- the volume


def test_volume_and_claim_fit() -> None:
    claim, volume = the("PersistentVolumeClaim", "millrace")["spec"], the("PersistentVolume", "millrace")["spec"]
    assert claim["resources"]["requests"]["storage"] == volume["capacity"]["storage"] == "20Gi"
    assert claim["accessModes"] == volume["accessModes"] == ["ReadWriteOnce"]
    assert volume["claimRef"] == {"namespace": "millrace", "name": "millrace"}
    assert volume["persistentVolumeReclaimPolicy"] == "Retain"


def test_pods_mount_the_claim() -> None:
    for called, spec in PODS:
        claims = [volume["persistentVolumeClaim"] for volume in spec["volumes"] if "persistentVolumeClaim" in volume]
        assert claims == [{"claimName": "millrace"}], called
        for container in spec["containers"]:
            names = {volume["name"] for volume in spec["volumes"]}
            assert {mount["name"] for mount in container["volumeMounts"]} <= names
            assert "/millrace" in [mount["mountPath"] for mount in container["volumeMounts"]]


# --- the receiver of Slack's buttons


def test_the_receiver_is_what_the_module_takes_and_reaches_what_it_needs() -> None:
    spec = the("Deployment", "approvals")["spec"]["template"]["spec"]
    [container] = spec["containers"]
    options = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])
    assert container["command"][-1] == receiver.__name__
    assert options == {"directory": "/millrace/serving", "address": "0.0.0.0", "port": str(receiver.PORT)}
    assert container["ports"] == [{"name": "http", "containerPort": receiver.PORT}]
    assert {container[probe]["httpGet"]["path"] for probe in ("readinessProbe", "livenessProbe")} == {receiver.HEALTH}
    [secret] = container["env"]
    assert secret["name"] == slack.SECRET
    assert secret["valueFrom"].keys() == {"secretKeyRef"}
    assert Path(container["volumeMounts"][-1]["mountPath"]) == kubernetes.ACCOUNT
    assert roles()["millrace-approvals"] == [
        ("argoproj.io", "workflows", "get"),
        ("argoproj.io", "workflows", "patch"),
    ]
    labels = the("Deployment", "approvals")["spec"]["template"]["metadata"]["labels"].items()
    for selector in (
        the("Deployment", "approvals")["spec"]["selector"]["matchLabels"],
        the("Service", "approvals")["spec"]["selector"],
        the("NetworkPolicy", "approvals")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels


# --- the server


def server() -> Object:
    container: Object = the("Deployment", "serving")["spec"]["template"]["spec"]["containers"][0]
    return container


def flags() -> dict[str, str]:
    return dict(argument.removeprefix("--").split("=", 1) for argument in server()["args"])


def test_server_listens_where_the_service_sends() -> None:
    ports = {port["name"]: port["containerPort"] for port in server()["ports"]}
    assert ports == {"grpc": 8500, "rest": 8501}
    assert (flags()["port"], flags()["rest_api_port"]) == ("8500", "8501")
    service = the("Service", "serving")["spec"]
    assert {port["targetPort"]: port["port"] for port in service["ports"]} == ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert server()[probe]["httpGet"] == {"path": f"/v1/models/{SERVED}", "port": "rest"}
    policy = the("NetworkPolicy", "serving")["spec"]
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == ports.keys()


def test_selectors_match_the_pods_of_the_server() -> None:
    deployment = the("Deployment", "serving")["spec"]
    labels = deployment["template"]["metadata"]["labels"].items()
    for selector in (
        deployment["selector"]["matchLabels"],
        the("Service", "serving")["spec"]["selector"],
        the("PodDisruptionBudget", "serving")["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy", "serving")["spec"]["podSelector"]["matchLabels"],
        the("PodMonitor", "serving")["spec"]["selector"]["matchLabels"],
    ):
        assert selector
        assert selector.items() <= labels
    storage_access = the("Pod", "storage-access")["metadata"]["labels"].items()
    assert not the("Service", "serving")["spec"]["selector"].items() <= storage_access


def test_autoscaler_owns_the_replicas() -> None:
    deployment, autoscaler = the("Deployment", "serving"), the("HorizontalPodAutoscaler", "serving")["spec"]
    assert "replicas" not in deployment["spec"]
    target = autoscaler["scaleTargetRef"]
    assert (target["apiVersion"], f"{target['kind']}/{target['name']}") == (deployment["apiVersion"], name(deployment))
    # A share of what is requested: without a request there is nothing to scale by.
    assert server()["resources"]["requests"]["cpu"]
    assert "minAvailable" not in the("PodDisruptionBudget", "serving")["spec"]


def test_files_of_the_server_are_those_that_are_mounted() -> None:
    generator = yaml.safe_load((MANIFESTS / "serving/kustomization.yaml").read_text())["configMapGenerator"][0]
    volumes = the("Deployment", "serving")["spec"]["template"]["spec"]["volumes"]
    assert {"name": generator["name"]} in [volume.get("configMap") for volume in volumes]
    # A stable name, and no single file mounted: otherwise the running server never sees a change.
    assert generator["options"] == {"disableNameSuffixHash": True}
    mount = next(mount for mount in server()["volumeMounts"] if mount["name"] == "config")
    assert "subPath" not in mount
    files = {f"{mount['mountPath']}/{Path(path).name}" for path in generator["files"]}
    assert {flags()["model_config_file"], flags()["monitoring_config_file"]} == files
    assert int(flags()["model_config_file_poll_wait_seconds"]) > 0
    assert int(flags()["file_system_poll_wait_seconds"]) > 0
    assert flags()["allow_version_labels_for_unavailable_models"] == "true"


# --- Beam


def beam(variant: str) -> dict[str, Object]:
    """The containers of a kind of workers, by name."""
    if variant == "prism":
        containers = the("Deployment", "beam")["spec"]["template"]["spec"]["containers"]
    else:
        pods = the("FlinkDeployment", "beam-flink")["spec"]["taskManager"]["podTemplate"]
        containers = pods["spec"]["containers"]
    return {container["name"]: container for container in containers}


@pytest.mark.parametrize("variant", ["prism", "flink"])
def test_workers_of_beam_are_pools_of_the_stages_packages(variant: str) -> None:
    found = beam(variant)
    ports = {}
    for each in ("workers-ml", "workers-data"):
        assert found[each]["image"] == "millrace/fused"
        assert found[each]["command"] == ["python", "-m", "apache_beam.runners.worker.worker_pool_main"]
        ports[each] = found[each]["args"]
        assert {"name": "millrace", "mountPath": "/millrace"} in found[each]["volumeMounts"]
    # As docs/scale.md has them in beam_options.
    assert ports == {"workers-ml": ["--service_port=50001"], "workers-data": ["--service_port=50002"]}
    assert "env" not in found["workers-ml"]
    [path] = found["workers-data"]["env"]
    places = (ROOT / "images/base/all.Dockerfile").read_text()
    assert path["value"].split(":")[0].removesuffix("/bin") in places


def test_pods_of_flink_pass_restricted() -> None:
    flink = the("FlinkDeployment", "beam-flink")["spec"]
    for container in beam("flink").values():
        pod = {**flink["podTemplate"]["spec"], "containers": [container]}
        # (Flink's own writes its configuration into its image.)
        errors = [
            each
            for each in pod_security_errors(pod)
            if "writable" not in each or container["name"] != "flink-main-container"
        ]
        assert errors == []


def test_job_server_is_of_the_beam_that_stages_have() -> None:
    kustomization = yaml.safe_load((MANIFESTS / "beam/flink/kustomization.yaml").read_text())
    [image] = kustomization["images"]
    lock = (ROOT / "images/locks/ml.txt").read_text()
    assert f"\napache-beam=={image['newTag']} " in re.sub(r"apache-beam\[[^]]*\]", "apache-beam", lock)
    version = the("FlinkDeployment", "beam-flink")["spec"]["flinkVersion"].removeprefix("v").replace("_", ".")
    assert image["newName"] == f"apache/beam_flink{version}_job_server"
    assert the("FlinkDeployment", "beam-flink")["spec"]["image"].startswith(f"flink:{version}-")
    arguments = the("Deployment", "beam-flink-jobs")["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--flink-master=beam-flink-rest:8081" in arguments
    assert f"--job-host={the('Service', 'beam-flink-jobs')['metadata']['name']}" in arguments


def test_stages_reach_the_job_server_and_nobody_else_does() -> None:
    for server, door in (("beam", "allow-beam"), ("beam-flink-jobs", "allow-beam-flink")):
        opened, entered = the("NetworkPolicy", door)["spec"], the("NetworkPolicy", server)["spec"]
        assert entered["ingress"][0]["from"] == [{"podSelector": opened["podSelector"]}]
        assert entered["ingress"][0]["ports"] == opened["egress"][0]["ports"]
        labels = the("Deployment", server)["spec"]["template"]["metadata"]["labels"]
        assert entered["podSelector"]["matchLabels"].items() <= labels.items()
        assert opened["egress"][0]["to"][0]["podSelector"]["matchLabels"].items() <= labels.items()
        assert the("Service", server)["spec"]["selector"] == labels
        [stages] = [each["values"] for each in opened["podSelector"]["matchExpressions"] if each["operator"] == "In"]
        sections = {name: getattr(each.annotation, "model_fields", {}) for name, each in Settings.model_fields.items()}
        on_beam = {name for name, fields in sections.items() if "beam_options" in fields}
        assert set(stages) == {*on_beam, "fused"}


READ_MODEL_CONFIG = """
import json, sys
from google.protobuf import json_format, text_format
from tensorflow_serving.config import model_server_config_pb2
parsed = text_format.Parse(sys.stdin.read(), model_server_config_pb2.ModelServerConfig())
print(json_format.MessageToJson(parsed, preserving_proto_field_name=True))
"""


def read_model_config(text: str) -> subprocess.CompletedProcess[str]:
    python = ROOT / ".venv/ml/bin/python"
    if not python.exists():
        pytest.skip("needs the environment ml")
    return subprocess.run([python, "-c", READ_MODEL_CONFIG], input=text, capture_output=True, text=True, check=False)


def test_model_config_is_what_tensorflow_serving_reads() -> None:
    text = (MANIFESTS / "serving/config/models.config").read_text()
    process = read_model_config(text)
    assert process.returncode == 0, process.stderr
    (model,) = json.loads(process.stdout)["model_config_list"]["config"]
    assert model == {
        "name": SERVED,
        "base_path": f"/millrace/serving/{SERVED}",
        "model_platform": "tensorflow",
        "model_version_policy": {"all": {}},
        "version_labels": {"stable": "1"},
    }
    assert read_model_config(text.replace("base_path", "base")).returncode != 0


def test_metrics_are_where_prometheus_looks() -> None:
    monitoring = (MANIFESTS / "serving/config/monitoring.config").read_text()
    assert re.search(r"enable:\s*true", monitoring)
    assert f'path: "{METRICS}"' in monitoring
    (job,) = yaml.safe_load((MANIFESTS / "monitoring/config/prometheus.yml").read_text())["scrape_configs"]
    (endpoint,) = the("PodMonitor", "serving")["spec"]["podMetricsEndpoints"]
    annotations = the("Deployment", "serving")["spec"]["template"]["metadata"]["annotations"]
    assert job["metrics_path"] == endpoint["path"] == annotations["prometheus.io/path"] == METRICS
    assert annotations["prometheus.io/port"] == flags()["rest_api_port"]
    assert endpoint["port"] == "rest"
    assert job["relabel_configs"][0] == {
        "source_labels": ["__meta_kubernetes_pod_container_port_name"],
        "regex": "rest",
        "action": "keep",
    }


# --- the network


def test_nothing_is_open_that_no_policy_opens() -> None:
    closed = the("NetworkPolicy", "default-deny")["spec"]
    assert closed == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    policies = [thing["spec"] for thing in OBJECTS if thing["kind"] == "NetworkPolicy"]
    # An empty rule lets everything through; an empty peer list too.
    for rule in [rule for spec in policies for rule in [*spec.get("ingress", []), *spec.get("egress", [])]]:
        assert rule.get("from") or rule.get("to")
        assert rule["ports"]
    https = the("NetworkPolicy", "allow-workflow-https")["spec"]["egress"][0]["to"][0]["ipBlock"]
    assert "169.254.0.0/16" in https["except"]


# --- as kustomize renders them


@pytest.mark.parametrize("folder", FOLDERS, ids=ids(FOLDERS))
def test_kustomize_renders(render: Any, folder: Path) -> None:
    things = render(folder)
    assert len({(name(thing), thing["metadata"].get("namespace")) for thing in things}) == len(things)
    for thing in things:
        assert thing["kind"] in CUSTOM_KINDS or schema_errors(thing) == []
        assert all(pod_security_errors(spec) == [] for spec in pod_specs(thing))
        assert thing["kind"] in ("Namespace", "PersistentVolume") or thing["metadata"]["namespace"]
        assert thing["metadata"]["labels"]["app.kubernetes.io/part-of"] == "millrace"


@pytest.mark.parametrize("folder", OVERLAYS, ids=ids(OVERLAYS))
def test_overlay_is_whole(render: Any, folder: Path) -> None:
    things = render(folder)
    space = "kubeflow" if folder.name == "kubeflow" else "millrace"
    assert {thing["metadata"].get("namespace", space) for thing in things} == {space}
    for spec in [spec for thing in things for spec in pod_specs(thing)]:
        the("ServiceAccount", spec["serviceAccountName"], things)
        for volume in spec["volumes"]:
            if claim := volume.get("persistentVolumeClaim"):
                the("PersistentVolumeClaim", claim["claimName"], things)
            if config := volume.get("configMap"):
                the("ConfigMap", config["name"], things)
        for image in [container["image"] for container in spec["containers"]]:
            assert re.search(r"@sha256:[0-9a-f]{64}$|:\d+\.\d+\.\d+(-[a-z]+)?$", image), f"{image} is not pinned"
    for binding in [thing for thing in things if thing["kind"] == "RoleBinding"]:
        the("Role", binding["roleRef"]["name"], things)


def test_overlays_have_the_storage_that_they_say(render: Any) -> None:
    def claim(overlay: str) -> Object:
        spec: Object = the("PersistentVolumeClaim", "millrace", render(MANIFESTS / "overlays" / overlay))["spec"]
        return spec

    kind = claim("kind")
    volume = the("PersistentVolume", "millrace", render(MANIFESTS / "overlays/kind"))
    assert (kind["volumeName"], kind["storageClassName"]) == (name(volume).split("/")[1], "millrace-static")
    assert volume["spec"]["storageClassName"] == "millrace-static"
    assert (claim("gke")["accessModes"], claim("gke")["storageClassName"]) == (["ReadWriteOnce"], "standard-rwo")
    shared = claim("gke-rwx")
    assert (shared["accessModes"], shared["storageClassName"]) == (["ReadWriteMany"], "standard-rwx")
    assert "volumeName" not in claim("kubeflow")


def test_the_server_that_is_built_in_takes_the_place_of_tensorflow_serving(render: Any, tmp_path: Path) -> None:
    there = os.path.relpath(MANIFESTS, tmp_path.resolve())
    overlay = {
        "resources": [f"{there}/overlays/kind"],
        "components": [f"{there}/serving/built-in"],
        "images": [{"name": "millrace/model_server", "newName": "registry/millrace/model_server", "newTag": VERSION}],
    }
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    things, before = render(tmp_path), render(MANIFESTS / "overlays/kind")
    gone = {name(thing) for thing in before} - {name(thing) for thing in things}
    assert gone == {"ConfigMap/serving-config"}
    deployment, other = the("Deployment", "serving", things), the("Deployment", "serving", before)
    assert schema_errors(deployment) == []
    # What can never be changed, and what the service and the policies look for.
    assert deployment["spec"]["selector"] == other["spec"]["selector"]
    assert deployment["spec"]["template"]["metadata"] == other["spec"]["template"]["metadata"]
    spec = deployment["spec"]["template"]["spec"]
    assert pod_security_errors(spec) == []
    assert [each["name"] for each in spec["volumes"]] == ["millrace", "tmp"]
    (container,) = spec["containers"]
    assert container["image"] == f"registry/millrace/model_server:{VERSION}"
    assert {"name": "millrace", "mountPath": "/millrace", "readOnly": True} in container["volumeMounts"]
    # The entry point of the image is the server, which listens everywhere on TensorFlow Serving's ports.
    assert "command" not in container
    assert dict(argument.removeprefix("--").split("=", 1) for argument in container["args"]) == {
        "model_name": SERVED,
        "model_base_path": f"/millrace/serving/{SERVED}",
    }
    assert container["ports"] == server()["ports"]
    probes = {each: container[f"{each}Probe"]["httpGet"] for each in ("startup", "liveness", "readiness")}
    live = {"path": "/v2/health/live", "port": "rest"}
    # A server without a model lives, and takes no requests.
    assert probes == {
        "startup": live,
        "liveness": live,
        "readiness": {"path": f"/v2/models/{SERVED}/ready", "port": "rest"},
    }


def test_predictions_are_logged_where_nothing_else_can_be_written(render: Any, tmp_path: Path) -> None:
    there = os.path.relpath(MANIFESTS, tmp_path.resolve())
    components = [f"{there}/serving/built-in", f"{there}/serving/prediction-log"]
    overlay = {"resources": [f"{there}/overlays/kind"], "components": components}
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    deployment = the("Deployment", "serving", render(tmp_path))
    assert schema_errors(deployment) == []
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    arguments = dict(argument.removeprefix("--").split("=", 1) for argument in container["args"])
    logs = arguments["prediction_log"]
    assert float(arguments["prediction_log_share"]) == 0.1
    assert arguments["model_name"] == SERVED
    writable = [each for each in container["volumeMounts"] if each["name"] == "millrace" and not each.get("readOnly")]
    assert writable == [{"name": "millrace", "mountPath": logs, "subPath": "predictions"}]
    known = {action for action in model_server_options() if action.startswith("prediction_log")}
    assert known >= {each for each in arguments if each.startswith("prediction_log")}


def model_server_options() -> set[str]:
    """The options of the server, which is not installed here: as its own source names them."""
    source = (ROOT / "model_server" / "__main__.py").read_text()
    return set(re.findall(r'"--([a-z_]+)"', source))


# --- schedules

SCHEDULES = sorted((MANIFESTS / "schedules").glob("*.yaml"))


def test_there_is_a_sample_of_a_recurring_run_and_of_a_recurring_look() -> None:
    assert [file.name for file in SCHEDULES] == ["taxi-watch.yaml", "taxi.yaml"]


@pytest.mark.parametrize("file", SCHEDULES, ids=ids(SCHEDULES))
def test_schedule_says_what_a_recurring_run_needs(file: Path) -> None:
    (schedule,) = documents(file)
    assert set(schedule) == {"name", "pipeline", "cron", "parameters", "concurrency", "catch_up"}
    model, watches, _ = schedule["pipeline"].partition("-watch")
    assert (ROOT / "models" / model / "settings.yaml").is_file()
    assert re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", schedule["name"])
    fields = schedule["cron"].split()
    assert len(fields) == 6
    assert all(re.fullmatch(r"[\d*/,?-]+", field) for field in fields)
    assert (schedule["concurrency"], schedule["catch_up"]) == (1, False)
    given = schedule["parameters"]
    assert given.keys() <= ({"log", "serving_directory"} if watches else set(PARAMETERS))
    # Where the pods see the volume, and where the server looks.
    assert given["serving_directory"] == f"/millrace/serving/{model}"
    assert given.get("log", f"/millrace/predictions/{model}") == f"/millrace/predictions/{model}"
