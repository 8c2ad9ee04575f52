"""A new model that begins as a copy of another one: an example of this checkout, or one of the user's own."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

from runners.scaffold.model.reading import place_of
from runners.settings.folders import MODELS, SETTINGS_FILE, carried, shown
from runners.settings.model import load

_FILE_KEY = re.compile(r"(?m)^(?P<key> *[a-z_]+_file: *)(?P<file>[^\s#]+)(?P<rest>.*)$")


def copy(example: str, folder: Path, data: str | None = None) -> dict[str, str | bytes]:
    """The files of a model that does what another one does, under its own name, on the same data.

    Files of a third model that the example names (`../digits/model.py`) come along, with those that lie beside them.

    Args:
      example: name of a model, or the path of its folder.
      folder: that the copy will have.
      data: where its raw data lies; that of the example without.

    Returns:
      Contents by their place in the folder.

    Raises:
      InputError: there is no such model, or its settings are wrong.
    """
    settings = load(example)
    source = settings.folder
    made: dict[str, str | bytes] = {}
    text = (source / SETTINGS_FILE).read_text(encoding="utf-8")
    for named in _FILE_KEY.finditer(text):
        file = Path(os.path.normpath(source / named["file"].strip("\"'")))
        if "://" not in named["file"] and not file.is_relative_to(source):
            made |= {name: each.read_bytes() for name, each in _code_beside(file).items()}
    own = {name.partition("/")[2]: file for name, file in carried(source).items()}
    made |= {name: file.read_bytes() for name, file in own.items()}
    if not data:
        data = settings.local_place(settings.data) if settings.data else str(settings.own_data)
    made[SETTINGS_FILE] = _settings(text, source, place_of(data, folder))
    made["__init__.py"] = (
        f'"""The {folder.name} model, begun as a copy of {source.name}: what its settings.yaml names."""\n'
    )
    return made


def missing_data(example: str) -> str:
    """That the own data of a model of the project is not there yet, and what makes it; else nothing."""
    settings = load(example)
    place = settings.own_data
    if settings.data or settings.folder.parent != MODELS or (place.is_dir() and any(place.iterdir())):
        return ""
    make = f"make sample-data MODEL={settings.folder.name}"
    return f"its data is not there yet: put it into {shown(place)}, or make a sample: {make}"


def _code_beside(file: Path) -> dict[str, Path]:
    """A file of another model, and the modules that it may name or import."""
    beside = (file, *sorted(file.parent.glob("*.py")))
    return {each.name: each for each in beside if each.name != "__init__.py" and each.is_file()}


def _settings(text: str, source: Path, data: str) -> str:
    """The settings with the name, the places and the files of the copy; comments stay."""

    def beside(named: re.Match[str]) -> str:
        file = named["file"].strip("\"'")
        outside = "://" not in file and not Path(os.path.normpath(source / file)).is_relative_to(source)
        return f"{named['key']}{Path(file).name if outside else named['file']}{named['rest']}"

    text = _FILE_KEY.sub(beside, text)
    text = re.sub(r"(?m)^(pipeline_name|data):.*\n", "", text)
    line = f"# Where the raw data lies when a run does not say.\ndata: {json.dumps(data, ensure_ascii=False)}\n"
    # Before the first key, below what the file begins with.
    first = re.search(r"(?m)^[a-z]", text)
    if first is None:
        return f"{text}{line}"
    return f"{text[: first.start()]}{line}{text[first.start() :]}"
