"""What a look at a version in service came to, as a person reads it in a terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

from components.runtime.errors import InputError
from runners.history.records import Run
from runners.terminal import output, text

DRIFTED = "drifted"
_NEXT_TO_NONE = 0.1
"""Share of its threshold below which a share of missing values is not shown; it stands in watch.json."""
_FILE = "watch.json"
_STYLES = {"ok": "green", DRIFTED: "red", "unknown": "yellow"}


def of_run(run: Run) -> dict[str, Any]:
    """What `watch.json` of a run says.

    Raises:
      InputError: it has gone since.
    """
    artifact = run.executions["watch"].path("watched") / _FILE
    try:
        found: dict[str, Any] = json.loads(artifact.read_text())
        return found
    except (OSError, ValueError) as error:
        raise InputError(f"{artifact}: cannot be read ({error}); watch again") from None


def show(found: Mapping[str, Any]) -> None:
    """Prints the window that decides, feature by feature, the metrics, and the verdict.

    Args:
      found: what `watch.json` says.
    """
    windows, decided = found["windows"], found["decided_by"]
    if decided["distances"] is not None:
        window = windows[decided["distances"]]
        rows: list[list[text.Cell]] = [list(row) for row in _distances(window["distances"])]
        title = f"{window['rows']:,} rows until {_minute(window['until'])}"
        text.table(["", "measure", "from training", "from before", "at most", ""], rows, title=title)
    if decided["metrics"] is not None:
        window = windows[decided["metrics"]]
        rows = [list(row) for row in _metrics(window["metrics"], found["at_blessing"], found["passed"])]
        title = f"{window['labels']:,} labels until {_minute(window['until'])}"
        text.table(["", "value", "95 %", "at blessing", "bound", ""], rows, title=title)
    output.note(text.styled(f"{found['state']}: {found['reason']}", _STYLES[found["state"]]))


def _distances(distances: list[dict[str, Any]]) -> Iterator[tuple[text.Cell, ...]]:
    """A row for each feature and measure, the worst first; of shares of missing values those that are worth a look."""
    pairs: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for each in distances:
        pairs.setdefault((each["feature"], each["measure"]), {})[each["kind"]] = each
    worst = {pair: max(map(_share, found.values())) for pair, found in pairs.items()}
    for (feature, measure), found in sorted(pairs.items(), key=lambda pair: (-worst[pair[0]], pair[0])):
        if measure == "missing" and worst[feature, measure] < _NEXT_TO_NONE:
            continue
        values = [_value(found.get(kind)) for kind in ("skew", "drift")]
        bounds = dict.fromkeys(_number(each["threshold"]) for each in found.values())
        passed = any(each["passed"] for each in found.values())
        name = "share missing" if measure == "missing" else measure.replace("_", " ")
        unknown = next((each for each in found.values() if each["value"] is None), None)
        why = f"{unknown['kind']} not measured, because {unknown['why']}" if unknown else ""
        yield (feature, name, *values, " / ".join(bounds), ("too far", "red") if passed else why)


def _metrics(
    metrics: list[dict[str, Any]], at_blessing: Mapping[str, Any], passed: list[str]
) -> Iterator[tuple[text.Cell, ...]]:
    for each in metrics:
        level = at_blessing.get(each["name"]) or {}
        worse = any(line.startswith(f"{each['name']} ") for line in passed)
        yield (
            each["name"],
            _number(each["value"]),
            f"{_number(each['low'])} to {_number(each['high'])}",
            _number(level.get("value")),
            _number(level.get("bound")),
            ("worse", "red") if worse else "",
        )


def _share(distance: Mapping[str, Any]) -> float:
    """A distance as a share of its threshold; 0 where it is not known."""
    value, threshold = distance["value"] or 0.0, distance["threshold"]
    return value / threshold if threshold else math.inf if value else 0.0


def _value(distance: Mapping[str, Any] | None) -> str:
    if distance is None:
        return ""
    return "unknown" if distance["value"] is None else _number(distance["value"])


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def _minute(moment: str) -> str:
    return f"{moment[:10]} {moment[11:19]}"
