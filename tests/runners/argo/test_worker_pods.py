"""Trainings and searches with several workers on Argo: the pods, their names, and what runs in them."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.runtime.errors import InputError
from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled import training_workers
from runners.compiled.ir import documents
from runners.settings.model import Settings, load
from runners.settings.stages import Tune
from scripts.data import taxi_trips
from tests.manifest_support import MANIFESTS
from tests.runners.argo.argo_executor import Ended, Execution, Subprocesses
from tests.runners.compiled_models import digest


def settings(model: str = "taxi", **train: Any) -> Settings:
    found = load(model)
    return found.model_copy(update={"train": found.train.model_copy(update=train)})


def tuned(**tune: Any) -> Settings:
    return load("taxi").model_copy(update={"tune": Tune(module_file="model.py", **tune)})


def workflow(given: Settings) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(compile_workflow(compile_pipeline(given, digest), for_settings(given)))
    return document


@pytest.fixture(scope="module")
def of_three() -> dict[str, Any]:
    return workflow(settings(workers=3, checkpoint_directory="/data/checkpoints"))


@pytest.mark.parametrize(
    ("stage", "variable", "port_name"), [("train", "TF_CONFIG", "workers"), ("tune", "MILLRACE_SEARCH", "tcp-searches")]
)
def test_every_worker_has_a_pod_with_a_name_that_the_others_know(
    of_three: dict[str, Any], stage: str, variable: str, port_name: str
) -> None:
    document = of_three if stage == "train" else workflow(tuned(workers=3))
    templates = {each["name"]: each for each in document["spec"]["templates"]}
    pods = [templates[name] for name in (stage, f"{stage}-worker-1", f"{stage}-worker-2")]
    variables = [{each["name"]: each.get("value") for each in pod["container"]["env"]} for pod in pods]
    clusters = [json.loads(each[variable]) for each in variables]
    assert [each["task"] for each in clusters] == [{"type": "worker", "index": index} for index in range(3)]
    (addresses,) = {tuple(each["cluster"]["worker"]) for each in clusters}
    service = yaml.safe_load((MANIFESTS / "workers" / "service.yaml").read_text())
    (port,) = [each for each in service["spec"]["ports"] if each["name"] == port_name]
    for pod, address in zip(pods, addresses, strict=True):
        patch = json.loads(pod["podSpecPatch"])
        host = f"{patch['hostname']}.{patch['subdomain']}.{{{{workflow.namespace}}}}.svc"
        assert address == f"{host}:{port['port']}"
        assert patch["subdomain"] == service["metadata"]["name"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        (own,) = pod["container"]["ports"]
        assert (own["name"], own["containerPort"]) == (port["targetPort"], port["port"])
        assert (pod["container"]["image"], pod["container"]["args"]) == (
            pods[0]["container"]["image"],
            pods[0]["container"]["args"],
        )
    policy = yaml.safe_load((MANIFESTS / "workers" / "network-policy.yaml").read_text())["spec"]
    assert policy["podSelector"]["matchLabels"] == service["spec"]["selector"]
    for way in ("ingress", "egress"):
        assert port["port"] in [each["port"] for each in policy[way][0]["ports"]]


def test_the_pods_begin_together_and_the_graph_goes_on_from_the_chief(of_three: dict[str, Any]) -> None:
    graph = {each["name"]: each for each in of_three["spec"]["templates"][0]["dag"]["tasks"]}
    beside = [graph[f"train-worker-{index}"] for index in (1, 2)]
    for each in beside:
        assert each["dependencies"] == graph["train"]["dependencies"]
        assert each["arguments"] == graph["train"]["arguments"]
    after = {name for task in graph.values() for name in task.get("dependencies", [])}
    assert "train" in after
    assert not after & {each["name"] for each in beside}


def test_a_search_outlives_its_workers_and_a_training_does_not(of_three: dict[str, Any]) -> None:
    searching = {each["name"]: each for each in workflow(tuned(workers=2))["spec"]["templates"][0]["dag"]["tasks"]}
    assert searching["tune-worker-1"]["continueOn"] == {"failed": True, "error": True}
    assert "continueOn" not in searching["tune"]
    assert not any("continueOn" in each for each in of_three["spec"]["templates"][0]["dag"]["tasks"])


@pytest.mark.parametrize("target", ["Airflow", "Vertex AI"])
def test_where_a_task_is_one_pod_several_workers_are_refused(target: str) -> None:
    ir, _ = documents(compile_pipeline(settings(workers=2), digest))
    with pytest.raises(InputError, match=f"task train: train.workers is 2, and a task of {target} is one pod; set it"):
        training_workers.refuse_several(ir, target)
    training_workers.refuse_several(documents(compile_pipeline(settings(), digest))[0], target)
    ir, _ = documents(compile_pipeline(tuned(workers=2), digest))
    with pytest.raises(InputError, match=f"task tune: tune.workers is 2, and a task of {target} is one pod; set it to"):
        training_workers.refuse_several(ir, target)


def test_a_pod_of_several_tasks_has_no_workers() -> None:
    given = settings(workers=2)
    given = given.model_copy(
        update={"cluster": given.cluster.model_copy(update={"fuse": [["train", "resolve", "evaluate"]]})}
    )
    with pytest.raises(InputError, match=r"train\.workers is 2, and cluster\.fuse puts it into the pod .* with others"):
        workflow(given)


# Runs a command, and kills it when a file is there, as a node that goes takes its pods along.
KILLED = """
import glob, subprocess, sys, time
pattern, *command = sys.argv[1:]
process = subprocess.Popen(command)
while process.poll() is None and not glob.glob(pattern):
    time.sleep(0.02)
process.kill()
sys.exit(process.wait() or 0)
"""


class OnLoopback(Subprocesses):
    """Runs the pods of a stage on this machine, by ports in place of names; the first worker is lost once."""

    def __init__(self, stage: str, pattern: str) -> None:
        """Takes the stage, and what is there in the pods when its worker is lost."""
        super().__init__()
        self._stage = stage
        self._pattern = pattern
        self._lost: list[str] = []
        with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
            self._ports = [one.getsockname()[1], other.getsockname()[1]]

    def __call__(self, container: dict[str, Any], labels: dict[str, str], folders: dict[str, Path]) -> Ended:
        for variable in container["env"]:
            if variable["name"] in ("TF_CONFIG", "MILLRACE_SEARCH"):
                variable["value"] = re.sub(
                    rf"taxi-{self._stage}-1-{self._stage}-(\d)\.millrace-workers\.millrace\.svc:\d+",
                    lambda name: f"127.0.0.1:{self._ports[int(name[1])]}",
                    variable["value"],
                )
        task = labels["millrace/task"]
        if task != f"{self._stage}-worker-1" or self._lost:
            return super().__call__(container, labels, folders)
        self._lost.append(task)
        container["command"] = ["python", "-c", KILLED, self._pattern, *container["command"]]
        ended = super().__call__(container, labels, folders)
        return Ended(ended.exit_code, ended.log, lost=True)


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With data; what comes before both stages is made once."""
    made = tmp_path_factory.mktemp("workers") / "volume"
    (made / "data" / "taxi").mkdir(parents=True)
    taxi_trips.write(made / "data" / "taxi" / "trips.csv", 2000, 1)
    return made


def run(volume: Path, given: Settings, stage: str, pattern: str) -> Execution:
    """Runs taxi up to a stage, with one worker beside it."""
    document = workflow(given)
    graph = document["spec"]["templates"][0]["dag"]
    wanted = ("ingest", "statistics", "schema", "validate", "transform", stage, f"{stage}-worker-1")
    graph["tasks"] = [each for each in graph["tasks"] if each["name"] in wanted]
    del document["spec"]["onExit"]
    pods = OnLoopback(stage, pattern)
    execution = Execution(document, f"taxi-{stage}-1", volume, pods, train_steps="600", eval_steps="5")
    phases = execution.run()
    logs = [execution.nodes[name].attempts[-1].log[-3000:] for name in wanted[-2:]]
    assert phases == dict.fromkeys(wanted, "Succeeded"), logs
    return execution


@pytest.mark.slow
def test_a_training_goes_on_when_a_worker_was_lost(volume: Path) -> None:
    kept = f"{for_settings(settings()).mount_path}/checkpoints"
    given = settings(workers=2, checkpoint_directory=kept)
    execution = run(volume, given, "train", f"{kept}/*/*.npz")
    chief, worker = (execution.nodes[name].attempts for name in ("train", "train-worker-1"))
    assert [each.exit_code for each in chief] == [75, 0]
    assert "error: worker 1 of 2 cannot be reached any more" in chief[0].log
    assert "going on from the checkpoint of step 120" in chief[1].log
    assert len(worker) == 2
    # The chief alone made the execution, and nothing is left of what the other wrote.
    (made,) = (volume / "artifacts" / "taxi" / "train").glob("[!.]*")
    assert json.loads((made / "execution.json").read_text())["outputs"]["model"]["metadata"]["workers"] == 2
    assert list((volume / "checkpoints").iterdir()) == []
    assert {file.name for file in (volume / "runs" / "taxi-train-1").glob("train*.log")} == {
        "train.log",
        "train-worker-1.log",
    }


@pytest.mark.slow
def test_a_search_goes_on_while_a_worker_is_lost_and_comes_again(volume: Path) -> None:
    kept = f"{for_settings(settings()).mount_path}/checkpoints"
    given = tuned(workers=2, checkpoint_directory=kept, train_steps=100, eval_steps=5, max_trials=8, max_minutes=0)
    # The worker is lost when it has ended a trial.
    execution = run(volume, given, "tune", f"{kept}/*/trials/*/worker1.json")
    chief, worker = (execution.nodes[name].attempts for name in ("tune", "tune-worker-1"))
    assert [each.exit_code for each in chief] == [0]
    assert len(worker) == 2
    (made,) = (volume / "artifacts" / "taxi" / "tune").glob("[!.]*")
    trials = json.loads((made / "trials" / "trials.json").read_text())["trials"]
    assert len(trials) == 8
    assert {row["worker"] for row in trials} == {0, 1}
    failed = [row for row in trials if row["state"] == "failed"]
    assert [row["message"] for row in failed] in ([], ["worker 1 cannot be reached any more"])
    assert list((volume / "checkpoints").iterdir()) == []
