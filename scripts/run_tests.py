"""Runs the tests, each in the environment of the stage that it tests, and says in one line what was left out.

Which environment a test runs in is its folder, by images/environments.yaml: a stage's tests run where the stage does,
those of the models where models are trained, those of the model server and of notebooks where these run, all others in
the client's.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import yaml

PROJECT = Path(__file__).resolve().parent.parent
_MODELS_ENVIRONMENT = "ml"
_SERVER_ENVIRONMENT = "serving"
_NOTEBOOK = {"notebook": ["tests/runners/notebook"]}
"""The environment that is no stage's."""
# Needs the programs of a cluster; see docs/deploy.md.
_BY_HAND = ("tests/cluster",)
# More of them would hold more copies of TensorFlow than most machines have memory for.
_MOST_PROCESSES = 4
_AT_ONCE = 2
"""So many environments."""
_NO_TESTS = 5
_MANY_REASONS = 4


@dataclass
class Outcome:
    """What came of the tests of one environment.

    Attributes:
      failed: whether any test failed, or none could run.
      counts: of tests by what became of them: passed, failed, skipped.
      skipped: how many were skipped, by reason.
    """

    failed: bool
    counts: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)


def folders() -> dict[str, list[str]]:
    """What pytest is given in each environment: folders, and for the client what others run and it does not."""
    environments = yaml.safe_load((PROJECT / "images" / "environments.yaml").read_text())
    tests: dict[str, list[str]] = {}
    for name, environment in environments.items():
        if name != "client":
            tests[name] = [f"tests/components/{stage}" for stage in environment["stages"]]
    tests[_MODELS_ENVIRONMENT].append("tests/models")
    tests[_SERVER_ENVIRONMENT].append("tests/model_server")
    tests |= _NOTEBOOK
    others = [path for paths in tests.values() for path in paths]
    ignored = [f"--ignore={path}" for path in (*others, *_BY_HAND)]
    return {"client": ["tests", *ignored]} | {
        name: [path for path in paths if (PROJECT / path).is_dir()] for name, paths in tests.items()
    }


def command(environment: str, paths: list[str], options: list[str], report: Path) -> list[str]:
    """The command line of pytest in an environment, for as many processes as there are cores."""
    processes = min(_MOST_PROCESSES, len(os.sched_getaffinity(0)))
    return [
        str(PROJECT / ".venv" / environment / "bin" / "python"), "-m", "pytest", "-q",
        # A file's tests share what they made, so they stay in one process; the next free process takes the next file.
        "--numprocesses", str(processes), "--dist", "loadfile", "--no-loadscope-reorder",
        f"--junitxml={report}", *options, *paths,
    ]  # fmt: skip


def run(environment: str, paths: list[str], options: list[str], *, live: bool = True) -> Outcome:
    """Runs the tests of one environment.

    Args:
      environment: its name.
      paths: what pytest is given.
      options: of pytest, besides.
      live: whether what it says is seen while it goes on, and not when it has ended.
    """
    heading = f"== tests in the environment {environment}"
    if live:
        print(heading, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        with (Path(folder) / "said.txt").open("w+") as said:
            ended = subprocess.run(
                command(environment, paths, options, report),
                cwd=PROJECT,
                check=False,
                stdout=None if live else said,
                stderr=None if live else subprocess.STDOUT,
            )
            code = ended.returncode
            said.seek(0)
            if not live:
                print(f"\n{heading}\n{said.read()}", flush=True)
        if not report.exists():
            return Outcome(failed=code != _NO_TESTS)
        outcome = read_report(report)
    outcome.failed = code not in (0, _NO_TESTS)
    return outcome


def read_report(file: Path) -> Outcome:
    """Reads a report in JUnit's form, as pytest writes it."""
    outcome = Outcome(failed=False)
    for case in ElementTree.parse(file).iter("testcase"):
        skip = case.find("skipped")
        if skip is not None:
            outcome.skipped[skip.get("message", "")] += 1
        failed = case.find("failure") is not None or case.find("error") is not None
        outcome.counts["failed" if failed else "passed" if skip is None else "skipped"] += 1
    return outcome


def told(reasons: Counter[str]) -> str:
    """The reasons of skipped tests in one line, those that differ by a name only as one; empty where none was."""
    if not reasons:
        return ""
    kinds: Counter[str] = Counter()
    for reason, count in reasons.items():
        kinds[_kind(reason)] += count
    ordered = sorted(kinds.items(), key=lambda entry: (-entry[1], entry[0]))
    shown = [f"{count} {kind}" for kind, count in ordered[:_MANY_REASONS]]
    more = len(kinds) - len(shown)
    return f"{reasons.total()} skipped: {'; '.join(shown)}" + (f"; and {more} more reasons" if more else "")


def _kind(reason: str) -> str:
    """A reason without what is special to one test: an image's name, an engine's whole answer."""
    text = re.sub(r"the image \S+ is not built: .*", "need the stages' images (make images)", " ".join(reason.split()))
    text = re.sub(r"^(the engine builds images but runs none here).*", r"\1", text)
    text = re.sub(r"^needs test data that is not here: .*", "need test data that is not here (make test-data)", text)
    return re.sub(r"^needs ", "need ", text)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.run_tests",
        description=(__doc__ or "").split("\n")[0],
        epilog="Other options: pytest's.",
    )
    parser.add_argument("--slow", action="store_true", help="those that take long instead of all others")
    arguments, options = parser.parse_known_args(argv)
    begun = time.monotonic()
    chosen = [*(["-m", "slow"] if arguments.slow else []), *options]
    # Where the tests of one environment wait, for servers or for their last file, those of another work. Slow ones are
    # whole runs, which have deadlines and take the memory of several.
    with ThreadPoolExecutor(1 if arguments.slow else _AT_ONCE) as lanes:
        begun_runs = {
            name: lanes.submit(run, name, paths, chosen, live=arguments.slow or place == 0)
            for place, (name, paths) in enumerate(folders().items())
        }
    outcomes = {name: each.result() for name, each in begun_runs.items()}
    counts: Counter[str] = sum((outcome.counts for outcome in outcomes.values()), Counter())
    if not counts:
        print("error: no test was found", file=sys.stderr)
        return 1
    print(f"== {time.monotonic() - begun:.0f} s in all, on {os.cpu_count()} cores")
    if left_out := told(sum((outcome.skipped for outcome in outcomes.values()), Counter())):
        print(left_out)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    if failed := [name for name, outcome in outcomes.items() if outcome.failed]:
        print(f"error: tests failed in: {', '.join(failed)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
