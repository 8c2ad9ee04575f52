"""Loading users' functions: what can be wrong with a file, what its folder offers, and whose line an error names."""

import errno
import sys
from pathlib import Path

import pytest

from components.runtime.errors import InputError, TransientError
from components.runtime.module_file.loading import call, load_function


def write(folder: Path, name: str, text: str) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    return str(path)


def test_function_sees_the_other_files_of_its_folder_and_nothing_leaks(tmp_path: Path) -> None:
    write(tmp_path, "features.py", "KEY = 'fare'\n")
    write(tmp_path, "late.py", "VALUE = 7\n")
    file = write(
        tmp_path, "model.py", "import features\ndef run():\n    import late\n    return features.KEY, late.VALUE\n"
    )
    path, modules = list(sys.path), set(sys.modules)
    function = load_function(file, "run")
    assert call(function) == ("fare", 7)
    assert call(function) == ("fare", 7)
    assert sys.path == path
    assert not {"features", "late", "model"} & (set(sys.modules) - modules)


def test_two_models_may_have_files_of_the_same_name(tmp_path: Path) -> None:
    functions = []
    for name in ("taxi", "digits"):
        write(tmp_path / name, "features.py", f"NAME = '{name}'\n")
        text = (
            "import features\n\ndef run():\n    import features as again\n    return features.NAME, again is features\n"
        )
        functions.append(load_function(write(tmp_path / name, "model.py", text), "run"))
    assert [call(function) for function in functions] == [("taxi", True), ("digits", True)]


def test_a_module_that_someone_else_imported_is_not_taken_for_a_file_of_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "other", "features.py", "NAME = 'other'\n")
    monkeypatch.syspath_prepend(str(tmp_path / "other"))
    import features  # type: ignore[import-not-found]

    try:
        write(tmp_path / "mine", "features.py", "NAME = 'mine'\n")
        file = write(tmp_path / "mine", "model.py", "import features\n\ndef run():\n    return features.NAME\n")
        assert call(load_function(file, "run")) == "mine"
        assert sys.modules["features"] is features
    finally:
        del sys.modules["features"]


def test_a_file_with_the_name_of_a_library_leaves_the_library_alone(tmp_path: Path) -> None:
    import json

    file = write(tmp_path, "json.py", "def run():\n    import json\n    return json.dumps([1])\n")
    load_function(file, "run")
    assert sys.modules["json"] is json


def test_dataclasses_and_pickles_work_in_a_users_file(tmp_path: Path) -> None:
    text = (
        "from __future__ import annotations\nimport pickle\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Point:\n    x: int\n\n\ndef run():\n    return pickle.loads(pickle.dumps(Point(3))).x\n"
    )
    assert call(load_function(write(tmp_path, "shapes.py", text), "run")) == 3


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("m.py", "def other():\n  return 1\n", "no function 'run'; it has: other"),
        ("m.py", "def runn():\n  return 1\n", "no function 'run'; did you mean 'runn'? it has: runn"),
        ("m.py", "x = 1\n", "no function 'run'; it has: none"),
        ("m.py", "run = 3\n", "'run' is a int, expected a function"),
        ("m.py", "def run(:\n  return 1\n", "m.py:1: SyntaxError: invalid syntax"),
        ("m.py", "def run():\n  x = 1\n    return 1\n", "m.py:3: IndentationError: unexpected indent"),
        ("m.py", "import os\nimport nowhere\n", "m.py:2: ModuleNotFoundError: No module named 'nowhere'; put it"),
        ("m.py", "\nraise ValueError('no')\n", "m.py:2: ValueError: no"),
        ("m.py", "import sys\nsys.exit(3)\n", "m.py:2: SystemExit: 3"),
        ("m.txt", "def run(): pass\n", "not a Python file (.py)"),
    ],
)
def test_faulty_files(tmp_path: Path, name: str, text: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        load_function(write(tmp_path, name, text), "run")
    assert expected in str(caught.value)
    assert str(tmp_path) in str(caught.value)


def test_syntax_error_in_another_file_of_the_folder_names_that_file(tmp_path: Path) -> None:
    write(tmp_path, "features.py", "a = 1\nb = (\n")
    with pytest.raises(InputError, match=r"features\.py:2: SyntaxError: '\(' was never closed"):
        load_function(write(tmp_path, "m.py", "import features\n"), "run")


def test_missing_file_folder_and_no_setting(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.py: no such file; it should be the Python file that has run"):
        load_function(str(tmp_path / "nothing.py"), "run")
    with pytest.raises(InputError, match="not a Python file"):
        load_function(str(tmp_path), "run")
    with pytest.raises(InputError, match="no module file is set"):
        load_function("", "run")


def test_an_error_names_the_users_line_and_its_trace_goes_to_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "features.py", "def pick(values):\n    return values['speed']\n")
    file = write(tmp_path, "m.py", "import features\n\ndef run(values):\n    return features.pick(values)\n")
    with pytest.raises(InputError) as caught:
        call(load_function(file, "run"), {})
    assert str(caught.value) == f"{tmp_path / 'features.py'}:2: KeyError: 'speed' (in run)"
    log = capsys.readouterr().err
    assert "return features.pick(values)" in log
    assert "modules.py" not in log


def test_an_error_of_a_library_names_the_users_line_that_called_it(tmp_path: Path) -> None:
    file = write(tmp_path, "m.py", "import json\n\ndef run():\n    return json.loads('{')\n")
    with pytest.raises(InputError, match=r"m\.py:4: JSONDecodeError: .* \(in run\)"):
        call(load_function(file, "run"))


def test_wrong_arguments_name_the_function(tmp_path: Path) -> None:
    file = write(tmp_path, "m.py", "\n\ndef run(a, b):\n    return a\n")
    with pytest.raises(
        InputError, match=r"m\.py:3: TypeError: .*missing 1 required positional argument: 'b' \(in run\)"
    ):
        call(load_function(file, "run"), 1)


def test_known_errors_pass_through(tmp_path: Path) -> None:
    file = write(tmp_path, "m.py", "def run(error):\n    raise error\n")
    function = load_function(file, "run")
    for error in (InputError("mend it"), TransientError("later"), OSError(errno.ENOSPC, "No space left on device")):
        with pytest.raises(type(error)) as caught:
            call(function, error)
        assert caught.value is error
    with pytest.raises(InputError, match="FileNotFoundError"):
        call(function, FileNotFoundError(errno.ENOENT, "No such file or directory", "x"))
