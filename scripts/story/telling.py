"""What stories share: commands that are shown and held to their exit codes, a server, days, labels that come later."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import urllib3

from components.runtime.errors import InputError
from components.runtime.model_server.client import Client
from scripts import command

PROJECT = Path(__file__).resolve().parents[2]
MILLRACE = str(PROJECT / "millrace")
_READY_SECONDS = 120


@dataclass
class Telling(ABC):
    """One telling of a story, in a folder of its own.

    Attributes:
      every: seconds of a day.
      ends: of the days so far, in seconds of the clock.
    """

    NAME: ClassVar[str]
    """Of the model."""
    SERVED: ClassVar[tuple[str, ...]] = ()
    """What `serve` is told besides."""

    folder: Path
    every: int
    ends: list[float] = field(default_factory=list, init=False)

    @property
    def model(self) -> Path:
        """Its folder."""
        return self.folder / self.NAME

    @property
    def data(self) -> Path:
        """The folder of the spans."""
        return self.folder / "data"

    @property
    def root(self) -> Path:
        """The pipeline root."""
        return self.folder / "root"

    @abstractmethod
    def tell(self) -> None:
        """All of it, from the beginning to the end."""

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serves what is in service, and logs all requests; yields the address."""
        rest, grpc = free_ports()
        ports = ("--port", str(rest), "--grpc-port", str(grpc), "--server", "kserve")
        log = ("--log", str(self.folder / "logs"), "--log-share", "1", *self.SERVED)
        arguments = ("serve", str(self.model), *ports, *log)
        show(self.root, arguments)
        said = self.folder / "server.log"
        with said.open("a") as stream:
            server = subprocess.Popen(called(self.root, arguments), stdout=stream, stderr=stream, text=True)
        try:
            address = f"http://127.0.0.1:{rest}"
            wait_until_ready(server, Client(address, self.NAME), said)
            yield address
        finally:
            # It writes what waits for its file.
            server.send_signal(signal.SIGINT)
            server.wait(60)

    def ask(self, address: str, day: int, rows: Sequence[Any], at_once: int) -> list[str]:
        """Asks rows within a day, the first day behind the last; returns the ids of the predictions.

        Raises:
          SystemExit: the server refuses, or the day is too short.
        """
        begin = self._next_beginning()
        time.sleep(max(begin - time.time(), 0))
        ids = []
        for first in range(0, len(rows), at_once):
            body = json.dumps({"instances": rows[first : first + at_once]})
            headers = {"X-Request-Id": f"day{day}.{first}"}
            address_of_model = f"{address}/v1/models/{self.NAME}:predict"
            # (A first request may have to wait for what a model does once.)
            answer = urllib3.request("POST", address_of_model, body=body, headers=headers, timeout=self.every)
            if answer.status != 200:
                raise SystemExit(f"the server refuses: {answer.data.decode()}")
            ids += [f"day{day}.{first}-{row}" for row in range(len(json.loads(answer.data)["predictions"]))]
        self.ends.append(begin + self.every)
        if time.time() > self.ends[-1]:
            raise SystemExit(f"{len(rows)} requests take longer than a day of {self.every} s: give --every more")
        return ids

    def _next_beginning(self) -> float:
        """When the next day begins: right behind the last, so that each is a window."""
        now = time.time()
        if not self.ends:
            return now
        return self.ends[-1] + self.every * max(0, -(-int(now - self.ends[-1]) // self.every))

    def labels_file(self, day: int) -> Path:
        """Where the labels of a day are."""
        return self.folder / f"labels-{day}.csv"

    def write_labels(self, day: int, column: str, labels: Iterable[tuple[str, str]]) -> None:
        """Writes what has turned out of a day, by the ids of the predictions."""
        with self.labels_file(day).open("w", newline="") as made:
            writer = csv.writer(made)
            writer.writerow(["prediction_id", column])
            writer.writerows(labels)

    def feedback(self, day: int) -> None:
        """The labels of a day become a span of training data."""
        logs = str(self.folder / "logs")
        labels = str(self.labels_file(day))
        self.millrace("feedback", str(self.model), "--labels", labels, "--log", logs, "--out", str(self.data))

    def watch(self, windows: int, *more: str, day: int = 0, expected: int = 0) -> None:
        """Looks at so many days up to one; to the last without."""
        until = datetime.fromtimestamp(self.ends[day - 1], UTC).isoformat(timespec="milliseconds")
        shape = ("--every", f"{self.every}s", "--windows", str(windows), "--until", until)
        self.millrace("watch", str(self.model), "--log", str(self.folder / "logs"), *shape, *more, expected=expected)

    def millrace(self, *arguments: str, expected: int = 0) -> None:
        """Calls a command, shows it, and holds it to its exit code.

        Raises:
          SystemExit: it has another one.
        """
        show(self.root, arguments)
        done = subprocess.Popen(
            called(self.root, arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in done.stdout or ():
            print(f"    {line}", end="", flush=True)
        if done.wait() != expected:
            raise SystemExit(f"exit code {done.returncode} where {expected} was to come")

    def promote(self, version: int, why: str) -> None:
        """Names a version stable, and shows the versions.

        Raises:
          SystemExit: it was not pushed.
        """
        self.millrace("promote", str(self.model), str(version), "--label", "stable", "--why", why)
        self.millrace("versions", str(self.model))

    def hold_pushed(self, version: int) -> None:
        """Ends the story where a version was not pushed.

        Raises:
          SystemExit: it was not.
        """
        if not (self.root / "serving" / self.NAME / str(version)).is_dir():
            raise SystemExit("the model that was trained anew was not pushed; its report says why")


def called(root: Path, arguments: Sequence[str]) -> list[str]:
    """The command line of a command."""
    return [MILLRACE, "--root", str(root), *arguments]


def show(root: Path, arguments: Sequence[str]) -> None:
    """Prints it as a person types it."""
    print(f"\n  $ ./millrace --root {root} {' '.join(arguments)}", flush=True)


def say(line: str) -> None:
    """Prints what happens."""
    print(f"\n{line}", flush=True)


def free_ports() -> tuple[int, int]:
    """Two ports that nobody listens on."""
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1]), int(other.getsockname()[1])


def wait_until_ready(server: subprocess.Popen[str], client: Client, log: Path) -> None:
    """Returns when the model answers.

    Raises:
      SystemExit: the server has ended, or it takes too long.
    """
    end = time.time() + _READY_SECONDS
    ready = f"{client.address}/v2/models/{client.model}/ready"
    while time.time() < end and server.poll() is None:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", ready, retries=False, timeout=2).status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"the server does not come up; {log}:\n{log.read_text()[-2000:]}")


def main(
    story: str,
    about: str,
    options: Callable[[argparse.ArgumentParser], None],
    made: Callable[[argparse.Namespace, Path], Telling],
    argv: list[str] | None,
) -> int:
    """Runs the command line of a story; returns the exit code.

    Args:
      story: its module.
      about: what it tells, in a line.
      options: adds those of this story.
      made: makes the telling, in a folder that is not there yet.
      argv: the arguments; those of the process without.
    """
    parser = argparse.ArgumentParser(prog=f"python -m scripts.story.{story}", description=about)
    place = PROJECT / "build" / ("story" if story == "city" else f"story-{story}")
    parser.add_argument("--folder", type=Path, default=place, help="made; it must not be there")
    options(parser)
    arguments = parser.parse_args(argv)

    def told() -> None:
        folder = arguments.folder.absolute()
        if folder.exists():
            raise InputError(f"{command.shown(folder)} is there already; remove it, or give --folder another")
        made(arguments, folder).tell()
        say(f"All of it is in {command.shown(folder)}: ./millrace --root {folder / 'root'} explore shows it.")

    return command.run(told)
