"""Reads JSON that something else has written, or what a power cut has left of it."""

from __future__ import annotations

import json
from typing import Any

_DEEPEST = 100
"""Nothing that Millrace writes is nested so deeply; Python gives up on copying and writing what is nested far more."""


def parse(text: str | bytes) -> Any:
    """What a document says.

    Raises:
      ValueError: it is no JSON, or nested too deeply to be one of ours.
    """
    try:
        document = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    level = [document]
    for _ in range(_DEEPEST):
        inner = (each.values() if isinstance(each, dict) else each for each in level if isinstance(each, dict | list))
        level = [each for values in inner for each in values]
        if not level:
            return document
    raise ValueError("nested too deeply")
