"""What the tasks of a run on Kubeflow Pipelines left: metrics, and the pages of reports.

The v2beta1 API has no artifacts. They are in the server's metadata store, which the dashboard's address serves as
gRPC-web (one framed protobuf message in a POST), and their content comes from `/artifacts/get` beside it. Kubeflow is
to replace this store: all that is known of it is in this module.
"""

from __future__ import annotations

import functools
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from components.runtime.errors import InputError
from runners.kubeflow.server import Cluster

_PAGES = {"system.HTML": ".html", "system.Markdown": ".md"}
_SOURCES = {"gs": "gcs", "s3": "s3", "minio": "minio"}
_BOOKKEEPING = frozenset({"digest", "bytes", "producer", "display_name", "store_session_info"})
_OUTPUT_EVENTS = (1, 4)
# Messages of ml_metadata's service, numbered as in its 1.17.1: only the fields that are read here. `*` is a list.
_MESSAGES: dict[str, list[tuple[str, int, str]]] = {
    "Value": [("int_value", 1, "int64"), ("double_value", 2, "double"), ("string_value", 3, "string")],
    "Entry": [("key", 1, "string"), ("value", 2, "Value")],
    "Context": [("id", 1, "int64")],
    "Artifact": [
        ("id", 1, "int64"),
        ("type", 8, "string"),
        ("uri", 3, "string"),
        ("name", 7, "string"),
        ("custom_properties", 5, "*Entry"),
    ],
    "Execution": [("id", 1, "int64"), ("custom_properties", 5, "*Entry")],
    "Event": [("artifact_id", 1, "int64"), ("execution_id", 2, "int64"), ("type", 4, "int64")],
    "GetContextByTypeAndNameRequest": [("type_name", 1, "string"), ("context_name", 2, "string")],
    "GetContextByTypeAndNameResponse": [("context", 1, "Context")],
    "GetArtifactsByContextRequest": [("context_id", 1, "int64")],
    "GetArtifactsByContextResponse": [("artifacts", 1, "*Artifact")],
    "GetExecutionsByContextRequest": [("context_id", 1, "int64")],
    "GetExecutionsByContextResponse": [("executions", 1, "*Execution")],
    "GetEventsByExecutionIDsRequest": [("execution_ids", 1, "*int64")],
    "GetEventsByExecutionIDsResponse": [("events", 1, "*Event")],
}


@dataclass(frozen=True)
class Output:
    """An artifact that a task made."""

    task: str
    name: str
    type: str
    uri: str
    metadata: dict[str, int | float | str]


def outputs(cluster: Cluster, run: str) -> list[Output]:
    """All artifacts that the tasks of a run made.

    Raises:
      InputError: the server does not tell, as when it is the API server without the dashboard.
    """
    context = _call(cluster, "GetContextByTypeAndName", type_name="system.PipelineRun", context_name=run).context.id
    if not context:
        raise InputError(f"{cluster.where}: the metadata store knows nothing of the run {run}")
    artifacts = _call(cluster, "GetArtifactsByContext", context_id=context).artifacts
    executions = _call(cluster, "GetExecutionsByContext", context_id=context).executions
    names = {each.id: str(_properties(each).get("task_name", "")) for each in executions}
    events = _call(cluster, "GetEventsByExecutionIDs", execution_ids=sorted(names)).events if names else []
    makers = {each.artifact_id: names.get(each.execution_id, "") for each in events if each.type in _OUTPUT_EVENTS}
    found = []
    for artifact in artifacts:
        metadata = _properties(artifact)
        name = str(metadata.get("display_name") or artifact.uri.rpartition("/")[2])
        found.append(Output(makers.get(artifact.id, ""), name, artifact.type, artifact.uri, metadata))
    return sorted(found, key=lambda output: (output.task, output.name))


def metrics(cluster: Cluster, run: str) -> dict[str, float]:
    """The metrics of a run: those of the evaluation as they are called, others behind the task's name."""
    found: dict[str, float] = {}
    for output in outputs(cluster, run):
        if output.type == "system.Metrics":
            prefix = "" if output.task == "evaluate" else f"{output.task}."
            for name, value in output.metadata.items():
                if isinstance(value, int | float) and name not in _BOOKKEEPING:
                    found[f"{prefix}{name}"] = float(value)
    return dict(sorted(found.items(), key=lambda entry: ("." in entry[0], entry[0])))


def fetch_reports(cluster: Cluster, run: str, folder: Path) -> list[Path]:
    """Writes the report pages of a run into a folder and returns their paths; all of them or none.

    Raises:
      InputError: there are none, or the server gives no content of artifacts.
    """
    pages = {}
    for output in outputs(cluster, run):
        if output.type in _PAGES:
            name = re.sub(r"[^\w.-]+", "-", f"{output.task or 'task'}-{output.name}").strip(".-")
            pages[f"{name.removesuffix(_PAGES[output.type])}{_PAGES[output.type]}"] = _content(cluster, output.uri)
    if not pages:
        raise InputError(f"run {run} has no report pages on {cluster.where}; has it come so far?")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pages.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in pages]


def _content(cluster: Cluster, uri: str) -> bytes:
    parts = urlsplit(uri)
    if parts.scheme not in _SOURCES:
        raise InputError(f"{uri}: lies where the server cannot read it; look on the volume itself")
    query = {"source": _SOURCES[parts.scheme], "bucket": parts.netloc, "key": parts.path.lstrip("/")}
    if cluster.namespace:
        query["namespace"] = cluster.namespace
    return cluster.connection.fetch(f"/artifacts/get?{urlencode(query)}", f"fetching {uri}")


def _call(cluster: Cluster, method: str, **fields: Any) -> Any:
    """One call of the metadata store."""
    request = _classes()[f"{method}Request"](**fields).SerializeToString()
    doing = "asking the metadata store (it is behind the address of the dashboard, not of the API server)"
    answer = cluster.connection.fetch(
        f"/ml_metadata.MetadataStoreService/{method}",
        doing,
        body=struct.pack(">BI", 0, len(request)) + request,
        headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
    )
    from google.protobuf.message import DecodeError

    response = _classes()[f"{method}Response"]()
    try:
        while answer:
            flags, length = struct.unpack(">BI", answer[:5])
            frame, answer = answer[5 : 5 + length], answer[5 + length :]
            if flags & 0x80:
                _check_trailers(cluster, frame.decode(errors="replace"))
            else:
                response.MergeFromString(frame)
    except (struct.error, DecodeError):
        raise InputError(f"{cluster.where}: something else answers while {doing}") from None
    return response


def _check_trailers(cluster: Cluster, trailers: str) -> None:
    status = re.search(r"grpc-status:\s*(\d+)", trailers, re.IGNORECASE)
    if status and status[1] not in ("0", "5"):
        message = re.search(r"grpc-message:\s*(.*)", trailers, re.IGNORECASE)
        said = f": {message[1].strip()}" if message else ""
        raise InputError(f"{cluster.where}: the metadata store refuses (gRPC status {status[1]}){said}")


def _properties(message: Any) -> dict[str, int | float | str]:
    found: dict[str, int | float | str] = {}
    for entry in message.custom_properties:
        kind = next((name for name in ("int_value", "double_value", "string_value") if entry.value.HasField(name)), "")
        if kind:
            found[entry.key] = getattr(entry.value, kind)
    return found


@functools.cache
def _classes() -> dict[str, Any]:
    """Protobuf classes of the messages; the package ml-metadata demands a protobuf older than kfp's."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="millrace_metadata.proto", package="ml_metadata", syntax="proto2")
    kinds = {
        "int64": descriptor_pb2.FieldDescriptorProto.TYPE_INT64,
        "double": descriptor_pb2.FieldDescriptorProto.TYPE_DOUBLE,
        "string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    }
    for message, fields in _MESSAGES.items():
        made = file.message_type.add(name=message)
        for name, number, kind in fields:
            field = made.field.add(name=name, number=number)
            field.label = field.LABEL_REPEATED if kind.startswith("*") else field.LABEL_OPTIONAL
            kind = kind.lstrip("*")
            if kind in kinds:
                field.type = kinds[kind]
            else:
                field.type = field.TYPE_MESSAGE
                field.type_name = f".ml_metadata.{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"ml_metadata.{name}")) for name in _MESSAGES
    }
