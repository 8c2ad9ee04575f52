"""A cluster as the stage asks it: the API of Kubernetes on loopback, and two servers behind it that count."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.runtime.publish import labels, serving
from tests.runners.loopback import Refused, Request
from tests.runners.loopback import serving as loopback

ROUTE = "/apis/gateway.networking.k8s.io/v1/namespaces/millrace/httproutes/taxi"
SERVICE = "/apis/serving.kserve.io/v1beta1/namespaces/millrace/inferenceservices/taxi"
_POD = re.compile(r"/api/v1/namespaces/millrace/pods/http:([\w-]+):\d+/proxy(/.*)")
_BOUNDS = (1_000, 10_000, 100_000, 1_000_000)


@dataclass
class Server:
    """A server of one side.

    Attributes:
      share: of the requests that come in it gets so many percent.
      errors: so many of a hundred requests fail.
      slow_us: what each request takes, in microseconds.
      add: to every answer.
      refuses: whether it refuses to predict.
      version: that it answers with; what the folder says where none is set.
    """

    share: int = 0
    errors: int = 0
    slow_us: int = 5_000
    add: float = 0.0
    refuses: bool = False
    version: int | None = None
    ok: int = 0
    failed: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * (len(_BOUNDS) + 1))

    def work(self, requests: int) -> None:
        """Requests come in."""
        mine = requests * self.share // 100
        failed = mine * self.errors // 100
        self.ok, self.failed = self.ok + mine - failed, self.failed + failed
        place = next((place for place, bound in enumerate(_BOUNDS) if self.slow_us <= bound), len(_BOUNDS))
        self.buckets[place] += mine

    def metrics(self, version: int) -> bytes:
        """As the servers write them."""
        name = 'model_name="taxi"'
        lines = [
            "# TYPE :tensorflow:serving:request_count gauge",
            f':tensorflow:serving:request_count{{{name},status="OK",entrypoint="REST"}} {self.ok}.0',
            f':tensorflow:serving:request_count{{{name},status="INTERNAL",entrypoint="REST"}} {self.failed}.0',
            f':tensorflow:serving:request_count{{{name},status="INVALID_ARGUMENT",entrypoint="REST"}} 7777.0',
            f"millrace_version_in_service{{{name}}} {version}.0",
        ]
        total = 0
        for bound, count in zip([*map(str, _BOUNDS), "+Inf"], self.buckets, strict=True):
            total += count
            le = f'{name},API="Predict",entrypoint="REST",le="{bound}"'
            lines.append(f":tensorflow:serving:request_latency_bucket{{{le}}} {total}.0")
        return "\n".join(lines).encode()


@dataclass
class Cluster:
    """What the API has.

    Attributes:
      root: the serving directory, which both servers read.
      sides: `serving`, which has the version with the label, and `serving-canary`, which has the newest.
      shares: weights of both, or percentages, as they were set one after the other.
      requests: that come in between two looks.
      refusal: a status that changes are refused with.
      looked: is called at each look at the counters.
      config: of TensorFlow Serving.
    """

    root: Path
    sides: dict[str, Server] = field(default_factory=lambda: {"serving": Server(100), "serving-canary": Server()})
    shares: list[Any] = field(default_factory=list)
    requests: int = 200
    refusal: int = 0
    looked: Callable[[], None] = lambda: None
    backends: tuple[str, ...] = ("serving", "serving-canary")
    predictor: dict[str, Any] = field(default_factory=lambda: {"model": {"storageUri": "pvc://v/taxi/1"}})
    config: str = ""
    _lock: Any = field(default_factory=threading.RLock)

    def version(self, side: str) -> int:
        """That a server answers with."""
        there = [number for number, _ in serving.numbered(self.root)]
        newest = self.sides[side].version or max(there, default=0)
        return labels.read(self.root).get("stable", newest) if side == "serving" else newest

    def answer(self, request: Request) -> tuple[Any, ...]:
        """Answers the API."""
        with self._lock:
            try:
                return 200, self._answer(request)
            except Refused as refused:
                name = "error" if request.path.endswith(":predict") else "message"
                return refused.status, {name: refused.message}

    def _answer(self, request: Request) -> Any:
        if found := _POD.fullmatch(request.path):
            return self._pod(found[1].removeprefix("pod-"), found[2], request)
        if request.method == "PATCH" and self.refusal:
            raise Refused(self.refusal, "httproutes is forbidden: not you")
        if request.path == ROUTE:
            return self._route(request)
        if request.path == SERVICE:
            return self._inference_service(request)
        if request.path == "/api/v1/namespaces/millrace/configmaps/serving-config":
            if request.method == "PATCH":
                self.config = json.loads(request.body)["data"]["models.config"]
            return {"data": {"models.config": self.config}}
        if request.path.endswith("/endpointslices"):
            name = request.query["labelSelector"].partition("=")[2]
            target = {"kind": "Pod", "name": f"pod-{name}"}
            endpoints = [{"targetRef": target, "conditions": {"ready": True}}]
            return {"items": [{"ports": [{"name": "rest", "port": 8501}], "endpoints": endpoints}]}
        if request.path == "/api/v1/namespaces/millrace/pods":
            name = {"new": "serving-canary", "old": "serving"}[request.query["labelSelector"].partition("=")[2]]
            ready = {"conditions": [{"type": "Ready", "status": "True"}]}
            return {"items": [{"metadata": {"name": f"pod-{name}"}, "status": ready}]}
        raise Refused(404, "not found")

    def _route(self, request: Request) -> Any:
        if request.method == "PATCH":
            changes = [each for each in json.loads(request.body) if each["op"] == "add"]
            for each in changes:
                found = re.fullmatch(r"/spec/rules/0/backendRefs/(\d)/weight", each["path"])
                assert found
                self.sides[self.backends[int(found[1])]].share = each["value"]
            self.shares.append(tuple(each["value"] for each in changes))
        backends = [{"name": name, "port": 8501} for name in self.backends]
        return {"metadata": {"name": "taxi"}, "spec": {"rules": [{"backendRefs": backends}]}}

    def _inference_service(self, request: Request) -> Any:
        if request.method == "PATCH":
            changes = json.loads(request.body)["spec"]["predictor"]
            self.shares.append(changes)
            percent = changes.get("canaryTrafficPercent")
            self.sides["serving"].share = 100 - (percent or 0)
            self.sides["serving-canary"].share = percent or 0
        revisions = {"latestCreatedRevision": "new", "latestRolledoutRevision": "old"}
        return {"spec": {"predictor": self.predictor}, "status": {"components": {"predictor": revisions}}}

    def _pod(self, side: str, path: str, request: Request) -> Any:
        server = self.sides[side]
        if path == "/monitoring/prometheus/metrics":
            self.looked()
            server.work(self.requests)
            return server.metrics(self.version(side))
        if path == "/v1/models/taxi":
            return {"model_version_status": [{"version": str(self.version(side)), "state": "AVAILABLE", "status": {}}]}
        if path.endswith("/metadata"):
            inputs = {"x": {"dtype": "DT_FLOAT", "tensor_shape": {"dim": [{"size": "-1"}]}}}
            return {"metadata": {"signature_def": {"signature_def": {"serving_default": {"inputs": inputs}}}}}
        assert path == "/v1/models/taxi:predict"
        if server.refuses:
            raise Refused(400, "x: not mine")
        return {"predictions": [[each["x"] + server.add] for each in json.loads(request.body)["instances"]]}


@contextmanager
def running(cluster: Cluster) -> Iterator[str]:
    """Runs the API while the context lasts, and gives its address."""
    with loopback(cluster.answer) as address:
        yield address
