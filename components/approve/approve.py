"""Waits for a person's yes to a blessed model.

What comes out is a blessing as evaluate makes it, so that whatever publishes needs not know of this stage. The stage
only looks at a file now and then: its pod needs a twentieth of a processor, and no GPU. On Argo no pod waits: the
Workflow is suspended between `components.approve.asking` and this stage, which is given what was answered.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.approve.question import asked
from components.approve.telling import tell
from components.runtime.errors import InputError
from components.runtime.publish import approval as approvals
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving, suspension
from components.runtime.publish.approval import Answer, Question
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import WAITS, report
from components.runtime.text.json_text import parse

FILE = "approval.json"
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
    slack_users: dict[str, str],
    webhook: str,
    link: str,
    told: dict[str, str],
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
      slack_users: who people are, by their ids in Slack.
      webhook: whom the question is sent to, as `telling.PAYLOADS` has it; nobody where empty.
      link: of a page about the run, with {run} for its name.
      told: where the Workflow was suspended meanwhile: what it asked, and what it was told; empty where this waits.
      approval: gets the blessing, and `approval.json`.
      candidate: of several models that are each published there: the name of this one.

    Returns:
      `approved`.

    Raises:
      InputError: the blessing is of another model, or the time is none.
    """
    question = asked(
        model,
        blessing,
        metrics,
        run=run,
        timeout_minutes=timeout_minutes,
        approvers=approvers,
        candidate=candidate,
        slack_users=slack_users,
        link=link,
    )
    if question is None:
        document = blessings.document(blessing)
        report(f"nobody is asked: the model is not blessed: {document['reason']}")
        _conclude(blessing, approval, {}, None, "the model is not blessed")
        return {"approved": False}
    root = serving.serving_root(serving.of_candidate(destination, candidate))
    try:
        if told:
            question, given = _after_suspension(root, question, told)
        else:
            given = _ask_and_wait(root, question, webhook, timeout_minutes * 60)
        reason = given.said if given else _silence(question, timeout_minutes)
        report(reason)
        _conclude(blessing, approval, {"question": asdict(question), "answer": given and asdict(given)}, given, reason)
        approvals.withdraw(root, question.run)
    except PermissionError as error:
        raise InputError(f"{destination}: the serving directory is not writable ({error.strerror})") from None
    return {"approved": bool(given and given.approved)}


def _silence(question: Question, timeout_minutes: float) -> str:
    if datetime.now(UTC) < datetime.fromisoformat(question.until) and question.workflow:
        return f"nobody approved it: {question.workflow} was resumed without an answer that counts"
    return f"nobody approved it within {timeout_minutes:g} minutes"


def _ask_and_wait(root: Path, question: Question, webhook: str, seconds: float) -> Answer | None:
    try:
        _withdraw_when_stopped(root, question.run)
        approvals.ask(root, question)
        tell(question, webhook)
        return _wait(root, question, seconds)
    except BaseException:
        approvals.withdraw(root, question.run)
        raise


def _after_suspension(root: Path, now: Question, told: dict[str, str]) -> tuple[Question, Answer | None]:
    """What was asked while the Workflow was suspended, and the answer: of the file, or what the node was told.

    Raises:
      InputError: it was asked about another model.
    """
    try:
        question = Question(**parse(told[suspension.QUESTION]))
    except (ValueError, TypeError, KeyError):
        raise InputError("what was asked cannot be read any more; run the pipeline again") from None
    if (question.run, question.model_digest) != (now.run, now.model_digest):
        raise InputError("people were asked about another model; run the pipeline again")
    for read in (lambda: approvals.answered(root, question), lambda: suspension.answered(question, told)):
        try:
            given = read()
            if given and (refused := approvals.refusal(question, given)):
                raise InputError(refused)
        except InputError as error:
            report(f"does not count: {error}")
            continue
        if given:
            return question, given
    return question, None


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
            report(f"{WAITS}a person: {question.command} (until {question.deadline})")
        time.sleep(min(_LOOK_SECONDS, left))
    return None


def _conclude(
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
