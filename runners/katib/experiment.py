"""A search of Katib: trials as pods of the stage tune, over what a run of the model has transformed.

The fields are those of kubeflow.org/v1beta1 in kubeflow/katib, pkg/apis/controller/experiments/v1beta1.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.runtime.errors import InputError
from components.runtime.module_file import workers
from components.runtime.stage.executor import EXECUTOR_INPUT_OPTION
from runners.compiled.pod_security import CONTAINER_SECURITY, POD_SECURITY
from runners.compiled.pods import SCRATCH, VOLUME, Pod
from runners.compiled.tasks import Constant, TaskSpec, task_parameters
from runners.katib import search_space

CONTAINER = "trial"
ALGORITHMS = {
    "RandomSearch": "random",
    "BayesianOptimization": "multivariate-tpe",
    "GridSearch": "grid",
}
"""Katib's names by the kinds of Keras Tuner. All of them take a seed.

Of the others that learn from earlier trials, `bayesianoptimization` draws every number with fractions on a logarithmic
scale (and never begins where one may be 0), and `tpe` gives trials that run beside each other the same values.
"""

_MODULE = "components.tune.one_trial"
_NAME = re.compile(r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?")
_METRIC = re.compile(r"[^\w-]+", re.ASCII)
_PARAMETER = "${trialParameters."
_OF_THE_SEARCH = ("max_trials", "max_minutes")
_OF_THE_POD = ("fsGroup", "fsGroupChangePolicy")
"""What a container cannot say for itself."""


@dataclass(frozen=True)
class Tuned:
    """What an execution of tune says of the search.

    Attributes:
      parameters: that the stage was given in that run.
      inputs: places of its artifacts, relative to the pipeline root.
      space: of `HyperParameters.get_config()`.
      objective: name of what is optimised.
      direction: `min` or `max`.
      tuner: its kind.
    """

    parameters: dict[str, Any]
    inputs: dict[str, str]
    space: list[dict[str, Any]]
    objective: str
    direction: str
    tuner: str

    @property
    def algorithm(self) -> str:
        """Katib's; random where it has no such one."""
        return ALGORITHMS.get(self.tuner, "random")


@dataclass(frozen=True)
class Place:
    """Where its pods run, and find the pipeline root.

    Attributes:
      name: of the Experiment.
      namespace: none where empty.
      claim: of the volume.
      mount_path: where it is mounted.
    """

    name: str
    namespace: str
    claim: str
    mount_path: str


def experiment(task: TaskSpec, config: Mapping[str, Any], tuned: Tuned, place: Place) -> dict[str, Any]:
    """The Experiment.

    Args:
      task: of the stage tune, compiled.
      config: its part of the platform spec.
      tuned: what was searched before.
      place: where.

    Raises:
      InputError: something that Katib cannot have.
    """
    if not _NAME.fullmatch(place.name):
        raise InputError(
            f"name {place.name!r}: Katib takes small letters, digits and '-', a letter first, at most 40; give another "
            "one with --name"
        )
    if task.fused:
        raise InputError(
            f"task {task.name}: cluster.fuse puts it into the pod {task.fused.name!r} with others; take it out there"
        )
    grid = tuned.algorithm == "grid"
    parameters = search_space.parameters(tuned.space, grid=grid)
    # Names of hyperparameters may have any letters; those of a template's may not.
    own = {each["name"]: f"h{number}" for number, each in enumerate(parameters, 1)}
    asked = asked_for(task, tuned)
    given = workers.options(asked["custom_config"], "tune")
    trials = asked["max_trials"]
    if grid:
        # Katib refuses to begin a grid that is asked for more.
        most = search_space.combinations(parameters)
        trials = min(trials or most, most)
    metric = _METRIC.sub("_", tuned.objective)
    spec: dict[str, Any] = {
        "objective": {
            "type": "maximize" if tuned.direction == "max" else "minimize",
            "objectiveMetricName": metric,
            # The score is what a trial says last. Without this it is the best of what the user's function may print.
            "metricStrategies": [{"name": metric, "value": "latest"}],
        },
        "algorithm": {
            "algorithmName": tuned.algorithm,
            "algorithmSettings": [{"name": "random_state", "value": str(asked["seed"])}],
        },
        "parallelTrialCount": min(given.workers, trials or given.workers),
        "parameters": parameters,
        "metricsCollectorSpec": {"collector": {"kind": "StdOut"}},
        "trialTemplate": {
            "primaryContainerName": CONTAINER,
            # Otherwise the log of a failed trial, which says why, goes with its pod.
            "retain": True,
            "trialParameters": [{"name": short, "description": name, "reference": name} for name, short in own.items()],
            "trialSpec": _job(task, config, _command(asked, tuned.inputs, place, own), place),
        },
    }
    if trials:
        # What fails is passed over, as in the stage.
        spec |= {"maxTrialCount": trials, "maxFailedTrialCount": trials}
    metadata = {"name": place.name} | ({"namespace": place.namespace} if place.namespace else {})
    return {"apiVersion": "kubeflow.org/v1beta1", "kind": "Experiment", "metadata": metadata, "spec": spec}


def asked_for(task: TaskSpec, tuned: Tuned) -> dict[str, Any]:
    """What the search is asked for: what the settings say, and what a parameter of the pipeline was in the run."""
    constants = {name: source.value for name, source in task.parameters.items() if isinstance(source, Constant)}
    return task_parameters(task, tuned.parameters | constants)


def _command(asked: Mapping[str, Any], inputs: Mapping[str, str], place: Place, own: Mapping[str, str]) -> str:
    """The line of a shell that runs a trial: Katib makes one of whatever it is given, without quoting."""
    values = {name: f"{_PARAMETER}{short}}}" for name, short in own.items()}
    said = {name: value for name, value in asked.items() if name not in _OF_THE_SEARCH}
    said["custom_config"] = {
        name: value for name, value in said.get("custom_config", {}).items() if name != workers.KEY
    }
    executor_input = {
        "inputs": {
            "parameterValues": said | {"values": values},
            "artifacts": {
                name: {"artifacts": [{"name": name, "uri": uri if "://" in uri else f"{place.mount_path}/{uri}"}]}
                for name, uri in inputs.items()
            },
        },
        "outputs": {"outputFile": "/tmp/executor_output.json"},
    }
    # Kubernetes puts variables in place of $(NAME) in a container's arguments; $$ is a $.
    text = json.dumps(executor_input).replace("$", "$$").replace(f"${_PARAMETER}", _PARAMETER)
    return f"python -m {_MODULE} {EXECUTOR_INPUT_OPTION} {shlex.quote(text)}"


def _job(task: TaskSpec, config: Mapping[str, Any], command: str, place: Place) -> dict[str, Any]:
    pod = Pod(task.pod, task.pod_container, config, place.claim, place.mount_path, "Katib")
    home = [{"name": name, "value": "/tmp"} for name in ("HOME", "TMPDIR")]
    # Katib puts a container of its own beside it, which is another user: what a container can say, it says itself.
    security = {name: value for name, value in POD_SECURITY.items() if name not in _OF_THE_POD}
    spec = {
        **pod.template,
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": {name: POD_SECURITY[name] for name in _OF_THE_POD},
        "containers": [
            {
                "name": CONTAINER,
                "image": task.pod_container["image"],
                "command": ["sh", "-c"],
                "args": [command],
                "env": [*home, *pod.env.values()],
                "volumeMounts": pod.mounts,
                "securityContext": security | CONTAINER_SECURITY,
                **pod.container,
            }
        ],
        "volumes": [
            {"name": VOLUME, "persistentVolumeClaim": {"claimName": place.claim}},
            {"name": SCRATCH, "emptyDir": {}},
            *pod.volumes.values(),
        ],
    }
    if pod.pull_secrets:
        spec["imagePullSecrets"] = [{"name": name} for name in sorted(set(pod.pull_secrets))]
    metadata = {"labels": pod.labels, "annotations": pod.annotations | {"sidecar.istio.io/inject": "false"}}
    job = {"backoffLimit": 0, "template": {"metadata": metadata, "spec": spec}}
    return {"apiVersion": "batch/v1", "kind": "Job", "spec": _without_empty(job)}


def _without_empty(content: Any) -> Any:
    """Katib refuses a Job of which Go, that has read it, writes less, and it writes nothing that is empty."""
    if isinstance(content, list):
        return [_without_empty(each) for each in content]
    if not isinstance(content, dict):
        return content
    inner = {name: _without_empty(each) for name, each in content.items()}
    return {name: each for name, each in inner.items() if each not in ("", [], {}) or name == "emptyDir"}
