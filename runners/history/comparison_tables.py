"""Writes a comparison as tables, for the terminal or a pipe."""

from __future__ import annotations

import click

from runners.history.comparison import MetricRow, Row
from runners.terminal import text

_MARK = "*"
_LETTERS = ("A", "B")
"""Ids of runs are too wide for the heads of columns."""


def print_names(names: tuple[str, str]) -> None:
    """Prints which run is called what in the tables, and what their mark says."""
    for letter, name in zip(_LETTERS, names, strict=True):
        click.echo(f"{letter}  {name}")
    click.echo(f"{_MARK}  where they differ\n")


def print_rows(title: str, rows: list[Row], *, everything: bool) -> None:
    """Prints the lines of a comparison that differ, or all of them; nothing where there are none."""
    if not rows:
        return
    shown = [row for row in rows if row.differs or everything]
    unknown = sum(row.unknown for row in rows)
    same = len(rows) - sum(row.differs for row in rows) - unknown
    if shown:
        cells = [[_marked(row.name, row.differs), _cell(row, row.left), _cell(row, row.right)] for row in shown]
        text.table((f"  {title}", *_LETTERS), cells)
    if not everything and same:
        only = "" if shown else "all "
        click.echo(f"{title}: {only}{same} the same{' (--all shows them)' if same else ''}")
    if not everything and unknown:
        click.echo(f"{title}: {unknown} of unfinished tasks (--all shows them)")
    click.echo()


def print_metrics(title: str, rows: list[MetricRow]) -> None:
    """Prints metrics side by side, with their differences."""
    if not rows:
        return
    cells: list[list[text.Cell]] = []
    for row in rows:
        style = "" if row.is_better is None else "green" if row.is_better else "red"
        difference = "" if row.difference is None else text.signed(row.difference)
        both = [text.NOTHING if value is None else text.number(value) for value in (row.left, row.right)]
        cells.append([_marked(row.name, row.differs), *both, (difference if row.differs else "", style)])
    text.table((f"  {title}", *_LETTERS, "B - A"), cells)
    click.echo()


def _marked(name: str, differs: bool) -> text.Cell:
    """A name, with a mark where the runs differ: a pipe has no colours."""
    return (f"{_MARK} {name}", "yellow") if differs else f"  {name}"


def _cell(row: Row, value: str | None) -> text.Cell:
    shown = text.NOTHING if value is None else text.short(value) if "sha256:" in value else value
    return (shown, "yellow") if row.differs else shown
