"""What of a model's folder is in a cache key: at least what runs, and little else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from components.runtime.launch.module_code import files_of, files_of_metrics
from components.runtime.module_file.loading import call, load_function
from tests.support import ROOT

Files = dict[str, str]

OTHERS: Files = {
    "model.py": "",
    "features.py": "NAMES = 1",
    "sizes.py": "",
    "parts/__init__.py": "import sizes",
    "parts/one.py": "ONE = 1",
    "parts/two.py": "",
    "parts/deep/__init__.py": "",
    "parts/deep/three.py": "",
    "loose/four.py": "",
    "tests/test_model.py": "",
    "words.txt": "a",
}
PARTS = {"parts/__init__.py", "sizes.py"}
LISTED: Files = {"lists/en/a.csv": "1"}
THREE = {*PARTS, "parts/deep/__init__.py", "parts/deep/three.py"}

EXACT: list[tuple[Files, set[str]]] = [
    ({"main.py": ""}, set()),
    ({"main.py": "import json"}, set()),
    ({"main.py": "import features"}, {"features.py"}),
    ({"main.py": "import features as f, sizes"}, {"features.py", "sizes.py"}),
    ({"main.py": "from features import NAMES"}, {"features.py"}),
    ({"main.py": "from features import *"}, {"features.py"}),
    ({"main.py": "import parts"}, PARTS),
    ({"main.py": "import parts.one"}, {*PARTS, "parts/one.py"}),
    ({"main.py": "import parts.deep.three"}, THREE),
    ({"main.py": "from parts import one"}, {*PARTS, "parts/one.py"}),
    ({"main.py": "from parts.one import ONE"}, {*PARTS, "parts/one.py"}),
    ({"main.py": "from loose import four"}, {"loose/four.py"}),
    ({"main.py": "import loose.four"}, {"loose/four.py"}),
    ({"main.py": "def run_fn():\n  from parts.deep import three"}, THREE),
    ({"main.py": "class A:\n  import features"}, {"features.py"}),
    ({"main.py": "try:\n  import nothing_of_this_name\nexcept ImportError:\n  import features"}, {"features.py"}),
    ({"main.py": "try:\n  from . import features\nexcept ImportError:\n  import features"}, {"features.py"}),
    ({"main.py": "import parts.two", "parts/two.py": "from . import one"}, {*PARTS, "parts/one.py", "parts/two.py"}),
    ({"main.py": "import parts.two", "parts/two.py": "from .one import ONE"}, {*PARTS, "parts/one.py", "parts/two.py"}),
    ({"main.py": "import parts.two", "parts/two.py": "from .deep import three"}, {*THREE, "parts/two.py"}),
    ({"main.py": "import parts.deep.three", "parts/deep/three.py": "from .. import one"}, {*THREE, "parts/one.py"}),
    ({"main.py": "import parts.deep.three", "parts/deep/three.py": "from ..one import *"}, {*THREE, "parts/one.py"}),
    ({"main.py": "import parts", "parts/__init__.py": "from .one import ONE"}, {"parts/__init__.py", "parts/one.py"}),
    ({"main.py": "import round", "round.py": "import main, features"}, {"round.py", "features.py"}),
    ({"main.py": "import sys\nprint(sys.version, file=sys.stderr)"}, set()),
    ({"main.py": "class M:\n  def compile(self): return 1\nM().compile()"}, set()),
    # Two of one name: the package wins today, and the other one where it is taken away.
    ({"main.py": "import sizes", "sizes/__init__.py": ""}, {"sizes.py", "sizes/__init__.py"}),
    # What libraries would get in place of Python's own.
    ({"main.py": "", "sched.py": ""}, {"sched.py"}),
    ({"main.py": "", "wsgiref/__init__.py": "", "wsgiref/util.py": ""}, {"wsgiref/__init__.py", "wsgiref/util.py"}),
    # Data, and code that is named as data is.
    ({"main.py": 'TEXT = "words.txt"'}, {"words.txt"}),
    ({"main.py": "import parts.one", "parts/one.py": 'A = "../words.txt"'},
     {*PARTS, "parts/one.py", "words.txt"}),
    ({"main.py": 'import os\nTEXT = os.path.dirname(__file__) + "/words.txt"'}, {"words.txt"}),
    ({"main.py": 'import os\nTEXT = f"{os.path.dirname(__file__)}/words.txt"'}, {"words.txt"}),
    ({"main.py": 'name = "words"\nTEXT = f"{name}.txt"'}, {"words.txt"}),
    ({"main.py": 'import pathlib\nTEXT = pathlib.Path(__file__).with_suffix(".txt")'}, {"words.txt"}),
    ({"main.py": 'SCRIPT = "loose/four.py"', "loose/four.py": "import features"}, {"loose/four.py", "features.py"}),
    ({"main.py": 'LAYER = "features.NAMES"'}, {"features.py"}),
    ({"main.py": 'LAYER = "parts.one:ONE"'}, {*PARTS, "parts/one.py"}),
    ({"main.py": 'TEXT = "{}.txt".format("words")'}, {"words.txt"}),
    ({"main.py": 'TEXT = "%s.txt" % "words"'}, {"words.txt"}),
    ({"main.py": 'TEXT = "{}.{} of %s"'}, set()),
    # What lists a folder may read all of it but code.
    ({"main.py": 'from pathlib import Path\nlist(Path(__file__).parent.rglob("*.csv"))', **LISTED}, {"lists/en/a.csv"}),
    ({"main.py": 'import glob\nglob.glob("**/*.csv", recursive=True)', **LISTED}, {"lists/en/a.csv"}),
    ({"main.py": "from pathlib import Path\nlist(Path(__file__).parent.iterdir())", **LISTED}, {"words.txt", *LISTED}),
    ({"main.py": 'from pathlib import Path\nlist(Path(__file__).parent.glob("*"))', **LISTED}, {"words.txt", *LISTED}),
    ({"main.py": "import os\nlist(os.walk(os.path.dirname(__file__)))", **LISTED}, {"words.txt", *LISTED}),
    ({"main.py": "from os import listdir as read\nread(__file__[:-7])", **LISTED}, {"words.txt", *LISTED}),
    ({"main.py": "import os\nlist(os.scandir(__file__[:-7]))", **LISTED}, {"words.txt", *LISTED}),
    ({"main.py": 'import ast\nast.walk(ast.parse("1"))', **LISTED}, set()),
    ({"main.py": 'COLUMN, LONG, PATTERN = "model", "a" * 9, "*"'}, set()),
]  # fmt: skip


BY_NAME: list[Files] = [
    {"main.py": "import importlib\ndef run_fn():\n  importlib.import_module('fea' + 'tures')"},
    {"main.py": "from importlib import import_module as load\ndef run_fn():\n  load('tests.test_model')"},
    {"main.py": "import importlib.util"},
    {"main.py": "__import__('fea' + 'tures')"},
    {"main.py": "getattr(__builtins__, '__imp' + 'ort__', None)"},
    {"main.py": "vars().get('__builtins__')"},
    {"main.py": "exec('import ' + 'features')"},
    {"main.py": "eval('1')"},
    {"main.py": "compile('1', '', 'eval')"},
    {"main.py": "import runpy\ndef run_fn():\n  runpy.run_path(__file__[:-7] + 'features' + '.p' + 'y')"},
    {"main.py": "import sys\nsys.path.append(__file__[:-7] + 'parts')\nimport one"},
    {"main.py": "import sys\ngetattr(sys, 'path')"},
    {"main.py": "import sys as system_\nsystem_.path"},
    {"main.py": "from sys import path"},
    {"main.py": "import os\nos.sys.path"},
    {"main.py": "import os\nos.system('true')"},
    {"main.py": "from os import execv"},
    {"main.py": "import subprocess"},
    {"main.py": "import pickle"},
    {"main.py": "from logging import config"},
    {"main.py": "def run_fn():\n  pass\ndef other(keras):\n  keras.models.load_model('a')"},
    {"main.py": "def run_fn():\n  pass\ndef other(np):\n  np.load('a', allow_pickle=True)"},
    {"main.py": "from components.runtime import trial"},
    {"main.py": "def run_fn():\n  pass\ndef other(keras):\n  keras.Model.from_config({})"},
    {"main.py": "def run_fn():\n  pass\ndef other(yaml):\n  yaml.load('a', yaml.Loader)"},
    {"main.py": "from types import SimpleNamespace as LazyLoader\nLazyLoader()\nLazyLoader"},
    {"main.py": "import parts\nparts.__path__.append(__file__[:-7] + 'loose')\nfrom parts import four"},
    {"main.py": "import parts.one", "parts/one.py": "import importlib"},
    {"main.py": "try:\n  import broken\nexcept SyntaxError:\n  pass", "broken.py": "def"},
    {"main.py": "try:\n  import fast\nexcept ImportError:\n  pass", "fast.so": ""},
    {"main.py": "try:\n  from .. import features\nexcept ImportError:\n  pass"},
    {"main.py": "try:\n  import mine.features\nexcept ImportError:\n  pass"},
]
"""Code that may import what it does not spell out."""

BELOW = {"main.py", *(name for name in OTHERS if name.endswith(".py"))}


def written(folder: Path, files: Files) -> Path:
    for name, code in (OTHERS | files).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tells = f"print('ran ' {name!r})\n" if name.endswith(".py") else ""
        (folder / name).write_text(tells + code)
    return folder / "main.py"


def ran(module: Path, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The files that really run when a stage loads a module and calls its function."""
    if "run_fn" not in module.read_text():
        with module.open("a") as stream:
            stream.write("\ndef run_fn():\n  pass")
    capsys.readouterr()
    call(load_function(str(module), "run_fn"))
    return {line.removeprefix("ran ") for line in capsys.readouterr().out.splitlines()}


@pytest.mark.parametrize(("files", "counted"), EXACT)
def test_what_is_imported_and_named_counts(
    tmp_path: Path, files: Files, counted: set[str], capsys: pytest.CaptureFixture[str]
) -> None:
    module = written(tmp_path / "mine", files)
    assert files_of(module, ROOT).keys() == {"main.py", *counted}
    assert ran(module, capsys) <= {"main.py", *counted}


@pytest.mark.parametrize("files", BY_NAME)
def test_all_python_files_count_where_one_may_import_by_name(
    tmp_path: Path, files: Files, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [*sys.path])
    module = written(tmp_path / "mine", files)
    counted = files_of(module, ROOT).keys()
    assert counted >= {*BELOW, *files} - {"words.txt"}
    assert ran(module, capsys) <= counted


def test_what_is_imported_of_the_project_counts_with_its_data(tmp_path: Path) -> None:
    project = tmp_path / "project"
    written(
        project / "models" / "first", {"__init__.py": "", "parts/two.py": 'WORDS = "list.txt"', "parts/list.txt": ""}
    )
    module = written(tmp_path / "mine", {"main.py": "from models.first.parts import two"})
    first = ("parts/__init__.py", "parts/two.py", "parts/list.txt", "__init__.py")
    assert files_of(module, project).keys() == {"main.py", "sizes.py", *(f":/models/first/{name}" for name in first)}
    # One that lies in the project goes by its own paths.
    own = project / "models" / "first" / "main.py"
    own.write_text("import models.first.features")
    assert files_of(own, project).keys() == {"main.py", "features.py", "__init__.py"}


@pytest.mark.parametrize(
    "code",
    [
        'from pathlib import Path\nTEXT = Path(__file__).parents[1] / "above.txt"',
        'from pathlib import Path\nTEXT = Path(__file__).resolve().parent.parent / "above.txt"',
        'from pathlib import Path\nHERE = Path(__file__).parent\nTEXT = HERE.parent / "above.txt"',
        'import os\nTEXT = os.path.join(os.path.dirname(os.path.dirname(__file__)), "above.txt")',
        'import os\nTEXT = os.path.join(os.path.dirname(__file__), "..", "above.txt")',
        'import os\nTEXT = os.path.join(os.path.dirname(__file__), os.pardir, "above.txt")',
        'TEXT = __file__[:-7] + "../above.txt"',
        'TEXT = "../above.txt"',
        'TEXT = "{above}"',
    ],
)
def test_a_file_outside_of_the_folder_counts_by_its_place(tmp_path: Path, code: str) -> None:
    above = tmp_path / "above.txt"
    above.write_text("a")
    module = written(tmp_path / "mine", {"main.py": code.replace("{above}", str(above))})
    found = files_of(module, ROOT)
    assert [name for name in found if name != "main.py"] == [f":/{above}"]
    # In the project it goes by the place there.
    if str(above) not in module.read_text():
        assert files_of(module, tmp_path).keys() == {"main.py", ":/above.txt"}
    # What the code says of no other folder is not looked for there, nor what a system tells of itself.
    assert files_of(written(tmp_path / "mine", {"main.py": 'A = "above.txt", "/proc/uptime"'}), ROOT).keys() == {
        "main.py"
    }


def test_a_module_in_the_projects_own_folder_may_import_all_of_it_by_name(tmp_path: Path) -> None:
    module = written(tmp_path, {"main.py": "import importlib"})
    assert files_of(module, tmp_path).keys() >= BELOW
    assert "features.py" not in files_of(written(tmp_path, {"main.py": ""}), tmp_path)


def test_a_module_behind_a_link_counts_with_what_lies_beside_it(tmp_path: Path) -> None:
    written(tmp_path / "mine", {"main.py": "import features"})
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "model.py").symlink_to(tmp_path / "mine" / "main.py")
    (tmp_path / "linked" / "features.py").write_text("")
    counted = files_of(tmp_path / "linked" / "model.py", ROOT)
    assert counted == {name: tmp_path / "mine" / name for name in ("main.py", "features.py")}


def test_modules_of_metrics_count_with_what_they_import(tmp_path: Path) -> None:
    written(tmp_path, {"main.py": "import features"})
    config = tmp_path / "evaluation.pbtxt"
    config.write_text('metrics { class_name: "AUC" } metrics { class_name: "M" module: "components.evaluate.metrics" }')
    assert files_of_metrics(config, ROOT) == {}
    config.write_text("metrics { class_name: 'M' module :\n 'main' }")
    assert files_of_metrics(config, ROOT).keys() == {"main.py", "features.py"}


def test_each_module_of_taxi_counts_by_what_it_needs() -> None:
    taxi = ROOT / "models" / "taxi"
    assert files_of(taxi / "preprocessing.py", ROOT).keys() == {"preprocessing.py"}
    assert files_of(taxi / "model.py", ROOT).keys() == {"model.py", "preprocessing.py"}
