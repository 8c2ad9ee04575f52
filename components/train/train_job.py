"""The TrainJob of Kubeflow Trainer that has the other workers of a training: what is asked for, and what became of it.

Its pods get what the task's own pod has: image, resources, environment, claims and secrets, nodes. The resources are
https://pkg.go.dev/github.com/kubeflow/trainer/v2/pkg/apis/trainer/v1alpha1; the JobSet that comes of them names the
pods (https://jobset.sigs.k8s.io/docs/concepts/).
"""

from __future__ import annotations

import copy
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.launch.worker_forks import ended_by_signal
from components.runtime.launch.worker_forks import fault as own_fault

API = "/apis/trainer.kubeflow.org/v1alpha1"
RUNTIME = "millrace-workers"
"""The TrainingRuntime of manifests/trainer, of which each training makes one of its own."""
JOB = "node"
"""The job in it, and the container: what Trainer expects them to be called."""
LABEL = "millrace/training"
"""Of a TrainJob: the training that it belongs to, whichever attempt."""
PORT = 2222

_NODE = "workflows.argoproj.io/node-name"
_READ_ONLY = "millrace/read-only-mounts"
_MAIN = "main"
_VOLUMES = ("persistentVolumeClaim", "secret", "configMap")
_NOT_HANDED_ON = re.compile(r"(KFP|ARGO)_.*")
"""Variables that say which pod of KFP and Argo the task's is."""
_NODES = ("nodeSelector", "tolerations", "imagePullSecrets", "affinity", "serviceAccountName")
_SIGNALS = 128


def key(own: Mapping[str, Any]) -> str:
    """Tells the trainings of a cluster apart, and not the attempts at one: by the run and the task.

    Args:
      own: the task's pod, as the API has it.
    """
    metadata = own["metadata"]
    node = metadata.get("annotations", {}).get(_NODE) or metadata["name"]
    # (Argo counts the attempts behind the name.)
    said = f"{metadata['namespace']}/{re.sub(r'[(][0-9]+[)]$', '', node)}"
    return hashlib.sha256(said.encode()).hexdigest()[:10]


def shared(own: Mapping[str, Any]) -> Path:
    """Where the first volume is mounted that other pods can mount too and that may be written to.

    Raises:
      InputError: there is none.
    """
    promised = own["metadata"].get("annotations", {}).get(_READ_ONLY, "").split(",")
    claims = {each["name"]: each["persistentVolumeClaim"] for each in _volumes(own) if "persistentVolumeClaim" in each}
    for mount in _container(own).get("volumeMounts", []):
        if (claim := claims.get(mount["name"])) and not (
            mount.get("readOnly") or claim.get("readOnly") or mount["mountPath"] in promised
        ):
            return Path(mount["mountPath"])
    raise InputError(
        "train.workers: the other workers get the inputs by a volume, and this pod has none that may be written to; "
        "name one, cluster.volume.claim or resources.train.mounts in the settings, and compile again"
    )


def addresses(name: str, own: Mapping[str, Any], count: int) -> list[str]:
    """HOST:PORT of every worker: of the task's own pod, and of those of the TrainJob."""
    address = own["status"]["podIP"]
    others = [f"{name}-{JOB}-0-{index}.{name}.{own['metadata']['namespace']}.svc" for index in range(count - 1)]
    return [f"{host}:{PORT}" for host in [f"[{address}]" if ":" in address else address, *others]]


def runtime(shipped: Mapping[str, Any], name: str, own: Mapping[str, Any]) -> dict[str, Any]:
    """The TrainingRuntime of a training: the shipped one, with the volumes and the nodes of the task's own pod.

    (A TrainJob has another place for these in each version of Trainer, and the API drops what it does not know.)

    Args:
      shipped: that of manifests/trainer, as it is in the cluster.
      name: of the TrainJob, and of this.
      own: the task's pod, with which it goes.
    """
    spec = copy.deepcopy(dict(shipped["spec"]))
    job = next(each for each in spec["template"]["spec"]["replicatedJobs"] if each["name"] == JOB)
    pod = job["template"]["spec"]["template"]["spec"]
    mounted = {each["name"]: each for each in _volumes(own)}
    mounts = [each for each in _container(own).get("volumeMounts", []) if each["name"] in mounted]
    used = {each["name"] for each in mounts}
    pod |= {each: own["spec"][each] for each in _NODES if own["spec"].get(each)}
    pod["volumes"] = [*pod.get("volumes", []), *(mounted[name] for name in mounted if name in used)]
    container = next(each for each in pod["containers"] if each["name"] == JOB)
    container["volumeMounts"] = [*container.get("volumeMounts", []), *mounts]
    return _resource("TrainingRuntime", name, own, spec)


def train_job(name: str, own: Mapping[str, Any], count: int, folder: Path) -> dict[str, Any]:
    """The TrainJob: a worker for each node, without the chief, which the task's own pod is.

    Args:
      name: of it, and of its runtime.
      own: the task's pod, with which it goes.
      count: of workers, with the chief.
      folder: what `worker_pod` reads.
    """
    container = _container(own)
    spec = {
        "runtimeRef": {"apiGroup": "trainer.kubeflow.org", "kind": "TrainingRuntime", "name": name},
        "trainer": {
            "image": container["image"],
            "command": ["python", "-m", "components.train.worker_pod"],
            "args": [str(folder)],
            "env": list(_environment(container)),
            "numNodes": count - 1,
            "resourcesPerNode": container.get("resources", {}),
        },
    }
    return _resource("TrainJob", name, own, spec)


def _resource(kind: str, name: str, own: Mapping[str, Any], spec: Mapping[str, Any]) -> dict[str, Any]:
    owner = {"apiVersion": "v1", "kind": "Pod", "name": own["metadata"]["name"], "uid": own["metadata"]["uid"]}
    return {
        "apiVersion": API.removeprefix("/apis/"),
        "kind": kind,
        "metadata": {"name": name, "labels": {LABEL: key(own)}, "ownerReferences": [owner]},
        "spec": spec,
    }


def _container(own: Mapping[str, Any]) -> Mapping[str, Any]:
    """The one that the stage runs in, as Argo calls it."""
    found: Mapping[str, Any] = next(each for each in own["spec"]["containers"] if each["name"] == _MAIN)
    return found


def _volumes(own: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Those that are the same in another pod."""
    return [each for each in own["spec"].get("volumes", []) if any(kind in each for kind in _VOLUMES)]


def _environment(container: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for variable in container.get("env", []):
        of_the_pod = variable.get("valueFrom", {}).keys() & {"fieldRef", "resourceFieldRef"}
        if not of_the_pod and not _NOT_HANDED_ON.fullmatch(variable["name"]):
            yield dict(variable)


def pods_of(name: str) -> str:
    """The query for a TrainJob's pods."""
    return f"labelSelector={quote(f'jobset.sigs.k8s.io/jobset-name={name}', safe='')}"


def waiting(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], count: int) -> str:
    """How many of the other workers do not run yet, and why, in a few words; empty where all do."""
    late = count - 1 - sum(each["status"].get("phase") in ("Running", "Succeeded") for each in pods)
    if late <= 0:
        return ""
    reasons = [reason for each in pods if (reason := _held_up(each))]
    if not pods and _condition(job, "Suspended"):
        reasons = [f"the TrainJob {job['metadata']['name']} is suspended"]
    why = reasons[0] if reasons else "their pods start" if pods else "Kubeflow Trainer has made no pods of them yet"
    return f"{late} of {count - 1} workers: {why}"


def _held_up(pod: Mapping[str, Any]) -> str:
    """Why a pod does not start; empty where that is not known."""
    for each in pod["status"].get("containerStatuses", []):
        state = each.get("state", {}).get("waiting", {})
        if state.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
            return f"{state['reason']}: {_one_line(state.get('message', ''))}"
    found = _condition({"status": pod["status"]}, "PodScheduled", "False")
    return _one_line(found.get("message", "")) if found else ""


def fault(job: Mapping[str, Any], pods: Sequence[Mapping[str, Any]], count: int) -> StageError | None:
    """Why the workers can no longer train together; None where none of them has failed."""
    faults = [each for pod in pods if (each := _of_pod(pod, count))]
    # Who only lost another says less than that one.
    if faults:
        return min(faults, key=lambda each: isinstance(each, TransientError))
    if failed := _condition(job, "Failed"):
        return TransientError(
            f"a worker of {count} is gone with its pod, which was deleted, or whose node is lost "
            f"({_one_line(failed.get('message', ''))}); they train together or not at all: try again"
        )
    return None


def _of_pod(pod: Mapping[str, Any], count: int) -> StageError | None:
    index = int(pod["metadata"].get("labels", {}).get("batch.kubernetes.io/job-completion-index", 0)) + 1
    who = f"worker {index} of {count}"
    for each in pod["status"].get("containerStatuses", []):
        ended = each.get("state", {}).get("terminated", {})
        code = ended.get("exitCode", 0)
        if ended.get("reason") == "OOMKilled":
            return TransientError(f"{who} took more memory than its pod has; give train more, or try again")
        if code > _SIGNALS:
            return TransientError(
                f"{who} {ended_by_signal(_SIGNALS - code)}; they train together or not at all: try again"
            )
        if code:
            return own_fault(who, code, ended.get("message", ""))
    if pod["status"].get("phase") == "Failed":
        reason = pod["status"].get("reason", "") or "without a word"
        return TransientError(f"{who}: its pod failed ({reason}); they train together or not at all: try again")
    return None


def _condition(resource: Mapping[str, Any], kind: str, status: str = "True") -> Mapping[str, Any]:
    conditions = (resource.get("status") or {}).get("conditions", [])
    return next((each for each in conditions if (each["type"], each["status"]) == (kind, status)), {})


def _one_line(text: str) -> str:
    return " ".join(text.split())
