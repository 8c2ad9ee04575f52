"""Question and answer between a run that waits for a person and whoever answers.

Both are files in the folder `.approvals` of the serving directory, which is the one place that the run and people
reach on every target; servers leave it alone. A question lies there as long as somebody waits for its answer.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.publish import mirror
from components.runtime.stage.artifacts import write_whole
from components.runtime.text.json_text import parse

FOLDER = ".approvals"
_QUESTION, _ANSWER = ".question.json", ".answer.json"


class NoQuestionError(InputError):
    """A run waits for no answer."""


@dataclass(frozen=True)
class Question:
    """What a run asks.

    Attributes:
      run: its name.
      model_digest: of the model, as the serving directory knows it.
      reason: why it is blessed.
      metrics: over all examples.
      approvers: who may answer; anybody where there is none.
      asked: when, in ISO form.
      until: when it becomes a no.
      slack_users: who people are, by their ids in Slack.
      workflow: the Workflow of Argo that is suspended until it is answered; empty where the run itself looks for it.
      link: of a page about the run; empty for none.
    """

    run: str
    model_digest: str
    reason: str
    metrics: Mapping[str, Any]
    approvers: list[str]
    asked: str
    until: str
    slack_users: Mapping[str, str] = field(default_factory=dict)
    workflow: str = ""
    link: str = ""

    @property
    def command(self) -> str:
        """How it is answered in a terminal."""
        if not self.workflow:
            return f"./millrace approve {self.run}"
        candidate = self.run.removeprefix(self.workflow).removeprefix("-")
        return f"./millrace argo approve {self.workflow}{f' --candidate {candidate}' if candidate else ''}"

    @property
    def numbers(self) -> dict[str, str]:
        """Its metrics, as people read them; what is no number is left out."""
        found = {name: value for name, value in self.metrics.items() if isinstance(value, int | float)}
        return {name: f"{value:.6g}" for name, value in list(found.items())[:20] if not isinstance(value, bool)}

    @property
    def deadline(self) -> str:
        """When it becomes a no, as people read it, to the minute."""
        return f"{self.until[:16].replace('T', ' ')} UTC"


@dataclass(frozen=True)
class Answer:
    """What a person says.

    Attributes:
      approved: yes or no.
      by: who.
      why: in their words.
      model_digest: of the model that they were shown.
      at: when, in ISO form.
    """

    approved: bool
    by: str
    why: str
    model_digest: str
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def said(self) -> str:
        """What was said, by whom and why, in one line."""
        why = f": {self.why}" if self.why else ""
        return f"{'approved' if self.approved else 'not approved'} by {self.by}{why}"


def ask(root: Path, question: Question) -> None:
    """Leaves a question; an earlier one of the same run, and its answer, are gone then.

    Args:
      root: the serving directory; made where it does not exist.
      question: of a run.
    """
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    _forget(folder / f"{question.run}{_ANSWER}")
    _write(folder / f"{question.run}{_QUESTION}", question)


def withdraw(root: Path, run: str) -> None:
    """Takes question and answer away: nobody waits any more."""
    for ending in (_QUESTION, _ANSWER):
        _forget(root / FOLDER / f"{run}{ending}")


def _write(file: Path, said: Question | Answer) -> None:
    write_whole(file, json.dumps(asdict(said), indent=1) + "\n")
    mirror.stored(file)


def _forget(file: Path) -> None:
    file.unlink(missing_ok=True)
    mirror.stored(file)


def withdraw_all(place: Path, run: str) -> None:
    """Takes away what a run still asks, below a serving directory: it has ended."""
    for folder, question in waiting(place):
        if run in (question.run, question.workflow):
            with contextlib.suppress(OSError):
                withdraw(folder, question.run)


def questions(root: Path) -> dict[str, Question]:
    """The questions that are open, by run; one whose time is up was left by a stage that could not take it away."""
    found = {}
    for file in sorted(mirror.fetched(root / FOLDER).glob(f"*{_QUESTION}")):
        try:
            question = Question(**parse(file.read_bytes()))
            is_over = datetime.fromisoformat(question.until) < datetime.now(UTC)
        except (OSError, ValueError, TypeError):
            # Withdrawn meanwhile, or half of one that a dead stage left.
            continue
        if not is_over:
            found[question.run] = question
    return found


def waiting(place: Path) -> list[tuple[Path, Question]]:
    """The open questions of a serving directory and of the folders of candidates in it, each with its folder."""
    folders = [place, *(each for each in sorted(place.glob("*")) if each.is_dir() and not each.name.startswith("."))]
    return [(folder, each) for folder in folders for each in questions(folder).values()]


def answer_run(places: Sequence[Path], run: str, *, approved: bool, by: str, why: str) -> tuple[Question, Answer]:
    """Answers the one question of a run.

    Args:
      places: serving directories.
      run: its name; with that of the candidate where it asks about several.
      approved: yes or no.
      by: who answers.
      why: in their words.

    Returns:
      What was asked, and the answer.

    Raises:
      NoQuestionError: the run waits for no answer.
      InputError: it waits for several, or who answers may not.
    """
    open_ = [found for place in places for found in waiting(place)]
    of_run = [found for found in open_ if found[1].run == run] or [
        found for found in open_ if found[1].run.startswith(f"{run}-")
    ]
    if not of_run:
        raise NoQuestionError(f"{run} waits for no answer")
    if len(of_run) > 1:
        names = ", ".join(question.run for _, question in of_run)
        raise InputError(f"{run} waits for {len(of_run)} answers: {names}; name one of them")
    [(place, question)] = of_run
    given = Answer(approved, by, why, question.model_digest)
    answer(place, question, given)
    return question, given


def answer(root: Path, question: Question, given: Answer) -> None:
    """Answers a question.

    Raises:
      InputError: who answers may not, the answer is of another model or comes too late, or there is one already.
    """
    if refused := refusal(question, given):
        raise InputError(refused)
    there = None
    with contextlib.suppress(InputError):
        there = answered(root, question)
    if there:
        raise InputError(f"{question.run} is answered already: {there.said}")
    _write(root / FOLDER / f"{question.run}{_ANSWER}", given)


def answered(root: Path, question: Question) -> Answer | None:
    """The answer to a question; None where there is none yet.

    Raises:
      InputError: there is one that does not count; it is taken away.
    """
    mirror.refresh(root)
    file = mirror.fetched(root / FOLDER / f"{question.run}{_ANSWER}")
    try:
        given = Answer(**parse(file.read_bytes()))
        refused = refusal(question, given)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as error:
        refused = f"{file.name} is no answer ({type(error).__name__})"
    if refused:
        _forget(file)
        raise InputError(refused)
    return given


def refusal(question: Question, given: Answer) -> str:
    """Why an answer does not count; empty where it does."""
    if given.model_digest != question.model_digest:
        return f"the answer of {given.by or 'nobody'} is of another model than {question.run} asks about"
    if not given.by.strip():
        return f"{question.run}: an answer needs a name; set MILLRACE_USER"
    if question.approvers and given.by not in question.approvers:
        return f"{given.by} may not approve {question.run}; these may: {', '.join(question.approvers)}"
    try:
        is_late = datetime.fromisoformat(given.at) > datetime.fromisoformat(question.until)
    except (ValueError, TypeError):
        return f"the answer of {given.by} to {question.run} does not say when it was given"
    if is_late:
        return f"the answer of {given.by} to {question.run} came too late: it was open until {question.deadline}"
    return ""
