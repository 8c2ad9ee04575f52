"""What the webhook is told, in the form that its receiver takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from components.notify.message import Message
from components.runtime.stage import webhook


def _teams(message: Message) -> dict[str, Any]:
    block = {"type": "TextBlock", "wrap": True}
    card = {
        "type": "AdaptiveCard",
        "version": "1.4",
        "body": [block | {"text": line} for line in message.text().splitlines()],
    }
    return {
        "type": "message",
        "attachments": [{"contentType": "application/vnd.microsoft.card.adaptive", "content": card}],
    }


def _json(message: Message) -> dict[str, Any]:
    facts = {name.replace(" ", "_"): value for name, value in message.facts if name != "state"}
    plain = {"text": message.text(), "pipeline": message.pipeline, "run": message.run, "state": message.state}
    return facts | plain | ({"link": message.link} if message.link else {})


PAYLOADS: dict[str, Callable[[Message], dict[str, Any]]] = {
    # Nothing besides: Google Chat refuses what it does not know.
    "text": lambda message: {"text": message.text()},
    "teams": _teams,
    "json": _json,
}
"""What the receivers take."""


def post(url: str, kind: str, message: Message) -> str:
    """Posts a message.

    Args:
      url: the webhook's address.
      kind: one of PAYLOADS.
      message: what is told.

    Returns:
      The host.

    Raises:
      InputError: no address, or the receiver refuses for good.
      TransientError: no answer in time, or a refusal that may pass.
    """
    return webhook.post(url, PAYLOADS[kind](message))
