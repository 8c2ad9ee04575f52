"""Several workers on Kubeflow Pipelines: what the task's pod asks Kubeflow Trainer for, and what comes of it."""

from __future__ import annotations

import copy
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.launch.fingerprints import attempt_key
from components.runtime.module_file import workers
from components.runtime.stage import kubernetes
from components.runtime.stage.artifacts import InputArtifact
from components.train import handing_over, kubeflow_workers, train_job, worker_pod
from tests.components.train import test_workers as local
from tests.components.train import training_support as support
from tests.components.train.trainer_stand_in import NAMESPACE, POD, RUNTIME, Trainer, own_pod
from tests.runners.loopback import serving
from tests.support import ROOT, changed, executor_input

# The stage as the program of the task's pod; only where the API is differs, and that hosts are ports of this machine.
CHIEF = """
import sys
from pathlib import Path
from components.runtime.stage import executor, kubernetes, pod
from components.train import train_job
account, kubernetes._INSIDE, ports, what = sys.argv[1:5]
kubernetes.Kubernetes.__init__.__defaults__ = ("", Path(account))
train_job.addresses = lambda name, own, count: [f"127.0.0.1:{port}" for port in ports.split(",")]
pod.WAITS = (0.1,)
if what == "train":
    executor.run_stage("components.train.train:train", ["--executor-input", sys.argv[5]])
import time
from components.train import handing_over, kubeflow_workers
with kubeflow_workers.beside(2, handing_over.Inputs({}, {})):
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def account(tmp_path: Path) -> Path:
    folder = tmp_path / "account"
    folder.mkdir()
    (folder / "token").write_text("token")
    (folder / "namespace").write_text(NAMESPACE)
    return folder


@pytest.fixture
def trainer(tmp_path: Path) -> Iterator[Trainer]:
    for name in ("volume", "pods"):
        (tmp_path / name).mkdir()
    made = Trainer(tmp_path / "pods", own_pod(tmp_path / "volume"))
    yield made
    for job in made.jobs.values():
        job.end()


@pytest.fixture
def here(trainer: Trainer, account: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Has this process be in the task's pod."""
    with serving(trainer.answer) as url:
        monkeypatch.setattr(kubernetes, "_INSIDE", url)
        monkeypatch.setattr(kubernetes.Kubernetes.__init__, "__defaults__", ("", account))
        monkeypatch.setenv("KFP_POD_NAME", POD)
        yield


def free_ports(count: int) -> str:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = ",".join(str(each.getsockname()[1]) for each in sockets)
    for each in sockets:
        each.close()
    return ports


# --- what is asked for


def test_the_pods_of_a_train_job_have_what_the_tasks_own_has() -> None:
    own = own_pod()
    main = own["spec"]["containers"][1]
    made = train_job.train_job("millrace-1-ab", own, 3, Path("/millrace/workers/1"))
    trainer = made["spec"]["trainer"]
    assert (trainer["image"], trainer["resourcesPerNode"]) == (main["image"], main["resources"])
    assert trainer["numNodes"] == 2
    assert [each["name"] for each in trainer["env"]] == ["AWS_REGION", "HF_TOKEN"]
    assert [*trainer["command"], *trainer["args"]] == ["python", "-m", worker_pod.__name__, "/millrace/workers/1"]
    shipped = yaml.safe_load(RUNTIME.read_text())
    before = copy.deepcopy(shipped)
    runtime = train_job.runtime(shipped, "millrace-1-ab", own)
    assert shipped == before
    assert made["spec"]["runtimeRef"]["kind"] == runtime["kind"] == shipped["kind"]
    assert made["spec"]["runtimeRef"]["name"] == runtime["metadata"]["name"]
    assert runtime["apiVersion"] == made["apiVersion"] == shipped["apiVersion"]
    for each in (made, runtime):
        [owner] = each["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["uid"]) == ("Pod", own["metadata"]["uid"]), "it goes with the task's pod"
    [job] = runtime["spec"]["template"]["spec"]["replicatedJobs"]
    assert job["name"] == train_job.JOB
    assert job["template"]["spec"]["backoffLimit"] == 0
    pod = job["template"]["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["volumes"]] == ["millrace-scratch", "secret-keys", "millrace"]
    [container] = pod["containers"]
    assert [each["mountPath"] for each in container["volumeMounts"]] == ["/tmp", "/keys", "/millrace"]
    assert {name: pod[name] for name in ("nodeSelector", "tolerations", "serviceAccountName")} == {
        name: own["spec"][name] for name in ("nodeSelector", "tolerations", "serviceAccountName")
    }


def test_the_runtime_that_we_ship_is_the_one_that_is_looked_for() -> None:
    shipped = yaml.safe_load(RUNTIME.read_text())
    assert shipped["metadata"]["name"] == train_job.RUNTIME
    [job] = shipped["spec"]["template"]["spec"]["replicatedJobs"]
    labels = job["template"]["spec"]["template"]["metadata"]["labels"]
    policy = yaml.safe_load((RUNTIME.parent / "network-policy.yaml").read_text())["spec"]
    assert policy["podSelector"]["matchLabels"].items() <= labels.items()
    assert [each["port"] for each in policy["ingress"][0]["ports"]] == [train_job.PORT]


def test_attempts_at_a_task_have_one_key_and_other_tasks_another() -> None:
    keys = [train_job.key(own_pod(attempt=attempt)) for attempt in (0, 1)]
    assert keys[0] == keys[1]
    annotations = ["metadata", "annotations", "workflows.argoproj.io/node-name"]
    assert train_job.key(changed(own_pod(), annotations, "taxi-grgfp.root.train-2.executor(0)")) != keys[0]


def test_a_worker_knows_who_it_is_by_its_index_and_what_to_train_on_by_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pod" / "examples" / "Split-train").mkdir(parents=True)
    (tmp_path / "pod" / "examples" / "Split-train" / "data").write_bytes(b"rows")
    examples = InputArtifact("examples", str(tmp_path / "pod" / "examples"), {"digest": "sha256:1"})
    nothing = InputArtifact("base_model", str(tmp_path / "pod" / "none"), {})
    addresses = train_job.addresses("millrace-1-ab", own_pod(), 3)
    assert addresses == [
        "127.0.0.1:2222",
        "millrace-1-ab-node-0-0.millrace-1-ab.kubeflow.svc:2222",
        "millrace-1-ab-node-0-1.millrace-1-ab.kubeflow.svc:2222",
    ]
    folder = tmp_path / "volume" / "workers" / "1"
    inputs = handing_over.Inputs(
        {"examples": examples, "base_model": nothing, "hyperparameters": None}, {"train_steps": 7}
    )
    folder.mkdir(parents=True)
    (folder / "left").touch()
    handing_over.put(inputs, folder, addresses)
    assert not (folder / "left").exists(), "what an attempt before left is gone"
    calls: list[Any] = []
    monkeypatch.setattr(worker_pod, "run_stage", lambda *given: calls.append(given))
    monkeypatch.setenv(worker_pod.INDEX_VARIABLE, "1")
    monkeypatch.setenv(workers.VARIABLE, "")
    worker_pod.main([str(folder)])
    assert json.loads(os.environ[workers.VARIABLE]) == {
        "cluster": {"worker": addresses},
        "task": {"type": "worker", "index": 2},
    }
    [(_, [_, file])] = calls
    given = json.loads(Path(file.removeprefix("@")).read_text())
    assert given["inputs"]["parameterValues"] == {"train_steps": 7}
    artifacts = given["inputs"]["artifacts"]
    assert artifacts.keys() == {"examples", "base_model"}
    keys = [
        attempt_key({name: InputArtifact(name, uri, metadata) for name, uri, metadata in of}, {}, [])
        for of in (
            [(each.name, each.uri, each.metadata) for each in (examples, nothing)],
            [(name, each["artifacts"][0]["uri"], each["artifacts"][0]["metadata"]) for name, each in artifacts.items()],
        )
    ]
    assert keys[0] == keys[1], "it finds the chief's checkpoint"
    [found] = artifacts["examples"]["artifacts"]
    assert found["metadata"] == {"digest": "sha256:1"}
    assert (Path(found["uri"]) / "Split-train" / "data").read_bytes() == b"rows"
    assert Path(found["uri"]).is_relative_to(folder)
    [model] = given["outputs"]["artifacts"]["model"]["artifacts"]
    assert not Path(model["uri"]).is_relative_to(folder), "what a worker writes is its own"


def test_a_worker_without_the_folder_says_what_kind_of_volume_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="65"):
        worker_pod.main([str(tmp_path / "none")])
    assert (
        "the workers' nodes have to see too: with several nodes a claim with ReadWriteMany" in capsys.readouterr().err
    )


def test_the_address_of_a_chief_may_be_ipv6(monkeypatch: pytest.MonkeyPatch) -> None:
    own = changed(own_pod(), ["status", "podIP"], "fd00::1")
    addresses = train_job.addresses("millrace-1-ab", own, 2)
    assert addresses[0] == "[fd00::1]:2222"
    monkeypatch.setenv(workers.VARIABLE, workers.configuration(addresses, 1))
    assert workers.chief() == ("fd00::1", 2222)


# --- what is missing


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"installed": False},
            "this cluster has no Kubeflow Trainer .*; have it installed .*, or set train.workers to 1",
        ),
        (
            {"runtimes": {}},
            "kubeflow has no TrainingRuntime millrace-workers; make it: kubectl apply -k manifests/tr",
        ),
        ({"forbids": ("GET", "trainjobs")}, r"trainjobs is forbidden: .* \(403\); manifests/trainer has the role"),
        ({"forbids": ("GET", "pods")}, r"pods is forbidden: .* \(403\); manifests/trainer has the role"),
        (
            {"forbids": ("POST", "trainingruntimes")},
            r"trainingruntimes is forbidden: .* \(403\); manifests/trainer has",
        ),
        ({"forbids": ("POST", "trainjobs")}, r"trainjobs is forbidden: .* \(403\); manifests/trainer has the role"),
    ],
)
def test_what_is_missing_is_told_in_one_line(trainer: Trainer, change: dict[str, Any], said: str) -> None:
    for name, value in change.items():
        setattr(trainer, name, value)
    before = [signal.getsignal(signal.SIGTERM), os.environ.get(workers.VARIABLE)]
    with (
        pytest.raises(InputError, match=said),
        kubeflow_workers.beside(2, handing_over.Inputs({}, {})),
    ):
        pass
    assert [signal.getsignal(signal.SIGTERM), os.environ.get(workers.VARIABLE)] == before
    assert trainer.jobs == {}
    assert trainer.runtimes.keys() <= {train_job.RUNTIME}
    assert not list((trainer.folder.parent / "volume").glob("workers/*/*"))


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("why", ["none", "promised", "read-only"])
def test_a_pod_without_a_volume_to_write_to_is_told_what_to_set(trainer: Trainer, why: str) -> None:
    path = trainer.own["spec"]["containers"][1]["volumeMounts"][2]
    if why == "none":
        trainer.own["spec"]["volumes"][2] = {"name": "millrace", "emptyDir": {}}
    elif why == "promised":
        trainer.own["metadata"]["annotations"]["millrace/read-only-mounts"] = path["mountPath"]
    else:
        path["readOnly"] = True
    with pytest.raises(InputError, match=r"name one, cluster\.volume\.claim or resources\.train\.mounts"):
        kubeflow_workers.Workers(2)


@pytest.mark.usefixtures("here")
def test_a_pod_whose_account_has_no_token_is_told(account: Path) -> None:
    (account / "token").unlink()
    with pytest.raises(InputError, match=r"for its workers, and this is no pod with a service account; run it there$"):
        kubeflow_workers.Workers(2)


# --- what becomes of it


def pod(index: int = 0, phase: str = "Failed", **state: Any) -> dict[str, Any]:
    labels = {"batch.kubernetes.io/job-completion-index": str(index)}
    status = {"phase": phase, "containerStatuses": [{"state": state}]} if state else {"phase": phase}
    return {"metadata": {"labels": labels}, "status": status}


def ended(code: int, message: str = "", reason: str = "Error") -> dict[str, Any]:
    return {"exitCode": code, "message": message, "reason": reason}


JOB = {"metadata": {"name": "millrace-1-ab"}}
FAILED = JOB | {"status": {"conditions": [{"type": "Failed", "status": "True", "message": "jobset\nfailed"}]}}


@pytest.mark.parametrize(
    ("job", "pods", "kind", "said"),
    [
        (
            FAILED,
            [
                pod(0, terminated=ended(75, "error: worker 2 cannot be reached")),
                pod(1, terminated=ended(65, "progress: x\nerror: no label\n")),
            ],
            InputError,
            "worker 2 of 3: no label",
        ),
        (JOB, [pod(0, terminated=ended(75, "error: disk full"))], TransientError, "worker 1 of 3: disk full"),
        (JOB, [pod(0, terminated=ended(1, "Traceback"))], StageError, "worker 1 of 3: exit code 1, without a word"),
        (
            JOB,
            [pod(0, terminated=ended(137, reason="OOMKilled"))],
            TransientError,
            "worker 1 of 3 took more memory than its pod has; give train more, or try again",
        ),
        (JOB, [pod(0, terminated=ended(143))], TransientError, "worker 1 of 3 was ended by SIGTERM; they train togeth"),
        (JOB, [pod(0, terminated=ended(255))], TransientError, "1 of 3 ended with the code 255, and nothing is known"),
        (JOB, [{"metadata": {}, "status": {"phase": "Failed", "reason": "Evicted"}}], TransientError, r"\(Evicted\)"),
        (FAILED, [], TransientError, r"a worker of 3 is gone with its pod, .* lost \(jobset failed\); they train"),
    ],
)
def test_why_a_worker_ended_is_one_line_with_its_code(
    job: dict[str, Any], pods: list[dict[str, Any]], kind: type[StageError], said: str
) -> None:
    found = train_job.fault(job, pods, 3)
    assert type(found) is kind
    with pytest.raises(kind, match=said):
        raise found


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("status", [408, 429, 503])
def test_a_cluster_that_is_busy_for_a_while_ends_no_training(trainer: Trainer, status: int) -> None:
    trainer.idle = True
    with kubeflow_workers.beside(2, handing_over.Inputs({}, {})) as others:
        trainer.forbids, trainer.status = ("GET", "trainjobs"), status
        assert others.fault(0.0) is None
        trainer.forbids = ("", "")
        assert others.fault(0.0) is None


@pytest.mark.usefixtures("here")
def test_what_can_be_removed_is_removed_though_something_else_cannot(
    trainer: Trainer, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer.idle = True
    with kubeflow_workers.beside(2, handing_over.Inputs({}, {})):
        trainer.forbids, trainer.status = ("DELETE", "trainjobs"), 503
    assert "what the other workers had could not be removed: Kubernetes, DELETE" in capsys.readouterr().out
    assert trainer.runtimes.keys() == {train_job.RUNTIME}
    assert not list((trainer.folder.parent / "volume").glob("workers/*/*"))


def test_workers_that_train_or_have_ended_well_are_no_fault() -> None:
    pods = [pod(0, "Running", running={}), pod(1, "Succeeded", terminated=ended(0))]
    assert train_job.fault(JOB, pods, 3) is None
    assert train_job.waiting(JOB, pods, 3) == ""


@pytest.mark.parametrize(
    ("job", "pods", "said"),
    [
        (JOB, [], "2 of 2 workers: Kubeflow Trainer has made no pods of them yet"),
        (
            JOB | {"status": {"conditions": [{"type": "Suspended", "status": "True"}]}},
            [],
            "2 of 2 workers: the TrainJob millrace-1-ab is suspended",
        ),
        (
            JOB,
            [
                pod(0, "Running", running={}),
                pod(1, "Pending", waiting={"reason": "ImagePullBackOff", "message": "no\nx"}),
            ],
            "1 of 2 workers: ImagePullBackOff: no x",
        ),
        (JOB, [pod(0, "Pending", waiting={"reason": "ContainerCreating"})], "2 of 2 workers: their pods start"),
        (
            JOB,
            [
                {
                    "metadata": {},
                    "status": {
                        "phase": "Pending",
                        "conditions": [
                            {"type": "PodScheduled", "status": "False", "message": "0/1 nodes: Insufficient cpu."}
                        ],
                    },
                }
            ],
            "2 of 2 workers: 0/1 nodes: Insufficient cpu.",
        ),
    ],
)
def test_what_it_waits_for_is_told(job: dict[str, Any], pods: list[dict[str, Any]], said: str) -> None:
    assert train_job.waiting(job, pods, 3) == said


def chief(trainer: Trainer, url: str, account: Path, *what: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", CHIEF, str(account), url, free_ports(2), *what],
        cwd=ROOT,
        env=os.environ | {"KFP_POD_NAME": POD, "TMPDIR": str(trainer.folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_ends_the_task_removes_its_workers_and_what_a_killed_one_left_is_removed_by_the_next(
    trainer: Trainer, account: Path
) -> None:
    trainer.idle = True
    place = trainer.folder.parent / "volume" / "workers" / NAMESPACE
    for name, age in (("old", 2), ("new", 0)):
        (place / name).mkdir(parents=True)
        os.utime(place / name, (time.time() - age * 86400,) * 2)
    with serving(trainer.answer) as url:
        for end in (signal.SIGKILL, signal.SIGTERM):
            process = chief(trainer, url, account, "wait")
            assert process.stdout is not None
            while process.stdout.readline() != "begun\n":
                assert process.poll() is None, process.communicate()[1]
            assert len(trainer.jobs) == 1, "one TrainJob at a time"
            process.send_signal(end)
            _, err = process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert err == "error: ended from outside (SIGTERM), and its workers with it\n"
    assert trainer.jobs == {}
    assert trainer.runtimes.keys() == {train_job.RUNTIME}
    assert len(trainer.ended) == 2
    assert [each.name for each in place.iterdir()] == ["new"], (
        "what was killed long ago is gone, what may be used is not"
    )


# --- for real


def call(folder: Path, module: Path, steps: int, **execution: Any) -> dict[str, Any]:
    config = {"batch_size": local.BATCH, "epochs": local.EPOCHS, "early_stopping": 5, "execution": execution}
    prepared = support.taxi()
    given = support.train_call(folder, prepared, module, train_steps=steps, eval_steps=4, custom_config=config)
    return executor_input(
        folder, parameters=given["inputs"]["parameterValues"], inputs=prepared.inputs(), outputs=support.OUTPUTS
    )


@pytest.mark.slow
def test_two_workers_train_what_two_train_here_and_go_on_where_one_was_lost(
    trainer: Trainer, account: Path, tmp_path: Path
) -> None:
    here = local.trained(tmp_path / "here", support.TAXI_MODULE, local.BATCH, workers=2)
    # (TensorFlow would live on.)
    module = local.losing(tmp_path, "os.kill(os.getpid(), signal.SIGTERM)")
    folder = tmp_path / "out"
    given = call(folder, module, local.STEPS, workers=2, checkpoint_directory=str(tmp_path / "volume" / "kept"))
    begun = time.monotonic()
    with serving(trainer.answer) as url:
        process = chief(trainer, url, account, "train", json.dumps(given))
        out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out[-3000:] + err[-3000:]
    assert time.monotonic() - begun < 120
    assert "attempt 1 of 2 met a passing fault, tried again in 0.1 s: worker 1 of 2 was ended by SIGTERM; " in out
    assert f"going on from the checkpoint of step {local.STEPS // local.EPOCHS}" in out
    assert f"[{local.STEPS}/{local.STEPS} steps" in out, "the progress is the stage's own"
    assert len(trainer.ended) == 2
    assert trainer.jobs == {}
    assert {each.name for each in (tmp_path / "volume").rglob("*")} == {"kept", "workers", NAMESPACE}, "all is gone"
    done = json.loads((folder / "executor_output.json").read_text())["artifacts"]
    metadata = {name: each["artifacts"][0]["metadata"] for name, each in done.items()}
    assert metadata["model"]["workers"] == 2
    values = {name: value for name, value in metadata["metrics"].items() if name.startswith(("train_", "eval_"))}
    assert values == pytest.approx(local.curves(here), rel=1e-4)
    ours, its = support.weights(folder), support.weights(tmp_path / "here")
    assert ours.keys() == its.keys()
    for name, array in its.items():
        assert ours[name] == pytest.approx(array, abs=2e-4), name


@pytest.mark.slow
def test_a_worker_that_finds_the_input_at_fault_ends_the_task_with_its_line(
    trainer: Trainer, account: Path, tmp_path: Path
) -> None:
    module = local.losing(tmp_path, "raise ValueError('only here')")
    given = call(tmp_path / "out", module, local.STEPS, workers=2)
    with serving(trainer.answer) as url:
        process = chief(trainer, url, account, "train", json.dumps(given))
        _, err = process.communicate(timeout=240)
    assert process.returncode == 65, err[-3000:]
    last = [line for line in err.splitlines() if line.startswith("error: ")][-1]
    assert last.startswith("error: worker 1 of 2: ")
    assert "only here" in last
    assert trainer.jobs == {}
    assert not (tmp_path / "out" / "model").exists()
