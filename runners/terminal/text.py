"""How the commands write numbers, times and tables: with colours on a terminal, plain and whole into a pipe."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime

import click

from components.runtime.errors import InputError
from components.runtime.text.visible import in_one_line

Cell = str | tuple[str, str]
"""A text, or a text and its style, as rich and `click.style` call it: green, red, yellow, cyan, dim, bold."""

NOTHING = "-"
REASON = 160
"""Letters of what a person gave as their reason; all of it is in the lineage."""

_EMPTY = "empty"
_IN_METADATA = frozenset({"system.Metrics", "system.ClassificationMetrics"})
"""Types of artifacts that KFP keeps in metadata alone."""

_OF_NOTHING = hashlib.sha256().hexdigest()
"""Digest of an empty file, and of a folder without files."""


def duration(seconds: float | None) -> str:
    """Seconds as a person says them: `<0.1 s`, `0.4 s`, `41 s`, `3 min 20 s`, `2 h 5 min`."""
    # Less than nothing is what two clocks say that disagree.
    if seconds is None or seconds < 0:
        return NOTHING
    if seconds < 0.05:
        return "<0.1 s"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def size(count: float | None) -> str:
    """Bytes as a person says them, in powers of ten."""
    if not count:
        return NOTHING
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.2f} GB"


def moment(time: datetime | None) -> str:
    """A time to the second, UTC."""
    return f"{time:%Y-%m-%d %H:%M:%S}" if time else NOTHING


def minute(time: datetime | None) -> str:
    """A time to the minute, UTC."""
    return f"{time:%Y-%m-%d %H:%M}" if time else NOTHING


def number(value: float) -> str:
    """A count as it is, a metric to four decimals, or to four digits when it is tiny or vast; a share may be 0 or 1."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and 2 <= abs(value) < 1e15:
        return f"{value:.0f}"
    if 1000 <= abs(value) < 1e9:
        return f"{value:.1f}"
    return f"{value:.4f}" if 0.001 <= abs(value) < 1000 or value == 0 else f"{value:.4g}"


def signed(difference: float) -> str:
    """A difference, with its sign."""
    return f"+{number(difference)}" if difference > 0 else number(difference)


def clipped(line: str, limit: int) -> str:
    """A line of at most `limit` letters."""
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def short(digest: str) -> str:
    """The beginning of a digest, enough to tell artifacts apart and to look one up; of nothing, "empty"."""
    digits = digest.rpartition(":")[2]
    return _EMPTY if digits == _OF_NOTHING else digits[:12]


def content(digest: str, type: str) -> str:
    """The beginning of an artifact's digest; metrics have no files, they are "in metadata"."""
    said = short(digest)
    return "in metadata" if said in (_EMPTY, "") and type in _IN_METADATA else said


def table(headers: Sequence[str], rows: Sequence[Sequence[Cell]], *, title: str = "") -> None:
    """Prints a table; on a terminal the cells of all columns but the first are folded where the line ends."""
    if _draws():
        _drawn(headers, rows, title, fold=True)
        return
    texts = [[_text(cell) for cell in row] for row in (headers, *rows)]
    widths = _widths(headers, rows)
    if title:
        click.echo(f"{title}")
    for row in texts:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def fitted(views: Sequence[Sequence[str]], rows: Sequence[Mapping[str, Cell]]) -> None:
    """Prints rows as a table of lines that nothing breaks.

    Args:
      views: choices of columns, the widest first: a terminal gets the first that fits it, a pipe the first.
      rows: cells by column.
    """
    choices = [(view, [[row[column] for column in view] for row in rows]) for view in views]
    chosen = choices[0]
    if sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        chosen = next((choice for choice in choices if _width(*choice) <= width), choices[-1])
    if _draws():
        _drawn(*chosen, "", fold=False)
    else:
        table(*chosen)


def listed(headers: Sequence[str], rows: Sequence[Sequence[Cell]], *, none: str) -> None:
    """Prints a table, or on standard error that there is nothing to list."""
    if rows:
        table(headers, rows)
    else:
        click.echo(none, err=True)


def styled(text: str, style: str) -> str:
    """A text in a style on a terminal, as it is in a pipe; without characters that nobody sees in either."""
    text = in_one_line(text)
    if not _draws():
        return text
    words = style.split()
    colour = next((word for word in words if word not in ("dim", "bold")), None)
    if os.environ.get("NO_COLOR"):
        colour = None
    return click.style(text, fg=colour, bold="bold" in words or None, dim="dim" in words or None)


def _draws() -> bool:
    """Whether the output is a terminal that knows more than letters."""
    return sys.stdout.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _text(cell: Cell) -> str:
    return in_one_line(cell if isinstance(cell, str) else cell[0])


def _widths(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> list[int]:
    return [max(len(_text(cell)) for cell in column) for column in zip(headers, *rows, strict=True)]


def _width(headers: Sequence[str], rows: Sequence[Sequence[Cell]]) -> int:
    """Of a table with two blanks between its columns."""
    return sum(_widths(headers, rows)) + 2 * (len(headers) - 1)


def _drawn(headers: Sequence[str], rows: Sequence[Sequence[Cell]], title: str, *, fold: bool) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(
        box=SIMPLE_HEAD,
        title=title or None,
        title_justify="left",
        title_style="bold",
        pad_edge=False,
        padding=(0, 1, 0, 0),
        collapse_padding=True,
        show_edge=False,
    )
    for place, header in enumerate(headers):
        made.add_column(_text(header), overflow="fold", no_wrap=not fold or place == 0)
    for row in rows:
        made.add_row(*(Text(_text(cell), style="" if isinstance(cell, str) else cell[1]) for cell in row))
    # Where even the narrowest table is too wide the terminal breaks its lines, which can be copied whole.
    needed = 0 if fold else _width(headers, rows)
    console = Console()
    console.width = max(console.width, needed)
    console.print(made)


def confirm(question: str) -> None:
    """Asks before something is deleted; ends the command where the answer is no.

    Raises:
      InputError: no, or no answer, from what is no person.
    """
    try:
        # Beside what the command prints, which a program may read.
        click.confirm(question, abort=True, err=True)
    except click.Abort:
        if sys.stdin.isatty():
            raise
        click.echo(err=True)
        raise InputError("nobody answers here; give --yes") from None
