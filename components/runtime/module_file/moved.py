"""Keeps the old paths of modules that moved for users' code, and says the new ones.

Our own code has moved with them, and imports from where they are.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType

from components.runtime.stage.progress import report

METRICS = "components.evaluate.metrics"
"""Where an EvalConfig finds all metrics of ours by their class names."""

_ROOMS = {
    "components.runtime.data": ("beam", "examples", "storage", "tfmd", "tfrecord"),
    "components.runtime.module_file": (
        "fn_args", "hyperparameters", "keras_saving", "signatures", "tfx_compat", "training", "training_input",
    ),
    "components.runtime.publish": ("blessing", "serving", "vertex_accelerators", "vertex_options"),
    "components.runtime.stage": ("artifacts", "executor", "progress", "report"),
    "components.runtime.text": ("json_text", "redaction", "visible", "yaml_files"),
}  # fmt: skip

_MOVED = {f"{room.rpartition('.')[0]}.{name}": f"{room}.{name}" for room, names in _ROOMS.items() for name in names}
_MOVED |= {
    f"components.evaluate.{name}": f"components.runtime.evaluation.metrics.{name}"
    for name in ("interval", "lift", "regression", "segmentation", "top_lift")
}

MOVED_METRICS = tuple(old for old in _MOVED if old.startswith("components.evaluate."))
"""What an EvalConfig named as their module before."""

_PUBLIC = {
    "components.runtime.artifacts": "local_path",
    "components.runtime.fn_args": "FnArgs",
    "components.runtime.hyperparameters": "hyperparameters",
    "components.runtime.progress": "progress",
    "components.runtime.signatures": "signatures",
    "components.runtime.tfx_compat": "TunerFnResult",
    "components.runtime.training": "training",
}
"""What users' code can import from `components.runtime` in place of these."""


def install() -> None:
    """Makes the old paths importable."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.append(_Finder())


def told(old: str) -> str:
    """What to say of an old path that somebody has used."""
    public = _PUBLIC.get(old)
    new = f"`from components.runtime import {public}`" if public else METRICS if old in MOVED_METRICS else _MOVED[old]
    return f"{old} has moved: write {new}; the old path still works"


class _Finder(importlib.abc.MetaPathFinder):
    """Stands last, so it is asked only for what is nowhere else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname not in _MOVED:
            return None
        report(f"{_importer()}{told(fullname)}")
        return importlib.util.spec_from_loader(fullname, _Loader(_MOVED[fullname]))


class _Loader(importlib.abc.Loader):
    """Gives the module at its new path, which stays one module under both names."""

    def __init__(self, new: str) -> None:
        self._module = importlib.import_module(new)
        self._spec = self._module.__spec__

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has put the old path's there.
        module.__spec__ = self._spec


def _importer() -> str:
    """`file:line: ` of the import statement; empty where there is none."""
    frame = sys._getframe(1)
    while frame is not None and ("importlib" in frame.f_code.co_filename or frame.f_code.co_filename == __file__):
        frame = frame.f_back  # type: ignore[assignment]
    return "" if frame is None else f"{frame.f_code.co_filename}:{frame.f_lineno}: "
