"""Changes a serving directory: under a lock, and so that readers see each version whole or not at all.

In a folder a version is copied beside, under a name that TensorFlow Serving ignores, verified, and appears by one
rename; what is removed goes the same way back. Who dies at it leaves at most such a folder; the next one removes it,
which is safe under the lock. In a bucket there are neither locks nor renames: `bucket_publishing`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, TransientError
from components.runtime.publish import bucket_publishing, labels, mirror, serving
from components.runtime.stage.artifacts import file_digest, file_digests, remove
from components.runtime.stage.progress import report

_NOT_WRITABLE = frozenset({errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG})
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


@contextlib.contextmanager
def changing(destination: str, root: Path, waiting: Callable[[str], None] = report) -> Iterator[None]:
    """Holds the lock of a serving directory, and names it in errors of the file system, which often name no file.

    Args:
      destination: what people call it.
      root: where it lies; made where it does not exist.
      waiting: is told where somebody else holds the lock.

    Raises:
      InputError: it cannot be written.
      TransientError: the disk is full; or, of a bucket, somebody else changes the same, or it does not answer.
    """
    if found := mirror.of(root):
        # Without locks: who is overtaken is told so when it writes.
        found.refresh()
        bucket_publishing.clean(found, serving.next_number(root))
        yield
        return
    try:
        with _locked(root, waiting):
            for entry in root.glob(f"{serving.STAGING_PREFIX}*"):
                report(f"removing {entry.name} of a push that died")
                remove(entry)
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
def _locked(root: Path, waiting: Callable[[str], None]) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    path = root / serving.LOCK
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(f"{path} is not a file, while pushes lock the serving directory by one; remove it")
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting("waiting for another push to end")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def publish(
    root: Path,
    source: Path,
    files: Mapping[str, str],
    about: Mapping[str, Any],
    besides: Mapping[str, Path] | None = None,
) -> int:
    """Makes a SavedModel the next version, and returns its number; whoever calls holds the directory's lock.

    Args:
      root: the serving directory.
      source: folder of the SavedModel.
      files: its files with their sha256, which are the model's content.
      about: what else its manifest says.
      besides: files that are none of the model's content, by their places in the version.

    Raises:
      InputError: there is no higher number.
      TransientError: the copy differs, or somebody else took the number.
    """
    number = serving.next_number(root)
    model = {"files": dict(files), "model_digest": serving.model_digest(files)}
    if found := mirror.of(root):
        others = dict(besides or {})
        beside = {place: file_digest(file) for place, file in others.items()}
        manifest = _manifest({**about, **model, "besides": beside})
        bucket_publishing.publish(found, number, source, files, others, beside, manifest)
        return number
    staging = root / f"{serving.STAGING_PREFIX}{number}-{os.getpid()}"
    try:
        staging.mkdir()
        for folder in sorted(entry for entry in source.rglob("*") if entry.is_dir()):
            (staging / folder.relative_to(source)).mkdir(exist_ok=True)
        serving.copy_files(source, staging, files)
        beside = _copy_besides(staging, besides or {})
        _write_manifest(staging / serving.MANIFEST, {**about, **model, "besides": beside})
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


def _copy_besides(staging: Path, besides: Mapping[str, Path]) -> dict[str, str]:
    """Copies what goes beside the model, and returns the sha256 of each file."""
    digests = {place: file_digest(file) for place, file in besides.items()}
    for place, file in besides.items():
        serving.copy_file(file, staging / place, digests[place])
    return digests


def _write_manifest(path: Path, document: Mapping[str, Any]) -> None:
    path.parent.mkdir(exist_ok=True)
    with path.open("wb") as stream:
        stream.write(_manifest(document))
        stream.flush()
        os.fsync(stream.fileno())


def _manifest(document: Mapping[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True) + "\n").encode()


def put_back(root: Path, version: serving.Version, replaced: int, producer: str, **told: str) -> int:
    """Makes the model of an earlier version the next one, with all that lies in that version's folder.

    Args:
      root: the serving directory.
      version: the earlier one, intact.
      replaced: number of the one that was in service.
      producer: who does it, in the manifest.
      told: `by`, `why` and `run`, as the manifest has them under `serving.ROLLED_BACK`.

    Returns:
      The number; whoever calls holds the directory's lock.
    """
    said = {"version": serving.next_number(root), "same_as": version.number, "replaced": replaced, **told}
    about = {"producer": producer, serving.ROLLED_BACK: said}
    # A file that somebody put there, such as requests to warm up with, is none of the model's content.
    others = {
        name: version.folder / name
        for name in file_digests(mirror.fetched(version.folder))
        if name not in version.files and name != serving.MANIFEST
    }
    return publish(root, version.folder, version.files, {**version.about, **about}, besides=others)


def superfluous(root: Path, keep: int) -> list[int]:
    """The versions that need not be kept: older than the last intact ones, and nobody's else.

    Never among them are the one in service, those with a label, the model that the next run is compared with, whatever
    that makes, and what Millrace did not push.

    Args:
      root: the serving directory.
      keep: how many intact versions stay, one or more.

    Raises:
      ValueError: the labels cannot be read, so that nobody knows which versions have one.
    """
    labelled = set(labels.read(root).values())
    kept: set[int] = set()
    models: set[str] = set()
    removable = []
    folders = serving.numbered(root)
    for number, folder in folders:
        try:
            version = serving.read_version(number, folder)
            if version is None:
                continue
            # A run that makes the newest model again is compared with the newest of another one.
            if len(kept) < keep or len(models) < 2:
                serving.verify(version)
                if len(kept) < keep or version.model_digest not in models:
                    kept.add(number)
                models.add(version.model_digest)
        except serving.DamagedError:
            continue
        if number not in kept | labelled | {folders[0][0]}:
            removable.append(number)
    return removable


def remove_versions(root: Path, numbers: Iterable[int]) -> None:
    """Removes versions, each by one rename before its files go; whoever calls holds the directory's lock."""
    folders = dict(serving.numbered(root))
    found = mirror.of(root)
    for number in numbers:
        if found:
            bucket_publishing.remove(found, number)
            continue
        aside = root / f"{serving.STAGING_PREFIX}removed-{number}-{os.getpid()}"
        folders[number].rename(aside)
        serving.sync_folder(root)
        remove(aside)
