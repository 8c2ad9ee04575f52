"""A model's own pipeline: its `pipeline.py`, run, with what goes wrong in it told by file and line."""

from __future__ import annotations

import contextlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from components.runtime.errors import InputError
from runners.settings.folders import shown

FUNCTION = "pipeline"
_FORM = f"def {FUNCTION}(build, data, ...)"

_SAY_ALL = (InputError, ValueError, RuntimeError)
"""Errors whose message says what is wrong; others are told by their kind too, as `KeyError: 'model'`."""


def load(file: Path) -> Callable[..., None]:
    """The function that defines the pipeline.

    Args:
      file: the model's `pipeline.py`.

    Raises:
      InputError: the file cannot be run, or has no such function.
    """
    where = shown(file)
    # Never kept among Python's modules: the next model's file has the same name.
    module = ModuleType(f"pipeline of {file.parent.name}")
    module.__file__ = str(file)
    with told(file):
        exec(compile(file.read_bytes(), str(file), "exec", dont_inherit=True), module.__dict__)
    function = module.__dict__.get(FUNCTION)
    if not inspect.isfunction(function):
        raise InputError(f"{where}: has no function {FUNCTION}; it begins with {_FORM}")
    line = function.__code__.co_firstlineno
    if inspect.iscoroutinefunction(function) or inspect.isgeneratorfunction(function):
        raise InputError(f"{where}:{line}: {FUNCTION} is a plain function, with neither async nor yield: {_FORM}")
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
        raise InputError(f"{where}:{line}: {FUNCTION} takes the building blocks first: {_FORM}")
    for each in parameters:
        if each.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD:
            raise InputError(f"{where}:{line}: parameters of a pipeline have names of their own: {_FORM}, not {each}")
    return function


@contextlib.contextmanager
def told(file: Path | None) -> Iterator[None]:
    """Makes whatever goes wrong in a model's file, or with what it defines, one line with the place.

    What the file prints goes to standard error: standard output is the command's own, and may be one document.

    Raises:
      InputError: what went wrong, and where.
    """
    try:
        with contextlib.nullcontext() if file is None else _printing_beside():
            yield
    except (Exception, SystemExit) as error:
        if file is None or (isinstance(error, InputError) and str(error).startswith(f"{shown(file)}:")):
            raise
        raise InputError(f"{shown(file)}{_line(file, error)}: {_reason(error)}") from error


@contextlib.contextmanager
def _printing_beside() -> Iterator[None]:
    """Sends to standard error what is written meanwhile, also by a process that is started, or past Python's stream."""
    with contextlib.ExitStack() as afterwards:
        # (One of the two may be closed.)
        with contextlib.suppress(OSError):
            before = os.dup(1)
            afterwards.callback(os.close, before)
            _flush()
            os.dup2(2, 1)
            afterwards.callback(os.dup2, before, 1)
            afterwards.callback(_flush)
        with contextlib.redirect_stdout(sys.stderr):
            yield


def _flush() -> None:
    for stream in (sys.stdout, sys.__stdout__):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()  # type: ignore[union-attr]


def _line(file: Path, error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename == str(file):
        return f":{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f":{lines[-1]}" if lines else ""


def _reason(error: BaseException) -> str:
    message = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    if message and isinstance(error, _SAY_ALL) and not isinstance(error, UnicodeError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def type_of(parameter: inspect.Parameter, function: Callable[..., Any]) -> Any:
    """The type that a parameter is written with; `Parameter.empty` where it has none.

    Raises:
      NameError: nothing has the name that stands there.
    """
    kind = parameter.annotation
    # Postponed: `from __future__ import annotations`.
    return eval(kind, function.__globals__) if isinstance(kind, str) else kind
