"""Argo Workflows without Kubeflow, through the Kubernetes API."""

from __future__ import annotations

import codecs
import contextlib
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from components.runtime.errors import InputError, StageError
from components.runtime.text.yaml_files import SAFE_LOADER
from runners.argo import state as argo_state
from runners.remote.http import TIMEOUT, explained, missing
from runners.settings.parameters import check_known, split
from runners.terminal.follow import RemoteRun

_GROUP = {"group": "argoproj.io", "version": "v1alpha1"}
_PAGE = 200


def read_workflow(file: Path) -> dict[str, Any]:
    """Reads a Workflow from a file.

    Raises:
      InputError: there is no such file, or it is not one Workflow.
    """
    try:
        documents = [each for each in yaml.load_all(file.read_text(), SAFE_LOADER) if each is not None]
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; compile the pipeline first: ./millrace compile MODEL") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if len(documents) != 1 or not isinstance(documents[0], dict) or documents[0].get("kind") != "Workflow":
        raise InputError(f"{file}: not one Argo Workflow; make one: ./millrace compile MODEL")
    workflow: dict[str, Any] = documents[0]
    metadata = workflow.get("metadata") or {}
    if not (metadata.get("name") or metadata.get("generateName")):
        raise InputError(f"{file}: the Workflow has neither metadata.name nor metadata.generateName")
    return workflow


def with_parameters(workflow: dict[str, Any], pairs: tuple[str, ...], where: str) -> dict[str, Any]:
    """A copy of a Workflow with the values that were given.

    Raises:
      InputError: an unknown parameter, a value that is not allowed, or one that is missing.
    """
    made = copy.deepcopy(workflow)
    known = {each["name"]: each for each in (made["spec"].get("arguments") or {}).get("parameters") or []}
    for name, value in split(pairs).items():
        check_known(name, known, f"--param {name}={value}")
        allowed = [str(each) for each in known[name].get("enum") or []]
        if allowed and value not in allowed:
            raise InputError(f"--param {name}={value}: it is one of {', '.join(allowed)}")
        known[name]["value"] = value
        known[name].pop("valueFrom", None)
    for name, parameter in known.items():
        if "value" not in parameter and "valueFrom" not in parameter:
            raise InputError(f"{where}: the parameter {name!r} is missing and has no default")
    return made


class NoKubeconfig(InputError):
    """Nothing says where a cluster is."""


class ArgoCluster:
    """A cluster that Argo runs on.

    Attributes:
      where: what it is called in messages.
      namespace: where workflows are, if a workflow names no other.
    """

    def __init__(self, context: str = "", namespace: str = "", timeout: float = TIMEOUT) -> None:
        """Reads the kubeconfig, or takes the pod's own account inside a cluster.

        Raises:
          NoKubeconfig: there is none.
          InputError: it cannot be read, or has no such context.
        """
        from kubernetes import client

        configuration = client.Configuration()
        own = _configure(configuration, context)
        configuration.retries = _no_retries()
        self.where = configuration.host
        self.namespace = namespace or own or "default"
        self._secrets = [str(key).removeprefix("Bearer ").strip() for key in configuration.api_key.values()]
        self._timeout = (timeout, timeout)
        api = self._api = client.ApiClient(configuration)
        self._workflows = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)

    def versions(self) -> tuple[str, str | None]:
        """Versions of Kubernetes and of Argo: None where Argo is not installed, empty where nobody may tell.

        Raises:
          InputError, TransientError: no answer, or not authorised.
        """
        from kubernetes import client

        with self._doing("asking for its version"), self._understood():
            kubernetes = str(client.VersionApi(self._api).get_code(_request_timeout=self._timeout).git_version)
            groups = client.ApisApi(self._api).get_api_versions(_request_timeout=self._timeout).groups
        if not any(group.name == _GROUP["group"] for group in groups):
            return kubernetes, None
        try:
            deployed = client.AppsV1Api(self._api).list_deployment_for_all_namespaces(
                field_selector="metadata.name=workflow-controller", _request_timeout=self._timeout
            )
            image = str(deployed.items[0].spec.template.spec.containers[0].image)
        except (client.ApiException, IndexError):
            return kubernetes, ""
        # An image by digest has no version in its name.
        return kubernetes, image.rpartition(":")[2] if "@" not in image else ""

    def submit(self, workflow: dict[str, Any], namespace: str = "") -> str:
        """Creates a Workflow and returns its name."""
        self.namespace = namespace or (workflow["metadata"].get("namespace") or self.namespace)
        workflow["metadata"]["namespace"] = self.namespace
        with self._doing(f"submitting to the namespace {self.namespace}"):
            made = self._workflows.create_namespaced_custom_object(body=workflow, **self._place())
        return str(made["metadata"]["name"])

    def get(self, name: str) -> dict[str, Any]:
        """A Workflow, with its status."""
        with self._doing(f"asking for the workflow {name}"):
            workflow: dict[str, Any] = self._workflows.get_namespaced_custom_object(name=name, **self._place())
        return workflow

    def state(self, name: str) -> RemoteRun:
        """The state of a Workflow."""
        return argo_state.remote_run(self.get(name))

    def schedules(self) -> list[dict[str, Any]]:
        """All CronWorkflows of the namespace, by name."""
        with self._doing(f"listing schedules in the namespace {self.namespace}"):
            found = self._workflows.list_namespaced_custom_object(**self._place("cronworkflows"))
        return sorted(found["items"], key=lambda each: str(each["metadata"]["name"]))

    def apply(self, schedule: dict[str, Any], there: dict[str, Any] | None) -> None:
        """Creates a CronWorkflow, or puts it in the place of the one of its name, whose runs under way go on.

        Args:
          schedule: the CronWorkflow.
          there: the one of its name, as `schedules` tells it.
        """
        name, place = schedule["metadata"]["name"], self._place("cronworkflows")
        with self._doing(f"scheduling {name} in the namespace {self.namespace}"):
            if there is None:
                self._workflows.create_namespaced_custom_object(body=schedule, **place)
                return
            # Which of its runs are under way stands in the status, which is no resource of its own.
            body = schedule | {"status": there.get("status", {})}
            body["metadata"] = schedule["metadata"] | {"resourceVersion": there["metadata"]["resourceVersion"]}
            self._workflows.replace_namespaced_custom_object(name=name, body=body, **place)

    def unschedule(self, name: str) -> None:
        """Deletes a CronWorkflow; its runs stay, those under way too.

        Raises:
          InputError: there is none; with the nearest names.
        """
        names = [str(each["metadata"]["name"]) for each in self.schedules()]
        if name not in names:
            raise missing("schedule", name, names, f"{self.where} in the namespace {self.namespace}")
        with self._doing(f"deleting the schedule {name}"):
            self._workflows.delete_namespaced_custom_object(
                name=name, propagation_policy="Orphan", **self._place("cronworkflows")
            )

    def list(self, selector: str = "") -> list[dict[str, Any]]:
        """All Workflows of the namespace, the newest first."""
        found: list[dict[str, Any]] = []
        token = ""
        with self._doing(f"listing workflows in the namespace {self.namespace}"):
            while True:
                options = {"limit": _PAGE} | ({"_continue": token} if token else {})
                options |= {"label_selector": selector} if selector else {}
                page = self._workflows.list_namespaced_custom_object(**self._place(), **options)
                found += page["items"]
                token = page["metadata"].get("continue") or ""
                if not token:
                    break
        return sorted(found, key=lambda each: str(each["metadata"].get("creationTimestamp")), reverse=True)

    def find(self, reference: str) -> str:
        """The name of a Workflow: its name, or `latest`.

        Raises:
          InputError: there is none; with the nearest names.
        """
        names = [str(each["metadata"]["name"]) for each in self.list()]
        if reference == "latest" and names:
            return names[0]
        if reference not in names:
            raise missing("workflow", reference, names, f"{self.where} in the namespace {self.namespace}")
        return reference

    def stop(self, name: str, *, at_once: bool) -> None:
        """Stops a Workflow; its exit handler runs still, unless it is to end at once."""
        body = {"spec": {"shutdown": "Terminate" if at_once else "Stop"}}
        with self._doing(f"stopping the workflow {name}"):
            self._workflows.patch_namespaced_custom_object(name=name, body=body, **self._place())

    def logs(self, name: str, task: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """The log of a task's container, piece by piece.

        Raises:
          InputError: no such task, or its pod is gone.
        """
        workflow = self.get(name)
        tasks = argo_state.task_nodes(workflow)
        if task not in tasks:
            raise missing("task", task, tasks, f"the workflow {name}", "in")
        node = argo_state.pod_node(workflow, tasks[task])
        pod = self._pod(name, node["id"])
        if pod is None:
            state = argo_state.remote_run(workflow)
            ran = next(each.state for each in state.tasks if each.name == task) not in ("waiting", "skipped")
            why = "its pod is gone; what it logged may be in the cluster's log store" if ran else "it has not run"
            raise InputError(f"task {task} of {name}: no log: {why}")
        options: dict[str, Any] = {"container": "main", "follow": follow, "_preload_content": False}
        if tail is not None:
            options["tail_lines"] = tail
        # A task may be silent for long: only the connection has a time-out when its log is followed.
        options["_request_timeout"] = (self._timeout[0], None) if follow else self._timeout
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self._doing(f"reading the log of {task}"):
            answer = self._core.read_namespaced_pod_log(pod, self.namespace, **options)
            try:
                for piece in answer.stream(decode_content=True):
                    yield decoder.decode(piece)
            finally:
                answer.release_conn()

    def _pod(self, workflow: str, node: str) -> str | None:
        """The pod of a node: Argo gives pods names of their own, and notes the node's id on them."""
        with self._doing(f"looking for the pods of {workflow}"):
            pods = self._core.list_namespaced_pod(
                self.namespace,
                label_selector=f"workflows.argoproj.io/workflow={workflow}",
                _request_timeout=self._timeout,
            )
        for pod in pods.items:
            if node in ((pod.metadata.annotations or {}).get("workflows.argoproj.io/node-id"), pod.metadata.name):
                return str(pod.metadata.name)
        return None

    def _place(self, plural: str = "workflows") -> dict[str, Any]:
        return _GROUP | {"plural": plural, "namespace": self.namespace, "_request_timeout": self._timeout}

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        """What is no answer of Kubernetes's is told as that; its client raises ValueError for what lacks a field."""
        try:
            yield
        except (ValueError, TypeError, AttributeError):
            raise InputError(f"{self.where}: answers, but not as Kubernetes does; check the address") from None

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            with explained(self.where, what, self._secrets):
                yield
        except StageError as error:
            # What Kubernetes says of a kind of resource that it does not have at all.
            if "404 page not found" in str(error):
                raise InputError(f"{self.where}: Argo Workflows is not installed there; install it first") from None
            raise


def _configure(configuration: Any, context: str) -> str:
    """Fills the configuration; returns the namespace that goes with it."""
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    try:
        contexts, active = config.list_kube_config_contexts()
    except ConfigException as error:
        try:
            config.load_incluster_config(configuration)
        except ConfigException:
            said = " ".join(str(error).split())
            if "No configuration found" in said:
                raise NoKubeconfig("no cluster: there is no kubeconfig; set KUBECONFIG") from None
            raise InputError(f"the kubeconfig cannot be read: {said}") from None
        return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()
    except Exception as error:
        # The library meets a damaged file with whatever its first wrong step raises.
        raise InputError(f"the kubeconfig cannot be read: {' '.join(str(error).split())}") from None
    names = [each["name"] for each in contexts]
    if context and context not in names:
        raise missing("context", context, names, "the kubeconfig", "in")
    chosen = next((each for each in contexts if each["name"] == context), active)
    try:
        config.load_kube_config(context=context or None, client_configuration=configuration)
    except Exception as error:
        raise InputError(f"the kubeconfig: {' '.join(str(error).split())}") from None
    return str(chosen["context"].get("namespace") or "")


def _no_retries() -> Any:
    import urllib3

    return urllib3.Retry(connect=0, read=0, redirect=2, status=0, other=0)
