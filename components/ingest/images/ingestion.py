"""One ingestion of images: finds them, encodes them, remembers what was wrong and what was changed."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

from components.ingest.encoding import ENCODES, Encoded
from components.ingest.images.encoding import EncodedImages, encode_images, read_images
from components.ingest.images.faults import Faults
from components.ingest.images.layouts import ImageFiles, find_images
from components.ingest.images.settings import ImageSettings
from components.ingest.sources import FORMATS, IMAGES, NoFiles, Sources, find, is_image_name
from components.ingest.splits import Splits
from components.runtime.data.spans import Chosen
from components.runtime.errors import InputError
from components.runtime.launch.forked import mapped, processors
from components.runtime.stage.progress import report

NO_COMPRESSION = 0
"""Level of gzip for images, which are compressed already: level 1 takes nearly as long as decoding and gains 1 %."""

_WORTH_PROCESSES = 64
"""Images from which processes for decoding them pay for their start."""


def are_images(data: str, format: str, patterns: Mapping[str, Any], images: Mapping[str, Any]) -> bool:
    """Whether the data is to be read as images: as asked for, or by what lies there.

    Raises:
      InputError: the parameters contradict each other, or `find` cannot find anything.
    """
    if format == IMAGES or format not in FORMATS:
        return format == IMAGES
    if images:
        if format != "auto":
            raise InputError(f"images is given with the format {format!r}: set format to images, or leave images out")
        return True
    if format != "auto":
        return False
    try:
        files = find(data, patterns).files
    except NoFiles:
        # Folders of classes.
        if not any(is_image_name(file.label) for file in find(data, {}, whole_tree=True).files):
            raise
        return True
    return all(is_image_name(file.label) for file in files)


class ImageIngestion:
    """The images of one run of the stage."""

    def __init__(self, found: ImageFiles, settings: ImageSettings, faults: Faults) -> None:
        """Takes what `find` found."""
        self._found = found
        self._settings = settings
        self._faults = faults
        self._converted: Counter[str] = Counter()

    @classmethod
    def find(
        cls, data: str, patterns: Mapping[str, Any], images: Mapping[str, Any], spans: Chosen | None = None
    ) -> Self:
        """Finds the images, those of the spans where these are given.

        Raises:
          InputError: there are none, or a parameter cannot be used.
        """
        settings, faults = ImageSettings.parse(images), Faults()
        if spans:
            found = ImageFiles([], folder=spans.place)
            for span in spans.spans:
                # (One span alone is data as any other.)
                found.add(
                    find_images(span.data, span.patterns, settings, faults), span.prefix if len(spans.spans) > 1 else ""
                )
        else:
            found = find_images(data, patterns, settings, faults)
        report(f"{len(found.images):,} images found")
        return cls(found, settings, faults)

    @contextmanager
    def encoding(self, names: tuple[str, ...], buckets: Splits | None) -> Iterator[Iterator[Encoded]]:
        """Encodes all images in the order of their names, in processes where there are many."""
        encode = functools.partial(
            encode_images,
            names=names,
            buckets=buckets,
            mask_values=self._settings.mask_values,
            measures=self._settings.measures,
        )
        processes = processors() if len(self._found.images) >= _WORTH_PROCESSES else 1
        with mapped(encode, read_images(self._found.images, self._faults), processes, ENCODES) as parts:
            yield self._noted(parts)

    @property
    def number(self) -> int:
        """How many images were found."""
        return len(self._found.images)

    def raise_faults(self) -> None:
        """Names all files that cannot be used.

        Raises:
          InputError: there are any.
        """
        self._faults.raise_if_any()

    @property
    def left_out(self) -> str:
        """Which files were passed over; empty where none was."""
        files = self._found.left_out
        one_of_them = f", such as {files[0]}" if len(files) > 1 else f": {files[0]}" if files else ""
        count = "1 file that is no image" if len(files) == 1 else f"{len(files):,} files that are no images"
        return f"{count} left out{one_of_them}" if files else ""

    def sources(self) -> Sources:
        """All files that have been read."""
        return self._found.sources()

    def facts(self) -> dict[str, Any]:
        """What is worth knowing of the result."""
        images = self._found.images
        contents = {entry.image.digest for entry in images}
        facts: dict[str, Any] = {
            "layout": self._settings.layout,
            "converted": sum(self._converted.values()),
            "duplicates": len(images) - len(contents),
            "left_out": len(self._found.left_out),
        }
        if self._converted:
            facts["converted_why"] = dict(sorted(self._converted.items()))
        if any(entry.label is not None for entry in images):
            facts["classes"] = len({entry.label for entry in images})
        return facts

    def _noted(self, parts: Iterator[EncodedImages]) -> Iterator[Encoded]:
        for part in parts:
            for name, reason in part.faults:
                self._faults.add(name, reason)
            self._converted.update(part.converted)
            yield part.encoded
