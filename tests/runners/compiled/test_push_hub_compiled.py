"""The push to the Hub in the pipeline: only where the settings ask for it, its token by reference only."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
import yaml

from components.runtime.errors import InputError
from components.runtime.launch.executor_files import RUN_PLACEHOLDER
from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.local.container_mounts import needs_network
from tests.runners.compiled_models import digest, model, pods
from tests.runners.kubeflow.kfp_fields import IR_2_5, PLATFORM_2_5, unknown
from tests.runners.local.container_runs import task

SECTION = """
description: Will the tip be generous?
push_hub:
  repo_id: team/taxi
  license: apache-2.0
  tags: [taxi]
  space: {classes: [small, generous]}
"""
SECRETS = "resources: {push_hub: {secrets: [{name: hub, env: {token: HF_TOKEN}}]}}\n"


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> str:
    """A token in the environment of who compiles."""
    value = f"hf_{secrets.token_hex(17)}"
    monkeypatch.setenv("HF_TOKEN", value)
    return value


def test_it_runs_after_push_and_never_from_the_cache(tmp_path: Path) -> None:
    pipeline = read(documents(compile_pipeline(model(tmp_path / "mine", SECTION), digest))[0])
    pushed = pipeline.tasks["push-hub"]
    assert pushed.stage == "push_hub"
    assert pushed.conditions == pipeline.tasks["push"].conditions
    assert "push" in pushed.after
    assert not pushed.cacheable
    without = read(documents(compile_pipeline(model(tmp_path / "plain", "{}"), digest))[0])
    assert pipeline.tasks.keys() - without.tasks.keys() == {"push-hub"}


def test_what_it_is_told(tmp_path: Path) -> None:
    text = compile_pipeline(model(tmp_path / "mine", SECTION), digest)
    parameters = pods(text)["push-hub"]["task"]["inputs"]["parameters"]
    told = {name: source["runtimeValue"]["constant"] for name, source in parameters.items()}
    assert told == {
        "repo_id": "team/taxi",
        "private": True,
        "license": "apache-2.0",
        "task": "",
        "tags": ["taxi"],
        "space": {
            "sdk": "gradio",
            "repo_id": "",
            "title": "",
            "input": "auto",
            "classes": ["small", "generous"],
        },
        "description": "Will the tip be generous?",
        "pipeline": "mine",
        "run": RUN_PLACEHOLDER,
    }
    none = model(tmp_path / "none", "push_hub: {repo_id: team/taxi}").arguments("push_hub")
    assert not none.get("space")


def test_the_token_is_a_reference_in_both_forms(tmp_path: Path, token: str) -> None:
    chosen = model(tmp_path / "mine", SECTION + SECRETS)
    text = compile_pipeline(chosen, digest)
    ir, platform = documents(text)
    assert not list(unknown(ir, IR_2_5))
    assert not list(unknown(platform, PLATFORM_2_5))
    pod = pods(text)["push-hub"]
    assert pod["secretAsEnv"][0]["keyToEnv"] == [{"secretKey": "token", "envVar": "HF_TOKEN"}]
    assert not pod.get("env")
    workflow_text = compile_workflow(text, for_settings(chosen))
    templates = {template["name"]: template for template in yaml.safe_load(workflow_text)["spec"]["templates"]}
    for name, template in templates.items():
        given = [each for each in template.get("container", {}).get("env", []) if each["name"] == "HF_TOKEN"]
        reference = [{"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "token"}}}]
        assert given == (reference if name == "push-hub" else [])
    assert token not in text + workflow_text


def test_a_token_in_the_settings_is_refused(tmp_path: Path, token: str) -> None:
    with pytest.raises(InputError, match="looks like a token") as caught:
        model(tmp_path / "mine", f"push_hub: {{repo_id: team/taxi, tags: [{token}]}}")
    assert token not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("push_hub: {}", "push_hub.repo_id: Field required"),
        ("push_hub: {repo_id: taxi}", "push_hub.repo_id: expected NAMESPACE/NAME"),
        ("push_hub: {repo_id: team/taxi, licence: mit}", "did you mean 'license'"),
        ("push_hub: {repo_id: team/taxi, space: {skd: gradio}}", "did you mean 'sdk'"),
        ("push_hub: {repo_id: team/taxi, space: {sdk: docker}}", "push_hub.space.sdk"),
        ("push_hub: {repo_id: team/taxi, space: {repo_id: demo}}", "push_hub.space.repo_id: expected NAMESPACE/NAME"),
        ("resources: {push_hub: {caching: true}}", "push_hub deals with what lies outside the pipeline"),
    ],
)
def test_mistakes_in_the_settings(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError) as caught:
        model(tmp_path / "mine", text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_its_container_has_the_network() -> None:
    assert needs_network(task("push_hub", {"repo_id": "team/taxi"}))
    assert not needs_network(task("push", {"destination": "/serving"}))
