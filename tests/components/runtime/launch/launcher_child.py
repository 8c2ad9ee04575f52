"""An execution that never ends, for a test that kills it."""

from __future__ import annotations

import json
import time
from pathlib import Path

from components.runtime.launch.execution import Completed, launch
from components.runtime.launch.task import Task


def hang(root: Path) -> None:
    """Launches a task that writes half of its output and then waits."""

    def run_stage(command: list[str], log: Path, folder: Path) -> Completed:
        given = json.loads(Path(command[-1].removeprefix("@")).read_text())
        Path(given["outputs"]["artifacts"]["text"]["artifacts"][0]["uri"]).with_name("half").touch()
        time.sleep(60)
        return Completed(0, 0, 0)

    launch(
        root,
        Task(
            pipeline="p",
            name="t",
            stage="s",
            run="r1",
            component={
                "outputDefinitions": {
                    "artifacts": {"text": {"artifactType": {"schemaTitle": "system.Dataset", "schemaVersion": "0.0.1"}}}
                }
            },
            container={"image": "millrace/s", "command": ["python", "-m", "x"], "args": ["--executor-input", "{{$}}"]},
            parameters={"n": 1},
            inputs={},
            code="c",
        ),
        run_stage,
        root / "log",
    )
