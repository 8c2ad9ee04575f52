"""What is found out about a model, in a bounded number of questions to it."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from components.explain.network import Gradients
from components.explain.sample import Sample, group_names
from components.runtime.explaining import shapley as shapley_values
from components.runtime.explaining import thresholds
from components.runtime.explaining.answers import BINARY, VALUE, Subject
from components.runtime.explaining.counterfactuals import Counterfactual, nearest_other
from components.runtime.explaining.dependence import Dependence, dependence
from components.runtime.explaining.rows import Array, Ask, Rows, count, in_batches, take
from components.runtime.explaining.shapley import Attributions
from components.runtime.stage import progress

_CURVES = 12
_CURVE_ROWS = 100
_POINTS = 20
MOST_GROUPS = 6
"""Groups that decisions are compared between: the largest."""
FEWEST = 30
"""Examples of a group without which nothing is said of it."""
_TIMES = 4


@dataclass(frozen=True)
class Fairness:
    """Thresholds between the groups of one feature.

    Attributes:
      feature: its name.
      groups: the largest of those that are large enough and have both labels.
      chosen: by goal; none where there are fewer than two groups.
      left_out: names of the other groups.
      rows: by the name of each group, those that were left out too.
    """

    feature: str
    groups: Sequence[thresholds.Group]
    chosen: Sequence[thresholds.Chosen]
    left_out: Sequence[str]
    rows: Mapping[str, int]


@dataclass
class Findings:
    """All that is told of a model.

    Attributes:
      subject: the model.
      rows: features of all examples that were drawn.
      answers: to them, shape [examples, answers].
      labels: of them, where they are known.
      explained: places of those with attributions.
      attributions: theirs.
      shown: of the explained ones, by their place among these, those that are shown each for itself.
      curves: the features that matter most.
      others: of each one shown the nearest with another answer.
      gradients: integrated ones, where the model has a gradient.
      fairness: by feature.
      notes: what is not there and why, in a line each.
    """

    subject: Subject
    rows: Rows
    answers: Array
    labels: Array | None
    explained: Sequence[int]
    attributions: Attributions
    shown: Sequence[int]
    curves: list[Dependence] = field(default_factory=list)
    others: list[Counterfactual | None] = field(default_factory=list)
    gradients: Gradients | None = None
    fairness: list[Fairness] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def targets(self) -> Array:
        """Of each explained row which answer is explained."""
        return self.subject.targets(self.answers[list(self.explained)])

    @property
    def own(self) -> Array:
        """Attributions to the answer that is explained, shape [explained, features]."""
        values = self.attributions.values
        return values[np.arange(len(values)), :, self.targets]

    @property
    def importance(self) -> tuple[Array, Array]:
        """Mean size of the attributions of each feature, and half of its 95 % interval; NaN of one row."""
        sizes = np.abs(self.own)
        number = len(sizes)
        half = 1.96 * sizes.std(0, ddof=1) / np.sqrt(number) if number > 1 else np.full(sizes.shape[1], np.nan)
        return sizes.mean(0), half

    @property
    def order(self) -> list[int]:
        """Places of the features, what matters most first."""
        names, mean = self.attributions.features, self.importance[0]
        return sorted(range(len(names)), key=lambda place: (-mean[place], names[place]))


def sizes(rows: int, features: int, wanted: int, background: int, evaluations: int) -> tuple[int, int, int]:
    """How many rows are explained, against how many, and how often, so that no more rows are asked than so many.

    Args:
      rows: that there are.
      features: of a row.
      wanted: rows to explain.
      background: rows to explain them against.
      evaluations: the bound.
    """
    background = min(background, rows)
    while background > 2 and shapley_values.evaluations(1, features, background) > evaluations // 4:
        background -= 1
    each = shapley_values.evaluations(1, features, background) - background
    explained = max(1, min(wanted, rows, (evaluations - background) // max(each, 1)))
    # What is left goes into other orders of the same: of one feature there is one.
    times = 1 if features == 1 else max(1, min(_TIMES, evaluations // max(1, explained * each + background)))
    return explained, background, times


class Deadline:
    """Until when the model is asked; what is not done by then is left out, and the page says so."""

    def __init__(self, minutes: float) -> None:
        """Begins now."""
        self._end = time.monotonic() + minutes * 60

    def __call__(self) -> bool:
        """Whether it is over."""
        return time.monotonic() > self._end


def attribute(
    subject: Subject,
    rows: Rows,
    answers: Array,
    labels: Array | None,
    explained: int,
    background: int,
    times: int,
    shown: int,
    seed: int,
    over: Deadline,
) -> Findings:
    """Shapley values of some rows.

    Args:
      subject: the model.
      rows: examples.
      answers: to them.
      labels: of them.
      explained: how many of them.
      background: against how many.
      times: how many orders for each of these.
      shown: how many are shown each for itself, from the lowest answer to the highest.
      seed: of what is drawn.
      over: when to go by the background rows so far.
    """
    order = np.random.default_rng(seed).permutation(count(rows))
    places = np.sort(order[:explained])
    against = shapley_values.background_rows(rows, background, seed + 1)
    total = shapley_values.evaluations(explained, len(rows), count(against), times)
    with progress.counting(total, "rows", f"attributions of {explained} rows"):
        found = shapley_values.shapley(counted(subject), take(rows, places), against, seed, times, stop=over)
    own = found.answers[np.arange(explained), subject.targets(found.answers)]
    ranked = np.argsort(own, kind="stable")
    steps = np.unique(np.linspace(0, explained - 1, min(shown, explained)).round().astype(int))
    chosen = [int(place) for place in ranked[steps[::-1]]]
    made = Findings(subject, rows, answers, labels, [int(place) for place in places], found, chosen)
    if found.background < count(against):
        made.notes.append(f"explain.minutes ended it after {found.background} of {count(against)} background rows")
    return made


def counted(subject: Subject) -> Ask:
    """The model, which tells how many rows it was asked."""

    def ask(rows: Rows) -> Array:
        answers = subject.answer(rows)
        progress.advance(count(rows))
        return answers

    return ask


def curves(findings: Findings, seed: int, over: Deadline) -> None:
    """Partial dependence on the features that matter most."""
    rows = findings.rows
    some = take(rows, np.sort(np.random.default_rng(seed).permutation(count(rows))[:_CURVE_ROWS]))
    names = [findings.attributions.features[place] for place in findings.order][:_CURVES]
    with progress.counting(len(names) * _POINTS * count(some), "rows", "partial dependence"):
        found = {
            name: dependence(counted(findings.subject), some, name, rows[name], _POINTS) for name in names if not over()
        }
    if late := [name for name in names if name not in found]:
        findings.notes.append(f"no partial dependence on {', '.join(late)}: explain.minutes were over")
    findings.curves = [each for each in found.values() if each]
    if without := [name for name, each in found.items() if each is None]:
        findings.notes.append(
            f"no partial dependence on {', '.join(without)}: neither a number nor a text that rows share, or always "
            "the same"
        )


def counterfactuals(findings: Findings) -> None:
    """Of each row that is shown the nearest with another answer."""
    if findings.subject.task == VALUE:
        findings.notes.append("no nearest other answer: the answer is a number, of which each is another")
        return
    decisions = findings.subject.decisions(findings.answers)
    places = [findings.explained[place] for place in findings.shown]
    findings.others = [
        nearest_other(take(findings.rows, [place]), int(decisions[place]), findings.rows, decisions) for place in places
    ]
    if not any(findings.others):
        alike = len(set(decisions.tolist())) == 1
        why = (
            "all examples are answered alike"
            if alike
            else "the examples differ in no number and no text, which alone are compared"
        )
        findings.notes.append(f"no nearest other answer: {why}")


def fairness(findings: Findings, sample: Sample, features: Sequence[str], tolerance: float) -> None:
    """Thresholds by group, for each feature."""
    if findings.subject.task != BINARY:
        if features:
            findings.notes.append("no decision thresholds: the answer is not the probability of one class")
        return
    if findings.labels is None:
        findings.notes.append("no decision thresholds: nothing tells the label of these examples")
        return
    for feature in features:
        names = np.array(group_names(sample, feature), object)
        sizes_of = {name: int((names == name).sum()) for name in sorted(set(names.tolist()))}
        inside = np.isin(names, [name for name, size in sizes_of.items() if size >= FEWEST])
        large = thresholds.groups_of(findings.answers[inside, 0], findings.labels[inside], names[inside].tolist())
        found = large[:MOST_GROUPS]
        kept = {group.name for group in found}
        chosen = thresholds.choose(found, tolerance) if len(found) > 1 else []
        left_out = [name for name in sizes_of if name not in kept]
        findings.fairness.append(Fairness(feature, found, chosen, left_out, sizes_of))


def answers_of(subject: Subject, rows: Rows) -> Array:
    """The answers to all examples."""
    with progress.counting(count(rows), "rows", "asking the model"):
        return in_batches(counted(subject), rows)
