"""A person's answer to a run on a cluster: a suspended Workflow is resumed with it.

Where a pod waits, as in one that several tasks share, the question lies on the volume, and a helper writes the answer
there.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from components.runtime.errors import InputError, TransientError
from components.runtime.publish import suspension
from components.runtime.publish.approval import Answer, Question, refusal
from components.runtime.records.argo_workflow import without_tags
from components.runtime.text.json_text import parse
from runners.argo.helpers import helper

_TEMPLATE = "answer"
_PARAMETER = "serving_directory"
_ATTEMPTS = 5


class Cluster(Protocol):
    """What an answer needs of a cluster."""

    def get(self, name: str) -> dict[str, Any]:
        """A Workflow, with its status."""

    def patch(self, name: str, changes: dict[str, Any]) -> None:
        """Changes a Workflow by a merge patch."""

    def printed(self, helper: dict[str, Any]) -> str:
        """Runs a helper, and returns what it printed."""


def answer(
    cluster: Cluster, workflow: Mapping[str, Any], candidate: str, *, approved: bool, by: str, why: str
) -> tuple[Question, Answer]:
    """Answers a run that waits for a person.

    Args:
      cluster: that it is on.
      workflow: of the run, with its status.
      candidate: of several models that are each published: which one; empty where there is one.
      approved: yes or no.
      by: who answers.
      why: in their words.

    Returns:
      What was asked, and the answer.

    Raises:
      InputError: the run waits for no answer or for several, or who answers may not.
      TransientError: the Workflow changes all the time, or what was printed did not come whole.
    """
    name = str(workflow["metadata"]["name"])
    for attempt in range(_ATTEMPTS):
        found = suspension.suspended(workflow)
        of_run = {node: asked for node, asked in found.items() if not candidate or asked.run == f"{name}-{candidate}"}
        if not of_run:
            break
        if len(of_run) > 1:
            names = ", ".join(asked.run.removeprefix(f"{name}-") for asked in of_run.values())
            raise InputError(f"{name} waits for {len(of_run)} answers: name one of them with --candidate: {names}")
        [(node, question)] = of_run.items()
        given = Answer(approved, by, why, question.model_digest)
        if refused := refusal(question, given):
            raise InputError(refused)
        try:
            cluster.patch(name, suspension.resumption(workflow, node, given))
            return question, given
        except TransientError:
            # Argo has written to it meanwhile.
            if attempt + 1 == _ATTEMPTS:
                raise
            workflow = cluster.get(name)
    return _on_the_volume(cluster.printed, workflow, candidate, approved=approved, by=by, why=why)


def _on_the_volume(
    printed: Callable[[dict[str, Any]], str],
    workflow: Mapping[str, Any],
    candidate: str,
    *,
    approved: bool,
    by: str,
    why: str,
) -> tuple[Question, Answer]:
    name, boundary = str(workflow["metadata"]["name"]), uuid.uuid4().hex
    parameters = (workflow["spec"].get("arguments") or {}).get("parameters") or []
    directory = next((str(each.get("value", "")) for each in parameters if each["name"] == _PARAMETER), "")
    if not directory:
        raise InputError(f"{name} waits for no answer: it has no parameter {_PARAMETER}, where the question would lie")
    said = without_tags(json.dumps({"approved": approved, "by": by, "why": why}))
    words = [
        "--boundary",
        boundary,
        "--directory",
        directory,
        "--run",
        f"{name}-{candidate}" if candidate else name,
        "--answer",
        said,
    ]
    made = helper(workflow, _TEMPLATE, ["python", "-m", "components.runtime.publish.answering"], words)
    try:
        told = parse(printed(made).partition(f"{boundary} ")[2])
        if "refused" in told:
            raise InputError(str(told["refused"]))
        return Question(**told["question"]), Answer(**told["answer"])
    except (ValueError, TypeError, KeyError):
        raise TransientError(
            f"what the volume's pod printed did not come whole; ask ./millrace argo show {name}"
        ) from None
