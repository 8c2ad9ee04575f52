"""Distributions and metrics by slice, out of the files that the stages leave in the formats of TFDV and TFMA.

Neither library is where the explorer runs, so that their messages are described here as far as they are read: names,
numbers and types of the fields as in tensorflow_metadata/proto/v0/statistics.proto and
tensorflow_model_analysis/proto/metrics_for_slice.proto. Protobuf passes over the fields that are not.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator
from typing import Any

from runners.history.explorer.model import Feature

MOST_FEATURES = 200
MOST_SLICES = 500
_MOST_VALUES = 12
_PACKAGE = "millrace.read"
_CANDIDATE = ("", "candidate")

# Fields by message: (name, number, type); a type that is capitalised is a message, `*` stands before one that repeats.
_MESSAGES: dict[str, list[tuple[str, int, str]]] = {
    "Statistics": [("datasets", 1, "*Dataset")],
    "Dataset": [("num_examples", 2, "uint64"), ("features", 3, "*Feature")],
    "Feature": [
        ("name", 1, "string"),
        ("path", 8, "Path"),
        ("num_stats", 3, "Numbers"),
        ("string_stats", 4, "Texts"),
        ("bytes_stats", 5, "Bytes"),
    ],
    "Path": [("step", 1, "*string")],
    "Common": [("num_non_missing", 1, "uint64"), ("tot_num_values", 8, "uint64")],
    "Numbers": [("common_stats", 1, "Common"), ("histograms", 8, "*Histogram")],
    "Histogram": [("buckets", 3, "*Bucket")],
    "Bucket": [("low_value", 1, "double"), ("high_value", 2, "double"), ("sample_count", 4, "double")],
    "Texts": [("common_stats", 1, "Common"), ("top_values", 3, "*Frequency")],
    "Bytes": [("common_stats", 1, "Common")],
    "Frequency": [("value", 2, "bytes"), ("frequency", 3, "double")],
    "SliceMetrics": [("slice_key", 1, "SliceKey"), ("cross_slice_key", 3, "Opaque"), ("metrics", 51, "*Entry")],
    "SliceKey": [("parts", 1, "*SlicePart")],
    "SlicePart": [
        ("column", 1, "string"),
        ("bytes_value", 2, "bytes"),
        ("float_value", 3, "float"),
        ("int64_value", 4, "int64"),
    ],
    "Opaque": [],
    "Entry": [("key", 1, "Key"), ("value", 2, "Value")],
    "Key": [
        ("name", 1, "string"),
        ("output_name", 2, "string"),
        ("sub_key", 3, "SubKey"),
        ("model_name", 4, "string"),
        ("is_diff", 5, "bool"),
    ],
    "SubKey": [("class_id", 1, "Whole"), ("k", 2, "Whole"), ("top_k", 3, "Whole")],
    "Whole": [("value", 1, "int32")],
    "Double": [("value", 1, "double")],
    "Value": [("double_value", 1, "Double"), ("bounded_value", 2, "Bounded")],
    "Bounded": [("value", 3, "Double")],
}


def distributions(content: bytes) -> dict[str, Feature]:
    """The features of one split, from a `FeatureStats.pb`; nothing where it is none."""
    statistics = _parsed("Statistics", content)
    if statistics is None or not statistics.datasets:
        return {}
    dataset = statistics.datasets[0]
    found = {}
    for feature in dataset.features[:MOST_FEATURES]:
        name = ".".join(feature.path.step) or feature.name
        kind = next((each for each in ("num_stats", "string_stats", "bytes_stats") if feature.HasField(each)), "")
        if not kind:
            continue
        values = getattr(feature, kind)
        there, rows = values.common_stats.num_non_missing, dataset.num_examples
        made = Feature(missing=_rounded(1 - there / rows) if rows else None)
        if kind == "num_stats":
            made.edges, made.cumulative = _cumulative(values.histograms)
        elif kind == "string_stats" and values.common_stats.tot_num_values:
            made.top = [
                [
                    each.value.decode("utf-8", "replace")[:80],
                    _rounded(each.frequency / values.common_stats.tot_num_values),
                ]
                for each in values.top_values[:_MOST_VALUES]
            ]
        found[name] = made
    return found


def slices(records: Iterable[bytes]) -> dict[str, dict[str, float]]:
    """The candidate's metrics by slice, from the records of TFMA's `metrics` file."""
    found: dict[str, dict[str, float]] = {}
    for record in records:
        message = _parsed("SliceMetrics", record)
        if message is None or message.HasField("cross_slice_key"):
            continue
        metrics = dict(_metrics(message.metrics))
        if metrics and len(found) < MOST_SLICES:
            found[_slice_name(message.slice_key)] = metrics
    return found


def _metrics(entries: Iterable[Any]) -> Iterator[tuple[str, float]]:
    for entry in entries:
        key, value = entry.key, entry.value
        kind = next((each for each in ("double_value", "bounded_value") if value.HasField(each)), "")
        if not kind or key.is_diff or key.model_name not in _CANDIDATE or key.name.startswith("__"):
            continue
        number = value.double_value.value if kind == "double_value" else value.bounded_value.value.value
        if math.isfinite(number):
            parts = [f"{key.output_name}/{key.name}" if key.output_name else key.name]
            words = (("class_id", "class"), ("k", "rank"), ("top_k", "top"))
            parts += [
                f"{word} {getattr(key.sub_key, name).value}" for name, word in words if key.sub_key.HasField(name)
            ]
            yield " ".join(parts), _rounded(number)


def _slice_name(key: Any) -> str:
    parts = []
    for part in key.parts:
        kind = next((each for each in ("bytes_value", "float_value", "int64_value") if part.HasField(each)), "")
        value = getattr(part, kind) if kind else ""
        text = (
            value.decode("utf-8", "replace")
            if isinstance(value, bytes)
            else f"{value:g}"
            if isinstance(value, float)
            else value
        )
        parts.append(f"{part.column}={text}" if kind else part.column)
    return ", ".join(parts) or "overall"


def _cumulative(histograms: Iterable[Any]) -> tuple[list[float], list[float]]:
    """The distribution function: the knots of the equal-width and of the quantile histogram, merged.

    The first is fine where values are spread evenly, the second where they crowd; together they serve both.
    """
    knots: dict[float, float] = {}
    for histogram in histograms:
        buckets = [each for each in histogram.buckets if math.isfinite(each.low_value + each.high_value)]
        total, below = sum(each.sample_count for each in buckets), 0.0
        if not total:
            continue
        knots.setdefault(buckets[0].low_value, 0.0)
        for bucket in buckets:
            below += bucket.sample_count
            knots[bucket.high_value] = max(knots.get(bucket.high_value, 0.0), below / total)
    edges, shares, highest = [], [], 0.0
    for edge in sorted(knots):
        highest = max(highest, knots[edge])
        edges.append(_rounded(edge))
        shares.append(_rounded(min(highest, 1.0)))
    return edges, shares


def _rounded(number: float) -> float:
    """Six digits, which no drawing shows more of."""
    return float(f"{number:.6g}")


def _parsed(name: str, content: bytes) -> Any:
    from google.protobuf.message import DecodeError

    try:
        return _classes()[name].FromString(content)
    except DecodeError:
        return None


@functools.cache
def _classes() -> dict[str, Any]:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="millrace_read.proto", package=_PACKAGE, syntax="proto2")
    for message, members in _MESSAGES.items():
        described = file.message_type.add(name=message)
        for name, number, kind in members:
            bare = kind.strip("*")
            made = described.field.add(name=name, number=number)
            made.label = kinds.LABEL_REPEATED if kind.startswith("*") else kinds.LABEL_OPTIONAL
            if bare[0].isupper():
                made.type, made.type_name = kinds.TYPE_MESSAGE, f".{_PACKAGE}.{bare}"
            else:
                made.type = getattr(kinds, f"TYPE_{bare.upper()}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}")) for name in _MESSAGES
    }
