"""Servers on loopback that tell of whole runs: what each task read and made.

`Before` has a metadata store, as servers before 2.18. `After` has none: tasks and artifacts are in its API. Its shape
is that of the change that brought it (kubeflow/pipelines#13986), or with `proposal` that of the proposal before.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

from components.runtime.launch.fused import inner_name
from runners.kubeflow.fused import parts_by_task
from runners.kubeflow.metadata_store import _classes
from tests.runners.history.pipeline_roots import RootWriter
from tests.runners.kubeflow.kfp_server import START, Kfp, fill, fill_struct, framed
from tests.runners.loopback import Refused

_KINDS = {"system.Metrics": "Metric", "system.ClassificationMetrics": "ClassificationMetric"}
_STATES = {"done": 3, "failed": 4, "cached": 5, "running": 2}
_LAYER = 1_000_000


@dataclass
class Thing:
    """An artifact of the server."""

    type: str
    uri: str
    metadata: dict[str, Any]


@dataclass
class Done:
    """What a task of a run did; artifacts by their places in `History.things`."""

    run: str
    task: str
    state: str = "done"
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, int] = field(default_factory=dict)
    outputs: dict[str, int] = field(default_factory=dict)
    error: str = ""


@dataclass
class History(Kfp):
    """A server with runs."""

    things: list[Thing] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    known: list[str] = field(default_factory=list)

    def add_run(self, name: str) -> str:
        """A run that is over."""
        identity = str(uuid.uuid5(uuid.NAMESPACE_OID, name))
        self.known.append(identity)
        made = {"run_id": identity, "display_name": name, "created_at": self.stamp(), "state": "SUCCEEDED"}
        self.runs[identity] = made | {"finished_at": self.stamp(), "run_details": {"task_details": []}}
        return identity

    def add(self, run: str, task: str, *, inputs: dict[str, int] | None = None, **values: Any) -> dict[str, int]:
        """A task that made outputs, each given as its metadata; those of a dict of numbers are there already."""
        outputs = {}
        for name, made in values.pop("outputs", {}).items():
            outputs[name] = made if isinstance(made, int) else self._thing(run, task, name, made)
        self.done.append(Done(run, task, inputs=inputs or {}, outputs=outputs, **values))
        return outputs

    def _thing(self, run: str, task: str, name: str, metadata: dict[str, Any]) -> int:
        kind = metadata.pop("type", "system.Artifact")
        self.things.append(Thing(kind, f"minio://mlpipeline/v2/artifacts/taxi/{run}/{task}/{name}", metadata))
        return len(self.things) - 1

    def tell(self, writer: RootWriter) -> None:
        """Takes over the runs of a pipeline root: the same tasks, artifacts and metadata."""
        places: dict[str, int] = {}
        runs: dict[str, str] = {}
        for (name, task), record in writer.executions.items():
            run = runs[name] if name in runs else runs.setdefault(name, self.add_run(name))
            outputs: dict[str, Any] = {}
            for output, artifact in record["outputs"].items():
                made = dict(artifact["metadata"]) | {"type": artifact["type"]}
                if artifact["type"] == "system.Metrics":
                    made = {key: value for key, value in made.items() if key not in ("digest", "bytes", "producer")}
                outputs[output] = places.get(artifact["uri"], made)
            outputs = self.add(
                run,
                task,
                state="done" if record["run"] == name else "cached",
                parameters=record["parameters"],
                inputs={argument: places[artifact["uri"]] for argument, artifact in record["inputs"].items()},
                outputs=outputs,
            )
            places |= {artifact["uri"]: outputs[output] for output, artifact in record["outputs"].items()}

    def fuse(self, ir: dict[str, Any]) -> None:
        """Puts the tasks of all runs together that an IR has as one, as a server would have had them."""
        for run in self.known:
            self.runs[run]["pipeline_spec"] = ir
            for name, parts in parts_by_task(ir).items():
                of_part = {each.task: each for each in self.done if each.run == run}
                singles = [(of_part[part["task"]], part) for part in parts if part["task"] in of_part]
                if not singles:
                    continue
                states = {single.state for single, _ in singles}
                whole = Done(run, name, state="cached" if states == {"cached"} else "done")
                for single, part in singles:
                    for argument, artifact in single.inputs.items():
                        if source := part["artifacts"].get(argument, {}).get("input"):
                            whole.inputs[source] = artifact
                    whole.outputs |= {inner_name(single.task, name): made for name, made in single.outputs.items()}
                    whole.parameters |= {
                        inner_name(single.task, key): value for key, value in single.parameters.items()
                    }
                gone = [single for single, _ in singles]
                place = next(place for place, each in enumerate(self.done) if each is gone[-1])
                self.done[place] = whole
                self.done = [each for each in self.done if not any(each is one for one in gone)]


@dataclass
class Before(History):
    """A server with a metadata store: ids there are places plus one."""

    def metadata(self, method: str, body: bytes) -> bytes:
        kinds = _classes()
        request, response = kinds[f"{method}Request"].FromString(body[5:]), kinds[f"{method}Response"]()
        runs = self.known
        if method == "GetContextByTypeAndName":
            if request.context_name in runs:
                response.context.id = runs.index(request.context_name) + 1
        elif method == "GetExecutionsByContext":
            run = runs[request.context_id - 1]
            layer = response.executions.add(id=_LAYER + request.context_id, type="system.DAGExecution")
            fill(layer, {"task_name": "condition-1"})
            for place, each in enumerate(self.done):
                if each.run == run:
                    made = response.executions.add(
                        id=place + 1,
                        type="system.ContainerExecution",
                        last_known_state=_STATES[each.state],
                        create_time_since_epoch=1000 * (place + 1),
                    )
                    fill(made, {"task_name": f"{each.task}-2", "display_name": each.task})
                    value = made.custom_properties.add(key="inputs").value
                    value.struct_value.SetInParent()
                    fill_struct(value.struct_value, each.parameters)
        elif method.startswith("GetEventsBy"):
            for event in self._events():
                wanted = request.execution_ids if "Execution" in method else request.artifact_ids
                if (event[1] if "Execution" in method else event[0]) in wanted:
                    made = response.events.add(artifact_id=event[0], execution_id=event[1], type=event[3])
                    made.path.steps.add(key=event[2])
        elif method == "GetContextsByExecution":
            place = request.execution_id
            run = runs[place - _LAYER - 1] if place > _LAYER else self.done[place - 1].run
            response.contexts.add(id=500, name="taxi", type="system.Pipeline")
            response.contexts.add(id=runs.index(run) + 1, name=run, type="system.PipelineRun")
        elif method == "GetArtifactsByID":
            for identity in request.artifact_ids:
                self._artifact(response, identity)
        else:
            assert method in ("GetArtifacts", "GetArtifactsByType")
            type_name = request.type_name if method.endswith("Type") else ""
            ids = [place + 1 for place, each in enumerate(self.things) if type_name in ("", each.type)][::-1]
            assert not request.options.order_by_field.is_asc
            assert request.options.next_page_token or not request.options.HasField("next_page_token")
            begin = int(request.options.next_page_token or 0)
            for identity in ids[begin : begin + self.page_size_limit]:
                self._artifact(response, identity)
            if begin + self.page_size_limit < len(ids):
                response.next_page_token = str(begin + self.page_size_limit)
        return framed(response)

    def _artifact(self, response: Any, identity: int) -> None:
        thing = self.things[identity - 1]
        made = response.artifacts.add(id=identity, type=thing.type, uri=thing.uri)
        fill(made, thing.metadata | {"display_name": thing.uri.rpartition("/")[2], "store_session_info": "{}"})

    def _events(self) -> list[tuple[int, int, str, int]]:
        found = []
        for place, each in enumerate(self.done):
            found += [(artifact + 1, place + 1, name, 3) for name, artifact in each.inputs.items()]
            found += [(artifact + 1, place + 1, name, 4) for name, artifact in each.outputs.items()]
            # A layer around tasks reads and makes what they do.
            layer = _LAYER + self.known.index(each.run) + 1
            found += [(artifact + 1, layer, name, 4) for name, artifact in each.outputs.items()]
        return found


@dataclass
class After(History):
    """A server without a metadata store.

    Attributes:
      proposal: speaks as the proposal does, not as the change that was merged.
      whole_runs: whether a run comes with its tasks; else they have to be listed.
    """

    tag: str = "2.18.1"
    proposal: bool = False
    whole_runs: bool = True

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes, headers: dict[str, str]) -> Any:
        rest = path.removeprefix("/apis/v2beta1/")
        if path.startswith("/ml_metadata"):
            raise Refused(404, "Not Found")
        if method == "GET" and rest == "artifacts":
            items = [each for place in range(len(self.things)) for each in self.of_thing(place)]
            return self.page("artifacts", items[::-1], query)
        if method == "GET" and rest == "artifact_tasks":
            return self.page("artifact_tasks", self.links(self.asked_for("artifact_ids")), query)
        if self.proposal and rest == "tasks":
            return self.page("tasks", self.tasks(query["run_id"]), query)
        if not self.proposal and rest.startswith("runs/") and rest.endswith("/tasks"):
            return self.page("tasks", self.tasks(rest.split("/")[1]), query)
        reply = super().answer(method, path, query, body, headers)
        if rest.startswith("runs/") and method == "GET":
            reply = {name: value for name, value in reply.items() if name != "run_details"}
            if query.get("view") == "FULL" and self.whole_runs:
                reply["tasks"] = self.tasks(reply["run_id"])
        return reply

    def asked_for(self, name: str) -> list[str]:
        return parse_qs(urlsplit(self.requests[-1][1]).query)[name]

    def page(self, name: str, items: list[dict[str, Any]], query: dict[str, str]) -> dict[str, Any]:
        begin = int(query.get("page_token") or 0)
        end = begin + min(int(query["page_size"]), self.page_size_limit)
        return {
            name: items[begin:end],
            "total_size": len(items),
            "next_page_token": str(end) if end < len(items) else "",
        }

    def of_thing(self, place: int) -> list[dict[str, Any]]:
        """An artifact as the server has it; each metric is one of its own, and has no place."""
        thing = self.things[place]
        facts = "custom_properties" if self.proposal else "metadata"
        kind = _KINDS.get(thing.type, thing.type.removeprefix("system."))
        made = {
            "artifact_id": f"a-{place:04d}",
            "name": thing.uri.rpartition("/")[2],
            "type": kind,
            "namespace": "kubeflow",
        }
        if kind == "Metric":
            return [
                made | {"artifact_id": f"a-{place:04d}-{name}", "name": name, "number_value": value, facts: {}}
                for name, value in thing.metadata.items()
            ]
        return [made | {facts: thing.metadata} | ({"uri": thing.uri} if kind != "ClassificationMetric" else {})]

    def links(self, artifacts: list[str]) -> list[dict[str, Any]]:
        found = []
        for number, each in enumerate(self.done):
            for side, kind in (("inputs", "TASK_OUTPUT_INPUT"), ("outputs", "OUTPUT")):
                for name, place in getattr(each, side).items():
                    for one in self.of_thing(place):
                        link = {"artifact_id": one["artifact_id"], "run_id": each.run, "task_id": f"t-{number}"}
                        found.append(link | ({"type": kind, "key": name} if not self.proposal else {"type": kind[-5:]}))
        return [each for each in found if each["artifact_id"] in artifacts]

    def tasks(self, run: str) -> list[dict[str, Any]]:
        layers = [
            {"task_id": f"root-{run}", "run_id": run, "name": "root", "type": "ROOT", "inputs": {}, "outputs": {}}
        ]
        self.one(self.runs, run)
        return layers + [self.task(number) for number, each in enumerate(self.done) if each.run == run]

    def task(self, number: int) -> dict[str, Any]:
        each = self.done[number]
        moment = (START + timedelta(seconds=number)).strftime("%Y-%m-%dT%H:%M:%SZ")
        state = {"done": "SUCCEEDED", "failed": "FAILED", "cached": "CACHED", "running": "RUNNING"}[each.state]
        made: dict[str, Any] = {
            "task_id": f"t-{number}",
            "run_id": each.run,
            "name": f"{each.task}-2",
            "display_name": each.task,
            "create_time": moment,
            "type": "RUNTIME",
            "parent_task_id": f"root-{each.run}",
        }
        if self.proposal:
            made |= {"status": state, "start_time": moment, "end_time": moment}
            made |= {"error": {"code": 1, "message": each.error}} if each.error else {}
            made["inputs"] = {
                "parameters": [{"name": name, "value": value} for name, value in each.parameters.items()],
                "artifacts": self.sides(each.inputs),
            }
            made["outputs"] = {"artifacts": self.sides(each.outputs)}
            return made
        made |= {"state": state, "end_time": moment}
        made |= {"status_metadata": {"message": each.error}} if each.error else {}
        made["inputs"] = {
            "parameters": [
                {"parameter_key": name, "value": value, "type": "COMPONENT_INPUT"}
                for name, value in each.parameters.items()
            ],
            "artifacts": self.sides(each.inputs),
        }
        made["outputs"] = {"artifacts": self.sides(each.outputs)} if each.outputs else {}
        return made

    def sides(self, artifacts: dict[str, int]) -> list[dict[str, Any]]:
        if self.proposal:
            return [
                {"parameter_name": name, "producer_task_name": "x", "value": one}
                for name, place in artifacts.items()
                for one in self.of_thing(place)
            ]
        return [
            {"artifact_key": name, "artifacts": self.of_thing(place), "type": "OUTPUT"}
            for name, place in artifacts.items()
        ]
