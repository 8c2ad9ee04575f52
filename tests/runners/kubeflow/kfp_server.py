"""A server on loopback that speaks the part of the KFP v2beta1 API that the commands use, as kfp_server_api defines it.

It is as strict as the real one: unknown fields in a body are refused, lists come in pages, a pipeline with versions
cannot be deleted, a name cannot be taken twice, a server of one user wants no namespace.
"""

from __future__ import annotations

import base64
import json
import re
import struct
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any
from urllib.parse import unquote

import kfp_server_api
import yaml

from runners.kubeflow.artifacts import _classes
from tests.runners.kubeflow import kfp_workflow
from tests.runners.kubeflow.kfp_workflow import START, Progress
from tests.runners.loopback import Refused, Request, serving

Reply = tuple[int, Any]


@dataclass
class Kfp:
    """What the server knows, and how it is to behave."""

    tag: str = "2.15.0"
    multi_user: bool = False
    token: str = ""
    delay: float = 0.0
    refusals: dict[str, tuple[int, Any]] = field(default_factory=dict)
    fails_at: str = ""
    log: str = "error: the column fare is missing in data.csv"
    outcome: Progress = field(default_factory=Progress)
    has_workflows: bool = True
    errors_of_tasks: bool = False
    pipelines: dict[str, dict[str, Any]] = field(default_factory=dict)
    versions: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    experiments: dict[str, dict[str, Any]] = field(default_factory=dict)
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    recurring: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    workflows: dict[str, dict[str, Any]] = field(default_factory=dict)
    artifacts: dict[str, list[tuple[str, str, str, dict[str, Any]]]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    page_size_limit: int = 2
    clock: int = 0
    url: str = ""

    def asked(self, method: str, part: str) -> int:
        """How many requests of a kind there were."""
        return sum(1 for each in self.requests if each[0] == method and part in each[1])

    def stamp(self) -> str:
        self.clock += 1
        return (START + timedelta(seconds=self.clock)).strftime("%Y-%m-%dT%H:%M:%SZ")

    # --- routes

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: dict[str, str]) -> Any:
        if path == "/artifacts/get":
            key = f"{query['source']}://{query['bucket']}/{query['key']}"
            if key not in self.contents:
                raise Refused(404, "no such object")
            return self.contents[key]
        if path.startswith("/ml_metadata.MetadataStoreService/"):
            return self.metadata(path.rpartition("/")[2], body)
        if found := re.fullmatch(r"/apis/v1beta1/runs/([^/]+)", path):
            return self.older_run(found[1])
        if path == "/k8s/pod/logs":
            return self.pod_log(query["runid"], query["podname"]).encode()
        if not path.startswith("/apis/v2beta1/"):
            raise Refused(404, "Not Found")
        rest = path.removeprefix("/apis/v2beta1/")
        if not self.multi_user and query.get("namespace"):
            raise Refused(400, "In single-user mode, a namespace must not be given")
        if rest == "healthz":
            return {"commit_sha": "abc", "tag_name": self.tag, "multi_user": self.multi_user}
        if rest == "pipelines/upload_version" and method == "POST":
            return self.upload(query, body, headers)
        for pattern, verb, action in (
            (r"pipelines", "GET", lambda: self.listed("pipelines", list(self.pipelines.values()), query)),
            (r"pipelines", "POST", lambda: self.create_pipeline(self.checked(body, "V2beta1Pipeline"))),
            (r"experiments", "GET", lambda: self.listed("experiments", list(self.experiments.values()), query)),
            (r"experiments", "POST", lambda: self.create_experiment(self.checked(body, "V2beta1Experiment"))),
            (r"runs", "GET", lambda: self.listed("runs", [self.short(run) for run in self.runs.values()], query)),
            (r"runs", "POST", lambda: self.create_run(self.checked(body, "V2beta1Run"))),
            (r"recurringruns", "GET", lambda: self.listed("recurringRuns", list(self.recurring.values()), query)),
            (r"recurringruns", "POST", lambda: self.create_recurring(self.checked(body, "V2beta1RecurringRun"))),
        ):
            if method == verb and rest == pattern:
                return action()
        if found := re.fullmatch(r"pipelines/([^/]+)/versions", rest):
            self.one(self.pipelines, found[1])
            return self.listed("pipeline_versions", self.versions[found[1]], query)
        if (found := re.fullmatch(r"pipelines/([^/]+)/versions/([^/]+)", rest)) and method == "DELETE":
            self.versions[found[1]] = [v for v in self.versions[found[1]] if v["pipeline_version_id"] != found[2]]
            return {}
        if (found := re.fullmatch(r"pipelines/([^/]+)", rest)) and method == "DELETE":
            if self.versions[found[1]]:
                raise Refused(400, "the pipeline has versions")
            return self.removed(self.pipelines, found[1])
        if (found := re.fullmatch(r"pipelines/([^/]+)/versions/([^/]+)", rest)) and method == "GET":
            known = {each["pipeline_version_id"]: each for each in self.versions.get(found[1], [])}
            return self.one(known, found[2])
        if found := re.fullmatch(r"runs/([^/]+)/nodes/([^/]+)/artifacts/main-logs:read", rest):
            return {"data": base64.b64encode(self.pod_log(found[1], found[2]).encode()).decode()}
        if (found := re.fullmatch(r"recurringruns/([^/:]+):disable", rest)) and method == "POST":
            self.one(self.recurring, found[1]).update(mode="DISABLE", status="DISABLED")
            return {}
        if found := re.fullmatch(r"runs/([^/:]+):(\w+)", rest):
            return self.act(found[1], found[2])
        if found := re.fullmatch(r"runs/([^/:]+)", rest):
            return self.removed(self.runs, found[1]) if method == "DELETE" else self.progress(found[1])
        if (found := re.fullmatch(r"recurringruns/([^/:]+)", rest)) and method == "DELETE":
            return self.removed(self.recurring, found[1])
        raise Refused(404, f"Not Found: {method} {path}")

    def checked(self, body: bytes, model: str) -> dict[str, Any]:
        """Refuses fields that the API does not have, as its JSON reader does."""
        content: dict[str, Any] = json.loads(body)
        self.check(content, model)
        return content

    def check(self, content: dict[str, Any], model: str) -> None:
        kind = getattr(kfp_server_api, model)
        names = {json_name: kind.openapi_types[name] for name, json_name in kind.attribute_map.items()}
        for name, value in content.items():
            if name not in names:
                raise Refused(400, f'unknown field "{name}" in {model}')
            if names[name].startswith("V2beta1") and isinstance(value, dict):
                self.check(value, names[name])

    def listed(self, name: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        for predicate in json.loads(query.get("filter") or '{"predicates": []}')["predicates"]:
            wanted = predicate.get("string_value", predicate.get("stringValue"))
            differs = predicate["operation"] in ("NOT_EQUALS", 2)
            items = [item for item in items if (item.get(predicate["key"]) == wanted) != differs]
        items = sorted(items, key=lambda item: item["created_at"], reverse=query.get("sort_by", "").endswith("desc"))
        begin = int(query.get("page_token") or 0)
        end = begin + min(int(query.get("page_size") or 20), self.page_size_limit)
        token = {"next_page_token": str(end)} if end < len(items) else {}
        return {name: items[begin:end], "total_size": len(items)} | token

    def one(self, where: dict[str, dict[str, Any]], identity: str) -> dict[str, Any]:
        if identity not in where:
            raise Refused(404, f"{identity} not found")
        return where[identity]

    def removed(self, where: dict[str, dict[str, Any]], identity: str) -> dict[str, Any]:
        self.one(where, identity)
        del where[identity]
        return {}

    def create_pipeline(self, content: dict[str, Any]) -> dict[str, Any]:
        if any(each["display_name"] == content["display_name"] for each in self.pipelines.values()):
            raise Refused(409, f"Already exist error: The name {content['display_name']} already exist")
        identity = str(uuid.uuid4())
        self.pipelines[identity] = content | {"pipeline_id": identity, "created_at": self.stamp()}
        self.versions[identity] = []
        return self.pipelines[identity]

    def upload(self, query: dict[str, str], body: bytes, headers: dict[str, str]) -> dict[str, Any]:
        self.one(self.pipelines, query["pipelineid"])
        head = f"Content-Type: {headers['content-type']}\r\n\r\n".encode()
        [part] = BytesParser(policy=HTTP).parsebytes(head + body).iter_parts()  # type: ignore[attr-defined]
        assert part.get_param("name", header="content-disposition") == "uploadfile"
        documents = list(yaml.safe_load_all(part.get_payload(decode=True)))
        spec = documents[0]
        if len(documents) > 1:
            spec = {"pipeline_spec": documents[0], "platform_spec": documents[1]}
        versions = self.versions[query["pipelineid"]]
        if any(each["display_name"] == query["name"] for each in versions):
            raise Refused(409, f"Already exist error: The name {query['name']} already exist")
        versions.append(
            {
                "pipeline_id": query["pipelineid"],
                "pipeline_version_id": str(uuid.uuid4()),
                "display_name": query["name"],
                "description": query.get("description", ""),
                "created_at": self.stamp(),
                "pipeline_spec": spec,
            }
        )
        return versions[-1]

    def create_experiment(self, content: dict[str, Any]) -> dict[str, Any]:
        identity = str(uuid.uuid4())
        self.experiments[identity] = content | {"experiment_id": identity, "created_at": self.stamp()}
        return self.experiments[identity]

    def create_run(self, content: dict[str, Any]) -> dict[str, Any]:
        self.one(self.experiments, content["experiment_id"])
        identity = str(uuid.uuid4())
        made = {"run_id": identity, "created_at": self.stamp(), "state": "PENDING", "storage_state": "AVAILABLE"}
        self.runs[identity] = content | made
        self.steps[identity] = 0
        return self.runs[identity]

    def create_recurring(self, content: dict[str, Any]) -> dict[str, Any]:
        if len(content["trigger"]["cron_schedule"]["cron"].split()) != 6:
            raise Refused(400, "Schedule cron is not a valid cron string")
        if not 1 <= int(content["max_concurrency"]) <= 10:
            raise Refused(400, "The max concurrency should be in range [1, 10]")
        identity = str(uuid.uuid4())
        status = "ENABLED" if content["mode"] == "ENABLE" else "DISABLED"
        made = {"recurring_run_id": identity, "created_at": self.stamp(), "status": status, "service_account": "runner"}
        content["max_concurrency"] = str(content["max_concurrency"])
        self.recurring[identity] = made | content
        return self.recurring[identity]

    def act(self, identity: str, action: str) -> dict[str, Any]:
        run = self.one(self.runs, identity)
        if action == "terminate":
            if run["state"] in ("SUCCEEDED", "FAILED"):
                raise Refused(400, "the run is over")
            run["state"] = "CANCELING"
            run["state_history"] = [{"state": "PENDING"}, {"state": "RUNNING"}, {"state": "CANCELING"}]
        elif action == "retry":
            if run["state"] != "FAILED":
                raise Refused(400, "only a failed run can be retried")
            self.fails_at, self.steps[identity], run["state"] = "", 0, "RUNNING"
            run.pop("finished_at", None)
            run.pop("error", None)
        else:
            raise Refused(404, action)
        return {}

    def short(self, run: dict[str, Any]) -> dict[str, Any]:
        """A run as a list has it, without its tasks."""
        return {key: value for key, value in run.items() if key not in ("run_details", "pipeline_spec")}

    def older_run(self, identity: str) -> dict[str, Any]:
        """A run as the API before this one tells it, with its Workflow as text."""
        if not self.has_workflows:
            raise Refused(404, "Not Found")
        self.one(self.runs, identity)
        workflow = json.dumps(self.workflows[identity]) if identity in self.workflows else ""
        return {"run": {"id": identity}, "pipeline_runtime": {"workflow_manifest": workflow}}

    def ir(self, run: dict[str, Any]) -> dict[str, Any]:
        """The pipeline of a run, as it was sent along or uploaded."""
        spec = run.get("pipeline_spec")
        if not spec:
            wanted = run["pipeline_version_reference"]["pipeline_version_id"]
            versions = (each for versions in self.versions.values() for each in versions)
            spec = next(each for each in versions if each["pipeline_version_id"] == wanted)["pipeline_spec"]
        return dict(spec.get("pipeline_spec", spec))

    def progress(self, identity: str) -> dict[str, Any]:
        """Every look finds one more task done."""
        run = self.one(self.runs, identity)
        if run["state"] in ("SUCCEEDED", "FAILED", "CANCELED"):
            return run
        if run["state"] != "CANCELING":
            run["state"] = "RUNNING"
        progress = replace(self.outcome, step=self.steps[identity], fails_at=self.fails_at)
        self.steps[identity] += self.outcome.pending is None
        found = kfp_workflow.nodes(f"taxi-{identity[:5]}", self.ir(run), progress)
        phase = kfp_workflow.phase(self.ir(run), progress)
        if run["state"] == "CANCELING":
            phase = "Failed"
            for node in found.values():
                if node["phase"] in ("Running", "Pending"):
                    node |= {"phase": "Failed", "message": "Step exceeded its deadline", "finishedAt": self.stamp()}
        if phase != "Running":
            run |= {"state": phase.upper(), "finished_at": self.stamp()}
            run["state_history"] = [*run.get("state_history", []), {"state": phase.upper()}]
        details = kfp_workflow.details(identity, found)
        if self.errors_of_tasks:
            for task in details:
                if task.get("state") == "FAILED" and task.get("display_name") == self.fails_at:
                    task["error"] = {"code": 1, "message": self.log}
        run["run_details"] = {"task_details": details}
        manifest = {"metadata": {"name": f"taxi-{identity[:5]}", "namespace": "kubeflow"}}
        self.workflows[identity] = manifest | {"status": {"phase": phase, "nodes": found}}
        return run

    def record(self, name: str, run: dict[str, Any], status: dict[str, Any], ir: dict[str, Any]) -> str:
        """Takes a run that a real server answered, and its Workflow; returns its id."""
        identity = str(run["run_id"])
        run = {key: value for key, value in run.items() if key not in ("pipeline_version_reference", "pipeline_spec")}
        self.runs[identity] = run | {"display_name": name, "pipeline_spec": ir}
        self.workflows[identity] = {"metadata": {"namespace": "kubeflow"}, "status": status}
        return identity

    def pod_log(self, run: str, node: str) -> str:
        found = next(
            (each for each in self.workflows[run]["status"]["nodes"].values() if node.endswith(each["id"][-9:])), {}
        )
        if found.get("phase") not in ("Failed", "Error"):
            raise Refused(404, "no such log")
        return self.log

    def metadata(self, method: str, body: bytes) -> bytes:
        flags, length = struct.unpack(">BI", body[:5])
        assert (flags, length) == (0, len(body) - 5)
        kinds = _classes()
        request = kinds[f"{method}Request"].FromString(body[5:])
        response = kinds[f"{method}Response"]()
        runs = list(self.artifacts)
        if method == "GetContextByTypeAndName":
            if request.type_name == "system.PipelineRun" and request.context_name in runs:
                response.context.id = runs.index(request.context_name) + 1
        else:
            if method == "GetEventsByExecutionIDs":
                for execution in request.execution_ids:
                    response.events.add(artifact_id=execution, execution_id=execution, type=4)
                    response.events.add(artifact_id=execution + 1, execution_id=execution, type=3)
            else:
                for place, (task, kind, uri, properties) in enumerate(self.artifacts[runs[request.context_id - 1]]):
                    identity = 100 * request.context_id + place
                    if method == "GetExecutionsByContext":
                        made, properties = response.executions.add(id=identity), {"task_name": task}
                    else:
                        made = response.artifacts.add(id=identity, type=kind, uri=uri)
                    for key, value in properties.items():
                        entry = made.custom_properties.add(key=key)
                        setattr(entry.value, "string_value" if isinstance(value, str) else "double_value", value)
        data = response.SerializeToString()
        trailers = b"grpc-status:0\r\n"
        return struct.pack(">BI", 0, len(data)) + data + struct.pack(">BI", 0x80, len(trailers)) + trailers


@contextmanager
def serve(state: Kfp) -> Iterator[Kfp]:
    """Runs the server while the context lasts."""

    def answer(request: Request) -> tuple[int, Any]:
        state.requests.append((request.method, request.target, request.headers))
        time.sleep(state.delay)
        path = unquote(request.path)
        status, reply = 200, None
        for part, refusal in state.refusals.items():
            if part in f"{request.method} {path}":
                status, reply = refusal
        if state.token and request.headers.get("authorization") != f"Bearer {state.token}":
            status, reply = 401, {"error": "Unauthorized", "code": 16}
        if status == 200 and reply is None:
            try:
                reply = state.answer(request.method, path, request.query, request.body, request.headers)
            except Refused as refused:
                status, reply = refused.status, {"code": 3, "message": refused.message, "details": []}
        return status, reply

    with serving(answer) as state.url:
        yield state
