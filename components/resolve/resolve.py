"""Finds the baseline: the latest model that Millrace pushed, other than the candidate.

Only blessed models are pushed. So the latest pushed one is the latest blessed one that reached production, on every
target and without a metadata store. The candidate is left out so that a repeated run compares it with what came before
it, as the first one did, and not with itself. Versions that others put there are no baseline, even in service: nobody
knows whether they answer to the same signatures.
"""

from __future__ import annotations

from typing import Any

from components.runtime.publish import serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report


def resolve(
    model: InputArtifact | None, destination: str, baseline_model: OutputArtifact, candidate: str = ""
) -> dict[str, Any]:
    """Copies the latest pushed model into `baseline_model`, or leaves it empty.

    Args:
      model: the candidate; None before there is one, when the latest model is looked for to train on from it.
      destination: the serving directory.
      baseline_model: gets `Format-Serving/`.
      candidate: of several models that are each published there: whose folder in it is looked at.

    Returns:
      `found`.

    Raises:
      InputError: the destination is no directory, or the candidate holds no SavedModel.
      TransientError: somebody removed or changed the version while it was copied.
    """
    destination = serving.of_candidate(destination, candidate)
    root = serving.serving_root(destination)
    found = serving.survey(root, serving.model_digest(serving.saved_model_files(model)) if model else "")
    for line in found.left_out:
        report(line)
    baseline = found.baseline
    baseline_model.directory()
    if baseline is not None:
        serving.copy_model(baseline, baseline_model.path / serving.MODEL_FOLDER, destination)
    baseline_model.metadata |= {
        "found": baseline is not None,
        "version": baseline.number if baseline else 0,
        "in_service": found.in_service,
        "candidate_in_service": found.holds_candidate,
        "reason": found.told,
    }
    report(f"baseline: {found.told}")
    return {"found": baseline is not None}
