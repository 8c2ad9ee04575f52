"""What is written into a Workflow of Argo when it is begun: by `argo submit`, and by the stage that begins runs."""

from __future__ import annotations

import copy
from typing import Any

from components.runtime.records import run_record

CLOSING = "close"
"""Task that closes the run's record, and its template."""


def without_tags(text: str) -> str:
    """JSON in which Argo finds no tag of its own: KFP's placeholders begin with two braces too."""
    return text.replace("{{", "\\u007b\\u007b")


def noted(workflow: dict[str, Any], by: str) -> dict[str, Any]:
    """A Workflow whose last pod writes into the run's record who started it; unchanged where nobody shall be named."""
    made = copy.deepcopy(workflow)
    for each in made["spec"].get("templates") or []:
        if by and each.get("name") == CLOSING and isinstance(each.get("container"), dict):
            # (A variable, over which the images of earlier versions do not stumble.)
            variables = each["container"].setdefault("env", [])
            variables.append({"name": run_record.BY_VARIABLE, "value": without_tags(by)})
    return made
