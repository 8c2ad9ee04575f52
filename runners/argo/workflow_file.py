"""A compiled Workflow as it is submitted: read from its file, with the values that were given."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.runtime.errors import InputError
from components.runtime.text.yaml_files import SAFE_LOADER
from runners.argo.values import DASHBOARD_SPEC, as_text

_KINDS = {"Integer": "NUMBER_INTEGER", "Float": "NUMBER_DOUBLE", "Boolean": "BOOLEAN", "JsonObject": "JSON"}
"""Types of the parameters in the annotation for the dashboard, as the IR calls them; others are texts."""


def read_workflow(file: Path) -> dict[str, Any]:
    """Reads a Workflow from a file.

    Raises:
      InputError: there is no such file, or it is not one Workflow.
    """
    try:
        documents = [each for each in yaml.load_all(file.read_text(), SAFE_LOADER) if each is not None]
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; compile the pipeline first: ./millrace compile MODEL") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    if len(documents) != 1 or not isinstance(documents[0], dict) or documents[0].get("kind") != "Workflow":
        raise InputError(f"{file}: not one Argo Workflow; make one: ./millrace compile MODEL")
    workflow: dict[str, Any] = documents[0]
    metadata, spec = workflow.get("metadata"), workflow.get("spec")
    if not isinstance(metadata, dict) or not (metadata.get("name") or metadata.get("generateName")):
        raise InputError(f"{file}: the Workflow has neither metadata.name nor metadata.generateName")
    if not isinstance(spec, dict):
        raise InputError(f"{file}: the Workflow has no spec; make one: ./millrace compile MODEL")
    try:
        named = all(isinstance(each["name"], str) for each in _parameters(workflow))
    except (TypeError, KeyError, AttributeError):
        named = False
    if not named:
        raise InputError(f"{file}: spec.arguments.parameters is no list of parameters with names")
    return workflow


def definitions(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a Workflow, in the form of the IR's; of one that we have not compiled all are texts."""
    try:
        inputs = json.loads(workflow["metadata"]["annotations"][DASHBOARD_SPEC])["inputs"]
        kinds = {each["name"]: _KINDS.get(each["type"], "STRING") for each in inputs}
    except (KeyError, TypeError, ValueError):
        kinds = {}
    return {
        each["name"]: {"parameterType": kinds.get(each["name"], "STRING")}
        | ({"defaultValue": each.get("value")} if {"value", "valueFrom"} & each.keys() else {})
        for each in _parameters(workflow)
    }


def with_values(workflow: dict[str, Any], values: Mapping[str, Any], file: Path, where: str) -> dict[str, Any]:
    """A copy of a Workflow with values for its parameters.

    Args:
      workflow: as `read_workflow` gives it.
      values: by name, of the types in `definitions`.
      file: of the Workflow, for errors.
      where: what stands before a parameter in errors.

    Raises:
      InputError: a value that is not allowed, or one that is missing.
    """
    made = copy.deepcopy(workflow)
    known = {each["name"]: each for each in _parameters(made)}
    for name, value in values.items():
        try:
            text = as_text(name, value)
        except InputError:
            raise InputError(f"{where} {name}={value}: Argo reads {{{{ as one of its own tags; leave it out") from None
        allowed = [str(each) for each in known[name].get("enum") or []]
        if allowed and text not in allowed:
            raise InputError(f"{where} {name}={text}: it is one of {', '.join(allowed)}")
        known[name]["value"] = text
        known[name].pop("valueFrom", None)
    for name, parameter in known.items():
        if "value" not in parameter and "valueFrom" not in parameter:
            raise InputError(f"{file}: the parameter {name!r} is missing and has no default")
    return made


def template(workflow: dict[str, Any], name: str) -> dict[str, Any]:
    """The WorkflowTemplate that holds a Workflow, to be begun by its name.

    Format: Argo Workflows v1alpha1, whose `workflowMetadata` is that of the Workflows made of it.
    """
    made = copy.deepcopy(workflow)
    metadata = {key: made["metadata"][key] for key in ("labels", "annotations") if key in made["metadata"]}
    place = {"namespace": made["metadata"]["namespace"]} if "namespace" in made["metadata"] else {}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "WorkflowTemplate",
        "metadata": {"name": name, "labels": metadata.get("labels", {})} | place,
        "spec": made["spec"] | {"workflowMetadata": metadata},
    }


def _parameters(workflow: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (workflow["spec"].get("arguments") or {}).get("parameters") or []
    return found
