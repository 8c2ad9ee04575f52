"""Op functions, each seen in what kfp's compiler makes of it. (kfp needs real annotations here.)"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from runners.compiled import op_functions as op
from runners.compiled.ir import READ_ONLY_ANNOTATION, documents
from runners.settings.cluster import Cluster, Credentials, Toleration


@dsl.container_component
def work() -> dsl.ContainerSpec:
    return dsl.ContainerSpec(image="millrace/train", command=["python", "-m", "components.train"])


Compiled = Callable[[Callable[[Any], Any]], tuple[dict[str, Any], dict[str, Any], dict[str, Any]]]


@pytest.fixture
def compiled(tmp_path: Path) -> Compiled:
    """Compiles a pipeline of one task; returns its container, its task and its part of the platform spec."""

    def compile_task(change: Callable[[Any], Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        @dsl.pipeline(name="one")
        def one() -> None:
            task = work()
            # A function that takes a task and returns it.
            assert change(task) is task

        compiler.Compiler().compile(one, str(tmp_path / "one.yaml"))
        ir, platform = documents((tmp_path / "one.yaml").read_text())
        kubernetes = platform.get("platforms", {}).get("kubernetes", {}).get("deploymentSpec", {}).get("executors", {})
        container = ir["deploymentSpec"]["executors"]["exec-work"]["container"]
        return container, ir["root"]["dag"]["tasks"]["work"], kubernetes.get("exec-work", {})

    return compile_task


def test_memory_and_cpu(compiled: Compiled) -> None:
    container, _, _ = compiled(lambda task: op.cpu(op.memory(task, "512Mi", "4G"), "250m", "2"))
    resources = container["resources"]
    assert resources["resourceMemoryRequest"] == "512Mi"
    assert resources["resourceMemoryLimit"] == "4G"
    assert resources["resourceCpuRequest"] == "250m"
    assert resources["resourceCpuLimit"] == "2"


def test_a_limit_alone_makes_no_request(compiled: Compiled) -> None:
    resources = compiled(lambda task: op.cpu(op.memory(task, limit="4G"), limit="2"))[0]["resources"]
    assert resources["resourceMemoryLimit"] == "4G"
    assert not {"resourceMemoryRequest", "resourceCpuRequest"} & resources.keys()


def test_gpu_comes_with_its_taint_and_its_nodes(compiled: Compiled) -> None:
    container, _, platform = compiled(
        lambda task: op.gpu(task, "amd.com/gpu", 2, selector={"kind": "mi300", "zone": "a"})
    )
    accelerator = container["resources"]["accelerator"]
    assert (accelerator["resourceType"], accelerator["resourceCount"]) == ("amd.com/gpu", "2")
    assert platform["tolerations"] == [{"key": "amd.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    assert platform["nodeSelector"] == {"labels": {"kind": "mi300", "zone": "a"}}


def test_tolerations_of_a_gpu_can_be_others_or_none(compiled: Compiled) -> None:
    mine = Toleration(key="pool", operator="Equal", value="gpu", effect="NoExecute")
    _, _, platform = compiled(lambda task: op.gpu(task, tolerations=[mine]))
    assert platform["tolerations"] == [{"key": "pool", "operator": "Equal", "value": "gpu", "effect": "NoExecute"}]
    assert "tolerations" not in compiled(lambda task: op.gpu(task, tolerations=[]))[2]


def test_mounts_and_which_of_them_are_for_reading(compiled: Compiled) -> None:
    def change(task: Any) -> Any:
        op.mount(task, "photos", "/photos", read_only=True)
        op.mount(task, "scratch", "/scratch")
        return op.mount(task, "labels", "/labels", read_only=True)

    _, _, platform = compiled(change)
    assert [(entry["constant"], entry["mountPath"]) for entry in platform["pvcMount"]] == [
        ("photos", "/photos"),
        ("scratch", "/scratch"),
        ("labels", "/labels"),
    ]
    assert platform["podMetadata"]["annotations"] == {READ_ONLY_ANNOTATION: "/labels,/photos"}


def test_secrets_go_by_their_names(compiled: Compiled) -> None:
    _, _, platform = compiled(
        lambda task: op.secret_as_file(op.secret_as_env(task, "hub", {"token": "HF_TOKEN"}), "tls", "/tls")
    )
    (env,) = platform["secretAsEnv"]
    assert env["secretName"] == "hub"
    assert env["keyToEnv"] == [{"secretKey": "token", "envVar": "HF_TOKEN"}]
    (folder,) = platform["secretAsVolume"]
    assert (folder["secretName"], folder["mountPath"]) == ("tls", "/tls")


def test_credentials_are_where_the_clouds_libraries_look(compiled: Compiled) -> None:
    given = Credentials.model_validate(
        {"gcp": {"secret": "gcp", "key": "robot.json"}, "aws": {"secret": "aws", "region": "eu-west-1"}}
    )
    container, _, platform = compiled(lambda task: op.credentials(task, given))
    assert container["env"] == [
        {"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/credentials/gcp/robot.json"},
        {"name": "AWS_REGION", "value": "eu-west-1"},
    ]
    assert platform["secretAsVolume"][0]["mountPath"] == "/credentials/gcp"
    assert platform["secretAsEnv"][0]["keyToEnv"] == [
        {"secretKey": "AWS_ACCESS_KEY_ID", "envVar": "AWS_ACCESS_KEY_ID"},
        {"secretKey": "AWS_SECRET_ACCESS_KEY", "envVar": "AWS_SECRET_ACCESS_KEY"},
    ]


def test_node_selector_labels_timeout_and_user(compiled: Compiled) -> None:
    def change(task: Any) -> Any:
        op.node_selector(task, {"disk": "ssd"})
        op.labels(task, {"team": "a", "cost": "b"})
        op.timeout(task, "90m")
        return op.non_root(task)

    _, _, platform = compiled(change)
    assert platform["nodeSelector"] == {"labels": {"disk": "ssd"}}
    assert platform["podMetadata"] == {"labels": {"team": "a", "cost": "b"}}
    assert platform["activeDeadlineSeconds"] == "5400"
    assert platform["securityContext"] == {"runAsUser": "1000", "runAsNonRoot": True}


def test_retry(compiled: Compiled) -> None:
    _, task, _ = compiled(lambda task: op.retry(task, 3, "1m", 1.5, "1h"))
    assert task["retryPolicy"] == {
        "maxRetryCount": 3,
        "backoffDuration": "60s",
        "backoffFactor": 1.5,
        "backoffMaxDuration": "3600s",
    }
    assert "retryPolicy" not in compiled(lambda task: op.retry(task, 0))[1]


@pytest.mark.parametrize("enabled", [True, False])
def test_caching(compiled: Compiled, enabled: bool) -> None:
    _, task, _ = compiled(lambda task: op.caching(task, enabled))
    assert task["cachingOptions"].get("enableCache", False) is enabled


def test_what_a_server_does_not_know_it_is_not_told() -> None:
    assert op.run_limits(Cluster(kfp_server="2.5")) is None
    limits = op.run_limits(Cluster(kfp_server="2.17", ttl="2h", deadline="1h"))
    assert limits
    assert (limits.ttl_seconds_after_finished, limits.active_deadline_seconds) == (7200, 3600)
