"""A city changes, a model of its taxis is found out, trained anew and recovers; docs/loop.md tells it.

Every command that it calls is printed before what it prints. What comes in between is what the world does: it asks
the server, and tells later what was true.
"""

from __future__ import annotations

import argparse
import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

# Works as a module and as a file.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from components.runtime.model_server.client import Client
from runners.serving import rows as rows_module
from scripts.data import taxi_trips
from scripts.story import telling
from scripts.story.telling import Telling, say

LABEL = "tips"
DRIFTS = (0.0, 0.5, 1.0, 1.0)
"""How far the city has changed on each day."""

WATCH = "watch:\n  positive: {above: 0.2, of: fare}\n"
"""What the settings of taxi say besides: a tip is generous above a fifth of the fare, as its preprocessing has it."""

_REQUEST_ROWS = 100


@dataclass
class Story(Telling):
    """One telling.

    Attributes:
      trips: that the first model learns from.
      asked: of each day.
    """

    NAME: ClassVar[str] = "city"

    every: int = 10
    trips: int = 6000
    asked: int = 2000
    steps: int = 300

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
        self.hold_pushed(2)
        day = len(DRIFTS) + 1
        with self.serving() as address:
            self.day(address, day, DRIFTS[-1])
        self.feedback(day)
        say("The new version is asked what it was trained on, and answers as it did when it was blessed:")
        self.watch(1)
        say("It has proved itself:")
        self.promote(2, "quiet since the city changed")

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

    def day(self, address: str, day: int, drift: float) -> None:
        """People ask about trips, and the trips end with a tip; each day is as long as a window."""
        trips = self.folder / f"day-{day}.csv"
        taxi_trips.write(trips, self.asked, 100 + day, drift)
        client = Client(address, self.NAME)
        inputs = client.inputs(client.version())
        rows, _ = rows_module.of_file(trips, inputs, self.asked)
        changed = f" of a city that has changed to {drift:.0%}" if drift else ""
        say(f"Day {day}: {self.asked:,} trips{changed} are asked about.")
        ids = self.ask(address, day, rows, _REQUEST_ROWS)
        with trips.open(newline="") as given:
            labels = [row[LABEL] for row in csv.DictReader(given)]
        self.write_labels(day, "label", zip(ids, labels, strict=True))


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""

    def options(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--trips", type=int, default=Story.trips, help="that the first model learns from")
        parser.add_argument("--asked", type=int, default=Story.asked, help="trips of each day")
        parser.add_argument("--every", type=int, default=Story.every, metavar="SECONDS", help="that a day takes here")

    def made(given: argparse.Namespace, folder: Path) -> Story:
        return Story(folder, given.every, given.trips, given.asked)

    return telling.main("city", (__doc__ or "").split("\n")[0], options, made, argv)


if __name__ == "__main__":
    sys.exit(main())
