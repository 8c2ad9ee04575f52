"""Feedback of models on images: masks and classes as labels, and spans that are folders of images."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from components.runtime.data import pictures
from components.runtime.data.schema_columns import BYTES, Column
from components.runtime.errors import InputError
from runners.settings.model import Settings

PAIRS, FOLDERS = "pairs", "folders"
MASK, CLASS = "mask", "label"
"""What ingest calls the label of each layout."""

_LARGEST = 128 << 20


@dataclass(frozen=True)
class Layout:
    """How a span of images lies on the disk, as ingest reads it.

    Attributes:
      images: folder of the images; of the folders of classes where there are no masks.
      masks: folder of the masks; empty where labels are classes.
      mask_values: that masks may hold; any where empty.
    """

    images: str
    masks: str
    mask_values: Collection[int]

    @classmethod
    def of(cls, settings: Settings, columns: Collection[str]) -> Layout | None:
        """That of a model; None of one whose data are no images.

        Args:
          settings: of the model.
          columns: of its data, which tell it where the settings leave it to ingest.

        Raises:
          InputError: images lie in another layout, of which no span can be made.
        """
        given = settings.ingest.images
        found = settings.ingest.format == "auto" and pictures.describing(columns)
        if settings.ingest.format != "images" and not given and not found:
            return None
        name = (given and given.layout) or FOLDERS
        if name not in (PAIRS, FOLDERS):
            raise InputError(
                f"{settings.folder.name}: its images lie as {name}; spans are made of pairs and of folders"
            )
        images = given.images if given else None
        if name == FOLDERS:
            return cls(images or "", "", ())
        assert given
        values = (1, 2, 3) if given.mask_values is None else tuple(given.mask_values)
        return cls(images or "images", given.masks or "annotations/trimaps", values)

    @property
    def label(self) -> str:
        """What ingest calls the label."""
        return MASK if self.masks else CLASS

    def reader(self, beside: Path) -> Callable[[str], bytes] | None:
        """Reads a label that is the path of a mask, relative to a folder; None where labels are classes."""
        return (lambda path: _mask(beside / path, self.mask_values)) if self.masks else None

    def write(self, folder: Path, rows: pa.Table, ids: Collection[str]) -> None:
        """Writes a span.

        Args:
          folder: of the span; it is there.
          rows: the image and the label of each.
          ids: of the predictions, by which the files are named.
        """
        for name, row in zip(ids, rows.select([pictures.IMAGE, self.label]).to_pylist(), strict=True):
            image, label = row[pictures.IMAGE], row[self.label]
            stem = name.replace(":", "_")
            parts = [self.images] if self.masks else [self.images, str(label)]
            _write(folder.joinpath(*parts) / f"{stem}.{pictures.format_of(image) or 'bin'}", image)
            if self.masks:
                _write(folder / self.masks / f"{stem}.png", label)

    def columns(self, known: Mapping[str, Column], label: str) -> dict[str, Column]:
        """Those of a span: the image and its label.

        Args:
          known: of the model's data.
          label: as it was found.

        Raises:
          InputError: the label is another one.
        """
        if label != self.label:
            raise InputError(f"--label {label}: of these images the label is {self.label!r}, as ingest calls it")
        image = known.get(pictures.IMAGE, Column(pictures.IMAGE, BYTES))
        of_label = known.get(label, Column(label, BYTES))
        return {pictures.IMAGE: image, label: replace(of_label, is_image=bool(self.masks))}

    def check(self, rows: pa.Table, ids: Sequence[str]) -> None:
        """Holds labels to what ingest will read of them.

        Raises:
          InputError: a mask is of another size than its image, or a class can be no folder.
        """
        if not self.masks:
            for name, label in zip(ids, rows.column(self.label).to_pylist(), strict=True):
                if "/" in label or "\0" in label or label.startswith((".", "_")):
                    raise InputError(f"{name}: the class {label!r} can be no folder of a span; give it another name")
            return
        for name, row in zip(ids, rows.select([pictures.IMAGE, self.label]).to_pylist(), strict=True):
            image, mask = pictures.size(row[pictures.IMAGE]), pictures.size(row[self.label])
            if image != mask:
                raise InputError(
                    f"{name}: a mask of {_told(mask)} pixels, its image has {_told(image)}: give both the same size"
                )


def _told(size: tuple[int, int] | None) -> str:
    return f"{size[1]}x{size[0]}" if size else "no"


def _mask(file: Path, values: Collection[int]) -> bytes:
    """An encoded mask.

    Raises:
      ValueError: it cannot be read, is no PNG of 8 bits and one channel, or holds a value that it may not.
    """
    try:
        if file.stat().st_size > _LARGEST:
            raise ValueError(f"{file} has more than {_LARGEST >> 20} MiB")
        content = file.read_bytes()
    except OSError as error:
        raise ValueError(f"{file} cannot be read ({error.strerror})") from None
    try:
        found = np.unique(pictures.mask_values(content)).tolist()
    except ValueError as error:
        raise ValueError(f"{file} is no mask: it {error}") from None
    if wrong := [value for value in found if values and value not in values]:
        raise ValueError(f"{file} holds the value {wrong[0]}; a mask may hold {', '.join(map(str, sorted(values)))}")
    return content


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
