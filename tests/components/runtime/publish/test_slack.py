"""Slack's form of the question, and what is taken for a press of one of its buttons."""

from __future__ import annotations

import json
import urllib.parse
from dataclasses import replace
from typing import Any

import pytest

from components.runtime.publish import slack
from components.runtime.publish.approval import Question
from components.runtime.publish.slack import Press

# The example in Slack's own document, "Verifying requests from Slack".
SECRET = "8f742231b10e8888abcd99yyyzzz85a5"
TIME = "1531420618"
BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar"
    b"&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2F"
    b"hooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id="
    b"398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c"
)
SIGNATURE = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503"
QUESTION = Question(
    "taxi-1", "sha256:1", "all 2 thresholds hold", {"auc": 0.91, "name": "x"}, ["anna"], "", "2999-01-01T00:00:00+00:00"
)


def test_slacks_own_example_is_taken() -> None:
    assert slack.signature(SECRET, TIME, BODY) == SIGNATURE
    assert slack.refusal(SECRET, TIME, SIGNATURE, BODY, int(TIME) + 299) == ""


@pytest.mark.parametrize(
    ("time", "signed", "body", "after", "why"),
    [
        (TIME, SIGNATURE, BODY + b"&x=1", 0, "wrong signature"),
        (TIME, SIGNATURE[:-1] + "4", BODY, 0, "wrong signature"),
        (TIME, "", BODY, 0, "wrong signature"),
        (TIME, "v0=\u00e4", BODY, 0, "wrong signature"),
        ("1531420619", SIGNATURE, BODY, 0, "wrong signature"),
        (TIME, SIGNATURE, BODY, 301, "not of the last 5 minutes"),
        (TIME, SIGNATURE, BODY, -301, "not of the last 5 minutes"),
        ("", SIGNATURE, BODY, 0, "it has no time"),
        ("-1531420618", SIGNATURE, BODY, 0, "it has no time"),
        ("9" * 40, SIGNATURE, BODY, 0, "it has no time"),
    ],
)
def test_what_slack_has_not_signed_just_now_is_refused(
    time: str, signed: str, body: bytes, after: int, why: str
) -> None:
    refused = slack.refusal(SECRET, time, signed, body, int(TIME) + after)
    assert why in refused
    assert SECRET not in refused


def payload(action: dict[str, Any], **more: Any) -> bytes:
    """What Slack sends of a button."""
    document = {
        "type": "block_actions",
        "user": {"id": "U02ABCDEF", "username": "anna.b", "team_id": "T1"},
        "actions": [action | {"type": "button", "block_id": "b", "action_ts": "1"}],
        "response_url": "https://hooks.slack.com/actions/T1/2/3",
    }
    return urllib.parse.urlencode({"payload": json.dumps(document | more)}).encode()


def buttons() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = slack.message(QUESTION)["blocks"][-1]["elements"]
    return found


def test_a_press_of_a_button_of_the_message_says_what_it_was_about() -> None:
    yes, no = buttons()
    state = {"values": {"millrace-why": {"millrace-why": {"type": "plain_text_input", "value": "as\nplanned"}}}}
    assert slack.press(payload(yes, state=state)) == Press(
        "taxi-1",
        "sha256:1",
        QUESTION.until,
        True,
        "as planned",
        "U02ABCDEF",
        "anna.b",
        "https://hooks.slack.com/actions/T1/2/3",
    )
    pressed = slack.press(payload(no, state={"values": {"millrace-why": {"millrace-why": {"value": None}}}}))
    assert pressed is not None
    assert (pressed.approved, pressed.why) == (False, "")


def test_a_link_and_what_is_no_press_answer_nothing() -> None:
    assert slack.press(payload({"action_id": "millrace-open"})) is None
    assert slack.press(payload(buttons()[0], type="view_submission")) is None


@pytest.mark.parametrize(
    ("said", "bodies"),
    [
        ("the body is no form with one field payload", [b"", b"hello", b"a=b", b"payload=\xff", BODY]),
        ("its payload is no JSON", [b"payload=x", b"payload=["]),
        ("its payload does not tell who pressed which button", [b"payload=1", b"payload=[1]", b"payload=%7B%7D"]),
    ],
)
def test_what_is_no_interaction_is_told(said: str, bodies: list[bytes]) -> None:
    for body in bodies:
        with pytest.raises(ValueError, match=f"^no interaction of Slack's: {said}$"):
            slack.press(body)


def test_the_message_tells_what_it_is_a_yes_to_and_quotes_without_markup() -> None:
    told = slack.message(QUESTION)
    lines = told["text"].splitlines()
    assert lines == [
        "taxi-1 waits for a yes, until 2999-01-01 00:00 UTC",
        "blessed: all 2 thresholds hold",
        "auc: 0.91",
        "who may: anna",
        "answer: ./millrace approve taxi-1",
    ]
    loud = slack.message(replace(QUESTION, reason="<!channel> a & b"))
    assert "blessed: &lt;!channel&gt; a &amp; b" in loud["text"]
    assert {block["text"]["type"] for block in told["blocks"] if "text" in block} == {"plain_text"}
