"""The page with some rows of the raw data, as they will go into the pipeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from components.ingest.column_names import quoted_if_odd
from components.ingest.sample.cells import Cell, Cells, cells_of, clip
from components.ingest.sample.pictures import Picture, size_text
from components.ingest.sample.sampling import Reservoir
from components.runtime.stage import report
from components.runtime.stage.report import Html
from components.runtime.text.visible import in_one_line

MAX_BYTES = 900_000

_KEPT_WHOLE = 1 << 18
_FEW = 5
_NAME = 60
_WIDE = 8
"""Features from which a table has them below each other instead of side by side."""

_STYLE = Html(
    "<style>"
    ".raw td{unicode-bidi:isolate}.raw td>span,.raw dd>span{display:inline-block;overflow-wrap:break-word}"
    ".raw td>span{max-width:15em}.raw dd>span{max-width:100%}.raw span.n,.raw i{white-space:nowrap}"
    ".raw-cards{display:grid;gap:14px;grid-template-columns:repeat(auto-fill,minmax(min(100%,21.5em),1fr))}"
    ".raw-cards.raw-text{grid-template-columns:minmax(0,1fr)}"
    ".raw-card{border:1px solid #e5e7eb;border-radius:8px;padding:10px 14px;min-width:0}"
    ".raw-card h3{margin:0 0 6px;font-size:13px;color:#6b7280;font-weight:600}"
    ".raw-card dl{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,19em),1fr));gap:2px 20px}"
    ".raw-card dl{margin:0;font-size:13.5px}.raw-card dl>div{display:flex;gap:10px}.raw-card dt{color:#6b7280}"
    ".raw-card dd{margin:0;min-width:0;overflow-wrap:anywhere;unicode-bidi:isolate}"
    ".raw-card p{margin:8px 0 0;white-space:pre-wrap;overflow-wrap:anywhere;unicode-bidi:isolate;max-width:80ch}"
    ".raw-card p>small{display:block;color:#6b7280;white-space:normal}"
    ".raw-pictures{display:flex;flex-wrap:wrap;gap:10px;margin-bottom:8px}"
    ".raw figure{margin:0;flex:1 1 100px;max-width:145px}.raw figcaption{font-size:12px;color:#6b7280;line-height:1.35}"
    ".raw figure img{display:block;border-radius:4px;margin-bottom:3px}"
    ".raw i{color:#9ca3af}"
    ".raw b.swatch{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin:0 .25em 0 .1em}"
    "</style>"
)


@dataclass(frozen=True)
class Origin:
    """Where the data comes from.

    Attributes:
      format: of the files.
      files: their count.
      bytes: that were read of them.
      span: the one or those that they are of, in words; empty where they are of none.
      columns: type by name, where the files say.
      left_out: what was left out and why, in words; empty where nothing was.
      text_causes: a line for each column that is text because of single cells.
    """

    format: str
    files: int
    bytes: int
    span: str
    columns: Mapping[str, str]
    left_out: str = ""
    text_causes: Sequence[str] = ()


@dataclass(frozen=True)
class _Sampled:
    """Some rows of a split, each with its number in it."""

    total: int
    rows: Sequence[tuple[int, Cells]]


@dataclass(frozen=True)
class _Room:
    """How much is shown."""

    rows: int
    features: int = 200
    short: int = 60
    title: int = 400
    long: int = 1200

    def less(self) -> _Room:
        """Fewer rows, and when they are few, shorter ones."""
        if self.rows > _FEW:
            return replace(self, rows=max(_FEW, self.rows // 2), title=100)
        halves = (self.rows // 2, self.features // 2, self.short // 2, self.title // 2, self.long // 2)
        return _Room(*(max(least, half) for least, half in zip((1, 10, 16, 0, 100), halves, strict=True)))


def keep(record: bytes) -> bytes | Cells:
    """What is kept of a record until the page is drawn: of a large one only what will be seen."""
    return record if len(record) <= _KEPT_WHOLE else cells_of(record)


def draw(origin: Origin, samples: Mapping[str, Reservoir[bytes | Cells]]) -> str:
    """Draws the page.

    Args:
      origin: of the data.
      samples: of each split by its name, made with `keep`.

    Returns:
      A page of at most MAX_BYTES bytes: with fewer and shorter rows where they are very long.
    """
    splits = {}
    for name, sample in sorted(samples.items(), key=lambda each: (each[0] != "train", each[0])):
        rows = [(number, cells_of(row) if isinstance(row, bytes) else row) for number, row in sample.rows]
        splits[name] = _Sampled(sample.seen, rows)
    asked = max(sample.size for sample in samples.values())
    room = _Room(rows=max(1, asked))
    while True:
        page = _page(origin, splits, asked, room)
        if len(page.encode()) <= MAX_BYTES or room == room.less():
            return page
        room = room.less()


def _page(origin: Origin, splits: Mapping[str, _Sampled], asked: int, room: _Room) -> str:
    parts = [_overview(origin, splits, asked, room)]
    rows = [cells for sampled in splits.values() for _, cells in sampled.rows]
    if asked:
        parts += [_split(name, sampled, room) for name, sampled in splits.items()]
    if columns := _columns(origin, rows, room):
        parts.append(columns)
    if origin.text_causes:
        parts.append(_text_causes(origin.text_causes, room))
    return report.page("Raw data", *parts)


def _overview(origin: Origin, splits: Mapping[str, _Sampled], asked: int, room: _Room) -> Html:
    total = sum(sampled.total for sampled in splits.values())
    rows = [
        (name, sampled.total, f"{100 * sampled.total / total:.1f} %" if total else "", len(sampled.rows[: room.rows]))
        for name, sampled in splits.items()
    ]
    of_span = f", {origin.span}" if origin.span else ""
    files = "1 file" if origin.files == 1 else f"{origin.files:,} files"
    about = f"{origin.format}, {files}, {size_text(origin.bytes)} read{of_span}"
    note = "No rows are shown: ingest.sample_rows is 0."
    if asked:
        cut = any(len(sampled.rows) > room.rows for sampled in splits.values())
        fewer = " It has fewer rows than asked for, so that the page stays small." if cut else ""
        note = f"The sample is drawn by chance, and is the same whenever the data is.{fewer}"
    return report.section(
        f"{total:,} rows",
        _STYLE,
        report.paragraph(about),
        *([report.paragraph(Html(f"<b>{report.escape(_sentence(origin.left_out))}</b>"))] if origin.left_out else []),
        report.table(["split", "rows", "share", "in the sample"], rows),
        report.paragraph(report.text(note, "muted")),
    )


def _columns(origin: Origin, rows: Sequence[Cells], room: _Room) -> Html:
    names = sorted({*origin.columns, *(name for cells in rows for name in cells)}, key=str.encode)
    if not names:
        return Html("")
    shown = names[: 3 * room.features]
    body: list[list[object]] = []
    for name in shown:
        found = [cells.get(name) for cells in rows]
        present = [cell for cell in found if cell is not None and cell.count]
        counts = sorted({cell.count for cell in present})
        many = "1" if counts in ([], [1]) else str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
        missing = f"{100 * (1 - len(present) / len(found)):.0f} %" if found else None
        body.append([_name(name), _type(origin.columns.get(name, ""), present), missing, many])
    heads = ["feature", "type", "missing in the sample", "values in a row"]
    if all(row[3] == "1" for row in body):
        heads, body = heads[:3], [row[:3] for row in body]
    return report.section(
        f"{len(names):,} features", _raw(report.table(heads, body)), _more(len(names) - len(shown), "features")
    )


def _text_causes(lines: Sequence[str], room: _Room) -> Html:
    shown = lines[: room.features]
    return report.section(
        "Text because of single cells",
        *(report.paragraph(_sentence(line)) for line in shown),
        _more(len(lines) - len(shown), "columns"),
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _type(label: str, present: Sequence[Cell]) -> str:
    """What a feature holds, by the sample where that says more than the file."""
    kinds = sorted({cell.kind for cell in present})
    if label in ("int64", "float32") or not kinds:
        return label or "no value in the sample"
    return " or ".join(kinds)


def _split(name: str, sampled: _Sampled, room: _Room) -> Html:
    rows = sampled.rows[: room.rows]
    title = f"{name}: {len(rows)} of {sampled.total:,} rows"
    names = sorted({feature for _, cells in rows for feature in cells}, key=str.encode)
    pictures = any(cell.picture for _, cells in rows for cell in cells.values())
    long = any(cell.is_long for _, cells in rows for cell in cells.values())
    if pictures or long:
        css = "raw-cards" if pictures else "raw-cards raw-text"
        body = Html(f'<div class="{css}">{"".join(_card(number, cells, room) for number, cells in rows)}</div>')
        return report.section(title, _raw(body))
    shown = names[: room.features]
    lines: list[list[object]]
    if len(names) > _WIDE:
        heads = ["feature", *(f"row {number:,}" for number, _ in rows)]
        lines = [[_name(each), *(_in_table(cells.get(each), room) for _, cells in rows)] for each in shown]
    else:
        heads = ["row", *(_name(each) for each in shown)]
        lines = [[f"{number:,}", *(_in_table(cells.get(each), room) for each in shown)] for number, cells in rows]
    return report.section(title, _raw(report.table(heads, lines)), _more(len(names) - len(shown), "features"))


def _card(number: int, cells: Cells, room: _Room) -> str:
    """A row by itself: pictures, then what is short, then what is to be read."""
    pictures = "".join(_figure(name, cell.picture) for name, cell in cells.items() if cell.picture)
    short = [(name, cell) for name, cell in cells.items() if not cell.picture and not cell.is_long]
    shown = short[: room.features]
    entries = "".join(f"<div><dt>{_name(name)}</dt><dd>{_in_table(cell, room)}</dd></div>" for name, cell in shown)
    texts = "".join(_paragraph(name, cell, room) for name, cell in cells.items() if cell.is_long)
    return (
        f'<div class="raw-card"><h3>row {number:,}</h3>'
        + (f'<div class="raw-pictures">{pictures}</div>' if pictures else "")
        + (f"<dl>{entries}</dl>" if entries else "")
        + _more(len(short) - len(shown), "features")
        + f"{texts}</div>"
    )


def _figure(name: str, picture: Picture) -> Html:
    legend = "".join(f'<b class="swatch" style="background:{color}"></b>{value} ' for value, color in picture.legend)
    alt = _attribute(clip(name, _NAME))
    drawn = (
        f'<img src="{picture.source}" width="{picture.width}" height="{picture.height}" alt="{alt}">'
        if picture.source
        else ""
    )
    marks = f"<br>{legend}" if legend else ""
    return Html(
        f"<figure>{drawn}<figcaption>{_name(name)}<br>{report.escape(picture.description)}{marks}</figcaption></figure>"
    )


def _paragraph(name: str, cell: Cell, room: _Room) -> str:
    text = clip(cell.text, room.long)
    rest = "" if cell.whole and text == cell.text else f", {size_text(cell.bytes)} in all"
    return f"<p><small>{_name(name)}{rest}</small>{report.escape(text)}</p>"


def _in_table(cell: Cell | None, room: _Room) -> Html:
    if cell is None or cell.kind == "missing":
        return Html("<i>missing</i>")
    if not cell.text:
        return Html("<i>empty text</i>")
    if cell.kind == "text" and not cell.text.strip():
        return Html(f"<i>{len(cell.text)} blank</i>")
    if cell.kind in ("bytes", "image"):
        return Html(f"<i>{report.escape(cell.text)}</i>")
    text = clip(cell.text, room.short)
    css = ' class="n"' if cell.kind in ("int64", "float32") and cell.count == 1 else ""
    if text == cell.text and cell.whole:
        return Html(f"<span{css}>{report.escape(text)}</span>")
    title = clip(cell.text, room.title) if room.title else ""
    about = f"{title} ({size_text(cell.bytes)})" if cell.bytes and not cell.whole else title
    return Html(f'<span title="{_attribute(about)}">{report.escape(text)}</span>')


def _name(name: str) -> Html:
    name = in_one_line(quoted_if_odd(name))
    text = clip(name, _NAME)
    title = "" if text == name else f' title="{_attribute(clip(name, 400))}"'
    return Html(f"<span{title}>{report.escape(text)}</span>")


def _attribute(text: str) -> str:
    """Text in an attribute, without what looks like another attribute or an address to whoever reads tags."""
    return report.escape(text).replace("=", "&#61;").replace(":", "&#58;")


def _more(count: int, what: str) -> Html:
    return report.paragraph(report.text(f"and {count:,} more {what}", "muted")) if count > 0 else Html("")


def _raw(body: Html) -> Html:
    return Html(f'<div class="raw">{body}</div>')
