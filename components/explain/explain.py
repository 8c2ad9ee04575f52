"""Explains a model by examples: what it goes by, on the whole and in single rows, and what would change its answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.explain import findings as finding
from components.explain.document import FILE, document
from components.explain.network import Network
from components.explain.page import page
from components.explain.sample import draw, group_features, labels_of
from components.explain.signature import asking, rows_of
from components.runtime.errors import InputError
from components.runtime.explaining.answers import subject
from components.runtime.module_file.predictions import ExportedModel
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report as progress

_TOLD = 20
_NAMED = 3
_GRADIENT_ROWS = 64


def explain(
    model: InputArtifact,
    blessing: InputArtifact,
    examples: InputArtifact,
    split: str,
    sample_rows: int,
    rows: int,
    background: int,
    shown: int,
    evaluations: int,
    minutes: float,
    steps: int,
    groups: list[str],
    tolerance: float,
    output: str,
    seed: int,
    explanations: OutputArtifact,
    report: OutputArtifact,
) -> None:
    """Explains the model, whether it is blessed or not.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: of evaluate; tells the label, the slices and the names of classes.
      examples: raw tf.Examples.
      split: from which examples are drawn.
      sample_rows: how many; among these the nearest other answers are, and thresholds are found.
      rows: how many of them get attributions.
      background: against how many.
      shown: how many are shown each for itself.
      evaluations: rows that the model is asked for attributions, at most; of `rows` and `background` so many less.
      minutes: that attributions, curves and gradients take together, about; what is not done by then is left out.
      steps: of integrated gradients.
      groups: features between whose values decisions are to be fair; those of evaluate's slices, where empty.
      tolerance: by how much rates of groups may differ.
      output: of the signature; the one of numbers, where empty.
      seed: of all that is drawn.
      explanations: gets `explanations.json`.
      report: gets the page.

    Raises:
      InputError: the model does not take the examples, or answers what is neither a number nor classes.
    """
    counts = {
        "sample_rows": sample_rows, "rows": rows, "background": background, "shown": shown,
        "evaluations": evaluations, "steps": steps,
    }  # fmt: skip
    _check(counts, tolerance, minutes)
    told = blessings.slices(blessing) or {"label": "", "slices": []}
    digest = serving.model_digest(serving.saved_model_files(model))
    if not blessings.is_of(blessings.document(blessing), digest):
        raise InputError("the blessing is of another model; evaluate the model that is to be explained")
    exported = ExportedModel(str(serving.saved_model(model)))
    sample = draw(examples, split, sample_rows, seed)
    by_groups = group_features(sample, groups, told["slices"])
    features = rows_of(exported, sample.decoded)
    if not features:
        raise InputError("the model takes no features that could be explained")
    labels = labels_of(exported, sample, told["label"])
    classes = blessing.metadata.get("classes") or []
    explained = subject(asking(exported), features, output, labels, classes)
    answers = finding.answers_of(explained, features)
    number, against, times = finding.sizes(len(answers), len(features), rows, background, evaluations)
    over = finding.Deadline(minutes)
    found = finding.attribute(explained, features, answers, labels, number, against, times, shown, seed, over)
    if number < min(rows, len(answers)) or against < min(background, len(answers)):
        found.notes.append(
            f"explain.evaluations lets {number} rows be explained against {against}, in place of {rows} against "
            f"{background}"
        )
    finding.curves(found, seed, over)
    finding.counterfactuals(found)
    finding.fairness(found, sample, by_groups, tolerance)
    network, why = Network.of(exported, sample.records)
    if network:
        some = [found.explained[place] for place in found.shown]
        if not network.takes_images:
            some += [place for place in found.explained if place not in some]
        found.gradients, why = network.integrated(some[:_GRADIENT_ROWS], list(range(len(answers))), steps, over)
    if why:
        found.notes.append(f"no integrated gradients: {why}")
    made = document(found, split)
    (explanations.directory() / FILE).write_text(json.dumps(made, indent=1, allow_nan=False) + "\n")
    goes_by = _goes_by(made["importance"])[:_NAMED]
    # (Not as metrics: these are the model's, by which runs are compared.)
    explanations.metadata |= {
        "explained": number,
        "background": found.attributions.background,
        "task": explained.task,
        "importance": {each["feature"]: each["mean"] for each in made["importance"][:_TOLD]},
        "goes_by": goes_by,
    }
    report.path.write_text(page.render(found, sample.rows, split), encoding="utf-8")
    progress(f"the answers go by {', '.join(goes_by)} most" if goes_by else "the answers go by none of the features")


def _goes_by(importance: Sequence[Mapping[str, Any]]) -> list[str]:
    """The features whose importance is above 0, by more than half of its interval."""
    return [each["feature"] for each in importance if each["mean"] > (each["half_interval"] or 0)]


def _check(counts: Mapping[str, int], tolerance: float, minutes: float) -> None:
    for name, value in counts.items():
        if value < 1:
            raise InputError(f"{name} is {value}: give a number from 1")
    if not 0 <= tolerance <= 1:
        raise InputError(f"tolerance is {tolerance:g}: give a share from 0 to 1")
    if not 0 < minutes < math.inf:
        raise InputError(f"minutes is {minutes:g}: give a number above 0")
