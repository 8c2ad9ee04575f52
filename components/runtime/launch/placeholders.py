"""Resolves the placeholders that KFP's IR allows in a container's command and arguments.

The forms are those of kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto, PipelineContainerSpec.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.stage.executor import EXECUTOR_INPUT_OPTION

_EXECUTOR_INPUT = "{{$}}"
_STRUCTURED = ('{"Concat":', '{"IfPresent":')
_PLACEHOLDER = re.compile(r"\{\{\$(?P<path>[^{}]*)\}\}")
_INPUT_PARAMETER = re.compile(r"\.inputs\.parameters\['(?P<name>[^']+)'\]$")
_OUTPUT_PARAMETER = re.compile(r"\.outputs\.parameters\['(?P<name>[^']+)'\]\.output_file$")
_ARTIFACT = re.compile(
    r"\.(?P<side>inputs|outputs)\.artifacts\['(?P<name>[^']+)'\]\.(?P<field>uri|path|metadata\['(?P<key>[^']+)'\])$"
)


def resolve(arguments: list[str], executor_input: dict[str, Any], file: Path | None = None) -> list[str]:
    """Replaces every placeholder.

    Args:
      arguments: command and arguments as the IR has them.
      executor_input: KFP's executor input of this execution.
      file: holds the executor input too. A stage's `--executor-input` becomes its name: Linux takes no argument beyond
        128 KiB, which the metadata of some thousand columns are.

    Raises:
      InputError: a placeholder that the executor input cannot answer.
    """
    resolved: list[str] = []
    for before, argument in zip(["", *arguments], arguments, strict=False):
        if file and argument == _EXECUTOR_INPUT and before == EXECUTOR_INPUT_OPTION:
            resolved.append(f"@{file}")
        else:
            for each in expanded(argument, executor_input["inputs"]):
                resolved.append(_PLACEHOLDER.sub(lambda found: _value(found["path"], executor_input), each))
    return resolved


def expanded(argument: Any, inputs: Mapping[str, Any]) -> list[str]:
    """The arguments that one stands for: kfp writes `concat` and `if` of a component as JSON.

    Args:
      argument: as the IR has it.
      inputs: those of an executor input, of which the names count.

    Raises:
      InputError: it is neither.
    """
    if isinstance(argument, list):
        return [part for each in argument for part in expanded(each, inputs)]
    if isinstance(argument, str):
        if not argument.startswith(_STRUCTURED):
            return [argument]
        with contextlib.suppress(ValueError):
            argument = json.loads(argument)
        if isinstance(argument, str):
            return [argument]
    if "Concat" in argument:
        return ["".join(expanded(argument["Concat"], inputs))]
    if "IfPresent" in argument:
        asked = argument["IfPresent"]
        given = {*inputs.get("parameterValues", {}), *inputs.get("artifacts", {})}
        return expanded(asked["Then"] if asked["InputName"] in given else asked.get("Else", []), inputs)
    raise InputError(f"an argument of the command is of an unknown form: {json.dumps(argument)[:200]}")


def _value(path: str, executor_input: dict[str, Any]) -> str:
    try:
        if path == "":
            return json.dumps(executor_input)
        if found := _INPUT_PARAMETER.match(path):
            value = executor_input["inputs"]["parameterValues"][found["name"]]
            return value if isinstance(value, str) else json.dumps(value)
        if found := _OUTPUT_PARAMETER.match(path):
            return str(executor_input["outputs"]["parameters"][found["name"]]["outputFile"])
        if found := _ARTIFACT.match(path):
            artifact = executor_input[found["side"]]["artifacts"][found["name"]]["artifacts"][0]
            if found["key"]:
                return str(artifact["metadata"][found["key"]])
            return str(artifact["uri"])
    except (KeyError, IndexError):
        pass
    raise InputError(f"the placeholder {{{{${path}}}}} names nothing that this execution has")
