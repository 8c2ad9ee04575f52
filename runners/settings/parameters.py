"""Reads NAME=VALUE of the command line as a compiled pipeline declares its parameters."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

from components.runtime.errors import InputError
from components.runtime.text.redaction import redact
from components.runtime.text.yaml_files import SAFE_LOADER
from runners import in_checkout
from runners.settings import plain_values, secret_values

PARAMETERS = ("data", "train_steps", "eval_steps", "serving_directory")
"""Those of every model's pipeline: a compiled one declares them, but compiling takes seconds, and help should not."""

_LEAST = {"train_steps": 1, "eval_steps": 0}
"""Of those the ones that count something, as the settings hold them."""

_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "STRING": (str, "a text"),
    "NUMBER_INTEGER": (int, "a whole number"),
    "NUMBER_DOUBLE": ((int, float), "a number"),
    "BOOLEAN": (bool, "true or false"),
    "LIST": (list, "a JSON list"),
    "STRUCT": (dict, "a JSON object"),
    # Argo's files do not tell the two apart.
    "JSON": ((list, dict), "a JSON list or object"),
}


def read_ir(file: Path) -> dict[str, Any]:
    """The IR of a compiled pipeline: the first document of its file.

    Raises:
      InputError: there is no such file, or it is no compiled pipeline.
    """
    try:
        documents = list(yaml.load_all(file.read_text(), SAFE_LOADER))
    except OSError as error:
        raise InputError(f"{file}: {error.strerror}; compile the pipeline first: ./millrace compile MODEL") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: not YAML: {' '.join(str(error).split())}") from None
    ir = documents[0] if documents else None
    if not isinstance(ir, dict) or "root" not in ir or not isinstance(ir.get("pipelineInfo"), dict):
        raise InputError(
            f"{file}: not a compiled pipeline (pipelineInfo or root is missing); make one: ./millrace compile MODEL"
        )
    return ir


def compiled_file(pipeline: str, target: str = "kfp") -> Path:
    """The compiled file that a command's argument means: a path, or that of a model in `build/`.

    Args:
      pipeline: a file, the name of a model, or the path of a model's folder.
      target: kfp or argo.
    """
    if pipeline.endswith((".yaml", ".yml")):
        return Path(pipeline)
    is_path = "/" in pipeline or pipeline in (".", "..")
    name = Path(os.path.abspath(pipeline)).name if is_path else pipeline
    return in_checkout("build") / f"{name}.{target}.yaml"


def definitions(ir: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that a pipeline declares."""
    return dict(ir.get("root", {}).get("inputDefinitions", {}).get("parameters", {}))


def split(pairs: Iterable[str], option: str = "--param") -> dict[str, str]:
    """Takes NAME=VALUE apart."""
    given = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InputError(f"{option} {pair}: expected NAME=VALUE")
        given[name] = value
    return given


def from_texts(pairs: Iterable[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Values for a server, of the types that the pipeline declares.

    Raises:
      InputError: an unknown name, a value of another type, or one that looks like a secret.
    """
    given = typed(pairs, known)
    # Servers keep parameters and show them to everybody.
    secret_values.refuse(given, "--param", by_key=False)
    return given


def typed(pairs: Iterable[str], known: Mapping[str, Any]) -> dict[str, Any]:
    """Values of the types that the pipeline declares.

    Raises:
      InputError: an unknown name, or a value of another type.
    """
    given: dict[str, Any] = {}
    for name, text in split(pairs).items():
        check_known(name, known, f"--param {redact(f'{name}={text}')}")
        kind = known[name].get("parameterType", "STRING")
        given[name] = text if kind == "STRING" else _parsed(name, text, kind)
    return given


def check(values: Mapping[str, Any], known: Mapping[str, Any], where: str) -> None:
    """Holds values that have types already, as those of a file, against the declaration.

    Raises:
      InputError: an unknown name, a value of another type, or a missing one.
    """
    for name, value in values.items():
        check_known(name, known, where)
        plain_values.refuse(value, f"{where}: parameter {name}")
        kind = known[name].get("parameterType", "STRING")
        expected, words = _TYPES.get(kind, (object, "a value"))
        if not isinstance(value, expected) or (isinstance(value, bool) and kind != "BOOLEAN"):
            raise InputError(f"{where}: parameter {name}: expected {words}, not {value!r}")
        _check_size(name, value, f"{where}: parameter {name}")
    for name, definition in known.items():
        if name not in values and "defaultValue" not in definition and not definition.get("isOptional"):
            raise InputError(f"{where}: the parameter {name!r} is missing and has no default")


def check_known(name: str, known: Mapping[str, Any], where: str) -> None:
    """Refuses a name that is not declared, with the nearest one that is."""
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"the parameters are: {', '.join(known) or 'none'}"
        raise InputError(f"{where}: no parameter {name!r}; {hint}")


def _parsed(name: str, text: str, kind: str) -> Any:
    expected, words = _TYPES.get(kind, (object, "a value"))
    try:
        value = json.loads(text.lower() if kind == "BOOLEAN" else text)
    except ValueError:
        value = None
    if not isinstance(value, expected) or (isinstance(value, bool) and kind != "BOOLEAN"):
        raise InputError(f"--param {redact(f'{name}={text}')}: expected {words}")
    plain_values.refuse(value, f"--param {name}={text}", free="" if kind in ("LIST", "STRUCT", "JSON") else name)
    _check_size(name, value, f"--param {name}={text}")
    return value


def _check_size(name: str, value: Any, where: str) -> None:
    if name in _LEAST and value < _LEAST[name]:
        raise InputError(f"{where}: expected {_LEAST[name]} or more")


def moment(text: str | None) -> datetime | None:
    """A time that a server wrote, or None where it wrote none."""
    try:
        return datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
