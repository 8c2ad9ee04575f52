"""The exports of a model beside it: in a blessing, and in a version that was pushed.

In a version they are `assets.extra/exports/NAME/…`, which model servers leave alone. Its manifest has them under
`exports`: by name the format, how it was made, what it takes, its size and its losses; and their files under `besides`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.stage.artifacts import InputArtifact, content_files
from components.runtime.text.json_text import parse

KEY = "exports"
"""In a version's manifest."""

_TOLD = ("format", "how", "inputs", "bytes", "losses")


@dataclass(frozen=True)
class Export:
    """One export in a blessing.

    Attributes:
      name: of it.
      folder: with its files.
      about: what the stage export says of it.
    """

    name: str
    folder: Path
    about: Mapping[str, Any]


def read(blessing: InputArtifact) -> list[Export]:
    """The exports that a blessing has; none where no stage made any.

    Raises:
      InputError: they cannot be read.
    """
    file = blessing.path / blessings.EXPORTS_FILE
    if not file.is_file():
        return []
    try:
        entries = {str(name): said for name, said in parse(file.read_bytes()).items() if said["passed"] is True}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{file}: not what export writes ({error}); run export again") from None
    made = []
    for name, said in entries.items():
        folder = blessing.path / blessings.EXPORTS / name
        if not content_files(folder):
            raise InputError(f"{folder}: the export has no files; run export again")
        made.append(Export(name, folder, {key: said.get(key) for key in _TOLD}))
    return made


def places(exports: Sequence[Export]) -> dict[str, Path]:
    """The files of exports, by their places in a version."""
    return {
        f"{serving.EXPORTS}/{each.name}/{file.relative_to(each.folder).as_posix()}": file
        for each in exports
        for file in content_files(each.folder)
    }


def told(exports: Sequence[Export]) -> dict[str, Any]:
    """What the manifest of a version says of its exports, besides their files."""
    return {each.name: dict(each.about) for each in exports}


def of_version(version: serving.Version) -> dict[str, Mapping[str, Any]]:
    """What a version's manifest says of its exports, by name."""
    found = version.about.get(KEY)
    return {str(name): said for name, said in found.items()} if isinstance(found, Mapping) else {}


def verify(version: serving.Version) -> None:
    """Compares the files of a version's exports with their digests in the manifest.

    The model is served without them, so that what is wrong with one is no damage of the version.

    Raises:
      DamagedError: one is missing or has other bytes.
    """
    serving.verify_besides(version, f"{serving.EXPORTS}/")
