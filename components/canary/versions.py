"""What the stage changes in the serving directory, each under its lock."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

from components.runtime import VERSION
from components.runtime.errors import InputError, StageError
from components.runtime.publish import exports, labels, publishing, serving
from components.runtime.stage.progress import report as progress

_BY = "canary"
"""Who takes a version back, in the manifest of what comes in its place."""


class OvertakenError(Exception):
    """Another version has come meanwhile."""


def stable_version(root: Path, destination: str, label: str, version: int, replaced: int) -> int:
    """The version with the label, which the one that was in service before gets where none has it; 0 where none was."""
    known = labels.known(root)
    there = dict(serving.numbered(root))
    if version not in there:
        raise InputError(f"{destination}: version {version} is gone; run the pipeline again")
    found = known.get(label, 0)
    if found and found not in there:
        raise InputError(f"{destination}: {label} is version {found}, which is gone; give the label to another one")
    if not found and replaced in there:
        give_label(root, destination, label, replaced)
        return replaced
    return found


def check_newest(root: Path, destination: str, version: int) -> None:
    """Whether a version is the newest still, before it gets any traffic.

    Raises:
      OvertakenError: another model has come meanwhile.
      InputError: it was taken back by an earlier try of the stage.
    """
    folders = dict(serving.numbered(root))
    if (newest := max(folders)) == version:
        return
    with contextlib.suppress(serving.DamagedError):
        found = serving.read_version(newest, folders[newest])
        told = found.about.get(serving.ROLLED_BACK) if found else None
        if isinstance(told, Mapping) and (told.get("by"), told.get("replaced")) == (_BY, version):
            raise InputError(
                f"{destination}: version {version} was taken back, version {newest} is the model of version "
                f"{told.get('same_as')} again; run the pipeline again"
            )
    raise OvertakenError(f"version {newest} has come meanwhile, whose own canary tells more")


def give_label(root: Path, destination: str, label: str, version: int) -> None:
    """Gives a version the label."""
    with publishing.changing(destination, root):
        labels.write(root, labels.known(root) | {label: version})
    progress(f"{label} is version {version} of {destination}")


def promote(root: Path, destination: str, label: str, version: int) -> None:
    """Gives the newest version the label.

    Raises:
      OvertakenError: it is the newest no more.
    """
    with publishing.changing(destination, root):
        if (newest := max(dict(serving.numbered(root)), default=0)) != version:
            raise OvertakenError(f"version {newest} has come meanwhile, whose own canary tells more")
        labels.write(root, labels.known(root) | {label: version})
    progress(f"{label} is version {version} of {destination}")


def put_back(root: Path, destination: str, stable: int, version: int, reason: str, run: str) -> int:
    """Makes the stable model the newest version, so that servers and the next run go by it.

    Args:
      root: the serving directory.
      destination: what people call it.
      stable: version that holds the model.
      version: the one that is taken back.
      reason: why.
      run: that says so.

    Returns:
      the number of the new version; 0 where the stable model cannot be put back, or need not.
    """
    with publishing.changing(destination, root):
        folders = dict(serving.numbered(root))
        if max(folders, default=0) != version:
            progress("another version has come meanwhile; nothing is put back")
            return 0
        try:
            model = serving.read_version(stable, folders[stable])
            if model is None:
                progress(f"version {stable} was not pushed by Millrace; it is not put back")
                return 0
            serving.verify(model)
            exports.verify(model)
        except serving.DamagedError as error:
            progress(f"version {stable} is not put back: it is damaged: {error}")
            return 0
        producer = f"millrace/canary {VERSION}"
        number = publishing.put_back(root, model, version, producer, by=_BY, why=reason, run=run)
    progress(f"version {number} of {destination} is the model of version {stable} again")
    return number


def take_back(
    root: Path, destination: str, label: str, stable: int, version: int, reason: str, run: str, *, roll_back: bool
) -> str:
    """Has what was served stay served where something went wrong, as far as can be.

    Args:
      root: the serving directory.
      destination: what people call it.
      label: of the stable version, which the new one may have got already.
      stable: the version that was served.
      version: the one that is taken back.
      reason: what went wrong.
      run: that says so.
      roll_back: whether the stable model becomes the newest version again.

    Returns:
      what became of it, for people.
    """
    try:
        if labels.known(root).get(label) == version:
            give_label(root, destination, label, stable)
        number = put_back(root, destination, stable, version, reason, run) if roll_back else 0
    except (StageError, OSError) as error:
        return f"version {version} could not be taken back: {error}"
    again = f"version {version} is taken back, version {number} is the model of version {stable} again"
    return again if number else f"{label} is version {stable} still, version {version} stays where it is"
