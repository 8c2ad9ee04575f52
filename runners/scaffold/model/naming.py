"""Names that Python, files and Keras take, made from names that data has."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_LONGEST = 40


def safe_names(names: Iterable[str], taken: Iterable[str] = ()) -> dict[str, str]:
    """A name of small letters, digits and `_` for each, all different: `Größe (cm)` is `grosse_cm`, `aB` is `a_b`.

    Args:
      names: as the data has them.
      taken: what none of them may become.
    """
    used = set(taken)
    safe: dict[str, str] = {}
    for name in names:
        stem = base = _plain(name)
        number = 2
        while stem in used:
            stem, number = f"{base}_{number}", number + 1
        used.add(stem)
        safe[name] = stem
    return safe


def _plain(name: str) -> str:
    """The letters without their accents; what is no letter of Latin has no place in the names of nodes."""
    name = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", "_", name)
    text = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    text = text.encode("ascii", "ignore").decode().lower()
    plain = re.sub(r"[^a-z0-9]+", "_", text).strip("_")[:_LONGEST].strip("_")
    if not plain:
        return "column"
    return plain if plain[0].isalpha() else f"column_{plain}"
