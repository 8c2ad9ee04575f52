"""The version that is watched: what it was trained on, and how good it was when it was blessed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data import schema_columns
from components.runtime.data.schema_columns import Column
from components.runtime.data.statistics import Statistics
from components.runtime.data.tfmd import read_schema, read_statistics
from components.runtime.errors import InputError
from components.runtime.publish import serving, trained_on
from components.runtime.stage.artifacts import InputArtifact


@dataclass(frozen=True)
class Served:
    """A version, as its folder tells.

    Attributes:
      schema: of the raw data that it was trained on.
      columns: the same, as labels are read by it.
      statistics: of that data.
      split: the one that they are of.
      model_digest: of its model, by which lineage knows it.
      metrics: by name, when it was blessed; none where its manifest has none.
    """

    number: int
    schema: schema_pb2.Schema
    columns: Mapping[str, Column]
    statistics: Statistics
    split: str
    model_digest: str
    metrics: Mapping[str, Any]


def find(destination: str, number: int) -> Served:
    """The version in service, or the one with a number.

    Raises:
      InputError: it is not there, is damaged, or does not tell what it was trained on.
    """
    versions = dict(serving.numbered(serving.serving_root(destination)))
    if not versions:
        raise InputError(f"{destination}: no version is served from here; push one first")
    number = number or max(versions)
    if number not in versions:
        raise InputError(
            f"{destination}: there is no version {number}; there are {', '.join(map(str, sorted(versions)))}"
        )
    try:
        version = serving.read_version(number, versions[number])
    except serving.DamagedError as error:
        raise InputError(f"{destination}: version {number} is damaged: {error}") from None
    told = trained_on.read(versions[number])
    if version is None or told.schema is None or not told.statistics:
        raise InputError(
            f"{destination}: version {number} does not tell what it was trained on: {trained_on.FOLDER} is not in it; "
            "a run pushes one that does"
        )
    statistics = read_statistics(InputArtifact("trained_on", str(Path(told.schema).parent), {}))
    # (`train` is the first where there is one.)
    split = next(iter(statistics))
    metrics = version.about.get("metrics")
    return Served(
        number,
        read_schema(told.schema),
        schema_columns.read(Path(told.schema)),
        statistics[split],
        split,
        version.model_digest,
        metrics if isinstance(metrics, Mapping) else {},
    )
