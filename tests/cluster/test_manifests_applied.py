"""The manifests on a real API server: its schemas, its admission of pods, its rights. Opt-in: see api_server.py."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.api_server import Server, start
from tests.manifest_support import MANIFESTS

OVERLAYS = sorted(folder.parent.name for folder in MANIFESTS.glob("overlays/*/kustomization.yaml"))
DEFAULT = "system:serviceaccount:millrace:default"
WORKFLOW = "system:serviceaccount:millrace:millrace-workflow"
SUBMITTER = "system:serviceaccount:millrace:millrace-submitter"
NO_RIGHTS = "system:serviceaccount:millrace:millrace-no-rights"

CUSTOM = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: NAME.argoproj.io}
spec:
  group: argoproj.io
  names: {kind: KIND, plural: NAME}
  scope: Namespaced
  versions:
    - name: v1alpha1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with start(tmp_path) as started:
        yield started


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server on which the overlay kind was applied."""
    with start(tmp_path_factory.mktemp("server")) as started:
        apply(started, "overlays/kind")
        # The names alone: kubectl asks about rights only for what the server knows.
        for kind in ("Workflow", "WorkflowTaskResult"):
            custom = CUSTOM.replace("KIND", kind).replace("NAME", f"{kind}s".lower())
            result = started.call("apply", "--filename", "-", text=custom)
            assert result.returncode == 0, result.stderr
        wanted = [f"crd/{kind}.argoproj.io" for kind in ("workflows", "workflowtaskresults")]
        assert started.call("wait", "--for", "condition=Established", "--timeout", "60s", *wanted).returncode == 0
        yield started


def apply(server: Server, folder: str) -> list[str]:
    """Applies a folder; a warning, of pods that would not pass too, counts as an error."""
    result = server.call("apply", "-k", str(MANIFESTS / folder))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.splitlines()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_overlay_is_applied_and_there_is_as_written(server: Server, overlay: str) -> None:
    if overlay == "kubeflow":
        assert server.call("create", "namespace", "kubeflow").returncode == 0
    first = apply(server, f"overlays/{overlay}")
    assert [line for line in first if not line.endswith(" created")] == []
    assert any("deployment.apps/serving" in line for line in first)
    difference = server.call("diff", "-k", str(MANIFESTS / "overlays" / overlay))
    assert (difference.returncode, difference.stdout) == (0, "")


def test_autoscaled_replicas_survive_another_apply(applied: Server) -> None:
    assert applied.call("--namespace", "millrace", "scale", "deployment/serving", "--replicas", "3").returncode == 0
    apply(applied, "overlays/kind")
    replicas = applied.call(
        "--namespace", "millrace", "get", "deployment/serving", "--output", "jsonpath={.spec.replicas}"
    )
    assert replicas.stdout == "3"


def test_monitoring_is_applied(applied: Server) -> None:
    assert applied.call("create", "namespace", "monitoring").returncode == 0
    apply(applied, "monitoring")
    assert applied.can("system:serviceaccount:monitoring:prometheus", "list", "pods")
    assert not applied.can("system:serviceaccount:monitoring:prometheus", "list", "pods", "default")


@pytest.mark.parametrize(
    ("who", "allowed", "refused"),
    [
        (
            WORKFLOW,
            ["create workflowtaskresults.argoproj.io", "patch workflowtaskresults.argoproj.io"],
            ["get secrets", "create pods", "get pods", "list workflows.argoproj.io", "get configmaps"],
        ),
        (
            DEFAULT,
            ["create workflowtaskresults.argoproj.io", "patch workflowtaskresults.argoproj.io"],
            ["get secrets", "create pods", "get pods", "list workflows.argoproj.io", "get configmaps"],
        ),
        (
            SUBMITTER,
            ["create workflows.argoproj.io", "patch workflows.argoproj.io", "list pods", "get pods/log"],
            ["create pods", "get secrets", "create pods/exec", "patch deployments.apps", "update roles"],
        ),
        (NO_RIGHTS, [], ["get pods", "get secrets", "create workflows.argoproj.io", "list services"]),
    ],
)
def test_accounts_may_do_what_they_need_and_no_more(
    applied: Server, who: str, allowed: list[str], refused: list[str]
) -> None:
    answers = {action: applied.can(who, *action.split()) for action in [*allowed, *refused]}
    assert answers == dict.fromkeys(allowed, True) | dict.fromkeys(refused, False)
    assert not applied.can(who, "create", "workflows.argoproj.io", "default")


ROOT_POD = """
apiVersion: v1
kind: Pod
metadata: {name: root, namespace: millrace}
spec:
  serviceAccountName: millrace-workflow
  containers: [{name: main, image: "busybox:1.37.0"}]
"""


def test_pod_that_does_not_pass_restricted_is_refused(applied: Server) -> None:
    result = applied.call("apply", "--filename", "-", text=ROOT_POD)
    assert result.returncode != 0
    assert 'violates PodSecurity "restricted' in result.stderr
    assert "runAsNonRoot" in result.stderr
