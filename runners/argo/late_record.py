"""The record of a Workflow that was stopped at once: its exit handler, whose last pod writes it, did not run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from components.runtime.text.workflow_nodes import nodes
from runners.argo.helpers import closing_container, helper

_TAG = re.compile(r"\{\{([^{}]+)\}\}")


def writer(workflow: Mapping[str, Any]) -> dict[str, Any]:
    """The Workflow that does what the last pod would have done, told from outside what Argo would have told it.

    Args:
      workflow: that was stopped, with its status.

    Raises:
      InputError: there is no volume that has its record, or it is none of ours.
    """
    metadata = workflow["metadata"]
    parameters = (workflow["spec"].get("arguments") or {}).get("parameters") or []
    tags = {
        "workflow.name": str(metadata["name"]),
        "workflow.creationTimestamp.RFC3339": str(metadata["creationTimestamp"]),
        "workflow.status": "Failed",
        "workflow.failures": json.dumps(_failures(workflow)),
        **{f"workflow.parameters.{each['name']}": str(each.get("value", "")) for each in parameters},
    }
    container = closing_container(workflow)
    arguments = [_TAG.sub(lambda tag: tags.get(tag[1], tag[0]), each) for each in container.get("args", [])]
    return helper(workflow, "record", container.get("command", []), arguments)


def _failures(workflow: Mapping[str, Any]) -> list[dict[str, str]]:
    """What Argo says of the nodes that failed; of the Workflow itself that it was stopped, for none may have begun."""
    failed = [node for node in nodes(dict(workflow)).values() if node.get("phase") in ("Failed", "Error")]
    told = [{key: str(node.get(key) or "") for key in ("displayName", "message", "finishedAt")} for node in failed]
    return [*told, {"displayName": "", "message": "Stopped with strategy 'Terminate'", "finishedAt": "~"}]
