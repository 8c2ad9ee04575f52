"""The files that a model's settings name: looked for before a run spends hours on what comes before them."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, did_you_mean
from runners import PROJECT
from runners.settings import evaluation_file
from runners.settings.candidates import REPEATED
from runners.settings.folders import IN_IMAGES, SETTINGS_FILE, above, carried, shown
from runners.settings.model import SECTIONS, Settings, section_of


def check(settings: Settings, stages: Iterable[str], *, here: bool = True) -> None:
    """Looks for the files that these stages' sections name.

    Args:
      settings: of the model.
      stages: names of stages.
      here: whether they run on this machine; else it has only the files that go into the images.

    Raises:
      InputError: one is not on this machine, and no URI; no pod would have it; or it is no such file.
    """
    stages = list(stages)
    where = shown(settings.folder / SETTINGS_FILE)
    if settings.module and not here:
        _check_module(settings, where)
        return
    for candidate, stage, named in _arguments_of(settings, stages):
        for key, value in named.items():
            if not key.endswith("_file") or not value or "://" in value:
                continue
            path = _path_here(settings, value)
            said = f"{where}: {_key(settings, candidate, stage, key)}"
            if not path.is_file():
                near = did_you_mean(path.name, sorted(file.name for file in path.parent.glob("*.*")))
                raise InputError(f"{said}: there is no file {shown(path)}{near}")
            if not here:
                _check_pods_have_it(settings, value, path, said)
            if key == "eval_config_file":
                evaluation_file.check(path, str(shown(path)))
        earlier = named.get("previous_statistics")
        if here and earlier and "://" not in earlier and not (PROJECT / earlier).is_dir():
            raise InputError(
                f"{where}: validate.previous_statistics: there is no folder {earlier}; name the output of the "
                "statistics stage in an earlier run"
            )
    if "choose" in stages and settings.candidates and settings.choose.push == "best":
        _check_choice(settings, where)


def _check_pods_have_it(settings: Settings, value: str, path: Path, said: str) -> None:
    if not Path(value).is_relative_to(IN_IMAGES) and not settings.on_volume(value):
        whole = shlex.quote(str(settings.folder if path.is_relative_to(settings.folder) else settings.folder.parent))
        raise InputError(
            f"{said}: {value} is on this machine, where no pod finds it; build images with "
            f"it and give --models {whole}, or put the folder where pods read it and "
            "give --module PLACE (docs/images.md tells both)"
        )
    if settings.models and value not in {f"{IN_IMAGES}/{name}" for name in carried(settings.models)}:
        raise InputError(
            f"{said}: {path} is not taken into images, as nothing is that is hidden or in a model's folder data; "
            "move it"
        )


def _check_choice(settings: Settings, where: str) -> None:
    """Refuses candidates of which no evaluation says which is best, before they are trained."""
    named = [_path_here(settings, each["eval_config_file"]) for _, _, each in _arguments_of(settings, ["evaluate"])]
    choose = settings.choose
    if not choose.better and all(file.is_file() and not evaluation_file.has_threshold(file) for file in named):
        raise InputError(
            f"{where}: choose: no evaluation has a threshold, so nothing says which candidate is best; say it: "
            f"choose: {{metric: {choose.metric or 'auc'}, better: higher}}, or lower"
        )


def _check_module(settings: Settings, where: str) -> None:
    """Refuses a folder of this machine where no pod has anything at its path."""
    place = settings.module
    if place.startswith("/") and not any(Path(place).is_relative_to(mounted) for mounted in settings.mounts):
        raise InputError(
            f"{where}: module {place}: no pod has that folder; name a gs:// or s3:// URI, or a folder on the "
            f"volume, which pods have at {settings.cluster.mount_path}"
        )


def _arguments_of(settings: Settings, stages: Iterable[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Candidate (empty for what is said for all), stage and arguments, of each section that stages have."""
    for stage in dict.fromkeys(stages):
        if stage in REPEATED and settings.candidates:
            found = [(name, settings.candidate(name)) for name in settings.candidates]
        else:
            found = [("", settings)] if stage in SECTIONS else []
        for name, each in found:
            if each.has(stage):
                yield name, stage, each.arguments(stage)


def _key(settings: Settings, candidate: str, stage: str, key: str) -> str:
    """Where the settings say a stage's argument."""
    own = settings.candidates.get(candidate)
    return f"candidates.{candidate}.{stage}.{key}" if own and own.says(stage, key) else f"{section_of(stage)}.{key}"


def _path_here(settings: Settings, file: str) -> Path:
    """Where a file that stages are given lies on this machine."""
    models = settings.models
    if models and Path(file).is_relative_to(IN_IMAGES):
        path = above(models) / Path(file).relative_to(IN_IMAGES)
        if path.is_relative_to(models):
            return path
    return PROJECT / file
