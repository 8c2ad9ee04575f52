"""Finds the baseline: the latest model that Millrace pushed, other than the candidate.

Only blessed models are pushed. So the latest pushed one is the latest blessed one that reached production, on every
target and without a metadata store. The candidate is left out so that a repeated run compares it with what came before
it, as the first one did, and not with itself.
"""

from __future__ import annotations

from typing import Any

from components.runtime import serving
from components.runtime.artifacts import InputArtifact, OutputArtifact, remove
from components.runtime.progress import report


def resolve(model: InputArtifact | None, destination: str, baseline_model: OutputArtifact) -> dict[str, Any]:
    """Copies the latest pushed model into `baseline_model`, or leaves it empty.

    Args:
      model: the candidate; None before there is one, when the latest model is looked for to train on from it.
      destination: the serving directory.
      baseline_model: gets `Format-Serving/`.

    Returns:
      `found`.

    Raises:
      InputError: the destination is no directory, or the candidate holds no SavedModel.
    """
    root = serving.serving_root(destination)
    candidate = serving.model_digest(serving.saved_model_files(model)) if model else None
    baseline_model.directory()
    for number, folder in serving.numbered(root):
        try:
            version = serving.read_version(number, folder)
            if version is None:
                report(f"version {number} was not pushed by Millrace, left out")
                continue
            if version.model_digest == candidate:
                report(f"version {number} is the candidate itself, left out")
                continue
            serving.verify(version)
            serving.copy_files(folder, baseline_model.path / serving.MODEL_FOLDER, version.files)
        except (serving.DamagedError, FileNotFoundError) as error:
            # TensorFlow Serving's directory is also cleaned by people: a version may vanish under our hands.
            remove(baseline_model.path)
            baseline_model.directory()
            report(f"version {number} is damaged, left out: {error}")
            continue
        baseline_model.metadata |= {"found": True, "version": number}
        report(f"baseline is version {number}")
        return {"found": True}
    baseline_model.metadata |= {"found": False, "version": 0}
    report("no baseline: nothing was pushed before")
    return {"found": False}
