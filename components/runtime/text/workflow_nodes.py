"""The nodes of an Argo Workflow, whoever runs it: Argo itself, or Kubeflow Pipelines on top of it."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any


def nodes(workflow: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The nodes of a workflow by their ids; Argo packs them when they are many."""
    status = workflow.get("status") or {}
    if packed := status.get("compressedNodes"):
        found: dict[str, dict[str, Any]] = json.loads(gzip.decompress(base64.b64decode(packed)))
        return found
    return dict(status.get("nodes") or {})
