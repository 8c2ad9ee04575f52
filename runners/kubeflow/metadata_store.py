"""The metadata store (ML Metadata) of servers before 2.18: tasks and artifacts.

The API of these servers has no artifacts. The dashboard's address serves the store as gRPC-web: one framed protobuf
message in a POST. All that is known of it is in this module.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Collection, Iterator
from typing import Any

from components.runtime.errors import InputError
from runners.kubeflow.connection import Connection
from runners.kubeflow.executions import LOGS, Artifact, Execution, described

_PAGE = 100
_MOST = 20_000
_NEWEST_FIRST = {"field": 1, "is_asc": False}
_RUN, _LAYER = "system.PipelineRun", "system.DAGExecution"
_READ, _MADE = (2, 3), (1, 4)
"""Types of events: declared or not."""
_STATES = {2: "running", 3: "done", 4: "failed", 5: "done"}
"""States of an execution by their numbers; 5 is one that the cache answered. Others have not begun, or never will."""
# Messages of ml_metadata's service, numbered as in its 1.17.1, and protobuf's own for JSON: only the fields that are
# read here. `*` is a list.
_MESSAGES: dict[str, list[tuple[str, int, str]]] = {
    "List": [("values", 1, "*Json")],
    "Json": [
        ("number_value", 2, "double"),
        ("string_value", 3, "string"),
        ("bool_value", 4, "bool"),
        ("struct_value", 5, "Struct"),
        ("list_value", 6, "List"),
    ],
    "Field": [("key", 1, "string"), ("value", 2, "Json")],
    "Struct": [("fields", 1, "*Field")],
    "Value": [
        ("int_value", 1, "int64"),
        ("double_value", 2, "double"),
        ("string_value", 3, "string"),
        ("struct_value", 4, "Struct"),
        ("bool_value", 6, "bool"),
    ],
    "Entry": [("key", 1, "string"), ("value", 2, "Value")],
    "Context": [("id", 1, "int64"), ("name", 3, "string"), ("type", 6, "string")],
    "Artifact": [
        ("id", 1, "int64"),
        ("type", 8, "string"),
        ("uri", 3, "string"),
        ("name", 7, "string"),
        ("custom_properties", 5, "*Entry"),
    ],
    "Execution": [
        ("id", 1, "int64"),
        ("type", 7, "string"),
        ("last_known_state", 3, "int64"),
        ("custom_properties", 5, "*Entry"),
        ("create_time_since_epoch", 8, "int64"),
    ],
    "Step": [("key", 2, "string")],
    "Path": [("steps", 1, "*Step")],
    "Event": [("artifact_id", 1, "int64"), ("execution_id", 2, "int64"), ("path", 3, "Path"), ("type", 4, "int64")],
    "Order": [("field", 1, "int64"), ("is_asc", 2, "bool")],
    "Options": [("max_result_size", 1, "int64"), ("order_by_field", 2, "Order"), ("next_page_token", 3, "string")],
    "GetContextByTypeAndNameRequest": [("type_name", 1, "string"), ("context_name", 2, "string")],
    "GetContextByTypeAndNameResponse": [("context", 1, "Context")],
    "GetExecutionsByContextRequest": [("context_id", 1, "int64")],
    "GetExecutionsByContextResponse": [("executions", 1, "*Execution")],
    "GetEventsByExecutionIDsRequest": [("execution_ids", 1, "*int64")],
    "GetEventsByExecutionIDsResponse": [("events", 1, "*Event")],
    "GetEventsByArtifactIDsRequest": [("artifact_ids", 1, "*int64")],
    "GetEventsByArtifactIDsResponse": [("events", 1, "*Event")],
    "GetContextsByExecutionRequest": [("execution_id", 1, "int64")],
    "GetContextsByExecutionResponse": [("contexts", 1, "*Context")],
    "GetArtifactsByIDRequest": [("artifact_ids", 1, "*int64")],
    "GetArtifactsByIDResponse": [("artifacts", 1, "*Artifact")],
    "GetArtifactsByTypeRequest": [("type_name", 1, "string"), ("options", 3, "Options")],
    "GetArtifactsByTypeResponse": [("artifacts", 1, "*Artifact"), ("next_page_token", 2, "string")],
    "GetArtifactsRequest": [("options", 1, "Options")],
    "GetArtifactsResponse": [("artifacts", 1, "*Artifact"), ("next_page_token", 2, "string")],
}


class MetadataStore:
    """The store of a server, as `executions.Store` has it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._runs: dict[int, str] = {}

    def executions(self, run: str) -> list[Execution]:
        """The tasks of a run that have begun, by start."""
        context = self._call("GetContextByTypeAndName", type_name=_RUN, context_name=run).context.id
        if not context:
            raise InputError(f"{self._connection.where}: the metadata store knows nothing of the run {run}")
        there = self._call("GetExecutionsByContext", context_id=context).executions
        self._runs |= {each.id: run for each in there}
        found = {each.id: _execution(run, each) for each in there if each.type != _LAYER}
        events = self._call("GetEventsByExecutionIDs", execution_ids=sorted(found)).events if found else []
        wanted = sorted({each.artifact_id for each in events})
        artifacts = self._call("GetArtifactsByID", artifact_ids=wanted).artifacts if wanted else []
        known = {each.id: each for each in artifacts}
        for event in events:
            artifact, execution = known.get(event.artifact_id), found.get(event.execution_id)
            name = _argument(event, artifact)
            if artifact is None or execution is None or name == LOGS:
                continue
            if event.type in _MADE:
                execution.outputs[name] = _artifact(artifact)
            elif event.type in _READ:
                execution.inputs[name] = _artifact(artifact)
        begun = [found[each.id] for each in there if each.id in found and each.last_known_state in (0, *_STATES)]
        return sorted(begun, key=lambda execution: execution.started)

    def runs_of(self, artifacts: Collection[str]) -> Iterator[str]:
        """Ids of the runs that made or read any of these artifacts."""
        events = self._call("GetEventsByArtifactIDs", artifact_ids=sorted(map(int, artifacts))).events
        # The newest first: one may stop early.
        for execution in sorted({each.execution_id for each in events}, reverse=True):
            if execution not in self._runs:
                contexts = self._call("GetContextsByExecution", execution_id=execution).contexts
                self._runs[execution] = next((each.name for each in contexts if each.type == _RUN), "")
            if run := self._runs[execution]:
                yield run

    def artifacts(self, type: str = "") -> Iterator[Artifact]:
        """All artifacts of a type, or of any; no more than so many."""
        method, what = ("GetArtifactsByType", {"type_name": type}) if type else ("GetArtifacts", {})
        token, given = "", 0
        while given < _MOST:
            # (An empty token is none to the store, but a wrong one.)
            paging = {"max_result_size": _PAGE} | ({"next_page_token": token} if token else {})
            options = _classes()["Options"](order_by_field=_classes()["Order"](**_NEWEST_FIRST), **paging)
            page = self._call(method, options=options, **what)
            yield from map(_artifact, page.artifacts)
            given, token = given + len(page.artifacts), page.next_page_token
            if not token:
                return

    def _call(self, method: str, **fields: Any) -> Any:
        """One call of the store."""
        request = _classes()[f"{method}Request"](**fields).SerializeToString()
        doing = "asking the metadata store (it is behind the address of the dashboard, not of the API server)"
        answer = self._connection.fetch(
            f"/ml_metadata.MetadataStoreService/{method}",
            doing,
            body=struct.pack(">BI", 0, len(request)) + request,
            headers={"content-type": "application/grpc-web+proto", "x-grpc-web": "1"},
        )
        from google.protobuf.message import DecodeError

        where = self._connection.where
        response = _classes()[f"{method}Response"]()
        try:
            while answer:
                flags, length = struct.unpack(">BI", answer[:5])
                frame, answer = answer[5 : 5 + length], answer[5 + length :]
                if flags & 0x80:
                    _check_trailers(where, frame.decode(errors="replace"))
                else:
                    response.MergeFromString(frame)
        except (struct.error, DecodeError):
            raise InputError(f"{where}: something else answers while {doing}") from None
        return response


def _execution(run: str, message: Any) -> Execution:
    properties = _properties(message)
    parameters = properties.get("inputs")
    return Execution(
        id=str(message.id),
        run=run,
        task=str(properties.get("display_name") or properties.get("task_name") or ""),
        state=_STATES.get(message.last_known_state, "running"),
        started=message.create_time_since_epoch / 1000,
        parameters=parameters if isinstance(parameters, dict) else {},
    )


def _artifact(message: Any) -> Artifact:
    # KFP stores what is true or false as 1 or 0, and every number as a float.
    metadata = {
        name: bool(value) if type(value) is int and value in (0, 1) else _unwrapped(value)
        for name, value in _properties(message).items()
    }
    return Artifact(str(message.id), message.type, message.uri, described(metadata))


def _unwrapped(value: Any) -> Any:
    """A list or an object, which KFP stores inside of an object."""
    if isinstance(value, dict) and len(value) == 1:
        return value.get("list", value.get("struct", value))
    return value


def _argument(event: Any, artifact: Any) -> str:
    """The name of an input or an output."""
    named = next((step.key for step in event.path.steps if step.key), "")
    if named or artifact is None:
        return named
    return str(_properties(artifact).get("display_name") or artifact.uri.rpartition("/")[2])


def _check_trailers(where: str, trailers: str) -> None:
    status = re.search(r"grpc-status:\s*(\d+)", trailers, re.IGNORECASE)
    if status and status[1] not in ("0", "5"):
        message = re.search(r"grpc-message:\s*(.*)", trailers, re.IGNORECASE)
        said = f": {message[1].strip()}" if message else ""
        raise InputError(f"{where}: the metadata store refuses (gRPC status {status[1]}){said}")


def _properties(message: Any) -> dict[str, Any]:
    return {entry.key: _value(entry.value) for entry in message.custom_properties}


def _value(message: Any) -> Any:
    """What stands in a value, the store's own or one of JSON."""
    for field, value in message.ListFields():
        if field.name == "struct_value":
            return {each.key: _value(each.value) for each in value.fields}
        return [_value(each) for each in value.values] if field.name == "list_value" else value
    return None


@functools.cache
def _classes() -> dict[str, Any]:
    """Protobuf classes of the messages; the package ml-metadata demands a protobuf older than kfp's."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="millrace_metadata.proto", package="ml_metadata", syntax="proto2")
    kinds = {
        name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name.upper()}")
        for name in ("int64", "double", "string", "bool")
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
