"""Names and values in a Workflow's file, for what compiles it and for what submits and follows it.

Apart from the compiler, which imports kfp.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from components.runtime.errors import InputError
from components.runtime.records.argo_workflow import without_tags

DASHBOARD_SPEC = "pipelines.kubeflow.org/pipeline_spec"
"""Annotation: description of the pipeline and types of its parameters, where the KFP dashboard reads them."""


def node_name(name: str) -> str:
    """A name in the letters that Kubernetes takes."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def pipeline_of(workflow: Mapping[str, Any]) -> str:
    """The name of the pipeline that a Workflow is a run of, scheduled or submitted; empty where nothing tells."""
    metadata = workflow["metadata"]
    try:
        return str(json.loads(metadata["annotations"][DASHBOARD_SPEC])["name"])
    except (KeyError, TypeError, ValueError):
        return str(metadata.get("generateName") or "").removesuffix("-")


def as_text(name: str, value: Any) -> str:
    """A parameter's value as Argo has it: text, JSON for anything but strings.

    Raises:
      InputError: a text in which Argo would find a tag of its own.
    """
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if not isinstance(value, str):
        return without_tags(json.dumps(value, sort_keys=True))
    if "{{" in value:
        raise InputError(f"the parameter {name!r} is {value!r}: Argo reads {{{{ as one of its own tags; leave it out")
    return value
