"""Files that are named by a URI, and what is copied of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from components.runtime.data.storage import local_file, origin
from components.runtime.errors import InputError
from components.runtime.launch import execution
from components.runtime.launch.task import Task
from components.runtime.module_file.loading import call, load_function
from tests.buckets import SCHEMES, Raw, raw_buckets


@pytest.fixture(params=SCHEMES)
def bucket(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Raw]:
    (tmp_path / "storage" / "code" / "mine").mkdir(parents=True)
    with raw_buckets(tmp_path / "storage", request.param, monkeypatch) as found:
        yield found
    local_file.cache_clear()


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert local_file("models/taxi/model.py") == Path("models/taxi/model.py")
    assert local_file(f"file://{tmp_path}/a.py") == tmp_path / "a.py"
    assert origin(tmp_path / "a.py") == str(tmp_path / "a.py")


def test_a_module_comes_with_its_neighbours(bucket: Raw) -> None:
    folder = bucket.root / "code" / "mine"
    (folder / "features.py").write_text("NAME = 'fare'\n")
    (folder / "model.py").write_text("import features\ndef run_fn():\n    return features.NAME\n")
    (folder / "notes.txt").write_text("not code\n")
    uri = bucket.uri("code/mine/model.py")
    assert call(load_function(uri, "run_fn")) == "fare"
    assert sorted(file.name for file in local_file(uri).parent.glob("*.*")) == ["features.py", "model.py"]
    assert origin(local_file(uri)) == bucket.shown("code/mine/model.py")


def test_mistakes_in_the_module_are_told_by_its_uri(bucket: Raw) -> None:
    folder = bucket.root / "code" / "mine"
    (folder / "model.py").write_text("def run_fn():\n    raise ValueError('no rows')\n")
    (folder / "broken.py").write_text("def run_fn(:\n")
    place = bucket.shown("code/mine")
    function = load_function(bucket.uri("code/mine/model.py"), "run_fn")
    with pytest.raises(
        InputError, match=rf"^{bucket.scheme}://code/mine/model\.py:2: ValueError: no rows \(in run_fn\)$"
    ):
        call(function)
    with pytest.raises(
        InputError, match=rf"^{bucket.scheme}://code/mine/model\.py: no function 'tuner_fn'; did you mean 'run_fn'"
    ):
        load_function(bucket.uri("code/mine/model.py"), "tuner_fn")
    with pytest.raises(InputError, match=rf"^{place}/broken\.py:1: SyntaxError"):
        load_function(bucket.uri("code/mine/broken.py"), "run_fn")


def test_a_file_that_is_not_there(bucket: Raw) -> None:
    with pytest.raises(InputError, match=rf"^{bucket.scheme}://code/mine/none\.py: cannot be read"):
        local_file(bucket.uri("code/mine/none.py"))
    with pytest.raises(InputError, match="files cannot be read from ftp"):
        local_file("ftp://host/model.py")


def test_the_cache_goes_by_the_content_of_a_module(bucket: Raw) -> None:
    folder = bucket.root / "code" / "mine"

    def key() -> str:
        local_file.cache_clear()
        parameters = {"module_file": bucket.uri("code/mine/model.py")}
        task = Task("p", "train", "train", "run", {}, {"image": "i"}, parameters, {}, "code")
        assert task.reusable
        return task.key

    (folder / "model.py").write_text("import features\n")
    (folder / "features.py").write_text("A = 1\n")
    first = key()
    assert key() == first
    (folder / "features.py").write_text("A = 2\n")
    assert key() != first, "a neighbour counts, since the module may import it"
    uri = bucket.uri("code/mine/model.py")
    assert execution.find(folder, Task("p", "t", "t", "r", {}, {"image": "i"}, {"module_file": uri}, {}, "c")) is None
