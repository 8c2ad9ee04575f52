"""Which names a new stage can have."""

from __future__ import annotations

import ast
import builtins
import keyword
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

from components.runtime.errors import InputError
from runners.settings.model import Settings
from runners.settings.resources import TASKS_OF_ANOTHER_NAME, task_name

_FORM = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")
_LONGEST = 30
"""With more letters the line of `__main__.py`, which has the name three times, would be too long."""


def check(name: str, project: Path, folders: list[str], code: str) -> None:
    """Holds the name of a new stage against all that it becomes the name of.

    Args:
      name: of the stage.
      project: the checkout.
      folders: that it will have, relative to the checkout.
      code: of its module, which must not import anything of that name.

    Raises:
      InputError: it cannot be used; why, in one line.
    """
    for reason in _reasons(name, project, folders, code):
        raise InputError(f"NAME {name!r}: {reason}; nothing was changed")


def _reasons(name: str, project: Path, folders: list[str], code: str) -> Iterator[str]:
    if not _FORM.fullmatch(name):
        better = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_0123456789")
        such = better if _FORM.fullmatch(better) else "count_rows"
        yield f"a stage is named in lower-case letters and digits, with single _ between words, such as {such}"
    if len(name) > _LONGEST:
        yield f"has {len(name)} letters, and lines of code with it have room for {_LONGEST}; shorten it"
    if keyword.iskeyword(name) or hasattr(builtins, name):
        yield "is a word of Python, which its function would take; choose another"
    if yaml.safe_load(name) != name:
        yield f"YAML reads {yaml.safe_load(name)!r} where it stands; choose another"
    for folder in folders:
        if (project / folder).exists():
            yield f"{folder} is there already; choose another name, or move that away"
    if task_name(name) in TASKS_OF_ANOTHER_NAME:
        yield f"pipeline.py has a task {task_name(name)}, of another stage; choose another"
    if name in (*Settings.model_fields, *dir(Settings), "default"):
        yield "means something else in a model's settings, where its section would stand; choose another"
    if name in _imported(code) | sys.stdlib_module_names or any(_libraries(name, project)):
        yield f"is also a module's, which could not be imported beside the function {name}; choose another"


def _imported(code: str) -> set[str]:
    nodes = (node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Import | ast.ImportFrom))
    return {alias.asname or alias.name for node in nodes for alias in node.names}


def _libraries(name: str, project: Path) -> Iterator[Path]:
    """What `import <name>` would find in the checkout and in the environments that are made."""
    for file in (name, f"{name}.py", f"{name}.*.so"):
        yield from project.glob(file)
        yield from project.glob(f".venv/*/lib/python3*/site-packages/{file}")
