"""A server on loopback that speaks the paths of the Kubernetes API that the `argo` commands use."""

from __future__ import annotations

import base64
import gzip
import json
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from runners.argo.helpers import LABEL
from tests.runners.loopback import Refused, Request, serving

TOKEN = "kubernetes-verySecretToken"
START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _stamp(seconds: int) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def _is_helper(workflow: dict[str, Any]) -> bool:
    return LABEL in (workflow["metadata"].get("labels") or {})


@dataclass
class Argo:
    """What the cluster knows, and how it is to behave."""

    installed: bool = True
    delay: float = 0.0
    refusals: dict[str, tuple[int, Any]] = field(default_factory=dict)
    plan: list[str] = field(default_factory=lambda: ["ingest", "statistics", "train"])
    fails_at: str = ""
    hindered: dict[str, str] = field(default_factory=dict)
    """What Argo says of the pod of a task that cannot start."""
    suspended: dict[str, str] = field(default_factory=dict)
    """What the nodes ask that a run is suspended in, by their names."""
    resumed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What somebody made of these nodes."""
    conflicts: int = 0
    """How many answers come while Argo writes to the Workflow too."""
    packed: bool = False
    absent: frozenset[str] = frozenset()
    """Namespaces that are not there."""
    workflows: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    schedules: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    templates: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    proxied: bool = False
    """Whether `kubectl proxy` stands before it, which asks nobody who they are."""
    logs: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    read: Callable[[dict[str, Any]], str] | None = None
    """Runs the container of a Workflow that reads on the volume."""
    url: str = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: dict[str, str]) -> Any:
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)", path):
            if found[1] in self.absent:
                raise Refused(404, f'namespaces "{found[1]}" not found')
            return {"kind": "Namespace", "metadata": {"name": found[1]}}
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)/pods", path):
            assert query["labelSelector"].startswith("workflows.argoproj.io/workflow=")
            return {"kind": "PodList", "items": self.pods(found[1], query["labelSelector"].partition("=")[2])}
        if found := re.fullmatch(r"/api/v1/namespaces/([^/]+)/pods/([^/]+)/log", path):
            assert query["container"] == "main"
            lines = self.logs[found[2]].splitlines(keepends=True)
            return b"".join(lines[-int(query["tailLines"]) :] if "tailLines" in query else lines)
        if found := re.fullmatch(r"/apis/argoproj.io/v1alpha1/namespaces/([^/]+)/cronworkflows(?:/([^/]+))?", path):
            return self.schedule(method, found[1], found[2], query, json.loads(body) if body else {})
        if found := re.fullmatch(r"/apis/argoproj.io/v1alpha1/namespaces/([^/]+)/workflowtemplates(?:/([^/]+))?", path):
            return self.template(method, found[1], found[2], json.loads(body) if body else {})
        found = re.fullmatch(r"/apis/argoproj.io/v1alpha1/namespaces/([^/]+)/workflows(?:/([^/]+))?", path)
        if not found or not self.installed:
            return 404, b"404 page not found\n"
        namespace, name = found[1], found[2]
        if method == "POST":
            if namespace in self.absent:
                raise Refused(404, f'namespaces "{namespace}" not found')
            return self.create(namespace, json.loads(body))
        if name is None:
            return self.listed(namespace, query)
        if (namespace, name) not in self.workflows:
            raise Refused(404, f'workflows.argoproj.io "{name}" not found')
        workflow = self.workflows[namespace, name]
        if method == "DELETE":
            return self.workflows.pop((namespace, name))
        if method == "PATCH":
            assert headers["content-type"] == "application/merge-patch+json"
            if "status" in json.loads(body):
                return self.resume(workflow, json.loads(body))
            assert set(json.loads(body)) == {"spec"}
            workflow["spec"] |= json.loads(body)["spec"]
            message = f"Stopped with strategy '{workflow['spec']['shutdown']}'"
            workflow["status"] |= {"phase": "Failed", "finishedAt": _stamp(99), "message": message}
            return workflow
        return self.progress(workflow)

    def resume(self, workflow: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
        """Takes what a suspended node is told; only of the version of the Workflow that somebody has seen."""
        self.conflicts -= 1
        if self.conflicts >= 0:
            workflow["metadata"]["resourceVersion"] += "0"
        if changes["metadata"]["resourceVersion"] != workflow["metadata"]["resourceVersion"] or self.conflicts >= 0:
            raise Refused(409, "the object has been modified; please apply your changes to the latest version")
        told = changes["status"]
        if packed := told.get("compressedNodes"):
            told = {"nodes": json.loads(gzip.decompress(base64.b64decode(packed)))}
        for node in told["nodes"].values():
            if node.get("displayName") in self.suspended:
                self.resumed[node["displayName"]] = node
        return workflow

    def schedule(self, method: str, namespace: str, name: str | None, query: dict[str, str], body: Any) -> Any:
        if method == "GET":
            return {"items": [each for (place, _), each in self.schedules.items() if place == namespace]}
        if method == "DELETE":
            # Else its Workflows, which belong to it, would go with it.
            assert (query.get("propagationPolicy") or body.get("propagationPolicy")) == "Orphan"
            return self.schedules.pop((namespace, str(name)))
        assert body["metadata"]["namespace"] == namespace
        there = self.schedules.get((namespace, body["metadata"]["name"]))
        if method == "PUT":
            assert there is not None
            if body["metadata"]["resourceVersion"] != there["metadata"]["resourceVersion"]:
                raise Refused(409, "the object has been modified")
        version = str(int(there["metadata"]["resourceVersion"]) + 1 if there else 1)
        body["metadata"]["resourceVersion"] = version
        self.schedules[namespace, body["metadata"]["name"]] = body
        return body

    def template(self, method: str, namespace: str, name: str | None, body: Any) -> Any:
        there = self.templates.get((namespace, name or body["metadata"]["name"]))
        if method == "GET":
            if there is None:
                raise Refused(404, f'workflowtemplates.argoproj.io "{name}" not found')
            return there
        assert body["metadata"]["namespace"] == namespace
        assert body["kind"] == "WorkflowTemplate"
        if method == "PUT" and body["metadata"]["resourceVersion"] != (there or body)["metadata"]["resourceVersion"]:
            raise Refused(409, "the object has been modified")
        body["metadata"]["resourceVersion"] = str(int(there["metadata"]["resourceVersion"]) + 1 if there else 1)
        self.templates[namespace, body["metadata"]["name"]] = body
        return body

    def create(self, namespace: str, workflow: dict[str, Any]) -> dict[str, Any]:
        if workflow.get("apiVersion") != "argoproj.io/v1alpha1" or "entrypoint" not in workflow["spec"]:
            raise Refused(422, "Workflow is invalid: spec.entrypoint: Required value")
        if workflow["metadata"].setdefault("namespace", namespace) != namespace:
            raise Refused(400, "the namespace of the provided object does not match the namespace sent on the request")
        metadata = workflow["metadata"]
        metadata.setdefault("name", f"{metadata.get('generateName')}{len(self.workflows):05d}")
        if (namespace, metadata["name"]) in self.workflows:
            raise Refused(409, f'workflows.argoproj.io "{metadata["name"]}" already exists')
        metadata["creationTimestamp"], metadata["resourceVersion"] = _stamp(len(self.workflows)), "1"
        self.workflows[namespace, metadata["name"]] = workflow
        self.steps[metadata["name"]] = 0
        if (entry := workflow["spec"]["entrypoint"]) and _is_helper(workflow) and self.read:
            self.logs[f"{metadata['name']}-pod-{entry}"] = self.read(workflow["spec"]["templates"][0]).encode()
        return workflow

    def listed(self, namespace: str, query: dict[str, str]) -> dict[str, Any]:
        items = [workflow for (place, _), workflow in self.workflows.items() if place == namespace]
        if selector := query.get("labelSelector"):
            key, _, value = selector.partition("=")
            items = [item for item in items if item["metadata"].get("labels", {}).get(key) == value]
        begin = int(query.get("continue") or 0)
        end = begin + min(int(query["limit"]), 2)
        return {"metadata": {"continue": str(end) if end < len(items) else ""}, "items": items[begin:end]}

    def progress(self, workflow: dict[str, Any]) -> dict[str, Any]:
        """Every look finds one more task done; `statistics` is tried twice."""
        name = workflow["metadata"]["name"]
        status = workflow.setdefault("status", {})
        if status.get("phase") in ("Succeeded", "Failed"):
            return workflow
        step = self.steps[name]
        self.steps[name] += 1
        entry = workflow["spec"]["entrypoint"]
        plan = [entry] if _is_helper(workflow) else self.plan
        phase = "Running"
        nodes: dict[str, Any] = {name: {"id": name, "name": name, "displayName": name, "type": "DAG"}}
        for place, task in enumerate(plan[: step + 1]):
            if task not in self.suspended and (self.suspended.keys() - self.resumed.keys()) & set(plan[:place]):
                break
            failed = task == self.fails_at and place < step
            node = {
                "displayName": task,
                "name": f"{name}.{task}",
                "templateName": task,
                "type": "Pod",
                "phase": "Failed" if failed else "Succeeded" if place < step else "Running",
                "startedAt": _stamp(10 * place),
                "finishedAt": _stamp(10 * place + 7) if place < step else None,
                "message": "main: Error (exit code 65): error: the data has no label" if failed else "",
            }
            if task in self.suspended:
                asked = {"parameters": [{"name": "question", "value": self.suspended[task]}]}
                node |= {"type": "Suspend", "phase": "Running", "finishedAt": None, "inputs": asked}
                nodes[f"{name}-{task}"] = node = node | self.resumed.get(task, {})
                if task not in self.resumed:
                    continue
            if task in self.hindered and place >= step:
                node |= {"phase": "Pending", "message": self.hindered[task]}
            if task == "statistics":
                attempts = [f"{name}-{task}-{attempt}" for attempt in (0, 1)]
                for attempt in attempts:
                    nodes[attempt] = node | {"displayName": f"{task}({attempt[-1]})"}
                # What Argo says of the attempts together.
                above = "retryStrategy.expression evaluated to false" if failed else ""
                phase_above = "Running" if node["phase"] == "Pending" else node["phase"]
                node = node | {"type": "Retry", "children": attempts, "message": above, "phase": phase_above}
            nodes[f"{name}-{task}"] = node
            if failed:
                phase = "Failed"
                break
        if phase == "Running" and step >= len(plan) and self.suspended.keys() <= self.resumed.keys():
            phase = "Succeeded"
        status |= {"phase": phase, "startedAt": _stamp(0), "nodes": nodes}
        if phase != "Running":
            status |= {"finishedAt": _stamp(30), "message": f"child '{name}-7' failed" if phase == "Failed" else ""}
        if self.packed:
            packed = base64.b64encode(gzip.compress(json.dumps(status.pop("nodes")).encode())).decode()
            status["compressedNodes"] = packed
        return workflow

    def pods(self, namespace: str, workflow: str) -> list[dict[str, Any]]:
        nodes = self.workflows[namespace, workflow].get("status", {}).get("nodes", {})
        found = []
        for identity, node in nodes.items():
            if node["type"] == "Pod":
                # Argo names pods after the template and a hash, not after the node.
                name = f"{workflow}-pod-{identity.removeprefix(workflow)[1:]}"
                note = {"workflows.argoproj.io/node-id": identity}
                if name in self.logs:
                    found.append({"metadata": {"name": name, "annotations": note}, "spec": {"containers": []}})
        return found


@contextmanager
def serve(state: Argo) -> Iterator[Argo]:
    """Runs the server while the context lasts."""

    def answer(request: Request) -> tuple[int, Any]:
        state.requests.append((request.method, request.target, request.headers))
        time.sleep(state.delay)
        status, reply = 200, None
        for part, refusal in state.refusals.items():
            if part in f"{request.method} {request.path}":
                status, reply = refusal
        if not state.proxied and request.headers.get("authorization") != f"Bearer {TOKEN}":
            status, reply = 401, {"kind": "Status", "message": "Unauthorized", "code": 401}
        if reply is None:
            try:
                reply = state.answer(request.method, request.path, request.query, request.body, request.headers)
                if isinstance(reply, tuple):
                    status, reply = reply
            except Refused as refused:
                status, reply = refused.status, {"kind": "Status", "message": refused.message}
        return status, reply

    with serving(answer, bytes_type="text/plain") as state.url:
        yield state


def write_kubeconfig(file: Path, url: str, token: str = TOKEN) -> None:
    """A kubeconfig with two contexts: `kind`, the current one, whose namespace is ml, and `other`."""
    cluster = {"name": "c", "cluster": {"server": url}}
    user = {"name": "u", "user": {"token": token}}
    contexts = [
        {"name": "kind", "context": {"cluster": "c", "user": "u", "namespace": "ml"}},
        {"name": "other", "context": {"cluster": "c", "user": "u"}},
    ]
    content = {"apiVersion": "v1", "kind": "Config", "clusters": [cluster], "users": [user], "contexts": contexts}
    file.write_text(json.dumps(content | {"current-context": "kind"}))
