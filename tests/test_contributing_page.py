"""docs/contributing.md: the places that it sends people to are there."""

from __future__ import annotations

import re

from runners.commands.cli import COMMANDS
from tests.support import ROOT

PAGE = (ROOT / "docs" / "contributing.md").read_text()


def test_files_that_are_named_are_there() -> None:
    folders = "components|docs|images|models|pipeline.py|pyproject.toml|runners|scripts|tests"
    named = set(re.findall(rf"`((?:{folders})(?:/[\w./*-]+)?)`", PAGE))
    # Names in capitals stand for the reader's.
    theirs = {path for path in named if re.search(r"/[A-Z]+\b", path)}
    assert len(named - theirs) > 30
    assert [path for path in sorted(named - theirs) if not list(ROOT.glob(path))] == []


def test_words_of_the_code_are_in_the_files_that_are_named() -> None:
    for word, file in re.findall(r"`(_?[A-Z_]{4,})` in `([\w./]+\.py)`", PAGE):
        assert re.search(rf"\b{word}\b", (ROOT / file).read_text()), f"{file} has no {word}"


def test_links_and_commands_are_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)", PAGE):
        assert (ROOT / "docs" / target).exists(), target
    assert set(re.findall(r"\./millrace ([\w-]+)", PAGE)) <= COMMANDS.keys()
