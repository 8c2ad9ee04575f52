"""Recognises what looks like a secret's value, so that none gets into a compiled file, which anybody may read."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from components.runtime.errors import InputError
from components.runtime.text.redaction import credentials

# What issuers of keys put first, so that scanners find them.
_MARKS = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY"), "a key in PEM form"),
    (re.compile(r"(?<![A-Z0-9])(AKIA|ASIA)[A-Z0-9]{16}(?![A-Z0-9])"), "an AWS access key"),
    (re.compile(r"(?<![A-Za-z0-9])AIza[-_A-Za-z0-9]{35}"), "a Google API key"),
    (re.compile(r"(?<![A-Za-z0-9])(hf_|gh[oprsu]_|github_pat_|glpat-|xox[abprs]-|sk-)[-_A-Za-z0-9]{20}"), "a token"),
    (re.compile(r"(?<![A-Za-z0-9])ey[JI][-_A-Za-z0-9]{10,}\.[-_A-Za-z0-9]{10,}\."), "a JSON web token"),
)
_SECRET_KEYS = re.compile(
    r"(^|[-_.])(password|passwd|private_?key|secret_?(access_?)?key|api_?key|access_?key|auth_?token)$", re.IGNORECASE
)
_WORD = re.compile(r"[-+/_A-Za-z0-9]{40,}={0,2}")
_RANDOM = 0.3
"""Share of neighbours of different kinds (capital, small letter, digit) from which a long word is random.

A small letter after a capital does not count. Base64 of a key has about 0.47, camel case of short words 0.25.
"""


def kind(text: str) -> str:
    """What kind of secret a text looks like; empty when it looks like none."""
    if found := credentials(text):
        return found
    for pattern, name in _MARKS:
        if pattern.search(text):
            return name
    return "a key in base64" if any(map(_random, _WORD.findall(text))) else ""


def refuse(content: Any, where: str, path: str = "", by_key: bool = True) -> None:
    """Refuses values that look like secrets, anywhere in nested content.

    Args:
      content: mappings, lists and plain values.
      where: the file or document, for the error.
      path: of the content in it.
      by_key: whether a text is refused for its key too, such as `password`. Not so where keys say what a name is for.

    Raises:
      InputError: which value; never the value itself.
    """
    if isinstance(content, dict):
        for key, value in content.items():
            inner = f"{path}.{key}" if path else str(key)
            if kind(str(key)):
                raise _error(where, f"a key in {path or 'it'}", kind(str(key)))
            if by_key and isinstance(value, str) and value and _SECRET_KEYS.search(str(key)):
                raise _error(where, inner, "a secret, by its key")
            refuse(value, where, inner, by_key and inner != "resources")
    elif isinstance(content, list | tuple):
        for number, value in enumerate(content):
            refuse(value, where, f"{path}.{number}" if path else str(number), by_key)
    elif isinstance(content, str) and (found := kind(content)):
        raise _error(where, path, found)


def _error(where: str, path: str, found: str) -> InputError:
    return InputError(
        f"{where}: {path}: looks like {found}; compiled files are no place for it: "
        "keep it in a Kubernetes secret and name that under resources.<stage>.secrets"
    )


def _random(word: str) -> bool:
    kinds = ["A" if sign.isupper() else "a" if sign.islower() else "0" for sign in word if sign.isalnum()]
    changes = sum(one != other and (one, other) != ("A", "a") for one, other in pairwise(kinds))
    return len(set(kinds)) == 3 and changes / len(kinds) > _RANDOM
