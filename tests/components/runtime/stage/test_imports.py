"""How libraries are imported, on libraries made here."""

from __future__ import annotations

import gc
import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from components.runtime.stage import imports

# What real libraries do with another library while they are imported.
_USER = """
import heavy
import heavy.deep.part as part
from heavy.types import Kind, decorated
from typing import Dict, Optional

class Step(heavy.PTransform):
    size: Optional[heavy.Size] = None

@decorated("a", heavy.KV[int, heavy.Size])
class Decorated:
    pass

MADE = part.Counter("name")

def measured() -> int:
    return heavy.metrics.twice(21)

def run():
    return part.work()
"""
_HEAVY = "PTransform = object\nclass Whole: pass\n"


@pytest.fixture
def libraries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """`library`, whose `__init__` and whose module `used` import `heavy`."""
    for file, text in {
        "library/__init__.py": "import heavy\nWHOLE = heavy.Whole",
        "library/used.py": _USER,
        "library/message_pb2.py": "MESSAGE = object()",
        "heavy/__init__.py": _HEAVY,
    }.items():
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    before = dict(sys.modules)
    yield tmp_path
    for name in [name for name in sys.modules if name not in before]:
        del sys.modules[name]


def used(given: dict[str, Any] | None = None) -> Any:
    with imports.apart("library", shared_with=[], left_out=["heavy"], given=given or {}):
        return importlib.import_module("library.used")


@pytest.mark.usefixtures("libraries")
def test_a_library_does_without_what_is_left_out_and_others_get_the_whole() -> None:
    module = used({"heavy.metrics.twice": lambda number: 2 * number})
    assert module.measured() == 42
    assert module.Step.__mro__ == (module.Step, object)
    assert not {"library", "library.used", "heavy"} & set(sys.modules)
    whole = importlib.import_module("library")
    assert whole.WHOLE is sys.modules["heavy"].Whole
    assert module.measured() == 42


@pytest.mark.usefixtures("libraries")
def test_what_is_left_out_cannot_be_called_afterwards() -> None:
    with pytest.raises(RuntimeError, match=r"heavy\.deep\.part\.work was called, of a library that is left out"):
        used().run()
    with pytest.raises(TypeError):
        isinstance(1, used().Kind)
    with pytest.raises(TypeError):
        iter(used().MADE)


@pytest.mark.usefixtures("libraries")
def test_who_has_the_whole_library_keeps_it() -> None:
    whole, heavy = importlib.import_module("library"), importlib.import_module("heavy")
    with imports.apart("library", shared_with=[], left_out=["heavy"], given={}) as copies:
        assert importlib.import_module("library") is not whole
        assert importlib.import_module("heavy") is heavy, "other threads use it"
    with copies.in_place():
        assert importlib.import_module("heavy") is heavy
    assert (sys.modules["library"], sys.modules["heavy"]) == (whole, heavy)


@pytest.mark.usefixtures("libraries")
def test_messages_are_there_once() -> None:
    with imports.apart("library", shared_with=[], left_out=["heavy"], given={}):
        inside = importlib.import_module("library.message_pb2")
    assert importlib.import_module("library.message_pb2") is inside


def test_a_library_that_cannot_be_imported_leaves_nothing(libraries: Path) -> None:
    (libraries / "library" / "used.py").write_text("import heavy\nraise ValueError('broken')")
    before = (list(sys.meta_path), set(sys.modules))
    with pytest.raises(ValueError, match="broken"):
        used()
    assert (list(sys.meta_path), set(sys.modules)) == before


@pytest.fixture
def waiting(libraries: Path) -> Iterator[Any]:
    """`library`, which waits, with a module `part`; its module `broken` waits, too, and cannot be imported."""
    (libraries / "library" / "__init__.py").write_text("VALUE = 7\nfrom library.part import PART")
    (libraries / "library" / "part.py").write_text("import library\nPART = 'part'")
    (libraries / "library" / "broken.py").write_text("raise ImportError('no such thing')")
    before = list(sys.meta_path)
    sys.meta_path[:] = [finder for finder in before if not isinstance(finder, imports._Later)]
    imports.postpone(["library", "library.broken"])
    yield importlib.import_module("library")
    sys.meta_path[:] = before


def test_a_module_waits_until_something_is_taken_out_of_it(waiting: Any) -> None:
    assert hasattr(waiting, "__file__")
    assert not hasattr(waiting, "__wrapped__")
    assert inspect.getmodule(gc.collect) is gc
    assert "VALUE" not in vars(waiting)
    assert waiting.VALUE == 7
    assert waiting.__spec__.loader is waiting.__loader__
    with pytest.raises(AttributeError, match="no attribute 'OTHER'"):
        _ = waiting.OTHER


def test_it_is_filled_for_an_import_from_it_and_of_what_is_within(waiting: Any) -> None:
    assert importlib.import_module("library.part").PART == "part"
    assert vars(waiting)["VALUE"] == 7


@pytest.mark.usefixtures("waiting")
def test_one_that_cannot_be_imported_says_so_each_time() -> None:
    module = importlib.import_module("library.broken")
    for _ in range(2):
        with pytest.raises(ImportError, match="no such thing"):
            _ = module.VALUE
    with pytest.raises(ImportError, match="no such thing"):
        imports.fill("library")


def test_nothing_is_collected_during_imports_and_what_they_made_never() -> None:
    gc.unfreeze()
    with imports.quick():
        assert not gc.isenabled()
        with imports.quick():
            pass
        assert not gc.isenabled()
    assert gc.isenabled()
    assert gc.get_freeze_count() > 0
    gc.unfreeze()


def test_a_module_is_imported_without_what_its_package_imports_until_that_is_asked(libraries: Path) -> None:
    (libraries / "library" / "light.py").write_text("LIGHT = 1")
    imports.bare("library")
    from library import light  # type: ignore[import-not-found]

    assert (light.LIGHT, "heavy" in sys.modules) == (1, False)
    library = importlib.import_module("library")
    assert not hasattr(library, "__wrapped__")
    from library import WHOLE

    assert (WHOLE, library.light) == (sys.modules["heavy"].Whole, light)
    imports.bare("library")
    assert sys.modules["library"] is library
    with pytest.raises(AttributeError):
        _ = library.other
    imports.bare("no_such_library")
