"""The receiver of Slack's buttons: a press answers the run, whatever else comes is refused in one line."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from components.runtime.publish import approval, receiver, slack, suspension
from components.runtime.publish.approval import Question
from components.runtime.publish.receiver import Receiver
from components.runtime.stage import kubernetes as kubernetes_api
from components.runtime.stage.kubernetes import Kubernetes
from tests.components.runtime.publish.test_slack import payload
from tests.runners.argo.argo_server import TOKEN, Argo, serve
from tests.runners.loopback import Request, serving
from tests.support import ROOT

SECRET = "the-signing-secret"
QUESTION = Question(
    run="taxi-1",
    model_digest="sha256:1",
    reason="all 2 thresholds hold",
    metrics={"auc": 0.91},
    approvers=["anna", "U03DIRECT"],
    asked="",
    until=(datetime.now(UTC) + timedelta(hours=1)).isoformat(),
    slack_users={"U02ABCDEF": "anna", "U02BOB": "bob"},
)


@dataclass
class Desk:
    """A receiver for the questions below a folder, and what it says: in its log, and to Slack."""

    root: Path
    url: str
    log: list[str] = field(default_factory=list)
    replies: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.receiver = Receiver([self.root], SECRET, self.log.append, None)

    @property
    def folder(self) -> Path:
        return self.root / "taxi"

    def press(self, question: Question = QUESTION, *, yes: bool = True, user: str = "U02ABCDEF", age: int = 0) -> int:
        """Presses a button of a question's message, and waits until it is done; the status."""
        button = slack.message(question)["blocks"][-1]["elements"][0 if yes else 1]
        body = payload(button, user={"id": user, "username": "anna"}, response_url=f"{self.url}/actions/secret")
        return self.send(body, str(int(time.time()) - age))

    def send(self, body: bytes, stamp: str, signed: str | None = None) -> int:
        signed = slack.signature(SECRET, stamp, body) if signed is None else signed
        status, line = self.receiver.take(stamp, signed, body)
        assert "\n" not in line
        assert SECRET not in line
        # One after the other: behind this one all are done.
        self.receiver._work.submit(lambda: None).result(30)
        return status

    def answer(self) -> dict[str, Any] | None:
        file = self.folder / ".approvals" / "taxi-1.answer.json"
        return json.loads(file.read_text()) if file.exists() else None


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made: list[Desk] = []

    def take(request: Request) -> tuple[int, bytes]:
        assert request.path == "/actions/secret"
        made[0].replies.append(json.loads(request.body))
        return 200, b"ok"

    with serving(take) as url:
        made.append(Desk(tmp_path, url))
        approval.ask(made[0].folder, QUESTION)
        yield made[0]
        made[0].receiver.close()


@pytest.mark.parametrize("yes", [True, False])
def test_a_press_is_the_answer_of_who_that_is_here(desk: Desk, yes: bool) -> None:
    assert desk.press(yes=yes) == 200
    found = desk.answer()
    assert found is not None
    assert (found["approved"], found["by"]) == (yes, "anna")
    assert approval.answered(desk.folder, QUESTION), "it counts for the run that waits"
    said = f"taxi-1: {'approved' if yes else 'not approved'} by anna"
    assert desk.log == [said]
    assert desk.replies == [{"text": said, "replace_original": True}]


def test_what_is_said_in_slack_is_no_markup_there(desk: Desk) -> None:
    state = {"values": {"millrace-why": {"millrace-why": {"value": "<!channel> it is\n& was"}}}}
    button = slack.message(QUESTION)["blocks"][-1]["elements"][0]
    body = payload(button, state=state, response_url=f"{desk.url}/actions/secret")
    desk.send(body, str(int(time.time())))
    assert (desk.answer() or {})["why"] == "<!channel> it is & was"
    assert desk.replies[0]["text"] == "taxi-1: approved by anna: &lt;!channel&gt; it is &amp; was"


def test_who_is_named_by_their_id_may_too(desk: Desk) -> None:
    desk.press(user="U03DIRECT")
    assert (desk.answer() or {})["by"] == "U03DIRECT"


@pytest.mark.parametrize(
    ("question", "user", "why"),
    [
        (QUESTION, "U02BOB", "bob may not approve taxi-1; these may: anna, U03DIRECT"),
        # A name that anybody may choose for themselves is no approver's.
        (QUESTION, "U666", "anna (U666, who is not in slack_users) may not approve taxi-1; these may: anna, U03DIRECT"),
        (replace(QUESTION, run="taxi-2"), "U02ABCDEF", "taxi-2 waits for no answer: it is answered, has ended, or is"),
        (replace(QUESTION, run="../taxi-1"), "U02ABCDEF", "../taxi-1 waits for no answer"),
        (replace(QUESTION, model_digest="sha256:2"), "U02ABCDEF", "the answer of anna is of another model than taxi-1"),
        (
            replace(QUESTION, run="taxi-0", until="2026-01-01T10:00:00+00:00"),
            "U02ABCDEF",
            "too late: taxi-0 could be answered until 2026-01-01 10:00 UTC",
        ),
    ],
)
def test_a_press_that_does_not_count_is_told_to_who_pressed_and_in_the_log(
    desk: Desk, question: Question, user: str, why: str
) -> None:
    assert desk.press(question, user=user) == 200
    assert desk.answer() is None
    [line], [reply] = desk.log, desk.replies
    assert line.startswith(f"refused: {why}")
    assert reply["text"].startswith(why)
    assert (reply["replace_original"], reply["response_type"]) == (False, "ephemeral")


def test_the_first_answer_counts(desk: Desk) -> None:
    desk.press()
    desk.press(yes=False, user="U03DIRECT")
    assert (desk.answer() or {})["approved"] is True
    assert desk.log[-1] == "refused: taxi-1 is answered already: approved by anna"


def test_the_same_request_counts_once_and_an_old_or_a_forged_one_never(desk: Desk) -> None:
    body = payload(slack.message(QUESTION)["blocks"][-1]["elements"][0], user={"id": "U02BOB"}, response_url="")
    stamp = str(int(time.time()))
    assert desk.send(body, stamp) == 200
    assert desk.send(body, stamp) == 401
    assert desk.log[-1] == "refused: the same request has been here before"
    assert desk.send(body, stamp, "v0=" + "0" * 64) == 401
    assert desk.press(age=301) == 401
    assert desk.send(b"payload=x", stamp) == 400
    assert desk.answer() is None
    assert not any(SECRET in line for line in desk.log)


def test_slack_that_cannot_be_told_changes_no_answer(desk: Desk) -> None:
    desk.url = "http://127.0.0.1:9"
    desk.press()
    assert (desk.answer() or {})["by"] == "anna"
    assert desk.log[-1].startswith("Slack is not told: the webhook at 127.0.0.1:9 cannot be reached")


# --- as a process


def start(*arguments: object, **variables: str) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    return subprocess.Popen(
        [sys.executable, "-m", "components.runtime.publish.receiver", *map(str, arguments)],
        cwd=ROOT,
        env=environment | variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_over_http_a_press_is_taken_and_the_process_ends_when_told(desk: Desk) -> None:
    process = start("--directory", desk.root, "--port", 0, MILLRACE_SLACK_SIGNING_SECRET=SECRET)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        port = int(line.rpartition(":")[2].partition("/")[0])

        def ask(method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, str]:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

        assert ask("GET", receiver.HEALTH) == (200, "ok")
        assert ask("POST", "/elsewhere")[0] == 404
        assert ask("POST", receiver.PATH, b"x" * 100_001)[0] == 413
        assert ask("POST", receiver.PATH, b"x")[0] == 401
        for length in ("9" * 5000, "\xb2", "-1", "", "100001"):
            assert ask("POST", receiver.PATH, **{"Content-Length": length}) == (
                413,
                "expected a request of at most 100000 bytes, with its length",
            )
        assert ask("HEAD", receiver.HEALTH) == (200, "")
        assert ask("PUT", receiver.PATH) == (405, "no such method here; Slack posts to /slack")
        for begun in (b"POST /slack HTTP/1.1\r\nContent-Length: 99\r\n\r\nabc", b"POST /slack HTTP/1.1\r\nContent"):
            with socket.create_connection(("127.0.0.1", port)) as gone:
                gone.sendall(begun)
                # (Closed with what is under way thrown away: a reset.)
                gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            told = process.stdout.readline()
            while told.startswith("refused: no request of Slack's"):
                told = process.stdout.readline()
            assert told == "refused: 127.0.0.1 broke its connection off\n"
        with socket.create_connection(("127.0.0.1", port), 30) as odd:
            odd.sendall(b"GET / HTTP/x\x1b\r\n\r\n")
            assert odd.makefile("rb").read() == b"Bad request version ('HTTP/x\\x1b')"
        button = slack.message(QUESTION)["blocks"][-1]["elements"][0]
        body, stamp = payload(button, response_url=f"{desk.url}/actions/secret"), str(int(time.time()))
        signed = {"X-Slack-Request-Timestamp": stamp, "X-Slack-Signature": slack.signature(SECRET, stamp, body)}
        assert ask("POST", receiver.PATH, body, **signed) == (200, "")
        end = time.monotonic() + 30
        while not desk.replies and time.monotonic() < end:
            time.sleep(0.02)
        assert desk.replies[0]["text"] == "taxi-1: approved by anna"
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert SECRET not in line + process.stdout.read()
    finally:
        process.kill()
        assert "Traceback" not in process.communicate()[1]


@pytest.mark.parametrize(
    ("folder", "secret", "why"),
    [
        (".", "", "there is no MILLRACE_SLACK_SIGNING_SECRET in the environment"),
        ("absent", SECRET, "absent: no such folder; name a serving directory"),
    ],
)
def test_what_it_cannot_work_without_is_told(
    tmp_path: Path, folder: str, secret: str, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(slack.SECRET, secret)
    with pytest.raises(InputError, match=why):
        receiver.serve([tmp_path / folder], "127.0.0.1", 0, print)


# --- a suspended Workflow


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Argo, Kubernetes]]:
    """A cluster in which the run of the question is suspended, and how the receiver's pod asks it."""
    server = Argo(plan=["approve-wait", "approve"])
    with serve(server):
        metadata = {"name": "taxi-1", "namespace": "ml"}
        spec = {"entrypoint": "pipeline"}
        server.create(
            "ml", {"apiVersion": "argoproj.io/v1alpha1", "kind": "Workflow", "metadata": metadata, "spec": spec}
        )
        server.suspended["approve-wait"] = suspension.question_text(replace(QUESTION, workflow="taxi-1"))
        account = tmp_path / "account"
        account.mkdir()
        (account / "token").write_text(TOKEN)
        (account / "namespace").write_text("ml")
        monkeypatch.setattr(kubernetes_api, "_INSIDE", server.url)
        yield server, Kubernetes(kubernetes_api.Asker("a receiver", "none", "manifests/approvals"), account=account)


def test_a_suspended_workflow_goes_on_with_the_answer(
    desk: Desk, cluster: tuple[Argo, Kubernetes], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, kubernetes = cluster
    question = replace(QUESTION, workflow="taxi-1")
    approval.ask(desk.folder, question)
    desk.receiver = Receiver([desk.root], SECRET, desk.log.append, kubernetes)
    # Who presses at once is ahead of Argo, which then writes to the Workflow too.
    monkeypatch.setattr(receiver, "_LOOK_SECONDS", 0.01)
    server.plan, server.conflicts = ["train", "evaluate", "approve-ask", "approve-wait", "approve"], 2
    desk.press(question)
    assert desk.log == ["taxi-1: approved by anna"]
    node = server.resumed["approve-wait"]
    told = {each["name"]: each["value"] for each in node["outputs"]["parameters"]}
    given = suspension.answered(question, told)
    assert given is not None
    assert (node["phase"], given.approved, given.by, given.model_digest) == ("Succeeded", True, "anna", "sha256:1")
    assert approval.refusal(question, given) == ""


def test_an_answer_counts_where_the_workflow_cannot_be_resumed(desk: Desk, cluster: tuple[Argo, Kubernetes]) -> None:
    server, kubernetes = cluster
    question = replace(QUESTION, workflow="taxi-1")
    approval.ask(desk.folder, question)
    server.refusals["PATCH"] = (403, "workflows.argoproj.io is forbidden")
    server.steps["taxi-1"] = 5
    for number, known in enumerate((kubernetes, None)):
        desk.receiver = Receiver([desk.root], SECRET, desk.log.append, known)
        desk.press(question, age=number)
        assert desk.answer() is not None
        (desk.folder / ".approvals" / "taxi-1.answer.json").unlink()
    assert all(f"it counts, but the run goes on at {question.deadline} only" in line for line in desk.log)
    assert "manifests/approvals has the role" in desk.log[0]
    assert "./millrace argo approve does" in desk.log[1]
