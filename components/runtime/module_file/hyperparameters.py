"""Hyperparameters between tune, a user's file and a model: the configuration of `keras_tuner.HyperParameters`."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.runtime.data.storage import local_file, shown
from components.runtime.errors import InputError
from components.runtime.stage.artifacts import InputArtifact
from components.runtime.text import yaml_files

BEST_FILE = "best_hyperparameters.txt"
"""The file of the artifact `best_hyperparameters`, as TFX names it."""

_TUNERS_OWN = "tuner/"


class Configuration(dict[str, Any]):
    """A configuration that knows where it is from, so that who finds a fault in it can name the place."""

    def __init__(self, content: Mapping[str, Any], source: str) -> None:
        """Takes over the content.

        Args:
          content: as `keras_tuner.HyperParameters.get_config()` gives it.
          source: for messages.
        """
        super().__init__(content)
        self.source = source


def from_artifact(artifact: InputArtifact) -> Configuration:
    """Reads what tune found.

    Raises:
      InputError: the artifact holds no hyperparameters.
    """
    file = artifact.path / BEST_FILE if artifact.path.is_dir() else artifact.path
    return _read(file, f"{artifact.name}: {file}")


def from_file(name: str) -> Configuration:
    """Reads a user's file: JSON or YAML, a configuration of `keras_tuner.HyperParameters` or just names and values.

    Raises:
      InputError: no such file, or not one of these.
    """
    return _read(local_file(name), f"hyperparameters_file: {shown(name)}")


def values(configuration: Mapping[str, Any] | None) -> dict[str, Any]:
    """Names and values of `fn_args.hyperparameters`, without what a tuner keeps for itself; none of None."""
    found: Mapping[str, Any] = (configuration or {}).get("values", {})
    return {name: value for name, value in found.items() if not name.startswith(_TUNERS_OWN)}


def _read(file: Path, where: str) -> Configuration:
    if not file.is_file():
        raise InputError(f"{where}: no such file; it should hold the hyperparameters as JSON or YAML")
    content = _parsed(file.read_bytes(), where)
    if not isinstance(content, dict) or not content:
        raise InputError(f"{where}: holds no hyperparameters; write names and values, such as `learning_rate: 0.001`")
    plain = content.get("values") if set(content) == {"space", "values"} else content
    if not isinstance(plain, dict):
        raise InputError(f"{where}: `values` is no mapping of names to values")
    for name, value in plain.items():
        if not isinstance(name, str) or not (value is None or isinstance(value, str | int | float)):
            raise InputError(f"{where}: {name!r} is {value!r}; a hyperparameter is a number, a text, true or false")
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"{where}: {name!r} is {value}; a hyperparameter is a finite number")
    if plain is content:
        return Configuration({"space": [], "values": dict(plain)}, where)
    return Configuration(content, where)


def _parsed(text: bytes, where: str) -> Any:
    """What a text holds as JSON, else as YAML, which takes all JSON but that with tabs."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if twice := [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]:
            raise InputError(f"{where}: the key {twice[0]!r} is there more than once; keep one of them")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=distinct)
    except ValueError:
        return yaml_files.load(text, where)
