"""Which files a user's Python file runs and reads, told from their code alone: what cache keys count of it.

A file that is forgotten would give an old result for new code, and nobody would see it; one too many costs a run. So
whatever might be an import is taken for one, and where code can import what it does not spell out, all Python files
below the folder count.
"""

from __future__ import annotations

import ast
import glob
import os
import re
import shutil
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

from components.runtime.launch.paths_in_code import levels_up, lists_a_folder, texts
from components.runtime.stage.artifacts import content_files, files_below

PIPELINE_FILE = "pipeline.py"
"""In a model's folder: the pipeline of a model that has one of its own."""
STAGES_FOLDER = "components"
"""In a model's folder: the stages that it brings along, each a folder with its `component.yaml`."""
SPEC = "component.yaml"

_LONGEST_NAME = 255
_OF_THE_SYSTEM = ("/dev/", "/proc/", "/sys/")
"""What lies there says how a machine does, and changes at any time."""
_SUFFIXES = (".py", *EXTENSION_SUFFIXES)
_OURS = __name__.partition(".")[0]
"""Is imported before any code of users, from where the stage is: their own folder of this name is never looked into."""

_BY_NAME_MODULES = re.compile(
    r"(importlib|imp|runpy|pkgutil|zipimport|builtins|site|code|codeop|pydoc|pkg_resources|stevedore|hydra|gin|subprocess|pty"
    r"|_?pickle|dill|cloudpickle|joblib|shelve|marshal|logging\.config|unittest|doctest|pytest|lazy_\w+"
    r"|components\.runtime\.(module_file\.)?(trial|loading))(\..*)?"
)
"""What imports or runs code by a name that may stand anywhere: in a variable, in a pickle, on a command line."""
_BY_NAME = re.compile(
    r"__(import|builtins|loader|spec|path)__|importlib|runpy|builtins|pickle|subprocess|import_module|load_function"
    r"|read_pickle|allow_pickle|load_model|\w*from_json|from_config|deserialize\w*|[Ll]azy\w*|unsafe_load|C?(Unsafe)?Loader"
    r"|system|popen|(exec|spawn)[lv]p?e?|posix_spawnp?|create_subprocess_(exec|shell)"
)
"""The same, whatever they are called on."""
_BUILT_IN = frozenset({"exec", "eval", "compile"})
"""The same as functions; what methods of these names do is known to nobody, but Keras's `compile` imports nothing."""
_SYS = frozenset({"path", "modules", "meta_path", "path_hooks", "path_importer_cache"})
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*[.:][^\W\d]\w*")
_METRIC_MODULE = re.compile(rb"""\bmodule\s*:\s*["']([\w.]+)["']""")


def files_of(module: Path, elsewhere: Path) -> dict[str, Path]:
    """What a module file runs and reads, by their paths below its folder or, with `:/` before them, in the project.

    Args:
      module: the file.
      elsewhere: the project, where its imports are looked for too: the working directory of stages.
    """
    # As it is loaded: beside what a link leads to, not beside the link.
    module = module.resolve()
    return _Code(module.parent, elsewhere).files({module, *_shadows(module.parent)})


def files_of_metrics(configuration: Path, elsewhere: Path) -> dict[str, Path]:
    """The same of the modules that an EvalConfig names, which lie beside it; empty where it names none."""
    code = _Code(configuration.resolve().parent, elsewhere)
    names = (name.decode() for name in _METRIC_MODULE.findall(configuration.read_bytes()))
    return code.files({file for name in names for file in code.imported(name)})


def put(files: Mapping[str, Path], folder: Path) -> None:
    """Copies what `files_of` or `files_of_metrics` found below a folder to another, which workers elsewhere see.

    What is the project's is in their image as it is in that of the stage.
    """
    for name, file in files.items():
        if not name.startswith(":/"):
            place = folder / name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)


class _Code:
    """The code of a folder, and what it imports of the project."""

    def __init__(self, folder: Path, elsewhere: Path) -> None:
        self._folder = folder
        self._elsewhere = elsewhere
        self._whole: set[Path] = set()
        """Folders of which some file may import what it does not spell out."""

    def files(self, start: Collection[Path]) -> dict[str, Path]:
        """Files, what they import and read, what that imports and reads, and so on."""
        found = self._closure(start)
        for folder in frozenset(self._whole):
            found |= self._closure(_importable(folder))
        return {self._name(file): file for file in found}

    def imported(self, name: str) -> list[Path]:
        """The files that `import a.b.c` runs: the packages and the last, which may as well be a name in one."""
        top = name.partition(".")[0]
        if top == _OURS:
            return []
        found = [file for root in self._roots() for file in _modules(root, name)]
        if not found and top in self._folder.parts:
            # The folder may itself be found as a package, by a path that somebody has set.
            self._whole.add(self._folder)
        return found

    def _roots(self) -> tuple[Path, Path]:
        return self._folder, self._elsewhere

    def _closure(self, start: Iterable[Path]) -> set[Path]:
        found: set[Path] = set()
        waiting = list(start)
        while waiting:
            file = waiting.pop()
            if file not in found:
                found.add(file)
                waiting += self._needed_by(file)
        return found

    def _name(self, file: Path) -> str:
        if _is_below(file, self._folder):
            return os.path.relpath(file, self._folder)
        project = _is_below(file, self._elsewhere)
        return f":/{os.path.relpath(file, self._elsewhere) if project else os.path.normpath(file)}"

    def _home(self, file: Path) -> Path:
        """The folder in which a file's imports by name and its data are looked for."""
        return self._folder if _is_below(file, self._folder) else file.parent

    def _needed_by(self, file: Path) -> Iterator[Path]:
        if not file.name.endswith(_SUFFIXES):
            return
        try:
            tree = ast.parse(file.read_bytes()) if file.suffix == ".py" else None
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tree = None
        home = self._home(file)
        # (Of what is compiled nobody can read what it imports. Nor does a file of the project stand for all of it.)
        if (tree is None or _imports_by_name(tree)) and (home == self._folder or home != self._elsewhere):
            self._whole.add(home)
        nodes = list(ast.walk(tree)) if tree else []
        starts = {file.parent, home, *self._above(file, nodes)}
        if any(map(lists_a_folder, nodes)) and (home == self._folder or home != self._elsewhere):
            yield from _data(home)
        for node in nodes:
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield from self.imported(alias.name)
            elif isinstance(node, ast.ImportFrom):
                yield from self._imported_from(node, file)
            for text in texts(node):
                yield from self._named_by(text, file, starts)

    def _imported_from(self, node: ast.ImportFrom, file: Path) -> Iterator[Path]:
        start = Path(*file.parts[: -node.level]) if node.level else None
        if start and not any(start.is_relative_to(root) for root in self._roots()):
            self._whole.add(self._folder)
            return
        for alias in node.names:
            if alias.name == "*":
                # Names in a package, or its modules.
                for root in [start] if start else self._roots():
                    if (package := root.joinpath(*(node.module or "").split("."))).is_dir() and package != root:
                        yield from _importable(package)
            name = ".".join(filter(None, (node.module, alias.name)))
            yield from _modules(start, name) if start else self.imported(name)

    def _above(self, file: Path, nodes: Iterable[ast.AST]) -> set[Path]:
        """The folders above a file's that its code looks into."""
        levels = {min(level, len(file.parents) - 1) for node in nodes if (level := levels_up(node))}
        return {file.parents[level] for level in levels}

    def _named_by(self, text: str, file: Path, starts: Collection[Path]) -> Iterator[Path]:
        """Files that a text in a file names: a module of the folder, an absolute path, or one from where it looks.

        By their names: what lies there may be a link to anywhere.
        """
        if _DOTTED.fullmatch(text):
            yield from _modules(self._folder, text.replace(":", "."))
        if not any(map(str.isalnum, text)) or len(text) > _LONGEST_NAME or "\n" in text or "\0" in text:
            return
        home = self._home(file)
        if text.startswith("/") and os.path.isfile(text) and not text.startswith(_OF_THE_SYSTEM):
            yield Path(text)
        # What stands before it may be the folder, and a name before an ending.
        parts = {text.removeprefix(f"{home}/").lstrip("/"), text.removeprefix("*").lstrip("/")}
        patterns = {*parts, *(f"*{part}" for part in parts if part.startswith(".") and "/" not in part)}
        for start in starts:
            for pattern in patterns:
                for path in map(Path, glob.glob(os.path.join(glob.escape(str(start)), pattern), recursive=True)):
                    # (What the code itself lies in is no file that it reads.)
                    said = start not in (file.parent, home) or pattern.startswith("../")
                    if _is_below(path, home) or (said and not _is_below(file, path)):
                        yield from (each for each in content_files(path) if each.suffix != ".pyc")


def _is_below(path: Path, folder: Path) -> bool:
    return os.path.normpath(path).startswith(os.path.normpath(folder) + os.sep)


def _modules(start: Path, name: str) -> Iterator[Path]:
    """The files of a module and of the packages around it, as far as they are there."""
    place = start
    for part in name.split("."):
        for each in (place / part, place / part / "__init__"):
            yield from (file for suffix in _SUFFIXES if os.path.isfile(file := each.with_name(each.name + suffix)))
        place /= part


def _shadows(folder: Path) -> Iterator[Path]:
    """What libraries get in place of Python's own modules, where they import one that the folder has by its name."""
    for entry in folder.iterdir():
        if entry.stem in sys.stdlib_module_names:
            yield from _importable(entry) if entry.is_dir() else [entry] if entry.suffix == ".py" else []


def _data(folder: Path) -> Iterator[Path]:
    """What code that lists a folder may read: all below it but code, and but for hidden folders."""
    below = files_below(folder, lambda name: not name.startswith(".") and name != "__pycache__")
    return (file for file in below if not file.name.endswith((*_SUFFIXES, ".pyc")))


def _importable(folder: Path) -> Iterator[Path]:
    """Python files below a folder, but for those in folders that no import statement can name, as `.git`."""
    below = files_below(folder, lambda name: name.isidentifier() and name != "__pycache__")
    stages = [spec.parent for spec in folder.glob(f"{STAGES_FOLDER}/*/{SPEC}")]
    return (
        file
        for file in below
        if file.suffix == ".py"
        # What a model's pipeline is made of decides what runs, and is no part of what its modules do.
        and file != folder / PIPELINE_FILE
        and not any(file.is_relative_to(stage) for stage in stages)
    )


def _imports_by_name(tree: ast.AST) -> bool:
    """Whether code may import or run what it does not spell out."""
    known_uses = set()
    for node in ast.walk(tree):
        names: list[str | None] = []
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module if isinstance(node, ast.ImportFrom) else None
            names = [alias.name for alias in node.names]
            for alias in node.names:
                full = f"{module}.{alias.name}" if module else alias.name
                if _BY_NAME_MODULES.fullmatch(full):
                    return True
                # Under another name nobody would know it.
                if (full == "sys" and alias.asname) or (module == "sys" and alias.name in {*_SYS, "*"}):
                    return True
        elif isinstance(node, ast.Attribute):
            names = [node.attr]
            if node.attr == "sys":
                return True
            if isinstance(node.value, ast.Name) and node.value.id == "sys" and node.attr not in _SYS:
                # (A node comes before those in it.)
                known_uses.add(node.value)
        elif isinstance(node, ast.Name):
            names = [node.id]
            if node.id in _BUILT_IN or (node.id == "sys" and node not in known_uses):
                return True
        elif isinstance(node, ast.keyword):
            names = [node.arg]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("__"):
            names = [node.value]
        if any(_BY_NAME.fullmatch(name) for name in names if name):
            return True
    return False
