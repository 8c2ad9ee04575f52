"""The page of a span: what its labels are, what was predicted of its rows and of all, and what was left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from pyarrow import compute

from components.runtime.data.pictures import mask_values
from components.runtime.feedback.joining import Joined
from components.runtime.records.facts import counted
from components.runtime.stage.report import COLORS, Html, drawing, figure, page, paragraph, section, table, text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_BARS = 12
_BINS = 20
_LONGEST = 24


def render(title: str, label: str, joined: Joined, left_out: Mapping[str, int]) -> str:
    """The page as HTML.

    Args:
      title: which span it is.
      label: the column of the label.
      joined: what the span has.
      left_out: counts of what it has not, by why.
    """
    share = len(joined.matched) / joined.logged
    kinds = [(f"{kind} labels", f"{count:,}") for kind, count in sorted(joined.kinds.items())]
    versions = [(f"predicted by version {number}", f"{count:,}") for number, count in sorted(joined.versions.items())]
    lacks = [(why, f"{count:,}") for why, count in left_out.items() if count]
    return page(
        title,
        section(
            "What it has",
            paragraph(
                f"{counted(len(joined.ids), 'row')}. Of {joined.logged:,} logged predictions {share:.1%} have a label."
            ),
            table(["rows", ""], [*kinds, *versions]),
            *([table(["left out", ""], lacks)] if lacks else []),
        ),
        section(f"What the labels are: {label}", _labels(joined.rows.column(label), label)),
        section("What was predicted", _verdict(joined), _predicted(joined)),
        section("When", _days(joined)),
    )


def _verdict(joined: Joined) -> Html:
    if apart := joined.scores.one_sided():
        return paragraph(
            text(f"One-sided: {apart}. ", "bad"), "A model that learns only of what it chose itself confirms itself."
        )
    if len(joined.ids) == joined.logged:
        return paragraph("Every prediction that was logged has a label.")
    return paragraph("Of the rows with labels, and of all that the same versions answered in the time of these.")


def _labels(values: pa.ChunkedArray, label: str) -> Html:
    if pa.types.is_binary(values.type):
        return _masks(values)
    counted = sorted(compute.value_counts(values).to_pylist(), key=lambda each: -each["counts"])
    drawn = figure(7.6, 2.6)
    axes = drawn.subplots()
    is_number = not (pa.types.is_string(values.type) or pa.types.is_binary(values.type))
    if is_number and len(counted) > _MOST_BARS:
        axes.hist(values.to_numpy(), bins=_BINS, color=COLORS[0])
        axes.set_xlabel(label)
    else:
        shown = counted[:_MOST_BARS]
        if is_number:
            shown.sort(key=lambda each: each["values"])
        _bars(axes, [f"{each['values']}"[:_LONGEST] for each in shown], {"rows": [each["counts"] for each in shown]})
    axes.set_ylabel("rows")
    _count(axes)
    more = f"; the {_MOST_BARS} most frequent of {len(counted)}" if not is_number and len(counted) > _MOST_BARS else ""
    return Html(drawing(drawn, f"How often each label is in the span{more}") + (paragraph(more[2:]) if more else ""))


def _masks(values: pa.ChunkedArray) -> Html:
    """How much of each image has each value."""
    counts = np.array(
        [np.bincount(mask_values(each).ravel(), minlength=256) for each in values.to_pylist()], np.float64
    )
    shares = 100 * counts / counts.sum(axis=1, keepdims=True)
    found = np.flatnonzero(counts.any(axis=0))[:_MOST_BARS]
    drawn = figure(7.6, 2.6)
    axes = drawn.subplots()
    axes.boxplot([shares[:, value] for value in found], tick_labels=[str(value) for value in found], widths=0.5)
    axes.set_xlabel("value in the mask")
    axes.set_ylabel("% of an image's pixels")
    axes.set_ylim(bottom=0)
    return drawing(drawn, "How much of the images has each value of the masks: quartiles, and what lies apart")


def _predicted(joined: Joined) -> Html:
    everything, labelled, are_classes = joined.scores.told()
    if not len(everything) or not len(labelled):
        return paragraph("What was predicted is no number, nor a list of them.")
    drawn = figure(7.6, 2.6)
    axes = drawn.subplots()
    if are_classes:
        known = [number for number, _ in _most(labelled)]
        shares = [[float(np.mean(each == number)) * 100 for number in known] for each in (labelled, everything)]
        _bars(axes, [f"{number:.0f}" for number in known], {"with labels": shares[0], "all": shares[1]})
        axes.set_xlabel("class")
    else:
        bins = np.linspace(everything.min(), everything.max(), _BINS + 1).tolist()
        shares = [[100 / len(values)] * len(values) for values in (everything, labelled)]
        axes.hist(everything, bins, weights=shares[0], label="all", color=COLORS[1], alpha=0.35)
        axes.hist(
            labelled, bins, weights=shares[1], label="with labels", color=COLORS[0], histtype="step", linewidth=1.6
        )
        axes.set_xlabel("prediction")
    axes.set_ylabel("% of rows")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    return drawing(drawn, "Predictions of the rows with labels, and of all of the same versions in their time")


def _most(values: np.ndarray[Any, Any]) -> list[tuple[float, int]]:
    numbers, counts = np.unique(values, return_counts=True)
    found = sorted(zip(numbers.tolist(), counts.tolist(), strict=True), key=lambda each: -each[1])
    return sorted(found[:_MOST_BARS])


def _days(joined: Joined) -> Html:
    days = sorted(joined.days)
    first, last = days[0], days[-1]
    if first == last:
        return paragraph(f"All predictions are of {first}.")
    moments = np.array(days, "datetime64[D]")
    drawn = figure(7.6, 2.2)
    axes = drawn.subplots()
    for place, name, colour in ((0, "logged", COLORS[1]), (1, "in the span", COLORS[0])):
        axes.plot(
            moments, [joined.days[day][place] for day in days], marker="o", markersize=3, label=name, color=colour
        )
    axes.set_ylabel("predictions a day")
    axes.set_ylim(bottom=0)
    _count(axes)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
    drawn.autofmt_xdate()
    return drawing(drawn, f"Predictions that were logged, and those in the span, by day from {first} to {last}")


def _count(axes: Axes) -> None:
    """Ticks at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.yaxis.set_major_formatter("{x:,.0f}")


def _bars(axes: Axes, names: Sequence[str], series: Mapping[str, Sequence[float]]) -> None:
    width = 0.8 / len(series)
    places = np.arange(len(names))
    for number, (name, values) in enumerate(series.items()):
        axes.bar(places - 0.4 + width * (number + 0.5), values, width * 0.95, label=name, color=COLORS[number])
    axes.set_xticks(places, names, rotation=30 if max(map(len, names)) > 6 else 0)
    axes.grid(axis="x", visible=False)
