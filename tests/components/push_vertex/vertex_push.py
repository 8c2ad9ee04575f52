"""Calls the stage: in this process, where an import of Google's libraries is paid once, or in one of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.push_vertex.push_vertex import push_vertex
from components.runtime.errors import StageError
from components.runtime.stage.artifacts import content_digest
from components.runtime.stage.executor import Execution
from tests.components.push.serving_support import make_blessing, make_model
from tests.support import ROOT, executor_input

DEFAULTS: dict[str, Any] = {
    "pipeline": "taxi",
    "run": "",
    "project": "my-project",
    "region": "europe-west4",
    "staging": "gs://staging/models",
    "display_name": "",
    "model_id": "",
    "aliases": ["default", "blessed"],
    "labels": {},
    "container": {},
    "endpoint": {},
    "size_limit_mb": 10,
    "wait_minutes": 0.5,
    "request_seconds": 20.0,
    "api_endpoint": "",
}


@dataclass
class Pushed:
    """How a push ended."""

    exit_code: int
    error: str
    metadata: dict[str, Any]
    output: dict[str, Any]


@dataclass
class Push:
    """Pushes models that differ in their content."""

    folder: Path
    url: str
    blessed: bool = True
    baseline: str | None = None
    extra_bytes: int = 0
    _count: int = 0
    _models: dict[str, Path] = field(default_factory=dict)

    def model(self, content: str) -> Path:
        if content not in self._models:
            self._models[content] = make_model(self.folder / f"model-{content}", content, self.extra_bytes)
        return self._models[content]

    def request(self, content: str = "one", **options: Any) -> dict[str, Any]:
        """An executor input with outputs in a folder of its own, as every attempt of a task has."""
        self._count += 1
        model = self.model(content)
        baseline = self.model(self.baseline) if self.baseline else self.baseline
        blessing = make_blessing(self.folder / f"blessing-{self._count}", self.blessed, model, baseline)
        return executor_input(
            self.folder / f"out-{self._count}",
            inputs={"model": model, "blessing": blessing},
            parameters=DEFAULTS | {"api_endpoint": self.url} | options,
            outputs=["pushed_model"],
            output_parameters=["version", "endpoint_name"],
            metadata={"model": {"digest": content_digest(model)}},
        )

    def __call__(self, content: str = "one", **options: Any) -> Pushed:
        request = self.request(content, **options)
        failed: Pushed | None = None
        try:
            Execution.parse("push_vertex", request).run(push_vertex)
        except StageError as error:
            failed = Pushed(error.exit_code, str(error), {}, {})
        if failed:
            assert not (self.folder / f"out-{self._count}" / "pushed_model").exists()
            assert "\n" not in failed.error
            return failed
        output = json.loads(Path(request["outputs"]["outputFile"]).read_text())
        metadata = output["artifacts"]["pushed_model"]["artifacts"][0]["metadata"]
        return Pushed(0, "", metadata, output["parameterValues"])

    def start(self, content: str = "one", **options: Any) -> subprocess.Popen[str]:
        """The stage as a process of its own, for tests that kill it."""
        file = self.folder / f"request-{self._count}.json"
        file.write_text(json.dumps(self.request(content, **options)))
        command = [sys.executable, "-m", "components.push_vertex", "--executor-input", f"@{file}"]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
