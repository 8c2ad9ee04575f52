"""What a record holds, told for people: numbers, text, images, or bytes that are none of these."""

from __future__ import annotations

import codecs
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from components.ingest.sample.pictures import Picture, is_image, overlay, size_text, thumbnail
from components.runtime.data import examples
from components.runtime.text.visible import visible

IMAGE, MASK = "image", "mask"
LONG = 120
"""Characters from which a text is set by itself."""

_KEPT_CHARACTERS = 4000
_LOOKED_AT_BYTES = 8192
_CONTROLS_OF_BINARY = 0.1
_LISTED = 4
_WHITE = "\t\n\r\f"
_JOINERS = ("\u200d", "\ufe0f", "\u20e3")


@dataclass(frozen=True)
class Cell:
    """One feature of one record.

    Attributes:
      kind: missing, int64, float32, text, image or bytes.
      text: what is shown, cut at some thousand characters; of an image and of bytes what they are.
      count: how many values.
      bytes: of the values of a feature of bytes.
      whole: whether nothing is left out.
      picture: of an image.
    """

    kind: str
    text: str
    count: int = 1
    bytes: int = 0
    whole: bool = True
    picture: Picture | None = None

    @property
    def is_long(self) -> bool:
        """Whether it is a text that needs room of its own."""
        return self.kind == "text" and (len(self.text) > LONG or "\n" in self.text.strip())


Cells = dict[str, Cell]


def cells_of(record: bytes) -> Cells:
    """The features of a serialised tf.Example, in the order of their names."""
    features = examples.decode(record)
    result = {name: _cell(values) for name, values in features.items()}
    if all(name in result and result[name].kind == "image" for name in (IMAGE, MASK)):
        picture = overlay(features[IMAGE][0], features[MASK][0])
        result[MASK] = Cell("image", picture.description, bytes=result[MASK].bytes, picture=picture)
    return result


def clip(text: str, limit: int) -> str:
    """At most `limit` characters and an ellipsis; never a part of what is drawn as one sign, such as a flag."""
    if len(text) <= limit:
        return text
    end = limit
    while end > max(1, limit - 24) and _belongs_together(text[end - 1], text[end]):
        end -= 1
    return f"{text[:end].rstrip()}…"


def _cell(values: Sequence[Any]) -> Cell:
    if not values:
        return Cell("missing", "", count=0)
    first = values[0]
    if not isinstance(first, bytes):
        number = isinstance(first, float)
        digits = 6 if len(values) == 1 else 4
        shown = [f"{value:.{digits}g}" if number else str(value) for value in values[:_LISTED]]
        return Cell(
            "float32" if number else "int64", _listing(shown, len(values)), len(values), whole=len(values) <= _LISTED
        )
    size = sum(len(value) for value in values)
    if len(values) == 1:
        return _single(first)
    shown, whole = [], len(values) <= _LISTED
    for value in values[:_LISTED]:
        cell = _single(value, draw=False)
        shown.append(clip(cell.text, LONG // 2) if cell.kind == "text" else cell.text)
        whole = whole and cell.whole and shown[-1] == cell.text
    return Cell("text", _listing(shown, len(values)), len(values), size, whole)


def _single(value: bytes, *, draw: bool = True) -> Cell:
    size = len(value)
    if is_image(value):
        picture = thumbnail(value) if draw else Picture(f"image of {size_text(size)}")
        return Cell("image", picture.description, bytes=size, picture=picture)
    text = _text(value)
    if text is None:
        return Cell("bytes", size_text(size), bytes=size, whole=False)
    shown = visible(clip(text, _KEPT_CHARACTERS))
    return Cell("text", shown, bytes=size, whole=size <= 4 * _KEPT_CHARACTERS and len(text) <= _KEPT_CHARACTERS)


def _text(value: bytes) -> str | None:
    """The beginning of a text; None where the bytes are not one."""
    part = value[: max(_LOOKED_AT_BYTES, 4 * _KEPT_CHARACTERS + 256)]
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(part, final=len(part) == len(value))
    except UnicodeDecodeError:
        return None
    controls = sum(each < " " and each not in _WHITE for each in text)
    return None if controls > max(2, _CONTROLS_OF_BINARY * len(text)) else text


def _listing(shown: list[str], count: int) -> str:
    if count == 1:
        return shown[0]
    more = f", … {count:,} values" if count > len(shown) else ""
    return f"[{', '.join(shown)}{more}]"


def _belongs_together(before: str, after: str) -> bool:
    if before == "\u200d" or after in _JOINERS or unicodedata.category(after) in ("Mn", "Me", "Mc"):
        return True
    # Skin tones, and the letters of which flags are made in pairs.
    return "\U0001f3fb" <= after <= "\U0001f3ff" or ("\U0001f1e6" <= after <= "\U0001f1ff" and before >= "\U0001f1e6")
