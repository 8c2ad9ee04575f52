"""Keeps secrets out of what is written for others to read: records, lineage events, reports, comparisons."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

from components.runtime.errors import InputError

HIDDEN = "***"

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
_SECRET_WORDS = frozenset(
    {
        *("token", "tokens", "password", "passwords", "passwd", "passphrase"),
        *("secret", "secrets", "credential", "credentials"),
    }
)
_KEY_WORDS = frozenset({"key", "keys", "apikey"})
# In machine learning the key of a label, a feature or a weight is its name.
_NAMED_BY_KEY = frozenset(
    {"label", "labels", "feature", "features", "weight", "prediction", "example", "slice", "output", "sort"}
)
# A secret key may hold slashes; what stands behind a port is a path, and a bucket has no port. One slash is a slip.
_SCHEME = r"(?<![a-z0-9])(?P<scheme>(?P<bucket>(?:s3[an]?|gs):/*)|[a-z][a-z0-9+.-]+:/+)"
_AT = "(?:@|%40)"
# (No longer than such parts are: a text may be long, and hold many beginnings.)
_WITH_PASSWORD = re.compile(
    rf"{_SCHEME}[^/:@\s]{{0,200}}?(?::|%3a)(?(bucket)|(?!\d+(?:/|$)))(?:(?!{_AT})\S){{1,500}}{_AT}", re.IGNORECASE
)
_WITHOUT_SCHEME = re.compile(r"(?:\./|//)*[^\s/:@]+:(?!//)\S+@[^\s/@]+(?:/.*)?")
_USER_IN_URL = re.compile(r"(?<=://)[^/@\s]+@")
_ADDRESS = re.compile(_SCHEME, re.IGNORECASE)
# Behind an address that a message quotes stand a quotation mark or a colon.
_QUERY = re.compile(r"""(?<=[?&;#])([^?&;=#\s]+)=([^&;#\s'"]+?)(?=:?(?:[&;#\s'"]|$))""")
_SIGNATURE_WORDS = frozenset({"signature", "sig"})
_SHORTEST_TO_SCRUB = 4


def is_secret(name: str) -> bool:
    """Whether a parameter of this name holds a secret: `api_key`, `hubToken`, `PASSWORD`, but not `label_key`."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not _SECRET_WORDS.isdisjoint(words):
        return True
    return any(
        word in _KEY_WORDS and (position == 0 or words[position - 1] not in _NAMED_BY_KEY)
        for position, word in enumerate(words)
    )


def credentials(text: str) -> str:
    """What kind of credentials an address holds: a password, or a secret in its query; empty where it holds none."""
    if not _ADDRESS.search(text):
        return ""
    if _WITH_PASSWORD.search(text):
        return "an address with a password"
    return "an address with a key or signature" if any(map(_is_secret_query, _QUERY.finditer(text))) else ""


def refuse_credentials(value: Any, where: str, *, place: bool = False) -> None:
    """Refuses addresses that hold credentials, which would stay in records; storage takes those of the environment.

    Args:
      value: JSON value of a parameter.
      where: its name, for the message.
      place: whether it says where something lies, so that `key:password@bucket` is an address without its scheme.

    Raises:
      InputError: it holds such an address, which is not told.
    """
    if isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            refuse_credentials(entry, where, place=place)
    elif isinstance(value, str) and (found := credentials(value) or (place and _without_scheme(value))):
        raise InputError(
            f"{where}: {found}, which records would keep: take it out and set AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or GOOGLE_APPLICATION_CREDENTIALS, in the environment (on a cluster: "
            "cluster.credentials in the settings)"
        )


def _without_scheme(text: str) -> str:
    text = unquote(text).strip()
    if "://" in text:
        return ""
    if _WITHOUT_SCHEME.fullmatch(text):
        return "an address with a password"
    return "an address with a key or signature" if any(map(_is_secret_query, _QUERY.finditer(text))) else ""


def redact(value: Any, *, also: Any = None) -> Any:
    """Returns a copy of a JSON value without the values of secrets.

    What stands under a secret's name goes, also inside JSON text, and so does that text wherever else it occurs (an
    error message that quotes a token), and the user, password and secrets of the query in a URL.

    Args:
      value: JSON value: dicts, lists, strings, numbers.
      also: another JSON value whose secrets must not occur in `value`.
    """
    texts = {text for source in (value, also) for text in _secrets(source, False) if len(text) >= _SHORTEST_TO_SCRUB}
    # The longest first, so that a secret that contains another one leaves no remains.
    return _clean(value, sorted(texts, key=len, reverse=True))


def _hides(name: str, value: Any) -> bool:
    # `max_tokens: 512` is a size.
    counts = isinstance(value, int | float) and "tokens" in name.lower()
    return value not in (None, "") and is_secret(name) and not counts


def _secrets(value: Any, secret: bool) -> Iterator[str]:
    if isinstance(value, dict):
        for name, entry in value.items():
            yield from _secrets(entry, secret or is_secret(str(name)))
    elif isinstance(value, list):
        for entry in value:
            yield from _secrets(entry, secret)
    elif isinstance(value, str):
        if (parsed := _parsed(value)) is not None:
            yield from _secrets(parsed, secret)
        if secret:
            yield value


def _clean(value: Any, texts: list[str]) -> Any:
    if isinstance(value, dict):
        return {name: HIDDEN if _hides(str(name), entry) else _clean(entry, texts) for name, entry in value.items()}
    if isinstance(value, list):
        return [_clean(entry, texts) for entry in value]
    if isinstance(value, str):
        parsed = _parsed(value)
        if parsed is not None and (cleaned := _clean(parsed, texts)) != parsed:
            return json.dumps(cleaned)
        for text in texts:
            value = value.replace(text, HIDDEN)
        return _without_credentials(value)
    return value


def _without_credentials(text: str) -> str:
    if not _ADDRESS.search(text):
        return text
    text = _WITH_PASSWORD.sub(rf"\g<scheme>{HIDDEN}@", text)
    text = _USER_IN_URL.sub(f"{HIDDEN}@", text)
    return _QUERY.sub(lambda found: f"{found[1]}={HIDDEN}" if _is_secret_query(found) else found[0], text)


def _is_secret_query(found: re.Match[str]) -> bool:
    if found[2] == HIDDEN:
        return False
    name = unquote(found[1])
    return is_secret(name) or not _SIGNATURE_WORDS.isdisjoint(word.lower() for word in _WORDS.findall(name))


def _parsed(text: str) -> Any:
    """The object or list that a string holds as JSON; None where it holds none."""
    if not text.lstrip().startswith(("{", "[")):
        return None
    try:
        return json.loads(text)
    except ValueError:
        return None
