"""A model in service, its data, a cluster, and looks that begin trainings."""

from __future__ import annotations

import functools
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.runtime.publish import publishing, serving
from components.runtime.stage.artifacts import file_digests
from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.argo.workflow_file import read_workflow, template
from runners.compiled.pipelines import compile_pipeline
from runners.settings import purposes
from runners.settings.model import load
from tests.components.push.serving_support import make_model
from tests.runners.argo.argo_server import Argo, serve, write_kubeconfig
from tests.runners.compiled_models import digest
from tests.support import StageResult, run_stage

LOOK = "taxi-watch-1764500000"


@functools.cache
def compiled() -> str:
    """What a look begins."""
    return compile_pipeline(purposes.on_spans(load("taxi"), 2, warm_start=True), digest)


class World:
    """A serving directory with a version, data in spans, and a cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.serving, self.data = folder, folder / "serving" / "taxi", folder / "data"
        self.looks = 0
        self.push()
        self.span(1)
        self.span(2)

    def push(self) -> None:
        model = make_model(self.folder / f"model-{len(list(self.folder.glob('model-*')))}") / "Format-Serving"
        self.serving.mkdir(parents=True, exist_ok=True)
        publishing.publish(self.serving, model, file_digests(model), {})

    def span(self, number: int) -> None:
        (self.data / f"span-{number}").mkdir(parents=True)
        (self.data / f"span-{number}" / "part.parquet").write_text(f"rows of {number}")

    def notes(self) -> list[dict[str, Any]]:
        return [json.loads(file.read_text()) for file in sorted((self.serving / ".retrainings").glob("*.json"))]

    def again(self) -> None:
        """The next look is the last one: another attempt of it."""
        for left in (f"watched-{self.looks}", f"out-{self.looks}"):
            shutil.rmtree(self.folder / left)
        self.looks -= 1

    def look(self, state: str = "drifted", version: int = 0, **parameters: Any) -> StageResult:
        """What the stage makes of a look."""
        self.looks += 1
        watched = self.folder / f"watched-{self.looks}"
        watched.mkdir()
        newest = max(number for number, _ in serving.numbered(self.serving))
        given = {
            "destination": str(self.serving),
            "data": str(self.data),
            "spans": 2,
            "pipeline": "taxi",
            "template": "ml/taxi-retrain",
            "run": f"{LOOK}-{self.looks}",
            "run_id": "",
            "kubeflow": "http://127.0.0.1:9",
            "kubernetes": "",
        }
        return run_stage(
            "retrain",
            self.folder / f"out-{self.looks}",
            inputs={"watched": watched},
            metadata={"watched": {"state": state, "version": version or newest}},
            parameters=given | parameters,
            outputs=["retrained"],
            output_parameters=["begun"],
        )


@contextmanager
def cluster(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Argo]:
    """A cluster that has the template, as the command makes it."""
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(folder / "kubeconfig"))
    file = folder / "taxi-retrain.argo.yaml"
    file.write_text(compile_workflow(compiled(), for_settings(load("taxi"))))
    with serve(Argo()) as state:
        write_kubeconfig(folder / "kubeconfig", state.url)
        stored = template(read_workflow(file), "taxi-retrain")
        stored["metadata"] |= {"namespace": "ml", "resourceVersion": "1"}
        state.templates["ml", "taxi-retrain"] = stored
        state.proxied = True
        yield state


def reason(result: StageResult) -> str:
    assert result.exit_code == 0, result.stderr
    told = json.loads((result.folder / "retrained" / "retrained.json").read_text())
    assert told.items() <= result.metadata("retrained").items()
    assert json.loads((result.folder / "parameters" / "begun").read_text()) == told["begun"]
    return str(told["reason"])
