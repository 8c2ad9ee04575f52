"""Argo Workflows without Kubeflow, through the Kubernetes API."""

from __future__ import annotations

import codecs
import collections
import contextlib
import time
import uuid
from collections.abc import Iterable, Iterator
from typing import Any

from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.stage.progress import PREFIX
from runners.argo import answers, fused_tasks, helpers, late_record, task_logs
from runners.argo import state as argo_state
from runners.argo.fused_tasks import Told
from runners.argo.kubeconfig import configure
from runners.argo.values import pipeline_of
from runners.remote.http import TIMEOUT, explained, missing
from runners.terminal.follow import RemoteRun

_GROUP = {"group": "argoproj.io", "version": "v1alpha1"}
_PAGE = 200
_READING_SECONDS = 120.0
_READING_INTERVAL = 1.0
_ENDING_SECONDS = 30.0
_LAST_LINES = 20
_OVERLAP_SECONDS = 5
"""What of a log is read twice, since its times are another machine's."""


class _PodGoneError(TransientError):
    """A pod was removed between two questions."""


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
        own = configure(configuration, context)
        self._asked_for = namespace
        self.where = configuration.host
        self.namespace = namespace or own or "default"
        self._secrets = [str(key).removeprefix("Bearer ").strip() for key in configuration.api_key.values()]
        self._timeout = (timeout, timeout)
        api = self._api = client.ApiClient(configuration)
        self._workflows = client.CustomObjectsApi(api)
        self._core = client.CoreV1Api(api)
        self._seen: dict[str, tuple[list[Told], float]] = {}

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

    def place(self, resource: dict[str, Any]) -> str:
        """Says in a resource in which namespace it is: the one that was asked for, else its own, else the context's."""
        metadata = resource["metadata"]
        metadata["namespace"] = str(self._asked_for or metadata.get("namespace") or self.namespace)
        return str(metadata["namespace"])

    def submit(self, workflow: dict[str, Any]) -> str:
        """Creates a Workflow and returns its name."""
        self.namespace = self.place(workflow)
        with self._doing(f"submitting to the namespace {self.namespace}"):
            made = self._workflows.create_namespaced_custom_object(body=workflow, **self._place())
        return str(answers.resource(self.where, made)["metadata"]["name"])

    def store(self, template: dict[str, Any]) -> str:
        """Creates a WorkflowTemplate, or puts it in the place of the one of its name; says which."""
        from kubernetes import client

        name, self.namespace = template["metadata"]["name"], self.place(template)
        place = self._place("workflowtemplates")
        with self._doing(f"storing {name} in the namespace {self.namespace}"):
            try:
                there = self._workflows.get_namespaced_custom_object(name=name, **place)
            except client.ApiException as error:
                if error.status != 404 or "page not found" in str(error.body):
                    raise
                self._workflows.create_namespaced_custom_object(body=template, **place)
                return "created"
            known = answers.resource(self.where, there)
            if known["spec"] == template["spec"]:
                return "unchanged"
            metadata = template["metadata"] | {"resourceVersion": known["metadata"]["resourceVersion"]}
            self._workflows.replace_namespaced_custom_object(name=name, body=template | {"metadata": metadata}, **place)
            return "replaced"

    def get(self, name: str) -> dict[str, Any]:
        """A Workflow, with its status."""
        with self._doing(f"asking for the workflow {name}"):
            workflow = self._workflows.get_namespaced_custom_object(name=name, **self._place())
        return answers.resource(self.where, workflow)

    def patch(self, name: str, changes: dict[str, Any]) -> None:
        """Changes a Workflow by a merge patch.

        Raises:
          TransientError: it has changed since the version that the patch is of.
        """
        from kubernetes import client

        with self._doing(f"answering the workflow {name}"):
            try:
                self._workflows.patch_namespaced_custom_object(name=name, body=changes, **self._place())
            except client.ApiException as error:
                if error.status == 409:
                    raise TransientError(f"{self.where}: the workflow {name} changes all the time; try again") from None
                raise

    def state(self, name: str) -> RemoteRun:
        """The state of a Workflow."""
        workflow = self.get(name)
        return argo_state.remote_run(workflow, self._told(workflow), self._doing_now(workflow))

    def _told(self, workflow: dict[str, Any]) -> dict[str, list[Told]]:
        """What logs say of tasks that share a pod, by its node: also of a pod that is gone since it was looked at."""
        untold, name = argo_state.untold(workflow), str(workflow["metadata"]["name"])
        # Who follows a run may not be allowed to read logs, and a pod that is about to begin has none.
        with contextlib.suppress(StageError):
            pods = self._pods(name) if untold else {}
            for node in untold:
                if node in pods:
                    known, asked = self._seen.get(node, ([], 0.0))
                    begun = time.monotonic()
                    options: dict[str, Any] = {"timestamps": True}
                    if known:
                        options["since_seconds"] = int(begun - asked) + _OVERLAP_SECONDS
                    lines = self._log_of(pods[node], name, **options)
                    self._seen[node] = fused_tasks.from_log(lines, name, known), begun
        return {node: self._seen[node][0] for node in untold if node in self._seen}

    def _doing_now(self, workflow: dict[str, Any]) -> dict[str, str]:
        """What tasks that may wait for a person say that they are doing, by their names."""
        doing = {}
        with contextlib.suppress(StageError):
            asking = argo_state.asking(workflow)
            pods = self._pods(str(workflow["metadata"]["name"])) if asking else {}
            for task, node in asking.items():
                if node["id"] in pods:
                    lines = self._log_of(pods[node["id"]], task, tail=_LAST_LINES)
                    said = [line.removeprefix(PREFIX).strip() for line in lines if line.startswith(PREFIX)]
                    doing[task] = said[-1] if said else ""
        return doing

    def schedules(self, namespace: str = "") -> list[dict[str, Any]]:
        """All CronWorkflows of a namespace, of the cluster's where none is named, by name."""
        namespace = namespace or self.namespace
        with self._doing(f"listing schedules in the namespace {namespace}"):
            page = self._workflows.list_namespaced_custom_object(**self._place("cronworkflows", namespace))
        found = answers.items(self.where, page)
        if not found:
            self._check_namespace(namespace)
        return sorted(found, key=lambda each: str(each["metadata"]["name"]))

    def apply(self, schedule: dict[str, Any], there: dict[str, Any] | None) -> None:
        """Creates a CronWorkflow, or puts it in the place of the one of its name, whose runs under way go on.

        Args:
          schedule: the CronWorkflow.
          there: the one of its name, as `schedules` tells it.
        """
        name, namespace = schedule["metadata"]["name"], self.place(schedule)
        place = self._place("cronworkflows", namespace)
        with self._doing(f"scheduling {name} in the namespace {namespace}"):
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
                found += answers.items(self.where, page)
                token = (page.get("metadata") or {}).get("continue") or ""
                if not token:
                    break
        if not found:
            self._check_namespace(self.namespace)
        runs = [each for each in found if helpers.LABEL not in (each["metadata"].get("labels") or {})]
        return sorted(runs, key=lambda each: str(each["metadata"].get("creationTimestamp")), reverse=True)

    def find(self, reference: str) -> str:
        """The name of a Workflow: its name, that of a pipeline for the newest of its, or `latest`.

        Raises:
          InputError: there is none; with the nearest names.
        """
        found = self.list()
        names = [str(each["metadata"]["name"]) for each in found]
        if reference == "latest" and names:
            return names[0]
        if reference not in names:
            for name, each in zip(names, found, strict=True):
                if pipeline_of(each) == reference:
                    return name
            raise missing("workflow", reference, names, f"{self.where} in the namespace {self.namespace}")
        return reference

    def stop(self, name: str, *, at_once: bool) -> str:
        """Stops a Workflow; its exit handler runs still, unless it is to end at once: then nobody writes its record.

        Returns the state of one that has ended already, which stays as it is; else nothing.
        """
        run = self.state(name)
        if run.is_over:
            return run.state
        body = {"spec": {"shutdown": "Terminate" if at_once else "Stop"}}
        with self._doing(f"stopping the workflow {name}"):
            self._workflows.patch_namespaced_custom_object(name=name, body=body, **self._place())
        return ""

    def close(self, name: str) -> str:
        """Has the record of a Workflow written that was stopped at once; returns the name of the Workflow that does it.

        Raises:
          InputError: no volume has its record.
        """
        begun = time.monotonic()
        # Its pods leave notes when they are told to end.
        while not self.state(name).is_over and time.monotonic() - begun < _ENDING_SECONDS:
            time.sleep(_READING_INTERVAL)
        return self.submit(late_record.writer(self.get(name)))

    def logs(self, name: str, task: str, *, tail: int | None = None, follow: bool = False) -> Iterator[str]:
        """The log of a task's container, piece by piece; from the volume where the pod is gone.

        Raises:
          InputError: no such task, or no log of it anywhere.
        """
        workflow = self.get(name)
        tasks = argo_state.task_nodes(workflow)
        shared = next((each for each, node in tasks.items() if task in task_logs.tasks_of(workflow, node)), "")
        if shared and task not in tasks:
            # The last lines of a pod may be another task's.
            lines = task_logs.part(self.logs(name, shared, follow=follow), task)
            yield from lines if tail is None or follow else collections.deque(lines, tail)
            return
        if task not in tasks and task in (each.name for each in argo_state.remote_run(workflow).tasks):
            raise InputError(f"task {task} of {name}: no log: it has not run")
        if task not in tasks:
            raise missing("task", task, tasks, f"the workflow {name}", "in")
        pod = self._pods(name).get(argo_state.pod_node(workflow, tasks[task])["id"])
        if pod:
            # One that has ended may be removed just now.
            with contextlib.suppress(_PodGoneError):
                yield from self._log_of(pod, task, tail=tail, follow=follow)
                return
        if not _has_run(workflow, tasks[task]):
            raise InputError(f"task {task} of {name}: no log: it has not run")
        yield self._stored(workflow, {task: tasks[task]}, tail)[task]

    def all_logs(self, name: str, *, tail: int | None = None) -> Iterator[tuple[str, Iterable[str]]]:
        """The logs of all tasks that have run, as `logs` has them: by task, in the order in which they began."""
        workflow = self.get(name)
        tasks = {task: node for task, node in argo_state.task_nodes(workflow).items() if _has_run(workflow, node)}
        pods = self._pods(name)
        living = {task: pods.get(argo_state.pod_node(workflow, node)["id"]) for task, node in tasks.items()}
        gone = {task: tasks[task] for task, pod in living.items() if not pod and task_logs.keeps(workflow, tasks[task])}
        stored = self._stored(workflow, gone, tail) if gone else {}
        for task, pod in living.items():
            if pod:
                yield task, self._log_of(pod, task, tail=tail)
            elif task in stored:
                yield task, [stored[task]]

    def _check_namespace(self, namespace: str) -> None:
        """Refuses a namespace that is not there: a server lists nothing of it, as of an empty one.

        Who may not ask for it is not told.
        """
        from kubernetes import client

        with self._doing(f"looking for the namespace {namespace}"):
            try:
                self._core.read_namespace(namespace, _request_timeout=self._timeout)
            except client.ApiException as error:
                if error.status == 404:
                    raise InputError(
                        f"{self.where}: there is no namespace {namespace!r}; make it, or name another one with "
                        "--namespace"
                    ) from None

    def _stored(self, workflow: dict[str, Any], tasks: dict[str, dict[str, Any]], tail: int | None) -> dict[str, str]:
        """Logs from the volume."""
        boundary = uuid.uuid4().hex
        return task_logs.split(self.printed(task_logs.reader(workflow, tasks, tail, boundary)), boundary)

    def printed(self, helper: dict[str, Any]) -> str:
        """Submits a Workflow of one pod, and returns what that printed; it is removed then.

        Raises:
          TransientError: it did not end well, or not in time.
        """
        reader = self.submit(helper)
        try:
            begun = time.monotonic()
            while not (run := self.state(reader)).is_over:
                if time.monotonic() - begun > _READING_SECONDS:
                    why = f": {run.error}" if run.error else ""
                    raise TransientError(
                        f"the volume was not read in {_READING_SECONDS:g} s by {reader}{why}; try again"
                    )
                time.sleep(_READING_INTERVAL)
            [pod] = self._pods(reader).values() or [""]
            if run.state != "done" or not pod:
                raise TransientError(f"the volume could not be read by {reader}: {run.error or run.state}; try again")
            return "".join(self._log_of(pod, "the volume"))
        finally:
            with self._doing(f"removing the workflow {reader}"):
                self._workflows.delete_namespaced_custom_object(name=reader, **self._place())

    def _log_of(
        self, pod: str, task: str, *, tail: int | None = None, follow: bool = False, **more: Any
    ) -> Iterator[str]:
        from kubernetes import client

        options: dict[str, Any] = {"container": "main", "follow": follow, "_preload_content": False, **more}
        if tail is not None:
            options["tail_lines"] = tail if follow else tail + task_logs.MOST_OF_ARGO
        # A task may be silent for long: only the connection has a time-out when its log is followed.
        options["_request_timeout"] = (self._timeout[0], None) if follow else self._timeout
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        with self._doing(f"reading the log of {task}"):
            try:
                answer = self._core.read_namespaced_pod_log(pod, self.namespace, **options)
            except client.ApiException as error:
                if error.status == 404:
                    raise _PodGoneError(
                        f"{self.where}: the pod {pod} is gone while reading the log of {task}"
                    ) from None
                raise
            try:
                lines = task_logs.own(decoder.decode(piece) for piece in answer.stream(decode_content=True))
                yield from lines if tail is None or follow else collections.deque(lines, tail)
            finally:
                answer.release_conn()

    def _pods(self, workflow: str) -> dict[str, str]:
        """The pods that are there, by the ids of their nodes: Argo gives pods names of their own, and notes the id."""
        with self._doing(f"looking for the pods of {workflow}"):
            pods = self._core.list_namespaced_pod(
                self.namespace,
                label_selector=f"workflows.argoproj.io/workflow={workflow}",
                _request_timeout=self._timeout,
            )
        found = {}
        for pod in pods.items:
            name = str(pod.metadata.name)
            # Argo's older versions call a pod as its node.
            found[(pod.metadata.annotations or {}).get("workflows.argoproj.io/node-id") or name] = name
        return found

    def _place(self, plural: str = "workflows", namespace: str = "") -> dict[str, Any]:
        return _GROUP | {"plural": plural, "namespace": namespace or self.namespace, "_request_timeout": self._timeout}

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        """What is no answer of Kubernetes's is told as that; its client raises ValueError for what lacks a field."""
        try:
            yield
        except (ValueError, TypeError, AttributeError):
            raise answers.stranger(self.where) from None

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        try:
            with explained(self.where, what, self._secrets):
                yield
        except UnicodeDecodeError:
            raise answers.stranger(self.where) from None
        except StageError as error:
            # What Kubernetes says of a kind of resource that it does not have at all.
            if "404 page not found" in str(error):
                raise InputError(f"{self.where}: Argo Workflows is not installed there; install it first") from None
            raise


def _has_run(workflow: dict[str, Any], node: dict[str, Any]) -> bool:
    # (Where a Workflow was suspended there was no pod.)
    return node.get("type") != "Suspend" and argo_state.pod_node(workflow, node).get("phase") in (
        "Running",
        "Succeeded",
        "Failed",
        "Error",
    )
