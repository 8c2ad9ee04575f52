"""The loop where the volume is: labels become a span, a look finds drift and begins a run, the next one does not."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml

from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.compiled.ir import documents
from runners.compiled.pipelines import compile_pipeline
from runners.history.lineage_graph import Graph
from runners.history.records import load_run
from runners.local.environments import interpreter
from runners.settings import purposes
from runners.settings.model import Settings
from tests.runners.argo.argo_executor import Execution, Subprocesses
from tests.runners.argo.argo_server import Argo, serve
from tests.runners.compiled_models import digest, model
from tests.support import ROOT

_WORLD = """
import sys
from pathlib import Path
from tests.components.watch.watched import Rides, World
volume = Path(sys.argv[1])
world = World(volume, log_name="predictions/rides")
world.push(Rides.of(2000, 1), {"auc": 0.91})
world.ask(Rides.of(400, 2), 1)
world.ask(Rides.of(400, 3, drift=1.0), 0)
"""
_SETTINGS = """
cluster: {volume: {claim: here}}
watch: {windows: 2, worse_by: {auc: 0.05}, on_drift: retrain, spans: 2}
"""


def executed(settings: Settings, volume: Path, name: str, cluster: str = "", **parameters: str) -> Execution:
    text = compile_pipeline(settings, digest)
    if cluster:
        # What no test has: a pod with an account, and a namespace.
        text = text.replace("constant: rides-retrain", "constant: ml/rides-retrain")
        assert "constant: ml/rides-retrain" in text
    given = documents(text)[0]["root"]["inputDefinitions"]["parameters"]
    workflow = yaml.safe_load(compile_workflow(text, for_settings(settings, given)))
    for template in workflow["spec"]["templates"] if cluster else ():
        arguments = template.get("container", {}).get("args", [])
        arguments[:] = [
            each.replace('"kubernetes": {"constant": ""}', f'"kubernetes": {{"constant": "{cluster}"}}')
            for each in arguments
        ]
    execution = Execution(workflow, name, volume, Subprocesses(), **parameters)
    execution.run()
    return execution


def log(execution: Execution, task: str) -> str:
    return execution.nodes[task].attempts[-1].log if execution.nodes[task].attempts else execution.nodes[task].phase


@pytest.mark.slow
def test_labels_become_a_span_and_drift_a_run_that_is_begun_once(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    subprocess.run([interpreter("data"), "-c", _WORLD, str(volume)], cwd=ROOT, check=True, capture_output=True)
    settings = model(tmp_path / "rides", _SETTINGS)
    labelled = executed(purposes.for_feedback(settings), volume, "rides-feedback-1")
    assert labelled.phase == "Succeeded", log(labelled, "feedback")
    assert labelled.nodes["feedback"].outputs["rows"] == "800"
    assert (volume / "data" / "rides" / "span-1" / "part.parquet").is_file()
    assert load_run(volume, "rides-feedback-1").tasks[0].facts == "800 rows, span 1"

    watching = purposes.for_watching(settings, begins=True)
    with serve(Argo(proxied=True)) as argo:
        training = compile_workflow(
            compile_pipeline(purposes.for_retraining(settings), digest), for_settings(purposes.for_retraining(settings))
        )
        spec = yaml.safe_load(training)
        argo.templates["ml", "rides-retrain"] = {"spec": spec["spec"] | {"workflowMetadata": spec["metadata"]}}
        quiet = executed(watching, volume, "rides-watch-1", argo.url, until="2026-11-29T00:00:00Z")
        assert {name: node.phase for name, node in quiet.nodes.items()} == {"watch": "Succeeded", "retrain": "Skipped"}
        assert not argo.workflows

        drifted = executed(watching, volume, "rides-watch-2", argo.url, until="2026-11-30T00:00:00Z")
        assert drifted.phase == "Succeeded", log(drifted, "retrain")
        assert drifted.nodes["retrain"].outputs["begun"] == "true"
        [(_, begun)] = argo.workflows
        look = load_run(volume, "rides-watch-2")
        facts = {task.name: task.facts for task in look.tasks}
        assert (facts["retrain"], facts["watch"].endswith("drifted")) == (f"begun {begun}", True), facts
        values = {
            each["name"]: each["value"] for each in argo.workflows["ml", begun]["spec"]["arguments"]["parameters"]
        }
        assert values["data"] == str(volume / "data" / "rides")

        again = executed(watching, volume, "rides-watch-3", argo.url, until="2026-11-30T00:00:00Z")
        assert again.nodes["retrain"].outputs["begun"] == "false"
        assert f"nothing begun: {begun} is under way, begun by rides-watch-2" in log(again, "retrain")
        assert len(argo.workflows) == 1
    graph = Graph.read(volume)
    [retrained] = [
        node for node in graph.artifacts.values() if node.metadata.get("run") == begun and node.metadata["begun"]
    ]
    assert graph.artifacts[graph.executions[retrained.maker].inputs["watched"]].metadata["version"] == 1
    note = json.loads(next((volume / "serving" / "rides" / ".retrainings").glob("*.json")).read_text())
    assert (note["run"], note["data"], note["after"]) == (begun, "span 1", "rides-watch-2")
