"""Turns images into framed tf.Examples by split, every one decoded first; runs in processes of its own."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from pyarrow import fs

from components.ingest.encoding import Encoded
from components.ingest.images.checks import MAX_FILE_BYTES, check
from components.ingest.images.faults import BadImage, Faults
from components.ingest.images.layouts import ImageFile
from components.ingest.images.masks import check_mask
from components.ingest.sources import SourceFile
from components.ingest.splits import Splits
from components.runtime.data import examples, pictures, tfrecord
from components.runtime.errors import InputError

PART_BYTES = 4 << 20
_READERS = 8
"""Threads that read from object storage, where each file takes a round trip."""
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True)
class RawImage:
    """An image as it was read.

    Attributes:
      image_name: id of the image: its path relative to the data.
      names: of the image and its mask, for messages.
      digest: sha256 of the image's bytes, as hex.
      split: that it belongs to; None where hash buckets decide.
    """

    image_name: str
    names: tuple[str, str]
    image: bytes
    digest: str
    mask: bytes | None
    label: str | None
    split: str | None


@dataclass(frozen=True)
class EncodedImages:
    """What came of some images.

    Attributes:
      encoded: the records by split.
      faults: names of files and why they cannot be used.
      converted: how many were re-encoded, by reason.
    """

    encoded: Encoded
    faults: list[tuple[str, str]] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)


def encode_images(
    part: list[RawImage],
    names: tuple[str, ...],
    buckets: Splits | None,
    mask_values: tuple[int, ...],
    *,
    measures: bool = False,
) -> EncodedImages:
    """Decodes and encodes one part.

    Args:
      part: the images.
      names: of the splits, in the order of the result.
      buckets: decides an image's split by its name and content; None where the image names it.
      mask_values: see `ImageSettings`.
      measures: see there.
    """
    records: list[bytes] = []
    splits: list[int] = []
    faults: list[tuple[str, str]] = []
    converted: Counter[str] = Counter()
    for raw in part:
        record = _record(raw, mask_values, faults, converted, measures=measures)
        if record is None:
            continue
        records.append(record)
        if buckets is None:
            splits.append(names.index(raw.split or ""))
        else:
            splits.append(int(buckets.of([f"{raw.image_name}\0{raw.digest}".encode()])[0]))
    chosen = [np.flatnonzero(np.array(splits, np.int64) == split).tolist() for split in range(len(names))]
    encoded = Encoded(
        tuple(len(rows) for rows in chosen),
        tuple(tfrecord.frame([records[row] for row in rows]) if rows else b"" for rows in chosen),
    )
    return EncodedImages(encoded, faults, converted)


def _record(
    raw: RawImage,
    mask_values: tuple[int, ...],
    faults: list[tuple[str, str]],
    converted: Counter[str],
    *,
    measures: bool,
) -> bytes | None:
    """The tf.Example, or None with a fault for the image, its mask, or both."""
    mask: bytes | None = None
    try:
        image = check(raw.image)
    except BadImage as error:
        faults.append((raw.names[0], str(error)))
        return None
    if raw.mask is not None:
        try:
            mask, mask_converted = check_mask(raw.mask, (image.width, image.height), mask_values)
        except BadImage as error:
            faults.append((raw.names[1], str(error)))
            return None
        converted.update([mask_converted] if mask_converted else [])
    converted.update([image.converted] if image.converted else [])
    features: dict[str, examples.Values] = {
        pictures.IMAGE: image.content,
        pictures.IMAGE_FORMAT: image.format,
        pictures.IMAGE_NAME: raw.image_name,
        pictures.HEIGHT: image.height,
        pictures.WIDTH: image.width,
    }
    features |= pictures.measured(image.content) if measures else {}
    features |= {} if mask is None else {"mask": mask}
    features |= {} if raw.label is None else {"label": raw.label}
    return examples.encode(features)


def read_images(images: list[ImageFile], faults: Faults) -> Iterator[list[RawImage]]:
    """Reads the files, some megabytes at a time; files that cannot be read are faults."""
    part: list[RawImage] = []
    size = 0
    for raw in _raw_images(images, faults):
        part.append(raw)
        size += len(raw.image) + len(raw.mask or b"")
        if size >= PART_BYTES:
            yield part
            part, size = [], 0
        if faults.enough:
            break
    if part:
        yield part


def _raw_images(images: list[ImageFile], faults: Faults) -> Iterator[RawImage]:
    local = all(isinstance(entry.image.filesystem, fs.LocalFileSystem) for entry in images)
    for entry, result in _local(images) if local else _ahead(images):
        if isinstance(result, InputError):
            faults.add(entry.image.name, str(result).removeprefix(f"{entry.image.name}: "))
        else:
            yield result


def _local(images: list[ImageFile]) -> Iterator[tuple[ImageFile, RawImage | InputError]]:
    return ((entry, _read(entry)) for entry in images)


def _ahead(images: list[ImageFile]) -> Iterator[tuple[ImageFile, RawImage | InputError]]:
    """Reads several files at once, in their order."""
    waiting: deque[tuple[ImageFile, Future[RawImage | InputError]]] = deque()
    with ThreadPoolExecutor(_READERS) as pool:
        for entry in images:
            waiting.append((entry, pool.submit(_read, entry)))
            if len(waiting) >= _READERS:
                done, future = waiting.popleft()
                yield done, future.result()
        while waiting:
            done, future = waiting.popleft()
            yield done, future.result()


def _read(entry: ImageFile) -> RawImage | InputError:
    try:
        image = _content(entry.image)
        mask = _content(entry.mask) if entry.mask else None
    except InputError as error:
        return error
    names = (entry.image.name, entry.mask.name if entry.mask else "")
    return RawImage(entry.image.label, names, image, entry.image.digest, mask, entry.label, entry.image.split)


def _content(file: SourceFile) -> bytes:
    chunks = []
    with file.open() as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            chunks.append(chunk)
            if stream.size > MAX_FILE_BYTES:
                raise InputError(f"{file.name}: has more than {MAX_FILE_BYTES >> 20} MiB: make it smaller")
    return b"".join(chunks)
