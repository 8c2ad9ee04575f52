"""Artifacts on disk: where they lie, what identifies their content, how they appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from components.runtime.errors import InputError

SPLIT_PREFIX = "Split-"

EMPTY_NOTE = "millrace-empty.txt"
"""Alone in an artifact that a stage left empty, it says so: a bucket has no empty folders, and without it the
artifact's URI would lead nowhere. It is no content: such an artifact has the digest and the bytes of nothing."""

BOOKKEEPING = frozenset({"digest", "bytes", "producer"})
"""Metadata that the executor writes of every artifact."""
METRICS = "system.Metrics"
"""The type of artifacts whose metadata are metrics, each a number, and nothing else: KFP shows every entry as one."""

_MOUNTS = {"gs://": "/gcs/", "s3://": "/s3/", "minio://": "/minio/", "oci://": "/oci/"}
"""Where the KFP launcher mounts object storage inside a container."""


def local_path(uri: str) -> Path:
    """Returns the path at which an artifact's URI is readable inside this process."""
    for scheme, mount in _MOUNTS.items():
        if uri.startswith(scheme):
            return Path(mount + uri.removeprefix(scheme))
    return Path(uri.removeprefix("file://"))


@dataclass(frozen=True)
class InputArtifact:
    """An artifact that an earlier stage made. Read only."""

    name: str
    uri: str
    metadata: dict[str, Any]

    @property
    def path(self) -> Path:
        """The file or folder that holds the content."""
        return local_path(self.uri)

    @property
    def splits(self) -> list[str]:
        """Names of the splits in it, sorted; empty for an artifact without `Split-<name>` folders."""
        folders = self.path.glob(f"{SPLIT_PREFIX}*")
        return sorted(folder.name.removeprefix(SPLIT_PREFIX) for folder in folders if folder.is_dir())

    def split(self, name: str) -> Path:
        """The folder of one split.

        Raises:
          InputError: there is no such split.
        """
        folder = self.path / f"{SPLIT_PREFIX}{name}"
        if not folder.is_dir():
            known = ", ".join(self.splits) or "none"
            raise InputError(f"{self.name}: no split {name!r}, it has: {known}; name one of these in the settings")
        return folder

    def rows(self, *splits: str) -> int | None:
        """How many rows its metadata say that splits have, all of them where none is named; None where they do not."""
        written = [self.metadata.get(name) for name in ([f"rows_{split}" for split in splits] or ["rows"])]
        # (Numbers, which KFP may hand on as floats.)
        return None if None in written else sum(int(number) for number in written if number is not None)

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it: how an optional artifact, such as a missing baseline model, is told."""
        path = self.path
        return not path.exists() or (path.is_dir() and all(entry.name == EMPTY_NOTE for entry in path.iterdir()))


@dataclass
class OutputArtifact:
    """An artifact that this stage makes.

    A stage writes a file or a folder at `path` and facts about it into `metadata`; the content appears at its final
    place when the stage has ended well.

    Attributes:
      uri: empty where there is a place for metadata only, as a KFP server without ML Metadata may have it for metrics.
      type: as KFP calls it, such as `system.Model`; empty where nobody said.
    """

    name: str
    uri: str
    metadata: dict[str, Any] = field(default_factory=dict)
    type: str = ""

    @property
    def final_path(self) -> Path:
        """Where readers will find the content."""
        return local_path(self.uri)

    @property
    def path(self) -> Path:
        """Where the stage writes: beside the final place, so that a rename publishes it."""
        final = self.final_path
        return final.with_name(f".{final.name}.part")

    def directory(self) -> Path:
        """Makes `path` a folder and returns it."""
        self.path.mkdir(parents=True, exist_ok=True)
        return self.path

    def split(self, name: str) -> Path:
        """Makes the folder of a split and returns it."""
        folder = self.path / f"{SPLIT_PREFIX}{name}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def publish(self) -> None:
        """Moves the written content to its final place, replacing what an earlier attempt left there."""
        remove(self.final_path)
        os.replace(self.path, self.final_path)

    def discard(self) -> None:
        """Removes what has been written so far."""
        remove(self.path)


def remove(path: Path) -> None:
    """Removes a file or a folder; nothing happens when it is not there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def copy_folder(source: Path, target: Path) -> None:
    """Copies a folder without the rights and times of its files, which not every storage keeps."""
    target.mkdir(exist_ok=True)
    for each in sorted(source.rglob("*")):
        place = target / each.relative_to(source)
        if each.is_dir():
            place.mkdir()
        else:
            shutil.copyfile(each, place)


def write_whole(file: Path, text: str) -> None:
    """Writes a text as `written_whole` does."""
    with written_whole(file) as part:
        part.write_text(text, encoding="utf-8")


@contextlib.contextmanager
def written_whole(file: Path) -> Iterator[Path]:
    """A file of which readers see the old content or the new one, also after a power cut.

    Processes may write the same file at once: the last one's stays.

    Yields:
      where its content is to be written.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        yield part
        sync(part)
        os.replace(part, file)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename == str(part):
            # Nobody knows the part.
            error.filename = str(file)
        raise
    sync(file.parent, inside=False)


def sync(path: Path, *, inside: bool = True) -> None:
    """Returns when a file, or a folder with all that is in it, is on the disk, not in the machine's memory only.

    Args:
      path: a file or a folder.
      inside: False for a folder's own list of names, after something in it was renamed.
    """
    entries = [path, *path.rglob("*")] if inside and path.is_dir() else [path]
    for entry in entries:
        if entry.is_file() or entry.is_dir():
            descriptor = os.open(entry, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            except OSError as error:
                # Some file systems, such as those over object storage, have nothing of the kind.
                if error.errno not in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
                    raise
            finally:
                os.close(descriptor)


def file_digest(path: Path) -> str:
    """sha256 of a file's bytes, as hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_files(path: Path) -> list[Path]:
    """All files of an artifact, sorted by their path inside it; links count as what they lead to."""
    if path.is_file():
        return [path]
    files = sorted(files_below(path), key=lambda entry: entry.relative_to(path).parts) if path.is_dir() else []
    return [] if files == [path / EMPTY_NOTE] else files


def files_below(
    folder: Path, enters: Callable[[str], bool] = lambda name: True, around: frozenset[str] = frozenset()
) -> Iterator[Path]:
    """All files below a folder, also behind links; in no order.

    Args:
      folder: to begin with.
      enters: whether folders of a name are looked into.
      around: real paths of the folders around this one. A link back to one of them would have no end.
    """
    real = os.path.realpath(folder)
    if real in around:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file():
                yield folder / entry.name
            elif entry.is_dir() and enters(entry.name):
                yield from files_below(folder / entry.name, enters, around | {real})


def content_digest(path: Path, *, ignore: frozenset[str] = frozenset()) -> str:
    r"""Identifies an artifact's content, wherever it lies and whenever it was made.

    Args:
      path: a file or a folder.
      ignore: names, relative to `path` and with `/` between folders, that do not count.

    Returns:
      `sha256:<hex>`: of the bytes of a file; for a folder of the lines `<relative path>\0<sha256 of the file>\n` in
      the order of `content_files`.
    """
    if path.is_file():
        return f"sha256:{file_digest(path)}"
    return listing_digest({name: digest for name, digest in file_digests(path).items() if name not in ignore})


def file_digests(path: Path) -> dict[str, str]:
    """sha256 of every file of a folder, as hex, by its path inside the folder with `/` between folders."""
    return {entry.relative_to(path).as_posix(): file_digest(entry) for entry in content_files(path)}


def listing_digest(files: Mapping[str, str]) -> str:
    """`content_digest` of a folder that holds `files`: their sha256 by their paths inside it."""
    listing = hashlib.sha256()
    for name in sorted(files, key=lambda name: PurePosixPath(name).parts):
        listing.update(f"{name}\0{files[name]}\n".encode())
    return f"sha256:{listing.hexdigest()}"


def content_bytes(path: Path) -> int:
    """Bytes that an artifact's files hold."""
    return sum(entry.stat().st_size for entry in content_files(path))
