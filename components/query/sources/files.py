"""Sources that are files of this machine or of a volume."""

from __future__ import annotations

import os
from pathlib import Path

from components.query.answers import Asked
from components.runtime.errors import InputError


def existing_file(asked: Asked) -> Path:
    """The file of a database.

    Raises:
      InputError: there is none, or it may not be read. (A driver would make an empty database.)
    """
    path = Path(asked.source["path"]).expanduser()
    if not path.is_file():
        fault = "no such file" if not path.exists() else "no file, but a folder" if path.is_dir() else "no file"
        raise InputError(f"{asked.place}: {fault}: mend source.path in ingest.query")
    if not os.access(path, os.R_OK):
        raise InputError(f"{asked.place}: may not be read: give this user the right to it")
    return path.absolute()
