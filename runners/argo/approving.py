"""A person's answer to a run on a cluster, whose question lies on the volume: a helper writes it there."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

from components.runtime.errors import InputError, TransientError
from components.runtime.publish.approval import Answer, Question
from components.runtime.records.argo_workflow import without_tags
from components.runtime.text.json_text import parse
from runners.argo.helpers import helper

STAGE = "approve"
_TEMPLATE = "answer"
_PARAMETER = "serving_directory"


def answer(
    printed: Callable[[dict[str, Any]], str],
    workflow: Mapping[str, Any],
    candidate: str,
    *,
    approved: bool,
    by: str,
    why: str,
) -> tuple[Question, Answer]:
    """Answers a run that waits for a person.

    Args:
      printed: runs a helper, and returns what it printed.
      workflow: of the run.
      candidate: of several models that are each published: which one; empty where there is one.
      approved: yes or no.
      by: who answers.
      why: in their words.

    Returns:
      What was asked, and the answer.

    Raises:
      InputError: the run waits for no answer, or who answers may not.
      TransientError: what was printed did not come whole.
    """
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
