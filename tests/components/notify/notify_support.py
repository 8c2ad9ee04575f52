"""What the tests of notify share: a status, a call of the stage, a mail server on the loopback device."""

from __future__ import annotations

import contextlib
import os
import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from tests.support import StageResult, run_stage

FAILED = {
    "state": "FAILED",
    "pipelineJobResourceName": "taxi-1",
    "error": {"code": 65, "message": "data/trips.csv: line 3 has 2 fields, expected 18"},
    "millrace": {"task": "ingest"},
}


def notify(folder: Path, status: dict[str, Any], environment: dict[str, str], **parameters: Any) -> StageResult:
    """Runs the stage with nothing of its own in the environment but what is given."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("MILLRACE_")}
    given = {"pipeline": "taxi", "when": "always", "webhook": "text", "mail": {}, "link": ""} | parameters
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(own | environment)
    try:
        return run_stage("notify", folder, parameters=given | {"status": status}, outputs=["message"])
    finally:
        os.environ.clear()
        os.environ.update(before)


@dataclass
class MailServer:
    """A server of SMTP that takes mail, or answers a command with a refusal of its own.

    Attributes:
      refusals: reply by the first word of a command.
      silent: whether it says nothing at all.
    """

    refusals: dict[str, str] = field(default_factory=dict)
    silent: bool = False
    letters: list[EmailMessage] = field(default_factory=list)
    recipients: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    @contextlib.contextmanager
    def running(self) -> Iterator[MailServer]:
        """Serves while the context lasts."""
        ours = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                if ours.silent:
                    self.rfile.readline()
                    return
                self._say("220 loopback")
                while line := self.rfile.readline().decode().strip():
                    word, _, rest = line.partition(" ")
                    word = word.upper()
                    if word in ours.refusals:
                        self._say(ours.refusals[word])
                    elif word == "EHLO":
                        self._say("250-loopback\r\n250 AUTH PLAIN")
                    elif word == "AUTH":
                        ours.logins.append(rest)
                        self._say("235 yes")
                    elif word == "DATA":
                        self._say("354 go on")
                        self._letter()
                        self._say("250 taken")
                    elif word == "QUIT":
                        self._say("221 bye")
                        return
                    else:
                        if word == "RCPT":
                            ours.recipients.append(rest)
                        self._say("250 yes")

            def _letter(self) -> None:
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line)
                letter = message_from_bytes(b"".join(lines), policy=policy.default)
                assert isinstance(letter, EmailMessage)
                ours.letters.append(letter)

            def _say(self, text: str) -> None:
                self.wfile.write(f"{text}\r\n".encode())

        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
            server.daemon_threads = True
            self.port = server.server_address[1]
            threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
            yield self
            server.shutdown()
