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
    empty_somewhere, splits = _without_empty_features(statistics)
    result = tfdv.infer_schema(splits[0])
    # An update for one split, such as a feature that only it has, may ask too much of those before it.
    for _ in range(_ROUNDS):
        rejected = [split for split in splits if set(tfdv.validate_statistics(split, result).anomaly_info) - empty_somewhere]
        if not rejected:
            break
        for split in rejected:
            result = tfdv.update_schema(result, split)
    for feature in result.feature:
        if feature.name in empty_somewhere:
            feature.presence.Clear()
            feature.presence.min_count = 0
            # An update for the split without values takes the feature for abandoned.
            feature.ClearField("lifecycle_stage")
    for name, split in statistics.items():
        for feature, anomaly in tfdv.validate_statistics(split, result).anomaly_info.items():
            raise InputError(
                f"no inferred schema fits all splits: {name}: {feature}: {anomaly.description}; "
                "write a schema and name it as schema_file"
            )
    return result


def _without_empty_features(
    statistics: dict[str, statistics_pb2.DatasetFeatureStatisticsList],
) -> tuple[set[str], list[statistics_pb2.DatasetFeatureStatisticsList]]:
    """Leaves a feature out of the splits in which it has no value, if another split tells its type.

    TFDV takes a feature without values for text, and then rejects the numbers in the other split.

    Returns:
      Names of the features that were left out somewhere, and the statistics without them.
    """
    values: dict[str, list[int]] = {}
    for entry in statistics.values():
        for feature in entry.datasets[0].features:
            values.setdefault(".".join(feature.path.step), []).append(_count(feature))
    partly_empty = {name for name, counts in values.items() if any(counts) and not all(counts)}
    kept = []
    for entry in statistics.values():
        copy = statistics_pb2.DatasetFeatureStatisticsList()
        copy.CopyFrom(entry)
        features = [
            feature
            for feature in entry.datasets[0].features
            if _count(feature) or ".".join(feature.path.step) not in partly_empty
        ]
        del copy.datasets[0].features[:]
        copy.datasets[0].features.extend(features)
        kept.append(copy)
    return partly_empty, kept


def _count(feature: statistics_pb2.FeatureNameStatistics) -> int:
    """How many examples have a value of the feature."""
    return int(getattr(feature, feature.WhichOneof("stats")).common_stats.num_non_missing)


def _check_types(statistics: dict[str, statistics_pb2.DatasetFeatureStatisticsList]) -> None:
    """TFDV would widen the schema to accept several types, which no stage after it can read."""
    first: dict[str, tuple[str, int]] = {}
    for split, entry in statistics.items():
        for feature in entry.datasets[0].features:
            name = ".".join(feature.path.step)
            if not _count(feature):
                continue
            seen_in, kind = first.setdefault(name, (split, feature.type))
            if kind != feature.type:
                raise InputError(
                    f"feature {name!r} is {_KINDS.get(kind, kind)} in {seen_in} but {_KINDS.get(feature.type, feature.type)} "
                    f"in {split}; give it one type in the data"
                )
