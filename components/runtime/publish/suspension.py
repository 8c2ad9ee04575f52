"""A Workflow of Argo that is suspended until a person has answered: what it asks, and how it is told the answer.

No pod waits. What is asked is an input of the suspended node, what was answered its outputs, which Argo calls supplied:
whoever resumes the node gives them, in Argo's own page, with `argo node set`, or by the patch that is made here. Its
form is that of argo-workflows, workflow/util/util.go (ResumeWorkflow and updateSuspendedNode).
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from components.runtime.publish.approval import Answer, Question
from components.runtime.text.json_text import parse
from components.runtime.text.redaction import refuse_credentials
from components.runtime.text.workflow_nodes import nodes

QUESTION = "question"
"""Input of the suspended node: the question as JSON; `{}` where nobody is asked."""
SECONDS = "seconds"
"""Input of the suspended node: for how long it is suspended."""
ANSWER = ("approved", "by", "why")
"""Outputs of the suspended node: what it is told; each empty where it is told nothing. The first is yes or no, and
where a command says it, when and of which model. Argo's page sends all inputs back as outputs, and leaves no other
output a value: so all of these are inputs too, and those above outputs."""
YES, NO = "yes", "no"


def suspended(workflow: Mapping[str, Any]) -> dict[str, Question]:
    """What the nodes ask that a Workflow is suspended in now, by their ids."""
    found = {}
    for identity, node in nodes(dict(workflow)).items():
        if node.get("type") == "Suspend" and node.get("phase") == "Running" and (asked := question_of(node)):
            found[identity] = asked
    return found


def question_of(node: Mapping[str, Any]) -> Question | None:
    """What a node asks; None where it is none of ours, or nobody is asked."""
    parameters = (node.get("inputs") or {}).get("parameters") or []
    text = next((str(each.get("value") or "") for each in parameters if each.get("name") == QUESTION), "")
    try:
        return Question(**parse(text)) if text else None
    except (ValueError, TypeError):
        return None


def question_text(question: Question | None) -> str:
    """A question as the node's input; without braces in which Argo would find a tag of its own."""
    return json.dumps(asdict(question) if question else {}).replace("{{", "\\u007b\\u007b")


def resumption(workflow: Mapping[str, Any], identity: str, given: Answer) -> dict[str, Any]:
    """The merge patch by which a suspended node is told an answer, and its Workflow goes on.

    Args:
      workflow: with its status; if it has changed meanwhile, Kubernetes refuses the patch.
      identity: of the node, from `suspended`.
      given: the answer.

    Raises:
      InputError: its words hold an address with credentials, which would stay in records.
    """
    refuse_credentials(given.why, "why")
    approved = f"{YES if given.approved else NO} {given.at} {given.model_digest}"
    known = nodes(dict(workflow))
    inputs = {each["name"]: each.get("value", "") for each in known[identity]["inputs"]["parameters"]}
    told = {name: inputs.get(name, "") for name in (QUESTION, SECONDS)}
    told |= {"approved": approved, "by": _plain(given.by), "why": _plain(given.why)}
    node = known[identity] | {
        "phase": "Succeeded",
        "finishedAt": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "message": _plain(given.said),
        "outputs": {"parameters": [{"name": name, "value": value} for name, value in told.items()]},
    }
    changed: dict[str, Any] = {"nodes": {identity: node}}
    if (workflow.get("status") or {}).get("compressedNodes"):
        packed = gzip.compress(json.dumps(known | {identity: node}).encode())
        changed = {"compressedNodes": base64.b64encode(packed).decode()}
    return {"metadata": {"resourceVersion": workflow["metadata"]["resourceVersion"]}, "status": changed}


def answered(question: Question, told: Mapping[str, str]) -> Answer | None:
    """What a suspended node was told; None where it was told nothing.

    Args:
      question: of the node.
      told: its outputs. Argo's page asks for a name and yes or no; when, and of which model, it does not say.
    """
    said, at, digest, *_ = [*told.get("approved", "").split(), "", "", ""]
    if said.lower() not in (YES, NO):
        return None
    by, why = told.get("by", "").strip(), told.get("why", "").strip()
    at = at or min(datetime.now(UTC).isoformat(), question.until)
    return Answer(said.lower() == YES, by, why, digest or question.model_digest, at)


def _plain(text: str) -> str:
    """Words of a person in which Argo finds no tag of its own."""
    return text.replace("{{", "{ {")
