"""Publishes a blessed model as the next version of a serving directory, unless it is in service already.

A model that is there under a lower number becomes a new version as well: else what was just found worse would stay in
service. And it is published only while the baseline is the one that it was blessed against: of two runs at once the
slower has to be evaluated again.

How a version appears, whole or not at all, is in `components.runtime.publish.publishing`.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from components.runtime import VERSION
from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.publish import blessing as blessings
from components.runtime.publish import exports, publishing, serving, trained_on
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report


def push(
    model: InputArtifact,
    blessing: InputArtifact,
    schema: InputArtifact | None,
    statistics: InputArtifact | None,
    destination: str,
    pushed_model: OutputArtifact,
    candidate: str = "",
    keep: int = 0,
) -> dict[str, Any]:
    """Publishes the model, unless it is not blessed, or is what is in service.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: whether it is `BLESSED`, and against which baseline.
      schema: of the raw data that the model was trained on; goes into the version.
      statistics: of the same data; goes into the version.
      destination: the serving directory; made where it does not exist.
      pushed_model: gets `pushed.json`.
      candidate: of several models that are each published there: the name of this one, and of its folder in it.
      keep: how many versions stay there; 0 for all. Older ones are removed, but for those with a label, the one in
        service, what the next run is compared with, and what others put there.

    Returns:
      `version`; empty where nothing was published.

    Raises:
      InputError: the blessing is of another model, or the destination cannot be written.
      TransientError: the disk is full; or the baseline is no longer the one that the model was blessed against, so that
        it has to be evaluated again.
    """
    files = serving.saved_model_files(model)
    digest = serving.model_digest(files)
    blessed = blessings.read(blessing, digest, pushed_model)
    if blessed is None:
        return {"version": ""}
    if keep < 0:
        raise InputError(f"keep is {keep}: say how many versions stay, or 0 for all")
    destination = serving.of_candidate(destination, candidate)
    if candidate:
        pushed_model.metadata["candidate"] = candidate
    root = serving.serving_root(destination)
    with publishing.changing(destination, root):
        found = serving.survey(root, digest)
        beside = exports.read(blessing)
        is_there = found.holds_candidate and not _lacks_one(root, found.in_service, beside)
        how: dict[str, Any] = {"created": not is_there}
        if is_there:
            number = found.in_service
        else:
            for line in found.left_out:
                report(line)
            _check_baseline(blessed, found, destination)
            how |= {"replaced": found.in_service, "same_as": _same_model(root, digest)}
            about: dict[str, Any] = {"blessing": blessed.reason, "producer": f"millrace/push {VERSION}"}
            if blessed.metrics:
                # Whoever watches the version holds it to them.
                about["metrics"] = dict(blessed.metrics)
            besides = trained_on.files(schema, statistics) | exports.places(beside)
            warm_up = blessing.path / blessings.WARM_UP
            if warm_up.is_file():
                besides[serving.WARM_UP] = warm_up
            for file in sorted((blessing.path / blessings.CARD).glob("*.*")):
                besides[f"{serving.CARD}/{file.name}"] = file
            if beside:
                about[exports.KEY] = exports.told(beside)
                how["exports"] = list(about[exports.KEY])
            number = publishing.publish(root, serving.saved_model(model), files, about, besides)
        if keep:
            how["removed"] = _remove_older(root, keep)
    instead = f", in place of version {how['replaced']}" if how.get("replaced") else ""
    report(f"version {number} of {destination}{serving.how_pushed(how)}{instead}")
    facts = {"version": number, "destination": destination, "model_digest": digest}
    blessings.record_push(pushed_model, facts)
    pushed_model.metadata |= how
    return {"version": str(number)}


def _lacks_one(root: Path, number: int, beside: list[exports.Export]) -> bool:
    """Whether the version in service, which has the model, lacks an export of it; then the next one gets them all."""
    version = serving.read_version(number, root / str(number))
    there = exports.of_version(version) if version else {}
    lacking = [each.name for each in beside if there.get(each.name, {}).get("how") != each.about.get("how")]
    if lacking:
        report(f"version {number} has this model without: {', '.join(lacking)}")
    return bool(lacking)


def _check_baseline(blessed: blessings.Blessing, found: serving.Survey, destination: str) -> None:
    """Holds the baseline of the blessing against what would be the baseline now."""
    now = found.baseline
    if blessed.baseline_digest is None or blessed.baseline_digest == (now.model_digest if now else ""):
        return
    if now is None:
        changed = "the model that this one was compared with is gone or damaged"
    elif blessed.baseline_digest:
        changed = f"the latest model is version {now.number}, not the one that this one was compared with"
    else:
        changed = f"version {now.number} has come, while this model was compared with nothing"
    raise TransientError(
        f"{destination}: {changed}: evaluate again, by running the pipeline again (trying push alone again cannot help)"
    )


def _same_model(root: Path, digest: str) -> int:
    """The highest intact version that holds the model; 0 where there is none."""
    for number, folder in serving.numbered(root):
        with contextlib.suppress(serving.DamagedError):
            version = serving.read_version(number, folder)
            if version is not None and version.model_digest == digest:
                serving.verify(version)
                return number
    return 0


def _remove_older(root: Path, keep: int) -> list[int]:
    """Removes what need not be kept, and says so. The model is in service: what cannot be removed is no failure."""
    removed: list[int] = []
    try:
        for number in publishing.superfluous(root, keep):
            publishing.remove_versions(root, [number])
            removed.append(number)
            report(f"removed version {number}: the last {keep} are kept")
    except (OSError, ValueError, StageError) as error:
        report(f"older versions stay: {error}")
    return removed
