"""Holds component specs, stages, environments and pipeline.py to each other; reads sources, imports no stage."""

from __future__ import annotations

import ast
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support import ROOT

STAGES = sorted(path.parent.name for path in (ROOT / "components").glob("*/component.yaml"))
SETTINGS = sorted((ROOT / "models").glob("*/settings.yaml"))
PARAMETERS = {
    "String": "str",
    "Integer": "int",
    "Float": "float",
    "Boolean": "bool",
    "JsonArray": "list",
    "JsonObject": "dict",
    "PipelineTaskFinalStatus": "dict",
}
ARTIFACTS = {"Artifact", "Dataset", "Model", "Metrics", "ClassificationMetrics", "HTML", "Markdown"}
NO_IMPORT = {"tensorflow", "apache_beam", "keras", "tfx_bsl"}


def spec(stage: str) -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((ROOT / "components" / stage / "component.yaml").read_text())
    return content


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def function(stage: str) -> ast.FunctionDef:
    """The stage's function; the module and the function have the stage's name."""
    path = ROOT / "components" / stage / f"{stage}.py"
    found = [node for node in tree(path).body if isinstance(node, ast.FunctionDef) and node.name == stage]
    assert found, f"{path} has no function {stage}"
    return found[0]


def signature(stage: str) -> dict[str, tuple[str, object]]:
    """Kind without its type arguments, and default, of every argument; `...` for none."""
    arguments = function(stage).args
    assert not arguments.vararg
    assert bool(arguments.kwarg) == any(map(is_repeated, spec(stage).get("inputs", [])))
    both = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(both) - len(arguments.defaults)) + list(arguments.defaults)
    named = [*zip(both, defaults, strict=True), *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)]
    result: dict[str, tuple[str, object]] = {}
    for argument, default in named:
        assert argument.annotation, f"{stage}: {argument.arg} has no type"
        kind = ast.unparse(argument.annotation).split("[")[0].split(".")[-1]
        result[argument.arg] = (kind, ... if default is None else ast.literal_eval(default))
    return result


def is_repeated(port: dict[str, Any]) -> bool:
    """Whether a task has an input like this for every candidate; the function takes them all by `**`."""
    return "CANDIDATE" in port["name"] and port["type"] in ARTIFACTS


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_there_are_stages() -> None:
    assert {"ingest", "statistics", "schema", "validate", "transform", "train", "resolve", "evaluate", "push"} <= set(
        STAGES
    )


def test_spec_says_what_everything_is(stage: str) -> None:
    content = spec(stage)
    assert content["name"] == stage
    assert content["description"].endswith(".")
    for port in content.get("inputs", []) + content.get("outputs", []):
        assert port.get("description", "").strip().endswith("."), f"{stage}: {port['name']} has no description"
        assert port["type"] in ARTIFACTS | PARAMETERS.keys(), f"{stage}: {port['name']} has an unknown type"


def test_spec_runs_the_stage_on_the_executor_input(stage: str) -> None:
    assert spec(stage)["implementation"] == {
        "container": {
            "image": f"millrace/{stage}",
            "command": ["python", "-m", f"components.{stage}"],
            "args": ["--executor-input", "{{$}}"],
        }
    }


def test_main_calls_the_stages_function(stage: str) -> None:
    calls = [
        node
        for node in ast.walk(tree(ROOT / "components" / stage / "__main__.py"))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "run_stage"
    ]
    assert [ast.literal_eval(call.args[0]) for call in calls] == [f"components.{stage}.{stage}:{stage}"]
    assert function(stage)


def test_inputs_and_artifacts_are_the_functions_arguments(stage: str) -> None:
    content = spec(stage)
    expected = {
        port["name"]: "InputArtifact" + (" | None" if port.get("optional") else "")
        if port["type"] in ARTIFACTS
        else PARAMETERS[port["type"]]
        for port in content.get("inputs", [])
        if not is_repeated(port)
    }
    expected |= {port["name"]: "OutputArtifact" for port in content["outputs"] if port["type"] in ARTIFACTS}
    assert {name: kind for name, (kind, _) in signature(stage).items()} == expected


def test_only_artifacts_are_optional_parameters_have_defaults(stage: str) -> None:
    for port in spec(stage).get("inputs", []):
        assert not port.get("optional") or port["type"] in ARTIFACTS, f"{stage}: {port['name']} needs a default instead"


def test_defaults_are_the_same_in_spec_and_function(stage: str) -> None:
    """A function may leave defaults to the spec, but must not have others."""
    arguments = signature(stage)
    for port in spec(stage).get("inputs", []):
        if is_repeated(port):
            continue
        _, default = arguments[port["name"]]
        if default is ...:
            continue
        assert "default" in port, f"{stage}: {port['name']} has a default in the code only"
        text = port["default"]
        plain = str(default) if isinstance(default, str | int | float) and not isinstance(default, bool) else None
        same = (
            text == plain
            if plain is not None
            else json.loads(text) == (default if default is not None else json.loads(text))
        )
        assert same, f"{stage}: {port['name']} is {text!r} in the spec and {default!r} in the code"


def test_defaults_are_values_of_their_type(stage: str) -> None:
    for port in spec(stage).get("inputs", []):
        if "default" not in port:
            continue
        assert isinstance(port["default"], str)
        parse = {
            "Integer": int,
            "Float": float,
            "JsonArray": json.loads,
            "JsonObject": json.loads,
            "Boolean": json.loads,
        }
        value = parse.get(port["type"], str)(port["default"])
        expected = {"JsonArray": list, "JsonObject": dict, "Boolean": bool}.get(port["type"])
        assert expected is None or isinstance(value, expected)


def test_output_parameters_are_returned(stage: str) -> None:
    """Where the keys can be read off the source: every `return {...}` names all output parameters."""
    expected = {port["name"] for port in spec(stage)["outputs"] if port["type"] in PARAMETERS}
    for node in ast.walk(function(stage)):
        if isinstance(node, ast.Return) and isinstance(node.value, ast.Dict):
            keys = {ast.literal_eval(key) for key in node.value.keys if key is not None}
            assert keys == expected


def test_import_rules_see_every_stage_and_model() -> None:
    """import-linter passes over folders that are no packages, and what it forbids names the stages one by one."""
    for path in [*(ROOT / "components" / stage for stage in STAGES), *(path.parent for path in SETTINGS)]:
        assert (path / "__init__.py").exists(), f"{path.relative_to(ROOT)} has no __init__.py"
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    stages = {f"components.{stage}" for stage in STAGES}
    independent = next(contract for contract in contracts if contract["type"] == "independence")
    assert set(independent["modules"]) == stages
    for contract in contracts:
        named = stages & set(contract.get("forbidden_modules", []))
        assert named in (set(), stages), f"{contract['name']}: names {sorted(named)} only"


def test_every_stage_has_one_environment() -> None:
    environments = yaml.safe_load((ROOT / "images" / "environments.yaml").read_text())
    assert sorted(name for environment in environments.values() for name in environment["stages"]) == STAGES
    for name in environments:
        assert (ROOT / "images" / "locks" / f"{name}.txt").exists()


def test_contract_names_the_metadata_of_every_artifact() -> None:
    text = (ROOT / "docs" / "contract.md").read_text()
    for stage in STAGES:
        for port in spec(stage)["outputs"]:
            if port["type"] in {"Artifact", "Dataset", "Model"} and port["name"] != "model_run":
                assert port["name"] in text, f"docs/contract.md does not name {port['name']} of {stage}"


def test_pipeline_imports_no_stage_and_nothing_heavy() -> None:
    """What import-linter checks for runners; it cannot read a single module."""
    for node in ast.walk(tree(ROOT / "pipeline.py")):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for name in names:
            first, *rest = name.split(".")
            assert first not in NO_IMPORT
            assert not first.startswith("tensorflow_")
            assert first != "components" or rest[:1] == ["runtime"]


def test_settings_of_models_name_files_that_exist() -> None:
    assert SETTINGS
    for file in SETTINGS:
        for section in yaml.safe_load(file.read_text()).values():
            for key, value in section.items() if isinstance(section, dict) else ():
                if key.endswith("_file"):
                    assert (file.parent / value).is_file(), f"{file.relative_to(ROOT)}: {key}"
