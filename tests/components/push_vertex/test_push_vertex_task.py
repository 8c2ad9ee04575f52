"""The task as it is compiled, run as the local target runs it: what the IR makes of the options, the stage can read."""

from __future__ import annotations

from pathlib import Path

from components.runtime.launch.execution import launch
from components.runtime.launch.processes import ColdProcess
from components.runtime.launch.task import Task
from components.runtime.stage.artifacts import content_digest
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Constant, task_parameters
from runners.local.environments import of_stage
from tests.components.push.serving_support import make_blessing, make_model
from tests.components.push_vertex.model_server import PARENT, VertexModels
from tests.runners.compiled_models import model

SETTINGS = """
push_vertex:
  project: my-project
  region: europe-west4
  staging: gs://staging/models
  labels: {{team: rides}}
  endpoint: {{machine_type: n1-standard-4, max_replicas: 2}}
  api_endpoint: {url}
"""


def test_the_compiled_task_runs_here(server: VertexModels, tmp_path: Path) -> None:
    text = compile_pipeline(model(tmp_path / "mine", SETTINGS.format(url=server.url)))
    spec = read(documents(text)[0]).tasks["push-vertex"]
    given = {name: source.value for name, source in spec.parameters.items() if isinstance(source, Constant)}
    artifacts = {"model": make_model(tmp_path / "model")}
    artifacts["blessing"] = make_blessing(tmp_path / "blessing", model=artifacts["model"])
    task = Task(
        pipeline="mine",
        name=spec.name,
        stage=spec.stage,
        run="mine-20261121-1",
        component=spec.component,
        container=spec.container,
        parameters=task_parameters(spec, given),
        inputs={
            name: {"uri": str(path), "type": "system.Artifact", "metadata": {"digest": content_digest(path)}}
            for name, path in artifacts.items()
        },
        code="",
        cacheable=spec.cacheable,
    )
    process = ColdProcess(of_stage("push_vertex"))
    record = launch(
        tmp_path, task, lambda command, log, _: process.run(command, log, lambda note: None), tmp_path / "task.log"
    )
    assert record["output_parameters"] == {"version": "1", "endpoint_name": f"{PARENT}/endpoints/mine"}
    assert record["outputs"]["pushed_model"]["metadata"]["traffic"] == {"1001": 100}
    [version] = server.versions("mine")
    assert version["labels"]["millrace_run"] == "mine-20261121-1"
    assert version["labels"]["team"] == "rides"
    resources = server.endpoints[f"{PARENT}/endpoints/mine"]["deployedModels"][0]["dedicatedResources"]
    assert resources["maxReplicaCount"] == 2
