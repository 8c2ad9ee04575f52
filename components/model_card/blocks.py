"""What a card says, once for Markdown and HTML: parts of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.runtime.stage import report
from components.runtime.stage.report import Html
from components.runtime.text.markdown import markdown_text

UNKNOWN = "unknown"
"""In place of what nobody told; a number that is not known is never a 0."""

Cell = str | int | float | None


@dataclass(frozen=True)
class Said:
    """A paragraph; a note stands back."""

    text: str
    note: bool = False


@dataclass(frozen=True)
class Items:
    """A list."""

    items: Sequence[str]


@dataclass(frozen=True)
class Table:
    """A table; None in a cell is not known, or, where `undefined`, has no value."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    undefined: bool = False


@dataclass(frozen=True)
class Picture:
    """A drawing, of HTML alone."""

    drawing: Html


Block = Said | Items | Table | Picture


@dataclass(frozen=True)
class Part:
    """A part of a card."""

    title: str
    blocks: Sequence[Block]


def as_markdown(title: str, parts: Sequence[Part]) -> str:
    """The card as Markdown."""
    lines = [f"# {markdown_text(title)}"]
    for part in parts:
        written = [text for block in part.blocks if (text := _markdown(block))]
        lines += [f"## {markdown_text(part.title)}", *written]
    return "\n\n".join(lines) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Said(text):
            return markdown_text(text)
        case Items(items):
            return "\n".join(f"- {markdown_text(item)}" for item in items)
        case Table(headers, rows, undefined):
            head = [[markdown_text(each) for each in headers], ["---"] * len(headers)]
            body = [[markdown_text("–" if undefined and cell is None else _told(cell)) for cell in row] for row in rows]
            return "\n".join(f"| {' | '.join(row)} |" for row in [*head, *body])
        case Picture():
            return ""


def as_html(title: str, parts: Sequence[Part]) -> str:
    """The card as a page without links and scripts."""
    return report.page(title, *[report.section(part.title, *map(_html, part.blocks)) for part in parts])


def _html(block: Block) -> Html:
    match block:
        case Said(text, note):
            return report.paragraph(report.text(text, "muted") if note else text)
        case Items(items):
            return Html(f"<ul>{''.join(f'<li>{report.escape(item)}</li>' for item in items)}</ul>")
        case Table(headers, rows, undefined):
            absent = None if undefined else UNKNOWN
            return report.table(headers, [[absent if cell is None else cell for cell in row] for row in rows])
        case Picture(drawing):
            return drawing


def _told(cell: Cell) -> str:
    if cell is None:
        return UNKNOWN
    return f"{cell:.6g}" if isinstance(cell, float) else f"{cell:,}" if isinstance(cell, int) else cell
