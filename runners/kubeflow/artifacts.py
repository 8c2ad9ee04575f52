"""What the tasks of a run on Kubeflow Pipelines left: metrics, and the pages of reports.

What there is tells the metadata store of servers before 2.18, and the API of later ones; the content comes from
`/artifacts/get` at the dashboard's address.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from components.runtime.errors import InputError
from components.runtime.launch.fused import JOINT
from components.runtime.stage.artifacts import BOOKKEEPING
from runners.kubeflow import fused, task_store
from runners.kubeflow.connection import Connection
from runners.kubeflow.executions import METRICS, Execution, Store
from runners.kubeflow.metadata_store import MetadataStore
from runners.kubeflow.server import Cluster
from runners.settings.folders import made

_PAGES = {"system.HTML": ".html", "system.Markdown": ".md"}
_SOURCES = {"gs": "gcs", "s3": "s3", "minio": "minio"}


def store(connection: Connection) -> Store:
    """The place where a server keeps tasks and artifacts."""
    return task_store.TaskStore(connection) if task_store.is_there(connection) else MetadataStore(connection)


def executions(cluster: Cluster, run: str, where: Store | None = None) -> list[Execution]:
    """The tasks of a run, those that the settings fused as the single ones.

    Args:
      cluster: the server.
      run: the run's id.
      where: the store, where it is known already.
    """
    found = (where or store(cluster.connection)).executions(run)
    # One question less for each run where nothing can be fused.
    named = any(JOINT in execution.task for execution in found)
    return fused.split(found, fused.parts_by_task(cluster.ir(run))) if named else found


def metrics(cluster: Cluster, run: str) -> dict[str, float]:
    """The metrics of a run: those of the evaluation, or of the choice, as they are called, others behind the task's."""
    found: dict[str, float] = {}
    for execution in executions(cluster, run):
        prefix = "" if execution.task in ("evaluate", "choose") else f"{execution.task}."
        for output in execution.outputs.values():
            if output.type == METRICS:
                for name, value in output.metadata.items():
                    if isinstance(value, int | float) and not isinstance(value, bool) and name not in BOOKKEEPING:
                        found[f"{prefix}{name}"] = float(value)
    return dict(sorted(found.items(), key=lambda entry: ("." in entry[0], entry[0])))


def fetch_reports(cluster: Cluster, run: str, folder: Path) -> list[Path]:
    """Writes the report pages of a run into a folder and returns their paths; all of them or none.

    Raises:
      InputError: there are none, or the server gives no content of artifacts.
    """
    pages = {}
    for execution in sorted(executions(cluster, run), key=lambda execution: execution.task):
        for output, artifact in execution.outputs.items():
            if suffix := _PAGES.get(artifact.type):
                name = re.sub(r"[^\w.-]+", "-", f"{execution.task or 'task'}-{output}").strip(".-")
                pages[f"{name.removesuffix(suffix)}{suffix}"] = fetch_content(cluster, artifact.uri)
    if not pages:
        raise InputError(f"run {run} has no report pages on {cluster.where}; has it come so far?")
    made(folder)
    for name, content in pages.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in pages]


def fetch_content(cluster: Cluster, uri: str) -> bytes:
    """The content of a file that an artifact is, or has in it.

    Raises:
      InputError: it lies where the server cannot read it, or the server does not hand it out.
    """
    parts = urlsplit(uri)
    if parts.scheme not in _SOURCES:
        raise InputError(f"{uri}: lies where the server cannot read it; look on the volume itself")
    query = {"source": _SOURCES[parts.scheme], "bucket": parts.netloc, "key": parts.path.lstrip("/")}
    if cluster.namespace:
        query["namespace"] = cluster.namespace
    return cluster.connection.fetch(f"/artifacts/get?{urlencode(query)}", f"fetching {uri}")
