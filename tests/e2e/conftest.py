"""Runs of the whole pipeline, shared by the tests that look at their results."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from components.runtime.records import execution_record
from tests.runners.command_line import command as call
from tests.support import MILLRACE, shared


@dataclass
class Run:
    """One call of the run command."""

    exit_code: int
    output: str
    errors: str
    root: Path

    @property
    def record(self) -> dict[str, Any]:
        """Its run.json; the first line that it prints names the run."""
        name = self.output.splitlines()[0].removeprefix("run ")
        record: dict[str, Any] = json.loads((self.root / "runs" / name / "run.json").read_text())
        return record

    @property
    def states(self) -> dict[str, str]:
        """State of every task."""
        return {task["name"]: task["state"] for task in self.record["tasks"]}

    def execution(self, task: str) -> dict[str, Any]:
        """Record of a task's execution."""
        path = next(entry["execution"] for entry in self.record["tasks"] if entry["name"] == task)
        return execution_record.usable(self.root, path)

    def metadata(self, task: str, artifact: str) -> dict[str, Any]:
        """Metadata of an artifact of this run."""
        metadata: dict[str, Any] = self.execution(task)["outputs"][artifact]["metadata"]
        return metadata

    def path(self, task: str, artifact: str) -> Path:
        """Where an artifact of this run lies."""
        return Path(self.execution(task)["outputs"][artifact]["uri"])


def command(root: Path, *arguments: str) -> list[str]:
    """The command line of a run."""
    return [MILLRACE, "--root", str(root), "run", *arguments]


def run(root: Path, *arguments: str, timeout: int = 400) -> Run:
    """Runs a pipeline to its end."""
    process = call("--root", str(root), "run", *arguments, timeout=timeout)
    return Run(process.returncode, process.stdout, process.stderr, root)


@pytest.fixture(scope="session")
def taxi_data() -> Path:
    """The real trips."""
    return shared("taxi")


@pytest.fixture(scope="session")
def taxi(tmp_path_factory: pytest.TempPathFactory, taxi_data: Path) -> Run:
    """A cold run of the taxi pipeline over the real trips."""
    return run(tmp_path_factory.mktemp("taxi"), "taxi", "--data", str(taxi_data))
