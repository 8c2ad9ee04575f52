"""Stand-ins for the few names that module files import from the `tfx` package, so that those files run unchanged.

`tfx` itself cannot be installed beside current TensorFlow and KFP. Where it is installed all the same, it is used.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType
from typing import Any, NamedTuple

from components.runtime.module_file.fn_args import DataAccessor, FnArgs


class TunerFnResult(NamedTuple):
    """What a user's `tuner_fn` returns: a tuner, and the keyword arguments of its `search`."""

    tuner: Any
    fit_kwargs: dict[str, Any]


class _StandIn(ModuleType):
    """A module that says what it is when something is missing from it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"{self.__name__} has no {name!r} here: only what module files need of tfx is provided "
            "(FnArgs, DataAccessor, TunerFnResult, fileio, parse_pbtxt_file); take it out of the module file"
        )


def parse_pbtxt_file(file_name: str, message: Any) -> Any:
    """Reads a protocol buffer in text form into `message`, and returns that."""
    import tensorflow as tf
    from google.protobuf import text_format

    with tf.io.gfile.GFile(file_name) as stream:
        return text_format.Parse(stream.read(), message)


def install() -> None:
    """Makes the stand-ins importable as `tfx`, unless the real one is there."""
    if "tfx" in sys.modules or importlib.util.find_spec("tfx") is not None:
        return
    fileio = _fileio()
    utils = {"parse_pbtxt_file": parse_pbtxt_file}
    _register("tfx.components.trainer.fn_args_utils", FnArgs=FnArgs, DataAccessor=DataAccessor)
    _register("tfx.components.trainer.executor", TrainerFnArgs=FnArgs)
    _register("tfx.components.tuner.component", TunerFnResult=TunerFnResult)
    _register("tfx.utils.io_utils", **utils)
    _register("tfx.dsl.io", fileio=fileio)
    sys.modules["tfx.dsl.io.fileio"] = fileio
    _register("tfx.v1.components", FnArgs=FnArgs, DataAccessor=DataAccessor, TunerFnResult=TunerFnResult)
    _register("tfx.v1.utils", **utils)
    _register("tfx.v1.dsl.io", fileio=fileio)
    sys.modules["tfx.v1.dsl.io.fileio"] = fileio


def _fileio() -> ModuleType:
    """`tfx.dsl.io.fileio` has the functions of `tf.io.gfile` under the same names, and `open` for `GFile`."""

    class FileIo(_StandIn):
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            import tensorflow as tf

            return getattr(tf.io.gfile, "GFile" if name == "open" else name)

    return FileIo("tfx.dsl.io.fileio")


def _register(name: str, **contents: Any) -> None:
    module = sys.modules.get(name)
    if module is None:
        module = _StandIn(name)
        module.__path__ = []  # makes it a package: its modules are found in sys.modules
        sys.modules[name] = module
        parent, _, child = name.rpartition(".")
        if parent:
            _register(parent, **{child: module})
    for key, value in contents.items():
        setattr(module, key, value)
