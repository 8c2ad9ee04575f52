"""The `vertex` commands: google-cloud-aiplatform's REST transport against a server on loopback."""

from __future__ import annotations

import logging
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runners.cluster_support import Called, call, write_pipeline
from tests.runners.vertex.vertex_server import PARENT, TOKEN, VertexApi, serve, write_credentials

ROOT = ("--pipeline-root", "gs://bucket/root")
GIVEN = ("-p", "data=gs://bucket/data", *ROOT)
NIGHTLY = """\
    name: taxi-nightly
    pipeline: {pipeline}
    cron: "0 30 2 ? * mon-fri"
    parameters: {{data: gs://bucket/data}}
"""


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("GOOGLE_CLOUD_PROJECT", "GOOGLE_CLOUD_REGION", "GOOGLE_APPLICATION_CREDENTIALS"):
        monkeypatch.delenv(name, raising=False)
    # Nothing is looked for in the home of whoever tests, nor on a metadata server.
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(tmp_path / "gcloud"))
    monkeypatch.setenv("NO_GCE_CHECK", "true")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[VertexApi]:
    with serve(VertexApi()) as state:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(write_credentials(tmp_path, state.url)))
        yield state


@pytest.fixture
def pipeline(tmp_path: Path) -> Path:
    return write_pipeline(tmp_path)


def vertex(server: VertexApi, *arguments: object) -> Called:
    place = ("--project", "my-project", "--region", "europe-west4", "--endpoint", server.url)
    return call("vertex", *place, *arguments)


def test_a_pipeline_is_submitted(server: VertexApi, pipeline: Path) -> None:
    options = ("-p", "train_steps=20", "--service-account", "t@my-project.iam.gserviceaccount.com", "--name", "mine")
    called = vertex(server, "submit", pipeline, *GIVEN, *options)
    assert called.exit_code == 0, called.err
    [job] = server.jobs.values()
    assert called.lines == [
        f"run {job['name'].rpartition('/')[2]} submitted to Vertex AI of my-project in europe-west4"
    ]
    assert job["runtimeConfig"]["gcsOutputDirectory"] == "gs://bucket/root"
    assert job["runtimeConfig"]["parameterValues"] == {"data": "gs://bucket/data", "train_steps": 20}
    assert job["serviceAccount"] == "t@my-project.iam.gserviceaccount.com"
    assert job["displayName"] == "mine"
    assert job["pipelineSpec"]["pipelineInfo"]["name"] == "taxi"
    assert "platforms" not in job["pipelineSpec"], "the document of Kubernetes is left out"


def test_caching_is_as_compiled_unless_it_is_said(server: VertexApi, tmp_path: Path, pipeline: Path) -> None:
    task = "tasks: {ingest: {cachingOptions: {enableCache: true}, componentRef: {name: c}, taskInfo: {name: ingest}}}"
    pipeline.write_text(pipeline.read_text().replace("tasks: {}", task))
    for option in ((), ("--no-cache",), ("--cache",)):
        assert vertex(server, "submit", pipeline, *GIVEN, "--name", f"run{len(server.jobs)}", *option).exit_code == 0
        # A job is named after the second that it was made in.
        server.jobs = {f"{place}": job for place, job in enumerate(server.jobs.values())}
    tasks = [job["pipelineSpec"]["root"]["dag"]["tasks"]["ingest"] for job in server.jobs.values()]
    assert [task["cachingOptions"].get("enableCache", False) for task in tasks] == [True, False, True]


def test_a_wait_shows_every_task(server: VertexApi, pipeline: Path) -> None:
    called = vertex(server, "submit", pipeline, *GIVEN, "--wait", "--interval", "0.01")
    assert called.exit_code == 0, called.err
    marks = [line.split()[:2] for line in called.lines if line[0] in "▶✔✘"]
    names = ("ingest", "statistics", "train")
    assert marks == [pair for name in names for pair in (["▶", name], ["✔", name])]


def test_a_failed_run(server: VertexApi, pipeline: Path) -> None:
    server.fails_at = "statistics"
    assert vertex(server, "submit", pipeline, *GIVEN).exit_code == 0
    [name] = server.jobs
    identity = name.rpartition("/")[2]
    called = vertex(server, "wait", identity, "--interval", "0.01")
    assert called.exit_code == 1
    assert "✘ statistics  The replica exited with 65. See the log." in called.out
    assert called.error == "statistics failed"
    assert "statistics  failed" in vertex(server, "show", identity).out
    assert vertex(server, "list").lines[1].split()[:3] == [identity, "taxi", "failed"]


def test_an_unknown_run(server: VertexApi) -> None:
    called = vertex(server, "show", "taxi-1")
    assert called.exit_code == 65
    assert "not found (404) while asking for the run taxi-1" in called.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--project", "P"), "--project P: not the id of a project"),
        (("--project", ""), "no project: give --project"),
        (("--region", ""), "no region: give --region"),
        (("--region", "europe-west44"), "no region 'europe-west44' on Vertex AI; did you mean 'europe-west4'"),
    ],
)
def test_places_that_are_wrong(server: VertexApi, pipeline: Path, options: tuple[str, ...], message: str) -> None:
    place = ("--project", "my-project", "--region", "europe-west4")
    called = call("vertex", *place, *options, "submit", pipeline, *GIVEN)
    assert called.exit_code == 65
    assert message in called.error


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-p", "data=/d"), "no place for the artifacts: give --pipeline-root"),
        (("-p", "data=/d", "--pipeline-root", "/data"), "the pipeline root '/data' is not a place in Cloud Storage"),
        (("-p", "dta=/d", *ROOT), "no parameter 'dta'; did you mean 'data'?"),
        (("-p", "data=/d", "-p", "train_steps=x", *ROOT), "--param train_steps=x: expected a whole number"),
        (ROOT, "the parameter 'data' is missing and has no default"),
        ((*GIVEN, "--service-account", "me@example.org"), "'me@example.org' is not a service account"),
        ((*GIVEN, "-p", f"data={'x' * (4 * 1024 * 1024)}"), "Vertex takes 4,194,304 in one request"),
    ],
)
def test_jobs_that_are_wrong(server: VertexApi, pipeline: Path, options: tuple[str, ...], message: str) -> None:
    called = vertex(server, "submit", pipeline, *options)
    assert called.exit_code == 65
    assert message in called.error
    assert server.requests == []


def test_an_image_without_a_registry_is_told(server: VertexApi, pipeline: Path) -> None:
    images = ("millrace/ingest:1", "europe-west4-docker.pkg.dev/p/r/train@sha256:0", "localhost:5000/x:1")
    executors = ", ".join(f"e{place}: {{container: {{image: '{name}'}}}}" for place, name in enumerate(images))
    pipeline.write_text(pipeline.read_text().replace("executors: {}", f"executors: {{{executors}}}", 1))
    called = vertex(server, "submit", pipeline, *GIVEN)
    assert called.exit_code == 0
    assert called.error == "warning: images without a registry, which Vertex may not find: millrace/ingest:1"


def test_no_credentials(pipeline: Path) -> None:
    called = call("vertex", "--project", "my-project", "--region", "europe-west4", "submit", pipeline, *GIVEN)
    assert called.exit_code == 65
    assert called.error.startswith("no Google credentials: gcloud auth application-default login")


@pytest.mark.parametrize(
    ("status", "exit_code", "message"),
    [
        (400, 65, "refused (400) while submitting taxi: because"),
        (401, 65, "not signed in (401) while submitting taxi: because"),
        (403, 65, "not allowed (403) while submitting taxi: because"),
        (429, 75, "fault of the server (429) while submitting taxi: because"),
        (500, 75, "fault of the server (500) while submitting taxi: because"),
    ],
)
def test_refusals(server: VertexApi, pipeline: Path, status: int, exit_code: int, message: str) -> None:
    server.refusals["POST /v1/"] = (status, {"error": {"code": status, "message": "because\nof this"}})
    called = vertex(server, "submit", pipeline, *GIVEN)
    assert called.exit_code == exit_code
    assert called.error.startswith(f"Vertex AI of my-project in europe-west4: {message}")


def test_credentials_that_are_refused(server: VertexApi, pipeline: Path) -> None:
    server.refusals["/token"] = (400, {"error": "invalid_grant", "error_description": "expired"})
    called = vertex(server, "submit", pipeline, *GIVEN)
    assert called.exit_code == 65
    assert "the credentials are refused while submitting taxi" in called.error


def test_no_server_and_a_slow_one(server: VertexApi, pipeline: Path) -> None:
    place = ("--project", "my-project", "--region", "europe-west4")
    absent = call("vertex", *place, "--endpoint", "http://127.0.0.1:9", "submit", pipeline, *GIVEN)
    assert absent.exit_code == 75
    assert "no connection while submitting taxi; try again" in absent.error
    server.delay = 1
    slow = call("vertex", *place, "--endpoint", server.url, "--timeout", "0.3", "submit", pipeline, *GIVEN)
    assert slow.exit_code == 75
    assert "while submitting taxi" in slow.error


def written(tmp_path: Path, pipeline: Path, more: str = "") -> Path:
    file = tmp_path / "nightly.yaml"
    file.write_text(textwrap.dedent(NIGHTLY).format(pipeline=pipeline) + more)
    return file


def test_a_schedule_is_created_left_alone_and_replaced(server: VertexApi, pipeline: Path, tmp_path: Path) -> None:
    file = written(tmp_path, pipeline)
    assert vertex(server, "schedule", file, *ROOT, "--dry-run").lines == ["taxi-nightly: would be created"]
    assert server.schedules == {}
    first = vertex(server, "schedule", file, *ROOT)
    assert (first.exit_code, first.lines) == (0, ["taxi-nightly: created"]), first.err
    [made] = server.schedules.values()
    assert (made["cron"], made["maxConcurrentRunCount"]) == ("30 2 * * mon-fri", "10")
    job = made["createPipelineJobRequest"]["pipelineJob"]
    assert job["runtimeConfig"]["parameterValues"] == {"data": "gs://bucket/data"}
    assert vertex(server, "schedule", file, *ROOT).lines == ["taxi-nightly: unchanged"]
    before = set(server.schedules)
    for change in ("concurrency: 2\n", "enabled: false\n", "pipeline_root: gs://other/root\n"):
        changed = written(tmp_path, pipeline, change)
        assert vertex(server, "schedule", changed, *ROOT).lines == ["taxi-nightly: replaced"], change
        assert vertex(server, "schedule", changed, *ROOT).lines == ["taxi-nightly: unchanged"], change
        assert len(server.schedules) == 1
        assert not before & set(server.schedules)
    write_pipeline(tmp_path, "two")
    assert vertex(server, "schedule", changed, *ROOT).lines == ["taxi-nightly: replaced"], "another pipeline"


def test_a_disabled_schedule_is_paused(server: VertexApi, pipeline: Path, tmp_path: Path) -> None:
    vertex(server, "schedule", written(tmp_path, pipeline, "enabled: false\n"), *ROOT)
    assert [each["state"] for each in server.schedules.values()] == ["PAUSED"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("version: taxi-1\n", "version: Vertex keeps no versions"),
        ("catch_up: true\n", "catch_up: Vertex does not make up for runs"),
        ("concurrency: 0\n", "concurrency: Input should be greater than or equal to 1"),
    ],
)
def test_schedules_that_are_wrong(server: VertexApi, pipeline: Path, tmp_path: Path, more: str, message: str) -> None:
    called = vertex(server, "schedule", written(tmp_path, pipeline, more), *ROOT)
    assert called.exit_code == 65
    assert message in called.error
    assert server.requests == []


def test_a_schedule_to_the_second(server: VertexApi, pipeline: Path, tmp_path: Path) -> None:
    file = written(tmp_path, pipeline)
    file.write_text(file.read_text().replace('"0 30', '"5 30'))
    called = vertex(server, "schedule", file, *ROOT)
    assert called.exit_code == 65
    assert "the seconds, the first field, must be 0" in called.error


def test_the_token_is_sent_and_never_shown(server: VertexApi, pipeline: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    called = [vertex(server, "submit", pipeline, *GIVEN, "--wait", "--interval", "0.01"), vertex(server, "list")]
    assert all(each.exit_code == 0 for each in called)
    asked = [headers for _, path, headers in server.requests if path.startswith(f"/v1/{PARENT}")]
    assert asked
    assert all(headers["authorization"] == f"Bearer {TOKEN}" for headers in asked)
    for each in called:
        assert TOKEN not in each.out + each.err


def test_every_command_has_a_document_for_programs(server: VertexApi, pipeline: Path) -> None:
    server.fails_at = "statistics"
    identity = vertex(server, "submit", pipeline, *GIVEN, "--json").document["run"]
    waited = vertex(server, "wait", identity, "--interval", "0.01", "--json").document
    assert (waited["state"], waited["code"], waited["error"]) == ("failed", 1, "statistics failed")
    assert {task["task"]: task["state"] for task in waited["tasks"]}["statistics"] == "failed"
    shown = vertex(server, "--json", "show", identity).document
    assert (shown["state"], shown["code"], shown["error"]) == ("failed", 0, "statistics failed")
    assert [run["run"] for run in vertex(server, "list", "--json").document["runs"]] == [identity]
