"""Slack: the question with buttons, what a button sends, and whether it was Slack that sent it.

Forms: Block Kit and the payload `block_actions` of docs.slack.dev, "Interaction payloads"; signatures of "Verifying
requests from Slack".
"""

from __future__ import annotations

import hashlib
import hmac
import html
import json
import urllib.parse
from dataclasses import dataclass
from typing import Any

from components.runtime.publish.approval import Question
from components.runtime.text.json_text import parse

SECRET = "MILLRACE_SLACK_SIGNING_SECRET"
"""The variable of the environment with the app's signing secret."""
AGE_SECONDS = 300
"""How old a request may be: what somebody has caught is of no use later."""

_YES, _NO = "millrace-approve", "millrace-reject"
_WHY = "millrace-why"
_LONGEST_REASON = 1000
_LONGEST = 2900
"""Characters of a text; Slack takes 3000."""


@dataclass(frozen=True)
class Press:
    """A button that somebody pressed.

    Attributes:
      run: whose question, as the message named it.
      model_digest: of the model that the message was about.
      until: how long the question was open, in ISO form.
      approved: yes or no.
      why: what was written beside it.
      user: id of who pressed it.
      name: what they are called in Slack, which anybody may choose.
      response_url: where Slack takes an answer, for half an hour; empty where it names none.
    """

    run: str
    model_digest: str
    until: str
    approved: bool
    why: str
    user: str
    name: str
    response_url: str


def text(question: Question) -> str:
    """The question in plain text, for whatever shows no buttons."""
    lines = [
        f"{question.run} waits for a yes, until {question.deadline}",
        f"blessed: {question.reason[:_LONGEST_REASON]}",
        *(f"{name}: {value}" for name, value in question.numbers.items()),
        f"who may: {', '.join(question.approvers) or 'anybody'}",
        f"answer: {question.command}",
    ]
    return "\n".join([*lines, question.link] if question.link else lines)[:_LONGEST]


def message(question: Question) -> dict[str, Any]:
    """The question as a message with buttons; what it quotes is plain text, in which nothing is markup."""
    value = json.dumps({"run": question.run, "model_digest": question.model_digest, "until": question.until})
    buttons = [
        _button("Approve", _YES, value=value, style="primary"),
        _button("Reject", _NO, value=value, style="danger"),
        *([_button("Open the run", "millrace-open", url=question.link)] if question.link else []),
    ]
    why = {"type": "plain_text_input", "action_id": _WHY}
    return {
        "text": escaped(text(question)),
        "blocks": [
            {"type": "section", "text": _plain(text(question))},
            {"type": "input", "block_id": _WHY, "optional": True, "label": _plain("Why"), "element": why},
            {"type": "actions", "elements": buttons},
        ],
    }


def escaped(words: str) -> str:
    """Words in which Slack finds no markup of its own, such as a call to everybody."""
    return html.escape(words, quote=False)


def _plain(words: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": words, "emoji": False}


def _button(words: str, action: str, **more: str) -> dict[str, Any]:
    return {"type": "button", "text": _plain(words), "action_id": action} | more


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The signature of a request: v0, HMAC-SHA256 over version, time and body."""
    signed = b"v0:" + timestamp.encode() + b":" + body
    return "v0=" + hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def refusal(secret: str, timestamp: str, signed: str, body: bytes, now: float) -> str:
    """Why a request is not taken for Slack's; empty where it is.

    Args:
      secret: the app's signing secret.
      timestamp: header `X-Slack-Request-Timestamp`.
      signed: header `X-Slack-Signature`.
      body: as it came.
      now: seconds since the epoch.
    """
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) < 16):
        return "no request of Slack's: it has no time (X-Slack-Request-Timestamp)"
    if abs(now - int(timestamp)) > AGE_SECONDS:
        return f"the request is not of the last {AGE_SECONDS // 60} minutes; are the clocks right?"
    if not hmac.compare_digest(signature(secret, timestamp, body).encode(), signed.encode()):
        return f"wrong signature; is {SECRET} the signing secret of the Slack app?"
    return ""


def press(body: bytes) -> Press | None:
    """What a request says was pressed; None where it was another button than ours, such as a link.

    Raises:
      ValueError: it is none of Slack's interactions.
    """
    try:
        [payload] = urllib.parse.parse_qs(body.decode(), strict_parsing=True)["payload"]
    except (ValueError, KeyError):
        raise ValueError("no interaction of Slack's: the body is no form with one field payload") from None
    try:
        document = parse(payload)
    except ValueError:
        raise ValueError("no interaction of Slack's: its payload is no JSON") from None
    try:
        if document["type"] != "block_actions":
            return None
        pressed = next((each for each in document["actions"] if each["action_id"] in (_YES, _NO)), None)
        if pressed is None:
            return None
        value, user = parse(pressed["value"]), document["user"]
        values = (document.get("state") or {}).get("values") or {}
        why = ((values.get(_WHY) or {}).get(_WHY) or {}).get("value") or ""
        return Press(
            run=str(value["run"]),
            model_digest=str(value["model_digest"]),
            until=str(value["until"]),
            approved=pressed["action_id"] == _YES,
            why=" ".join(str(why).split()),
            user=str(user["id"]),
            name=str(user.get("username") or user.get("name") or ""),
            response_url=str(document.get("response_url") or ""),
        )
    except (KeyError, TypeError, AttributeError, ValueError):
        raise ValueError("no interaction of Slack's: its payload does not tell who pressed which button") from None
