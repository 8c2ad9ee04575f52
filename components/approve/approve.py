"""Waits for a person's yes to a blessed model.

What comes out is a blessing as evaluate makes it, so that whatever publishes needs not know of this stage. The stage
only looks at a file now and then: its pod needs a twentieth of a processor, and no GPU.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.publish import approval as approvals
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.publish.approval import Answer, Question
from components.runtime.stage.artifacts import BOOKKEEPING, InputArtifact, OutputArtifact
from components.runtime.stage.progress import WAITS, report

FILE = "approval.json"
LONGEST_MINUTES = 24 * 60
_LOOK_SECONDS = 1.0
_REMIND_SECONDS = 300.0


def approve(
    model: InputArtifact,
    blessing: InputArtifact,
    metrics: InputArtifact | None,
    destination: str,
    run: str,
    timeout_minutes: float,
    approvers: list[str],
    approval: OutputArtifact,
    candidate: str = "",
) -> dict[str, Any]:
    """Asks, and waits for the answer.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: a model without one is not asked about.
      metrics: what whoever is asked sees; their metadata.
      destination: the serving directory.
      run: name of the run.
      timeout_minutes: how long it waits; at most a day.
      approvers: who may answer; anybody where there is none.
      approval: gets the blessing, and `approval.json`.
      candidate: of several models that are each published there: the name of this one.

    Returns:
      `approved`.

    Raises:
      InputError: the blessing is of another model, or the time is none.
    """
    if not 0 < timeout_minutes <= LONGEST_MINUTES:
        raise InputError(
            f"timeout_minutes: expected more than 0 and at most {LONGEST_MINUTES}, not {timeout_minutes:g}"
        )
    digest = serving.model_digest(serving.saved_model_files(model))
    document = blessings.document(blessing)
    if not blessings.is_of(document, digest):
        raise InputError("the blessing is of another model; evaluate the model that is to be published")
    if not document["blessed"]:
        report(f"nobody is asked: the model is not blessed: {document['reason']}")
        _tell(blessing, approval, {}, None, "the model is not blessed")
        return {"approved": False}
    root = serving.serving_root(serving.of_candidate(destination, candidate))
    now = datetime.now(UTC)
    question = Question(
        run=f"{run}-{candidate}" if candidate else run,
        model_digest=digest,
        reason=str(document["reason"]),
        metrics={name: value for name, value in metrics.metadata.items() if name not in BOOKKEEPING} if metrics else {},
        approvers=approvers,
        asked=now.isoformat(),
        until=(now + timedelta(minutes=timeout_minutes)).isoformat(),
    )
    try:
        _withdraw_when_stopped(root, question.run)
        approvals.ask(root, question)
        given = _wait(root, question, timeout_minutes * 60)
    except PermissionError as error:
        raise InputError(f"{destination}: the serving directory is not writable ({error.strerror})") from None
    finally:
        approvals.withdraw(root, question.run)
    if given is None:
        reason = f"nobody approved it within {timeout_minutes:g} minutes"
    else:
        said = f": {given.why}" if given.why else ""
        reason = f"{'approved' if given.approved else 'not approved'} by {given.by}{said}"
    report(reason)
    _tell(blessing, approval, {"question": asdict(question), "answer": given and asdict(given)}, given, reason)
    return {"approved": bool(given and given.approved)}


def _withdraw_when_stopped(root: Path, run: str) -> None:
    """Takes the question away where the stage is told to end: nobody shall answer a run that was stopped."""

    def stop(number: int, _frame: object) -> None:
        approvals.withdraw(root, run)
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, stop)


def _wait(root: Path, question: Question, seconds: float) -> Answer | None:
    end = time.monotonic() + seconds
    reminded = -_REMIND_SECONDS
    while (left := end - time.monotonic()) > 0:
        try:
            if given := approvals.answered(root, question):
                return given
        except InputError as error:
            report(f"does not count: {error}")
        if seconds - left - reminded >= _REMIND_SECONDS:
            reminded = seconds - left
            report(f"{WAITS}a person: ./millrace approve {question.run} (until {question.deadline})")
        time.sleep(min(_LOOK_SECONDS, left))
    return None


def _tell(
    blessing: InputArtifact, approval: OutputArtifact, facts: dict[str, Any], given: Answer | None, reason: str
) -> None:
    approved = bool(given and given.approved)
    told: dict[str, Any] = {"approval": {"approved": approved, "reason": reason}}
    if facts:
        told |= {"blessed": approved, "reason": blessings.document(blessing)["reason"] if approved else reason}
    blessings.pass_on(blessing, approval, told)
    (approval.path / FILE).write_text(json.dumps(facts | {"approved": approved, "reason": reason}, indent=1) + "\n")
    if facts:
        approval.metadata |= {"approved": approved, "review": reason}
        if given:
            approval.metadata |= {"by": given.by, "why": given.why, "at": given.at}
