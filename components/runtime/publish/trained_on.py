"""What a version was trained on, told inside the version: the schema and the statistics of its raw data.

Whoever has the served folder, and no record of the run that made it, can hold new data to what the model knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.runtime.data.tfmd import SCHEMA_FILE, STATISTICS_FILE, split_order
from components.runtime.publish import mirror
from components.runtime.stage.artifacts import InputArtifact

FOLDER = "assets.extra/trained_on"
"""Inside a version: `schema.pbtxt`, and `Split-<name>/FeatureStats.pb` for each split, as TFDV writes them."""


@dataclass(frozen=True)
class TrainedOn:
    """The data of a version, as far as its folder tells.

    Attributes:
      schema: a `tensorflow_metadata.proto.v0.Schema` as text; None where the version has none.
      statistics: of each split a file with a `DatasetFeatureStatisticsList`, `train` first.
    """

    schema: Path | None
    statistics: Mapping[str, Path]


def files(schema: InputArtifact | None, statistics: InputArtifact | None) -> dict[str, Path]:
    """What goes into a version, by its place there; nothing of an artifact that is not given or empty."""
    found = {}
    if schema and (file := schema.path / SCHEMA_FILE).is_file():
        found[f"{FOLDER}/{SCHEMA_FILE}"] = file
    for file in sorted(statistics.path.glob(f"Split-*/{STATISTICS_FILE}")) if statistics else ():
        found[f"{FOLDER}/{file.parent.name}/{STATISTICS_FILE}"] = file
    return found


def read(version: Path) -> TrainedOn:
    """What the folder of a version has; a version from before this, or of somebody else, has nothing."""
    folder = mirror.fetched(version / FOLDER)
    schema = folder / SCHEMA_FILE
    splits = {file.parent.name.removeprefix("Split-"): file for file in folder.glob(f"Split-*/{STATISTICS_FILE}")}
    return TrainedOn(schema if schema.is_file() else None, {name: splits[name] for name in split_order(splits)})
