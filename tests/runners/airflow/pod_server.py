"""A Kubernetes API on loopback that runs the containers of its pods here: as much of it as Airflow's operator asks for.

A container runs as a process in the environment that its image is built from, with folders of this machine in place of
its volumes. What it leaves as its message is the pod's.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from tests.runners.argo.argo_executor import Ended, RunContainer
from tests.runners.loopback import Refused, Request, serving

NAMESPACE = "ml"
# The kubelet gives every container such a file; here the launcher is told of another one.
_WITH_MESSAGE = (
    "import pathlib, runpy, sys; from components.runtime.stage import pod; "
    "pod.TERMINATION_LOG = pathlib.Path(sys.argv[1]); module = sys.argv[2]; sys.argv[1:3] = []; "
    "runpy.run_module(module, run_name='__main__', alter_sys=True)"
)


@dataclass
class Pods:
    """The state of the server.

    Attributes:
      volume: the folder that stands for the claim.
      run_container: how a container runs.
      before: is called with each pod before it runs; what it returns is how the pod ended, if it shall not run.
      made: all pods that there were, with what became of them.
    """

    volume: Path
    run_container: RunContainer
    before: Callable[[dict[str, Any]], Ended | None] = lambda pod: None
    made: list[dict[str, Any]] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    present: dict[str, dict[str, Any]] = field(default_factory=dict)

    def answer(self, request: Request) -> tuple[Any, ...]:
        parts = request.path.strip("/").split("/")
        try:
            if request.path == f"/api/v1/namespaces/{NAMESPACE}/events":
                return 200, {"kind": "EventList", "apiVersion": "v1", "metadata": {}, "items": []}
            assert parts[:4] == ["api", "v1", "namespaces", NAMESPACE], request.path
            assert parts[4] == "pods", request.path
            return 200, self._pods(request, *parts[5:])
        except Refused as refused:
            return refused.status, {"kind": "Status", "message": refused.message, "code": refused.status}

    def _pods(self, request: Request, name: str = "", part: str = "") -> Any:
        if request.method == "POST":
            return self._create(json.loads(request.body))
        if not name:
            return {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": self._selected(request.query)}
        if name not in self.present:
            raise Refused(404, f'pods "{name}" not found')
        pod = self.present[name]
        if part == "log":
            while pod["status"]["phase"] in ("Pending", "Running"):
                time.sleep(0.02)
            stamp = f"{_now()} " if request.query.get("timestamps") == "True" else ""
            return "".join(f"{stamp}{line}\n" for line in self.logs[name].splitlines()).encode()
        if request.method == "DELETE":
            del self.present[name]
        elif request.method == "PATCH":
            pod["metadata"]["labels"] |= json.loads(request.body)["metadata"]["labels"]
        return pod

    def _selected(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        found = list(self.present.values())
        for term in filter(None, query.get("labelSelector", "").split(",")):
            key, operator, value = term.partition("!=") if "!=" in term else term.partition("=")
            labels = [pod["metadata"]["labels"] for pod in found]
            if not operator:
                assert key.startswith("!"), term
                keep = [key.removeprefix("!") not in each for each in labels]
            else:
                keep = [(each.get(key) == value) == (operator == "=") for each in labels]
            found = [pod for pod, kept in zip(found, keep, strict=True) if kept]
        return found

    def _create(self, pod: dict[str, Any]) -> dict[str, Any]:
        name = pod["metadata"]["name"]
        if name in self.present:
            raise Refused(409, f'pods "{name}" already exists')
        pod["metadata"] |= {"namespace": NAMESPACE, "uid": name, "creationTimestamp": _now()}
        pod["status"] = {"phase": "Running", "containerStatuses": [_status({"running": {"startedAt": _now()}})]}
        self.present[name] = pod
        self.made.append(pod)
        threading.Thread(target=self._run, args=(pod,), daemon=True).start()
        return pod

    def _run(self, pod: dict[str, Any]) -> None:
        name, [container] = pod["metadata"]["name"], pod["spec"]["containers"]
        folders = self._folders(pod)
        message = folders["/tmp"] / "termination-log"
        message.touch()
        python, flag, module = container["command"]
        assert (python, flag) == ("python", "-m")
        ended = self.before(pod) or self.run_container(
            container | {"command": ["python", "-c", _WITH_MESSAGE, "/tmp/termination-log", module]},
            pod["metadata"]["labels"],
            folders,
        )
        self.logs[name] = ended.log
        assert container["terminationMessagePolicy"] == "FallbackToLogsOnError"
        said = message.read_text() or (ended.log[-2048:] if ended.exit_code else "")
        if ended.lost:
            self.present.pop(name, None)
            pod["status"] = {"phase": "Failed"}
            return
        end = {"exitCode": ended.exit_code, "message": said, "reason": "Error" if ended.exit_code else "Completed"}
        pod["status"] = {
            "phase": "Failed" if ended.exit_code else "Succeeded",
            "containerStatuses": [_status({"terminated": end | {"startedAt": _now(), "finishedAt": _now()}})],
        }

    def _folders(self, pod: dict[str, Any]) -> dict[str, Path]:
        """Folders by mount path: one for the claim, a new one for each emptyDir."""
        volumes = {each["name"]: each for each in pod["spec"]["volumes"]}
        folders = {}
        for mount in pod["spec"]["containers"][0]["volumeMounts"]:
            volume = volumes[mount["name"]]
            if "persistentVolumeClaim" in volume:
                folders[mount["mountPath"]] = self.volume
            else:
                assert "emptyDir" in volume, volume
                folder = self.volume.parent / "pods" / pod["metadata"]["name"] / mount["name"]
                folder.mkdir(parents=True)
                folders[mount["mountPath"]] = folder
        return folders


def _status(state: dict[str, Any]) -> dict[str, Any]:
    return {"name": "base", "image": "", "imageID": "", "ready": False, "restartCount": 0, "state": state}


def _now() -> str:
    return datetime.now(UTC).isoformat()


@contextmanager
def cluster(pods: Pods, kubeconfig: Path) -> Iterator[None]:
    """Serves the API while the context lasts, and writes the file by which a client finds it."""
    with serving(pods.answer, "text/plain") as url:
        context = {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": NAMESPACE}}
        kubeconfig.write_text(
            yaml.safe_dump(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "test",
                    "contexts": [context],
                    "clusters": [{"name": "test", "cluster": {"server": url}}],
                    "users": [{"name": "test", "user": {"token": "none"}}],
                }
            )
        )
        yield
