"""Vertex AI's model and endpoint services on loopback, with operations that take their time."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from google.protobuf import json_format

from tests.components.push_vertex.storage_server import Refused, Storage
from tests.runners.loopback import Request, serving
from tests.runners.vertex.vertex_server import TOKEN

PARENT = "projects/my-project/locations/europe-west4"
_ALIAS = re.compile(r"[a-z][a-zA-Z0-9-]{0,126}[a-z0-9]")


def _known(kind: str, content: dict[str, Any]) -> dict[str, Any]:
    """What the service does not know it refuses."""
    # The import takes seconds, and would for every process that collects the tests.
    from google.cloud.aiplatform_v1 import types

    try:
        json_format.ParseDict(content, getattr(types, kind)()._pb)
    except json_format.ParseError as error:
        raise Refused(400, str(error)) from None
    return content


@dataclass
class VertexModels:
    """What the services know, and how they are to behave.

    Attributes:
      refusals: status, message and how often, by a part of "METHOD path".
      looks: how often an operation is asked for before it has ended.
      stuck: kinds of operations that do not end.
      unlisted: whether what was made is not in any list yet.
      failures: google.rpc code and message of operations by their kind.
      after: called with the kind of an operation when it has been begun, before the answer goes out.
    """

    storage: Storage = field(default_factory=Storage)
    refusals: dict[str, tuple[int, str, int]] = field(default_factory=dict)
    looks: int = 0
    stuck: set[str] = field(default_factory=set)
    unlisted: bool = False
    failures: dict[str, tuple[int, str]] = field(default_factory=dict)
    after: Callable[[str], None] = lambda kind: None
    models: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    endpoints: dict[str, dict[str, Any]] = field(default_factory=dict)
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    begun: list[str] = field(default_factory=list)
    url: str = ""
    _count: int = 0
    _lock: threading.RLock = field(default_factory=threading.RLock)

    def versions(self, model: str = "taxi") -> list[dict[str, Any]]:
        return self.models.get(f"{PARENT}/models/{model}", [])

    def answer(self, request: Request) -> tuple[Any, ...]:
        with self._lock:
            path = unquote(request.path).removeprefix("/v1/")
            if path == f"{PARENT}/models:upload":
                reply = self.upload(json.loads(request.body))
            elif found := re.fullmatch(rf"({PARENT}/models/[^/:]+):listVersions", path):
                reply = self.list_versions(found[1], request.query.get("filter", ""))
            elif found := re.fullmatch(rf"({PARENT}/models/[^/:]+)@(\w+):mergeVersionAliases", path):
                reply = self.merge_aliases(found[1], found[2], json.loads(request.body)["versionAliases"])
            elif found := re.fullmatch(rf"({PARENT}/models/[^/:]+)", path):
                if found[1] not in self.models:
                    raise Refused(404, f"The Model does not exist: {found[1]}")
                reply = self.models[found[1]][-1]
            elif path == f"{PARENT}/endpoints" and request.method == "POST":
                reply = self.create_endpoint(json.loads(request.body), request.query["endpointId"])
            elif path == f"{PARENT}/endpoints":
                name = json.loads(request.query["filter"].removeprefix("display_name="))
                reply = {"endpoints": [each for each in self.endpoints.values() if each["displayName"] == name]}
                if self.unlisted:
                    reply = {"endpoints": []}
            elif found := re.fullmatch(rf"({PARENT}/endpoints/[^/:]+)(?::(\w+))?", path):
                reply = self.endpoint(request, found[1], found[2] or "")
            elif found := re.fullmatch(rf"({PARENT}/operations/\d+)", path):
                reply = self.look(found[1])
            else:
                raise Refused(404, f"{request.method} {request.path}")
        if request.method == "POST" and "operations/" in reply.get("name", ""):
            self.after(self.operations[reply["name"]]["kind"])
        return 200, reply

    def upload(self, request: dict[str, Any]) -> dict[str, Any]:
        model = _known("Model", request["model"])
        name = request.get("parentModel") or f"{PARENT}/models/{request['modelId']}"
        if not request.get("parentModel") and name in self.models:
            raise Refused(409, f"The Model already exists: {name}")
        if request.get("parentModel") and name not in self.models:
            raise Refused(404, f"The Model does not exist: {name}")
        if not all(_ALIAS.fullmatch(alias) for alias in model.get("versionAliases", [])):
            raise Refused(400, "Invalid alias")
        prefix = model["artifactUri"].removeprefix("gs://staging/")
        if f"{prefix}/saved_model.pb" not in self.storage.names():
            raise Refused(400, f"Model directory {model['artifactUri']} is expected to contain saved_model.pb")

        def end() -> dict[str, Any]:
            number = str(len(self.models.get(name, [])) + 1)
            aliases = set(model.pop("versionAliases", [])) | ({"default"} if number == "1" else set())
            version = {**model, "name": name, "versionId": number, "versionAliases": []}
            self.models.setdefault(name, []).append(version)
            self._take(name, version, aliases)
            return {"@type": _type("UploadModelResponse"), "model": name, "modelVersionId": number}

        return self._begin("upload", end)

    def list_versions(self, name: str, text: str) -> dict[str, Any]:
        if name not in self.models:
            raise Refused(404, f"The Model does not exist: {name}")
        found = re.fullmatch(r'labels\.(\w+)="([^"]+)"', text)
        assert found, text
        versions = [each for each in self.models[name] if each.get("labels", {}).get(found[1]) == found[2]]
        if self.unlisted:
            versions = []
        return {"models": [{**each, "name": f"{name}@{each['versionId']}"} for each in versions]}

    def merge_aliases(self, name: str, number: str, aliases: list[str]) -> dict[str, Any]:
        [version] = [each for each in self.models[name] if each["versionId"] == number]
        self._take(name, version, set(aliases))
        return version

    def _take(self, name: str, version: dict[str, Any], aliases: set[str]) -> None:
        for each in self.models[name]:
            each["versionAliases"] = sorted(set(each["versionAliases"]) - aliases)
        version["versionAliases"] = sorted(set(version["versionAliases"]) | aliases)

    def create_endpoint(self, endpoint: dict[str, Any], identity: str) -> dict[str, Any]:
        _known("Endpoint", endpoint)
        assert re.fullmatch(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?", identity), identity
        name = f"{PARENT}/endpoints/{identity}"
        if name in self.endpoints:
            raise Refused(409, f"The Endpoint already exists: {name}")

        def end() -> dict[str, Any]:
            self.endpoints[name] = {"name": name, "deployedModels": [], "trafficSplit": {}, **endpoint}
            return {"@type": _type("Endpoint"), **self.endpoints[name]}

        return self._begin("endpoint", end)

    def endpoint(self, request: Request, name: str, verb: str) -> dict[str, Any]:
        if name not in self.endpoints:
            raise Refused(404, f"The Endpoint does not exist: {name}")
        endpoint = self.endpoints[name]
        if request.method == "PATCH":
            assert request.query["updateMask"] == "trafficSplit", request.query
            self._split(endpoint, json.loads(request.body)["trafficSplit"])
            return endpoint
        if verb == "deployModel":
            return self.deploy(endpoint, json.loads(request.body))
        if verb == "undeployModel":
            return self.undeploy(endpoint, json.loads(request.body)["deployedModelId"])
        return endpoint

    def deploy(self, endpoint: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
        deployed = _known("DeployedModel", request["deployedModel"])
        model, _, version = deployed["model"].partition("@")
        if version not in {each["versionId"] for each in self.models.get(model, [])}:
            raise Refused(404, f"The Model does not exist: {deployed['model']}")
        machine = deployed["dedicatedResources"]["machineSpec"]
        if not re.fullmatch(r"(n1|n2|g2|a2)-\w+(-\w+)*", machine["machineType"]):
            raise Refused(400, f"Machine type {machine['machineType']!r} is not supported.")
        split = request.get("trafficSplit", {})
        if split and sum(split.values()) != 100:
            raise Refused(400, "The traffic split must add up to 100.")

        def end() -> dict[str, Any]:
            self._count += 1
            identity = str(1000 + self._count)
            entry = {**deployed, "id": identity, "model": model, "modelVersionId": version}
            endpoint["deployedModels"].append(entry)
            if split:
                self._split(endpoint, {identity if key == "0" else key: share for key, share in split.items()})
            return {"@type": _type("DeployModelResponse"), "deployedModel": entry}

        return self._begin("deploy", end)

    def undeploy(self, endpoint: dict[str, Any], identity: str) -> dict[str, Any]:
        if endpoint["trafficSplit"].get(identity):
            raise Refused(400, "The deployed model has traffic.")

        def end() -> dict[str, Any]:
            endpoint["deployedModels"] = [each for each in endpoint["deployedModels"] if each["id"] != identity]
            return {"@type": _type("UndeployModelResponse")}

        return self._begin("undeploy", end)

    def _split(self, endpoint: dict[str, Any], split: dict[str, int]) -> None:
        known = {each["id"] for each in endpoint["deployedModels"]}
        if sum(split.values()) != 100 or not split.keys() <= known:
            raise Refused(400, f"Invalid traffic split {split}")
        endpoint["trafficSplit"] = split

    def _begin(self, kind: str, end: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        name = f"{PARENT}/operations/{len(self.operations) + 1}"
        self.operations[name] = {"kind": kind, "looks": 0, "end": end, "done": None}
        self.begun.append(kind)
        return {"name": name}

    def look(self, name: str) -> dict[str, Any]:
        if name not in self.operations:
            raise Refused(404, f"Operation not found: {name}")
        operation = self.operations[name]
        operation["looks"] += 1
        if operation["done"] is None and operation["kind"] not in self.stuck and self.looks < operation["looks"]:
            self.finish(name)
        return {"name": name, **(operation["done"] or {})}

    def finish(self, name: str) -> None:
        """Ends an operation, whoever looks."""
        operation = self.operations[name]
        if failure := self.failures.get(operation["kind"]):
            operation["done"] = {"done": True, "error": {"code": failure[0], "message": failure[1]}}
        else:
            operation["done"] = {"done": True, "response": operation["end"]()}


def _type(name: str) -> str:
    return f"type.googleapis.com/google.cloud.aiplatform.v1.{name}"


@contextmanager
def serve(state: VertexModels) -> Iterator[VertexModels]:
    """Runs the services, Cloud Storage and the token service while the context lasts."""

    def answer(request: Request) -> tuple[Any, ...]:
        if request.path == "/token":
            return 200, {"access_token": TOKEN, "issued_token_type": "x", "token_type": "Bearer", "expires_in": 3600}
        line = f"{request.method} {request.path}"
        state.requests.append(line)
        try:
            if request.headers.get("authorization") != f"Bearer {TOKEN}":
                raise Refused(401, "no token")
            for part, (status, message, times) in list(state.refusals.items()):
                if part in line and times:
                    state.refusals[part] = (status, message, times - 1)
                    raise Refused(status, message)
            return (state.storage if "/storage/v1/" in request.path else state).answer(request)
        except Refused as refused:
            return refused.status, {"error": {"code": refused.status, "message": refused.message}}

    with serving(answer) as state.url:
        state.storage.url = state.url
        yield state
