"""Copies a model's files to Cloud Storage, where Vertex AI takes them from: each once, and verified."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import google_crc32c
from google.api_core.exceptions import PreconditionFailed

from components.push_vertex.cloud import Cloud
from components.runtime.errors import InputError, TransientError
from components.runtime.stage.progress import count

_LAST = "saved_model.pb"
"""Comes last: a folder with it is whole."""
_CHUNK_BYTES = 1 << 20


def copy(cloud: Cloud, source: Path, names: Iterable[str], uri: str) -> int:
    """Copies files that are not there yet.

    Args:
      cloud: the clients.
      source: the folder that they lie in.
      names: their paths in it.
      uri: folder for them, `gs://bucket/folder`, of this model only.

    Returns:
      How many were copied.

    Raises:
      InputError: the folder holds something else, or access to it is refused.
      TransientError: a fault on the way, or what arrived is not what was sent.
    """
    bucket_name, _, prefix = uri.removeprefix("gs://").partition("/")
    bucket = cloud.storage.bucket(bucket_name)
    ordered = sorted(names, key=lambda name: (name == _LAST, name))
    with cloud.doing(f"looking into {uri}"):
        found = list(cloud.storage.list_blobs(bucket, prefix=f"{prefix}/", **cloud.storing))
    there = {blob.name.removeprefix(f"{prefix}/"): blob for blob in found}
    # (A folder that a person made in the console is an empty object whose name ends in a slash.)
    if foreign := sorted(name for name in there.keys() - set(ordered) if name and not name.endswith("/")):
        raise InputError(f"{uri}: holds files that are not of this model ({', '.join(foreign[:3])}); remove them")
    copied = done = 0
    total = sum((source / name).stat().st_size for name in ordered)
    for name in ordered:
        known = there.get(name)
        file = source / name
        expected = size, _ = (file.stat().st_size, checksum(file))
        done += size
        if known is not None and _content(known) == expected:
            continue
        count(done - size, total, "bytes", f"copying {name} to Cloud Storage", force=True)
        with cloud.doing(f"copying {name} to {uri}"):
            _upload(cloud, bucket.blob(f"{prefix}/{name}"), file, known.generation if known else 0, expected)
        copied += 1
    return copied


def checksum(file: Path) -> str:
    """crc32c of a file as Cloud Storage writes it: big-endian, in base64."""
    state = google_crc32c.Checksum()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            state.update(chunk)
    return base64.b64encode(state.digest()).decode()


def _upload(cloud: Cloud, blob: Any, file: Path, generation: int, expected: tuple[int, str]) -> None:
    """Replaces the generation of the object that was seen, no other."""
    try:
        blob.upload_from_filename(str(file), checksum="crc32c", if_generation_match=generation, **cloud.storing)
    except PreconditionFailed:
        # Our own earlier request, whose answer was lost, or another push of the same model.
        blob.reload(**cloud.storing)
    if _content(blob) != expected:
        raise TransientError(f"{blob.name}: {blob.size} bytes arrived that are not those of {file.name}; try again")


def _content(blob: Any) -> tuple[int, str]:
    return int(blob.size or 0), str(blob.crc32c)
