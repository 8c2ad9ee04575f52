"""The section `push_vertex` of the settings, and what becomes of it in both compiled forms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hera.workflows.models import Workflow

from components.runtime.errors import InputError
from components.runtime.launch.executor_files import RUN_PLACEHOLDER
from components.runtime.publish.vertex_options import PushVertex
from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Output
from runners.terminal.summary import summary
from tests.runners.compiled_models import digest, model, pods
from tests.runners.kubeflow.kfp_fields import IR_2_5, PLATFORM_2_5, unknown

SECTION = """
push_vertex:
  project: my-project
  region: europe-west4
  staging: gs://bucket/models
  aliases: [default]
  endpoint: {machine_type: n1-standard-4, accelerator_type: NVIDIA_TESLA_T4, traffic_percent: 20}
"""
CREDENTIALS = "resources: {push_vertex: {credentials: {gcp: {secret: gcp-key}}, timeout: 6h}}\n"


def test_the_stage_is_there_where_the_settings_ask_for_it(tmp_path: Path) -> None:
    assert "push-vertex" not in pods(compile_pipeline(model(tmp_path / "mine", "{}"), digest))
    text = compile_pipeline(model(tmp_path / "mine", SECTION + CREDENTIALS), digest)
    pod = pods(text)["push-vertex"]
    assert pod["image"] == digest("millrace/push_vertex")
    assert pod["env"] == [{"name": "GOOGLE_APPLICATION_CREDENTIALS", "value": "/credentials/gcp/key.json"}]
    assert pod["secretAsVolume"][0]["secretName"] == "gcp-key"
    assert pod["activeDeadlineSeconds"] == str(6 * 3600)
    spec = read(documents(text)[0]).tasks["push-vertex"]
    assert spec.stage == "push_vertex"
    assert not spec.cacheable
    assert spec.artifacts["blessing"] == Output("evaluate", "blessing")
    assert "push" in spec.after
    given = {name: getattr(source, "value", None) for name, source in spec.parameters.items()}
    assert (given["pipeline"], given["run"]) == ("mine", RUN_PLACEHOLDER)
    # Nothing in it is newer than the oldest server.
    ir, platform = documents(text)
    assert not [*unknown(ir, IR_2_5), *unknown(platform, PLATFORM_2_5)]
    # What the stage is given is what the settings say, with every default.
    options = {name: value for name, value in given.items() if name in PushVertex.model_fields}
    assert PushVertex(**options) == model(tmp_path / "mine", SECTION).push_vertex
    assert PushVertex(**options).endpoint


def test_a_model_that_is_only_registered_gets_no_endpoint(tmp_path: Path) -> None:
    text = compile_pipeline(model(tmp_path / "mine", SECTION.partition("  endpoint")[0]), digest)
    assert "endpoint" not in read(documents(text)[0]).tasks["push-vertex"].parameters


def test_argo_runs_it_with_the_key_mounted(tmp_path: Path) -> None:
    settings = model(tmp_path / "mine", SECTION + CREDENTIALS)
    workflow = yaml.safe_load(compile_workflow(compile_pipeline(settings, digest), for_settings(settings)))
    assert Workflow.model_validate(workflow).model_dump(mode="json", by_alias=True, exclude_none=True) == workflow
    [template] = [each for each in workflow["spec"]["templates"] if each["name"] == "push-vertex"]
    assert template["container"]["image"] == digest("millrace/push_vertex")
    assert {"/credentials/gcp"} <= {mount["mountPath"] for mount in template["container"]["volumeMounts"]}
    [task] = [json.loads(word) for word in template["container"]["args"] if word.startswith('{"pipeline"')]
    assert task["cacheable"] is False
    assert task["parameters"]["run"] == {"constant": RUN_PLACEHOLDER}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("push_vertex:", "push_vertx:", "unknown key 'push_vertx', did you mean 'push_vertex'?"),
        ("region:", "regoin:", "unknown key 'push_vertex.regoin', did you mean 'region'?"),
        (
            "machine_type:",
            "machin_type:",
            "'push_vertex.endpoint.machin_type', did you mean 'machine_type'?",
        ),
        ("  project: my-project\n", "", "push_vertex.project: Field required"),
        ("gs://bucket/models", "/models", "push_vertex.staging: expected a place in Cloud Storage: gs://BUCKET/FOLDER"),
        ("NVIDIA_TESLA_T4", "nvidia-tesla-t4", "no such accelerator, did you mean 'NVIDIA_TESLA_T4'?"),
        ("NVIDIA_TESLA_T4", "A100", "no such accelerator, did you mean 'NVIDIA_TESLA_A100'?"),
        ("NVIDIA_TESLA_T4", "NVIDIA_L4", "push_vertex.endpoint: an n1 machine takes NVIDIA_TESLA_T4, "),
        ("n1-standard-4", "e2-standard-4", "push_vertex.endpoint: the machine e2-standard-4 takes no accelerator"),
        ("traffic_percent: 20", "traffic_percent: 120", "push_vertex.endpoint.traffic_percent: Input should be less"),
    ],
)
def test_mistakes_are_named_when_the_settings_are_read(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in SECTION
    with pytest.raises(InputError) as error:
        model(tmp_path / "mine", SECTION.replace(old, new, 1))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("metadata", "told"),
    [
        ({"created": True, "moved": []}, "vertex    projects/p/locations/r/models/taxi@2\n"),
        (
            {"created": False, "moved": [], "endpoint": "projects/p/locations/r/endpoints/taxi"},
            "taxi@2 (was there already), at projects/p/locations/r/endp",
        ),
        (
            {"created": False, "moved": ["blessed", "default"]},
            "taxi@2 (was there already, is blessed and default again)",
        ),
    ],
)
def test_a_runs_summary_tells_what_was_registered(tmp_path: Path, metadata: dict[str, Any], told: str) -> None:
    metadata = {"resourceName": "projects/p/locations/r/models/taxi@2"} | metadata
    run = {"id": "taxi-1", "state": "done", "seconds": 1.0, "error": "", "tasks": []}
    record = {"task": "push-vertex", "stage": "push_vertex", "outputs": {"pushed_model": {"metadata": metadata}}}
    text = summary(tmp_path, run, {"push-vertex": record}).plain
    assert told in text


def test_it_is_never_cached(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="push_vertex deals with what lies outside the pipeline"):
        model(tmp_path / "mine", SECTION + "resources: {push_vertex: {caching: true}}")
