"""The page: what the predictions are like, how many there are, how fast they were made, and the first rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.bulk_infer.distribution import CLASSES, NUMBERS, TEXTS, Distribution
from components.bulk_infer.shards import Result
from components.runtime.records.facts import counted
from components.runtime.stage.report import Html, drawing, figure, heading, page, paragraph, section, table, text

_BINS = 40
_BARS = 30


@dataclass(frozen=True)
class Answered:
    """How the rows were answered.

    Attributes:
      version: of the model in the serving directory; 0 where it is not from there.
      signature: that was asked.
      seconds: it took.
      on_beam: whether Beam did it.
      output_format: of the files.
      columns: types of what is written, by name.
    """

    version: int
    signature: str
    seconds: float
    on_beam: bool
    output_format: str
    columns: Mapping[str, str]


def render(splits: Mapping[str, Result], whole: Result, answered: Answered) -> str:
    """The page as HTML.

    Args:
      splits: what came of each split.
      whole: of all of them together.
      answered: how.
    """
    parts = [section("Rows", *_rows(splits, whole, answered))]
    parts += [section(each.column, *_distribution(each)) for each in whole.distributions]
    for split, result in splits.items():
        if result.first:
            title = f"The first rows of {split}" if len(splits) > 1 else "The first rows"
            parts.append(section(title, _first(result, list(answered.columns), len(whole.distributions))))
    return page("Predictions", *parts)


def _first(result: Result, columns: list[str], predicted: int) -> Html:
    """The first rows, what is predicted before what was given."""
    kept = len(columns) - predicted
    return table(columns[kept:] + columns[:kept], [row[kept:] + row[:kept] for row in result.first])


def _rows(splits: Mapping[str, Result], whole: Result, answered: Answered) -> list[object]:
    by = f"version {answered.version}" if answered.version else "the model of this run, which has no version yet"
    how = "Beam" if answered.on_beam else "batches in one process"
    rate = whole.rows / answered.seconds
    several = splits if len(splits) > 1 else {}
    told: list[list[object]] = [
        ["answered by", by],
        ["signature", answered.signature],
        ["rows", f"{whole.rows:,}"],
        ["seconds", f"{answered.seconds:,.1f}, {rate:,.0f} rows a second, by {how}"],
        ["written as", f"{answered.output_format}: {', '.join(answered.columns)}"],
    ]
    told[2:2] = [[f"rows of {split}", f"{result.rows:,}"] for split, result in several.items()]
    return [table(["", ""], told)]


def _distribution(found: Distribution) -> list[object]:
    parts: list[object] = []
    if found.nan or found.infinite:
        odd = [
            f"{counted(count, 'row', 'are')} {what}"
            for count, what in ((found.nan, "NaN"), (found.infinite, "infinite"))
            if count
        ]
        said = f"{' and '.join(odd)}, of {found.rows:,}; they are in the files as such, and not in the picture."
        parts.append(paragraph(text(said, "bad")))
    if found.kind == NUMBERS and found.finite:
        parts += [_histogram(found), _numbers(found)]
    elif found.kind in (CLASSES, TEXTS) and found.counts:
        parts += [_bars(found)]
    elif not found.kind:
        parts.append(
            paragraph(f"{counted(found.rows, 'row')}, each with many values, of which no distribution is drawn.")
        )
    return parts


def _numbers(found: Distribution) -> Html:
    values = np.array(found.sample)
    cells = [f"{found.finite:,}", found.mean, found.low, *np.percentile(values, [5, 50, 95]).tolist(), found.high]
    return table(["rows", "mean", "smallest", "5 %", "median", "95 %", "largest"], [cells])


def _histogram(found: Distribution) -> Html:
    drawn = figure(9, 3)
    axes = drawn.subplots()
    values = np.array(found.sample)
    axes.hist(values, bins=_BINS, weights=np.full(len(values), 100 / len(values)))
    axes.set_xlabel(found.column)
    axes.set_ylabel("% of rows")
    assert found.mean is not None
    axes.axvline(found.mean, color="#6b7280", linestyle="--", linewidth=1)
    axes.annotate(
        "mean", (found.mean, 1), xycoords=("data", "axes fraction"), xytext=(4, -10), textcoords="offset points"
    )
    picture = drawing(drawn, f"Histogram of {found.column}; its mean is {found.mean:.6g}")
    if len(values) >= found.finite:
        return picture
    return Html(
        picture + paragraph(text(f"drawn of {len(values):,} rows at equal distances, percentiles too", "muted"))
    )


def _bars(found: Distribution) -> Html:
    shown = found.counts.most_common(_BARS)
    if found.kind == CLASSES:
        shown.sort(key=lambda pair: int(pair[0]))
    rest = found.finite - sum(rows for _, rows in shown)
    if rest:
        shown.append(("all others", rest))
    drawn = figure(9, 0.8 + 0.24 * len(shown))
    axes = drawn.subplots()
    shares = [100 * rows / found.rows for _, rows in shown]
    bars = axes.barh([name for name, _ in shown], shares, height=0.7)
    axes.bar_label(bars, [f"{rows:,}" for _, rows in shown], padding=3)
    axes.invert_yaxis()
    axes.set_xlabel("% of rows")
    axes.margins(x=0.12)
    what = "the place, from 0, of the largest value" if found.kind == CLASSES else "the text"
    return Html(heading(f"rows by {what}") + drawing(drawn, f"Rows by {what} in {found.column}"))
