"""Servers that are absent, too old, slow, or refuse: one line each, and the exit code that fits."""

from __future__ import annotations

import itertools
import logging
import socket
from pathlib import Path
from typing import Any

import pytest

from runners.kubeflow import contexts
from tests.runners.cluster_support import Called, call, write_pipeline
from tests.runners.kubeflow.kfp_server import Kfp, serve
from tests.runners.loopback import Request, serving

TOKEN = "ya29.verySecretToken"


def listed(host: str, *options: object) -> Called:
    return call("kubeflow", "--host", host, *options, "list")


def test_no_cluster_is_named() -> None:
    called = call("kubeflow", "list")
    assert called.exit_code == 65
    assert called.error.startswith("no cluster is named: give --host, or --context")


def test_no_server_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{free.getsockname()[1]}"
    called = listed(host)
    assert called.exit_code == 75
    assert called.error == f"{host}: no connection while connecting; is it running, and is its port forwarded?"


def test_no_such_name() -> None:
    called = listed("http://kubeflow.invalid")
    assert called.exit_code == 75
    assert "no such name in the network" in called.error


@pytest.mark.parametrize("host", ["http://", "ftp://x", "http://[::"])
def test_no_address(host: str) -> None:
    called = listed(host)
    assert called.exit_code == 65
    assert "not the address of a server" in called.error


def test_a_server_without_encryption_is_told_as_that() -> None:
    with serve(Kfp()) as server:
        host = server.url.replace("http://", "https://")
        called = listed(host)
    assert called.exit_code == 65
    assert called.error == f"{host}: answers without encryption while connecting; write {server.url}"


STACK = """Failed to create a run: InternalServerError: no such template
github.com/kubeflow/pipelines/backend/src/common/util.NewInternalServerError
\t/go/src/github.com/kubeflow/pipelines/backend/src/common/util/error.go:142
github.com/kubeflow/pipelines/backend/src/apiserver/server.(*RunServer).createRun
\t/go/src/github.com/kubeflow/pipelines/backend/src/apiserver/server/run_server.go:320
runtime.goexit
\t/usr/local/go/src/runtime/asm_amd64.s:1700"""


@pytest.mark.parametrize("body", [{"message": STACK}, {"error_message": STACK, "error_details": STACK}])
def test_the_stack_of_the_server_is_not_repeated(body: dict[str, str]) -> None:
    with serve(Kfp(refusals={"/runs": (400, body)})) as server:
        called = listed(server.url)
    assert called.error == (
        f"{server.url}: refused (400) while listing runs: Failed to create a run: InternalServerError: no such template"
    )


def test_a_server_that_does_not_answer_in_time() -> None:
    with serve(Kfp(delay=5)) as server:
        called = listed(server.url, "--timeout", "0.2")
    assert called.exit_code == 75
    assert called.error == f"{server.url}: no answer in time while connecting; try again, or raise --timeout"


def test_a_server_that_stops_answering(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(Kfp()) as server:
        plain = server.answer

        def slow(method: str, path: str, *rest: object) -> object:
            server.delay = 1.0 if "healthz" in path and server.asked("GET", "healthz") > 1 else 0.0
            return plain(method, path, *rest)  # type: ignore[arg-type]

        monkeypatch.setattr(server, "answer", slow)
        called = listed(server.url, "--timeout", "0.2")
    assert called.exit_code == 75
    assert "no answer in time while listing runs" in called.error


@pytest.mark.parametrize(("tag", "fits"), [("2.4.1", False), ("1.8.5", False), ("2.5.0", True), ("2.15.0", True)])
def test_a_server_that_is_too_old(tag: str, fits: bool) -> None:
    with serve(Kfp(tag=tag)) as server:
        called = listed(server.url)
    if fits:
        assert called.exit_code == 0
    else:
        assert called.exit_code == 65
        assert called.error == f"{server.url}: Kubeflow Pipelines {tag} is too old; 2.5 or newer is needed"


@pytest.mark.parametrize("tag", ["unknown", "", "master"])
def test_a_server_that_tells_no_version_is_let_pass(tag: str) -> None:
    with serve(Kfp(tag=tag)) as server:
        assert listed(server.url).exit_code == 0


def test_something_else_answers() -> None:
    with serve(Kfp(refusals={"healthz": (200, b"<!doctype html><title>Sign in</title>")})) as server:
        called = listed(server.url)
    assert called.exit_code == 65
    assert "answers, but not as Kubeflow Pipelines does (is it a login page?)" in called.error
    with serve(Kfp(refusals={"healthz": (302, b"")})) as server:
        assert "sends to a login page (302)" in listed(server.url).error


COMMANDS = [
    ("list",),
    ("list", "pipelines"),
    ("list", "schedules"),
    ("show", "latest"),
    ("compare", "latest", "night"),
    ("lineage", "night"),
    ("terminate", "night"),
    ("delete", "schedule", "night", "--yes"),
]
RUN = {"run_id": "r-1", "display_name": "night", "state": "FAILED"}


@pytest.mark.parametrize(
    "reply", [{"runs": 3}, {}, [], None, 3, {"error": "nope"}, b"hello", b"\xff"], ids=lambda reply: str(reply)[:20]
)
def test_a_server_of_something_else_is_told_as_that(reply: Any) -> None:
    with serving(lambda _: (200, reply)) as url:
        for command in COMMANDS:
            called = call("kubeflow", "--host", url, *command)
            assert called.exit_code == 65
            assert called.error.startswith(f"{url}: is not a Kubeflow Pipelines server: it answered ")


@pytest.mark.parametrize(
    "runs",
    [3, ["x"], [None], [{}], [{"run_id": 3}], [RUN | {"created_at": "noon"}]],
    ids=str,
)
def test_a_server_that_answers_as_one_and_tells_nonsense(runs: Any) -> None:
    """Behind a healthy answer: a proxy, or an API of a time to come."""

    def answer(request: Request) -> tuple[int, Any]:
        return 200, {"tag_name": "2.17.0"} if request.path.endswith("/healthz") else {"runs": runs}

    with serving(answer) as url:
        for command in [each for each in COMMANDS if set(each) & {"latest", "night"} and "schedule" not in each]:
            called = call("kubeflow", "--host", url, *command)
            assert called.exit_code == 65
            assert called.error.startswith(f'{url}: is not a Kubeflow Pipelines server: it answered {{"runs":')
            assert len(called.error) < 200


REFUSALS = [
    (401, 65, "not signed in (401) while listing runs: it is so; name a valid token with token_env or token_file"),
    (403, 65, "not allowed (403) while listing runs: it is so; ask for the role"),
    (404, 65, "not found (404) while listing runs: it is so"),
    (400, 65, "refused (400) while listing runs: it is so"),
    (429, 75, "fault of the server (429) while listing runs: it is so; try again"),
    (500, 75, "fault of the server (500) while listing runs: it is so; try again"),
    (503, 75, "fault of the server (503) while listing runs: it is so; try again"),
]


@pytest.mark.parametrize(("status", "exit_code", "message"), REFUSALS)
def test_refusals(status: int, exit_code: int, message: str) -> None:
    with serve(Kfp(refusals={"/runs": (status, {"code": 1, "message": "it is\nso", "details": []})})) as server:
        called = listed(server.url)
    assert called.exit_code == exit_code
    assert called.error.startswith(f"{server.url}: {message}")


def test_a_page_of_html_is_not_repeated() -> None:
    with serve(Kfp(refusals={"/runs": (502, b"<html><body>Bad gateway</body></html>")})) as server:
        called = listed(server.url)
    assert called.error == f"{server.url}: fault of the server (502) while listing runs; try again"


def test_a_name_that_is_taken(tmp_path: Path) -> None:
    refusals = {"POST /apis/v2beta1/pipelines/upload_version": (409, {"message": "The name taxi already exist"})}
    with serve(Kfp(refusals=refusals)) as server:
        called = call("kubeflow", "--host", server.url, "upload", write_pipeline(tmp_path))
    assert called.exit_code == 65
    assert "(409) while uploading taxi.yaml: The name taxi already exist" in called.error


@pytest.fixture
def contexts_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "contexts.yaml"
    monkeypatch.setenv(contexts.FILE_VARIABLE, str(file))
    return file


@pytest.mark.parametrize("source", ["token_env: MILLRACE_TEST_TOKEN", "token_file: %s/token"])
def test_a_token_is_sent_and_never_shown(
    tmp_path: Path, source: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, contexts_file: Path
) -> None:
    monkeypatch.setenv("MILLRACE_TEST_TOKEN", TOKEN)
    (tmp_path / "token").write_text(TOKEN + "\n")
    caplog.set_level(logging.DEBUG)
    with serve(Kfp(token=TOKEN)) as server:
        source = source % tmp_path if "%" in source else source
        contexts_file.write_text(f'current: test\ncontexts:\n  test: {{host: "{server.url}", {source}}}\n')
        everything = []
        everything.append(
            call("kubeflow", "run", write_pipeline(tmp_path), "-p", "data=/d", "--wait", "--interval", 0.01)
        )
        assert everything[-1].exit_code == 0, everything[-1].err
        everything.append(call("kubeflow", "--context", "test", "list"))
        assert everything[-1].exit_code == 0
        assert all(headers.get("authorization") == f"Bearer {TOKEN}" for *_, headers in server.requests)
        for place, status in itertools.product(("/runs", "/healthz"), (401, 403, 500)):
            server.refusals = {place: (status, {"message": f"bad token {TOKEN}"})}
            everything.append(call("kubeflow", "list"))
            assert "bad token ***" in everything[-1].error
    for called in everything:
        assert TOKEN not in called.out + called.err
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(contexts.find("test"))


def test_a_server_that_wants_a_token() -> None:
    with serve(Kfp(token=TOKEN)) as server:
        called = listed(server.url)
    assert called.exit_code == 65
    assert "not signed in (401) while connecting" in called.error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("contexts: {a: {host: x, token: s3cret}}", "contexts.a.token: secrets do not belong into this file"),
        ("contexts: {a: {host: x, hots: y}}", "unknown key 'contexts.a.hots'"),
        ("contexts: {a: {}}", "contexts.a.host: Field required"),
        ("[]", "holds no contexts"),
        ("a: [", "not YAML"),
        ("contexts: {kind: {host: x}}", "no context 'knd' in"),
        ("contexts: {knd: {host: x, token_env: NOT_SET_HERE}}", "the variable NOT_SET_HERE with the token is not set"),
        ("contexts: {knd: {host: x, token_file: /nowhere/token}}", "token_file /nowhere/token: No such file"),
    ],
)
def test_a_contexts_file_that_is_wrong(tmp_path: Path, content: str, message: str, contexts_file: Path) -> None:
    contexts_file.write_text(content)
    called = call("kubeflow", "--context", "knd", "list")
    assert called.exit_code == 65
    assert message in called.error
    assert "s3cret" not in called.err


def test_contexts_choose_the_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, contexts_file: Path) -> None:
    text = 'current: a\ncontexts: {a: {host: "http://a:1/", namespace: one}, b: {host: b.example.org}}'
    contexts_file.write_text(text)
    assert contexts.find() == contexts.Context("a", "http://a:1", "one")
    assert contexts.find("b", namespace="two") == contexts.Context("b", "https://b.example.org", "two")
    assert contexts.find(host="http://c").host == "http://c"
    monkeypatch.setenv(contexts.HOST_VARIABLE, "http://d")
    assert contexts.find().host == "http://d"
    assert contexts.find("b").name == "b"
    assert call("kubeflow", "--context", "b", "--host", "http://c", "list").error.startswith("--context and --host")


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    called = call("kubeflow", "--host", "http://user:s3cretpw@localhost:1", "show", "latest")
    assert called.exit_code == 65
    assert "leave user and password out of its address" in called.error
    assert "s3cretpw" not in called.err
