"""What is seen in a notebook's cell: pages in closed frames, tables, and a run that goes on; plain lines elsewhere."""

from __future__ import annotations

import contextlib
import html
import io
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from components.runtime.errors import EXIT_INTERRUPTED, StageError, classify
from components.runtime.stage.report import Html, escape
from runners.terminal.display import LineDisplay, LiveDisplay, make_display

if TYPE_CHECKING:
    from rich.console import RenderableType

_WIDTH = 110
"""Letters of a line of the progress; a narrower cell scrolls."""

_SECONDS = 0.25
_TALLEST = 720
"""Pixels that a page takes at most before it scrolls in its frame; a person may draw it taller."""

# As terminals number them, from black to white, to be read on a light ground and on a dark one. Nothing is drawn in the
# first: what is dim is half-way to it, and pale on neither.
_COLOURS = TerminalTheme(
    (106, 106, 106),
    (128, 128, 128),
    [
        *((107, 114, 128), (239, 68, 68), (22, 163, 74), (217, 119, 6)),
        *((59, 130, 246), (168, 85, 247), (8, 145, 178), (128, 128, 128)),
    ],
)
_CELL = "text-align:left;vertical-align:top"
_PRE = (
    '<pre style="margin:0;padding:0;background:none;color:inherit;line-height:1.35;white-space:pre;overflow-x:auto;'
    'font-family:var(--jp-code-font-family,ui-monospace,monospace);font-size:var(--jp-code-font-size,13px)">{code}</pre>'
)


class RunFailed(StageError):
    """A run has ended badly: the stage that failed says why."""

    def __init__(self, message: str, exit_code: int) -> None:
        """Message and exit code are those of the run."""
        super().__init__(message)
        self.exit_code = exit_code


class Stopped(KeyboardInterrupt):
    """Somebody interrupted the kernel while a run went on, or before it began."""

    exit_code = EXIT_INTERRUPTED

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


@contextlib.contextmanager
def mendable() -> Iterator[None]:
    """What a person can mend is one line in the cell, whatever it was raised as; a bug of ours keeps its trace."""
    try:
        yield
    except (StageError, Stopped):
        raise
    except KeyboardInterrupt:
        raise Stopped("interrupted") from None
    except Exception as error:
        fault = classify(error)
        if fault is None:
            raise
        raise fault from None


def in_notebook() -> bool:
    """Whether the code runs in a kernel, whose cells show HTML; a terminal's IPython has none."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    return getattr(get_ipython(), "kernel", None) is not None


def show(markup: Html, otherwise: str) -> None:
    """Shows HTML in the cell, and text where there is none."""
    if not in_notebook():
        print(otherwise)
        return
    from IPython.display import display

    display({"text/html": markup, "text/plain": otherwise}, raw=True)


@contextlib.contextmanager
def waiting(what: str) -> Iterator[None]:
    """Says what is waited for, as long as it is."""
    if not in_notebook():
        print(what, file=sys.stderr)
        yield
        return
    from IPython.display import display

    handle = display({"text/plain": what}, raw=True, display_id=True)
    try:
        yield
    finally:
        handle.update({"text/plain": ""}, raw=True)


def framed(page: str, title: str) -> Html:
    """A whole page in a frame of its own, which nothing of the notebook's gets into, and which runs no script."""
    fit = f"this.style.height=Math.min(this.contentDocument.body.scrollHeight+4,{_TALLEST})+'px'"
    return Html(
        '<div style="max-width:1180px"><iframe sandbox="allow-same-origin" loading="eager" '
        f'title="{html.escape(title)}" onload="{html.escape(fit)}" srcdoc="{html.escape(page)}" style="width:100%;'
        'height:480px;border:1px solid #d1d5db;border-radius:8px;resize:vertical;overflow:auto;background:#f3f4f6">'
        "</iframe></div>"
    )


def table(headers: Sequence[object], rows: Sequence[Sequence[object]]) -> Html:
    """A table in the notebook's own style; cells that are Html stay it."""
    head = "".join(f'<th style="{_CELL}">{escape(header)}</th>' for header in headers)
    body = "".join(
        "<tr>" + "".join(f'<td style="{_CELL}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def preformatted(what: RenderableType, width: int = _WIDTH) -> Html:
    """Lines as a terminal has them, with their colours."""
    console = Console(
        file=io.StringIO(), record=True, width=width, force_terminal=True, color_system="standard", force_jupyter=False
    )
    console.print(what, soft_wrap=isinstance(what, Text))
    return Html(console.export_html(theme=_COLOURS, code_format=_PRE, inline_styles=True))


class CellDisplay(LiveDisplay):
    """The table of the terminal, in a cell; it is written anew in its place while the run goes on."""

    def __init__(self) -> None:
        """Shows nothing yet."""
        # Nothing is printed there; it is the size of a window in which every task has room.
        super().__init__(Console(file=io.StringIO(), width=_WIDTH, height=1000, force_jupyter=False), errors=True)
        self._ended = threading.Event()
        self._clock: threading.Thread | None = None
        self._handle: Any = None
        self._shown = ""

    def finish(self, last: Text) -> None:
        """Shows what came of the run below its tasks."""
        self._show(
            Html(f"{preformatted(self._render())}<div style='height:8px'></div>{preformatted(last)}"), last.plain
        )

    def _draw(self) -> None:
        from IPython.display import display

        first = {"text/html": preformatted(self._render()), "text/plain": ""}
        self._handle = display(first, raw=True, display_id=True)
        self._clock = threading.Thread(target=self._tick, daemon=True, name="progress in the cell")
        self._clock.start()

    def _tick(self) -> None:
        while not self._ended.wait(_SECONDS):
            self._show(preformatted(self._render()))

    def _leave(self) -> None:
        self._ended.set()
        if self._clock:
            self._clock.join()
        self._show(preformatted(self._render()))

    def _show(self, markup: Html, otherwise: str = "") -> None:
        if self._handle and markup != self._shown:
            self._shown = markup
            self._handle.update({"text/html": markup, "text/plain": otherwise}, raw=True)


def run_display() -> CellDisplay | LineDisplay | LiveDisplay:
    """The display of a run that suits where the code runs."""
    return CellDisplay() if in_notebook() else make_display(Console())
