"""Fused tasks in one container: here with a stand-in for podman that runs the command of a container as a process."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import TransientError
from components.runtime.launch.fused import ENVIRONMENTS_VARIABLE
from runners.compiled.tasks import FusedPod
from runners.local.containers import Containers
from runners.local.fused_containers import FusedContainer, FusedTask
from scripts.data import taxi_trips
from tests.runners.local.container_runs import executions, record, task
from tests.support import MILLRACE, ROOT
from tests.support_images import built_image

GROUP = ["statistics", "schema", "validate"]
PODMAN = """#!{python}
import json, os, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as log:
    log.write(json.dumps(arguments) + "\\n")
if arguments[:2] == ["image", "inspect"]:
    print("null" if "json" in arguments[3] else "sha256:" + "0" * 64 + " 1")
elif arguments[0] == "run" and "--entrypoint" not in arguments:
    command = arguments[arguments.index("python") :]
    if {broken!r}:
        sys.exit("Error: {broken}")
    os.environ |= {{"PYTHONPATH": {root!r}, {variable!r}: {environments!r}}}
    os.chdir({root!r})
    os.execv({python!r}, [{python!r}, *command[1:]])
"""


def engine(folder: Path, broken: str = "") -> Path:
    """Makes the stand-in; returns where it notes how it was called."""
    file, log = folder / "bin" / "podman", folder / "calls"
    file.parent.mkdir()
    values: dict[str, Any] = {"log": str(log), "root": str(ROOT), "environments": str(ROOT / ".venv"), "broken": broken}
    file.write_text(PODMAN.format(python=sys.executable, variable=ENVIRONMENTS_VARIABLE, **values))
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return log


def calls(log: Path, of: str) -> list[list[str]]:
    """How it was called to run containers of an image."""
    found = [json.loads(line) for line in log.read_text().splitlines()]
    return [
        each for each in found if each[0] == "run" and "--entrypoint" not in each and any(of in word for word in each)
    ]


def fused_taxi(folder: Path, *groups: list[str]) -> Path:
    """The taxi model with groups of tasks."""
    model = folder / "taxi"
    shutil.copytree(ROOT / "models" / "taxi", model)
    settings = model / "settings.yaml"
    lines = settings.read_text().splitlines(keepends=True)
    place = next(number for number, line in enumerate(lines) if line.startswith("cluster:"))
    assert lines[place] == "cluster:\n"
    lines.insert(place + 1, f"  fuse: {json.dumps(groups)}\n")
    settings.write_text("".join(lines))
    return model


def run(model: Path, root: Path, data: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [MILLRACE, "--root", str(root), "run", str(model), "--data", str(data), *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
        env=os.environ | variables,
    )


@pytest.fixture(scope="module")
def trips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trips")
    taxi_trips.write(folder / "trips.csv", 1500, 1)
    # A stage in a container is another user than root.
    folder.chmod(0o755)
    return folder


@pytest.mark.slow
def test_one_container_runs_them_all(tmp_path: Path, trips: Path) -> None:
    log = engine(tmp_path)
    model = fused_taxi(tmp_path, GROUP)
    path = {"PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
    empty = {"MILLRACE_IMAGES_LOCK": str(tmp_path / "none.lock")}
    result = run(model, tmp_path / "root", trips, "--docker", "--until", "validate", **path, **empty)
    assert result.returncode == 0, result.stdout + result.stderr
    (call,) = calls(log, "millrace/fused")
    assert len(calls(log, "millrace/")) == 2, "ingest has a container of its own"
    assert call[call.index("--network") + 1] == "none"
    assert "--interactive" in call
    artifacts = tmp_path / "root" / "artifacts" / "taxi"
    assert any(f"target={artifacts}" in word and "readonly" not in word for word in call)
    assert {entry["name"]: entry["state"] for entry in record(tmp_path / "root")["tasks"][:4]} == dict.fromkeys(
        ["ingest", *GROUP], "done"
    )
    # Each is what it is without, and has been its own process.
    plain = run(model, tmp_path / "plain", trips, "--until", "validate")
    assert plain.returncode == 0, plain.stderr
    here, there = executions(tmp_path / "plain"), executions(tmp_path / "root")
    for name in GROUP:
        for output, artifact in here[name]["outputs"].items():
            assert there[name]["outputs"][output]["metadata"]["digest"] == artifact["metadata"]["digest"], (
                name,
                output,
            )
        assert there[name]["image"] == "millrace/fused"
        assert there[name]["peak_memory_bytes"] > 10_000_000
    again = run(model, tmp_path / "root", trips, "--docker", "--until", "validate", **path, **empty)
    assert again.returncode == 0
    assert len(calls(log, "millrace/fused")) == 1, "what is cached needs none"


@pytest.fixture
def containers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Containers:
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return Containers("podman")


POD = FusedPod("a-to-b", "exec", {"image": "millrace/fused"}, {"schema": {"name": "data", "preload": []}})


def fused(containers: Containers, folder: Path) -> tuple[FusedContainer, list[str], Path]:
    """A container, the command of a task in it, and its log."""
    (folder / "artifacts" / "work").mkdir(parents=True)
    (folder / "logs").mkdir()
    container = FusedContainer(containers, POD, [task("schema")], folder / "artifacts", folder / "logs")
    given = {"outputs": {"outputFile": str(folder / "artifacts" / "work" / "result.json")}}
    return container, ["python", "-m", "components.schema", "--executor-input", json.dumps(given)], folder / "log"


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    return engine(tmp_path, broken="no space left on device")


def test_a_container_that_ends_says_why(broken: Path, tmp_path: Path, containers: Containers) -> None:
    container, command, log = fused(containers, tmp_path)
    with pytest.raises(TransientError, match=r"podman lost the container of a-to-b: no space left on device"):
        FusedTask(container, task("schema")).run(command, log, lambda note: None)
    container.close()


@pytest.fixture
def working(tmp_path: Path) -> Path:
    return engine(tmp_path)


def test_a_stage_that_fails_leaves_the_container_to_others(
    working: Path, tmp_path: Path, containers: Containers
) -> None:
    container, command, log = fused(containers, tmp_path)
    for _ in range(2):
        completed = FusedTask(container, task("schema")).run(command, log, lambda note: None)
        assert completed.exit_code == 65
    assert log.read_text().count("error: ") == 2
    containers.close()
    container.close()
    assert FusedTask(container, task("schema")).run(command, log, lambda note: None).exit_code == 137
    assert len(calls(working, "millrace/fused")) == 1


@pytest.mark.containers
@pytest.mark.slow
def test_a_whole_run_in_one_container_of_the_image(tmp_path: Path, trips: Path) -> None:
    built_image("ingest")
    built_image("fused")
    group = ["statistics", "schema", "validate", "transform", "transformed-statistics", "train", "resolve", "evaluate"]
    model = fused_taxi(tmp_path, [*group, "push"])
    steps = ("--param", "train_steps=60", "--param", "eval_steps=5")
    result = run(model, tmp_path / "root", trips, "--docker", *steps)
    assert result.returncode == 0, result.stdout + result.stderr
    plain = run(model, tmp_path / "plain", trips, *steps)
    assert plain.returncode == 0, plain.stderr
    here, there = executions(tmp_path / "plain"), executions(tmp_path / "root")
    assert here.keys() == there.keys()
    for name, output in (("validate", "anomalies"), ("transform", "transformed_examples")):
        digests = [made[name]["outputs"][output]["metadata"]["digest"] for made in (here, there)]
        assert digests[0] == digests[1], name
    aucs = [made["evaluate"]["outputs"]["metrics"]["metadata"]["auc"] for made in (here, there)]
    assert aucs[0] == pytest.approx(aucs[1], abs=0.02)
    # All is the person's again.
    assert {path.stat().st_uid for path in (tmp_path / "root").rglob("*")} == {os.geteuid()}
