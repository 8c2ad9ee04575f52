"""Serves a model by a real server and asks it, before it is pushed: a model may be good and not fit to be served.

What comes out is a blessing as evaluate makes it, so that whatever publishes needs not know of this stage.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from components.infra_validate import asking, page
from components.infra_validate import checks as checking
from components.infra_validate.checks import Check, Measured
from components.infra_validate.requests import Question, questions, records
from components.infra_validate.warm_up import write_warm_up
from components.runtime.errors import InputError, did_you_mean
from components.runtime.model_server import programs
from components.runtime.model_server.process import Server, ServerError, started
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, content_bytes
from components.runtime.stage.progress import report as progress

FILE = "infra.json"
_MODEL = "model"
_VERSION = "1"


def infra_validate(
    model: InputArtifact,
    blessing: InputArtifact,
    examples: InputArtifact,
    server: str,
    split: str,
    rows: int,
    tolerance: float,
    seconds: float,
    at_once: list[int],
    ready_seconds: float,
    warm_up_rows: int,
    bounds: dict[str, float],
    infra_blessing: OutputArtifact,
    metrics: OutputArtifact,
    report: OutputArtifact,
) -> dict[str, Any]:
    """Serves the model for a while, and holds what it answers and costs to what is asked for.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: of evaluate; a model without one is not served.
      examples: raw tf.Examples.
      server: tensorflow, kserve, or empty for the first that is installed.
      split: the split whose first rows are sent.
      rows: how many.
      tolerance: by how much an answer may differ from that of the model in this process.
      seconds: for each number at once.
      at_once: numbers of requests at once.
      ready_seconds: until the model has to answer.
      warm_up_rows: how many rows become warm-up requests.
      bounds: by the names in `checks.TITLES`.
      infra_blessing: gets the blessing, `infra.json`, and `warm_up/`.
      metrics: gets what was measured as metadata.
      report: gets the page.

    Returns:
      `passed`.

    Raises:
      InputError: the blessing is of another model, the examples have no such split, or a parameter is wrong.
    """
    _check(server, rows, at_once, bounds)
    document = blessings.document(blessing)
    digest = serving.model_digest(serving.saved_model_files(model))
    if not blessings.is_of(document, digest):
        raise InputError("the blessing is of another model; evaluate the model that is to be served")
    if not document["blessed"]:
        progress(f"not served: the model is not blessed: {document['reason']}")
        blessings.pass_on(blessing, infra_blessing, {"infra": {"passed": None}})
        report.path.write_text(page.not_served(str(document["reason"])), encoding="utf-8")
        return {"passed": False}
    program = programs.find(server)
    folder = serving.saved_model(model)
    progress(f"asking the model in this process about {rows} rows of {split}")
    asked = questions(folder, records(examples, split, rows))
    measured, checks = _examine(program, folder, asked, tolerance, seconds, at_once, ready_seconds)
    checks += checking.of_bounds(measured, bounds)
    refused = checking.reason(checks)
    values = {name: value for name, value in measured.values().items() if value is not None}
    asked_for = sum(each.holds is not None for each in checks)
    reason = refused or f"served by {program.title}: all {asked_for} checks hold"
    facts = {
        "passed": not refused,
        "reason": reason,
        "server": program.title,
        "measured": values,
        "checks": [vars(each) for each in checks],
    }
    told: dict[str, Any] = {"infra": {"passed": not refused}}
    if refused:
        told |= {"blessed": False, "reason": f"not fit to be served: {refused}"}
    blessings.pass_on(blessing, infra_blessing, told)
    infra_blessing.metadata |= {"passed": not refused, "review": reason}
    (infra_blessing.path / FILE).write_text(json.dumps(facts, indent=1) + "\n")
    if warm_up_rows and not refused:
        (infra_blessing.path / blessings.WARM_UP).parent.mkdir()
        write_warm_up(infra_blessing.path / blessings.WARM_UP, _MODEL, asked, warm_up_rows)
    metrics.metadata |= values
    report.path.write_text(page.render(program.title, checks, measured, reason), encoding="utf-8")
    progress(f"{'passed' if not refused else 'not passed'}: {reason}")
    return {"passed": not refused}


def _check(server: str, rows: int, at_once: Sequence[int], bounds: Mapping[str, float]) -> None:
    if server and server not in programs.NAMES:
        raise InputError(f"server: {server!r}{did_you_mean(server, programs.NAMES)}; there are tensorflow and kserve")
    if rows < 1:
        raise InputError(f"rows: expected 1 or more, not {rows}")
    if not all(isinstance(each, int) and not isinstance(each, bool) and each > 0 for each in at_once):
        raise InputError(f"at_once: expected whole numbers from 1, not {at_once}")
    checking.check_bounds(bounds)


def _examine(
    program: programs.Program,
    folder: Path,
    asked: Sequence[Question],
    tolerance: float,
    seconds: float,
    at_once: Sequence[int],
    ready_seconds: float,
) -> tuple[Measured, list[Check]]:
    """Serves a model and asks it; a server that fails is a check that does not hold, in its own words."""
    size = content_bytes(folder)
    with tempfile.TemporaryDirectory(prefix="millrace-served-") as place:
        shutil.copytree(folder, Path(place) / _MODEL / _VERSION)
        log = Path(place) / "server.log"
        progress(f"starting {program.title}")
        variables = os.environ | {"PYTHONUNBUFFERED": "1"}
        try:
            with started(program, _MODEL, Path(place) / _MODEL, log, variables) as server:
                load_seconds = server.wait_until_ready(ready_seconds)
                progress(f"the model answers after {load_seconds:.1f} s")
                checks = [Check("the server loads the model", f"after {load_seconds:.1f} s", "", True)]
                checks += checking.of_answers(_agreements(server, asked), tolerance)
                speeds = _speeds(server, asked[0], at_once, seconds) if all(each.holds for each in checks) else []
                checks += checking.of_load(speeds)
                return Measured(load_seconds, server.peak_memory(), size, speeds), checks
        except ServerError as error:
            return Measured(None, None, size), [Check("the server loads the model", str(error), "it answers", False)]


def _agreements(server: Server, asked: Sequence[Question]) -> list[asking.Agreement]:
    progress("comparing the answers by REST and gRPC")
    return [
        each
        for question in asked
        for each in (asking.by_rest(server.client, question), asking.by_grpc(server.grpc, _MODEL, question))
    ]


def _speeds(server: Server, question: Question, at_once: Sequence[int], seconds: float) -> list[asking.Speed]:
    made = []
    # What the first requests cost is not what the later ones do.
    asking.speed(server.client, question, 1, min(seconds, 1.0))
    for number in dict.fromkeys(at_once):
        progress(f"measuring with {number} at once")
        made.append(asking.speed(server.client, question, number, seconds))
    return made
