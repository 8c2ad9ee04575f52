"""Push to Vertex AI when something goes wrong on the way: what is said, and what a second attempt finds."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from components.push_vertex.push_vertex import push_vertex
from components.runtime.stage.executor import Execution
from tests.components.push_vertex.model_server import PARENT, VertexModels
from tests.components.push_vertex.vertex_push import Push
from tests.runners.vertex.vertex_server import TOKEN

ENDPOINT = {"machine_type": "n1-standard-4"}
ALWAYS = 1000


@pytest.mark.parametrize(
    ("request_part", "status", "exit_code", "message"),
    [
        (":upload", 400, 65, "refused (400) while registering the model: because"),
        (
            ":upload",
            403,
            65,
            "not allowed (403) while registering the model: because of this; the account",
        ),
        (
            ":upload",
            404,
            65,
            "not found (404) while registering the model: because of this; check project",
        ),
        (":upload", 409, 75, "somebody else is at it (409) while registering the model"),
        (":upload", 429, 75, "the quota is used up (429) while registering the model: because"),
        (":upload", 503, 75, "fault of the service (503) while registering the model: because"),
        (":listVersions", 401, 65, "the credentials are refused (401) while looking for the version"),
        (":listVersions", 403, 65, "not allowed (403) while looking for the version"),
        ("POST /upload/storage", 403, 65, "not allowed (403) while copying fingerprint.pb to gs://staging/models/taxi"),
        ("POST /upload/storage", 503, 75, "fault of the service (503) while copying fingerprint.pb"),
        (f"{PARENT}/endpoints", 403, 65, "not allowed (403) while looking for the endpoint"),
        (":deployModel", 429, 75, "the quota is used up (429) while deploying version 1 on n1-standard-4"),
    ],
)
def test_refusals(
    server: VertexModels, push: Push, request_part: str, status: int, exit_code: int, message: str
) -> None:
    server.refusals[request_part] = (status, "because\nof this", ALWAYS)
    failed = push(endpoint=ENDPOINT, request_seconds=1.5)
    assert failed.exit_code == exit_code
    assert failed.error.startswith("Vertex AI of my-project in europe-west4: ")
    assert message in failed.error
    assert TOKEN not in failed.error
    server.refusals.clear()
    # So long it waits for word of what may have arrived.
    again = push(endpoint=ENDPOINT, request_seconds=4)
    assert again.exit_code == 0, again.error
    assert server.begun == ["upload", "endpoint", "deploy"]


def test_a_fault_that_passes_is_not_noticed(server: VertexModels, push: Push) -> None:
    server.refusals = dict.fromkeys((":listVersions", "/operations/1", "POST /upload/storage"), (503, "busy", 1))
    assert push(request_seconds=5).exit_code == 0
    assert server.begun == ["upload"]


def test_no_such_bucket(server: VertexModels, push: Push) -> None:
    failed = push(staging="gs://another/models")
    assert failed.exit_code == 65
    assert "not found (404) while looking into gs://another/models/taxi/" in failed.error
    assert server.begun == []


def test_a_machine_that_the_service_does_not_know(server: VertexModels, push: Push) -> None:
    failed = push(endpoint={"machine_type": "h9-standard-4"})
    assert failed.exit_code == 65
    assert "refused (400) while deploying version 1 on h9-standard-4: Machine type" in failed.error
    assert push(endpoint=ENDPOINT).exit_code == 0
    assert server.begun == ["upload", "endpoint", "deploy"]


def test_no_server(push: Push) -> None:
    failed = push(api_endpoint="http://127.0.0.1:9", request_seconds=1.5)
    assert failed.exit_code == 75
    assert "no connection while looking for the version" in failed.error


def test_credentials_that_are_refused(server: VertexModels, push: Push, tmp_path: Path) -> None:
    (tmp_path / "subject").unlink()
    failed = push()
    assert failed.exit_code == 65
    assert "the credentials are refused while looking for the version" in failed.error
    assert server.requests == []


def test_bytes_that_arrive_otherwise_are_sent_again(server: VertexModels, push: Push) -> None:
    server.storage.spoils = 1
    failed = push()
    assert failed.exit_code == 75
    assert server.begun == []
    assert push().exit_code == 0
    assert server.begun == ["upload"]
    written = [name.rpartition("/")[2] for name in server.storage.written if "operations" not in name]
    assert written.count("fingerprint.pb") == 2
    assert len(written) == 5


def test_files_of_somebody_else_are_not_taken_for_the_models(server: VertexModels, push: Push) -> None:
    server.refusals[":upload"] = (403, "no", 1)
    push()
    home = next(name for name in server.storage.names("saved_model.pb")).removesuffix("saved_model.pb")
    server.storage.objects["staging", f"{home}variables/more.data"] = (b"x", 1, {})
    failed = push()
    assert failed.exit_code == 65
    assert "holds files that are not of this model (variables/more.data); remove them" in failed.error


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        (3, 65, "registering the model failed: The container is broken"),
        (8, 75, "registering the model failed: The container is broken (quota); try again"),
        (13, 75, "(internal); try again"),
    ],
)
def test_an_operation_that_fails(server: VertexModels, push: Push, code: int, exit_code: int, message: str) -> None:
    server.failures["upload"] = (code, "The container\nis broken")
    failed = push()
    assert failed.exit_code == exit_code
    assert message in failed.error
    server.failures.clear()
    assert push().output["version"] == "1"
    assert server.begun == ["upload", "upload"]


def test_an_operation_that_takes_too_long_is_waited_for_by_the_next_attempt(server: VertexModels, push: Push) -> None:
    server.stuck = {"upload"}
    failed = push(wait_minutes=0.01)
    assert failed.exit_code == 75
    assert "registering the model has not ended after 0.01 minutes; run again to go on waiting for operation 1" in (
        failed.error
    )
    server.stuck.clear()
    assert push().output["version"] == "1"
    assert server.begun == ["upload"]
    assert server.storage.names(".txt") == []


def test_an_operation_that_the_service_has_forgotten_is_begun_anew(server: VertexModels, push: Push) -> None:
    server.stuck = {"upload"}
    push(wait_minutes=0.01)
    server.operations.clear()
    server.stuck.clear()
    assert push().output["version"] == "1"
    assert server.begun == ["upload", "upload"]


def test_what_is_not_listed_yet_is_known_from_the_operation(server: VertexModels, push: Push) -> None:
    server.unlisted = True
    pushed = push(endpoint=ENDPOINT)
    assert pushed.output == {"version": "1", "endpoint_name": f"{PARENT}/endpoints/taxi"}
    assert server.begun == ["upload", "endpoint", "deploy"]


def kill_at(server: VertexModels, push: Push, kind: str, answered: bool) -> None:
    """Runs the stage until it has begun an operation, and kills it while it waits, or before it has the answer."""
    arrived, go_on = threading.Event(), threading.Event()

    def after(begun: str) -> None:
        if begun == kind:
            arrived.set()
            if not answered:
                go_on.wait(20)

    server.after = after
    process = push.start(endpoint=ENDPOINT)
    assert arrived.wait(60), process.communicate()
    if answered:
        wait_for(lambda: server.requests[-1] == f"GET /v1/{PARENT}/operations/{len(server.operations)}")
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    server.after = lambda kind: None
    go_on.set()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("kind", ["upload", pytest.param("deploy", marks=pytest.mark.slow)])
def test_killed_while_it_waits_the_next_attempt_goes_on_waiting(server: VertexModels, push: Push, kind: str) -> None:
    server.stuck = {kind}
    kill_at(server, push, kind, answered=True)
    assert server.storage.names(".txt"), "the operation is noted in the bucket"
    server.stuck.clear()
    again = push(endpoint=ENDPOINT)
    assert again.exit_code == 0, again.error
    assert server.begun == ["upload", "endpoint", "deploy"]
    assert server.storage.names(".txt") == []


def test_killed_before_it_knew_the_operation_the_next_attempt_finds_its_version(
    server: VertexModels, push: Push
) -> None:
    server.stuck = {"upload"}
    kill_at(server, push, "upload", answered=False)
    timer = threading.Timer(0.5, lambda: server.finish(f"{PARENT}/operations/1"))
    timer.start()
    again = push(request_seconds=10)
    timer.join()
    assert again.output["version"] == "1"
    assert server.begun == ["upload"]


def test_killed_before_the_request_arrived_the_next_attempt_sends_it(server: VertexModels, push: Push) -> None:
    server.refusals[":upload"] = (503, "gone", 1)
    assert push().exit_code == 75
    assert len(server.storage.names(".txt")) == 1, "whether it arrived is not known"
    begun = time.monotonic()
    assert push(request_seconds=2).output["version"] == "1"
    assert time.monotonic() - begun > 1, "it has waited for word of it"
    assert server.begun == ["upload"]


def test_two_pushes_of_a_model_at_once_make_one_version(server: VertexModels, push: Push) -> None:
    server.looks = 2
    requests = [push.request(), push.request()]
    with ThreadPoolExecutor() as threads:
        list(threads.map(lambda request: Execution.parse("push_vertex", request).run(push_vertex), requests))
    assert server.begun == ["upload"]
    assert server.storage.names(".txt") == []


def test_as_a_process_it_ends_with_the_code_and_one_line(server: VertexModels, push: Push) -> None:
    server.refusals[":listVersions"] = (403, "Permission denied", ALWAYS)
    process = push.start()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 65
    [line] = err.strip().splitlines()
    assert line.startswith("error: Vertex AI of my-project in europe-west4: not allowed (403)")
    assert TOKEN not in out + err
