"""The schema stage: infers what the data is like from the statistics of all splits, or imports a curated schema."""

from __future__ import annotations

import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.runtime import progress
from components.runtime.artifacts import InputArtifact, OutputArtifact, local_path
from components.runtime.errors import InputError
from components.runtime.tfmd import SCHEMA_FILE, read_schema, read_statistics

_ROUNDS = 3
_KINDS = {
    statistics_pb2.FeatureNameStatistics.INT: "integer",
    statistics_pb2.FeatureNameStatistics.FLOAT: "float",
    statistics_pb2.FeatureNameStatistics.STRING: "text",
    statistics_pb2.FeatureNameStatistics.BYTES: "bytes",
}


def schema(statistics: InputArtifact, schema_file: str, schema: OutputArtifact) -> None:
    """Writes `schema.pbtxt`.

    Args:
      statistics: of every split.
      schema_file: curated schema to import; empty to infer one.
      schema: receives the file.

    Raises:
      InputError: there are no statistics, a feature has another type in another split, or the curated file is missing,
        empty, or no schema.
    """
    if schema_file:
        result = read_schema(local_path(schema_file))
    else:
        result = infer(read_statistics(statistics))
    (schema.directory() / SCHEMA_FILE).write_text(text_format.MessageToString(result, as_utf8=True), encoding="utf-8")
    schema.metadata |= {"features": len(result.feature), "source": "curated" if schema_file else "inferred"}
    progress.report(f"{len(result.feature)} features, {schema.metadata['source']}")


def infer(statistics: dict[str, statistics_pb2.DatasetFeatureStatisticsList]) -> schema_pb2.Schema:
    """Infers a schema from the first split and widens it until it accepts all of them.

    Args:
      statistics: by split, in the order in which they count.

    Raises:
      InputError: no schema accepts all splits, since a feature's type differs.
    """
    _check_types(statistics)
    splits = list(statistics.values())
    result = tfdv.infer_schema(splits[0])
    # An update for one split, such as a feature that only it has, may ask too much of those before it.
    for _ in range(_ROUNDS):
        rejected = [split for split in splits if tfdv.validate_statistics(split, result).anomaly_info]
        if not rejected:
            return result
        for split in rejected:
            result = tfdv.update_schema(result, split)
    for name, split in statistics.items():
        for feature, anomaly in tfdv.validate_statistics(split, result).anomaly_info.items():
            raise InputError(
                f"no inferred schema fits all splits: {name}: {feature}: {anomaly.description}; "
                "write a schema and name it as schema_file"
            )
    return result


def _check_types(statistics: dict[str, statistics_pb2.DatasetFeatureStatisticsList]) -> None:
    """TFDV would widen the schema to accept several types, which no stage after it can read."""
    first: dict[str, tuple[str, int]] = {}
    for split, entry in statistics.items():
        for feature in entry.datasets[0].features:
            name = ".".join(feature.path.step)
            if not getattr(feature, feature.WhichOneof("stats")).common_stats.num_non_missing:
                continue
            seen_in, kind = first.setdefault(name, (split, feature.type))
            if kind != feature.type:
                raise InputError(
                    f"feature {name!r} is {_KINDS.get(kind, kind)} in {seen_in} but {_KINDS.get(feature.type, feature.type)} "
                    f"in {split}; give it one type in the data"
                )
