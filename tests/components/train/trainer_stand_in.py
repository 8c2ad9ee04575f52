"""Kubeflow Trainer as the chief asks it: Kubernetes' API on loopback, whose TrainJobs really run, as processes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from components.train import train_job, worker_pod
from tests.runners.loopback import Refused, Request
from tests.support import ROOT

NAMESPACE = "kubeflow"
RUNTIME = ROOT / "manifests" / "trainer" / "runtime.yaml"
POD = "taxi-grgfp-retry-system-container-impl-2121663124"
_JOBS = f"{train_job.API}/namespaces/{NAMESPACE}/trainjobs"
_RUNTIMES = f"{train_job.API}/namespaces/{NAMESPACE}/trainingruntimes"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
_MESSAGE_BYTES = 2048


def own_pod(volume: Path | str = "/millrace", attempt: int = 0) -> dict[str, Any]:
    """The pod of a task, as Argo makes it of what KFP's driver says: what of it matters here, and beside it other."""
    node = f"taxi-grgfp.root.exit-handler-1.condition-branches-2.condition-4.train.executor({attempt})"
    return {
        "metadata": {
            "name": POD,
            "namespace": NAMESPACE,
            "uid": "8d0e8a2c-1b0b-4b5c-9a55-3f2d5c1f0a11",
            "labels": {"pipeline/runid": "c5288200-dc61-4e7b-9554-d486363f2801"},
            "annotations": {"workflows.argoproj.io/node-name": node},
        },
        "spec": {
            "serviceAccountName": "pipeline-runner",
            "nodeSelector": {"pool": "gpu"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "containers": [
                {"name": "wait", "image": "quay.io/argoproj/argoexec:v3.7.3"},
                {
                    "name": "main",
                    "image": "registry/millrace/train@sha256:1",
                    "resources": {"limits": {"cpu": "4", "memory": "4Gi"}, "requests": {"cpu": "500m"}},
                    "env": [
                        {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                        {"name": "KFP_RUN_ID", "value": "c5288200"},
                        {"name": "ARGO_TEMPLATE", "value": "{}"},
                        {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                        {"name": "AWS_REGION", "value": "eu-central-1"},
                        {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}},
                    ],
                    "volumeMounts": [
                        {"name": "kfp-launcher", "mountPath": "/kfp-launcher"},
                        {"name": "secret-keys", "mountPath": "/keys", "readOnly": True},
                        {"name": "millrace", "mountPath": str(volume)},
                        {"name": "kube-api-access-x", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
                    ],
                },
            ],
            "volumes": [
                {"name": "kfp-launcher", "emptyDir": {}},
                {"name": "secret-keys", "secret": {"secretName": "keys"}},
                {"name": "millrace", "persistentVolumeClaim": {"claimName": "millrace"}},
                {"name": "unused", "persistentVolumeClaim": {"claimName": "unused"}},
                {"name": "kube-api-access-x", "projected": {"sources": []}},
            ],
        },
        "status": {"podIP": "127.0.0.1"},
    }


@dataclass
class Job:
    """A TrainJob, and its pods: processes by index, with their logs."""

    resource: dict[str, Any]
    pods: dict[int, tuple[subprocess.Popen[bytes], Path]]
    failed: str = ""

    def end(self) -> None:
        for process, _ in self.pods.values():
            process.kill()
            process.wait()


@dataclass
class Trainer:
    """A cluster with Kubeflow Trainer.

    Attributes:
      folder: for the logs of pods.
      own: the task's pod.
      installed: whether there is Trainer.
      runtimes: that there are, at first that of our manifests.
      forbids: a method and a kind that the account has no right to, or of which `status` says something else.
      status: of the answer to it.
      idle: whether Trainer makes no pods.
      jobs: that there are.
      ended: those that were removed.
      seen: the runtimes that its webhook knows.
    """

    folder: Path
    own: dict[str, Any]
    installed: bool = True
    runtimes: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {train_job.RUNTIME: yaml.safe_load(RUNTIME.read_text())}
    )
    forbids: tuple[str, str] = ("", "")
    status: int = 403
    idle: bool = False
    jobs: dict[str, Job] = field(default_factory=dict)
    ended: list[Job] = field(default_factory=list)
    seen: set[str] = field(default_factory=set)
    _lock: Any = field(default_factory=threading.RLock)

    def answer(self, request: Request) -> tuple[Any, ...]:
        with self._lock:
            try:
                return 200, self._answer(request)
            except Refused as refused:
                return refused.status, {"message": refused.message}

    def _answer(self, request: Request) -> Any:
        assert request.headers["authorization"] == "Bearer token"
        kind = request.path.rpartition(f"/{NAMESPACE}/")[2].partition("/")[0]
        if (request.method, kind) == self.forbids:
            raise Refused(
                self.status, f'{kind} is forbidden: User "pipeline-runner" cannot {request.method.lower()} {kind}'
            )
        if request.path == f"{_PODS}/{POD}":
            return self.own
        if request.path == _PODS:
            name = request.query["labelSelector"].removeprefix("jobset.sigs.k8s.io/jobset-name=")
            return {"items": [self._pod(index, job) for job in [self.jobs[name]] for index in job.pods]}
        if not self.installed:
            raise Refused(404, "404 page not found")
        place, _, name = request.path.rpartition("/")
        if request.path in (_JOBS, _RUNTIMES) and request.method == "POST":
            return self._create(json.loads(request.body))
        if request.path in (_JOBS, _RUNTIMES):
            label, _, value = request.query["labelSelector"].partition("=")
            of_kind = self.runtimes.values() if request.path == _RUNTIMES else [j.resource for j in self.jobs.values()]
            assert not value
            return {"items": [each for each in of_kind if label in each["metadata"].get("labels", {})]}
        if place == _RUNTIMES:
            if name not in self.runtimes:
                raise Refused(404, f'trainingruntimes.trainer.kubeflow.org "{name}" not found')
            return self.runtimes.pop(name) if request.method == "DELETE" else self.runtimes[name]
        if name not in self.jobs:
            raise Refused(404, f'trainjobs.trainer.kubeflow.org "{name}" not found')
        if request.method == "DELETE":
            self.ended.append(job := self.jobs.pop(name))
            job.end()
        else:
            job = self.jobs[name]
            condition = {"type": "Failed", "status": "True", "message": job.failed}
            job.resource["status"] = {"conditions": [condition] if job.failed else []}
        return job.resource

    def _create(self, resource: dict[str, Any]) -> Any:
        name = resource["metadata"]["name"]
        if resource["kind"] == "TrainingRuntime":
            self.runtimes[name] = resource
            return resource
        assert resource["spec"]["runtimeRef"]["name"] == name in self.runtimes
        if name not in self.seen:
            # Trainer's webhook knows a runtime a moment after it was made.
            self.seen.add(name)
            said = f'spec.runtimeRef: Invalid value: TrainingRuntime.trainer.kubeflow.org "{name}" not found: specified'
            raise Refused(
                403, f'admission webhook "validator.trainjob.trainer.kubeflow.org" denied the request: {said}'
            )
        trainer = resource["spec"]["trainer"]
        assert re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
        assert trainer["command"][0] == "python"
        count = 0 if self.idle else trainer["numNodes"]
        pods = {}
        for index in range(count):
            log = self.folder / f"{name}-{index}.log"
            variables = {each["name"]: each["value"] for each in trainer["env"] if "value" in each}
            kept = {each: os.environ[each] for each in ("PATH", "HOME", "TMPDIR") if each in os.environ}
            with log.open("wb") as stream:
                process = subprocess.Popen(
                    [sys.executable, *trainer["command"][1:], *trainer["args"]],
                    cwd=ROOT,
                    env=kept | variables | {worker_pod.INDEX_VARIABLE: str(index)},
                    stdout=stream,
                    stderr=stream,
                )
            pods[index] = (process, log)
        self.jobs[name] = Job(resource, pods)
        return resource

    def _pod(self, index: int, job: Job) -> dict[str, Any]:
        process, log = job.pods[index]
        status: dict[str, Any] = {"phase": "Running", "containerStatuses": [{"state": {"running": {}}}]}
        if (code := process.poll()) is not None:
            message = log.read_bytes()[-_MESSAGE_BYTES:].decode(errors="replace")
            code = code if code >= 0 else 128 - code
            ended = {"exitCode": code, "message": message if code else ""}
            status = {
                "phase": "Failed" if code else "Succeeded",
                "containerStatuses": [{"state": {"terminated": ended}}],
            }
            job.failed = job.failed or ("jobset failed due to one or more job failures" if code else "")
        labels = {"batch.kubernetes.io/job-completion-index": str(index)}
        return {"metadata": {"labels": labels}, "status": status}

    def delete_pod(self, index: int) -> None:
        """Ends a pod of the only job, of which nothing is to be seen then."""
        with self._lock:
            [job] = self.jobs.values()
            process, _ = job.pods.pop(index)
            process.send_signal(signal.SIGKILL)
            process.wait()
            job.failed = "jobset failed due to one or more job failures"
