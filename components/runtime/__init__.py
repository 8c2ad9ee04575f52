"""What every stage shares, in rooms; and what a model's own code may use of it.

The names in `__all__` are a promise to users, which docs/model-code.md lists: they stay where they are when rooms are
moved. Each is imported when it is asked for, so this module works in all environments and takes no time.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from components.runtime.errors import InputError, TransientError
    from components.runtime.module_file import columns, distillation, hyperparameters, signatures, training, trial
    from components.runtime.module_file.fn_args import DataAccessor, FnArgs
    from components.runtime.module_file.tfx_compat import TunerFnResult
    from components.runtime.stage import progress
    from components.runtime.stage.artifacts import local_path

VERSION = "0.1.0"

__all__ = [
    "VERSION",
    "DataAccessor",
    "FnArgs",
    "InputError",
    "TransientError",
    "TunerFnResult",
    "columns",
    "distillation",
    "hyperparameters",
    "local_path",
    "progress",
    "signatures",
    "training",
    "trial",
]

_HOMES = {
    "DataAccessor": "module_file.fn_args",
    "FnArgs": "module_file.fn_args",
    "InputError": "errors",
    "TransientError": "errors",
    "TunerFnResult": "module_file.tfx_compat",
    "local_path": "stage.artifacts",
}
_MODULES = {
    "columns": "module_file.columns",
    "distillation": "module_file.distillation",
    "hyperparameters": "module_file.hyperparameters",
    "progress": "stage.progress",
    "signatures": "module_file.signatures",
    "training": "module_file.training",
    "trial": "module_file.trial",
}


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{_MODULES[name]}")
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
