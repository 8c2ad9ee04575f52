"""What tests of containers share: a task for one, runs in them, and what those recorded."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

from components.runtime.launch.task import Task
from components.runtime.records import execution_record
from tests.support import MILLRACE, ROOT


def task(
    stage: str = "ingest",
    parameters: dict[str, Any] | None = None,
    inputs: dict[str, str] | None = None,
    image: str = "",
) -> Task:
    """A task of a pipeline, with as much as a container needs of it."""
    return Task(
        pipeline="test",
        name=stage,
        stage=stage,
        run="run",
        component={},
        container={"image": image or f"millrace/{stage}"},
        parameters=parameters or {},
        inputs={name: {"uri": uri} for name, uri in (inputs or {}).items()},
        code="",
    )


def command(root: Path, *arguments: str) -> list[str]:
    return [MILLRACE, "--root", str(root), "run", "taxi", "--data", *arguments]


def run(root: Path, *arguments: str, timeout: int = 300, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(root, *arguments),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=os.environ | variables,
    )


def record(root: Path) -> dict[str, Any]:
    (file,) = (root / "runs").glob("*/run.json")
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def executions(root: Path) -> dict[str, dict[str, Any]]:
    found = [(entry["name"], entry["execution"]) for entry in record(root)["tasks"] if entry["execution"]]
    return {name: execution_record.read(root, path) or {} for name, path in found}
