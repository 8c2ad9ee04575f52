"""The documents name what is there: files, rooms, and what users' code may import."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from components import runtime
from tests.support import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
_NAMED = re.compile(r"`((?:[\w.-]+/)+[\w.-]+\.(?:py|sh|md|txt|yaml|toml))`")
# What a person or a run makes, and examples.
_NOT_OURS = (
    "../",
    "build/",
    "models/<",
    "components/<",
    "images/<",
    "runs/",
    "pipeline_root/",
    "images/images.lock",
    "data/",
)


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    names = listed.stdout.splitlines() if listed.returncode == 0 else []
    return [f"/{name}" for name in names if (ROOT / name).is_file()] or [
        f"/{file.relative_to(ROOT)}" for file in ROOT.rglob("*") if file.is_file() and ".venv" not in file.parts
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    files = tracked()
    named = [name for name in _NAMED.findall(page.read_text()) if not name.startswith(_NOT_OURS)]
    # In capitals stands what is a person's to name.
    named = [name for name in named if not re.search(r"\b[A-Z]{4,}\b(?!\.md)", name)]
    assert [name for name in named if not any(file.endswith(f"/{name}") for file in files)] == []


def test_every_page_that_a_page_links_to_is_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+\.md)[)#]", page.read_text()):
            assert (page.parent / target).is_file(), f"{page.name}: {target}"


def test_what_users_code_may_import_is_listed_and_there() -> None:
    text = (ROOT / "docs" / "model-code.md").read_text()
    ours, metrics = text.split("## In `evaluation.pbtxt`")
    first_cells = re.compile(r"^\| (`.*?) \| ", re.MULTILINE)
    listed = {name for cell in first_cells.findall(ours) for name in re.findall(r"`(\w+)`", cell)}
    assert listed == set(runtime.__all__)
    for name in runtime.__all__:
        assert getattr(runtime, name) is not None
    # The metrics import TFMA, which is not in every environment.
    tree = ast.parse((ROOT / "components" / "evaluate" / "metrics" / "__init__.py").read_text())
    (names,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
    )
    assert {name for cell in first_cells.findall(metrics) for name in re.findall(r"`(\w+)`", cell)} == set(names)


def test_the_picture_of_the_floors_is_what_is_held() -> None:
    """README's picture shows the rooms in the order of import-linter's layers, and these are the folders."""
    text = (ROOT / "README.md").read_text()
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    for container, begin, end in (
        ("runners", "runners/  ", "components/  "),
        ("components.runtime", "components/runtime/  ", "```"),
    ):
        (layers,) = (each["layers"] for each in contracts if each.get("containers") == [container])
        rooms = [room for layer in layers for room in re.findall(r"\w+", layer)]
        folder = ROOT / container.replace(".", "/")
        there = {path.stem for path in folder.iterdir() if (path / "__init__.py").is_file() or path.suffix == ".py"} - {
            "__init__"
        }
        assert set(rooms) == there
        start = text.index(f"\n{begin}")
        picture = text[start : text.index(f"\n{end}", start)]
        floors = [re.split(r"\s{3,}|, ", line.strip()) for line in picture.splitlines()[2:] if line.strip()]
        assert [name for floor in floors for name in floor if name in rooms] == rooms
