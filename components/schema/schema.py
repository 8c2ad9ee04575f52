"""The schema stage: infers what the data is like from the statistics of all splits, or imports a curated schema."""

from __future__ import annotations

from typing import TypeAlias

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.runtime.data import tfdv
from components.runtime.data.storage import local_file
from components.runtime.data.tfmd import SCHEMA_FILE, read_schema, read_statistics
from components.runtime.errors import InputError
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList
FeatureStatistics: TypeAlias = statistics_pb2.FeatureNameStatistics

_KINDS: dict[int, str] = {
    FeatureStatistics.INT: "integer",
    FeatureStatistics.FLOAT: "float",
    FeatureStatistics.STRING: "text",
    FeatureStatistics.BYTES: "bytes",
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
    result = read_schema(local_file(schema_file)) if schema_file else infer(read_statistics(statistics))
    (schema.directory() / SCHEMA_FILE).write_text(text_format.MessageToString(result, as_utf8=True), encoding="utf-8")
    schema.metadata |= {"features": len(result.feature), "source": "curated" if schema_file else "inferred"}
    progress.report(f"{len(result.feature)} features, {schema.metadata['source']}")


def infer(statistics: dict[str, Statistics]) -> schema_pb2.Schema:
    """Infers a schema from the first split and widens it until it accepts all of them.

    Args:
      statistics: by split, in the order in which they count.

    Raises:
      InputError: no schema accepts all splits, since a feature's type differs.
    """
    _check_types(statistics)
    splits = [_without_empty_features(entry, _names_with_values(statistics)) for entry in statistics.values()]
    result = tfdv.infer_schema(splits[0], infer_feature_shape=False)
    for split in splits[1:]:
        result = tfdv.update_schema(result, split)
    features = _features(statistics)
    for feature in result.feature:
        # An update for a split without the feature takes it for abandoned, and Transform would leave it out.
        feature.ClearField("lifecycle_stage")
        _settle(feature, features[feature.name], len(splits))
    for name, entry in statistics.items():
        for path, anomaly in tfdv.validate_statistics(entry, result).anomaly_info.items():
            raise InputError(
                f"no inferred schema fits all splits: {name}: {path}: {anomaly.description}; "
                "write a schema and name it as schema_file"
            )
    return result


def _settle(feature: schema_pb2.Feature, found: list[FeatureStatistics], splits: int) -> None:
    """Sets presence and shape of a feature from its statistics in the splits that have it.

    TFDV's update widens them one split at a time, and keeps a shape that the next split breaks.
    """
    common = [_common(entry) for entry in found]
    if len(found) < splits or not all(entry.num_non_missing for entry in common):
        feature.presence.Clear()
        feature.presence.min_count = 0
        return
    if any(entry.num_missing for entry in common):
        feature.presence.Clear()
        feature.presence.min_count = 1
        return
    sizes = {size for entry in common for size in (entry.min_num_values, entry.max_num_values)}
    if len(sizes) == 1:
        feature.shape.dim.add(size=sizes.pop())


def _features(statistics: dict[str, Statistics]) -> dict[str, list[FeatureStatistics]]:
    """Statistics of every feature in the splits that have it, by name."""
    features: dict[str, list[FeatureStatistics]] = {}
    for entry in statistics.values():
        for feature in entry.datasets[0].features:
            features.setdefault(_name(feature), []).append(feature)
    return features


def _names_with_values(statistics: dict[str, Statistics]) -> set[str]:
    return {
        name
        for name, found in _features(statistics).items()
        if any(_common(feature).num_non_missing for feature in found)
    }


def _without_empty_features(statistics: Statistics, with_values: set[str]) -> Statistics:
    """Leaves out a feature that has no value in this split but in another one, which tells its type.

    TFDV takes a feature without values for text, and then rejects the numbers in the other split.
    """
    result = statistics_pb2.DatasetFeatureStatisticsList()
    result.CopyFrom(statistics)
    del result.datasets[0].features[:]
    result.datasets[0].features.extend(
        feature
        for feature in statistics.datasets[0].features
        if _common(feature).num_non_missing or _name(feature) not in with_values
    )
    return result


def _name(feature: FeatureStatistics) -> str:
    return ".".join(feature.path.step)


def _common(feature: FeatureStatistics) -> statistics_pb2.CommonStatistics:
    return getattr(feature, feature.WhichOneof("stats")).common_stats


def _check_types(statistics: dict[str, Statistics]) -> None:
    """TFDV would widen the schema to accept several types, which no stage after it can read."""
    first: dict[str, tuple[str, int]] = {}
    for split, entry in statistics.items():
        for feature in entry.datasets[0].features:
            if not _common(feature).num_non_missing:
                continue
            seen_in, kind = first.setdefault(_name(feature), (split, feature.type))
            if kind != feature.type:
                raise InputError(
                    f"feature {_name(feature)!r} is {_KINDS.get(kind, 'struct')} in {seen_in} but "
                    f"{_KINDS.get(feature.type, 'struct')} in {split}; give it one type in the data"
                )
