"""The lists that name every stage: their texts with one stage more, as they are formatted."""

from __future__ import annotations

import re
import tomllib
from typing import Any

import yaml

from components.runtime.errors import InputError

ENVIRONMENTS = "images/environments.yaml"
IMPORT_RULES = "pyproject.toml"
CONTRACT = "docs/contract.md"

_LINE_LENGTH = 120


def environments(text: str, stage: str, environment: str) -> str:
    """images/environments.yaml with a stage in one of the environments.

    Raises:
      InputError: the file has another form.
    """
    begin = rf"(?m)^{environment}:\n(?:  .*\n)*?  stages: \[[^\]]+"
    result = re.sub(begin, lambda found: f"{found[0]}, {stage}", text, count=1)
    expected = yaml.safe_load(text)
    expected[environment]["stages"].append(stage)
    return _held(ENVIRONMENTS, yaml.safe_load(result), expected, result)


def import_rules(text: str, stage: str) -> str:
    """pyproject.toml with a stage in every list of import-linter's contracts that names all stages.

    Raises:
      InputError: the file has another form.
    """
    expected = tomllib.loads(text)
    contracts = expected["tool"]["importlinter"]["contracts"]
    stages = next(list(each["modules"]) for each in contracts if each["type"] == "independence")
    module = f"components.{stage}"
    for contract in contracts:
        for modules in (contract.get("modules", []), contract.get("forbidden_modules", [])):
            if set(stages) <= set(modules):
                modules.insert(modules.index(stages[-1]) + 1, module)

    def after(line: re.Match[str]) -> str:
        fits = len(f'{line[0]} "{module}",') <= _LINE_LENGTH
        return f'{line[0]}{" " if fits else chr(10) + line["indent"]}"{module}",'

    result = re.sub(rf'(?m)^(?P<indent> +).*"{re.escape(stages[-1])}",$', after, text)
    return _held(IMPORT_RULES, tomllib.loads(result), expected, result)


def contract(text: str, row: str) -> str:
    """docs/contract.md with one row more in the table of artifacts' metadata.

    Raises:
      InputError: the file has another form.
    """
    result, count = re.subn(r"## Metadata of artifacts\n(?:\|.*\n)+", lambda table: f"{table[0]}{row}\n", text)
    return _held(CONTRACT, count, 1, result)


def _held(file: str, found: Any, expected: Any, text: str) -> str:
    """The text, where what it says is what it should say."""
    if found != expected:
        raise InputError(f"{file}: has another form than new-stage knows; add the stage by hand; nothing was changed")
    return text
