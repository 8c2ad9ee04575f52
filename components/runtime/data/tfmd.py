"""Reads the files in TensorFlow Metadata's formats that stages hand to each other: statistics and schemas."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from components.runtime.data.storage import origin
from components.runtime.errors import InputError
from components.runtime.stage.artifacts import InputArtifact

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0.schema_pb2 import Schema
    from tensorflow_metadata.proto.v0.statistics_pb2 import DatasetFeatureStatisticsList

STATISTICS_FILE = "FeatureStats.pb"
SCHEMA_FILE = "schema.pbtxt"
ANOMALIES_FILE = "SchemaDiff.pb"

OF_A_VERSION = "version"
"""`source` in the metadata of a schema that pull made: of what a version can be asked about."""


def split_order(names: Iterable[str]) -> list[str]:
    """Names of splits, `train` first, the others sorted."""
    return sorted(names, key=lambda name: (name != "train", name))


def read_statistics(artifact: InputArtifact) -> dict[str, DatasetFeatureStatisticsList]:
    """Statistics of every split of a statistics artifact, in `split_order`.

    Raises:
      InputError: there are no splits, or a file is missing, empty or no statistics.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_metadata.proto.v0 import statistics_pb2

    found: dict[str, DatasetFeatureStatisticsList] = {}
    for split in split_order(artifact.splits):
        file = artifact.split(split) / STATISTICS_FILE
        statistics = statistics_pb2.DatasetFeatureStatisticsList()
        try:
            statistics.ParseFromString(file.read_bytes())
        except FileNotFoundError:
            raise InputError(f"{file}: not there; run the statistics stage again") from None
        except DecodeError:
            raise InputError(f"{file}: not a DatasetFeatureStatisticsList; run the statistics stage again") from None
        if not statistics.datasets or not statistics.datasets[0].num_examples:
            raise InputError(f"{file}: statistics of no examples; give the split {split!r} some rows")
        found[split] = statistics
    if not found:
        raise InputError(f"{artifact.name}: no Split-<name> folders in {artifact.path}; run the statistics stage again")
    return found


def read_schema(file: Path) -> Schema:
    """A schema in protobuf's text form.

    Raises:
      InputError: the file is missing, empty, not text, not a schema, or names a feature twice.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    named = origin(file)
    try:
        text = file.read_text(encoding="utf-8")
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(
            f"{named}: no such schema file; correct its path or leave it empty to infer a schema"
        ) from None
    except UnicodeDecodeError as error:
        raise InputError(f"{named}: not UTF-8 at byte {error.start}; a schema is a text file (schema.pbtxt)") from None
    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        where = f", line {error.GetLine()}" if error.GetLine() else ""
        message = str(error).split(" : ", 1)[-1].replace("\n", " ")
        raise InputError(f"{named}{where}: not a tensorflow.metadata.v0.Schema: {message}") from None
    if not schema.feature:
        raise InputError(f"{named}: no features in it; write one `feature {{ name: ... type: ... }}` for each column")
    names = [feature.name for feature in schema.feature]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(f"{named}: features named more than once: {', '.join(twice)}; keep one of each")
    return schema


def read_schema_artifact(artifact: InputArtifact) -> Schema:
    """The schema inside a schema artifact.

    Raises:
      InputError: see `read_schema`.
    """
    return read_schema(artifact.path / SCHEMA_FILE)
