"""A pipeline root that is a copy of another one's records, and where that one is."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from components.runtime.records.execution_record import relative_uri
from components.runtime.text.json_text import parse

FILE = ".copied.json"
"""A file in a copy that says from where it is (`root`, and who made it what else), and up to when."""


def about(root: Path) -> dict[str, Any]:
    """What the file says; nothing of a root that is no copy."""
    found: Any = {}
    with contextlib.suppress(OSError, ValueError):
        found = parse((root / FILE).read_text())
    return found if isinstance(found, dict) else {}


def relative_place(root: Path, uri: str) -> str:
    """A place without that of the pipeline root, of the copied one too: what lies there has been copied with it."""
    origin = about(root).get("root")
    if isinstance(origin, str) and (found := relative_uri(Path(origin), uri)) != uri:
        return found
    return relative_uri(root, uri)
