"""Reads a task from the specification that a compiled Workflow carries, and from what the tasks before it left."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.launch.placeholders import resolve
from components.runtime.launch.task import Task
from components.runtime.stage.artifacts import file_digest
from components.runtime.stage.executor import convert

_COMPONENTS = Path(__file__).parents[2]
_PARAMETER_PLACEHOLDER = "{{$.inputs.parameters['"
PYTHON_TYPES: dict[str, type] = {
    "NUMBER_INTEGER": int,
    "NUMBER_DOUBLE": float,
    "BOOLEAN": bool,
    "STRUCT": dict,
    "LIST": list,
    "STRING": str,
}


def read_task(
    root: Path,
    run: str,
    text: str,
    parameters: dict[str, str],
    executions: dict[str, dict[str, Any]],
    status: dict[str, Any] | None = None,
) -> Task:
    """Resolves a task's specification to what it runs on.

    Args:
      root: the pipeline root.
      run: name of the workflow.
      text: the specification, JSON as `runners.argo` writes it.
      parameters: the workflow's parameters.
      executions: records of the executions that the task reads from, by task.
      status: how the workflow ended, for its exit task.

    Raises:
      InputError: the specification or an argument is wrong or missing.
    """
    try:
        spec = json.loads(text)
        definitions = spec["component"].get("inputDefinitions", {}).get("parameters", {})
        values = {
            name: status or {}
            if "final_status" in source
            else _value(name, source, definitions.get(name, {}).get("parameterType", ""), parameters, executions)
            for name, source in spec["parameters"].items()
        }
        inputs = {
            name: _execution(source["task"], executions)["outputs"][source["output"]]
            for name, source in spec["artifacts"].items()
        }
        for name, source in spec["parameters"].items():
            if "constant" in source:
                values[name] = _filled(source["constant"], values)
        return Task(
            pipeline=spec["pipeline"],
            name=spec["task"],
            stage=spec["stage"],
            run=run,
            component=spec["component"],
            container=spec["container"],
            parameters={name: value for name, value in values.items() if name in definitions},
            inputs=inputs,
            code=_code(spec["stage"], spec["container"]["image"], foreign=bool(spec.get("foreign"))),
            cacheable=spec["cacheable"],
            foreign=bool(spec.get("foreign")),
        )
    except json.JSONDecodeError as error:
        raise InputError(f"--task is not JSON: {error}") from None
    except (KeyError, TypeError, AttributeError) as error:
        raise InputError(f"--task is not a task's specification: {error!r} is missing or of another type") from None


def fused_stages(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the specifications of a container's tasks say about their stages, for `FusedStages`.

    Raises:
      InputError: one is wrong.
    """
    try:
        return {spec["stage"]: spec["environment"] for spec in map(json.loads, texts)}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"--task: of several, each says in which environment it runs: {error!r}") from None


def _value(
    name: str, source: dict[str, Any], kind: str, parameters: dict[str, str], executions: dict[str, dict[str, Any]]
) -> Any:
    if "constant" in source:
        return source["constant"]
    if "parameters" in source:
        return {name: parameters.get(given, "") for name, given in source["parameters"].items()}
    if "parameter" in source:
        if source["parameter"] not in parameters:
            raise InputError(
                f"the workflow's parameter {source['parameter']!r} is missing; give it with --parameter NAME=VALUE"
            )
        return convert(source["parameter"], parameters[source["parameter"]], PYTHON_TYPES.get(kind, str))
    return _execution(source["task"], executions)["output_parameters"][source["output"]]


def _filled(constant: Any, values: dict[str, Any]) -> Any:
    """A constant with the DSL's f-strings filled in: placeholders for parameters of the task."""
    if isinstance(constant, dict):
        return {key: _filled(each, values) for key, each in constant.items()}
    if isinstance(constant, list):
        return [_filled(each, values) for each in constant]
    if isinstance(constant, str) and _PARAMETER_PLACEHOLDER in constant:
        return resolve([constant], {"inputs": {"parameterValues": values}})[0]
    return constant


def _execution(task: str, executions: dict[str, dict[str, Any]]) -> dict[str, Any]:
    if task not in executions:
        raise InputError(f"the execution of the task {task!r} is missing; give it with --execution TASK=PATH")
    return executions[task]


def _code(stage: str, image: str, *, foreign: bool) -> str:
    """Identifies what runs: the image by its digest, or without one the code that is in it, if that is ours."""
    if foreign or "@sha256:" in image:
        return image
    files = [*sorted((_COMPONENTS / stage).rglob("*.py")), *sorted((_COMPONENTS / "runtime").rglob("*.py"))]
    listing = "".join(f"{file.relative_to(_COMPONENTS)} {file_digest(file)}\n" for file in files)
    return hashlib.sha256(f"{image}\n{listing}".encode()).hexdigest()
