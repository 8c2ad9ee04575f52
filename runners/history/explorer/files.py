"""The explorer's files: a page, an index of all runs, and a file for each run that the page loads when it is asked for.

They are scripts, because a browser lets a page that was opened from a folder read nothing else. The index is changed
where it has to be: a run's record is read again only where it looks different from how it looked when it was read.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from components.runtime.stage.report import STYLE
from components.runtime.text.json_text import parse
from runners.history.explorer import model
from runners.history.explorer.model import Detail, Index, Row
from runners.history.pages.page_parts import PAGE_STYLE

FOLDER = "explorer"
"""In a pipeline root."""
PAGE = "index.html"
PAGES = "pages"
"""Of the stages, in the explorer's folder."""

_INDEX = "index.js"
_RUNS = "runs"
_LOCK = ".lock"
_END = ");\n"
_PARTS = Path(__file__).parent / "page"
_SCRIPTS = (
    "data",
    "elements",
    "table",
    "charts",
    "curves",
    "layout",
    "graph",
    "list",
    "run",
    "compare",
    "lineage",
    "versions",
    "main",
)
_NAMED_PAGE = re.compile(rf'"{PAGES}/([^"/]+)"')
_OUR_PAGE = re.compile(r"(artifacts-.+-[0-9a-f]{32}-.+|[0-9a-f]{64})\.html")
"""Names that link_page gives reports, by their place or, where that makes no name, by its digest."""
_INTERNED = ("sources", "executions")
"""Fields of a row whose texts many rows share."""


def file_of(run: str) -> str:
    """The name of a run's file."""
    is_plain = re.fullmatch(r"[\w.-]{1,200}", run, re.ASCII)
    return f"{run if is_plain else hashlib.sha256(run.encode(errors='surrogateescape')).hexdigest()}.js"


def write_page(folder: Path) -> Path:
    """Writes the page, its style and its scripts where they are not there as they are today; returns the page."""
    (folder / _RUNS).mkdir(parents=True, exist_ok=True)
    contents = {f"{name}.js": (_PARTS / f"{name}.js").read_text() for name in _SCRIPTS}
    contents["explorer.css"] = f"{STYLE}\n{PAGE_STYLE}\n{(_PARTS / 'explorer.css').read_text()}"
    tags = "".join(
        f'<script src="{name}"></script>\n'
        for name in (f"{_SCRIPTS[0]}.js", _INDEX, *(f"{each}.js" for each in _SCRIPTS[1:]))
    )
    contents[PAGE] = (_PARTS / PAGE).read_text().replace("<!--scripts-->", tags)
    for name, content in contents.items():
        file = folder / name
        if not file.is_file() or file.read_text(errors="replace") != content:
            _write(file, content)
    return folder / PAGE


def write_detail(folder: Path, detail: Detail) -> None:
    """Writes all of a run."""
    _write(folder / _RUNS / file_of(detail.id), f"millrace.take({_script(model.plain(detail))}{_END}")


def link_page(folder: Path, page: Path, name: str) -> str:
    """Where the browser finds a report that a stage left, relative to the explorer's folder.

    A browser takes a file without an ending for text, and the outputs of stages have none: the report gets a second
    name in the explorer's folder, or a copy where the file system gives none.
    """
    file = folder / PAGES / file_of(re.sub(r"[^\w.-]", "-", name)).replace(".js", ".html")
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(page.resolve(), file)
        except FileExistsError:
            # Another process was quicker.
            pass
        except OSError:
            shutil.copyfile(page, file)
    return f"{PAGES}/{file.name}"


def has_detail(folder: Path, run: str) -> bool:
    """Whether all of a run has been written, to the end."""
    try:
        with (folder / _RUNS / file_of(run)).open("rb") as stream:
            stream.seek(-len(_END), os.SEEK_END)
            return stream.read() == _END.encode()
    except OSError:
        return False


def write_index(folder: Path, index: Index) -> None:
    """Writes the list of runs, the newest first."""
    document = model.plain(index)
    names: dict[str, int] = {}
    for row in document.get("runs", []):
        row["file"] = file_of(row["id"])
        for name in _INTERNED:
            row[name] = [names.setdefault(each, len(names)) for each in row.get(name, [])]
    document["names"] = list(names)
    # A browser reads JSON in a text some ten times as fast as the same as a part of a script.
    text = _script(document).replace("\\", r"\\").replace("'", r"\'")
    _write(folder / _INDEX, f"millrace.index = JSON.parse('{text}');\n")


def read_rows(folder: Path) -> list[Row]:
    """The rows that were written; none where there are none, or those of another version of the explorer."""
    try:
        text = (folder / _INDEX).read_text(encoding="utf-8")
        inner = text[text.index("'") + 1 : text.rindex("'")]
        document = parse(re.sub(r"\\(['\\])", r"\1", inner))
        if document.get("format") != model.FORMAT:
            return []
        names = document.get("names", [])
        rows = []
        for each in document.get("runs", []):
            each.pop("file", None)
            each |= {name: [names[place] for place in each.get(name, [])] for name in _INTERNED}
            rows.append(model.row(each))
    except (OSError, ValueError, TypeError, KeyError, IndexError, AttributeError):
        # Damaged: all of it can be read again from the records.
        return []
    return rows


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps two processes from changing the index at once; where files cannot be locked, the last one's stays."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as stream:
        with contextlib.suppress(OSError):
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def sweep(folder: Path, rows: Sequence[Row], *, thoroughly: bool = False) -> None:
    """Removes the files of runs that are no more, and the reports that belong to no run.

    Args:
      folder: the explorer's.
      rows: of the runs that there are.
      thoroughly: look for such reports although no run is gone, which reads the files of all runs.
    """
    kept = {file_of(row.id) for row in rows}
    gone = [file for file in (folder / _RUNS).glob("*.js") if file.name not in kept]
    for file in gone:
        file.unlink(missing_ok=True)
    if gone or thoroughly:
        named = {name for file in (folder / _RUNS).glob("*.js") for name in _NAMED_PAGE.findall(file.read_text())}
        for page in (folder / PAGES).glob("*.html"):
            # (Whoever puts a file there keeps it.)
            if page.name not in named and _OUR_PAGE.fullmatch(page.name):
                page.unlink(missing_ok=True)


def _script(document: Any) -> str:
    return json.dumps(document, ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def _write(file: Path, text: str) -> None:
    """Writes a file of which readers see the old content or the new one.

    What a power cut leaves of it is found out, and written again from the records: nobody waits for the disk.
    """
    part = file.with_name(f".{file.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        part.write_text(text, encoding="utf-8")
        os.replace(part, file)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def now() -> str:
    """The time, for people."""
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}"
