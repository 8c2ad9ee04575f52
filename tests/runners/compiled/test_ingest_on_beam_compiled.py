"""Ingest with Beam's options: its own image has no Beam, so the task has the image and the environment of others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled import op_functions
from runners.compiled.ir import documents, parts_of, read
from runners.compiled.tasks import Constant
from runners.local.environments import code_digest, environment_of, of_stage
from runners.settings.resources import stages
from tests.runners.compiled_models import digest, model, pods

OPTIONS = ["--runner=PortableRunner", "--job_endpoint=beam:8073"]
ON_BEAM = f"ingest: {{beam_options: {json.dumps(OPTIONS)}}}\n"


def test_the_task_has_the_image_of_all_stages(tmp_path: Path) -> None:
    text = compile_pipeline(model(tmp_path / "mine", f"pipeline_name: mine\n{ON_BEAM}"), digest)
    task = read(documents(text)[0]).tasks["ingest"]
    assert task.parameters["beam_options"] == Constant(OPTIONS)
    images = {name: pod["image"].partition("@")[0] for name, pod in pods(text).items()}
    assert images["ingest"] == "millrace/fused"
    assert images["statistics"] == "millrace/statistics"
    assert "millrace/fused" in compile_workflow(text)


def test_without_options_nothing_of_them_is_compiled(tmp_path: Path) -> None:
    for name, settings in (("none", ""), ("empty", "ingest: {beam_options: []}\n")):
        text = compile_pipeline(model(tmp_path / name, f"pipeline_name: mine\n{settings}"), digest)
        assert pods(text)["ingest"]["image"].partition("@")[0] == "millrace/ingest"
        assert ("beam_options" in str(documents(text)[0]["components"]["comp-ingest"])) == bool(settings)


def test_in_a_pod_with_others_it_has_the_environment_with_beam(tmp_path: Path) -> None:
    environments = []
    for name, settings in (("mine", ON_BEAM), ("other", "")):
        fuse = "cluster: {fuse: [[ingest, statistics]]}\n"
        text = compile_pipeline(model(tmp_path / name, f"pipeline_name: mine\n{settings}{fuse}"), digest)
        [parts] = [found for pod in pods(text).values() if (found := parts_of(pod))]
        environments.append({part["stage"]: part["environment"]["name"] for part in parts})
    assert environments == [{"ingest": "ml", "statistics": "data"}, {"ingest": "client", "statistics": "data"}]


def test_here_it_runs_in_the_environment_with_beam(tmp_path: Path) -> None:
    text = compile_pipeline(model(tmp_path / "mine", f"pipeline_name: mine\n{ON_BEAM}"), op_functions.bare_name)
    assert read(documents(text)[0]).tasks["ingest"].container["image"] == "millrace/fused"
    assert (environment_of("ingest"), environment_of("ingest", on_beam=True)) == ("client", "ml")
    assert of_stage("ingest", True).name == "ml"
    assert code_digest("ingest") != code_digest("ingest", True)
    # Of the others the options change nothing.
    for stage, name in stages().items():
        assert stage == "ingest" or environment_of(stage, on_beam=True) == name
    with pytest.raises(InputError, match="no environment runs the stage 'absent'"):
        environment_of("absent", on_beam=True)
