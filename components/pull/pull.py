"""Takes a version out of a serving directory, with the schema of the data that it can be asked about.

That schema is the one of the data that the model was trained on, as the version itself tells. What nobody knows when a
model is asked (labels) need not be there, and what only a whole set of training data has to fulfil (how many rows there
are) is left out. Columns that it does not name, such as an id, are allowed: validate warns of them.
"""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data import tfmd
from components.runtime.data.storage import local_file
from components.runtime.errors import InputError, did_you_mean
from components.runtime.publish import labels, saved_signatures, serving, trained_on
from components.runtime.stage.artifacts import OutputArtifact
from components.runtime.stage.progress import report

_NAMED = 8
SERVING = "SERVING"
"""The environment of a schema in which labels are not, by TFX's convention: `not_in_environment: "SERVING"`."""


def pull(
    destination: str,
    candidate: str,
    version: int,
    label: str,
    schema_file: str,
    pulled_model: OutputArtifact,
    schema: OutputArtifact,
) -> dict[str, Any]:
    """Copies the model of a version, and writes the schema that new data is held to.

    Args:
      destination: the serving directory.
      candidate: of several models that are each published there: whose folder in it is looked at.
      version: its number; 0 for the one in service, or that `label` names.
      label: of the version; empty for none.
      schema_file: of the data that the model was trained on, for a version that does not tell its own.
      pulled_model: gets `Format-Serving/`.
      schema: gets `schema.pbtxt`.

    Returns:
      `version`.

    Raises:
      InputError: there is no such version or label, Millrace did not push it, it is damaged, or there is no schema.
      TransientError: somebody removed or changed the version while it was copied.
    """
    if version < 0:
        raise InputError(f"version is {version}: give its number, or 0 for the one in service")
    if version and label:
        raise InputError(f"version {version} and label {label!r} exclude each other; give one of them")
    destination = serving.of_candidate(destination, candidate)
    root = serving.serving_root(destination)
    found = _found(destination, root, _number(destination, root, version, label))
    report(f"version {found.number} of {destination}")
    serving.copy_model(found, pulled_model.path / serving.MODEL_FOLDER, destination)
    told, source = trained_on.read(found.folder).schema, "of the version"
    if told is None:
        if not schema_file:
            raise InputError(
                f"{destination}: version {found.number} does not tell the schema of its data, as versions of earlier "
                "releases do not; push it once more, or name the schema with schema_file"
            )
        told, source = local_file(schema_file), schema_file
    asked = for_asking(tfmd.read_schema(told), _inputs(pulled_model.path / serving.MODEL_FOLDER))
    text = text_format.MessageToString(asked, as_utf8=True)
    (schema.directory() / tfmd.SCHEMA_FILE).write_text(text, encoding="utf-8")
    features = sum(not feature.HasField("lifecycle_stage") for feature in asked.feature)
    schema.metadata |= {"features": features, "source": tfmd.OF_A_VERSION}
    pulled_model.metadata |= {"version": found.number, "reason": str(found.about.get("blessing", ""))}
    report(f"schema: {source}, {features} features that it is asked with")
    return {"version": found.number}


def _number(destination: str, root: Path, version: int, label: str) -> int:
    """The number of the version that is meant.

    Raises:
      InputError: there is none.
    """
    numbers = [number for number, _ in serving.numbered(root)]
    if not numbers:
        raise InputError(f"{destination}: nothing was pushed here yet; run the pipeline, which pushes what is blessed")
    if label:
        known = labels.known(root)
        if label not in known:
            raise InputError(
                f"{destination}: no version has the label {label!r}{did_you_mean(label, known)}; "
                f"labels are: {', '.join(known) or 'none'}"
            )
        version = known[label]
    if version and version not in numbers:
        named = f", which {label!r} names" if label else ""
        there = ", ".join(map(str, sorted(numbers)[-_NAMED:]))
        raise InputError(f"{destination}: there is no version {version}{named}; there are {there}")
    return version or numbers[0]


def _found(destination: str, root: Path, number: int) -> serving.Version:
    """A version that is whole, and that a blessed model was pushed as.

    Raises:
      InputError: it is not, or nobody knows.
    """
    try:
        found = serving.read_version(number, dict(serving.numbered(root))[number])
        if found is None:
            raise InputError(
                f"{destination}: version {number} was not pushed by Millrace: nothing tells whether it is blessed and "
                "whole; name another version"
            )
        serving.verify(found)
    except serving.DamagedError as error:
        raise InputError(f"{destination}: version {number} is damaged: {error}; name another version") from None
    return found


def for_asking(schema: schema_pb2.Schema, inputs: Set[str] | None) -> schema_pb2.Schema:
    """A copy of a schema to which data is held that a model is asked about.

    Args:
      schema: of the data that it was trained on.
      inputs: features that the model is asked with; None where its signatures do not say.
    """
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    for place, feature in enumerate(schema.feature):
        if feature.name not in inputs if inputs is not None else SERVING in feature.not_in_environment:
            # TFDV passes over a feature of this stage, whether it is there or not.
            unasked = schema_pb2.Feature(name=feature.name, type=feature.type, lifecycle_stage=schema_pb2.DEBUG_ONLY)
            result.feature[place].CopyFrom(unasked)
    # How many rows there are, and how they differ from an earlier day's or from training, is no matter of one batch.
    result.ClearField("dataset_constraints")
    for feature in result.feature:
        feature.ClearField("drift_comparator")
        feature.ClearField("skew_comparator")
    return result


def _inputs(folder: Path) -> Set[str] | None:
    """The features that a model is asked with, as its signature for plain features says."""
    found = {each.name: each for each in saved_signatures.read(folder)}
    asked = found.get(saved_signatures.SERVING_DEFAULT)
    if asked is None or saved_signatures.takes_examples(asked, found):
        return None
    return frozenset(each.name for each in asked.inputs)
