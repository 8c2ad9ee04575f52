"""Finds the raw files: on disk or in object storage, by split pattern, by format."""

from __future__ import annotations

import functools
import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from pyarrow import fs

from components.ingest.splits import check_name
from components.runtime.data import span_patterns, tfrecord
from components.runtime.data.span_words import SPANS, told
from components.runtime.data.storage import filesystem as filesystem_of
from components.runtime.data.storage import listing, reading, shown
from components.runtime.errors import InputError, StageError

CSV = "csv"
TFRECORD = "tfrecord"
IMAGES = "images"
PARQUET = "parquet"
AVRO = "avro"
FORMATS = ("auto", CSV, TFRECORD, PARQUET, AVRO, IMAGES)

_IS_SPAN = span_patterns.regex(span_patterns.IMPLIED).fullmatch
_MAGIC = {b"PAR1": PARQUET, b"Obj\x01": AVRO}
_IMAGE = re.compile(
    r".*\.(jpe?g|jpe|jfif|png|gif|bmp|dib|tiff?|webp|hei[cf]|avif|jp2|psd|svg|ico|tga|ppm)", re.IGNORECASE
)


@dataclass
class SourceFile:
    """One raw file.

    Attributes:
      filesystem: holds it.
      path: in the filesystem.
      name: as the user would write it, for messages.
      label: relative to the data's folder.
      split: that it belongs to; None where the records decide.
      digest: sha256 of its bytes, once they have been read whole.
      size: bytes read, once they have been read whole.
      listed_bytes: its size in a listing; None where none was made.
    """

    filesystem: fs.FileSystem
    path: str
    name: str
    label: str
    split: str | None = None
    digest: str = ""
    size: int = 0
    listed_bytes: int | None = None
    _stream: Stream | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the filesystem, which would take the keys of object storage along to another process."""
        return self.__dict__ | {"filesystem": None, "_stream": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state
        scheme, found, rest = self.name.partition("://")
        self.filesystem = _filesystem(f"{scheme}://{rest.partition('/')[0]}" if found else "")

    @property
    def stored_bytes(self) -> int:
        """Its size where it lies; 0 where that is not known."""
        if self.listed_bytes is not None:
            return self.listed_bytes
        with reading(self.name):
            return self.filesystem.get_file_info(self.path).size or 0

    @property
    def passed_bytes(self) -> int:
        """How many have been read since it was last opened."""
        return self._stream.size if self._stream else 0

    @contextmanager
    def open(self) -> Iterator[Stream]:
        """Opens the file for reading from its beginning to its end."""
        with reading(self.name), self.filesystem.open_input_stream(self.path, compression=None) as raw:
            stream = self._stream = Stream(raw)
            yield stream
            if stream.ended:
                self.digest, self.size = stream.sha256.hexdigest(), stream.size


@functools.cache
def _filesystem(place: str) -> fs.FileSystem:
    """Of a bucket, by what this process knows of it, or of this machine."""
    return filesystem_of(place)[0]


@dataclass
class Stream:
    """The bytes of a file, hashed as they pass."""

    raw: Any
    size: int = 0
    ended: bool = False
    sha256: Any = field(default_factory=hashlib.sha256)

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, at most `size` of them unless that is negative; empty at the end."""
        data: bytes = self.raw.read(size if size >= 0 else None)
        self.sha256.update(data)
        self.size += len(data)
        self.ended = self.ended or (not data and size != 0)
        return data


@dataclass
class Sources:
    """The files of one ingestion, sorted by their path.

    Attributes:
      files: sorted.
      folder: that holds them, as the user would write it; empty where the data is a single file.
    """

    files: list[SourceFile]
    folder: str = ""


class NoFiles(InputError):
    """A folder holds no files, though its subfolders may."""


def find(data: str, patterns: Mapping[str, Any], *, whole_tree: bool = False) -> Sources:
    """Finds the files that `data` and `split_patterns` name.

    Args:
      data: path or URI of a file or a folder.
      patterns: file pattern by split, relative to `data`: `*` and `?` within a folder's or file's name, `**` across
        folders.
      whole_tree: find the files of all subfolders too, and those whose names begin with '_'.

    Raises:
      InputError: nothing is there, a pattern matches nothing, or one file matches two patterns.
    """
    check_patterns(patterns)
    if not data:
        raise InputError("data is empty: give a folder or file with raw data")
    filesystem, root = filesystem_of(data)
    data = shown(data)
    # Cameras give names that begin with '_'.
    recursive, hidden = whole_tree or bool(patterns), "." if whole_tree else "._"
    with reading(data):
        info = filesystem.get_file_info(root)
        if info.type == fs.FileType.NotFound:
            _check_bucket(filesystem, root, data)
            raise InputError(f"{data}: no such folder or file: put the raw data there, or set data to where it is")
        if info.type == fs.FileType.Directory:
            selector = fs.FileSelector(root, recursive=recursive)
            entries = sorted(filesystem.get_file_info(selector), key=lambda entry: entry.path)
            _check_links(filesystem, root, data, recursive=recursive)
    if info.type != fs.FileType.Directory:
        if patterns:
            raise InputError(f"{data}: split_patterns need a folder, and this is a file")
        file = SourceFile(filesystem, root, data, PurePosixPath(root).name, listed_bytes=info.size)
        return Sources([file])

    files = []
    for entry in entries:
        label = entry.path[len(root) :].lstrip("/")
        if _is_file(entry) and not any(part[0] in hidden for part in label.split("/")):
            if entry.type == fs.FileType.Unknown:
                raise InputError(f"{data.rstrip('/')}/{label}: not a regular file: move it away")
            name = f"{data.rstrip('/')}/{label}"
            files.append(SourceFile(filesystem, entry.path, name, label, listed_bytes=entry.size))
    if patterns:
        files = by_pattern(files, data, patterns)
    if not files:
        folders = _folders(filesystem, root)
        hint = f"; it has the folders {', '.join(folders[:5])}: name files in them in split_patterns" if folders else ""
        hint = _of_spans(folders) or hint
        if not entries and not folders:
            raise NoFiles(f"{data}: this folder is empty: put the data's files there")
        names = " or ".join(f"'{each}'" for each in hidden)
        passed = f" but those whose names begin with {names}" if any(map(_is_file, entries)) else ""
        raise NoFiles(f"{data}: no files in this folder{passed}{hint}")
    return Sources(files, data.rstrip("/"))


def _is_file(entry: fs.FileInfo) -> bool:
    return bool(entry.type != fs.FileType.Directory)


def _folders(filesystem: fs.FileSystem, root: str) -> list[str]:
    """The names of the folders in one, for a hint: who cannot list them has been told what is wrong already."""
    with suppress(StageError, OSError):
        inside = listing(filesystem, root)
        return sorted(entry.base_name for entry in inside if entry.type == fs.FileType.Directory)
    return []


def _check_bucket(filesystem: fs.FileSystem, root: str, data: str) -> None:
    """Refuses a bucket that is not there, where the storage says so to whoever reads files in it."""
    if isinstance(filesystem, fs.LocalFileSystem):
        return
    bucket = root.partition("/")[0]
    with suppress(OSError):
        if filesystem.get_file_info(bucket).type == fs.FileType.NotFound:
            raise InputError(f"{data}: there is no bucket {bucket}: make it, or set data to where the raw data is")


def _of_spans(folders: Iterable[str]) -> str:
    """How spans are asked for, where some of the folders are such; else empty."""
    numbers = {int(found[span_patterns.SPAN]) for found in map(_IS_SPAN, folders) if found}
    if not numbers:
        return ""
    return (
        f"; it has {told({SPANS: sorted(numbers)})}: ask for the newest by --span latest, or for several by --spans 2 "
        "(ingest.span and ingest.spans in settings.yaml say the same)"
    )


def check_patterns(patterns: Mapping[str, Any]) -> None:
    """Holds the parameter `split_patterns` against what `find` reads.

    Raises:
      InputError: a split's name or its pattern cannot be used.
    """
    for name, pattern in patterns.items():
        check_name("split_patterns", name)
        if not isinstance(pattern, str) or not pattern or pattern.startswith("/") or ".." in pattern.split("/"):
            raise InputError(
                f"split_patterns has {pattern!r} for {name!r}: give a file pattern relative to data, such as train/*"
            )


def format_of(files: list[SourceFile], format: str, *, place: str) -> str:
    """The one format of all files: as asked for, or by their names and first bytes.

    Args:
      files: at least one.
      format: that is asked for.
      place: what holds them, for messages.

    Raises:
      InputError: an unknown format, a file of another kind, or files of both formats.
    """
    if format not in FORMATS:
        raise InputError(f"format is {format!r}: choose one of {', '.join(FORMATS)}")
    if format != "auto":
        return format
    formats: dict[str, SourceFile] = {}
    for file in files:
        found = _format(file)
        if found is None:
            raise InputError(
                f"{file.name}: neither a CSV (*.csv, *.csv.gz), Parquet, Avro nor TFRecord file: move it away, "
                "begin its name with '_', or set format"
            )
        formats.setdefault(found, file)
    if len(formats) > 1:
        names = " and ".join(f"{file.name} ({format})" for format, file in sorted(formats.items()))
        raise InputError(f"files of two formats: {names}: keep one format in {place}")
    return next(iter(formats))


def is_image_name(name: str) -> bool:
    """Whether a file is meant as an image, whether it can be read or not."""
    return _IMAGE.fullmatch(name) is not None


def _check_links(filesystem: fs.FileSystem, root: str, data: str, *, recursive: bool) -> None:
    """Looks for links to nothing, which Arrow's listing leaves out in silence."""
    if isinstance(filesystem, fs.LocalFileSystem):
        for link in sorted(Path(root).glob("**/*" if recursive else "*")):
            if link.name[0] not in "._" and link.is_symlink() and not link.exists():
                raise InputError(
                    f"{data.rstrip('/')}/{link.relative_to(root)}: a link to a file that is not there: mend it"
                )


def by_pattern(files: list[SourceFile], data: str, patterns: Mapping[str, str]) -> list[SourceFile]:
    """The files that patterns name, with their splits.

    Args:
      files: those that may be named.
      data: their folder, for messages.
      patterns: see `find`.

    Raises:
      InputError: a pattern matches nothing, or one file matches two patterns.
    """
    result: dict[str, SourceFile] = {}
    for split, pattern in sorted(patterns.items()):
        regex = span_patterns.regex(pattern.removeprefix("./"))
        chosen = [file for file in files if regex.fullmatch(file.label)]
        if not chosen:
            # (Who named a span, or had its number filled in, has asked for it.)
            is_asked = _IS_SPAN(pattern.removeprefix("./").partition("/")[0])
            hint = "" if is_asked else _of_spans(file.label.partition("/")[0] for file in files)
            raise InputError(f"{data}: no file matches {pattern!r}, the pattern of the split {split!r}{hint}")
        for file in chosen:
            if file.label in result:
                other = result[file.label].split
                raise InputError(f"{file.name}: matches the patterns of two splits, {other!r} and {split!r}")
            result[file.label] = replace(file, split=split)
    return [result[label] for label in sorted(result)]


def _format(file: SourceFile) -> str | None:
    lower = PurePosixPath(file.label).name.lower()
    if lower.endswith((".csv", ".csv.gz")):
        return CSV
    if "tfrecord" in lower:
        return TFRECORD
    if is_image_name(lower):
        return IMAGES
    if lower.endswith((".parquet", ".avro")):
        return lower.rpartition(".")[2]
    with file.open() as stream:
        beginning = stream.read(4)
    if beginning in _MAGIC:
        return _MAGIC[beginning]
    with file.open() as stream:
        return TFRECORD if tfrecord.is_tfrecord(stream) else None
