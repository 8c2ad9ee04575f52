"""Refuses values that would not arrive as they were written: KFP's parameters are JSON, with floats of 64 bits."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

from components.runtime.errors import InputError

_CONTROL = re.compile(r"[^\t\n\r -~\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")

LARGEST = 2**53
"""Whole numbers up to it are exact as floats of 64 bits."""


def refuse(content: Any, where: str, *, free: str = "") -> None:
    """Refuses the first such value, anywhere in nested content.

    Args:
      content: mappings, lists and plain values, as YAML or JSON has them.
      where: the file or option, for the error.
      free: name of the keys that may hold anything: what is not JSON is refused in them alone, since the others are
        held to their types.

    Raises:
      InputError: which value, by its keys, and what to write.
    """
    for path, fault in _faults(content, "", not free, free):
        raise InputError(f"{where}: {path}: {fault}" if path else f"{where}: {fault}")


def _faults(value: Any, path: str, anything: bool, free: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            place = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                yield place, f"the key is read as {_kind(key)}; write it in quotes"
            yield from _faults(inner, place, anything or key == free, free)
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from _faults(inner, f"{path}.{number}" if path else str(number), anything, free)
    elif isinstance(value, int) and abs(value) > LARGEST:
        mend = "write a text in quotes where one is taken, or a smaller number" if anything else "write a smaller one"
        yield path, f"{value} would lose digits on its way, as whole numbers beyond 2^53 do; {mend}"
    elif isinstance(value, float) and not math.isfinite(value):
        yield path, f"{value} is no number in JSON, in which parameters are handed on; write a finite number or a text"
    elif isinstance(value, str) and not anything and not path.startswith("ingest."):
        # Cells of raw data may be parted by one; a compiled file and a terminal take none.
        if found := _CONTROL.search(value):
            yield path, f"holds the control character {found[0]!r}; take it out"
    elif anything and value is None:
        yield path, "null cannot be handed on: KFP's parameters have none; leave the key out, or write another value"
    elif anything and not isinstance(value, str | int | float):
        yield path, f"{value!s} is read as {_kind(value)}; write it in quotes"


def _kind(value: Any) -> str:
    return {"NoneType": "null", "bool": "true or false", "int": "a number", "float": "a number", "bytes": "binary"}.get(
        type(value).__name__, f"a {type(value).__name__}"
    )
