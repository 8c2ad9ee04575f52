"""The card of a version, as the stage model_card wrote it and push put it into the version's folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from components.runtime.errors import InputError
from components.runtime.publish import mirror, serving
from runners.versions.place import Place, some


@dataclass(frozen=True)
class Card:
    """A model card.

    Attributes:
      text: Markdown.
      page: where the same lies with pictures.
    """

    text: str
    page: Path


def card(place: Place, number: int) -> Card:
    """The card of a version.

    Raises:
      InputError: there is no such version, or it has no card.
    """
    folders = dict(serving.numbered(place.folder))
    place.numbers()
    if number not in folders:
        raise InputError(f"{place.model}: there is no version {number}; there are {some(list(folders))}")
    folder = mirror.fetched(folders[number] / serving.CARD)
    try:
        text = (folder / serving.CARD_MARKDOWN).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(
            f"{place.model}: version {number} has no model card; a section model_card in the settings gives the "
            "versions "
            "one that are pushed from then on"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{place.model}: the model card of version {number} cannot be read: {error}") from None
    return Card(text, folder / serving.CARD_HTML)
