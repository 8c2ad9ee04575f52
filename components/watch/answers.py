"""What a version answers, window by window."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.runtime.data.comparisons import is_counted
from components.runtime.data.statistics import Statistics

_MOST_VALUES = 8
_FLOAT, _INT = statistics_pb2.FeatureNameStatistics.FLOAT, statistics_pb2.FeatureNameStatistics.INT

MEAN = "mean"
"""What stands for an output of numbers; shares of values stand under the values."""


def schema_of(statistics: Statistics) -> schema_pb2.Schema:
    """A schema of outputs, which have none: names and types."""
    schema = schema_pb2.Schema()
    for each in statistics.datasets[0].features if statistics.datasets else ():
        kind = {_FLOAT: schema_pb2.FLOAT, _INT: schema_pb2.INT}.get(each.type, schema_pb2.BYTES)
        schema.feature.add(name=".".join(each.path.step), type=kind)
    return schema


def of_predictions(statistics: Statistics) -> dict[str, dict[str, float]]:
    """Of each output its mean, or the shares of its most frequent values."""
    made: dict[str, dict[str, float]] = {}
    for each in statistics.datasets[0].features if statistics.datasets else ():
        name = ".".join(each.path.step)
        if each.HasField("num_stats") and each.num_stats.common_stats.tot_num_values:
            made[name] = {MEAN: each.num_stats.mean}
        elif is_counted(each):
            total = each.string_stats.common_stats.tot_num_values
            top = list(each.string_stats.rank_histogram.buckets)[:_MOST_VALUES]
            made[name] = {bucket.label: bucket.sample_count / total for bucket in top}
    return made
