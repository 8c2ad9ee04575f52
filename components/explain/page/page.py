"""The page: what a model goes by, in pictures."""

from __future__ import annotations

from components.explain.findings import Findings
from components.explain.page import curves, fairness, gradients, importance, rows
from components.runtime.stage.report import Html, page, paragraph, section, text


def render(findings: Findings, examples: int, split: str) -> str:
    """The page as HTML.

    Args:
      findings: all that is told.
      examples: of the split.
      split: its name.
    """
    drawn = len(findings.answers)
    of = f"all {drawn:,}" if drawn == examples else f"{drawn:,} of {examples:,}"
    facts = paragraph(
        f"By {of} examples of {split}; {len(findings.explained):,} of them have attributions, against "
        f"{findings.attributions.background} others. What is told is what the model goes by, and not what causes "
        "what in the world."
    )
    parts = [importance.part(findings, facts)]
    if findings.gradients:
        parts.append(gradients.part(findings, findings.gradients))
    if findings.curves:
        parts.append(curves.part(findings))
    parts.append(rows.part(findings))
    if any(findings.others):
        parts.append(rows.others(findings))
    parts += [fairness.part(each) for each in findings.fairness]
    if findings.notes:
        parts.append(section("What is not here", *[paragraph(note) for note in findings.notes]))
    return page("Explanations", *parts)


def muted(*said: str) -> Html:
    """A note below or above a picture."""
    return paragraph(text(" ".join(said), "muted"))
