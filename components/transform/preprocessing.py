"""The user's preprocessing_fn, as TensorFlow Transform calls it: several times, in this process or on Beam workers."""

from __future__ import annotations

import difflib
import functools
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import tensorflow as tf

from components.runtime.data.storage import local_file, origin
from components.runtime.errors import InputError
from components.runtime.launch import module_code
from components.runtime.module_file.loading import call, load_function

FUNCTION = "preprocessing_fn"

Tensors: TypeAlias = dict[str, tf.Tensor | tf.SparseTensor | tf.RaggedTensor]


class UnknownFeature(KeyError):
    """A feature that the schema does not have; says which it has."""

    def __str__(self) -> str:
        return str(self.args[0])


class _Inputs(dict[str, Any]):
    """The raw features; a missing one says what there is."""

    def __missing__(self, name: str) -> Any:
        close = difflib.get_close_matches(str(name), self, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        raise UnknownFeature(f"feature {name!r} is not in the schema; {hint}it has: {', '.join(sorted(self))}")


class Preprocessing:
    """A callable that Beam can send to a worker: it travels as a path, and is loaded from there where it arrives."""

    def __init__(self, module_file: str, custom_config: dict[str, Any]) -> None:
        """Loads the function.

        Args:
          module_file: Python file with `preprocessing_fn(inputs)` or `preprocessing_fn(inputs, custom_config)`.
          custom_config: what the second form gets.

        Raises:
          InputError: the file does not load or has no such function.
        """
        self._travels_as = module_file
        self._config = json.dumps(custom_config)
        self._function = _load(module_file)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Preprocessing, (self._travels_as, json.loads(self._config))

    def put(self, folder: Path) -> None:
        """Copies the file, and what it imports and reads beside it, to where workers elsewhere find it.

        Args:
          folder: on storage that they share with this process.
        """
        module = local_file(self._travels_as).resolve()
        module_code.put(module_code.files_of(module, Path.cwd()), folder)
        self._travels_as = str(folder / module.name)

    def __call__(self, inputs: Tensors) -> Tensors:
        """Calls the user's function.

        Raises:
          InputError: it raised, or what it returned is not a dict of tensors.
        """
        arguments = {"custom_config": json.loads(self._config)} if _takes_config(self._function) else {}
        outputs = call(self._function, _Inputs(inputs), **arguments)
        code = inspect.unwrap(self._function).__code__
        where = f"{origin(code.co_filename)}:{code.co_firstlineno}: {FUNCTION} returned"
        if not isinstance(outputs, dict):
            raise InputError(f"{where} a {type(outputs).__name__}, expected a dict of feature names to tensors")
        if not outputs:
            raise InputError(f"{where} no features; put every transformed feature and the label into the dict")
        for name, value in outputs.items():
            if not isinstance(name, str) or not isinstance(value, tf.Tensor | tf.SparseTensor | tf.RaggedTensor):
                raise InputError(f"{where} a {type(value).__name__} for {name!r}, expected a tensor under a name")
        return dict(outputs)


@functools.cache
def _load(module_file: str) -> Callable[..., Any]:
    return load_function(module_file, FUNCTION)


def _takes_config(function: Callable[..., Any]) -> bool:
    parameters = inspect.signature(function).parameters
    return "custom_config" in parameters or any(entry.kind is entry.VAR_KEYWORD for entry in parameters.values())
