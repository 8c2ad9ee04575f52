"""A server on loopback that speaks REST as Vertex AI and the token service do."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from tests.runners.loopback import Refused, Request, serving

TOKEN = "ya29.vertexVerySecretToken"
PARENT = "projects/my-project/locations/europe-west4"
START = datetime(2026, 11, 20, 12, tzinfo=UTC)


def _check(kind: str, content: dict[str, Any]) -> None:
    # The import takes seconds, and would for every process that collects the tests.
    from google.cloud.aiplatform_v1 import types

    json_format.ParseDict(content, getattr(types, kind)()._pb)


def _stamp(seconds: int) -> str:
    return (START + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class VertexApi:
    """What the service knows, and how it is to behave."""

    delay: float = 0.0
    refusals: dict[str, tuple[int, Any]] = field(default_factory=dict)
    plan: list[str] = field(default_factory=lambda: ["ingest", "statistics", "train"])
    fails_at: str = ""
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict)
    schedules: dict[str, dict[str, Any]] = field(default_factory=dict)
    steps: dict[str, int] = field(default_factory=dict)
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    count: int = 0
    url: str = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes) -> Any:
        if path == "/token":
            return {"access_token": TOKEN, "issued_token_type": "x", "token_type": "Bearer", "expires_in": 3600}
        if path == f"/v1/{PARENT}/pipelineJobs":
            if method == "GET":
                return {"pipelineJobs": sorted(self.jobs.values(), key=lambda each: each["createTime"], reverse=True)}
            return self.create_job(query["pipelineJobId"], json.loads(body))
        if path == f"/v1/{PARENT}/schedules":
            if method == "GET":
                name = json.loads(query["filter"].removeprefix("display_name="))
                return {"schedules": [each for each in self.schedules.values() if each["displayName"] == name]}
            return self.create_schedule(json.loads(body))
        if found := re.fullmatch(rf"/v1/({PARENT}/pipelineJobs/[^/]+)", path):
            if found[1] not in self.jobs:
                raise Refused(404, f"The PipelineJob does not exist: {found[1]}")
            return self.progress(self.jobs[found[1]])
        if found := re.fullmatch(rf"/v1/({PARENT}/schedules/\d+)(:pause)?", path):
            if method == "DELETE":
                del self.schedules[found[1]]
                return {
                    "name": f"{PARENT}/operations/1",
                    "done": True,
                    "response": {"@type": "type.googleapis.com/google.protobuf.Empty"},
                }
            if found[2]:
                self.schedules[found[1]]["state"] = "PAUSED"
                return {}
            return self.schedules[found[1]]
        raise Refused(404, f"{method} {path}")

    def create_job(self, identity: str, job: dict[str, Any]) -> dict[str, Any]:
        # What the service does not know it refuses.
        try:
            _check("PipelineJob", job)
        except json_format.ParseError as error:
            raise Refused(400, str(error)) from None
        if not job["runtimeConfig"]["gcsOutputDirectory"].startswith("gs://"):
            raise Refused(400, "gcs_output_directory")
        name = f"{PARENT}/pipelineJobs/{identity}"
        self.count += 1
        made = {"name": name, "createTime": _stamp(self.count), "state": "PIPELINE_STATE_PENDING"}
        self.jobs[name] = job | made
        self.steps[name] = 0
        return self.jobs[name]

    def create_schedule(self, schedule: dict[str, Any]) -> dict[str, Any]:
        _check("Schedule", schedule)
        if len(schedule["cron"].split()) != 5:
            raise Refused(400, "Invalid cron")
        self.count += 1
        name = f"{PARENT}/schedules/{self.count}"
        self.schedules[name] = schedule | {"name": name, "state": "ACTIVE", "createTime": _stamp(self.count)}
        return self.schedules[name]

    def progress(self, job: dict[str, Any]) -> dict[str, Any]:
        """Every look finds one more task done."""
        if job["state"] in ("PIPELINE_STATE_SUCCEEDED", "PIPELINE_STATE_FAILED"):
            return job
        step = self.steps[job["name"]]
        self.steps[job["name"]] += 1
        job["state"] = "PIPELINE_STATE_RUNNING"
        details: list[dict[str, Any]] = [{"taskId": "1", "taskName": "taxi", "state": "RUNNING"}]
        for place, name in enumerate(self.plan[: step + 1]):
            failed = name == self.fails_at and place < step
            state = "FAILED" if failed else "SUCCEEDED" if place < step else "RUNNING"
            detail = {"taskId": str(place + 2), "parentTaskId": "1", "taskName": name, "state": state}
            detail |= {"startTime": _stamp(10 * place)} | ({"endTime": _stamp(10 * place + 7)} if place < step else {})
            if failed:
                detail["error"] = {"code": 9, "message": "The replica exited with 65.\nSee the log."}
                job |= {"state": "PIPELINE_STATE_FAILED", "error": {"code": 9, "message": f"{name} failed"}}
            details.append(detail)
            if failed:
                break
        if job["state"] == "PIPELINE_STATE_RUNNING" and step >= len(self.plan):
            job["state"] = "PIPELINE_STATE_SUCCEEDED"
        if job["state"] != "PIPELINE_STATE_RUNNING":
            job["endTime"] = _stamp(60)
        job["jobDetail"] = {"taskDetails": details}
        return job


@contextmanager
def serve(state: VertexApi) -> Iterator[VertexApi]:
    """Runs the server while the context lasts."""

    def answer(request: Request) -> tuple[int, Any]:
        state.requests.append((request.method, request.target, request.headers))
        if request.path != "/token":
            time.sleep(state.delay)
        status, reply = 200, None
        for part, refusal in state.refusals.items():
            if part in f"{request.method} {request.path}":
                status, reply = refusal
        if request.path != "/token" and request.headers.get("authorization") != f"Bearer {TOKEN}":
            status, reply = 401, {"error": {"code": 401, "message": "no token", "status": "UNAUTHENTICATED"}}
        if reply is None:
            try:
                reply = state.answer(request.method, request.path, request.query, request.body)
            except Refused as refused:
                status, reply = refused.status, {"error": {"code": refused.status, "message": refused.message}}
        return status, reply

    with serving(answer) as state.url:
        yield state


def write_credentials(folder: Path, url: str) -> Path:
    """Credentials that google.auth exchanges for a token at the server, as in workload identity federation."""
    (folder / "subject").write_text("subject-token")
    file = folder / "credentials.json"
    content = {
        "type": "external_account",
        # (Of a pool of the usual form google.auth would ask Google, not this server, where it may be used.)
        "audience": "//iam.googleapis.com/loopback",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": f"{url}/token",
        "credential_source": {"file": str(folder / "subject")},
    }
    file.write_text(json.dumps(content))
    return file
