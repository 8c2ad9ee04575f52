"""Records with odd values in every place, for tests of what reads them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

ODD = [
    "[" * 100_000,
    "[]",
    "{}",
    '"lots"',
    "5",
    "-1",
    "true",
    "null",
    "NaN",
    "Infinity",
    "1e400",
    "1" + "0" * 400,
    '"a\\u0000b"',
]
"""What may stand in a record in place of a value, as JSON."""


def places(document: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of each value of a document, itself included; of a list only its first entry."""
    yield path
    for key, value in (
        document.items()
        if isinstance(document, dict)
        else enumerate(document[:1])
        if isinstance(document, list)
        else ()
    ):
        yield from places(value, (*path, key))


def with_value(document: Any, path: tuple[Any, ...], value: str) -> str:
    """The document as JSON with another value at a path."""
    mark = "value that is to be replaced"
    if not path:
        return value
    changed = json.loads(json.dumps(document))
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = mark
    return json.dumps(changed).replace(json.dumps(mark), value)
