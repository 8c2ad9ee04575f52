"""What the parameters of a task stand for in its cache key: what names a file or a folder counts by its content.

| a parameter, or a text anywhere inside one | counts by |
| --- | --- |
| a Python file (`module_file`) | what it imports and reads, as its code tells: `module_code` |
| `eval_config_file` | content, and in the same way the modules beside it that it names |
| another file, or a folder | content: where it lies does not matter |
| gs:// or s3:// | names, sizes and modification times of what lies there |
| https:// with a version last, as hub handles have it | its text: what is published under a version stays |
| any other address | nothing that can be known: the task is never taken from the cache |
| `data` | names, sizes and modification times: raw data may be too much to read twice |
| `data`, `span`, `spans`, `scheduled`, of data in spans | the files that are read; which spans and versions are there |
| `beam_options`, `checkpoint_directory` in `custom_config` | its text: where something is computed, not what |
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.runtime import VERSION
from components.runtime.data.span_patterns import is_in_spans
from components.runtime.errors import StageError
from components.runtime.launch import module_code
from components.runtime.stage.artifacts import InputArtifact, content_digest, content_files

WORKING_DIRECTORY = Path(__file__).parents[3]
"""That of every stage, here and in the images: the folder that has `components` in it."""

_URI = re.compile(r"([a-z][a-z0-9+.-]*)://\S+")
_PATTERN = re.compile(r"[*?\[{]")
_FILE_ADDRESS = re.compile(r"file:(//)?(?=/)")
_VERSIONED = re.compile(r"https?://[^?#]*/[0-9]+/?")
_WHERE_NOT_WHAT = ("beam_options", "checkpoint_directory")
_LONGEST_PATH = 4096
_WHICH_SPANS = ("data", "span", "spans", "scheduled")
"""What chooses among spans: together they count by what they choose."""


class _UnknownContent(Exception):
    """What a text names may change without anybody seeing it here."""


def fingerprint(parameters: Mapping[str, Any]) -> dict[str, Any] | None:
    """What each parameter stands for; None where one of them may stand for something else at any time."""
    module = parameters.get("module_file")
    folders = [WORKING_DIRECTORY]
    if isinstance(module, str) and module and "://" not in module and "\0" not in module:
        # Beside what a link leads to: there the module is loaded.
        folders.append(Path(os.path.realpath(WORKING_DIRECTORY / module)).parent)
    try:
        if spans := _spans(parameters):
            others = {name: value for name, value in parameters.items() if name not in _WHICH_SPANS}
            return {name: _parameter(name, value, folders) for name, value in others.items()} | {"data": spans}
        return {name: _parameter(name, value, folders) for name, value in parameters.items()}
    except (_UnknownContent, StageError, OSError):
        # The stage will say what is wrong with it.
        return None


def attempt_key(
    inputs: Mapping[str, InputArtifact | None], parameters: Mapping[str, Any], libraries: Sequence[str]
) -> str:
    """Tells work apart that a later attempt may go on with: only where data, code and settings are the same.

    Args:
      inputs: of the stage, those that it has.
      parameters: of the stage.
      libraries: versions of what computes.
    """
    digests = {name: artifact.metadata.get("digest", artifact.uri) for name, artifact in inputs.items() if artifact}
    code = [VERSION, *libraries]
    said = {"code": code, "inputs": digests, "parameters": fingerprint(parameters) or parameters}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:32]


def named_paths(value: Any, folders: Sequence[Path] = (WORKING_DIRECTORY,)) -> Iterator[Path]:
    """The files and folders of this machine that a text, or one nested in lists and mappings, names.

    Args:
      value: of a parameter.
      folders: what a relative path may start from: the working directory, and that of the model's code.
    """
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for each in value:
            yield from named_paths(each, folders)
    elif isinstance(value, str) and value and len(value) <= _LONGEST_PATH and "\n" not in value and "\0" not in value:
        # A blank behind a name is read over by people, and by who takes texts apart.
        text = _FILE_ADDRESS.sub("", value.strip())
        for number, folder in enumerate(folders):
            path = folder / value if os.path.exists(folder / value) else folder / text
            # A bare word is a label or a column far more often than a folder that happens to lie in the checkout.
            # (os.path says no where pathlib raises: of a text that is too long for a name.)
            if (os.path.isfile(path) or (os.path.isdir(path) and ("/" in text or number))) and not _is_around(path):
                yield path


def names_what_may_change(arguments: Any) -> bool:
    """Whether arguments name something outside of the images whose content may change: a path or an address."""
    if isinstance(arguments, Mapping):
        return any(names_what_may_change(value) for name, value in arguments.items() if name not in _WHERE_NOT_WHAT)
    if isinstance(arguments, list | tuple):
        return any(map(names_what_may_change, arguments))
    if not isinstance(arguments, str) or _VERSIONED.fullmatch(arguments):
        return False
    return arguments.startswith("/") or _URI.fullmatch(arguments) is not None


def _is_around(path: Path) -> bool:
    """Whether everything lies in it, as in `/` and `.`: such a text names no input."""
    return path.resolve() in (WORKING_DIRECTORY, *WORKING_DIRECTORY.parents)


def _spans(parameters: Mapping[str, Any]) -> list[str]:
    """What is read of data in spans; empty where it is in none.

    Raises:
      InputError: nothing can be read.
    """
    data, patterns = parameters.get("data"), parameters.get("split_patterns") or {}
    span, count = parameters.get("span", ""), parameters.get("spans", 0)
    if "spans" not in parameters or not isinstance(data, str):
        return []
    if not data or not is_in_spans(data, patterns.values(), span, count):
        return []
    from components.runtime.data.span_choice import Asked, moment
    from components.runtime.data.spans import choose

    asked = Asked(span, count, moment(parameters.get("scheduled", "")))
    return [data, *choose(data, patterns, asked).stored()]


def _parameter(name: str, value: Any, folders: Sequence[Path]) -> Any:
    if name in _WHERE_NOT_WHAT:
        return value
    if not isinstance(value, str) or not value:
        return _nested(value, folders)
    if name == "data":
        # (What a pattern leads to, such as the newest span, ingest alone finds out.)
        if (uri := _URI.fullmatch(value)) and not _PATTERN.search(value):
            return _remote(value, uri[1])
        path = Path(value)
        if not path.exists():
            raise _UnknownContent(value)
        return [value, *_raw_data(path)]
    if name.endswith("_file"):
        file = _file(value)
        if file.is_file() and file.suffix == ".py":
            return [file.name, *_code(module_code.files_of(file, WORKING_DIRECTORY))]
        if file.is_file() and name == "eval_config_file":
            return [*_content(file), *_code(module_code.files_of_metrics(file, WORKING_DIRECTORY))]
        if file.is_file():
            return _content(file)
    return _nested(value, folders)


def _file(name: str) -> Path:
    if "://" not in name:
        return WORKING_DIRECTORY / name
    # Arrow is imported for those alone who keep files in object storage.
    from components.runtime.data.storage import local_file

    return local_file(name)


def _nested(value: Any, folders: Sequence[Path]) -> Any:
    if isinstance(value, Mapping):
        return {name: each if name in _WHERE_NOT_WHAT else _nested(each, folders) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_nested(each, folders) for each in value]
    if not isinstance(value, str):
        return value
    if paths := list(named_paths(value, folders)):
        return [entry for path in paths for entry in _content(path)]
    if uri := _URI.fullmatch(value):
        return _remote(value, uri[1])
    return value


def _content(path: Path) -> list[str]:
    """A file's name, which tells how it is read, and its digest; of a folder the digest alone."""
    return [path.name if path.is_file() else "", content_digest(path)]


def _remote(uri: str, scheme: str) -> Any:
    if _VERSIONED.fullmatch(uri):
        return uri
    if scheme not in ("gs", "gcs", "s3"):
        raise _UnknownContent(uri)
    from pyarrow import fs

    from components.runtime.data.storage import filesystem, reading, shown

    # (Where it is away, the stage waits for it, and says so.)
    storage, path = filesystem(uri, datetime.timedelta(seconds=2))
    with reading(shown(uri)):
        found = storage.get_file_info(path)
        if found.type == fs.FileType.NotFound:
            raise _UnknownContent(uri)
        entries = [found]
        if found.type == fs.FileType.Directory:
            entries = storage.get_file_info(fs.FileSelector(path, recursive=True))
    listing = sorted((entry.path.removeprefix(path), entry.size or 0, entry.mtime_ns or 0) for entry in entries)
    return [uri, *(" ".join(map(str, entry)) for entry in listing)]


def _code(files: Mapping[str, Path]) -> list[str]:
    return sorted(f"{name} {content_digest(file)}" for name, file in files.items())


def _raw_data(path: Path) -> list[str]:
    """Names, sizes and times of raw data. Follows links, as ingest does."""
    listing = []
    for file in content_files(path):
        name = path.name if file == path else file.relative_to(path).as_posix()
        status = file.stat()
        listing.append(f"{name} {status.st_size} {status.st_mtime_ns}")
    return listing
