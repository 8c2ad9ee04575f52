"""Loads the functions a user wrote, and calls them so that their errors name the user's file and line."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import inspect
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from components.runtime.data.storage import local_file, origin
from components.runtime.errors import InputError, classify
from components.runtime.module_file import moved
from components.runtime.stage import imports

_MESSAGE_LENGTH = 400
_STAND_IN = "components.runtime.module_file.tfx_compat"


@dataclass
class _Folder:
    """The folder of a user's module, with the modules that were imported from it."""

    path: Path
    modules: dict[str, ModuleType] = field(default_factory=dict)

    @contextmanager
    def importable(self) -> Iterator[None]:
        """Makes the folder's files importable for a while; afterwards other models' modules may have the same names."""
        if any(Path(entry or ".").resolve() == self.path for entry in sys.path):
            yield
            return
        hidden = {name: sys.modules.pop(name) for name in self._clashing()}
        before = dict(sys.modules)
        sys.modules.update(self.modules)
        sys.path.insert(0, str(self.path))
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(self.path))
            for name, module in list(sys.modules.items()):
                if before.get(name) is not module and self._holds(name, module, before):
                    self.modules[name] = module
                    if name in before:
                        sys.modules[name] = before[name]
                    else:
                        del sys.modules[name]
            sys.modules.update(hidden)

    def _clashing(self) -> list[str]:
        """Loaded modules, of no library, that would be taken for files of this folder: those of another model."""
        entries = self.path.iterdir()
        own = {entry.stem for entry in entries if entry.suffix == ".py" or (entry / "__init__.py").is_file()}
        own -= {__name__.partition(".")[0]} | {name.partition(".")[0] for name in self.modules}
        clashing = []
        for name, module in sys.modules.items():
            file = getattr(module, "__file__", None) if name.partition(".")[0] in own else None
            if file and not _installed(path := Path(file).resolve()) and self.path not in path.parents:
                clashing.append(name)
        return clashing

    def _holds(self, name: str, module: ModuleType, before: dict[str, ModuleType]) -> bool:
        if name in self.modules:
            return True
        file = getattr(module, "__file__", None)
        top = name.partition(".")[0]
        if not file or (top in before and top not in self.modules):
            return False
        path = Path(file).resolve()
        return path == self.path / f"{top}.py" or (self.path / top) in path.parents


# The functions are kept alive with their folders, so that an id is never that of another function.
_folders: dict[int, tuple[Callable[..., Any], _Folder]] = {}


def load_function(module_file: str, name: str) -> Callable[..., Any]:
    """Returns a function of a user's Python file.

    The file is loaded by its path, outside any package; the other files of its folder can be imported by their names.

    Args:
      module_file: path or URI of a `.py` file.
      name: name of the function in it.

    Raises:
      InputError: no such file, the file does not load, or it has no such function.
    """
    path = _module_path(module_file, name)
    moved.install()
    if importlib.util.find_spec(_STAND_IN) is not None:
        importlib.import_module(_STAND_IN).install()
    folder = _Folder(path.parent)
    module = _load(path, folder)
    function = getattr(module, name, None)
    if function is None:
        raise InputError(f"{origin(path)}: no function {name!r}; {_suggest(module, name)}")
    if not callable(function):
        raise InputError(f"{origin(path)}: {name!r} is a {type(function).__name__}, expected a function")
    _folders[id(function)] = (function, folder)
    return function  # type: ignore[no-any-return]


def call(function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Calls a function that `load_function` returned.

    Raises:
      InputError: the user's code raised; says file, line and message, while the trace goes to the log.
      StageError, OSError: as the user's code raised them, where they are known to be something else than a bug in it.
    """
    return call_for(function, function, *args, **kwargs)


def call_for(owner: Callable[..., Any], function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Calls a function that in turn calls what `owner`, which `load_function` returned, has made.

    Raises:
      InputError: the user's code raised; says file, line and message, while the trace goes to the log.
      StageError, OSError: as the user's code raised them, where they are known to be something else than a bug in it.
    """
    _, folder = _folders.get(id(owner)) or (owner, _Folder(_source(owner).parent))
    try:
        with folder.importable():
            return function(*args, **kwargs)
    except (Exception, SystemExit) as error:
        if classify(error) is not None or isinstance(error, MemoryError):
            raise
        where = _user_line(error, folder.path) or f"{origin(_source(owner))}:{_first_line(owner)}"
        raise _input_error(error, where, f" (in {getattr(owner, '__name__', owner)})") from error


def _module_path(module_file: str, name: str) -> Path:
    if not module_file:
        raise InputError(f"no module file is set: name the Python file that has {name}")
    path = local_file(module_file)
    if not path.exists():
        raise InputError(f"{path}: no such file; it should be the Python file that has {name}")
    if path.suffix != ".py" or not path.is_file():
        raise InputError(f"{path}: not a Python file (.py); it should be the one that has {name}")
    return path.resolve()


def _load(path: Path, folder: _Folder) -> ModuleType:
    # The file goes by its own name, unless that is a library's: the library must stay what everyone else imports.
    module_name = path.stem if path.stem not in sys.modules else f"user_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    folder.modules[module_name] = module
    previous = sys.modules.get(module_name)
    sys.modules[module_name] = module
    try:
        with folder.importable(), imports.quick():
            spec.loader.exec_module(module)
    except SyntaxError as error:
        where = f"{origin(error.filename or path)}:{error.lineno or 1}"
        raise InputError(f"{where}: {type(error).__name__}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        if classify(error) is not None or isinstance(error, MemoryError):
            raise
        missing = isinstance(error, ModuleNotFoundError)
        hint = "; put it beside this file, or into the image of the stage" if missing else ""
        raise _input_error(error, _user_line(error, path.parent) or f"{origin(path)}:1", hint) from error
    finally:
        if previous is None:
            sys.modules.pop(module_name, None)
        else:
            sys.modules[module_name] = previous
    return module


def _input_error(error: BaseException, where: str, tail: str) -> InputError:
    if error.__traceback__ is not None:
        traceback.print_exception(type(error), error, error.__traceback__.tb_next, file=sys.stderr)
    message = " ".join(str(error).split())
    if len(message) > _MESSAGE_LENGTH:
        message = f"{message[:_MESSAGE_LENGTH]}…"
    return InputError(f"{where}: {type(error).__name__}: {message}{tail}")


def _user_line(error: BaseException, folder: Path) -> str:
    """`file:line` of the innermost frame in the user's folder; empty when the error came from elsewhere."""
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename).resolve()
        ours = path == Path(__file__).resolve()
        if folder in path.parents and not ours and not _installed(path):
            return f"{origin(path)}:{frame.lineno}"
    return ""


def _installed(path: Path) -> bool:
    return any(Path(prefix).resolve() in path.parents for prefix in (sys.prefix, sys.base_prefix))


def _source(function: Callable[..., Any]) -> Path:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return Path(os.path.abspath(code.co_filename if code else __file__))


def _first_line(function: Callable[..., Any]) -> int:
    code = getattr(inspect.unwrap(function), "__code__", None)
    return code.co_firstlineno if code else 1


def _suggest(module: ModuleType, name: str) -> str:
    named = vars(module).items()
    functions = sorted(key for key, value in named if inspect.isfunction(value) and not key.startswith("_"))
    close = difflib.get_close_matches(name, functions, n=1)
    has = f"it has: {', '.join(functions) or 'none'}"
    return f"did you mean {close[0]!r}? {has}" if close else has
