"""The tests' own runner: every test runs in one environment, and what was skipped is told in one line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from scripts import run_tests
from tests.support import ROOT

NO_PLUGINS = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
"""Those that are installed take longer to import than the tests here take."""

MIXED = """
import pytest
def test_good(): pass
@pytest.mark.parametrize("name", ["taxi", "pets"])
def test_data(name): pytest.skip(f"needs test data that is not here: {name}")
def test_image(): pytest.skip("the image millrace/train:3f2a is not built: make images STAGE=train")
@pytest.mark.skipif(True, reason="needs Chromium")
def test_page(): pass
"""


def test_every_test_runs_in_one_environment() -> None:
    files = [path for path in (ROOT / "tests").rglob("test_*.py") if "cluster" not in path.parts]
    taken = dict.fromkeys(files, 0)
    for paths in run_tests.folders().values():
        given = [ROOT / path for path in paths if not path.startswith("--")]
        ignored = [ROOT / path.removeprefix("--ignore=") for path in paths if path.startswith("--ignore=")]
        for file in files:
            inside = any(file.is_relative_to(path) for path in given)
            taken[file] += inside and not any(file.is_relative_to(path) for path in ignored)
    assert set(taken.values()) == {1}


def run_pytest(folder: Path, text: str) -> run_tests.Outcome:
    (folder / "test_some.py").write_text(text)
    report = folder / "report.xml"
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", folder, f"--junitxml={report}", folder],
        check=False,
        capture_output=True,
        env=os.environ | NO_PLUGINS,
    )
    return run_tests.read_report(report)


def test_what_was_skipped_is_told_by_kind(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, MIXED)
    assert outcome.counts == {"passed": 1, "skipped": 4}
    assert run_tests.told(outcome.skipped) == (
        "4 skipped: 2 need test data that is not here (make test-data); 1 need Chromium; "
        "1 need the stages' images (make images)"
    )
    assert run_tests.told(Counter()) == ""
    assert run_tests.told(Counter({f"needs {name}": 1 for name in "abcdef"})).endswith("; and 2 more reasons")


def test_a_failure_is_counted(tmp_path: Path) -> None:
    outcome = run_pytest(tmp_path, "def test_bad(): assert False\ndef test_worse(nothing): pass\n")
    assert outcome.counts == {"failed": 2}


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        pytest.param("def test_good(): pass\n", 0, "1 passed, 0 failed, 0 skipped", marks=pytest.mark.slow),
        ("def test_bad(): assert False\n", 1, "error: tests failed in: client"),
        ("", 1, "error: no test was found"),
    ],
)
def test_the_end_says_how_it_went(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], text: str, code: int, said: str
) -> None:
    (tmp_path / "test_some.py").write_text(text)
    monkeypatch.setattr(run_tests, "folders", lambda: {"client": [str(tmp_path)]})
    assert run_tests.main(["--numprocesses=0", "-c", os.devnull, "--rootdir", str(tmp_path)]) == code
    assert said in "".join(capfd.readouterr())


def test_two_environments_work_side_by_side_and_what_each_says_stands_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Each waits for the other's file: neither would end alone."""
    for name, other in (("client", "data"), ("data", "client")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "test_some.py").write_text(
            "import pathlib, time\n"
            "def test_side_by_side():\n"
            f"    pathlib.Path({str(tmp_path / name / 'begun')!r}).touch()\n"
            f"    other = pathlib.Path({str(tmp_path / other / 'begun')!r})\n"
            "    end = time.monotonic() + 60\n"
            "    while not other.exists() and time.monotonic() < end: time.sleep(0.05)\n"
            f"    assert other.exists() and {name != 'data'}, 'this is said by {name}'\n"
        )
    environments = {name: [str(tmp_path / name)] for name in ("client", "data")}
    monkeypatch.setattr(run_tests, "folders", lambda: environments)
    assert run_tests.main(["--numprocesses=0", "-c", os.devnull, "--rootdir", str(tmp_path)]) == 1
    said = capfd.readouterr()
    assert "error: tests failed in: data" in said.err
    _, _, of_data = said.out.partition("== tests in the environment data\n")
    assert "this is said by data" in of_data
    assert "1 passed, 1 failed, 0 skipped" in of_data


def test_tests_see_nothing_of_the_environment_that_starts_them(tmp_path: Path) -> None:
    (tmp_path / "test_seen.py").write_text(
        "import os\n"
        "def test_seen():\n"
        "    assert not {'KUBECONFIG', 'HTTPS_PROXY', 'MILLRACE_NOTIFY_URL', 'TZ', 'NO_COLOR'} & set(os.environ)\n"
        f"    assert os.environ['HOME'] != {str(tmp_path)!r} and os.listdir(os.environ['HOME']) == []\n"
        "    assert os.listdir() == []\n"
    )
    conftest = (ROOT / "tests" / "conftest.py").read_text()
    (tmp_path / "conftest.py").write_text(conftest)
    foreign = {"KUBECONFIG": "x", "HTTPS_PROXY": "x", "MILLRACE_NOTIFY_URL": "x", "TZ": "x", "NO_COLOR": "1"}
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", tmp_path, tmp_path],
        env=os.environ | NO_PLUGINS | foreign | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout
