"""The report page of statistics: what stands out, the distributions, and a table of figures."""

from __future__ import annotations

from collections.abc import Sequence

from components.runtime.data.statistics import SKETCH_SIZE
from components.runtime.stage import report
from components.statistics import charts
from components.statistics.charts import Feature, shorten
from components.statistics.summary import Summary, warnings

MAX_BYTES = 900_000
MAX_DRAWN = 64
MAX_TABLE_ROWS = 600
MAX_WARNINGS = 60

_HEADERS = ("feature", "split", "type", "missing %")


def statistics_page(summaries: dict[str, dict[str, Summary]], spans: str = "") -> str:
    """Draws the page.

    Args:
      summaries: of each feature by name, in each split, in the order in which splits are shown.
      spans: which the data is of, in words; empty where it is of none.

    Returns:
      A page of at most MAX_BYTES bytes: fewer features are drawn and listed where there are very many.
    """
    drawn, listed = MAX_DRAWN, MAX_TABLE_ROWS
    while True:
        page = _page(summaries, spans, drawn, listed)
        if len(page.encode()) <= MAX_BYTES or listed < 2:
            return page
        drawn, listed = drawn // 2, listed // 2


def _page(summaries: dict[str, dict[str, Summary]], spans: str, drawn: int, listed: int) -> str:
    splits = list(summaries)
    names = sorted({name for features in summaries.values() for name in features})
    features = {name: {split: summaries[split][name] for split in splits if name in summaries[split]} for name in names}
    noteworthy = {name: found for name in names if (found := _warnings(features[name], splits))}
    # What stands out is never what is left out.
    ranked = sorted(names, key=lambda name: name not in noteworthy)
    to_draw = [name for name in names if name in set(ranked[:drawn])]
    to_list = [name for name in names if name in set(ranked[: max(1, listed // max(1, len(splits)))])]
    parts = [_overview(summaries, len(names), spans), _notes(noteworthy)]
    if to_draw:
        drawing = charts.small_multiples(
            [features[name] for name in to_draw], splits, [name in noteworthy for name in to_draw]
        )
        left_out = [name for name in names if name not in set(to_draw)]
        parts.append(report.section("Distributions", _legend(splits), drawing, _left_out(left_out, "drawn")))
    shown = {name: features[name] for name in to_list}
    parts.append(_numeric_table(shown, noteworthy))
    parts.append(_text_table(shown, noteworthy))
    left_out = [name for name in names if name not in shown]
    if left_out:
        parts.append(report.section("Left out", _left_out(left_out, "listed")))
    return report.page("Statistics", *parts)


def _warnings(feature: Feature, splits: Sequence[str]) -> list[str]:
    absent = [split for split in splits if split not in feature]
    return warnings(feature) + ([f"not in {', '.join(absent)}"] if absent else [])


def _overview(summaries: dict[str, dict[str, Summary]], features: int, spans: str) -> report.Html:
    rows = [
        (split, max((entry.rows for entry in found.values()), default=0), len(found))
        for split, found in summaries.items()
    ]
    of_spans = report.paragraph(f"Of {spans}.") if spans else ""
    return report.section(f"{features} features", of_spans, report.table(["split", "rows", "features"], rows))


def _notes(noteworthy: dict[str, list[str]]) -> report.Html:
    if not noteworthy:
        return report.section("What stands out", report.paragraph(report.text("Nothing.", "good")))
    rows = [
        (report.Html(f"<code>{report.escape(shorten(name, 60))}</code>"), report.text("; ".join(found), "bad"))
        for name, found in list(noteworthy.items())[:MAX_WARNINGS]
    ]
    more = len(noteworthy) - len(rows)
    rest = report.paragraph(report.text(f"and {more} more features", "muted")) if more else ""
    return report.section("What stands out", report.table(["feature", "why"], rows), rest)


def _legend(splits: Sequence[str]) -> report.Html:
    colors = [report.COLORS[number % len(report.COLORS)] for number in range(len(splits))]
    marks = (
        f'<span style="color:{color}">&#9632;</span> {report.escape(split)} &nbsp; '
        for color, split in zip(colors, splits, strict=True)
    )
    hint = "shares of each split's values; an ellipsis at an end of an axis: the tail goes on"
    return report.paragraph(report.Html("".join(marks)), report.text(hint, "muted"))


def _left_out(names: Sequence[str], verb: str) -> report.Html:
    if not names:
        return report.Html("")
    shown = ", ".join(shorten(name, 40) for name in names[:20]) + (", …" if len(names) > 20 else "")
    return report.paragraph(report.text(f"{len(names)} features are not {verb}: {shown}", "muted"))


def _numeric_table(features: dict[str, Feature], noteworthy: dict[str, list[str]]) -> report.Html:
    headers = [*_HEADERS, "zeros %", "mean", "std", "min", "median", "max"]
    rows: list[tuple[object, ...]] = []
    for name, feature in features.items():
        if not _is_numeric(feature):
            continue
        for split, summary in feature.items():
            start = _common(name, split, summary, noteworthy, first=split == next(iter(feature)))
            if numbers := summary.numbers:
                figures = (numbers.mean, numbers.deviation, numbers.minimum, numbers.median, numbers.maximum)
                rows.append((*start, _percent(numbers.zeros), *figures))
            else:
                rows.append((*start, *[None] * 6))
    return report.section("Numbers", report.table(headers, rows)) if rows else report.Html("")


def _text_table(features: dict[str, Feature], noteworthy: dict[str, list[str]]) -> report.Html:
    headers = [*_HEADERS, "unique", "mean length", "most frequent value", "its share %"]
    rows: list[tuple[object, ...]] = []
    for name, feature in features.items():
        if _is_numeric(feature):
            continue
        for split, summary in feature.items():
            start = _common(name, split, summary, noteworthy, first=split == next(iter(feature)))
            if categories := summary.categories:
                top = categories.top[0] if categories.top else None
                value = (shorten(top[0], 60), _percent(top[1])) if top else (None, None)
                rows.append((*start, categories.unique, float(categories.average_length), *value))
            else:
                rows.append((*start, *[None] * 4))
    if not rows:
        return report.Html("")
    estimated = any(
        summary.categories and summary.categories.unique > SKETCH_SIZE
        for feature in features.values()
        for summary in feature.values()
    )
    note = f"Figures of features with more than {SKETCH_SIZE:,} distinct values are estimates." if estimated else ""
    parts = [report.table(headers, rows), report.paragraph(report.text(note, "muted")) if note else ""]
    return report.section("Categories, text and bytes", *parts)


def _is_numeric(feature: Feature) -> bool:
    # A feature without any value counts as text in TFDV, so that one split may differ from the others.
    return any(summary.numbers for summary in feature.values())


def _common(
    name: str, split: str, summary: Summary, noteworthy: dict[str, list[str]], *, first: bool
) -> tuple[object, object, object, object]:
    label = report.text(shorten(name, 60), "bad") if name in noteworthy else shorten(name, 60)
    low, high = summary.values_per_row
    size = "" if high <= 1 else f" × {high}" if low == high else f" × {low} to {high}"
    return (label if first else "", split, f"{summary.kind}{size}", _percent(summary.missing))


def _percent(share: float) -> float:
    return round(share * 100, 2)
