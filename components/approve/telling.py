"""Sends people the question, through the webhook of notify: as text, JSON, or Slack's buttons."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from components.runtime.errors import InputError, StageError
from components.runtime.publish import slack
from components.runtime.publish.approval import Question
from components.runtime.stage import webhook
from components.runtime.stage.progress import report

PAYLOADS: dict[str, Callable[[Question], dict[str, Any]]] = {
    "text": lambda question: {"text": slack.text(question)},
    "slack": slack.message,
    "json": lambda question: {"text": slack.text(question), "command": question.command} | asdict(question),
}
"""What the receivers take."""


def tell(question: Question, kind: str) -> None:
    """Sends a question; one that cannot be sent is open all the same, and the log says why nobody was told.

    Args:
      question: that is open.
      kind: one of PAYLOADS; empty for nobody.

    Raises:
      InputError: another kind.
    """
    if not kind:
        return
    if kind not in PAYLOADS:
        raise InputError(f"approve: webhook is {kind!r}, expected one of {', '.join(PAYLOADS)}")
    url = os.environ.get(webhook.URL, "").strip()
    if not url:
        report(f"nobody is told: there is no {webhook.URL} in the environment")
        return
    try:
        report(f"told {webhook.post(url, PAYLOADS[kind](question))}")
    except StageError as error:
        report(f"nobody is told: {error}")
