"""Makes a stage in a model's folder: an image and a command of somebody else's making, with nothing of ours in it."""

from __future__ import annotations

import re
import string
from pathlib import Path

from components.runtime.errors import InputError
from components.runtime.launch.module_code import SPEC, STAGES_FOLDER
from components.runtime.stage.artifacts import write_whole
from runners.settings.folders import shown
from runners.settings.resources import stages

_TEMPLATE = Path(__file__).parent / "templates" / "own_component.yaml"
_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_IMAGE = re.compile(r"\S+(:[\w][\w.-]*|@sha256:[0-9a-f]{64})")


def write(name: str, image: str, model: Path) -> Path:
    """Writes the spec of a stage that runs at once where its image has a shell; returns its file.

    Args:
      name: of the stage.
      image: with tag or digest.
      model: the model's folder.

    Raises:
      InputError: no stage can have that name or image, or one has it.
    """
    file = model / STAGES_FOLDER / name / SPEC
    if not _FORM.fullmatch(name):
        raise InputError(
            f"NAME {name!r}: a stage is named in lower-case letters and digits, with single _ between words"
        )
    if name in stages():
        raise InputError(f"NAME {name!r}: the checkout has a stage of that name; choose another")
    if not _IMAGE.fullmatch(image) or not (":" in image.rpartition("/")[2] or "@" in image):
        raise InputError(f"--image {image}: expected NAME:TAG or NAME@sha256:DIGEST, so that it is known what ran")
    if file.parent.exists():
        raise InputError(f"{shown(file.parent)} is there already; choose another NAME")
    file.parent.mkdir(parents=True)
    write_whole(file, string.Template(_TEMPLATE.read_text(encoding="utf-8")).substitute(name=name, image=image))
    return file
