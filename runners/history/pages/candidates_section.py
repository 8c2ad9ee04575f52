"""What a run's page shows of several candidates, besides the page of the choice between them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from components.runtime.stage.report import COLORS, Html, drawing, escape, figure, section, table, text
from runners.history.candidates import Candidate, candidates, choice, roc
from runners.history.outcome import Outcome, metrics_of, truth
from runners.history.records import Run
from runners.terminal import text as words


def candidates_section(run: Run) -> Html:
    """The candidates side by side; nothing where the run has one model.

    Where one was chosen, the page of the choice has their metrics, and the curves are left.
    """
    found = candidates(run)
    parts = [*([_table(found)] if found and not choice(run) else []), *_curves(found)]
    return section("Candidates", *parts) if parts else Html("")


def roc_figure(curves: Mapping[str, tuple[Sequence[float], Sequence[float]]], about: str) -> Html:
    """ROC curves over each other.

    Args:
      curves: false positive rates and recalls, by what the legend calls them.
      about: what a person who cannot see it should know.
    """
    drawn = figure(4.6, 4.2)
    axes = drawn.add_subplot(aspect="equal", xlabel="false positive rate", ylabel="recall", title="ROC curves")
    axes.plot([0, 1], [0, 1], color="#d1d5db", linestyle="--", linewidth=1)
    for place, (name, curve) in enumerate(curves.items()):
        axes.plot(*curve, color=COLORS[place % len(COLORS)], label=name)
    axes.legend(loc="lower right", frameon=False)
    return drawing(drawn, about)


def _table(found: Sequence[Candidate]) -> Html:
    measured = [metrics_of(each.evaluation) for each in found]
    names = list(Outcome({name: value for each in measured for name, value in each.items()}, {}).key_metrics(5))
    rows = []
    for each, metrics in zip(found, measured, strict=True):
        blessing = each.evaluation.outputs["blessing"].metadata if "blessing" in each.evaluation.outputs else {}
        blessed = truth(blessing.get("blessed"))
        verdict = text("yes", "good") if blessed else text("no", "bad") if blessed is False else escape(None)
        reason = Html(f'<div style="min-width: 16em">{escape(blessing.get("reason") or "")}</div>')
        rows.append(
            [each.name, *(words.number(metrics[name]) if name in metrics else None for name in names), verdict, reason]
        )
    return table(["candidate", *names, "blessed", "why"], rows)


def _curves(found: Sequence[Candidate]) -> Iterator[Html]:
    curves = {each.name: curve for each in found if (curve := roc(each.evaluation))}
    if len(curves) > 1:
        yield roc_figure(curves, "ROC curves of the candidates, one over the other")
