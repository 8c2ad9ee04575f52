"""What a run's page shows of several candidates, besides the page of the choice between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from components.runtime.records.answered import metrics_of, truth
from components.runtime.stage.report import Html, escape, section, table, text
from runners.history.candidates import Candidate, candidates, choice
from runners.history.evaluations import of_execution
from runners.history.outcome import Outcome
from runners.history.pages.evaluation_curves import curves
from runners.history.records import Run
from runners.terminal import text as words


def candidates_section(run: Run) -> Html:
    """The candidates side by side; nothing where the run has one model.

    Where one was chosen, the page of the choice has their metrics, and the curves are left.
    """
    found = candidates(run)
    parts = [*([_table(found)] if found and not choice(run) else []), *_curves(found)]
    return section("Candidates", *parts) if parts else Html("")


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
    if len(found) > 1:
        yield from curves({each.name: of_execution(each.evaluation) for each in found})
