"""Workflows whose pipeline root is a bucket, really executed: each pod has a folder of its own, nothing is shared.

(kfp needs real annotations here.)
"""

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kfp import compiler, dsl

from components.runtime.stage.artifacts import content_digest
from runners.argo import records_copy
from runners.argo.helpers import helper
from runners.argo.options import ArgoOptions, for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled.images import reference
from runners.history.records import load_run
from runners.settings.cluster import Bucket, Cluster, Volume
from runners.settings.model import load
from scripts.data import taxi_trips
from tests.bucket_server import BucketServer, Fault, way
from tests.buckets import SCHEMES, bucket_server
from tests.runners.argo.argo_executor import Ended, Execution, Subprocesses, on_host
from tests.runners.argo.test_argo_run import number, read
from tests.support import ROOT


@pytest.fixture(scope="module", params=SCHEMES)
def server(request: pytest.FixtureRequest) -> Iterator[BucketServer]:
    with bucket_server(request.param) as found:
        yield found


@pytest.fixture
def root(server: BucketServer) -> str:
    return f"{server.make(f'bucket-{uuid.uuid4().hex}')}/root"


@dsl.pipeline(name="p")
def graph(value: int = 3) -> None:
    first = number(value=value, words=["x"], note="a").set_display_name("first")
    second = number(value=first.outputs["out"], words=[], note="b").set_display_name("second")
    read(text=first.outputs["text"], expected='3 ["x"] a').set_display_name("third").after(second)


def workflow_of(folder: Path, bucket: str, **options: Any) -> dict[str, Any]:
    compiler.Compiler().compile(graph, str(folder / "p.yaml"))
    text = compile_workflow((folder / "p.yaml").read_text(), ArgoOptions(bucket=bucket, **options))
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def executed(
    workflow: dict[str, Any], scratch: Path, server: BucketServer, name: str = "p-1", run: Any = None, **parameters: str
) -> Execution:
    volume = scratch / "nowhere" / "volume"
    execution = Execution(workflow, name, volume, run or Subprocesses("client", **server.variables), **parameters)
    execution.run()
    assert not volume.exists(), "nothing is shared"
    return execution


def seen(server: BucketServer, bucket: str, folder: Path) -> Path:
    """The root as somebody sees it who brings its records."""
    folder.mkdir()
    command = [sys.executable, "-m", "components.runtime.launch.bucket_root", "--bucket", bucket]
    subprocess.run(
        [*command, "--root", str(folder), "--", "true"], check=True, cwd=ROOT, env=server.variables, capture_output=True
    )
    return folder


def test_pods_share_no_volume_and_get_the_secret(tmp_path: Path) -> None:
    workflow = workflow_of(tmp_path, "s3://b-1/root", bucket_secret="storage")
    spec = workflow["spec"]
    assert not {"volumes", "volumeClaimTemplates", "volumeClaimGC"} & spec.keys()
    pods = [each for each in spec["templates"] if "container" in each]
    assert len(pods) == 4
    for pod in pods:
        assert {"name": "millrace", "emptyDir": {}} in pod["volumes"]
        assert pod["container"]["envFrom"] == [{"secretRef": {"name": "storage"}}]
        arguments = pod["container"]["args"]
        assert arguments[:4] == ["--root", "/millrace", "--bucket", "s3://b-1/root"]
        assert "affinity" not in pod, "they may run on any node"
    made = helper(workflow, "read", ["python", "-c", "print(1)"])["spec"]["templates"][0]["container"]
    assert made["command"][:4] == ["python", "-m", "components.runtime.launch.bucket_root", "--bucket"]
    assert records_copy.claim(workflow) == "s3://b-1/root"


def test_the_settings_name_the_bucket(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    shutil.copytree(ROOT / "models" / "taxi", mine)
    settings = yaml.safe_load((mine / "settings.yaml").read_text())
    settings["cluster"] = {"bucket": {"uri": "s3://trips/root/", "secret": "storage"}}
    (mine / "settings.yaml").write_text(yaml.safe_dump(settings))
    options = for_settings(load(str(mine)))
    assert (options.bucket, options.bucket_secret) == ("s3://trips/root", "storage")
    assert options.parameters["serving_directory"] == "s3://trips/root/serving/mine"
    for wrong in ("s3://key:secret@trips/root", "/folder", "s3://trips/root?x=1", "hdfs://trips"):
        with pytest.raises(ValueError, match="expected s3://BUCKET/FOLDER"):
            Cluster.model_validate({"bucket": {"uri": wrong}})
    with pytest.raises(ValueError, match="leave out volume, or bucket"):
        Cluster.model_validate({"bucket": {"uri": "s3://trips"}, "volume": {"claim": "work"}})


@pytest.mark.slow
def test_a_run_and_the_next_one_from_the_cache(tmp_path: Path, server: BucketServer, root: str) -> None:
    workflow = workflow_of(tmp_path, root)
    first = executed(workflow, tmp_path, server)
    assert {node.phase for node in first.nodes.values()} == {"Succeeded"}, first.nodes
    assert first.closing.phase == "Succeeded", first.closing.attempts
    second = executed(workflow, tmp_path, server, "p-2")
    states = {name: node.outputs["millrace-state"] for name, node in second.nodes.items()}
    assert states == {"first": "cached", "second": "cached", "third": "cached"}
    assert "taken from the cache: the execution of run p-1" in second.nodes["second"].attempts[0].log
    here = seen(server, root, tmp_path / "seen")
    runs = [load_run(here, name) for name in ("p-1", "p-2")]
    assert [(each.state, each.target) for each in runs] == [("done", "argo")] * 2
    assert [{task.state for task in each.tasks} for each in runs] == [{"done"}, {"cached"}]
    assert "made 6\n" in (here / "runs" / "p-1" / "second.log").read_text()
    events = [json.loads(line) for line in (here / "lineage" / "p-2" / "second.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"]
    everything = b"".join(server.tree(root).values())
    assert not [secret for secret in server.secrets if secret.encode() in everything]
    assert not [name for name in server.names(root) if "/." in name]


@pytest.mark.slow
def test_a_pod_that_is_killed_while_it_sends_leaves_nothing_to_be_read(
    tmp_path: Path, server: BucketServer, root: str
) -> None:
    """Argo makes it again; the next attempt is not hindered by what the first one left."""
    run = Subprocesses("client", **server.variables)
    lost: list[str] = []

    def run_container(container: dict[str, Any], labels: dict[str, str], folders: dict[str, Path]) -> Ended:
        if labels["millrace/task"] != "second" or lost:
            return run(container, labels, folders)
        process: list[subprocess.Popen[bytes]] = []
        path = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
        fault = Fault(r"PUT \S+/artifacts/p/second/\S+/execution.json", call=lambda _: process[0].kill())
        with way(server, fault) as deadly:
            command = [on_host(each, folders) for each in (*container["command"], *container["args"])]
            process.append(subprocess.Popen([sys.executable, *command[1:]], cwd=ROOT, env=path | deadly.variables))
            process[0].wait(60)
        lost.extend(name for name in server.names(root) if "/second/" in name)
        return Ended(137, "", lost=True)

    execution = executed(workflow_of(tmp_path, root, retries=2), tmp_path, server, run=run_container)
    assert [each.lost for each in execution.nodes["second"].attempts] == [True, False]
    assert any("/text" in name for name in lost)
    assert not any(name.endswith("/execution.json") for name in lost)
    assert {node.phase for node in execution.nodes.values()} == {"Succeeded"}
    assert load_run(seen(server, root, tmp_path / "seen"), "p-1").state == "done"


@pytest.mark.slow
def test_a_task_that_fails_and_a_bucket_that_refuses(tmp_path: Path, server: BucketServer, root: str) -> None:
    execution = executed(workflow_of(tmp_path, root), tmp_path, server, value="4")
    assert execution.nodes["third"].phase == "Failed"
    run = load_run(seen(server, root, tmp_path / "seen"), "p-1")
    assert (run.state, run.tasks[-1].state) == ("failed", "failed")
    assert '4 ["x"] a' in run.error
    with server.refusing():
        refused = executed(workflow_of(tmp_path, root), tmp_path / "refused", server, "p-2")
    [ended] = refused.nodes["first"].attempts
    assert ended.exit_code == 65
    assert f"error: {root}: cannot be listed: refused: 403 Forbidden" in ended.log
    assert not [name for name in server.names(root) if "p-2" in name]


@pytest.mark.slow
@pytest.mark.parametrize("server", ["s3"], indirect=True)
def test_taxi_with_nothing_but_a_bucket(tmp_path: Path, server: BucketServer, root: str) -> None:
    """Data, artifacts, records and served models: all in the bucket."""
    settings = load("taxi")
    cluster = settings.cluster.model_copy(update={"volume": Volume(), "bucket": Bucket(uri=root)})
    settings = settings.model_copy(update={"cluster": cluster})
    taxi_trips.write(tmp_path / "trips.csv", 3000, 1)
    server.put(f"{root}/data/taxi/trips.csv", (tmp_path / "trips.csv").read_bytes())
    compiled = compile_pipeline(settings, lambda name, variant: reference(name, variant)[0])
    workflow = yaml.safe_load(compile_workflow(compiled, for_settings(settings)))
    run = Subprocesses(**server.variables)
    execution = executed(workflow, tmp_path, server, "taxi-1", run, train_steps="60", eval_steps="5")
    logs = {name: node.attempts[-1].log[-2000:] for name, node in execution.nodes.items() if node.phase == "Failed"}
    assert not logs
    here = seen(server, root, tmp_path / "seen")
    record = load_run(here, "taxi-1")
    assert record.state == "done"
    model = record.executions["train"].outputs["model"]
    brought = tmp_path / "model"
    for name, content in server.tree(f"{root}/{Path(model.uri).relative_to(here)}").items():
        (brought / name).parent.mkdir(parents=True, exist_ok=True)
        (brought / name).write_bytes(content)
    assert content_digest(brought) == model.metadata["digest"]
    assert "1/saved_model.pb" in server.names(f"{root}/serving/taxi")
