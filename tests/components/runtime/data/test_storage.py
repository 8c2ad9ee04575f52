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
from tests.object_storage import object_storage


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    root = tmp_path / "storage"
    (root / "code" / "mine").mkdir(parents=True)
    with object_storage(root) as query:
        yield root / "code" / "mine", query
    local_file.cache_clear()


def test_a_path_is_taken_as_it_is(tmp_path: Path) -> None:
    assert local_file("models/taxi/model.py") == Path("models/taxi/model.py")
    assert local_file(f"file://{tmp_path}/a.py") == tmp_path / "a.py"
    assert origin(tmp_path / "a.py") == str(tmp_path / "a.py")


def test_a_module_comes_with_its_neighbours(bucket: tuple[Path, str]) -> None:
    folder, query = bucket
    (folder / "features.py").write_text("NAME = 'fare'\n")
    (folder / "model.py").write_text("import features\ndef run_fn():\n    return features.NAME\n")
    (folder / "notes.txt").write_text("not code\n")
    uri = f"s3://code/mine/model.py{query}"
    assert call(load_function(uri, "run_fn")) == "fare"
    assert sorted(file.name for file in local_file(uri).parent.glob("*.*")) == ["features.py", "model.py"]
    assert origin(local_file(uri)) == "s3://code/mine/model.py"


def test_mistakes_in_the_module_are_told_by_its_uri(bucket: tuple[Path, str]) -> None:
    folder, query = bucket
    (folder / "model.py").write_text("def run_fn():\n    raise ValueError('no rows')\n")
    (folder / "broken.py").write_text("def run_fn(:\n")
    function = load_function(f"s3://code/mine/model.py{query}", "run_fn")
    with pytest.raises(InputError, match=r"^s3://code/mine/model\.py:2: ValueError: no rows \(in run_fn\)$"):
        call(function)
    with pytest.raises(InputError, match=r"^s3://code/mine/model\.py: no function 'tuner_fn'; did you mean 'run_fn'"):
        load_function(f"s3://code/mine/model.py{query}", "tuner_fn")
    with pytest.raises(InputError, match=r"^s3://code/mine/broken\.py:1: SyntaxError"):
        load_function(f"s3://code/mine/broken.py{query}", "run_fn")


def test_a_file_that_is_not_there(bucket: tuple[Path, str]) -> None:
    with pytest.raises(InputError, match=r"^s3://code/mine/none\.py: cannot be read"):
        local_file(f"s3://code/mine/none.py{bucket[1]}")
    with pytest.raises(InputError, match="files cannot be read from ftp"):
        local_file("ftp://host/model.py")


def test_the_cache_goes_by_the_content_of_a_module(bucket: tuple[Path, str]) -> None:
    folder, query = bucket
    uri = f"s3://code/mine/model.py{query}"

    def key() -> str:
        local_file.cache_clear()
        parameters = {"module_file": uri}
        task = Task("p", "train", "train", "run", {}, {"image": "i"}, parameters, {}, "code")
        assert task.reusable
        return task.key

    (folder / "model.py").write_text("import features\n")
    (folder / "features.py").write_text("A = 1\n")
    first = key()
    assert key() == first
    (folder / "features.py").write_text("A = 2\n")
    assert key() != first, "a neighbour counts, since the module may import it"
    assert execution.find(folder, Task("p", "t", "t", "r", {}, {"image": "i"}, {"module_file": uri}, {}, "c")) is None
