"""Runs a stage's function on what KFP calls the executor input, and writes the executor output.

The format is that of `ExecutorInput` and `ExecutorOutput` in kubeflow/pipelines, api/v2alpha1/pipeline_spec.proto, in
its JSON form. The same file drives a stage on every target.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import sys
import traceback
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.runtime import VERSION
from components.runtime.errors import InputError, TransientError, classify, known
from components.runtime.stage import imports, pod, progress, scratch
from components.runtime.stage.artifacts import (
    EMPTY_NOTE,
    METRICS,
    InputArtifact,
    OutputArtifact,
    content_bytes,
    content_digest,
    content_files,
)
from components.runtime.text.visible import visible

StageFunction = Callable[..., dict[str, Any] | None]

EXECUTOR_INPUT_OPTION = "--executor-input"
"""What our stages take it by, as JSON or as `@FILE`. KFP's own components have another option, and take JSON alone."""
ERROR_PREFIX = "error: "


@dataclass
class Execution:
    """One call of a stage: its arguments, and where its results go."""

    stage: str
    parameters: dict[str, Any]
    inputs: dict[str, InputArtifact]
    outputs: dict[str, OutputArtifact]
    parameter_files: dict[str, Path]
    output_file: Path

    @classmethod
    def parse(cls, stage: str, executor_input: dict[str, Any]) -> Execution:
        """Reads an executor input.

        Raises:
          InputError: it is not one.
        """
        try:
            inputs = executor_input.get("inputs", {})
            outputs = executor_input["outputs"]
            return cls(
                stage=stage,
                parameters=dict(inputs.get("parameterValues", {})),
                inputs={
                    name: InputArtifact(
                        name,
                        entry["artifacts"][0].get("uri", ""),
                        # A server without ML Metadata keeps each metric as an artifact of its own.
                        {key: value for each in entry["artifacts"] for key, value in each.get("metadata", {}).items()},
                    )
                    for name, entry in _given(inputs.get("artifacts", {})).items()
                },
                outputs={
                    name: OutputArtifact(
                        name,
                        entry["artifacts"][0].get("uri", ""),
                        dict(entry["artifacts"][0].get("metadata", {})),
                        str(entry["artifacts"][0].get("type", {}).get("schemaTitle", "")),
                    )
                    for name, entry in _given(outputs.get("artifacts", {})).items()
                },
                parameter_files={
                    name: Path(entry["outputFile"]) for name, entry in outputs.get("parameters", {}).items()
                },
                output_file=Path(outputs["outputFile"]),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"--executor-input is not KFP's executor input: {error!r} is missing or of another type"
            ) from None

    def run(self, function: StageFunction) -> None:
        """Calls the stage's function and publishes what it made, all of it or nothing."""
        for output in self._placed:
            output.discard()
            output.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            parameters = function(**self._arguments(function)) or {}
            self._publish(parameters)
        except BaseException:
            for output in self._placed:
                output.discard()
            raise

    @property
    def _placed(self) -> list[OutputArtifact]:
        """The outputs that have a place for content."""
        return [output for output in self.outputs.values() if output.uri]

    def _arguments(self, function: StageFunction) -> dict[str, Any]:
        """Converts JSON values to the types that the function's signature names."""
        hints = typing.get_type_hints(function)
        arguments: dict[str, Any] = {}
        for name, parameter in inspect.signature(function).parameters.items():
            kind = hints[name]
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                # Inputs whose number the pipeline decides, see docs/contract.md.
                arguments |= {each: given for each, given in self.inputs.items() if each not in arguments}
            elif kind is OutputArtifact:
                arguments[name] = self.outputs[name]
            elif kind in (InputArtifact, InputArtifact | None):
                if name in self.inputs:
                    arguments[name] = self.inputs[name]
                elif kind is InputArtifact:
                    raise InputError(f"{self.stage}: the input artifact {name!r} is missing")
                else:
                    arguments[name] = None
            elif name in self.parameters:
                arguments[name] = convert(name, self.parameters[name], kind)
            elif parameter.default is inspect.Parameter.empty:
                raise InputError(f"{self.stage}: the parameter {name!r} is missing")
        return arguments

    def _publish(self, parameters: dict[str, Any]) -> None:
        missing = self.parameter_files.keys() - parameters.keys()
        if missing:
            raise AssertionError(f"{self.stage} did not return its output parameters {sorted(missing)}")
        for output in self._placed:
            # An artifact may be metadata only (metrics): readers still expect something at its path.
            if not output.path.exists():
                output.path.touch()
            elif not content_files(output.path):
                (output.path / EMPTY_NOTE).write_text(_empty(self.stage, output))
            if output.type != METRICS:
                output.metadata |= {
                    "digest": content_digest(output.path),
                    "bytes": content_bytes(output.path),
                    "producer": f"millrace/{self.stage} {VERSION}",
                }
        for output in self._placed:
            output.publish()
        for name, file in self.parameter_files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            value = parameters[name]
            file.write_text(value if isinstance(value, str) else json.dumps(value))
        self.output_file.parent.mkdir(parents=True, exist_ok=True)
        self.output_file.write_text(
            json.dumps(
                {
                    "artifacts": {
                        name: {"artifacts": [{"name": name, "uri": output.uri, "metadata": output.metadata}]}
                        for name, output in self.outputs.items()
                    },
                    "parameterValues": {name: parameters[name] for name in self.parameter_files},
                },
                indent=1,
            )
        )


def _empty(stage: str, output: OutputArtifact) -> str:
    """What stands in an artifact that has no content, for people who look into it."""
    facts = "".join(f"{name}: {json.dumps(value)}\n" for name, value in sorted(output.metadata.items()))
    return f"{stage} left nothing in {output.name}.\n{facts}"


def convert(name: str, value: Any, kind: Any) -> Any:
    """Converts a parameter's JSON value to `kind`: str, int, float, bool, list or dict.

    KFP passes integers as JSON numbers with a fraction of zero, and lists and structs either as such or as JSON text.

    Raises:
      InputError: the value is not of that type.
    """
    origin = typing.get_origin(kind) or kind
    try:
        if origin in (list, dict):
            parsed = json.loads(value) if isinstance(value, str) else value
            if not isinstance(parsed, origin):
                raise ValueError
            return parsed
        if origin is bool:
            return {"true": True, "false": False}[str(value).lower()]
        if origin is int:
            if float(value) != int(float(value)):
                raise ValueError
            return int(float(value))
        if origin is float:
            return float(value)
    except (ValueError, KeyError, TypeError):
        raise InputError(f"parameter {name!r} is {value!r}, expected a value of type {origin.__name__}") from None
    return str(value)


def run_stage(target: str, argv: Sequence[str] | None = None) -> None:
    """The main program of a stage; does not return.

    Args:
      target: the stage's function as `package.module:function`; imported after the arguments have been read, because
        the import of TensorFlow takes seconds.
      argv: arguments without the program's name; those of the process when None.
    """
    module_name, function_name = target.split(":")
    stage = module_name.split(".")[1]
    parser = argparse.ArgumentParser(prog=f"python -m components.{stage}", description=f"The {stage} stage.")
    parser.add_argument(
        EXECUTOR_INPUT_OPTION,
        required=True,
        metavar="JSON",
        help="KFP's executor input, or @FILE to read it from a file",
    )
    text = parser.parse_args(argv).executor_input
    # A file is from our own launcher, which does all that itself.
    on_kubeflow = pod.on_kubeflow() and not text.startswith("@")
    if on_kubeflow:
        pod.limit_rights()
    try:
        if text.startswith("@"):
            text = Path(text[1:]).read_text()
        try:
            executor_input = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(f"--executor-input is not JSON: {error}") from None
        execution = Execution.parse(stage, executor_input)
        imports.postpone()
        with imports.quick():
            function = getattr(importlib.import_module(module_name), function_name)
        progress.report(progress.STARTED)
        with scratch.scratch():
            execution.run(function)
    except Exception as error:
        sys.exit(failed(stage, error, on_kubeflow=on_kubeflow))
    sys.exit(0)


def failed(stage: str, error: Exception, *, on_kubeflow: bool) -> int:
    """Says why a stage ends; returns the exit code. In a pod of KFP, a passing fault begins the program anew first.

    Args:
      stage: its name.
      error: what ended it.
      on_kubeflow: whether it is the program of a pod there.
    """
    sys.stdout.flush()
    fault = known(error)
    line = _one_line(str(fault))
    if classify(error) is None:
        traceback.print_exception(error)
        line = f"{stage}: {line}"
    if on_kubeflow:
        # Whether a failed pod is tried again is up to the settings of the controller, which knows no codes.
        if isinstance(fault, TransientError):
            pod.try_again(line)
        pod.tell(f"{ERROR_PREFIX}{line}")
    print(f"{ERROR_PREFIX}{line}", file=sys.stderr, flush=True)
    return fault.exit_code


def _given(artifacts: dict[str, Any]) -> dict[str, Any]:
    """The inputs or outputs that an artifact is given for."""
    return {name: entry for name, entry in artifacts.items() if entry.get("artifacts")}


def _one_line(text: str) -> str:
    return visible(" ".join(text.split()))
