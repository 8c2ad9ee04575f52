"""Hyperparameters between tune, a user's file and a model: the configuration of `keras_tuner.HyperParameters`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.runtime.artifacts import InputArtifact
from components.runtime.errors import InputError
from components.runtime.storage import local_file, shown

BEST_FILE = "best_hyperparameters.txt"
"""The file of the artifact `best_hyperparameters`, as TFX names it."""

_TUNERS_OWN = "tuner/"


def from_artifact(artifact: InputArtifact) -> dict[str, Any]:
    """Reads what tune found.

    Raises:
      InputError: the artifact holds no hyperparameters.
    """
    file = artifact.path / BEST_FILE if artifact.path.is_dir() else artifact.path
    return _read(file, f"{artifact.name}: {file}")


def from_file(name: str) -> dict[str, Any]:
    """Reads a user's file: JSON or YAML, a configuration of `keras_tuner.HyperParameters` or just names and values.

    Raises:
      InputError: no such file, or not one of these.
    """
    return _read(local_file(name), f"hyperparameters_file: {shown(name)}")


def values(configuration: Mapping[str, Any] | None) -> dict[str, Any]:
    """Names and values of `fn_args.hyperparameters`, without what a tuner keeps for itself; none of None."""
    found: Mapping[str, Any] = (configuration or {}).get("values", {})
    return {name: value for name, value in found.items() if not name.startswith(_TUNERS_OWN)}


def _read(file: Path, where: str) -> dict[str, Any]:
    if not file.is_file():
        raise InputError(f"{where}: no such file; it should hold the hyperparameters as JSON or YAML")
    try:
        # JSON is YAML, but for numbers such as 1e-3, which YAML takes for text.
        text = file.read_text(encoding="utf-8")
        content = json.loads(text) if text.lstrip().startswith("{") and _is_json(text) else yaml.safe_load(text)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: neither JSON nor YAML: {' '.join(str(error).split())}") from None
    if not isinstance(content, dict) or not content:
        raise InputError(f"{where}: holds no hyperparameters; write names and values, such as `learning_rate: 0.001`")
    plain = content.get("values") if set(content) == {"space", "values"} else content
    if not isinstance(plain, dict):
        raise InputError(f"{where}: `values` is no mapping of names to values")
    for name, value in plain.items():
        if not isinstance(name, str) or not (value is None or isinstance(value, str | int | float)):
            raise InputError(f"{where}: {name!r} is {value!r}; a hyperparameter is a number, a text, true or false")
    if plain is content:
        return {"space": [], "values": {name: _number(value) for name, value in plain.items()}}
    return content


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _number(value: Any) -> Any:
    """A number where YAML reads text: it wants a point in `1e-3`."""
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    return value
