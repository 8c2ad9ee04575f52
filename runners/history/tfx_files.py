"""Files that the stages leave in the formats of TFDV and TFMA, read without these libraries.

Neither is where runs are shown, so that their messages are described here as far as they are read: names, numbers and
types of the fields as in tensorflow_metadata/proto/v0/statistics.proto and
tensorflow_model_analysis/proto/metrics_for_slice.proto. Protobuf passes over the fields that are not.
"""

from __future__ import annotations

import functools
from typing import Any

_PACKAGE = "millrace.read"

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
    "SlicePlots": [("slice_key", 1, "SliceKey"), ("cross_slice_key", 4, "Opaque"), ("plots", 8, "*PlotEntry")],
    "PlotEntry": [("key", 1, "PlotKey"), ("value", 2, "PlotData")],
    "PlotKey": [("output_name", 2, "string"), ("sub_key", 3, "SubKey"), ("model_name", 4, "string")],
    "PlotData": [("calibration", 1, "Calibration"), ("confusion", 2, "Confusion")],
    "Calibration": [("buckets", 1, "*CalibrationBucket")],
    "CalibrationBucket": [("examples", 3, "Double"), ("label", 4, "Double"), ("prediction", 5, "Double")],
    "Confusion": [("matrices", 1, "*ConfusionMatrix")],
    "ConfusionMatrix": [
        ("threshold", 1, "double"),
        ("false_negatives", 2, "double"),
        ("true_negatives", 3, "double"),
        ("false_positives", 4, "double"),
        ("true_positives", 5, "double"),
    ],
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
    "Value": [("double_value", 1, "Double"), ("bounded_value", 2, "Bounded"), ("bytes_value", 6, "bytes")],
    "Bounded": [("value", 3, "Double")],
}


def parsed(name: str, content: bytes) -> Any:
    """A message of one of these names; None where the content is none."""
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
