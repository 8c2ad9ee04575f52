"""What a real Kubeflow Pipelines 2.17.0 answered, put on the server of the tests."""

from __future__ import annotations

import functools
import json
from typing import Any

from tests.runners.kubeflow.kfp_server import Kfp
from tests.support import shared

_FOLDER = "kfp_recorded"
_SAME_PIPELINE = {
    "taxi": ("taxi_uncached_done", "taxi_done"),
    "digits": ("invalid_data_failed", "stopped_retried"),
    "hello": ("of_schedule_done", "bad_root_failed"),
}
"""Runs in which each layer of a pipeline began, of some that ran it."""


def answer(name: str) -> Any:
    """A file of the recording."""
    return json.loads(shared(f"{_FOLDER}/{name}.json").read_text())


def names() -> list[str]:
    """What happened to the runs that were recorded, as their files are called; empty where they are not here."""
    folder = shared(_FOLDER)
    files = sorted(folder.glob("run_*.workflow_status.json"))
    return [file.name.removeprefix("run_").removesuffix(".workflow_status.json") for file in files]


def put(server: Kfp, name: str) -> str:
    """Puts a run on the server, with its Workflow and its pipeline; returns its id."""
    status = answer(f"run_{name}.workflow_status")
    pipeline = next(each for each in _SAME_PIPELINE if each in _workflow_name(status))
    return server.record(name, answer(f"run_{name}"), status, ir(pipeline))


@functools.cache
def ir(pipeline: str) -> dict[str, Any]:
    """The IR of a pipeline, put together of what its drivers were given: the recording leaves out the pipelines."""
    root: dict[str, Any] = {}
    components: dict[str, Any] = {}
    for name in _SAME_PIPELINE[pipeline]:
        for node in answer(f"run_{name}.workflow_status")["nodes"].values():
            given = {each["name"]: each.get("value") for each in (node.get("inputs") or {}).get("parameters") or []}
            if node["type"] != "Pod" or not given.get("component"):
                continue
            if given.get("driver-type") == "ROOT_DAG":
                root = root or json.loads(given["component"])
            else:
                reference = json.loads(given["task"])["componentRef"]["name"]
                components.setdefault(reference, json.loads(given["component"]))
    # What is in a group that never began was nowhere recorded.
    groups = [task["componentRef"]["name"] for each in (root, *components.values()) for task in _tasks(each).values()]
    for name in set(groups) - components.keys():
        components[name] = {"dag": {"tasks": {}}} if name.startswith("comp-condition") else {"executorLabel": name}
    return {"pipelineInfo": {"name": pipeline}, "root": root, "components": components}


def _tasks(component: dict[str, Any]) -> dict[str, Any]:
    return dict((component.get("dag") or {}).get("tasks") or {})


def _workflow_name(status: dict[str, Any]) -> str:
    return str(next(iter(status["nodes"].values()))["name"])
