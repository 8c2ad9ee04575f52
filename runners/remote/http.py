"""How servers refuse: whatever a client library raises becomes one line for people, and never holds a secret."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from components.runtime.errors import InputError, StageError, TransientError

TIMEOUT = 30.0
"""Seconds that a server may take to answer one request."""

_LONGEST = 300
_PASSING = frozenset({408, 425, 429})
_GO_STACK = re.compile(r"\s+(?:goroutine \d+ \[\w+\]:\s+)?[\w./()*]+\s+/\S+\.(?:go|s):\d+.*", re.DOTALL)
"""The first function of a stack of Go with its file and line, and all behind it."""
_PLAIN_ANSWERS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG", "HTTP_REQUEST")
"""What OpenSSL makes of an answer that is not encrypted."""


@contextmanager
def explained(server: str, doing: str, secrets: Collection[str] = ()) -> Iterator[None]:
    """Turns what a client of an HTTP API raises into an error for people.

    Args:
      server: what the server is called in the message: its address.
      doing: what was being done, as in "while listing runs".
      secrets: tokens that no message may show.
    """
    try:
        yield
    except StageError as error:
        if (scrubbed := _scrubbed(str(error), secrets)) == str(error):
            raise
        raise type(error)(scrubbed) from None
    except Exception as error:
        made = _explain(error, server, doing)
        if made is None:
            raise
        raise type(made)(_scrubbed(str(made), secrets)) from None


def refusal(server: str, doing: str, status: int, body: object = b"") -> StageError:
    """The error behind an HTTP status."""
    message = _message(body)
    said = f": {message}" if message else ""
    if 300 <= status < 400:
        return InputError(f"{server}: sends to a login page ({status}) while {doing}; check the host and the token")
    if status == 401:
        return InputError(
            f"{server}: not signed in (401) while {doing}{said}; name a valid token with token_env or token_file"
        )
    if status == 403:
        return InputError(
            f"{server}: not allowed (403) while {doing}{said}; ask for the role, or check the namespace and the token"
        )
    if status == 404:
        return InputError(f"{server}: not found (404) while {doing}{said}")
    if status == 409:
        return InputError(f"{server}: in the way of something that is there (409) while {doing}{said}")
    if status in _PASSING or status >= 500:
        return TransientError(f"{server}: fault of the server ({status}) while {doing}{said}; try again")
    return InputError(f"{server}: refused ({status}) while {doing}{said}")


def unanswered(server: str, doing: str, error: BaseException) -> StageError:
    """The error behind a connection that urllib3 could not make or keep."""
    from urllib3 import exceptions

    reason: BaseException | None = error
    if isinstance(error, exceptions.MaxRetryError) and error.reason is not None:
        reason = error.reason
    if isinstance(reason, exceptions.SSLError):
        said = str(reason).upper().replace(" ", "_")
        if any(word in said for word in _PLAIN_ANSWERS):
            plain = server.replace("https://", "http://", 1)
            return InputError(f"{server}: answers without encryption while {doing}; write {plain}")
        return InputError(f"{server}: its certificate is not trusted while {doing}; name the right one with ca_file")
    if isinstance(reason, exceptions.LocationParseError | exceptions.URLSchemeUnknown):
        return InputError(f"{server}: not the address of a server; write http://NAME:PORT or https://NAME")
    if isinstance(reason, exceptions.NameResolutionError):
        return TransientError(f"{server}: no such name in the network while {doing}; check the host")
    # (A refused connection is a kind of time-out for urllib3, so it comes first.)
    if isinstance(reason, exceptions.NewConnectionError):
        return TransientError(f"{server}: no connection while {doing}; is it running, and is its port forwarded?")
    if isinstance(reason, exceptions.TimeoutError):
        return TransientError(f"{server}: no answer in time while {doing}; try again, or raise --timeout")
    return TransientError(f"{server}: the connection broke while {doing}; try again")


def missing(kind: str, name: str, known: Iterable[str], where: str, preposition: str = "on") -> InputError:
    """The error for a name that a server does not know, with the nearest names that it does."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return InputError(
            f"no {kind} {name!r} {preposition} {where}; did you mean {' or '.join(repr(each) for each in near)}?"
        )
    few = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return InputError(
        f"no {kind} {name!r} {preposition} {where}; " + (f"there are: {few}" if names else "there is none")
    )


def _explain(error: Exception, server: str, doing: str) -> StageError | None:
    from urllib3.exceptions import HTTPError

    if isinstance(error, HTTPError):
        return unanswered(server, doing, error)
    # The generated clients of KFP and of Kubernetes have an ApiException each, alike but for the module.
    if type(error).__name__ in ("ApiException", "ApiTypeError", "ApiValueError"):
        status = getattr(error, "status", None)
        if status == 0:
            return InputError(
                f"{server}: its certificate is not trusted while {doing}; name the right one with ca_file"
            )
        if isinstance(status, int):
            return refusal(server, doing, status, getattr(error, "body", b""))
        return InputError(f"{server}: {_one_line(str(error))} while {doing}")
    return None


def _message(body: object) -> str:
    """What the server said: `message` or `error` of its JSON, or its text; nothing of an HTML page."""
    text = body.decode(errors="replace") if isinstance(body, bytes) else str(body or "")
    try:
        content = json.loads(text)
    except ValueError:
        return "" if text.lstrip().startswith("<") else _one_line(text)
    if isinstance(content, dict):
        found = content.get("message") or content.get("error_message") or content.get("error") or ""
        if isinstance(found, dict):
            found = found.get("message", "")
        return _one_line(str(found))
    return ""


def without_stack(text: str) -> str:
    """A message of a server that is written in Go, without the stack of calls behind it."""
    return _GO_STACK.sub("", text)


def _one_line(text: str) -> str:
    line = " ".join(without_stack(text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _scrubbed(text: str, secrets: Collection[str]) -> str:
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text
