"""Records what a person decides about versions: a run of its own with one task, which lineage keeps as any other.

The task is a function of `changes`, called in this process as a stage's function is in its own: it has an execution
with inputs, parameters and outputs, whose record is begun before anything is changed, so that what cannot be recorded
is not done.
"""

from __future__ import annotations

import contextlib
import functools
import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.errors import EXIT_INTERRUPTED, InputError, StageError, TransientError, classify, known
from components.runtime.launch import execution
from components.runtime.launch.execution import Completed
from components.runtime.launch.task import Task
from components.runtime.lineage import record as lineage
from components.runtime.publish import mirror, serving
from components.runtime.records import execution_record, run_record
from components.runtime.stage.executor import Execution
from runners.history.explorer import update as explorer
from runners.history.lineage_nodes import MODEL
from runners.local.recording import Recording
from runners.versions.place import Place

_ARTIFACT = "system.Artifact"
_PAGE = "report"
_OUTPUTS = {
    "pushed_model": MODEL,
    "labelled": _ARTIFACT,
    "removed_versions": _ARTIFACT,
    "span": "system.Dataset",
    _PAGE: "system.HTML",
}


@dataclass(frozen=True)
class Decided:
    """What came of a decision.

    Attributes:
      run: id of the run that records it.
      made: metadata of what it made.
    """

    run: str
    made: dict[str, Any]


class _Unseen:
    """Shows nothing: a decision is carried out at once."""

    def begin(self, run: dict[str, Any]) -> None:
        """Nothing."""

    def change(self, task: dict[str, Any], note: str = "") -> None:
        """Nothing."""

    def end(self, run: dict[str, Any]) -> None:
        """Nothing."""


def decide(
    place: Place,
    function: Callable[..., None],
    output: str,
    parameters: dict[str, Any],
    inputs: dict[str, dict[str, Any]] | None = None,
    why: str = "",
    *,
    has_page: bool = False,
) -> Decided:
    """Carries out a decision, and records it.

    Args:
      place: whose versions it is about.
      function: of `changes`; what it is called is what the task is.
      output: name of what it makes.
      parameters: its arguments, besides `destination`.
      inputs: artifacts that it is about, by argument, as a record has them.
      why: as a person said.
      has_page: whether it makes a page too, `report`.

    Raises:
      InputError: it cannot be done.
      TransientError: it cannot be done now.
    """
    now, name, pipeline = datetime.now(UTC), function.__name__, place.settings.pipeline_name
    run = f"{pipeline}-{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
    parameters = {"destination": place.destination, **parameters, "why": why}
    if name == "rollback":
        parameters |= {"by": run_record.started_by(), "run": run}
    outputs = (output, _PAGE) if has_page else (output,)
    task = Task(
        pipeline=pipeline,
        name=name,
        stage=name,
        run=run,
        component={"outputDefinitions": {"artifacts": {name: _definition(name) for name in outputs}}},
        container={"image": ""},
        parameters=parameters,
        inputs=inputs or {},
        code="",
        cacheable=False,
    )
    tasks = [run_record.new_task(name, name, [], "", "waiting")]
    record = run_record.new_run(
        run, pipeline, str(place.settings.folder), now.isoformat(), parameters, tasks, decision=name
    )
    recording = Recording(place.root / "runs" / run, record, now, _Unseen())
    recording.begin(place.root)
    carried_out = threading.Event()

    @functools.wraps(function)
    def deed(**arguments: Any) -> None:
        function(**arguments)
        carried_out.set()

    state, code = "stopped", EXIT_INTERRUPTED
    try:
        log = f"runs/{run}/{name}.log"
        recording.change(name, state="running", log=log, started=recording.now())
        done = execution.launch(place.root, task, _in_this_process(name, deed), place.root / log)
        recording.change(name, **run_record.ended(done, "done"))
        state, code = "done", 0
    except Exception as error:
        fault = known(error)
        if carried_out.is_set() and isinstance(fault, InputError | TransientError):
            fault = type(fault)(f"what was decided is done, but could not be recorded: {fault}")
        record["error"], state, code = f"{name}: {fault}", "failed", fault.exit_code
        with contextlib.suppress(OSError, TransientError):
            # A full disk may be the fault.
            recording.change(name, state="failed", error=str(fault), exit_code=fault.exit_code)
        if classify(error) is None:
            raise
        raise fault from error
    finally:
        recording.finish(state, code)
        lineage.flush()
        # It can be written again at any time, and what was decided is done.
        with contextlib.suppress(OSError, StageError):
            explorer.update(place.root, first=run)
    return Decided(run, done["outputs"][output]["metadata"])


def _definition(output: str) -> dict[str, Any]:
    return {"artifactType": {"schemaTitle": _OUTPUTS[output]}}


def _in_this_process(stage: str, function: Callable[..., None]) -> execution.StageRunner:
    def run_stage(_command: list[str], log: Path, workplace: Path) -> Completed:
        given = json.loads((workplace / "executor_input.json").read_text())
        # What stages print is their log.
        with log.open("a", encoding="utf-8") as stream, contextlib.redirect_stdout(stream):
            Execution.parse(stage, given).run(function)
        return Completed(0, None, None)

    return run_stage


def inputs_of(place: Place, number: int, artifact: str = "") -> dict[str, dict[str, Any]]:
    """The artifacts that a decision about a version is about: the version, and the model that was pushed as it.

    Args:
      place: where the version is.
      number: of the version.
      artifact: id of what the run that pushed it made, relative to the pipeline root; empty where no run tells.
    """
    record = execution_record.read(place.root, Path(artifact).parent) if artifact else None
    if record is None or Path(artifact).name not in record["outputs"]:
        folder = dict(serving.numbered(place.folder))[number]
        digest = ""
        with contextlib.suppress(serving.DamagedError):
            version = serving.read_version(number, folder)
            digest = version.model_digest if version else ""
        uri = mirror.shown(folder)
        return {"version": {"uri": uri, "type": MODEL, "metadata": {"digest": digest}}}
    found = {"version": record["outputs"][Path(artifact).name]}
    found |= {name: each for name, each in record["inputs"].items() if name == "model"}
    return {name: each | {"metadata": {"digest": "", **each.get("metadata", {})}} for name, each in found.items()}
