"""What the distances and metrics of the windows come to: whether a threshold is passed, and which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

from components.runtime.records.facts import counted
from components.watch import quality
from components.watch.distances import MISSING, Distance
from components.watch.quality import Metric

OK, DRIFTED, UNKNOWN = "ok", "drifted", "unknown"
_TOLD = 3


@dataclass(frozen=True)
class Looked:
    """A window with what was found in it.

    Attributes:
      labels: how many of the rows have a label.
      distances: of its features and outputs; none where it has too few rows.
      metrics: none where it has too few labels.
      answers: of each output its mean, or the shares of its most frequent values.
      why: why it has no metrics in spite of labels enough; empty where it has, or has not enough.
    """

    since: datetime
    until: datetime
    rows: int
    labels: int
    distances: list[Distance] = field(default_factory=list)
    metrics: list[Metric] = field(default_factory=list)
    answers: dict[str, dict[str, float]] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True)
class Level:
    """A metric as it was at blessing, and up to where it may get worse; None where that decides nothing."""

    name: str
    value: float
    bound: float | None

    def is_worse(self, metric: Metric) -> bool:
        """Whether a metric is worse than it may be, and worse than at blessing by more than chance."""
        if self.bound is None:
            return False
        if self.name in quality.HIGHER:
            return metric.value < self.bound and metric.high < self.value
        return metric.value > self.bound and metric.low > self.value


def levels(at_blessing: Mapping[str, Any], worse_by: Mapping[str, float]) -> dict[str, Level]:
    """The levels of the metrics that were measured at blessing.

    Args:
      at_blessing: as the version's manifest has them, under the names of evaluate.
      worse_by: as the settings say.
    """
    found = {}
    for name, known_as in quality.AT_BLESSING.items():
        value = next((at_blessing[each] for each in known_as if isinstance(at_blessing.get(each), int | float)), None)
        if value is not None:
            allowed, bound = worse_by.get(name), None
            if allowed is not None:
                bound = value - allowed if name in quality.HIGHER else value * (1 + allowed)
            found[name] = Level(name, float(value), bound)
    return found


@dataclass(frozen=True)
class Verdict:
    """Whether a threshold is passed.

    Attributes:
      state: OK, DRIFTED, or UNKNOWN where there was too little of everything.
      reason: why, in one line.
      distances: place of the window whose distances decide, the newest that has enough rows; None where none has.
      metrics: the same of the metrics, by labels.
      passed: what passed a threshold, worst first.
    """

    state: str
    reason: str
    distances: int | None
    metrics: int | None
    passed: list[str]


def decide(
    looked: Sequence[Looked],
    known: Mapping[str, Level],
    *,
    version: int,
    min_rows: int,
    min_labels: int,
    wrong: int = 0,
) -> Verdict:
    """Decides by the newest windows that have enough rows, and enough labels.

    Args:
      looked: the windows, the oldest first.
      known: the metrics at blessing.
      version: that is watched.
      min_rows: from which on a window has distances.
      min_labels: from which on a window has metrics.
      wrong: labels that are none of the model's, which no window has.
    """
    far = _newest(looked, lambda each: bool(each.distances))
    bad = _newest(looked, lambda each: bool(each.metrics))
    passed: list[str] = []
    if bad is not None:
        worse = [each for each in looked[bad].metrics if each.name in known and known[each.name].is_worse(each)]
        passed += [_worse(each, known[each.name]) for each in worse]
    if far is not None:
        beyond = sorted((each for each in looked[far].distances if each.passed), key=lambda each: -each.share)
        passed += [_far(each) for each in beyond]
    if passed:
        more = len(passed) - _TOLD
        told = "; ".join(passed[:_TOLD]) + (f"; and {more} more" if more > 0 else "")
        return Verdict(DRIFTED, f"version {version}: {told}", far, bad, passed)
    if far is None and bad is None:
        rows = sum(each.rows for each in looked)
        most = max((each.rows for each in looked), default=0)
        why = (
            f"answered {rows:,} rows, {most:,} at most in one window, and min_rows is {min_rows:,}"
            if rows
            else "answered nothing in these windows"
        )
        return Verdict(UNKNOWN, f"version {version} {why}: nothing is judged", None, None, [])
    parts = []
    if far is not None:
        parts.append(_within(looked[far].distances))
    judged = (
        [each.name for each in looked[bad].metrics if each.name in known and known[each.name].bound is not None]
        if bad is not None
        else []
    )
    if judged:
        parts.append(f"{', '.join(judged)} as at blessing")
    else:
        parts.append(_no_metrics(looked, known, bad, min_labels, wrong))
    return Verdict(OK, f"version {version}: {'; '.join(parts)}", far, bad, [])


def _no_metrics(
    looked: Sequence[Looked], known: Mapping[str, Level], bad: int | None, min_labels: int, wrong: int
) -> str:
    if bad is None:
        return f"metrics unknown ({why_unknown(looked, min_labels, wrong)})"
    if not known:
        return "metrics not judged (none is known from the blessing)"
    names = [each.name for each in looked[bad].metrics]
    if known.keys().isdisjoint(names):
        return (
            f"metrics not judged ({', '.join(names)} are measured, {', '.join(known)} known from the blessing; where "
            "a label is a number and the answer a class, watch.positive says which are positive)"
        )
    return "metrics not judged (none has a bound)"


def why_unknown(looked: Sequence[Looked], min_labels: int, wrong: int) -> str:
    """Why no window has metrics.

    Args:
      looked: the windows, the oldest first.
      min_labels: from which on a window has metrics.
      wrong: labels that are none of the model's.
    """
    if told := next((each.why for each in reversed(looked) if each.why), ""):
        return told
    most = max(each.labels for each in looked)
    besides = f", without {wrong:,} that are none of the model's" if wrong else ""
    return f"{most:,} labels at most in one window{besides}, and min_labels is {min_labels:,}"


def left_out(count: int, example: str) -> str:
    """That labels are none of the model's, in words."""
    return f"{counted(count, 'label')} left out, none of the model's; the first: {example}"


def _within(distances: Sequence[Distance]) -> str:
    """How many features and outputs are measured, and which are not: a share of missing values is no distance."""
    measured = {each.feature for each in distances if each.value is not None and each.measure != MISSING}
    others = list(dict.fromkeys(each.feature for each in distances if each.feature not in measured))
    some = ", ".join(others[:_TOLD]) + (", …" if len(others) > _TOLD else "")
    return f"{len(measured)} features and outputs within their thresholds" + (
        f", {len(others)} not measured ({some})" if others else ""
    )


def _newest(looked: Sequence[Looked], has: Any) -> int | None:
    return next((place for place in reversed(range(len(looked))) if has(looked[place])), None)


def _worse(metric: Metric, level: Level) -> str:
    sign = "at least" if metric.name in quality.HIGHER else "at most"
    return (
        f"{metric.name} {metric.value:.3g} (95 %: {metric.low:.3g} to {metric.high:.3g}, {metric.count:,} labels), "
        f"{level.value:.3g} at blessing, {sign} {level.bound:.3g}"
    )


def _far(distance: Distance) -> str:
    what = {"skew": "skew", "drift": "drift"}[distance.kind]
    measure = " of missing values" if distance.measure == MISSING else ""
    return f"{what}{measure} of {distance.feature} {distance.value:.3g}, at most {distance.threshold:.3g}"


def document(
    verdict: Verdict,
    looked: Sequence[Looked],
    known: Mapping[str, Level],
    slices: Mapping[str, Mapping[str, Sequence[Metric]]],
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """What `watch.json` says."""
    return {
        **about,
        "state": verdict.state,
        "reason": verdict.reason,
        "passed": verdict.passed,
        "decided_by": {"distances": verdict.distances, "metrics": verdict.metrics},
        "at_blessing": {name: {"value": each.value, "bound": each.bound} for name, each in known.items()},
        "windows": [
            asdict(each)
            | {"since": each.since.isoformat(), "until": each.until.isoformat()}
            | {"distances": [asdict(one) | {"passed": one.passed} for one in each.distances]}
            for each in looked
        ],
        "slices": {
            feature: {value: [asdict(each) for each in found] for value, found in values.items()}
            for feature, values in slices.items()
        },
    }
