"""Finds why a pod failed in what it wrote: the API of Kubeflow Pipelines tells no errors of tasks.

Argo keeps the log of each pod as an artifact, which the API server reads. Where it does not, the dashboard reads the
log of a pod that is still there.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from urllib.parse import quote, urlencode

from components.runtime.errors import StageError
from components.runtime.stage.executor import ERROR_PREFIX
from components.runtime.text.redaction import redact
from runners.kubeflow.connection import Connection
from runners.kubeflow.nodes import Node

_GLOG = re.compile(r"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\S*\s+\d+ [\w.-]+:\d+\] ?(?P<text>.*)")
"""A line of the server's own helpers, which are written in Go."""

_ARGO = re.compile(r"time=\"|\{\"(?:time|level|msg)\":|Error: exit status \d+$")
"""A line of Argo's own executor, which says no more than the exit code."""

_DRIVER = re.compile(r"KFP driver: driver\.\w+\(.*?\) failed: ")
_DOING = "reading the log of a pod"


def error(connection: Connection, run: str, namespace: str, node: Node) -> str:
    """The error in the log of a pod; empty where there is none, or no log is to be had."""
    identity = str(node.get("id") or "")
    artifacts = [each.get("name") for each in (node.get("outputs") or {}).get("artifacts") or []]
    if "main-logs" in artifacts:
        path = f"/apis/v2beta1/runs/{quote(run)}/nodes/{quote(identity)}/artifacts/main-logs:read"
        try:
            return in_log(base64.b64decode(json.loads(connection.fetch(path, _DOING))["data"]).decode(errors="replace"))
        except (StageError, ValueError, KeyError, TypeError, binascii.Error):
            pass
    # Argo names a pod after the Workflow, the template and the number of the node.
    workflow, _, number = identity.rpartition("-")
    pod = f"{workflow}-{node['templateName']}-{number}" if node.get("templateName") else identity
    query = {"podname": pod, "runid": run} | ({"podnamespace": namespace} if namespace else {})
    try:
        return in_log(connection.fetch(f"/k8s/pod/logs?{urlencode(query)}", _DOING).decode(errors="replace"))
    except StageError:
        return ""


def in_log(text: str) -> str:
    """The one line of a log that says why it ended: a stage's own, that of the server's helpers, or the last one."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if own := [line for line in lines if line.startswith(ERROR_PREFIX)]:
        return redact(own[-1].removeprefix(ERROR_PREFIX))
    helpers = [found for line in lines if (found := _GLOG.match(line))]
    if fatal := [found["text"] for found in helpers if found["level"] in "EF"]:
        return redact(_DRIVER.sub("", fatal[-1]))
    others = [line for line in lines if not _GLOG.match(line) and not _ARGO.match(line)]
    return redact(others[-1]) if others else ""
