"""Stages of a run once more, run in another way."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runners.local.environments import environment_of, interpreter
from tests.e2e.conftest import Run
from tests.support import ROOT, StageResult, executor_input

ONE_CORE = """
import os
os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
os.cpu_count = lambda: 1
"""
_RUN = """
import runpy, sys
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""


def begun(
    stage: str,
    folder: Path,
    own: Path,
    parameters: Mapping[str, Any],
    inputs: Mapping[str, Mapping[str, Any]],
    outputs: Sequence[str],
    output_parameters: Sequence[str],
    *,
    before: str = "",
    variables: Mapping[str, str] = {},
) -> subprocess.Popen[str]:
    """A stage that works.

    Args:
      stage: its name.
      folder: gets its outputs; must not be there.
      own: for its temporary files.
      parameters: of the stage.
      inputs: by name, as records of executions have them: `uri` and `metadata`.
      outputs: names of the artifacts.
      output_parameters: names.
      before: lines of Python that its process runs first.
      variables: of its environment, besides those of this one.
    """
    folder.mkdir()
    given = executor_input(
        folder,
        parameters=dict(parameters),
        inputs={name: Path(each["uri"]) for name, each in inputs.items()},
        metadata={name: each["metadata"] for name, each in inputs.items()},
        outputs=list(outputs),
        output_parameters=list(output_parameters),
    )
    file = own / f"{folder.name}.json"
    file.write_text(json.dumps(given))
    python = str(interpreter(environment_of(stage, on_beam=bool(parameters.get("beam_options")))))
    module = ["-c", before + _RUN] if before else ["-m"]
    return subprocess.Popen(
        [python, *module, f"components.{stage}", "--executor-input", f"@{file}"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(own), **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finished(process: subprocess.Popen[str], folder: Path) -> StageResult:
    """What the stage left."""
    out, err = process.communicate(timeout=400)
    return StageResult(process.returncode, out, err, folder)


def failed(process: subprocess.Popen[str], folder: Path) -> tuple[int, str]:
    """Exit code and the one line of a stage that left nothing."""
    made = finished(process, folder)
    assert list(folder.iterdir()) == []
    return made.exit_code, made.error


def again(
    run: Run,
    stage: str,
    folder: Path,
    own: Path,
    inputs: Mapping[str, Mapping[str, Any]] = {},
    *,
    before: str = "",
    **parameters: Any,
) -> StageResult:
    """Runs a stage of a run once more, with other inputs and parameters; arguments as of `begun`."""
    record = run.execution(stage)
    given = record["parameters"] | parameters
    outputs, output_parameters = list(record["outputs"]), list(record["output_parameters"])
    given_inputs = record["inputs"] | inputs
    process = begun(stage, folder, own, given, given_inputs, outputs, output_parameters, before=before)
    return finished(process, folder)
