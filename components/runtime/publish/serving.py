"""The serving directory: `<destination>/<version>/` as TensorFlow Serving reads it, plus a manifest that makes it ours.

Push and those who roll back write it (`publishing`), resolve and servers read it; none knows more about it than what
stands here. What is in service is the
version with the highest number, because that is the one that TensorFlow Serving takes, whoever put it there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.runtime.data.bucket import is_bucket
from components.runtime.errors import InputError, TransientError
from components.runtime.publish import mirror
from components.runtime.stage import progress
from components.runtime.stage.artifacts import (
    InputArtifact,
    content_files,
    file_digest,
    file_digests,
    listing_digest,
    local_path,
)
from components.runtime.text.json_text import parse

MODEL_FOLDER = "Format-Serving"
"""Folder of a model artifact that holds its SavedModel, as TFX names it."""

MANIFEST = mirror.MANIFEST

WARM_UP = "assets.extra/tf_serving_warmup_requests"
"""Inside a version: requests that a server answers before it serves the version, a TFRecord file of PredictionLogs."""

CARD = "assets.extra/model_card"
"""Inside a version: a folder with what the two names below say, where the model's settings ask for a card."""
CARD_MARKDOWN, CARD_HTML = "model_card.md", "model_card.html"

EXPORTS = "assets.extra/exports"
"""Inside a version: a folder for each export of the model that went along with it, by its name."""

LABELS = "labels.json"
"""In the serving directory: which version has which label."""

ROLLED_BACK = "rolled_back"
"""In the manifest of a version that has the model of an earlier one: `version` (its own number), `same_as`, `replaced`
(what was in service before), `by`, `why` and `run`."""

LARGEST_VERSION = 2**63 - 1
"""TensorFlow Serving's versions are 64-bit integers; it leaves folders with higher numbers alone."""

STAGING_PREFIX = ".staging-"
LOCK = ".millrace.lock"

_CHUNK_BYTES = 1 << 20


class DamagedError(Exception):
    """A version does not hold what its manifest says."""


@dataclass(frozen=True)
class Version:
    """A version that Millrace pushed, as its manifest tells.

    Attributes:
      about: what else the manifest says.
    """

    number: int
    folder: Path
    model_digest: str
    files: dict[str, str]
    about: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Survey:
    """A serving directory as one candidate finds it.

    Attributes:
      in_service: number of the version in service, the highest there is; 0 where there is none.
      holds_candidate: whether that version is intact and holds the candidate.
      baseline: what the candidate is to be compared with: the highest intact version that Millrace pushed and that
        holds another model.
      left_out: why each version above the baseline is not the baseline, in one line each.
    """

    in_service: int
    holds_candidate: bool
    baseline: Version | None
    left_out: list[str]

    @property
    def told(self) -> str:
        """The baseline, or why there is none, in one line."""
        this_one = "the model in service is this one" if self.holds_candidate else ""
        if self.baseline is not None:
            above = this_one or (self.left_out[0] if self.left_out else "")
            return f"version {self.baseline.number}" + (f"; {above}" if above else "")
        return "none: " + (this_one or (self.left_out[0] if self.left_out else "nothing was pushed before"))


def survey(root: Path, candidate: str = "") -> Survey:
    """Looks at a serving directory; resolve and push both do, so that they cannot disagree on what the baseline is.

    Args:
      root: the serving directory.
      candidate: `model_digest` of the candidate, which is never its own baseline; empty where there is none yet.
    """
    folders = numbered(root)
    in_service = folders[0][0] if folders else 0
    holds_candidate, left_out = False, []
    for number, folder in folders:
        try:
            version = read_version(number, folder)
            if version is None:
                left_out.append(f"version {number} was not pushed by Millrace, left out")
                continue
            verify(version)
        except DamagedError as error:
            left_out.append(f"version {number} is damaged, left out: {error}")
            continue
        if version.model_digest != candidate:
            return Survey(in_service, holds_candidate, version, left_out)
        holds_candidate = holds_candidate or number == in_service
        left_out.append(f"version {number} is the candidate itself, left out")
    return Survey(in_service, holds_candidate, None, left_out)


def how_pushed(metadata: Mapping[str, Any]) -> str:
    """What is worth saying behind a version that was pushed, in brackets; nothing for one with a new model.

    Args:
      metadata: of `pushed_model`; other targets write its numbers as floats.
    """
    if metadata.get("created") is False:
        return " (in service already)"
    try:
        same_as = int(float(metadata.get("same_as") or 0))
    except (TypeError, ValueError, OverflowError):
        same_as = 0
    return f" (the model of version {same_as} again)" if same_as else ""


def of_candidate(destination: str, candidate: str) -> str:
    """The serving directory of one of several models that are each published; that of all where none is named."""
    return f"{destination.rstrip('/')}/{candidate}" if candidate and destination.strip() else destination


def serving_root(destination: str, *, told: bool = True) -> Path:
    """The serving directory; it need not exist. One in a bucket is looked at, and is a folder of this process then.

    Args:
      destination: a path, or a URI in gs:// or s3://.
      told: whether what is fetched of a bucket is counted in the log of a stage.

    Raises:
      InputError: it is no directory, or none is named, or the bucket refuses.
      TransientError: the bucket does not answer.
    """
    if not destination.strip():
        raise InputError("destination is empty: name the serving directory, serving_directory in the settings")
    if is_bucket(destination):
        return mirror.opened(destination, told=told)
    root = local_path(destination)
    for folder in (root, *root.parents):
        if folder.is_dir():
            break
        if folder.exists() or folder.is_symlink():
            raise InputError(f"{destination}: {folder} is not a directory; name another serving directory")
    return root


def numbered(root: Path) -> list[tuple[int, Path]]:
    """The folders that TensorFlow Serving takes for versions, whoever put them there, highest first."""
    folders = [(number, entry) for number, entry in _entries(root) if entry.is_dir()]
    return sorted(folders, key=lambda pair: (-pair[0], pair[1].name))


def next_number(root: Path) -> int:
    """The number of the next version: above every number that is taken, be it by a file or by a link to nothing.

    Raises:
      InputError: there is no higher number.
    """
    highest = max((number for number, _ in _entries(root)), default=0)
    if highest >= LARGEST_VERSION:
        raise InputError(f"{root / str(highest)}: there is no version above it; remove it, or move it elsewhere")
    return highest + 1


def _entries(root: Path) -> list[tuple[int, Path]]:
    """What lies in a serving directory under the number of a version, whatever it is."""
    if not root.is_dir():
        return []
    named = [entry for entry in root.iterdir() if entry.name.isdecimal() and entry.name.isascii()]
    return [(int(entry.name), entry) for entry in named if int(entry.name) <= LARGEST_VERSION]


def read_version(number: int, folder: Path) -> Version | None:
    """Reads the manifest of a version; None where there is none, so that somebody else put the version there.

    Raises:
      DamagedError: the manifest cannot be read, or does not say what one says.
    """
    try:
        manifest = parse((folder / MANIFEST).read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise DamagedError(f"its manifest cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise DamagedError(f"its manifest cannot be read: it is no JSON: {error}") from None
    if wrong := _wrong(manifest):
        raise DamagedError(f"its manifest cannot be read: {wrong}")
    about = {name: said for name, said in manifest.items() if name not in ("files", "model_digest")}
    return Version(number, folder, manifest["model_digest"], manifest["files"], about)


def _wrong(manifest: Any) -> str:
    """What a manifest does not say as one does that push wrote; empty where nothing is wrong."""
    if not isinstance(manifest, dict):
        return "it is no mapping"
    files, metrics = manifest.get("files"), manifest.get("metrics", {})
    if not isinstance(files, dict) or not files:
        return "it lists no files"
    if not all(isinstance(digest, str) for digest in files.values()):
        return "files has more than digests"
    if not isinstance(manifest.get("model_digest"), str):
        return "it has no model_digest"
    if not isinstance(manifest.get("blessing", ""), str):
        return "blessing is no text"
    if not isinstance(metrics, dict) or not all(type(value) in (int, float) for value in metrics.values()):
        return "metrics is no mapping of numbers"
    return ""


def verify(version: Version) -> None:
    """Compares every file with its digest in the manifest.

    Raises:
      DamagedError: a file is missing or has other bytes, or the manifest contradicts itself.
    """
    if model_digest(version.files) != version.model_digest:
        raise DamagedError("its manifest contradicts itself")
    mirror.fetched(version.folder, version.files)
    for name, digest in version.files.items():
        try:
            found = file_digest(version.folder / name)
        except OSError as error:
            raise DamagedError(f"{name}: {error.strerror}") from None
        if found != digest:
            raise DamagedError(f"{name} has other bytes than were pushed")


def besides(version: Version, under: str = "") -> dict[str, str]:
    """Digests of the files beside the model that were pushed with it, by place; `under`: of one folder alone."""
    listed = version.about.get("besides")
    found = listed.items() if isinstance(listed, Mapping) else ()
    return {str(place): str(digest) for place, digest in found if str(place).startswith(under)}


def verify_besides(version: Version, under: str = "") -> None:
    """Compares the files beside the model with their digests in the manifest.

    Raises:
      DamagedError: one is missing or has other bytes.
    """
    pushed = besides(version, under)
    mirror.fetched(version.folder, pushed)
    for place, digest in pushed.items():
        file = version.folder / place
        if not (file.is_file() and file_digest(file) == digest):
            raise DamagedError(f"{place} is missing, or has other bytes than were pushed")


def model_digest(files: Mapping[str, str]) -> str:
    """Digest of the model artifact whose SavedModel consists of `files`, paths relative to the SavedModel."""
    return listing_digest({f"{MODEL_FOLDER}/{name}": digest for name, digest in files.items()})


def saved_model_files(model: InputArtifact) -> dict[str, str]:
    """sha256 of the files of a model's SavedModel, by their path inside it.

    Raises:
      InputError: the artifact holds no SavedModel, or its content is not what its metadata says.
    """
    folder = saved_model(model)
    everything = file_digests(model.path)
    recorded = model.metadata.get("digest")
    if recorded and recorded != listing_digest(everything):
        raise InputError(f"{model.name}: {model.path} has changed since it was made; train the model again")
    prefix = f"{folder.name}/"
    # A manifest of ours inside the artifact would be taken for content here and for the manifest once pushed.
    names = [name.removeprefix(prefix) for name in everything if name.startswith(prefix)]
    return {name: everything[prefix + name] for name in names if name != MANIFEST}


def saved_model(model: InputArtifact) -> Path:
    """The folder with the model's SavedModel.

    Raises:
      InputError: there is none.
    """
    folder = model.path / MODEL_FOLDER
    if not (folder / "saved_model.pb").is_file():
        raise InputError(
            f"{model.name}: no SavedModel in {folder}; run_fn has to save the model to fn_args.serving_model_dir"
        )
    return folder


def copy_model(version: Version, target: Path, destination: str) -> None:
    """Copies the model of a version, whole or not at all.

    Args:
      version: intact when it was looked at.
      target: the folder that gets its SavedModel.
      destination: what people call the serving directory.

    Raises:
      TransientError: somebody removed or changed the version meanwhile.
    """
    try:
        copy_files(version.folder, target, version.files)
    except (DamagedError, FileNotFoundError) as error:
        raise TransientError(
            f"{destination}: version {version.number} changed while it was copied ({error}); run again"
        ) from None


def copy_files(source: Path, target: Path, files: Mapping[str, str]) -> None:
    """Copies the files named, forces them to the disk, and compares what then lies there with their sha256.

    Raises:
      DamagedError: the copy differs.
    """
    size = sum((source / name).stat().st_size for name in files)
    with progress.counting(size, "bytes", f"copying {len(files)} files"):
        for name, digest in files.items():
            copy_file(source / name, target / name, digest)


def copy_file(source: Path, target: Path, digest: str) -> None:
    """Copies one file to where none is, forces it to the disk, and compares what then lies there with its sha256.

    Raises:
      DamagedError: the copy differs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reader, target.open("xb") as writer:
        while chunk := reader.read(_CHUNK_BYTES):
            writer.write(chunk)
            progress.advance(len(chunk))
        writer.flush()
        os.fsync(writer.fileno())
    if file_digest(target) != digest:
        raise DamagedError(f"{target.name} has other bytes after copying")


def sync_folders(root: Path) -> None:
    """Forces the entries of a folder and of all folders below it to the disk."""
    for folder in {root, *(entry.parent for entry in content_files(root))}:
        sync_folder(folder)


def sync_folder(folder: Path) -> None:
    """Forces the entries of one folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
