"""What a search leaves of itself while it runs: another attempt at the same one goes on from there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.runtime.stage import progress
from components.runtime.stage.artifacts import remove, written_whole
from components.runtime.text.json_text import parse

_FILE = "search.json"


class Kept:
    """The file of one search, in a folder of its own."""

    def __init__(self, directory: str, key: str) -> None:
        """Reads nothing yet.

        Args:
          directory: of all searches, on a disk that a later attempt sees.
          key: of this search.
        """
        self.folder = Path(directory).absolute() / key
        self._file = self.folder / _FILE

    def read(self) -> dict[str, Any] | None:
        """What the last attempt left; None where there was none."""
        try:
            document: dict[str, Any] = parse(self._file.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            progress.report(f"searching from the beginning: {self._file} cannot be read: {error}")
            return None
        return document

    def write(self, document: Mapping[str, Any]) -> None:
        """Replaces what is there, all at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self._file) as part:
            # (Scores may be NumPy's.)
            part.write_text(json.dumps(document, default=float), encoding="utf-8")

    def forget(self) -> None:
        """Removes all of it."""
        remove(self.folder)
