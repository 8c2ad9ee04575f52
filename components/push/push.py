"""Publishes a blessed model as the next version of a serving directory, unless it is in service already.

A model that is there under a lower number becomes a new version as well: else what was just found worse would stay in
service. And it is published only while the baseline is the one that it was blessed against: of two runs at once the
slower has to be evaluated again.

The version is copied beside, under a name that TensorFlow Serving ignores, verified, and appears by one rename. A push
that dies leaves at most such a folder; the next one removes it, which is safe under the lock that every push holds.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.runtime import VERSION
from components.runtime.errors import InputError, TransientError
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact, file_digest, remove
from components.runtime.stage.progress import report

_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


def push(
    model: InputArtifact, blessing: InputArtifact, destination: str, pushed_model: OutputArtifact, candidate: str = ""
) -> dict[str, Any]:
    """Publishes the model, unless it is not blessed, or is what is in service.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: whether it is `BLESSED`, and against which baseline.
      destination: the serving directory; made where it does not exist.
      pushed_model: gets `pushed.json`.
      candidate: of several models that are each published there: the name of this one, and of its folder in it.

    Returns:
      `version`; empty where nothing was published.

    Raises:
      InputError: the blessing is of another model, or the destination cannot be written.
      TransientError: the disk is full; or the baseline is no longer the one that the model was blessed against, so that
        it has to be evaluated again.
    """
    files = serving.saved_model_files(model)
    digest = serving.model_digest(files)
    blessed = blessings.read(blessing, digest, pushed_model)
    if blessed is None:
        return {"version": ""}
    destination = serving.of_candidate(destination, candidate)
    if candidate:
        pushed_model.metadata["candidate"] = candidate
    root = serving.serving_root(destination)
    with _destination_errors(destination), _locked(root):
        _remove_stale(root)
        found = serving.survey(root, digest)
        how: dict[str, Any] = {"created": not found.holds_candidate}
        if found.holds_candidate:
            number = found.in_service
        else:
            for line in found.left_out:
                report(line)
            _check_baseline(blessed, found, destination)
            how |= {"replaced": found.in_service, "same_as": _same_model(root, digest)}
            warm_up = blessing.path / blessings.WARM_UP
            number = _publish(model, root, files, digest, blessed.reason, warm_up if warm_up.is_file() else None)
    instead = f", in place of version {how['replaced']}" if how.get("replaced") else ""
    report(f"version {number} of {destination}{serving.how_pushed(how)}{instead}")
    facts = {"version": number, "destination": destination, "model_digest": digest}
    blessings.record_push(pushed_model, facts)
    pushed_model.metadata |= how
    return {"version": str(number)}


def _check_baseline(blessed: blessings.Blessing, found: serving.Survey, destination: str) -> None:
    """Holds the baseline of the blessing against what would be the baseline now."""
    now = found.baseline
    if blessed.baseline_digest is None or blessed.baseline_digest == (now.model_digest if now else ""):
        return
    if now is None:
        changed = "the model that this one was compared with is gone or damaged"
    elif blessed.baseline_digest:
        changed = f"the latest model is version {now.number}, not the one that this one was compared with"
    else:
        changed = f"version {now.number} has come, while this model was compared with nothing"
    raise TransientError(
        f"{destination}: {changed}: evaluate again, by running the pipeline again (trying push alone again cannot help)"
    )


@contextlib.contextmanager
def _destination_errors(destination: str) -> Iterator[None]:
    """Names the serving directory in errors of the file system, whose own text often names no file."""
    try:
        yield
    except OSError as error:
        if error.errno in _NOT_WRITABLE:
            raise InputError(
                f"{destination}: the serving directory is not writable ({error.strerror}); "
                "change its permissions, or name another with serving_directory"
            ) from None
        if error.errno in _FULL:
            raise TransientError(f"{destination}: {error.strerror}: free some space, then run again") from None
        raise


@contextlib.contextmanager
def _locked(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    path = root / serving.LOCK
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(f"{path} is not a file, while pushes lock the serving directory by one; remove it")
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report("waiting for another push to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _remove_stale(root: Path) -> None:
    for entry in root.glob(f"{serving.STAGING_PREFIX}*"):
        report(f"removing {entry.name} of a push that died")
        remove(entry)


def _same_model(root: Path, digest: str) -> int:
    """The highest intact version that holds the model; 0 where there is none."""
    for number, folder in serving.numbered(root):
        with contextlib.suppress(serving.DamagedError):
            version = serving.read_version(number, folder)
            if version is not None and version.model_digest == digest:
                serving.verify(version)
                return number
    return 0


def _publish(
    model: InputArtifact, root: Path, files: dict[str, str], digest: str, reason: str, warm_up: Path | None
) -> int:
    number = serving.next_number(root)
    staging = root / f"{serving.STAGING_PREFIX}{number}-{os.getpid()}"
    try:
        source = serving.saved_model(model)
        staging.mkdir()
        for folder in sorted(entry for entry in source.rglob("*") if entry.is_dir()):
            (staging / folder.relative_to(source)).mkdir(exist_ok=True)
        serving.copy_files(source, staging, files)
        _write_manifest(staging / serving.MANIFEST, digest, files, reason)
        if warm_up:
            # Beside the manifest; it is no part of the model, which is the same without.
            serving.copy_files(warm_up.parent, (staging / serving.WARM_UP).parent, {warm_up.name: file_digest(warm_up)})
        serving.sync_folders(staging)
        try:
            staging.rename(root / str(number))
        except OSError as error:
            if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                raise TransientError(
                    f"{root / str(number)}: somebody else made this version meanwhile; run again"
                ) from None
            raise
        serving.sync_folder(root)
    except serving.DamagedError as error:
        raise TransientError(f"{root}: {error}; check the disk, then run again") from None
    finally:
        remove(staging)
    return number


def _write_manifest(path: Path, digest: str, files: dict[str, str], reason: str) -> None:
    document = {"blessing": reason, "files": files, "model_digest": digest, "producer": f"millrace/push {VERSION}"}
    path.parent.mkdir(exist_ok=True)
    with path.open("w") as stream:
        stream.write(json.dumps(document, indent=1, sort_keys=True) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
