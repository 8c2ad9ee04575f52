"""A real cluster with Argo and what docs/deploy.md puts into it, named by one variable; and what can be done to it.

`MILLRACE_CLUSTER` is a command, as `tests/cluster/kind.sh NAME`, that answers `kubeconfig` with a file, and does to the
node what Kubernetes cannot: `kubelet stop|start`, `apiserver stop|start`, `disk make FOLDER MB`, `disk remove FOLDER`.
"""

from __future__ import annotations

import functools
import html
import io
import json
import os
import secrets
import shlex
import subprocess
import tarfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import pytest
import yaml

from tests.support import ROOT

VARIABLE = "MILLRACE_CLUSTER"
NAMESPACE = "millrace"
VOLUME = "/millrace"
SHELL = "storage-access"
STAGES = (
    *("ingest", "statistics", "schema", "validate", "transform", "transformed-statistics"),
    *("train", "resolve", "evaluate", "push"),
)
_LONGEST_RUN = 1500


def wait_until(true: Callable[[], Any], what: str, seconds: float = _LONGEST_RUN, every: float = 0.2) -> Any:
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := true():
            return answer
        time.sleep(every)
    raise AssertionError(f"still not after {seconds} s: {what}")


@dataclass
class RealCluster:
    """The cluster, and a name under which one session's models, data and runs lie in it."""

    driver: list[str]
    folder: Path
    token: str = field(default_factory=lambda: secrets.token_hex(3))

    @classmethod
    def named(cls, folder: Path) -> RealCluster:
        """The one of the variable; skips the test where there is none."""
        if not (named := os.environ.get(VARIABLE)):
            pytest.skip(f"{VARIABLE} names no cluster: docs/deploy.md")
        return cls([*shlex.split(named)], folder)

    def node(self, *what: str) -> str:
        """Asks the command of the variable for something."""
        done = subprocess.run([*self.driver, *what], capture_output=True, text=True, check=False, cwd=ROOT)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    @functools.cached_property
    def environment(self) -> dict[str, str]:
        """Of kubectl and of our commands; the digests of the images are those that `make images --push` noted."""
        kept = {name: value for name, value in os.environ.items() if name != "MILLRACE_IMAGES_LOCK"}
        return kept | {"KUBECONFIG": self.node("kubeconfig")}

    def kubectl(self, *arguments: str, given: bytes = b"", check: bool = True) -> bytes:
        """What kubectl prints."""
        done = subprocess.run(
            ["kubectl", "--namespace", NAMESPACE, *arguments],
            input=given,
            capture_output=True,
            check=False,
            env=self.environment,
        )
        assert not check or done.returncode == 0, done.stderr.decode()
        return done.stdout

    def objects(self, *arguments: str) -> list[dict[str, Any]]:
        """Objects as Kubernetes has them; none while the API server is away."""
        answer = self.kubectl("get", *arguments, "--output", "json", check=False)
        found: list[dict[str, Any]] = json.loads(answer)["items"] if answer else []
        return found

    def shell(self, script: str, *, pod: str = SHELL, check: bool = True) -> str:
        """Runs a script in a pod that has the volume."""
        return self.kubectl("exec", pod, "--", "sh", "-c", script, check=check).decode()

    def put(self, file: Path, place: str, *, pod: str = SHELL) -> None:
        """Copies a file onto the volume."""
        self.shell(f"mkdir -p '{Path(place).parent}'", pod=pod)
        self.kubectl("cp", str(file), f"{pod}:{place}")
        assert self.shell(f"wc -c <'{place}'", pod=pod).strip() == str(file.stat().st_size)

    def millrace(self, *arguments: str | Path, code: int | None = 0) -> str:
        """What `./millrace` prints, on both streams."""
        done = subprocess.run(
            [str(ROOT / "millrace"), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            env=self.environment,
            cwd=self.folder,
        )
        assert code is None or done.returncode == code, done.stdout
        return done.stdout

    def argo(self, *arguments: str | Path, code: int | None = 0) -> str:
        """What `./millrace argo` prints."""
        return self.millrace("argo", "--namespace", NAMESPACE, *arguments, code=code)

    def start(self, *arguments: str, said: TextIO) -> subprocess.Popen[str]:
        """Starts `./millrace argo`, which prints into a file."""
        command = [str(ROOT / "millrace"), "argo", "--namespace", NAMESPACE, *arguments]
        return subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, text=True, env=self.environment, cwd=self.folder
        )

    def compiled(self, name: str, cluster: str = "volume: {claim: millrace}") -> Path:
        """A Workflow of the taxi model under a name of this session, so that its cache is its own."""
        folder = self.folder / f"{name}-{self.token}"
        folder.mkdir(exist_ok=True)
        settings = (ROOT / "models" / "taxi" / "settings.yaml").read_text().partition("\ncluster:")[0]
        cluster = f"cluster: {{{cluster}, service_account: millrace-workflow}}"
        (folder / "settings.yaml").write_text(f"{settings}\n{cluster}\n")
        for file in (ROOT / "models" / "taxi").iterdir():
            if file.is_file() and file.name != "settings.yaml":
                (folder / file.name).write_bytes(file.read_bytes())
        self.millrace("compile", folder, "--module", self.module(), "--output", self.folder)
        return self.folder / f"{folder.name}.argo.yaml"

    def module(self, pod: str = SHELL) -> str:
        """The model's code on the volume, where it is put."""
        place = f"{VOLUME}/models/{self.token}"
        for file in (ROOT / "models" / "taxi").iterdir():
            if file.is_file():
                self.put(file, f"{place}/{file.name}", pod=pod)
        return place

    def submit(self, workflow: Path, data: str, *, shell: str = SHELL, **parameters: str) -> Run:
        """Submits a Workflow that serves under its own name; `shell` is a pod that has its volume."""
        name = workflow.name.removesuffix(".argo.yaml")
        given = {"data": data, "serving_directory": f"{VOLUME}/serving/{name}"} | parameters
        options = [word for pair in given.items() for word in ("--param", "=".join(pair))]
        said = self.argo("submit", workflow, *options)
        return Run(self, name, said.split()[1], shell)

    def clean(self) -> None:
        """Takes away what this session has made."""
        names = [str(each["metadata"]["name"]) for each in self.objects("workflows")]
        if own := [name for name in names if f"-{self.token}-" in name]:
            self.kubectl("delete", "workflows", *own)
        of_runs = " ".join(f"{folder}/*-{self.token}-*" for folder in ("runs", "lineage"))
        of_pipelines = " ".join(f"{folder}/*-{self.token}" for folder in ("artifacts", "serving"))
        self.shell(f"cd {VOLUME} && rm -rf {of_runs} {of_pipelines} data/{self.token} models/{self.token}")

    @contextmanager
    def disturbed(self, what: str) -> Iterator[None]:
        """Stops a part of the node, and starts it again whatever happens."""
        self.node(what, "stop")
        try:
            yield
        finally:
            self.node(what, "start")


@contextmanager
def small_volume(cluster: RealCluster, name: str, megabytes: int) -> Iterator[str]:
    """A volume of a few megabytes with a claim of that name; yields a pod that has a shell on it."""
    disk = f"/var/lib/{name}"
    cluster.node("disk", "make", disk, str(megabytes))
    volume, claim, pod = (
        next(yaml.safe_load_all((ROOT / "manifests" / file).read_text()))
        for file in ("storage/static/volume.yaml", "storage/claim.yaml", "storage-access/pod.yaml")
    )
    volume["metadata"]["name"] = claim["metadata"]["name"] = volume["spec"]["claimRef"]["name"] = name
    volume["spec"]["hostPath"]["path"] = disk
    claim["spec"] |= {"storageClassName": volume["spec"]["storageClassName"], "volumeName": name}
    pod["metadata"]["name"] = shell = f"{name}-access"
    [there] = cluster.objects("pods", "--field-selector", f"metadata.name={SHELL}")
    pod["spec"]["containers"][0]["image"] = there["spec"]["containers"][0]["image"]
    pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"] = name
    try:
        cluster.kubectl("apply", "--filename", "-", given=yaml.safe_dump_all([volume, claim, pod]).encode())
        cluster.kubectl("wait", "--for", "condition=Ready", f"pod/{shell}", "--timeout", "2m")
        yield shell
    finally:
        # A claim goes when no pod has it any more.
        holding = [each["metadata"]["name"] for each in cluster.objects("pods") if name in str(each["spec"])]
        cluster.kubectl("delete", "pod", *holding, "--ignore-not-found", "--grace-period=0", "--force")
        cluster.kubectl("delete", "pvc", name, "--ignore-not-found")
        cluster.kubectl("delete", "pv", name, "--ignore-not-found")
        cluster.node("disk", "remove", disk)


@dataclass(frozen=True)
class Follower:
    """A command that follows a run."""

    process: subprocess.Popen[str]
    file: Path

    @property
    def said(self) -> str:
        """What it has printed, on both streams."""
        return self.file.read_text()

    def ended(self) -> int:
        """Waits for its end; returns the exit code."""
        return self.process.wait(_LONGEST_RUN)


@dataclass
class Run:
    """A submitted Workflow."""

    cluster: RealCluster
    pipeline: str
    name: str
    shell: str = SHELL

    def pods(self, task: str = "") -> list[dict[str, Any]]:
        """Its pods, or those of a task."""
        selector = f"workflows.argoproj.io/workflow={self.name}" + (f",millrace/task={task}" if task else "")
        return self.cluster.objects("pods", "--selector", selector)

    def working(self, task: str) -> str:
        """Waits for a task to be in its work, or over; returns the name of its pod.

        A pod counts as running before its program can be told to end.
        """

        def found() -> str:
            for pod in self.pods(task):
                name = str(pod["metadata"]["name"])
                if pod["status"]["phase"] in ("Succeeded", "Failed"):
                    return name
                if "progress: " in self.cluster.kubectl("logs", name, "--container", "main", check=False).decode():
                    return name
            return ""

        return str(wait_until(found, f"{task} of {self.name} works"))

    def wait(self, code: int = 0) -> str:
        """Follows it to its end with our own command."""
        return self.cluster.argo("wait", self.name, "--interval", "1", "--limit", str(_LONGEST_RUN), code=code)

    @contextmanager
    def followed(self) -> Iterator[Follower]:
        """Follows it with our own command while other things are done."""
        file = self.cluster.folder / f"followed-{self.name}"
        with file.open("w") as said:
            process = self.cluster.start("wait", self.name, "--interval", "1", said=said)
        try:
            yield Follower(process, file)
        finally:
            process.kill()
            process.wait()

    @functools.cached_property
    def root(self) -> Path:
        """A copy of what belongs to its pipeline in the pipeline root of its volume, made when first asked for.

        A run that failed early may have no artifacts.
        """
        folder = self.cluster.folder / f"root-{self.name}"
        own = f"runs/{self.pipeline}-* artifacts/{self.pipeline} lineage/{self.pipeline}-*"
        script = f"cd {VOLUME} && tar c $(ls -d {own} 2>/dev/null)"
        packed = self.cluster.kubectl("exec", self.shell, "--", "sh", "-c", script)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
        return folder

    @functools.cached_property
    def record(self) -> dict[str, Any]:
        """Its run.json."""
        record: dict[str, Any] = json.loads((self.root / "runs" / self.name / "run.json").read_text())
        return record

    @property
    def states(self) -> dict[str, str]:
        """The states of its tasks, as its record has them."""
        return {task["name"]: task["state"] for task in self.record["tasks"]}

    @property
    def failed_attempts(self) -> dict[str, list[str]]:
        """Why attempts of its tasks did not go well, as its record has it; the other tasks are not in it."""
        return {task["name"]: found for task in self.record["tasks"] if (found := task["failed_attempts"])}

    @property
    def metrics(self) -> dict[str, Any]:
        """Those of its evaluation, but for those that measure time."""
        return metrics(self.root, self.record)

    def page(self) -> str:
        """What its report reads as, which our own command writes."""
        assert "report.html" in self.cluster.millrace("--root", self.root, "report", self.name)
        return html.unescape((self.root / "runs" / self.name / "report.html").read_text())

    def versions(self) -> list[str]:
        """What lies in its serving directory; nothing where there is none."""
        return self.cluster.shell(f"ls {VOLUME}/serving/{self.pipeline} || true", pod=self.shell).split()


def metrics(root: Path, record: dict[str, Any]) -> dict[str, Any]:
    """The metrics of the evaluation in a run's record, but for those that measure time."""
    [evaluate] = [task for task in record["tasks"] if task["name"] == "evaluate"]
    execution = json.loads((root / evaluate["execution"] / "execution.json").read_text())
    found = execution["outputs"]["metrics"]["metadata"]
    return {name: value for name, value in found.items() if isinstance(value, float) and "second" not in name}
