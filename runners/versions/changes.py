"""What a person does with versions, as functions like those of stages: each changes a serving directory, or nothing.

Each checks under the directory's lock what was looked at before it, for others decide too.
"""

from __future__ import annotations

import json
from typing import Any

from components.runtime import VERSION
from components.runtime.errors import InputError, TransientError
from components.runtime.publish import blessing, exports, labels, publishing, serving
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report
from runners.terminal import output


def rollback(
    version: InputArtifact,
    destination: str,
    to: int,
    replaced: int,
    why: str,
    by: str,
    run: str,
    pushed_model: OutputArtifact,
    model: InputArtifact | None = None,
) -> None:
    """Puts the model of an earlier version into service, as the next version.

    Args:
      version: the earlier one, for lineage.
      destination: the serving directory.
      to: number of the earlier version, which is whole.
      replaced: number of the one that was in service when this was decided.
      why: as a person said.
      by: who that is.
      run: id under which this is recorded.
      pushed_model: gets `pushed.json`, as that of push.
      model: whose model it is, for lineage; None where no run tells.

    Raises:
      TransientError: another version has come into service since.
      InputError: the earlier version is gone or damaged.
    """
    root = serving.serving_root(destination)
    with publishing.changing(destination, root, output.warn):
        folders = dict(serving.numbered(root))
        if (now := max(folders, default=0)) != replaced:
            raise TransientError(
                f"{destination}: version {now} has come into service meanwhile, nothing is changed; "
                "look at `./millrace versions`, then decide again"
            )
        try:
            earlier = serving.read_version(to, folders[to]) if to in folders else None
            if earlier is None:
                raise InputError(f"{destination}: version {to} has gone meanwhile")
            serving.verify(earlier)
            exports.verify(earlier)
        except serving.DamagedError as error:
            raise InputError(f"{destination}: version {to} is damaged: {error}") from None
        producer = f"millrace/rollback {VERSION}"
        number = publishing.put_back(root, earlier, replaced, producer, by=by, why=why, run=run)
    how = {"created": True, "replaced": replaced, "same_as": to}
    report(f"version {number} of {destination}{serving.how_pushed(how)}, in place of version {replaced}")
    facts = {"version": number, "destination": destination, "model_digest": earlier.model_digest}
    blessing.record_push(pushed_model, facts)
    pushed_model.metadata |= how | ({"why": why} if why else {})


def promote(version: InputArtifact, destination: str, label: str, of_version: int, labelled: OutputArtifact) -> None:
    """Gives a label to a version.

    Args:
      version: the one, for lineage.
      destination: the serving directory.
      label: that may be another version's so far.
      of_version: number of the version, which is whole.
      labelled: gets `label.json`.

    Raises:
      InputError: the version has gone meanwhile.
    """
    root = serving.serving_root(destination)
    with publishing.changing(destination, root, output.warn):
        if of_version not in dict(serving.numbered(root)):
            raise InputError(f"{destination}: version {of_version} has gone meanwhile")
        known = labels.known(root)
        labels.write(root, known | {label: of_version})
    _tell(labelled, {"label": label, "of_version": of_version, "earlier_version": known.get(label, 0)})


def unlabel(destination: str, label: str, labelled: OutputArtifact) -> None:
    """Takes a label away.

    Args:
      destination: the serving directory.
      label: that some version has.
      labelled: gets `label.json`.

    Raises:
      InputError: no version has it any more.
    """
    root = serving.serving_root(destination)
    with publishing.changing(destination, root, output.warn):
        known = labels.known(root)
        if label not in known:
            raise InputError(f"{destination}: no version has the label {label!r} any more")
        labels.write(root, {name: number for name, number in known.items() if name != label})
    _tell(labelled, {"label": label, "of_version": 0, "earlier_version": known[label]})


def remove(destination: str, keep: int, versions: list[int], removed_versions: OutputArtifact) -> None:
    """Removes older versions.

    Args:
      destination: the serving directory.
      keep: how many intact versions stay.
      versions: numbers of those that a person was told of; what need be kept meanwhile stays.
      removed_versions: gets `removed.json`.
    """
    root = serving.serving_root(destination)
    removed: list[int] = []
    with publishing.changing(destination, root, output.warn):
        try:
            still = publishing.superfluous(root, keep)
        except ValueError as error:
            raise InputError(str(error)) from None
        for number in [number for number in versions if number in still]:
            publishing.remove_versions(root, [number])
            removed.append(number)
            report(f"removed version {number}")
    file = removed_versions.directory() / "removed.json"
    file.write_text(json.dumps({"removed": removed}) + "\n")
    removed_versions.metadata |= {"removed": removed, "kept": keep}


def _tell(labelled: OutputArtifact, facts: dict[str, Any]) -> None:
    (labelled.directory() / "label.json").write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n")
    labelled.metadata |= facts
