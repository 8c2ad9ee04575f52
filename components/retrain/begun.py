"""What looks at a model have begun: a file for each run in the folder `.retrainings` of the serving directory.

It is there that all looks at a model come, on every target, and a version is forgotten with it; servers leave it alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from components.runtime.errors import InputError
from components.runtime.publish import mirror
from components.runtime.stage.artifacts import write_whole
from components.runtime.text.json_text import parse

FOLDER = ".retrainings"


@dataclass(frozen=True)
class Begun:
    """A run that a look has begun.

    Attributes:
      run: its name.
      id: by which the target knows it.
      version: that had drifted.
      window: digest of the data that it trains on.
      data: the same in words.
      after: the run that looked.
      at: when, in ISO form.
    """

    run: str
    id: str
    version: int
    window: str
    data: str
    after: str
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())

    @property
    def told(self) -> str:
        """As a text that `read` makes it of again."""
        return json.dumps(asdict(self), indent=1) + "\n"


def read(told: str | bytes) -> Begun:
    """The run that a text of `told` is of.

    Raises:
      ValueError: it is none.
    """
    try:
        return Begun(**parse(told))
    except TypeError as error:
        raise ValueError(str(error)) from None


def note(root: Path, begun: Begun) -> None:
    """Notes a run that was begun.

    Args:
      root: the serving directory.
      begun: the run.

    Raises:
      InputError: the directory cannot be written to.
    """
    try:
        (root / FOLDER).mkdir(parents=True, exist_ok=True)
        file = root / FOLDER / f"{begun.run}.json"
        write_whole(file, begun.told)
        mirror.stored(file)
    except PermissionError as error:
        raise InputError(f"{root}: the serving directory is not writable ({error.strerror})") from None


def noted(root: Path) -> list[Begun]:
    """The runs that were begun, the newest first.

    Raises:
      InputError: a note cannot be read: without it the same might be begun again.
    """
    found = []
    for file in mirror.fetched(root / FOLDER).glob("*.json"):
        try:
            found.append(read(file.read_bytes()))
        except (OSError, ValueError) as error:
            raise InputError(f"{file}: tells which run was begun, and cannot be read ({error}); remove it") from None
    return sorted(found, key=lambda each: each.at, reverse=True)
