"""Runs a task that stands for several, where a KFP backend starts it; the main program of its container.

The backend gives the inputs and outputs of all of them as one executor input; each stage gets its own, with what the
stages before it made, and what it left becomes a part of the one executor output.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from components.runtime.errors import EXIT_TRANSIENT, InputError
from components.runtime.launch.command import end_with
from components.runtime.launch.execution import TaskFailed, failure
from components.runtime.launch.fused import FUSED_TASK, PARTS_OPTION, FusedStages, failed_in, inner_name
from components.runtime.stage import pod, progress
from components.runtime.stage.executor import EXECUTOR_INPUT_OPTION

_SIDES = ("parameters", "artifacts")


class FusedExecutor:
    """The executor inputs of the stages of one task, and the executor output that they make together."""

    def __init__(self, executor_input: dict[str, Any], parts: Sequence[dict[str, Any]], folder: Path) -> None:
        """Reads what the backend gave.

        Args:
          executor_input: KFP's, of the whole task.
          parts: the specifications of its parts, as the compiled pipeline has them.
          folder: for the files between this and the stages.
        """
        try:
            inputs = executor_input.get("inputs", {})
            self._values: dict[str, Any] = inputs.get("parameterValues", {})
            self._artifacts: dict[str, Any] = inputs.get("artifacts", {})
            self._outputs: dict[str, Any] = executor_input["outputs"]
            self._file = Path(self._outputs["outputFile"])
            # All that any part will ask for, before the first works for hours.
            for part in parts:
                for name, source in part["parameters"].items():
                    if "input" in source and source["input"] not in self._values:
                        raise InputError(f"{part['task']}: the parameter {name!r} is missing")
                for side in _SIDES:
                    for name in part["component"].get("outputDefinitions", {}).get(side, {}):
                        self._outputs[side][inner_name(part["task"], name)]
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(
                f"{EXECUTOR_INPUT_OPTION} is not KFP's executor input: {error!r} is missing or of another type"
            ) from None
        self._folder = folder
        self._made: dict[str, dict[str, Any]] = {}
        self._whole: dict[str, Any] = {"artifacts": {}, "parameterValues": {}}

    def input_of(self, part: dict[str, Any]) -> dict[str, Any]:
        """The executor input of a part whose earlier ones have run."""
        task, component = part["task"], part["component"]
        defined = component.get("inputDefinitions", {}).get("parameters", {})
        values = {name: each["defaultValue"] for name, each in defined.items() if "defaultValue" in each}
        for name, source in part["parameters"].items():
            values[name] = (
                self._values[source["input"]]
                if "input" in source
                else self._made[source["task"]]["parameterValues"][source["output"]]
            )
        artifacts = {
            name: self._artifacts[source["input"]]
            if "input" in source
            else self._made[source["task"]]["artifacts"][source["output"]]
            for name, source in part["artifacts"].items()
            if "input" not in source or source["input"] in self._artifacts
        }
        made = component.get("outputDefinitions", {})
        given = {side: self._outputs.get(side, {}) for side in _SIDES}
        return {
            "inputs": {"parameterValues": values, "artifacts": artifacts},
            "outputs": {
                side: {name: given[side][inner_name(task, name)] for name in made.get(side, {})} for side in _SIDES
            }
            | {"outputFile": str(self.output_file(part))},
        }

    def output_file(self, part: dict[str, Any]) -> Path:
        """Where a part leaves its executor output."""
        return self._folder / f"{part['task']}.output.json"

    def take(self, part: dict[str, Any]) -> None:
        """Reads what a part left, for those behind it and for the backend."""
        made = json.loads(self.output_file(part).read_text())
        self._made[part["task"]] = made
        for side in ("artifacts", "parameterValues"):
            self._whole[side] |= {inner_name(part["task"], name): value for name, value in made.get(side, {}).items()}

    def write(self) -> None:
        """Gives the backend what all parts made."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._file.write_text(json.dumps(self._whole))


def _run(executor_input: dict[str, Any], parts: Sequence[dict[str, Any]]) -> None:
    stages = FusedStages({part["stage"]: part["environment"] for part in parts})
    try:
        with tempfile.TemporaryDirectory(prefix="millrace-parts-") as folder:
            executor = FusedExecutor(executor_input, parts, Path(folder))
            for part in parts:
                file, log = Path(folder) / f"{part['task']}.input.json", Path(folder) / f"{part['task']}.log"
                file.write_text(json.dumps(executor.input_of(part)))
                progress.report(f"{FUSED_TASK} {part['task']}")
                command = ["python", "-m", f"components.{part['stage']}", EXECUTOR_INPUT_OPTION, f"@{file}"]
                completed = stages.run(part["stage"], command, log)
                if completed.exit_code != 0:
                    raise failed_in(part["task"], failure(log, completed.exit_code))
                executor.take(part)
            executor.write()
    finally:
        stages.close()


def main(argv: Sequence[str] | None = None) -> NoReturn:
    """Runs the stages and ends the process with the exit code of the one that failed, or 0."""
    parser = argparse.ArgumentParser(prog="python -m components.runtime.launch.fused_executor", description=__doc__)
    parser.add_argument(EXECUTOR_INPUT_OPTION, required=True, metavar="JSON", help="KFP's executor input")
    parser.add_argument(PARTS_OPTION, required=True, metavar="JSON", help="the stages, from runners.compiled.fusing")
    arguments = parser.parse_args(argv)

    def work() -> None:
        try:
            executor_input, parts = json.loads(arguments.executor_input), json.loads(arguments.parts)
        except json.JSONDecodeError as error:
            raise InputError(f"{EXECUTOR_INPUT_OPTION} or {PARTS_OPTION} is not JSON: {error}") from None
        try:
            _run(executor_input, parts)
        except TaskFailed as error:
            if error.exit_code == EXIT_TRANSIENT and pod.on_kubeflow():
                pod.try_again(str(error))
            raise

    end_with(work)


if __name__ == "__main__":
    main()
