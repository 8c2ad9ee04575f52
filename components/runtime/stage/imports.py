"""How libraries are imported: without the collector's pauses, and without what they import that nobody asked for."""

from __future__ import annotations

import contextlib
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

LATER = (
    # Keras's for scikit-learn, which imports that and SciPy, for pictures of samples, and what looks for a notebook.
    *("keras.wrappers", "keras._tf_keras.keras.wrappers"),
    *("keras.visualization", "keras._tf_keras.keras.visualization", "keras.src.visualization"),
    "IPython",
    # Beam's for BigQuery, which imports progress bars in notebooks.
    *("google.cloud.bigquery", "tqdm.notebook"),
    # TFMA's for texts, which import nltk and scikit-learn. Its register of metrics lacks them until they are filled.
    *("tensorflow_model_analysis.metrics.bleu", "tensorflow_model_analysis.metrics.rouge"),
)
"""Modules that libraries import for others to use: they wait until somebody does."""


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Imports make objects by the million that stay: looking for garbage among them takes a second and finds none.

    Afterwards they are left out of collections for good: each of those, such as during tracing, would walk through all
    of them, and write to the pages that forked processes share.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def postpone(names: Sequence[str] = LATER) -> None:
    """From now on an import of these modules gives one that is empty until something is taken out of it."""
    if not any(isinstance(finder, _Later) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Later(names))


def bare(package: str) -> None:
    """Has modules of a package imported without what its `__init__` imports, until a name is asked of that itself."""
    if package in sys.modules or (spec := importlib.util.find_spec(package)) is None:
        return
    assert spec.loader is not None, package
    module, run = importlib.util.module_from_spec(spec), spec.loader.exec_module

    def look(name: str) -> Any:
        # An import of a module in it asks here first.
        if name.startswith("__") or importlib.util.find_spec(f"{package}.{name}"):
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        del module.__getattr__
        run(module)
        return getattr(module, name)

    module.__getattr__ = look  # type: ignore[method-assign]
    sys.modules[package] = module


def fill(package: str) -> None:
    """Imports the modules of a package that still wait, for what they do when they are imported."""
    for finder in sys.meta_path:
        if isinstance(finder, _Later):
            finder.fill(f"{package}.")


class _Later(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds modules that wait, and fills them.

    The standard library's LazyLoader fills a module as soon as anybody looks at it, as `inspect` looks at every module
    for its file; and not at all for an import of a module within it.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = frozenset(names)
        self._loaders: dict[str, importlib.abc.Loader] = {}
        self._waiting: dict[str, Callable[[], None]] = {}

    def fill(self, prefix: str) -> None:
        """Imports the modules whose name begins so."""
        for name, fill in list(self._waiting.items()):
            if name.startswith(prefix):
                fill()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fill := self._waiting.get(fullname.rpartition(".")[0]):
            fill()
        if fullname not in self._names:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            self._loaders[fullname] = spec.loader
            spec.loader = self
        return spec

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        name, loader = module.__name__, self._loaders.pop(module.__name__)
        lock = threading.RLock()

        def fill() -> None:
            with lock:
                if self._waiting.pop(name, None):
                    del module.__getattr__
                    assert module.__spec__ is not None
                    module.__loader__ = module.__spec__.loader = loader
                    try:
                        loader.exec_module(module)
                    except BaseException:
                        wait()
                        raise

        def look(attribute: str) -> Any:
            if attribute.startswith("__") and attribute != "__all__":
                raise AttributeError(f"module {name!r} has no attribute {attribute!r}")
            fill()
            return getattr(module, attribute)

        def wait() -> None:
            self._waiting[name] = fill
            module.__getattr__ = look  # type: ignore[method-assign]

        wait()


@dataclass(frozen=True)
class Copies:
    """Modules of libraries that were imported apart.

    Attributes:
      roots: the libraries, and those that were left out.
      modules: the copies, once all have been imported.
    """

    roots: frozenset[str]
    modules: dict[str, ModuleType] = field(default_factory=dict)

    @contextlib.contextmanager
    def in_place(self) -> Iterator[None]:
        """Inside, an import finds the copies: pickle looks for a class in the module that its name says."""
        before = _copies(self.roots)
        for name in before:
            del sys.modules[name]
        sys.modules.update(self.modules)
        try:
            yield
        finally:
            self.modules.update(_copies(self.roots))
            for name in self.modules:
                sys.modules.pop(name, None)
            sys.modules.update(before)


@contextlib.contextmanager
def apart(
    package: str, shared_with: Sequence[str], left_out: Sequence[str], given: Mapping[str, Any]
) -> Iterator[Copies]:
    """Inside, modules of a library are copies of its own, imported without other libraries that it imports.

    What is imported of it inside belongs to who imports it: afterwards an import finds what it would have found
    before, the whole library. Extensions in C++ and messages of protobuf exist once in a process, and are the same.

    Args:
      package: the library; what its `__init__` imports is left out, too.
      shared_with: libraries that it imports and that import what is left out: they are copies as well.
      left_out: libraries for which something stands in that can be named, inherited from and used as a decorator, but
        not be called once the library has been imported. One that is there already stays: other threads use it, as
        those of a worker of Beam.
      given: what is real of those, by its path, such as `{"tensorflow.compat.as_bytes": as_bytes}`.

    Yields:
      The copies, for later.
    """
    spec = importlib.util.find_spec(package)
    assert spec is not None, package
    bare = ModuleType(package)
    bare.__path__ = list(spec.submodule_search_locations or [])
    left_out = [each for each in left_out if each not in sys.modules]
    copies = Copies(frozenset({package, *shared_with, *left_out}), {package: bare})
    finder = _LeftOut(frozenset(left_out), given)
    with copies.in_place():
        sys.meta_path.insert(0, finder)
        try:
            yield copies
        finally:
            finder.importing = False
            sys.meta_path.remove(finder)


def _copies(roots: Set[str]) -> dict[str, ModuleType]:
    """The loaded modules of libraries that can be there twice."""
    found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in roots}
    # What an extension calls its parts are modules too, of no file.
    once = tuple(f"{name}." for name, module in found.items() if _is_extension(module))
    return {
        name: module
        for name, module in found.items()
        if not name.endswith("_pb2") and not _is_extension(module) and not name.startswith(once)
    }


def _is_extension(module: ModuleType) -> bool:
    return isinstance(getattr(module, "__loader__", None), importlib.machinery.ExtensionFileLoader)


class _LeftOut(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds any module of the libraries that are left out."""

    def __init__(self, roots: frozenset[str], given: Mapping[str, Any]) -> None:
        self.importing = True
        self.given = given
        self._roots = roots

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname.partition(".")[0] not in self._roots:
            return None
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = ModuleType(spec.name)
        module.__getattr__ = StandIn(self, spec.name).__getattr__  # type: ignore[method-assign]
        return module

    def exec_module(self, module: ModuleType) -> None:
        pass


class StandIn:
    """Something of a library that is left out."""

    def __init__(self, finder: _LeftOut, path: str) -> None:
        """Stands for what is at `path`, such as `apache_beam.PTransform`."""
        self._finder = finder
        self._path = path

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        path = f"{self._path}.{name}"
        return self._finder.given[path] if path in self._finder.given else StandIn(self._finder, path)

    def __call__(self, *_: Any, **__: Any) -> StandIn:
        """For decorators and for what a module makes while it is imported."""
        if not self._finder.importing:
            raise RuntimeError(f"{self._path} was called, of a library that is left out here")
        return StandIn(self._finder, f"{self._path}()")

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[type, ...]:
        """A class that inherits from it inherits from nothing instead."""
        return ()

    def __getitem__(self, _: Any) -> StandIn:
        """For annotations."""
        return self

    # Else __getitem__ would make it a sequence without an end.
    __iter__ = None
