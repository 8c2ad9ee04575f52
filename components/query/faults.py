"""Errors of drivers in one line, without secrets, and whose turn it is: the person's, or that of another attempt."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote, quote_plus

from components.query.answers import Asked
from components.runtime.data import query_sources
from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.text.redaction import HIDDEN, redact

_PASSING_STATES = ("08", "40", "53", "57P", "58", "HYT")
"""First letters of SQLSTATE: connections, conflicts, resources, shut-downs, system errors."""

_PASSING = re.compile(
    r"connection (was )?(refused|reset|aborted|closed|lost|broken)|closed the connection|lost connection|gone away|"
    r"broken pipe|timed? ?out|starting up|shutting down|too many (clients|connections|requests)|unexpected eof|"
    r"temporar(y|ily)|unavailable|terminating connection|server closed|max retries exceeded|"
    r"could not (receive|send) data|no route to host|network is unreachable|incomplete ?read",
    re.IGNORECASE,
)
_UNKNOWN_HOST = re.compile(
    r"name or service not known|nodename nor servname|getaddrinfo failed|no address associated", re.I
)
_WRONG_SECRET = re.compile(
    r"password authentication failed|no password supplied|access denied for user|incorrect username or password|"
    r"\b401\b|authentication failed|invalid credentials",
    re.IGNORECASE,
)
# Whoever has no credentials of a cloud asks the server at this address, which the cloud's own machines get theirs from.
_NO_CREDENTIALS = re.compile(
    r"loading credentials|default credentials were not found|no credentials|169\.254\.169\.254", re.IGNORECASE
)
_CLOUDS = (*query_sources.LAKES, "bigquery")
_LONGEST = 400


@contextmanager
def telling(
    asked: Asked,
    kinds: tuple[type[BaseException], ...],
    code: Callable[[BaseException], str] = lambda error: "",
    *,
    clean: Callable[[str], str] = str,
) -> Iterator[None]:
    """Turns a driver's errors into ours.

    Args:
      asked: what is asked of whom.
      kinds: classes of errors of the driver.
      code: the SQLSTATE of an error; empty where it has none.
      clean: takes out of a text what the driver puts around the server's words.
    """
    try:
        yield
    except StageError:
        raise
    except kinds as error:
        raise fault(asked, clean(str(error)) or type(error).__name__, code(error)) from None


def fault(asked: Asked, text: str, state: str = "") -> StageError:
    """What is told of an error.

    Args:
      asked: what is asked of whom.
      text: in the driver's words.
      state: its SQLSTATE, if it has one.
    """
    said = scrubbed(asked, text)
    if _UNKNOWN_HOST.search(text):
        return InputError(f"{asked.place}: no such host ({said}): mend source.host")
    if _WRONG_SECRET.search(text):
        what = query_sources.KINDS[asked.source["kind"]].secret or "credentials"
        return InputError(
            f"{asked.place}: {said}: put the right {what} into {asked.variable} in the environment "
            "(on a cluster: a secret under resources.query.secrets in the settings), or mend source.user"
        )
    if asked.source["kind"] in _CLOUDS and _NO_CREDENTIALS.search(text):
        return InputError(
            f"{asked.place}: no credentials of the cloud: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "GOOGLE_APPLICATION_CREDENTIALS, in the environment (on a cluster: resources.query.credentials)"
        )
    passing = state.startswith(_PASSING_STATES) if state else _PASSING.search(text) is not None
    if passing:
        return TransientError(f"{asked.place}: {said}; nothing was kept, try again")
    return InputError(f"{asked.place}: {said}: mend the query or the source in ingest.query")


def scrubbed(asked: Asked, text: str) -> str:
    """A driver's text in one line of some length, without the secret in any of its spellings."""
    for spelled in sorted(
        {asked.secret, quote(asked.secret, safe=""), quote_plus(asked.secret)}, key=len, reverse=True
    ):
        if spelled:
            text = text.replace(spelled, HIDDEN)
    line = " ".join(str(redact(text)).split()).rstrip(" .:;")
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
