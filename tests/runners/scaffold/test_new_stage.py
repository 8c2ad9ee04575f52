"""new-stage: what it makes passes the project's own checks at once; what it refuses changes nothing."""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from components.runtime.errors import InputError
from runners.commands import new_stage
from runners.commands.cli import cli
from runners.compiled.pipelines import compile_pipeline
from runners.scaffold import registration, stage
from runners.settings.model import load
from tests.runners.compiled_models import pods
from tests.runners.own_pipelines import EXAMPLES, block, write
from tests.support import ROOT

LONGEST = "a" * 30
TOOLS = ROOT / ".venv" / "tools" / "bin"


def copy(folder: Path) -> Path:
    """A copy of the project as git sees it, with the environments of this one."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".", ":!.venv"]
    found = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode != 0:
        pytest.skip("needs a checkout of git")
    for name in set(found.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    (folder / ".venv").symlink_to(ROOT / ".venv")
    return folder


def content(project: Path) -> dict[str, bytes]:
    """Every file below a checkout, but for what Python keeps."""
    ours = [path for path in project.iterdir() if path.name != ".venv"]
    files = [file for path in ours for file in (path, *path.rglob("*")) if "__pycache__" not in file.parts]
    return {file.relative_to(project).as_posix(): file.read_bytes() for file in files if file.is_file()}


def run(project: Path, *command: str | Path) -> str:
    result = subprocess.run(
        list(map(str, command)), cwd=project, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(project)},
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def call(project: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Any:
    monkeypatch.setattr(new_stage, "PROJECT", project)
    return CliRunner().invoke(cli, ["new-stage", *arguments])


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy that no test changes."""
    return copy(tmp_path_factory.mktemp("untouched"))


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A copy with a new stage in each environment, and what the first call said."""
    project = copy(tmp_path_factory.mktemp("grown"))
    said = run(project, sys.executable, "runners/commands/main.py", "new-stage", "count_rows")
    for name, environment in (("count2", "data"), (LONGEST, "ml")):
        stage.write(stage.scaffold(name, environment, project), project)
    return project, said


def test_every_file_is_told_and_what_is_left_to_do(grown: tuple[Path, str], untouched: Path) -> None:
    project, said = grown
    told = [line.split() for line in said.split("\n\n")[0].splitlines()]
    before, now = content(untouched), content(project)
    others = {place for place in now if "count2" in place or LONGEST in place}
    assert {place for word, place in told if word == "made"} == now.keys() - before.keys() - others
    assert {place for word, place in told if word == "changed"} == {
        place for place, text in before.items() if now[place] != text
    }
    assert len(told) == 10
    for file in ("components/count_rows/count_rows.py", "pipeline.py", "runners/settings/stages.py"):
        assert f"\n{file}   " in said
        assert (project / file).is_file()
    assert 'build.stage("count_rows", examples=examples)' in said


def test_specs_pages_and_the_new_tests_pass_at_once(grown: tuple[Path, str]) -> None:
    project, _ = grown
    run(project, sys.executable, "-m", "scripts.pages.stages_page", "--check")
    places = [f"tests/components/{name}" for name in ("count_rows", LONGEST)]
    said = run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_specs.py", *places)
    assert "failed" not in said
    assert "skipped" not in said


def test_style_format_and_import_rules_hold_at_once(grown: tuple[Path, str]) -> None:
    if not (TOOLS / "ruff").exists():
        pytest.skip("needs the tools of make check, in .venv/tools")
    project, _ = grown
    run(project, TOOLS / "ruff", "check", "--no-cache", "--output-format=concise", ".")
    run(project, TOOLS / "ruff", "format", "--no-cache", "--check", ".")
    run(project, TOOLS / "python", TOOLS / "lint-imports", "--no-cache")


@pytest.mark.slow
def test_types_images_and_settings_hold_at_once(grown: tuple[Path, str]) -> None:
    project, _ = grown
    if not (TOOLS / "mypy").exists():
        pytest.skip("needs the tools of make check, in .venv/tools")
    run(project, TOOLS / "mypy", "--python-executable", sys.executable)
    files = [
        "scripts/images/test_build_images.py",
        "scripts/test_run_tests.py",
        "runners/commands/test_compile.py",
        "runners/settings/test_settings.py",
        "runners/settings/test_cluster_settings.py",
    ]
    run(project, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *(f"tests/{file}" for file in files))


@pytest.mark.slow
@pytest.mark.parametrize(("name", "environment"), [("count2", "data"), (LONGEST, "ml")])
def test_the_new_tests_pass_in_the_stages_environment(grown: tuple[Path, str], name: str, environment: str) -> None:
    python = ROOT / ".venv" / environment / "bin" / "python"
    if not python.exists():
        pytest.skip(f"needs the environment {environment}")
    run(grown[0], python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"tests/components/{name}")


@pytest.mark.slow
def test_the_task_that_is_told_runs_in_the_pipeline(tmp_path: Path) -> None:
    """In the example of docs/pipelines.md, behind the evaluation."""
    project = copy(tmp_path / "project")
    run(project, sys.executable, "runners/commands/main.py", "new-stage", "count_rows")
    (project / "models" / "taxi" / "pipeline.py").write_text(block(f"pipeline.py: {EXAMPLES['added']}"))
    run(project, sys.executable, "-m", "scripts.data.sample_data", "taxi", "--rows", "300")
    run(project, sys.executable, "runners/commands/main.py", "run", "taxi", "--param", "train_steps=5")
    (found,) = project.glob("pipeline_root/artifacts/taxi/count-rows/*/counts/counts.json")
    assert sum(map(int, "".join(sign if sign.isdigit() else " " for sign in found.read_text()).split())) == 300
    (report,) = project.glob("pipeline_root/runs/*/report.html")
    assert "Rows of every split" not in report.read_text(), "a page's sections are embedded, not its title"
    assert "Count rows" in report.read_text()


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (
            "Count-Rows",
            "a stage is named in lower-case letters and digits, with single _ between words, such as count_rows",
        ),
        ("", "such as count_rows"),
        ("2nd", "such as nd"),
        ("größe", "lower-case letters and digits"),
        ("../elsewhere", "such as elsewhere"),
        ("a__b", "such as a_b"),
        ("a_", "such as a;"),
        ("a" * 31, "has 31 letters, and lines of code with it have room for 30"),
        ("class", "is a word of Python"),
        ("sum", "is a word of Python"),
        ("off", "YAML reads False where it stands"),
        ("push", "components/push is there already"),
        ("runtime", "components/runtime is there already"),
        ("base", "images/base is there already"),
        ("resolve_base", "pipeline.py has a task resolve-base, of another stage"),
        ("cluster", "means something else in a model's settings"),
        ("arguments", "means something else in a model's settings"),
        ("default", "means something else in a model's settings"),
        ("csv", "is also a module's, which could not be imported beside the function csv"),
        ("numpy", "is also a module's"),
        ("pipeline", "is also a module's"),
        ("tfrecord", "is also a module's"),
    ],
)
def test_names_that_no_stage_can_have(untouched: Path, monkeypatch: pytest.MonkeyPatch, name: str, reason: str) -> None:
    before = content(untouched)
    result = call(untouched, monkeypatch, "--", name)
    assert isinstance(result.exception, InputError)
    text = str(result.exception)
    assert text.startswith(f"NAME {name!r}: ")
    assert reason in text
    assert text.endswith("; nothing was changed")
    assert "\n" not in text
    assert content(untouched) == before


def test_a_refusal_is_one_line_and_65(untouched: Path) -> None:
    command = [sys.executable, "runners/commands/main.py", "new-stage", "push"]
    result = subprocess.run(command, cwd=untouched, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (65, "")
    assert result.stderr == (
        "error: NAME 'push': components/push is there already; choose another name, or move that away; "
        "nothing was changed\n"
    )


def test_an_unknown_environment_is_refused_with_those_there_are(
    untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = call(untouched, monkeypatch, "count_rows", "--environment", "gpu")
    assert result.exit_code == 2
    assert "'gpu' is not one of 'client', 'data', 'databases', 'export', 'ml'" in result.output


@pytest.mark.parametrize("written", [0, 5, 6, 9])
def test_an_error_in_the_middle_leaves_nothing(untouched: Path, monkeypatch: pytest.MonkeyPatch, written: int) -> None:
    """Six files are made, then four are changed."""
    before, folders = content(untouched), set(untouched.glob("*/*")) | set(untouched.glob("tests/components/*"))
    real, calls = stage.write_whole, itertools.count()

    def write_whole(file: Path, text: str) -> None:
        if next(calls) == written:
            raise OSError(errno.ENOSPC, "No space left on device", str(file))
        real(file, text)

    monkeypatch.setattr(stage, "write_whole", write_whole)
    result = call(untouched, monkeypatch, "count_rows")
    assert isinstance(result.exception, OSError)
    assert next(calls) > written
    assert content(untouched) == before
    assert set(untouched.glob("*/*")) | set(untouched.glob("tests/components/*")) == folders


def test_lists_of_another_form_are_refused() -> None:
    with pytest.raises(
        InputError, match=r"images/environments.yaml: has another form than new-stage knows; add .* hand"
    ):
        registration.environments("client:\n  stages:\n    - ingest\n", "count_rows", "client")
    rules = re.sub(r'("components\.\w+",)\n\]', r"\1 # last\n]", (ROOT / "pyproject.toml").read_text())
    with pytest.raises(InputError, match=r"pyproject.toml: has another form"):
        registration.import_rules(rules, "count_rows")
    with pytest.raises(InputError, match=r"docs/contract.md: has another form"):
        registration.contract("# Contract\n", "count_rows")


def test_a_stage_in_a_models_folder_is_compiled_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "mine", USES_IT)
    given = ("list_files", "--model", str(tmp_path / "mine"), "--image", "host:5000/tools/busybox:1.37")
    result = call(tmp_path, monkeypatch, *given)
    assert result.exception is None, result.output
    file = tmp_path / "mine" / "components" / "list_files" / "component.yaml"
    assert str(file) in result.output
    assert 'build.stage("list_files", examples=examples)  # runs call it list-files' in result.output
    made = pods(compile_pipeline(load(str(tmp_path / "mine"))))["list-files"]
    assert made["image"] == "host:5000/tools/busybox:1.37"
    assert made["command"] == ["sh", "-euc", 'find "$1" -type f > "$2"', "list_files"]
    again = call(tmp_path, monkeypatch, *given)
    assert "is there already; choose another NAME" in str(again.exception)


USES_IT = """
def pipeline(build, data):
    examples = build.stage("ingest", data=data).outputs["examples"]
    build.stage("list_files", examples=examples)
"""


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (("own", "--model", "M"), "--model and --image go together"),
        (("own", "--image", "busybox:1"), "--model and --image go together"),
        (("Own", "--model", "M", "--image", "busybox:1"), "NAME 'Own': a stage is named in lower-case letters"),
        (("push", "--model", "M", "--image", "busybox:1"), "NAME 'push': the checkout has a stage of that name"),
        (("own", "--model", "M", "--image", "busybox"), "--image busybox: expected NAME:TAG"),
        (("own", "--model", "M", "--image", "host:1/busybox"), "--image host:1/busybox: expected NAME:TAG"),
        (("own", "--model", "M", "--image", "busybox:1", "--environment", "ml"), "--environment is of stages in the"),
        (("own", "--model", "./none", "--image", "busybox:1"), "no model ./none"),
    ],
)
def test_what_no_stage_in_a_models_folder_can_be(
    given: tuple[str, ...], reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "mine", USES_IT)
    result = call(tmp_path, monkeypatch, *(str(tmp_path / "mine") if each == "M" else each for each in given))
    assert isinstance(result.exception, InputError)
    assert str(result.exception).startswith(reason)
    assert not (tmp_path / "mine" / "components").exists()
