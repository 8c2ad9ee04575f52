"""The parameter `images`: how images, masks and labels lie in the data's folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.runtime.errors import InputError, did_you_mean

FOLDERS = "folders"
PAIRS = "pairs"
LIST = "list"
PLAIN = "plain"
LAYOUTS = (FOLDERS, PAIRS, LIST, PLAIN)

_DEFAULT_IMAGES = {FOLDERS: "", PAIRS: "images", LIST: "", PLAIN: ""}


@dataclass(frozen=True)
class ImageSettings:
    """The parameter `images`, checked.

    Attributes:
      layout: `folders`: the folder that an image lies in is its class; `pairs`: image and mask by the same stem;
        `list`: a file of image paths and labels; `plain`: images without any, in whatever folders.
      images: folder of the images, relative to the data; empty for the data's folder itself. Paths in a list are
        relative to it.
      masks: folder of the masks, relative to the data.
      list_file: relative to the data.
      mask_values: that masks may hold; any where empty.
      measures: whether each image is measured, see `components.runtime.data.pictures`.
    """

    layout: str = FOLDERS
    images: str = ""
    masks: str = "annotations/trimaps"
    list_file: str = ""
    mask_values: tuple[int, ...] = (1, 2, 3)
    measures: bool = False

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> ImageSettings:
        """Reads the parameter; keys that are not given, or None, have their defaults.

        Raises:
          InputError: an unknown key, or a value that cannot be used.
        """
        given = {key: value for key, value in given.items() if value is not None}
        for key in given:
            if key not in cls.__dataclass_fields__:
                hint = did_you_mean(key, cls.__dataclass_fields__)
                raise InputError(
                    f"images has an unknown key {key!r}{hint}; known: {', '.join(cls.__dataclass_fields__)}"
                )
        layout = given.get("layout", FOLDERS)
        if layout not in LAYOUTS:
            raise InputError(f"images.layout is {layout!r}: choose one of {', '.join(LAYOUTS)}")
        list_file = _path("list_file", given.get("list_file", cls.list_file))
        if layout == LIST and not list_file:
            raise InputError("images.list_file is empty: with the layout list, name the file with paths and labels")
        if layout != LIST and list_file:
            raise InputError(f"images.list_file is {list_file!r}, which only the layout list reads: set layout to list")
        return cls(
            layout,
            _path("images", given.get("images", _DEFAULT_IMAGES[layout])),
            _path("masks", given.get("masks", cls.masks)),
            list_file,
            _mask_values(given.get("mask_values", cls.mask_values)),
            _measures(given.get("measures", cls.measures)),
        )


def _path(key: str, value: Any) -> str:
    if not isinstance(value, str) or value.startswith("/") or "://" in value or ".." in value.split("/"):
        raise InputError(f"images.{key} is {value!r}: give a path relative to data, such as images")
    return "/".join(part for part in value.split("/") if part not in ("", "."))


def _measures(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise InputError(f"images.measures is {value!r}: give true or false")


def _mask_values(values: Any) -> tuple[int, ...]:
    # KFP hands integers over as JSON numbers with a fraction of zero.
    if isinstance(values, list | tuple) and all(
        isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 255 and value % 1 == 0
        for value in values
    ):
        return tuple(sorted({int(value) for value in values}))
    raise InputError(f"images.mask_values is {values!r}: give a list of integers from 0 to 255, such as [1, 2, 3]")
