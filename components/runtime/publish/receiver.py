"""Receives the buttons of Slack: `python -m components.runtime.publish.receiver`, where the serving directories are.

A signed press becomes the answer that `./millrace approve` would write, and a suspended Workflow is resumed with it.
What is refused is told in one line, to who pressed and in the log.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import http
import http.server
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.publish import approval, slack, suspension
from components.runtime.publish.approval import Answer, Question
from components.runtime.publish.slack import Press
from components.runtime.stage import webhook
from components.runtime.stage.kubernetes import Asker, Kubernetes
from components.runtime.text.visible import in_one_line

PATH = "/slack"
"""Of what Slack calls the app's Request URL."""
HEALTH = "/healthz"
PORT = 8080
_MOST_BYTES = 100_000
_LONGEST_LINE = 200
_SILENCE_SECONDS = 10.0
_ATTEMPTS = 5
_SUSPENDING_SECONDS, _LOOK_SECONDS = 30.0, 1.0
_ASKER = Asker("the receiver resumes Workflows", "its service account", "manifests/approvals")


class Receiver:
    """Takes presses for the questions of serving directories."""

    def __init__(self, places: Sequence[Path], secret: str, say: Callable[[str], None], cluster: Kubernetes | None):
        """Takes what it needs; looks nowhere yet.

        Args:
          places: serving directories, or folders of these.
          secret: the signing secret of the Slack app.
          say: writes a line into the log.
          cluster: where suspended Workflows are resumed; None where this is no pod with that right.
        """
        self._places, self._secret, self.say, self._cluster = places, secret, say, cluster
        self._seen: dict[str, float] = {}
        self._lock = threading.Lock()
        # One after the other: two presses at once cannot both be the first.
        self._work = concurrent.futures.ThreadPoolExecutor(1)

    def take(self, timestamp: str, signed: str, body: bytes) -> tuple[int, str]:
        """The status and the line that a request is answered with; what it asks for is done behind it.

        (Slack waits 3 seconds.)

        Args:
          timestamp: header `X-Slack-Request-Timestamp`.
          signed: header `X-Slack-Signature`.
          body: as it came.
        """
        now = time.time()
        refused = slack.refusal(self._secret, timestamp, signed, body, now)
        if not refused and self._was_here(signed, now):
            refused = "the same request has been here before"
        if refused:
            self.say(f"refused: {refused}")
            return 401, refused
        try:
            press = slack.press(body)
        except ValueError as error:
            self.say(f"refused: {error}")
            return 400, str(error)
        if press:
            self._work.submit(self._answer, press)
        return 200, ""

    def close(self) -> None:
        """Ends when all that was taken is done."""
        self._work.shutdown()

    def _was_here(self, signed: str, now: float) -> bool:
        with self._lock:
            self._seen = {each: when for each, when in self._seen.items() if now - when < 2 * slack.AGE_SECONDS}
            was_here = signed in self._seen
            self._seen[signed] = now
            return was_here

    def _answer(self, press: Press) -> None:
        try:
            said, counts = self._answered(press), True
        except StageError as error:
            said, counts = str(error), False
        except OSError as error:
            said, counts = f"the answer cannot be written: {error.strerror}", False
        self.say(said if counts else f"refused: {said}")
        reply: dict[str, Any] = {"text": slack.escaped(said)}
        reply |= {"replace_original": True} if counts else {"replace_original": False, "response_type": "ephemeral"}
        if press.response_url:
            try:
                webhook.post(press.response_url, reply)
            except StageError as error:
                self.say(f"Slack is not told: {error}")

    def _answered(self, press: Press) -> str:
        """Writes the answer, and says what became of it.

        Raises:
          StageError: it does not count, and why.
        """
        folder, question = self._asked(press)
        unknown = ", who is not in slack_users" if question.approvers else ""
        by = question.slack_users.get(press.user) or (
            # What somebody calls themselves in Slack is no name of ours.
            press.user if press.user in question.approvers else f"{press.name} ({press.user}{unknown})"
        )
        given = Answer(press.approved, by, press.why, press.model_digest)
        approval.answer(folder, question, given)
        said = f"{question.run}: {given.said}"
        if question.workflow:
            try:
                self._resume(question, given)
            except StageError as error:
                return f"{said}; it counts, but the run goes on at {question.deadline} only: {error}"
        return said

    def _asked(self, press: Press) -> tuple[Path, Question]:
        found = [
            each
            for place in self._places
            for folder in (place, *(child for child in sorted(place.glob("*")) if child.is_dir()))
            for each in approval.waiting(folder)
            if each[1].run == press.run
        ]
        if found:
            return found[0]
        try:
            is_late = datetime.fromisoformat(press.until) < datetime.now(UTC)
        except (ValueError, TypeError):
            is_late = False
        raise InputError(
            f"too late: {press.run} could be answered until {press.until[:16].replace('T', ' ')} UTC"
            if is_late
            else f"{press.run} waits for no answer: it is answered, has ended, or is not one of here"
        )

    def _resume(self, question: Question, given: Answer) -> None:
        """Has a suspended Workflow go on with an answer.

        Raises:
          StageError: it cannot be resumed from here.
        """
        if self._cluster is None:
            raise InputError("this is no pod that may resume it; ./millrace argo approve does")
        place = f"/apis/argoproj.io/v1alpha1/namespaces/{self._cluster.namespace}/workflows/{question.workflow}"
        begun, conflicts = time.monotonic(), 0
        while True:
            workflow = self._cluster.get(place)
            nodes = [node for node, asked in suspension.suspended(workflow).items() if asked.run == question.run]
            if nodes:
                try:
                    self._cluster.merge(place, suspension.resumption(workflow, nodes[0], given))
                    return
                except TransientError:
                    # Argo has written to it meanwhile.
                    conflicts += 1
                    if conflicts == _ATTEMPTS:
                        raise
            elif time.monotonic() - begun > _SUSPENDING_SECONDS:
                raise InputError(f"{question.workflow} is not suspended")
            else:
                # People are told shortly before.
                time.sleep(_LOOK_SECONDS)


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], receiver: Receiver) -> None:
        self.receiver = receiver
        super().__init__(address, _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that has gone is a line; anything else is a fault of ours, with its trace."""
        error = sys.exception()
        if isinstance(error, ConnectionError):
            self.receiver.say(f"refused: {client_address[0]} broke its connection off")
        else:
            super().handle_error(request, client_address)


class _Handler(http.server.BaseHTTPRequestHandler):
    timeout = _SILENCE_SECONDS
    server: _Server

    def do_GET(self) -> None:
        """Whether it works."""
        self._reply(*((200, "ok") if self.path == HEALTH else (404, f"nothing here; Slack posts to {PATH}")))

    do_HEAD = do_GET

    def do_POST(self) -> None:
        """A press."""
        if self.path != PATH:
            self._reply(404, f"nothing here; Slack posts to {PATH}")
            return
        length = self.headers.get("Content-Length", "")
        is_number = length.isascii() and length.isdecimal() and len(length) <= len(str(_MOST_BYTES))
        if not is_number or int(length) > _MOST_BYTES:
            self._reply(413, f"expected a request of at most {_MOST_BYTES} bytes, with its length")
            return
        body = self.rfile.read(int(length))
        stamp, signed = (self.headers.get(f"X-Slack-{each}", "") for each in ("Request-Timestamp", "Signature"))
        self._reply(*self.server.receiver.take(stamp, signed, body))

    def _reply(self, status: int, line: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; charset=utf-8")
        self.send_header("Content-Length", str(len(line.encode())))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(line.encode())

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What answers to a request that the library refuses, such as one of another method."""
        if code == http.HTTPStatus.NOT_IMPLEMENTED:
            self._reply(405, f"no such method here; Slack posts to {PATH}")
        else:
            self._reply(code, in_one_line(message or http.HTTPStatus(code).phrase)[:_LONGEST_LINE])

    def log_message(self, *_: object) -> None:
        """The receiver tells what matters."""


def serve(places: Sequence[Path], address: str, port: int, say: Callable[[str], None]) -> None:
    """Receives presses until the process is told to end.

    Args:
      places: serving directories, or folders of these.
      address: where it listens.
      port: of HTTP.
      say: writes a line into the log.

    Raises:
      InputError: no secret in the environment, no such folder, or the port is taken.
    """
    secret = os.environ.get(slack.SECRET, "").strip()
    if not secret:
        raise InputError(f"there is no {slack.SECRET} in the environment: the signing secret of the Slack app")
    for place in places:
        if not place.is_dir():
            raise InputError(f"{place}: no such folder; name a serving directory, or a folder of these")
    try:
        cluster = Kubernetes(_ASKER)
    except InputError:
        cluster = None
    receiver = Receiver(places, secret, lambda line: say(in_one_line(line)), cluster)
    try:
        server = _Server((address, port), receiver)
    except OSError as error:
        raise InputError(f"{address}:{port}: cannot listen there ({error.strerror}); name another port") from None

    def end(*_: object) -> None:
        threading.Thread(target=server.shutdown).start()

    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, end)
    with server:
        say(f"receives the buttons of Slack on http://{address}:{server.server_address[1]}{PATH}")
        server.serve_forever(0.2)
    receiver.close()


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument(
        "--directory", required=True, action="append", type=Path, help="a serving directory, or a folder of these"
    )
    parser.add_argument("--address", default="127.0.0.1", help="where it listens; 0.0.0.0 for all that can reach it")
    parser.add_argument("--port", type=int, default=PORT)
    given = parser.parse_args(argv)
    # As a pod of a run: its group may write what it has made.
    os.umask(0o002)
    try:
        serve(given.directory, given.address, given.port, _say)
    except StageError as error:
        sys.stderr.write(f"error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
