"""Keeps what `run` compiles: the import of kfp alone takes as long as a whole run out of the cache.

A text is kept under a digest of all that it is made of: the settings, the code and the component specs that compile
them, the versions of the libraries, and the variables that kfp reads.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

from components.runtime.artifacts import write_whole
from runners.compile_command import compile_pipeline
from runners.settings import PROJECT, Settings

FOLDER = PROJECT / ".millrace_cache" / "compiled"

_LIBRARIES = ("kfp", "kfp-kubernetes", "kfp-pipeline-spec", "protobuf", "PyYAML")
_MOST = 50
_MARK = "# sha256 of what follows: "


def compiled(settings: Settings) -> str:
    """The pipeline for a run on this machine, as `compile_pipeline` gives it without images.

    Raises:
      InputError: a secret's value has got into it.
    """
    key = _key(settings)
    file = FOLDER / f"{key}.yaml"
    if kept := _read(file):
        return kept
    text = compile_pipeline(settings)
    if _key(settings) != key:
        # Somebody edited the code meanwhile, before or after it was read.
        return text
    # The checkout may be read-only, or its disk full.
    with contextlib.suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_whole(file, f"{_MARK}{_digest(text)}\n{text}")
        for old in sorted(FOLDER.glob("*.yaml"), key=lambda kept: kept.stat().st_mtime, reverse=True)[_MOST:]:
            old.unlink()
    return text


def _read(file: Path) -> str:
    """What a file keeps; empty where there is none, or not as it was written."""
    try:
        first, _, text = file.read_text().partition("\n")
    except (OSError, UnicodeDecodeError):
        return ""
    return text if first == f"{_MARK}{_digest(text)}" else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _key(settings: Settings) -> str:
    digest = hashlib.sha256()
    for part in (
        sys.version,
        *(f"{name} {version(name)}" for name in _LIBRARIES),
        str(PROJECT),
        *(f"{name}={value}" for name, value in sorted(os.environ.items()) if "KFP" in name),
        # A value that is set counts as given even where it is the default.
        settings.model_dump_json(),
        settings.model_dump_json(exclude_unset=True),
    ):
        digest.update(part.encode() + b"\0")
    for file in _sources():
        digest.update(f"{file.relative_to(PROJECT)} {hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield PROJECT / "pipeline.py"
    for folder, pattern in (
        ("runners", "**/*.py"),
        ("components/runtime", "**/*.py"),
        ("components", "*/component.yaml"),
    ):
        yield from sorted((PROJECT / folder).glob(pattern))
