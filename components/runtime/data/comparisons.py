"""Drift and skew: the distances that a schema asks for, and why one of them cannot be measured.

TFDV shows a distance of 0, or none at all, where the statistics do not have what it is computed from; for floats with
infinite values a Jensen-Shannon divergence of 1, whatever they are; and for categories, the distance between those
values that the histograms have, whatever the others are. None of these is a measurement.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.runtime.data.statistics import SKETCH_SIZE

DRIFT, SKEW = "drift_comparator", "skew_comparator"
_DIVERGENCE = "jensen_shannon_divergence"
MEASURES = {
    "infinity_norm": anomalies_pb2.DriftSkewInfo.Measurement.L_INFTY,
    "normalized_abs_difference": anomalies_pb2.DriftSkewInfo.Measurement.NORMALIZED_ABSOLUTE_DIFFERENCE,
    _DIVERGENCE: anomalies_pb2.DriftSkewInfo.Measurement.JENSEN_SHANNON_DIVERGENCE,
}
"""TFDV's measurements by the field of a comparator that asks for each; all but the last compare counts by value."""

_Proto: TypeAlias = statistics_pb2.FeatureNameStatistics
_Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList

# Features that TFDV does not validate.
_INACTIVE = (
    schema_pb2.PLANNED,
    schema_pb2.ALPHA,
    schema_pb2.DEBUG_ONLY,
    schema_pb2.DEPRECATED,
    schema_pb2.DISABLED,
)


@dataclass(frozen=True)
class Base:
    """Statistics that a split is compared with, and what they are called."""

    name: str
    statistics: _Statistics


@dataclass(frozen=True)
class Distance:
    """A distance that the schema sets a threshold on: `measure` is the comparator's field."""

    feature: str
    comparator: str
    measure: str
    threshold: float

    @property
    def words(self) -> str:
        """What a person calls it."""
        return self.measure.replace("_", " ")


@dataclass(frozen=True)
class NotMeasured:
    """A distance of a split from what it is compared with that nobody knows, and why."""

    split: str
    base: str
    distance: Distance
    why: str


def distances(schema: schema_pb2.Schema) -> Iterator[Distance]:
    """The distances that the features of a schema have thresholds for."""
    for feature in schema.feature:
        if feature.deprecated or feature.lifecycle_stage in _INACTIVE:
            continue
        for comparator in (DRIFT, SKEW):
            given = getattr(feature, comparator)
            for measure in MEASURES:
                if given.HasField(measure) and getattr(given, measure).HasField("threshold"):
                    yield Distance(feature.name, comparator, measure, getattr(given, measure).threshold)


def find_unmeasurable(
    split: str, statistics: _Statistics, schema: schema_pb2.Schema, bases: Mapping[str, Base], called: str = ""
) -> list[NotMeasured]:
    """Distances of a split that its statistics, or those it is compared with, do not allow.

    Args:
      split: its name.
      statistics: of the split.
      schema: what the data should be like.
      bases: what it is compared with, by comparator; a comparator without one compares nothing.
      called: what messages call it; `the split NAME` without.
    """
    declared = {feature.name: feature for feature in schema.feature}
    found = []
    for distance in distances(schema):
        if base := bases.get(distance.comparator):
            sides = {
                called or f"the split {split}": _feature(statistics, distance.feature),
                base.name: _feature(base.statistics, distance.feature),
            }
            if why := _reason(distance.measure, sides, declared[distance.feature]):
                found.append(NotMeasured(split, base.name, distance, why))
    return found


def without(schema: schema_pb2.Schema, left_out: list[NotMeasured]) -> schema_pb2.Schema:
    """The schema without the thresholds on distances that cannot be measured."""
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    unmeasurable = {(each.distance.feature, each.distance.comparator, each.distance.measure) for each in left_out}
    for feature in result.feature:
        for comparator in (DRIFT, SKEW):
            for measure in MEASURES:
                if (feature.name, comparator, measure) in unmeasurable:
                    getattr(feature, comparator).ClearField(measure)
                    if not getattr(feature, comparator).ListFields():
                        feature.ClearField(comparator)
    return result


def find_unmeasured(
    split: str, found: anomalies_pb2.Anomalies, schema: schema_pb2.Schema, bases: Mapping[str, Base]
) -> list[NotMeasured]:
    """Distances that TFDV was asked for and has no number for."""
    measured: set[tuple[str, str, int]] = set()
    for info in found.drift_skew_info:
        for comparator, measurements in ((DRIFT, info.drift_measurements), (SKEW, info.skew_measurements)):
            for measurement in measurements:
                if math.isfinite(measurement.value):
                    measured.add((".".join(info.path.step), comparator, measurement.type))
    return [
        NotMeasured(split, bases[distance.comparator].name, distance, "TFDV found no value for it")
        for distance in distances(schema)
        if distance.comparator in bases
        and (distance.feature, distance.comparator, MEASURES[distance.measure]) not in measured
    ]


def note(found: anomalies_pb2.Anomalies, missing: list[NotMeasured]) -> None:
    """Adds each distance that was not measured to the anomalies of its split, as an error."""
    for each in missing:
        kind = each.distance.comparator.removesuffix("_comparator")
        add(
            found.anomaly_info[each.distance.feature],
            f"{kind.capitalize()} not measured",
            f"The {kind} from {each.base} was not measured ({each.distance.words}, threshold "
            f"{each.distance.threshold:g}), because {each.why}.",
            error=True,
        )


def add(
    info: anomalies_pb2.AnomalyInfo | anomalies_pb2.DatasetAnomalyInfo, title: str, description: str, *, error: bool
) -> None:
    """Adds a reason to an anomaly as TFDV does: of several the descriptions are joined."""
    several = bool(info.reason)
    info.reason.add(
        type=anomalies_pb2.AnomalyInfo.STATS_NOT_AVAILABLE, short_description=title, description=description
    )
    info.short_description = "Multiple errors" if several else title
    info.description = f"{info.description} {description}".strip()
    if error or not several:
        info.severity = anomalies_pb2.AnomalyInfo.ERROR if error else anomalies_pb2.AnomalyInfo.WARNING


def is_counted(feature: _Proto) -> bool:
    """Whether its statistics have counts by value."""
    return feature.HasField("string_stats") and bool(feature.string_stats.rank_histogram.buckets)


def _feature(statistics: _Statistics, name: str) -> _Proto | None:
    """The statistics of a feature that has values; None where it has none."""
    for feature in statistics.datasets[0].features:
        if (".".join(feature.path.step) or feature.name) == name:
            found = getattr(feature, feature.WhichOneof("stats") or "num_stats")
            return feature if found.common_stats.tot_num_values or found.common_stats.num_non_missing else None
    return None


def _reason(measure: str, sides: Mapping[str, _Proto | None], declared: schema_pb2.Feature) -> str:
    """Why a distance between two sides cannot be measured; empty where it can."""
    present = {where: feature for where, feature in sides.items() if feature is not None}
    if absent := [where for where in sides if where not in present]:
        return f"{_all(absent)} {_has(absent)} no values of it"
    uncounted = [where for where, feature in present.items() if not is_counted(feature)]
    if numbers := [where for where in uncounted if present[where].HasField("num_stats")]:
        if measure == _DIVERGENCE and len(numbers) == len(present):
            return _odd_numbers(present)
        if _is_category(declared) or len(numbers) < len(present):
            return (
                f"{_all(numbers)} {_has(numbers)} statistics of numbers and not of categories, made without this "
                "schema: name it as schema.schema_file in the settings, and make the statistics anew"
            )
        return (
            "it compares categories, and these are numbers: if the numbers are categories, write is_categorical into a "
            "curated schema's int_domain; else set a threshold on jensen_shannon_divergence"
        )
    if uncounted:
        return f"{_all(uncounted)} {_has(uncounted)} no counts of its values (images, or text that is not categorical)"
    return next((why for where, feature in present.items() if (why := _uncounted_values(where, feature))), "")


def _uncounted_values(where: str, feature: _Proto) -> str:
    """Why counts by value do not cover all values, without which TFDV's distance would be false; empty where they do.

    Of more values than its sketch holds, the counts are estimates.
    """
    counts, common = feature.string_stats.rank_histogram.buckets, feature.string_stats.common_stats
    distinct = feature.string_stats.unique
    values = common.tot_num_values or common.num_non_missing
    if len(counts) >= distinct and sum(bucket.sample_count for bucket in counts) == values:
        return ""
    return (
        f"{where} has counts of only some of its {distinct:,} distinct values: up to {SKETCH_SIZE:,} are counted "
        "where the statistics are made with this schema, named as schema.schema_file in the settings"
    )


def _is_category(feature: schema_pb2.Feature) -> bool:
    domain = feature.WhichOneof("domain_info")
    return domain == "bool_domain" or (domain == "int_domain" and feature.int_domain.is_categorical)


def _odd_numbers(sides: Mapping[str, _Proto]) -> str:
    """Why TFDV has no histograms to compare; empty where it has."""
    for where, feature in sides.items():
        numbers = feature.num_stats
        if (
            max((histogram.num_nan for histogram in numbers.histograms), default=0)
            >= numbers.common_stats.tot_num_values
        ):
            return f"all its values in {where} are NaN"
        if math.isinf(numbers.min) or math.isinf(numbers.max):
            return f"{where} has infinite values of it"
    return ""


def _all(names: list[str]) -> str:
    return " and ".join(names)


def _has(names: list[str]) -> str:
    return "has" if len(names) == 1 else "have"
