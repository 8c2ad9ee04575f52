"""Notify: what is told, to whom, and what a destination that does not take it makes of it."""

from __future__ import annotations

import base64
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from components.notify import notify as stage
from components.notify import webhook
from components.notify.message import Message
from components.runtime.errors import InputError, TransientError
from components.runtime.stage import bounded as bounds
from components.runtime.stage import webhook as posting
from components.runtime.stage.artifacts import OutputArtifact
from tests.components.notify.notify_support import FAILED, MailServer, notify
from tests.runners.loopback import Request, serving

PATH = "/services/T000/Secret-Path?token=hidden"
MAIL = {"sender": "runs@example.org", "to": ["a@example.org", "b@example.org"], "security": "none"}
DONE = {
    "state": "SUCCEEDED",
    "pipelineJobResourceName": "taxi-2",
    "millrace": {
        "blessed": True,
        "reason": "all 2 thresholds hold",
        "version": 3,
        "destination": "/serving/taxi",
        "created": True,
    },
}


@pytest.fixture
def received() -> list[Request]:
    return []


def _shows_no_secret(*texts: str) -> bool:
    return not any(part in text for text in texts for part in ("Secret-Path", "hidden", "T000"))


def test_a_failed_run_is_told_with_its_error(tmp_path: Path, received: list[Request]) -> None:
    with serving(lambda request: (received.append(request), (200, b"ok"))[1]) as url:
        result = notify(tmp_path / "out", FAILED, {"MILLRACE_NOTIFY_URL": url + PATH})
    assert result.exit_code == 0, result.stderr
    (request,) = received
    assert (request.method, request.target, request.headers["content-type"]) == ("POST", PATH, "application/json")
    assert json.loads(request.body) == {
        "text": "\u274c taxi failed: run taxi-1\nfailed task: ingest\n"
        "error: data/trips.csv: line 3 has 2 fields, expected 18"
    }
    host = url.removeprefix("http://")
    metadata = result.metadata("message")
    assert (metadata["state"], metadata["told"]) == ("failed", [host])
    assert f"told {host}" in result.stdout
    assert _shows_no_secret(result.stdout, result.stderr, json.dumps(result.output))
    assert (tmp_path / "out" / "message").read_text() == (
        "# \u274c taxi failed\n\n| | |\n| --- | --- |\n| run | taxi-1 |\n| failed task | ingest |\n"
        "| error | data/trips.csv: line 3 has 2 fields, expected 18 |\n"
    )


def test_a_done_run_tells_blessing_and_version(tmp_path: Path, received: list[Request]) -> None:
    with serving(lambda request: (received.append(request), (204, b""))[1]) as url:
        link = "https://runs.example.org/#/{run}"
        result = notify(tmp_path / "out", DONE, {"MILLRACE_NOTIFY_URL": url}, webhook="json", link=link)
    assert result.exit_code == 0, result.stderr
    facts = json.loads(received[0].body)
    text = facts.pop("text")
    assert facts == {
        "pipeline": "taxi",
        "run": "taxi-2",
        "state": "done",
        "link": "https://runs.example.org/#/taxi-2",
        "blessed": "yes (all 2 thresholds hold)",
        "pushed": "version 3 to /serving/taxi",
    }
    assert text.splitlines() == [
        "\u2705 taxi done: run taxi-2",
        "blessed: yes (all 2 thresholds hold)",
        "pushed: version 3 to /serving/taxi",
        "https://runs.example.org/#/taxi-2",
    ]


def test_teams_gets_a_card(tmp_path: Path, received: list[Request]) -> None:
    with serving(lambda request: (received.append(request), (202, b""))[1]) as url:
        assert notify(tmp_path / "out", FAILED, {"MILLRACE_NOTIFY_URL": url}, webhook="teams").exit_code == 0
    (attachment,) = json.loads(received[0].body)["attachments"]
    assert attachment["contentType"] == "application/vnd.microsoft.card.adaptive"
    assert attachment["content"]["body"][0]["text"].endswith("taxi failed: run taxi-1")


def test_without_a_destination_only_the_artifact_is_written(tmp_path: Path) -> None:
    result = notify(tmp_path / "out", DONE, {})
    assert result.exit_code == 0, result.stderr
    assert "nobody is told: there is neither MILLRACE_NOTIFY_URL" in result.stdout
    assert "version 3" in (tmp_path / "out" / "message").read_text()
    assert result.metadata("message")["told"] == []


@pytest.mark.parametrize(
    ("when", "state", "told"),
    [
        *(("always", state, True) for state in ("SUCCEEDED", "FAILED", "CANCELLED", "")),
        *(("failure", state, state not in ("SUCCEEDED", "COMPLETE")) for state in ("COMPLETE", "FAILED", "RUNNING")),
        *(("success", state, state == "SUCCEEDED") for state in ("SUCCEEDED", "CANCELED", "")),
    ],
)
def test_only_wanted_ends_are_told(when: str, state: str, told: bool) -> None:
    assert Message.read({"state": state}, "taxi").wanted(when) is told


@pytest.mark.parametrize(("when", "told"), [("always", True), ("failure", True), ("success", False)])
def test_drift_is_told_where_failures_are(when: str, told: bool) -> None:
    facts = {"watched": "drifted", "watched_reason": "version 3: auc 0.7, at least 0.9"}
    message = Message.read({"state": "SUCCEEDED", "millrace": facts}, "taxi-watch", run="taxi-watch-1")
    assert message.wanted(when) is told
    assert message.text().splitlines() == [
        "\u26a0\ufe0f taxi-watch done, drift found: run taxi-watch-1",
        "watched: drifted: version 3: auc 0.7, at least 0.9",
    ]
    quiet = Message.read({"state": "SUCCEEDED", "millrace": facts | {"watched": "ok"}}, "taxi-watch")
    assert quiet.wanted(when) is (when != "failure")


def test_an_unwanted_end_is_not_told(tmp_path: Path, received: list[Request]) -> None:
    with serving(lambda request: (received.append(request), (200, b""))[1]) as url:
        result = notify(tmp_path / "out", DONE, {"MILLRACE_NOTIFY_URL": url}, when="failure")
    assert result.exit_code == 0, result.stderr
    assert not received
    assert "nobody is told: the run is done, and only failure is told" in result.stdout


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, "\u2753 taxi ended\nstate: not known here; this server does not tell its exit tasks"),
        # As Kubeflow 2.14 and Vertex fill it in.
        (
            {
                "state": "FAILED",
                "pipelineTaskName": "exit-handler-1",
                "error": {"message": "exit code\n65"},
                "pipelineJobResourceName": "projects/1/locations/europe-west4/pipelineJobs/taxi-2026",
            },
            "\u274c taxi failed: run taxi-2026\nerror: exit code 65",
        ),
        ({"state": "CANCELLED", "pipelineJobResourceName": "r"}, "\u23f9\ufe0f taxi stopped: run r"),
        (
            {"state": "SUCCEEDED", "millrace": {"blessed": False, "reason": "auc 0.4 < 0.5"}},
            "\u2705 taxi done\nblessed: no (auc 0.4 < 0.5)\npushed: nothing",
        ),
        (
            {"state": "SUCCEEDED", "millrace": {"version": 2.0, "destination": "/s", "created": False}},
            "\u2705 taxi done\npushed: version 2 to /s (in service already)",
        ),
        (
            {"state": "SUCCEEDED", "millrace": {"version": 3.0, "destination": "/s", "created": True, "same_as": 1.0}},
            "\u2705 taxi done\npushed: version 3 to /s (the model of version 1 again)",
        ),
        (
            {"state": "FAILED", "error": {"message": "https://me:word@example.org/x: 403"}},
            "\u274c taxi failed\nerror: https://***@example.org/x: 403",
        ),
    ],
)
def test_what_is_told_of_each_end(status: dict[str, Any], expected: str) -> None:
    assert Message.read(status, "taxi").text() == expected


@pytest.mark.parametrize(
    ("resource", "run", "run_id", "title", "page"),
    [
        ("", "night", "", "taxi ended: run night", "https://h/night"),
        # Kubeflow's status has the name of the Workflow, which the dashboard shows nowhere, nor has it in an address.
        ("taxi-7n6xm", "no data", "4f1c-02", "taxi ended: run no data", "https://h/4f1c-02"),
        ("", "no data", "4f1c-02", "taxi ended: run no data", "https://h/4f1c-02"),
        ("taxi-7n6xm", "", "", "taxi ended: run taxi-7n6xm", "https://h/taxi-7n6xm"),
        # As a server hands them on that does not know them.
        ("a", "{{$.pipeline_job_name}}", "{{$.pipeline_job_uuid}}", "taxi ended: run a", "https://h/a"),
        # Vertex has a number for an id, which no address has.
        ("projects/1/locations/r/pipelineJobs/taxi-1", "taxi-1", "77", "taxi ended: run taxi-1", "https://h/taxi-1"),
        # Here and on Argo all of them are the run's name.
        ("taxi-1", "taxi-1", "taxi-1", "taxi ended: run taxi-1", "https://h/taxi-1"),
    ],
)
def test_a_run_is_named_as_the_dashboard_names_it(resource: str, run: str, run_id: str, title: str, page: str) -> None:
    message = Message.read({"pipelineJobResourceName": resource}, "taxi", "https://h/{run}", run, run_id)
    assert (message.title(), message.link) == (title, page)


def test_the_name_of_the_run_is_told(tmp_path: Path) -> None:
    result = notify(tmp_path, {"state": "SUCCEEDED", "pipelineJobResourceName": "taxi-1"}, {}, run="the night's")
    assert result.exit_code == 0
    assert "taxi done: run the night's" in result.stdout


def test_markdown_shows_an_error_as_it_is() -> None:
    status = {"state": "FAILED", "error": {"message": "a|b <script> *x* [y](z)"}}
    assert r"a\|b &lt;script&gt; \*x\* \[y\](z)" in Message.read(status, "taxi").markdown()
    long = {"state": "FAILED", "error": {"message": "x" * 5000}}
    assert len(Message.read(long, "taxi").text()) < 1100


# --- destinations that do not take it


@pytest.mark.parametrize(
    ("code", "exit_code", "line"),
    [
        (404, 65, "answers 404 Not Found; is MILLRACE_NOTIFY_URL still its address"),
        (400, 65, "answers 400 Bad Request"),
        (302, 65, "answers 302 Found, a redirect"),
        (503, 75, "answers 503 Service Unavailable; try again later"),
        (429, 75, "answers 429 Too Many Requests"),
    ],
)
def test_a_refusal_is_one_line_without_the_address(
    code: int, exit_code: int, line: str, tmp_path: Path, received: list[Request]
) -> None:
    def answer(request: Request) -> tuple[int, bytes]:
        received.append(request)
        return code, f"cannot POST {request.target}".encode()

    with serving(answer) as url:
        result = notify(tmp_path / "out", FAILED, {"MILLRACE_NOTIFY_URL": url + PATH})
    assert result.exit_code == exit_code, result.stderr
    assert result.error.startswith(f"the webhook at {url.removeprefix('http://')} {line}")
    assert _shows_no_secret(result.stdout, result.stderr)
    assert len(received) == 1
    assert not (tmp_path / "out" / "message").exists()


@pytest.mark.parametrize(
    "address",
    [
        "hooks.example.org/Secret-Path",
        "ftp://example.org/Secret-Path",
        "https:///Secret-Path",
        "http://example.org:port/Secret-Path",
        "https://example.org/Secret Path/Secret-Path",
        "http://127.0.0.1:9/\x01Secret-Path",
        "http://127.0.0.1:9/é/Secret-Path",
    ],
)
def test_an_address_that_is_none(address: str) -> None:
    with pytest.raises(InputError, match="MILLRACE_NOTIFY_URL") as error:
        webhook.post(address, "text", Message.read(FAILED, "taxi"))
    assert _shows_no_secret(str(error.value))


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}{PATH}"
        result = notify(tmp_path / "out", FAILED, {"MILLRACE_NOTIFY_URL": url})
    assert result.exit_code == 75, result.stderr
    assert "cannot be reached: Connection refused" in result.error
    assert _shows_no_secret(result.stdout, result.stderr)


def test_a_server_that_says_nothing_or_too_little_too_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each bound by itself: the other one is longer by seconds, since the machine may be busy."""
    monkeypatch.setattr(posting, "SILENCE_SECONDS", 0.3)
    message = Message.read(FAILED, "taxi")
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}{PATH}"
        begun = time.monotonic()
        with pytest.raises(TransientError, match="does not answer within") as silence:
            webhook.post(url, "text", message)
        assert time.monotonic() - begun < bounds.TOTAL_SECONDS / 2

        def drip() -> None:
            server.accept()
            connection = server.accept()[0]
            with connection:
                connection.recv(1)
                for letter in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"x" * 300:
                    try:
                        connection.sendall(bytes([letter]))
                    except OSError:
                        return
                    time.sleep(0.1)

        threading.Thread(target=drip, daemon=True).start()
        monkeypatch.setattr(posting, "SILENCE_SECONDS", 10.0)
        monkeypatch.setattr(bounds, "TOTAL_SECONDS", 0.8)
        begun = time.monotonic()
        with pytest.raises(TransientError, match="does not answer within") as drops:
            webhook.post(url, "text", message)
        assert 0.8 <= time.monotonic() - begun < posting.SILENCE_SECONDS
    assert _shows_no_secret(str(silence.value), str(drops.value))


@pytest.mark.parametrize(
    ("parameters", "line"),
    [
        ({"when": "sometimes"}, "notify: when is 'sometimes', expected one of always, failure, success"),
        ({"webhook": "pigeon"}, "notify: webhook is 'pigeon', expected one of text, teams, json"),
        ({"link": "runs/{run}"}, "notify: link is 'runs/{run}'"),
        ({"mail": {"server": "mail:x", "sender": "a@b", "to": ["c@d"]}}, "notify.mail: server is 'mail:x'"),
        ({"mail": {"server": "mail", "sender": "a@b", "to": []}}, "notify.mail: to names nobody"),
        ({"mail": {"server": "mail", "sender": "a@b", "to": ["c"]}}, "notify.mail: 'c' is no address"),
        ({"mail": {"server": "mail", "password": "x"}}, "notify.mail: unknown key 'password'"),
        ({"mail": MAIL | {"server": "mail", "security": "ssl"}}, "notify.mail: security is 'ssl'"),
    ],
)
def test_settings_that_are_wrong(parameters: dict[str, Any], line: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"when": "always", "webhook": "text", "mail": {}, "link": ""} | parameters
    with pytest.raises(InputError) as error:
        stage.notify(DONE, "taxi", message=OutputArtifact("message", str(tmp_path / "message")), **given)
    assert str(error.value).startswith(line)
    assert not (tmp_path / "message").exists()


# --- mail


def test_mail_is_delivered_with_a_login(tmp_path: Path) -> None:
    secrets = {"MILLRACE_MAIL_USER": "me", "MILLRACE_MAIL_PASSWORD": "open-sesame"}
    with MailServer().running() as server:
        result = notify(tmp_path / "out", FAILED, secrets, mail=MAIL | {"server": server.address})
    assert result.exit_code == 0, result.stderr
    (letter,) = server.letters
    assert letter["Subject"] == "taxi failed: run taxi-1"
    assert (letter["From"], letter["To"]) == ("runs@example.org", "a@example.org, b@example.org")
    assert "failed task: ingest\nerror: data/trips.csv: line 3" in letter.get_content().replace("\r\n", "\n")
    assert len(server.recipients) == 2
    assert base64.b64decode(server.logins[0].split()[-1]).split(b"\0")[1:] == [b"me", b"open-sesame"]
    assert "open-sesame" not in result.stdout + result.stderr + json.dumps(result.output)


@pytest.mark.parametrize(
    ("refusals", "exit_code", "line"),
    [
        ({"AUTH": "535 no"}, 65, "refuses MILLRACE_MAIL_USER and MILLRACE_MAIL_PASSWORD (535)"),
        ({"RCPT": "550 unknown"}, 65, "refuses all recipients (550)"),
        ({"RCPT": "451 later"}, 75, "refuses all recipients (451)"),
        ({"MAIL": "552 full"}, 65, "answers 552"),
        ({"DATA": "421 busy"}, 75, "answers 421"),
    ],
)
def test_a_mail_server_that_refuses(refusals: dict[str, str], exit_code: int, line: str, tmp_path: Path) -> None:
    secrets = {"MILLRACE_MAIL_USER": "me", "MILLRACE_MAIL_PASSWORD": "open-sesame"}
    with MailServer(refusals).running() as server:
        result = notify(tmp_path / "out", FAILED, secrets, mail=MAIL | {"server": server.address})
        assert result.exit_code == exit_code, result.stderr
        assert result.error.startswith(f"the mail server {server.address} {line}")
    assert "open-sesame" not in result.stdout + result.stderr


def test_a_mail_server_without_encryption_gets_no_password(tmp_path: Path) -> None:
    secrets = {"MILLRACE_MAIL_USER": "me", "MILLRACE_MAIL_PASSWORD": "open-sesame"}
    with MailServer().running() as server:
        mail = MAIL | {"server": server.address, "security": "starttls"}
        result = notify(tmp_path / "out", FAILED, secrets, mail=mail)
    assert result.exit_code == 65, result.stderr
    assert "does not offer what security 'starttls'" in result.error
    assert not server.logins


def test_one_destination_that_fails_does_not_silence_the_other(tmp_path: Path) -> None:
    """And nothing is tried again that would tell the other one twice."""
    with serving(lambda _: (503, b"")) as url, MailServer().running() as server:
        environment = {"MILLRACE_NOTIFY_URL": url + PATH}
        result = notify(tmp_path / "out", FAILED, environment, mail=MAIL | {"server": server.address})
    assert len(server.letters) == 1
    assert result.exit_code == 65
    assert "answers 503" in result.error
    assert result.error.endswith("(mail was told)")
