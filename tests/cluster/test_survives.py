"""What a cluster does to a run: the result is that of a run which nothing disturbed, and the records say what happened.

Opt-in (real_cluster.py): each test runs the whole taxi pipeline on a real cluster, one after the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import yaml

from tests import same_artifacts
from tests.cluster.real_cluster import NAMESPACE, STAGES, VOLUME, RealCluster, Run, metrics, small_volume, wait_until
from tests.support import ROOT

_AWAY = 60
_SMALL_MEGABYTES = 60
_LOST = (
    "its pod was lost: deleted, drained or preempted",
    "its pod had to go (SIGTERM): it was deleted, or its node shut down",
)


def check(run: Run, undisturbed: Run) -> None:
    """Holds an ended run to the undisturbed one."""
    assert (run.record["state"], run.record["error"]) == ("done", "")
    assert run.states == dict.fromkeys(STAGES, "done")
    assert run.metrics == undisturbed.metrics
    assert run.versions() == ["1"]
    page = run.page()
    assert "Blessed, and pushed as version 1" in page
    for why in run.failed_attempts.values():
        assert f"{len(why) + 1} attempts, before: {why[0]}" in page


def test_the_namespace_lets_only_restricted_pods_in(cluster: RealCluster) -> None:
    namespace = yaml.safe_load(cluster.kubectl("get", "namespace", NAMESPACE, "--output", "yaml"))
    assert namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"


def test_a_run_that_nothing_disturbs_has_the_artifacts_and_metrics_of_a_local_one(
    cluster: RealCluster, undisturbed: Run, trips: Path, tmp_path: Path
) -> None:
    check(undisturbed, undisturbed)
    assert undisturbed.failed_attempts == {}
    cluster.millrace("--root", tmp_path / "root", "run", "taxi", "--data", trips)
    [local] = (tmp_path / "root" / "runs").glob("taxi-*/run.json")
    found = metrics(tmp_path / "root", json.loads(local.read_text()))
    assert undisturbed.metrics == found
    made = same_artifacts.made(undisturbed.root, undisturbed.name)
    artifacts = list(same_artifacts.compared(made, same_artifacts.made(tmp_path / "root", local.parent.name)))
    assert [artifact for artifact, is_same, must in artifacts if must and not is_same] == []
    assert {artifact for artifact, _, must in artifacts if must} >= {
        *("ingest/examples", "ingest/sample", "statistics/statistics", "statistics/report", "schema/schema"),
        *("validate/anomalies", "transform/transformed_examples"),
    }
    assert {"auc", "precision", "recall"} <= set(found)
    shown = cluster.argo("show", undisturbed.name)
    positions = [shown.index(f"\n{stage} ") for stage in ("ingest", "statistics", "transform", "train", "push")]
    assert positions == sorted(positions), shown
    assert "done" in shown


def test_the_pod_of_each_stage_is_deleted_in_its_work(cluster: RealCluster, undisturbed: Run, data: str) -> None:
    run = cluster.submit(cluster.compiled("lost"), data)
    for stage in STAGES:
        cluster.kubectl("delete", "pod", run.working(stage), "--wait=false", check=False)
    said = run.wait()
    check(run, undisturbed)
    [workflow] = cluster.objects("workflows", "--field-selector", f"metadata.name={run.name}")
    pods = [node for node in workflow["status"]["nodes"].values() if node["type"] == "Pod"]
    lost = {node["displayName"].partition("(")[0] for node in pods if node["phase"] in ("Error", "Failed")}
    # The others may have ended before they could be deleted.
    assert lost >= {"transform", "train", "evaluate"}, lost
    assert set(run.failed_attempts) == lost
    assert {why for each in run.failed_attempts.values() for why in each} <= set(_LOST)
    shown = cluster.argo("show", run.name)
    assert {line.split()[0] for line in shown.splitlines() if "attempts" in line} == lost
    assert "retryStrategy" not in said + shown


def test_fused_tasks_lose_their_pod_and_go_on_where_they_were(
    cluster: RealCluster, undisturbed: Run, data: str
) -> None:
    """Their image, `make images STAGE=fused`, has to be in the registry."""
    fuse = "fuse: [[statistics, schema, validate], [train, resolve, evaluate, push]]"
    run = cluster.submit(cluster.compiled("fused", f"volume: {{claim: millrace}}, {fuse}"), data)

    def at(stage: str) -> str:
        """The pod of the second group, when that stage works in it."""

        def found() -> str:
            for pod in run.pods("train-to-push"):
                name = str(pod["metadata"]["name"])
                said = cluster.kubectl("logs", name, "--container", "main", check=False).decode()
                if said.partition(f"progress: task {stage}\n")[2]:
                    return name
            return ""

        return str(wait_until(found, f"{stage} of {run.name} works"))

    lost = at("evaluate")
    cluster.kubectl("delete", "pod", lost, "--wait=false")
    said = run.wait()
    check(run, undisturbed)
    assert "statistics-to-validate" in said
    # Trained once: the second pod took the model of the first from the cache.
    begun = {
        stage: (run.root / "runs" / run.name / f"{stage}.log").read_text().count("progress: started\n")
        for stage in ("train", "evaluate")
    }
    assert begun == {"train": 1, "evaluate": 2}
    assert set(run.failed_attempts) == {"train"}
    again = cluster.submit(cluster.folder / f"fused-{cluster.token}.argo.yaml", data)
    again.wait()
    assert [name for name, state in again.states.items() if state != "cached"] == ["resolve", "push"]


def test_the_kubelet_is_killed_and_started(cluster: RealCluster, undisturbed: Run, data: str) -> None:
    run = cluster.submit(cluster.compiled("kubelet"), data)
    run.working("transform")
    with cluster.disturbed("kubelet"):
        time.sleep(20)
    run.wait()
    check(run, undisturbed)


def test_argos_controller_is_killed_and_started(cluster: RealCluster, undisturbed: Run, data: str) -> None:
    run = cluster.submit(cluster.compiled("controller"), data)
    run.working("statistics")
    cluster.kubectl(
        "--namespace", "argo", "delete", "pod", "--selector", "app=workflow-controller", "--grace-period=0", "--force"
    )
    run.wait()
    check(run, undisturbed)


def test_the_api_server_is_away_for_a_minute(cluster: RealCluster, undisturbed: Run, data: str) -> None:
    run = cluster.submit(cluster.compiled("away"), data)
    run.working("transform")
    with run.followed() as follower:
        # Its first question must have had an answer: a command that finds no cluster ends.
        wait_until(lambda: "▶ transform" in follower.said, "the command follows the run", 60)
        with cluster.disturbed("apiserver"):
            time.sleep(_AWAY)
        assert follower.ended() == 0, follower.said
        said = follower.said
    # Once for the minute; a server that has just come up may be away for a moment again.
    assert 1 <= said.count("(asked again for 10 min)") <= 3, said
    check(run, undisturbed)


def test_two_runs_at_once_on_one_volume(cluster: RealCluster, undisturbed: Run, data: str) -> None:
    workflow = cluster.compiled("twice")
    first, second = cluster.submit(workflow, data), cluster.submit(workflow, data)
    for run in (first, second):
        run.wait()
    for run in (first, second):
        assert run.record["state"] == "done", run.record["error"]
        assert set(run.states.values()) <= {"done", "cached"}
        assert run.metrics == undisturbed.metrics
        assert "pushed as version 1" in run.page()
    assert first.versions() == ["1"]


def test_a_full_volume_is_told_and_the_run_goes_on_when_there_is_room(
    cluster: RealCluster, undisturbed: Run, trips: Path
) -> None:
    with small_volume(cluster, "millrace-small", _SMALL_MEGABYTES) as shell:
        for file in trips.glob("*.csv"):
            cluster.put(file, f"{VOLUME}/data/{file.name}", pod=shell)
        cluster.module(shell)
        workflow = cluster.compiled("full", "volume: {claim: millrace-small}")
        cluster.shell(f"head -c {_SMALL_MEGABYTES}m /dev/zero >{VOLUME}/filler", pod=shell, check=False)
        run = cluster.submit(workflow, f"{VOLUME}/data", shell=shell)

        def failed() -> bool:
            return any(pod["status"]["phase"] == "Failed" for pod in run.pods("ingest"))

        wait_until(failed, "ingest meets the full volume", seconds=180)
        cluster.shell(f"rm {VOLUME}/filler", pod=shell)
        run.wait()
        assert "No space left on device" in str(run.pods("ingest")), "the pod says why it failed"
        check(run, undisturbed)
        assert list(run.failed_attempts) == ["ingest"]
        assert "No space left on device" in run.failed_attempts["ingest"][0]


def test_a_run_has_its_deadline(cluster: RealCluster, data: str) -> None:
    run = cluster.submit(cluster.compiled("late", "volume: {claim: millrace}, deadline: 15s"), data)
    said = run.wait(code=1)
    assert "deadline" in said.lower()
    assert run.record["state"] == "failed"
    assert "deadline" in run.record["error"].lower()
    assert run.versions() == []
    assert "deadline" in run.page().lower()


def test_what_fails_says_why_at_once(cluster: RealCluster) -> None:
    run = cluster.submit(cluster.compiled("nodata"), f"{VOLUME}/data/absent")
    said = run.wait(code=1)
    why = f"{VOLUME}/data/absent: no such folder or file: put the raw data there, or set data to where it is"
    assert "✘ ingest  " in said
    assert why in said
    assert "retryStrategy" not in said
    assert why in cluster.argo("list")
    assert why in run.record["error"]
    assert run.states == {stage: "failed" if stage == "ingest" else "skipped" for stage in STAGES}
    assert why in run.page()
    assert run.versions() == []
    [ingest] = run.pods("ingest")
    message = next(
        each["state"]["terminated"]["message"]
        for each in ingest["status"]["containerStatuses"]
        if each["name"] == "main"
    )
    assert message.strip() == f"error: {why}", "Argo's own page shows this line and not a log"


def test_a_pod_that_cannot_start_waits_and_says_why(cluster: RealCluster, data: str) -> None:
    workflow = cluster.compiled("nopull")
    document = yaml.safe_load(workflow.read_text())
    for template in document["spec"]["templates"]:
        if template["name"] == "ingest":
            template["container"]["image"] = "localhost:5001/millrace/absent:1"
    workflow.write_text(yaml.safe_dump(document))
    run = cluster.submit(workflow, data)
    try:

        def told() -> str:
            [line] = [line for line in cluster.argo("show", run.name).splitlines() if line.startswith("ingest ")]
            return line if "ImagePull" in line else ""

        line = wait_until(told, "the pull fails", 30, every=1)
        assert line.split()[1] == "waiting"
        assert "localhost:5001/millrace/absent:1" in line
        [listed] = [line for line in cluster.argo("list").splitlines() if line.startswith(f"{run.name} ")]
        assert listed.split()[1] == "waiting"
    finally:
        cluster.argo("stop", run.name, "--now")
    assert "stopped" in run.wait(code=1)


def test_a_schedule_begins_runs_which_the_cache_answers(cluster: RealCluster, undisturbed: Run, data: str) -> None:
    file = cluster.folder / "minutely.yaml"
    workflow = cluster.folder / f"{undisturbed.pipeline}.argo.yaml"
    name = f"minutely-{cluster.token}"
    parameters = {"data": data, "serving_directory": f"{VOLUME}/serving/{undisturbed.pipeline}"}
    schedule = {"name": name, "pipeline": str(workflow), "cron": "0 * * * * *", "concurrency": 1}
    file.write_text(yaml.safe_dump(schedule | {"parameters": parameters}))
    assert f"{name}: created" in cluster.argo("schedule", file)
    try:
        assert f"{name}: unchanged" in cluster.argo("schedule", file)

        def runs() -> list[str]:
            return [n for each in cluster.objects("workflows") if (n := each["metadata"]["name"]).startswith(name)]

        begun = wait_until(runs, "the schedule begins a run", 130)
        [row] = [line for line in cluster.argo("schedules").splitlines() if line.startswith(f"{name} ")]
        assert "enabled" in row
        # Deleted while its run is under way, which goes on.
        cluster.argo("unschedule", name, "--yes")
    finally:
        cluster.kubectl("delete", "cronworkflow", name, "--ignore-not-found", "--cascade=orphan")
    run = Run(cluster, undisturbed.pipeline, begun[0])
    run.wait()
    record = yaml.safe_load(cluster.shell(f"cat {VOLUME}/runs/{run.name}/run.json"))
    assert record["state"] == "done", record["error"]
    states = {task["name"]: task["state"] for task in record["tasks"]}
    assert {states.pop(task) for task in ("resolve", "push")} == {"done"}
    assert set(states.values()) == {"cached"}
    assert undisturbed.versions() == ["1"]


def test_two_runs_are_compared(cluster: RealCluster, undisturbed: Run, data: str) -> None:
    workflow = cluster.folder / f"{undisturbed.pipeline}.argo.yaml"
    other = cluster.submit(workflow, data, train_steps="300")
    other.wait()
    said = cluster.millrace("--root", other.root, "compare", undisturbed.name, other.name)
    told = [line.removeprefix("*").split() for line in said.splitlines()]
    assert ["train_steps", "500", "300"] in told
    assert [line[0] for line in told if line][-1] == "page:"
    assert any(line[:1] == ["auc"] and len(line) == 4 for line in told), said
    # What does not hang on the number of steps is not made again.
    assert {stage for stage, state in other.states.items() if state == "done"} == {
        *("train", "resolve", "evaluate", "push")
    }
    shown = cluster.millrace("--root", other.root, "lineage", f"{other.name}/train/model")
    assert f"transform in {undisturbed.name}, reused by" in shown
    assert f"push in {other.name}" in shown


def test_a_run_goes_on_while_the_next_images_are_pushed(
    cluster: RealCluster, undisturbed: Run, data: str, tmp_path: Path
) -> None:
    images = json.loads((ROOT / "images" / "images.lock").read_text())
    registry = images["push"]["image"].removesuffix("/push")
    subprocess.run(["git", "clone", "--quiet", ROOT, tmp_path / "next"], check=True)
    with (tmp_path / "next" / "components" / "push" / "push.py").open("a") as code:
        code.write(f"# The next version: {cluster.token}.\n")
    run = cluster.submit(cluster.compiled("pushed"), data)
    pushed = subprocess.run(
        [sys.executable, "-m", "scripts.images.build_images", "push", "--registry", registry, "--push"],
        cwd=tmp_path / "next",
        capture_output=True,
        text=True,
        check=False,
        env=cluster.environment,
    )
    assert pushed.returncode == 0, pushed.stderr
    changed = json.loads((tmp_path / "next" / "images" / "images.lock").read_text())["push"]
    assert changed["digest"] != images["push"]["digest"]
    run.wait()
    check(run, undisturbed)
    [pod] = run.pods("push")
    assert any(images["push"]["digest"] in each["image"] for each in pod["spec"]["containers"])
