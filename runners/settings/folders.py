"""Where models lie: under `models/`, or anywhere."""

from __future__ import annotations

import os
import shlex
from collections.abc import Collection
from pathlib import Path

from components.runtime.errors import InputError, did_you_mean
from components.runtime.launch.module_code import PIPELINE_FILE, SPEC, STAGES_FOLDER
from runners import PROJECT

IN_IMAGES = "models"
"""What the folder of models is called in images, and in the checkout."""
MODELS = PROJECT / IN_IMAGES
SETTINGS_FILE = "settings.yaml"


def find(model: str, models: Path | None = None) -> Path:
    """The folder of the model that a person named.

    Args:
      model: name of a folder under `models/`, or the path of a folder anywhere.
      models: what the images have in place of the checkout's `models`, as `folder_of_models` returns it.

    Raises:
      InputError: there is no such model.
    """
    is_path = "/" in model or model in (".", "..")
    beside = MODELS if models is None else above(models)
    folder = Path(os.path.abspath(model)) if is_path else beside / model
    if not folder.is_relative_to(PROJECT) and folder.resolve().is_relative_to(PROJECT):
        # The checkout by another name; a model of it that is a link to elsewhere keeps the name that it has here.
        folder = folder.resolve()
    if is_model(folder):
        return folder
    file = shown(folder / SETTINGS_FILE)
    if is_path:
        raise InputError(f"no model {model}: there is no {file}; a model is a folder with its {SETTINGS_FILE}")
    known = names(beside)
    near = did_you_mean(model, known)
    if not near and is_model(Path(model)):
        near = f", did you mean {shlex.quote(f'./{model}')}, the folder here?"
    raise InputError(
        f"no model {model!r}: there is no {file}{near}; the models are: {', '.join(known)}, or the path of a folder"
    )


def made(folder: Path) -> Path:
    """A folder for what a person wants written, made where it is not there.

    Raises:
      InputError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder}: cannot be made: {error.strerror}; choose another --output") from None
    return folder


def names(folder: Path = MODELS) -> list[str]:
    """Names of the models in a folder of models."""
    return sorted(path.parent.name for path in folder.glob(f"[!.]*/{SETTINGS_FILE}"))


def folder_of_models(models: str) -> Path:
    """What a person means by `--models FOLDER`: a folder of models, or of one; absolute.

    Raises:
      InputError: there are no models in it.
    """
    folder = Path(os.path.abspath(models))
    if not models or not any(Path(name).name == SETTINGS_FILE for name in carried(folder)):
        what = "holds no model" if folder.is_dir() else "is a file" if folder.exists() else "no such folder"
        raise InputError(f"--models {models}: {what}; name a folder of models, each a folder with its {SETTINGS_FILE}")
    return folder


def carried(models: Path) -> dict[str, Path]:
    """The files that images take of a folder of models, or of the folder of one, by their path below `models`.

    All but what is hidden, bytecode, notebooks, and the models' own `data`. Links are followed.
    """
    whole = above(models)
    found = {}
    seen = set()
    for folder, names, files in os.walk(models, followlinks=True):
        place = Path(folder).relative_to(whole)
        if os.path.realpath(folder) in seen:
            names.clear()
            continue
        seen.add(os.path.realpath(folder))
        # (Models look for their own data there, see Settings.own_data.)
        left_out = {"__pycache__", *(["data"] if len(place.parts) == 1 else [])}
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in left_out)
        for name in files:
            file = Path(folder) / name
            if not name.startswith(".") and file.suffix not in (".pyc", ".ipynb") and file.is_file():
                found[(place / name).as_posix()] = file
    return found


def above(models: Path) -> Path:
    """The folder that stands for `models` in images: of models as it is, of one model the folder that holds it."""
    return models.parent if is_model(models) else models


def is_model(folder: Path) -> bool:
    """Whether a folder is a model's."""
    return (folder / SETTINGS_FILE).is_file()


def own_specs(folder: Path) -> list[Path]:
    """The specs of the stages that a model brings along."""
    return sorted((folder / STAGES_FOLDER).glob(f"*/{SPEC}"))


def is_of_pipeline(name: str, files: Collection[str]) -> bool:
    """Whether a file of a folder of models says what runs, and is nothing that a stage reads.

    Args:
      name: of the file, from the folder of models on.
      files: all of them.
    """
    parts = name.split("/")
    if parts[1:] in ([SETTINGS_FILE], [PIPELINE_FILE]):
        return True
    return len(parts) > 3 and parts[1] == STAGES_FOLDER and "/".join([*parts[:3], SPEC]) in files


def shown(file: Path) -> str:
    """A path as messages have it: of a file in the project from there on."""
    return str(file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file)
