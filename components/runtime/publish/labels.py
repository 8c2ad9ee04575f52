"""Labels of versions, such as `stable`: a name under which clients ask for a version, and that moves by promotion.

They lie in the serving directory, for all who serve from it; a version with a label is kept, and served beside the
one in service.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from components.runtime.errors import InputError
from components.runtime.publish import mirror
from components.runtime.publish.serving import LABELS
from components.runtime.stage.artifacts import write_whole
from components.runtime.text.json_text import parse

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,62}")


def check(label: str) -> str:
    """A label as it is, if it can be one.

    Raises:
      InputError: it cannot be a part of a URL, or looks like a version's number.
    """
    if not _NAME.fullmatch(label):
        raise InputError(f"{label!r} is no label: a letter, then letters, digits, '_', '.' and '-', at most 63 in all")
    return label


def read(root: Path) -> dict[str, int]:
    """The labels of a serving directory with the numbers of their versions, which need not be there any more.

    Raises:
      ValueError: the file cannot be read as such.
    """
    file = root / LABELS
    try:
        found = parse(file.read_bytes())
        if not isinstance(found, dict):
            raise ValueError("no JSON object")
        if wrong := [name for name in found if isinstance(found[name], bool) or not isinstance(found[name], int)]:
            raise ValueError(f"{wrong[0]!r} names no version")
        return {name: found[name] for name in sorted(found)}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{file}: cannot be read ({error}); mend or remove it") from None


def known(root: Path) -> dict[str, int]:
    """The same as `read`, for whoever goes by them.

    Raises:
      InputError: the file cannot be read.
    """
    try:
        return read(root)
    except ValueError as error:
        raise InputError(str(error)) from None


def write(root: Path, labels: dict[str, int]) -> None:
    """Puts labels in place of those that there are, by one rename; whoever calls holds the directory's lock.

    Raises:
      TransientError: of a bucket, somebody else changed them since they were read.
    """
    write_whole(root / LABELS, json.dumps(labels, indent=1, sort_keys=True) + "\n")
    mirror.stored(root / LABELS)
