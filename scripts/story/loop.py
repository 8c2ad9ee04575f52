"""The loop, from a first model to the one that takes its place when the city changes; docs/loop.md tells it.

Every command that it calls is printed before what it prints. What comes in between is what the world does: it asks
the server, and tells later what was true.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

import urllib3  # noqa: E402

from components.runtime.errors import InputError  # noqa: E402
from components.runtime.model_server.client import Client  # noqa: E402
from runners.serving import rows as rows_module  # noqa: E402
from scripts import command  # noqa: E402
from scripts.data import taxi_trips  # noqa: E402

MILLRACE = str(PROJECT / "millrace")
NAME = "city"
LABEL = "tips"
DRIFTS = (0.0, 0.5, 1.0, 1.0)
"""How far the city has changed on each day."""

WATCH = "watch:\n  positive: {above: 0.2, of: fare}\n"
"""What the settings of taxi say besides: a tip is generous above a fifth of the fare, as its preprocessing has it."""

_REQUEST_ROWS = 100
_READY_SECONDS = 120


@dataclass
class Story:
    """One telling, in a folder of its own.

    Attributes:
      trips: that the first model learns from.
      asked: of each day.
      every: seconds of a day.
    """

    folder: Path
    trips: int = 6000
    asked: int = 2000
    every: int = 10
    steps: int = 300
    ends: list[float] = field(default_factory=list)

    @property
    def model(self) -> Path:
        """Its folder."""
        return self.folder / NAME

    @property
    def data(self) -> Path:
        """The folder of the spans."""
        return self.folder / "data"

    @property
    def root(self) -> Path:
        """The pipeline root."""
        return self.folder / "root"

    def tell(self) -> None:
        """All of it, from the beginning to the end."""
        self.first_model()
        with self.serving() as address:
            for day, drift in enumerate(DRIFTS, 1):
                self.day(address, day, drift)
        for day in range(1, len(DRIFTS) + 1):
            self.feedback(day)
        say("On the first day all was as the model knew it:")
        self.watch(1, day=1)
        say("Nobody has told the model that the city has changed since. Watch finds it out:")
        self.watch(len(DRIFTS), expected=3)
        say("The same look, and this time it starts the training, on the newest two spans, from the model in service:")
        train = ("--retrain", "--data", str(self.data), "--spans", "2")
        self.watch(len(DRIFTS), *train)
        if not (self.root / "serving" / NAME / "2").is_dir():
            raise SystemExit("the model that was trained anew was not pushed; its report says why")
        day = len(DRIFTS) + 1
        with self.serving() as address:
            self.day(address, day, DRIFTS[-1])
        self.feedback(day)
        say("The new version is asked what it was trained on, and answers as it did when it was blessed:")
        self.watch(1)
        say("It has proved itself:")
        self.millrace("promote", str(self.model), "2", "--label", "stable", "--why", "quiet since the city changed")
        self.millrace("versions", str(self.model))

    def first_model(self) -> None:
        """A first span of data, and the model that learns from it."""
        say(f"A city of the year before: {self.trips:,} trips are the first span of data.")
        span = self.data / "span-1"
        span.mkdir(parents=True)
        taxi_trips.write(span / "trips.csv", self.trips, 1)
        self.millrace("new", str(self.model), "--from", "taxi")
        settings = self.model / "settings.yaml"
        text = (
            settings.read_text()
            .replace("format: csv", "format: auto")
            .replace("train_steps: 500", f"train_steps: {self.steps}")
        )
        settings.write_text(f"{text}\n{WATCH}")
        self.millrace("run", str(self.model), "--data", str(self.data), "--spans", "1")

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Serves what is in service, and logs all requests; yields the address."""
        rest, grpc = free_ports()
        ports = ("--port", str(rest), "--grpc-port", str(grpc), "--server", "kserve")
        arguments = ("serve", str(self.model), *ports, "--log", str(self.folder / "logs"), "--log-share", "1")
        show(self.root, arguments)
        log = self.folder / "server.log"
        with log.open("a") as stream:
            server = subprocess.Popen(called(self.root, arguments), stdout=stream, stderr=stream, text=True)
        try:
            address = f"http://127.0.0.1:{rest}"
            wait_until_ready(server, address, log)
            yield address
        finally:
            # It writes what waits for its file.
            server.send_signal(signal.SIGINT)
            server.wait(60)

    def day(self, address: str, day: int, drift: float) -> None:
        """People ask about trips, and the trips end with a tip; each day is as long as a window."""
        trips = self.folder / f"day-{day}.csv"
        taxi_trips.write(trips, self.asked, 100 + day, drift)
        client = Client(address, NAME)
        inputs = client.inputs(client.version())
        rows, _ = rows_module.of_file(trips, inputs, self.asked)
        begin = self._next_beginning()
        changed = f" of a city that has changed to {drift:.0%}" if drift else ""
        say(f"Day {day}: {self.asked:,} trips{changed} are asked about.")
        time.sleep(max(begin - time.time(), 0))
        ids = []
        for first in range(0, len(rows), _REQUEST_ROWS):
            body = json.dumps({"instances": rows[first : first + _REQUEST_ROWS]})
            headers = {"X-Request-Id": f"day{day}.{first}"}
            answer = urllib3.request("POST", f"{address}/v1/models/{NAME}:predict", body=body, headers=headers)
            if answer.status != 200:
                raise SystemExit(f"the server refuses: {answer.data.decode()}")
            ids += [f"day{day}.{first}-{row}" for row in range(len(json.loads(answer.data)["predictions"]))]
        self.ends.append(begin + self.every)
        if time.time() > self.ends[-1]:
            raise SystemExit(f"{self.asked} trips take longer than a day of {self.every} s: give --every more")
        with trips.open(newline="") as given, (self.folder / f"labels-{day}.csv").open("w", newline="") as made:
            writer = csv.writer(made)
            writer.writerow(["prediction_id", "label"])
            writer.writerows((name, row[LABEL]) for name, row in zip(ids, csv.DictReader(given), strict=True))

    def _next_beginning(self) -> float:
        """When the next day begins: right behind the last, so that each is a window."""
        now = time.time()
        if not self.ends:
            return now
        return self.ends[-1] + self.every * max(0, -(-int(now - self.ends[-1]) // self.every))

    def feedback(self, day: int) -> None:
        """The tips of a day become a span of training data."""
        file = str(self.folder / f"labels-{day}.csv")
        logs = str(self.folder / "logs")
        self.millrace("feedback", str(self.model), "--labels", file, "--log", logs, "--out", str(self.data))

    def watch(self, windows: int, *more: str, day: int = 0, expected: int = 0) -> None:
        """Looks at so many days up to one; to the last without."""
        until = datetime.fromtimestamp(self.ends[day - 1], UTC).isoformat(timespec="milliseconds")
        shape = ("--every", f"{self.every}s", "--windows", str(windows), "--until", until)
        self.millrace("watch", str(self.model), "--log", str(self.folder / "logs"), *shape, *more, expected=expected)

    def millrace(self, *arguments: str, expected: int = 0) -> str:
        """Calls a command, shows it, and holds it to its exit code.

        Raises:
          SystemExit: it has another one.
        """
        show(self.root, arguments)
        done = subprocess.Popen(
            called(self.root, arguments), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        lines = []
        for line in done.stdout or ():
            print(f"    {line}", end="", flush=True)
            lines.append(line)
        if done.wait() != expected:
            raise SystemExit(f"exit code {done.returncode} where {expected} was to come")
        return "".join(lines)


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


def wait_until_ready(server: subprocess.Popen[str], address: str, log: Path) -> None:
    """Returns when the model answers.

    Raises:
      SystemExit: the server has ended, or it takes too long.
    """
    end = time.time() + _READY_SECONDS
    while time.time() < end and server.poll() is None:
        with contextlib.suppress(urllib3.exceptions.HTTPError):
            if urllib3.request("GET", f"{address}/v2/models/{NAME}/ready", retries=False, timeout=2).status == 200:
                return
        time.sleep(0.2)
    raise SystemExit(f"the server does not come up; {log}:\n{log.read_text()[-2000:]}")


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.story.loop", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--folder", type=Path, default=PROJECT / "build" / "story", help="made; it must not be there")
    parser.add_argument("--trips", type=int, default=Story.trips, help="that the first model learns from")
    parser.add_argument("--asked", type=int, default=Story.asked, help="trips of each day")
    parser.add_argument("--every", type=int, default=Story.every, metavar="SECONDS", help="that a day takes here")
    arguments = parser.parse_args(argv)

    def told() -> None:
        folder = arguments.folder.absolute()
        if folder.exists():
            raise InputError(f"{command.shown(folder)} is there already; remove it, or give --folder another")
        Story(folder, arguments.trips, arguments.asked, arguments.every).tell()
        say(f"All of it is in {command.shown(folder)}: ./millrace --root {folder / 'root'} explore shows it.")

    return command.run(told)


if __name__ == "__main__":
    sys.exit(main())
