"""Anomalies as a flat list that people read, with what they can do about each."""

from __future__ import annotations

import re
from dataclasses import dataclass

from tensorflow_metadata.proto.v0 import anomalies_pb2

_Info = anomalies_pb2.AnomalyInfo
_LONGEST_DESCRIPTION = 300
_SHORT_WORD = 3
"""Letters of words that say nothing by themselves: of, has, and."""

_WIDEN_DOMAIN = "correct the data, or add the values to the feature's domain in the schema"
_WIDEN_PRESENCE = "find out why values are missing, or lower `presence` in the schema"
_COMPARE = "look at both distributions in the statistics; if the change is meant, raise the comparator's threshold"
_ADVICE = {
    "SCHEMA_NEW_COLUMN": "add the feature to the schema, or leave the column out of the data",
    "SCHEMA_MISSING_COLUMN": "bring the column back, or take the feature out of the schema",
    "FEATURE_TYPE_NOT_PRESENT": "bring the column back, or take the feature out of the schema",
    "FEATURE_TYPE_LOW_FRACTION_PRESENT": _WIDEN_PRESENCE,
    "FEATURE_TYPE_LOW_NUMBER_PRESENT": _WIDEN_PRESENCE,
    "FEATURE_TYPE_NO_VALUES": _WIDEN_PRESENCE,
    "FEATURE_TYPE_LOW_NUMBER_VALUES": "give every row that many values, or widen `value_count` in the schema",
    "FEATURE_TYPE_HIGH_NUMBER_VALUES": "give every row that many values, or widen `value_count` in the schema",
    "INVALID_FEATURE_SHAPE": "give every row the same number of values, or take `shape` out of the schema",
    "UNEXPECTED_DATA_TYPE": "convert the column, or correct the feature's type in the schema",
    "FLOAT_TYPE_HAS_NAN": "replace NaN, or set `disallow_nan: false`",
    "FLOAT_TYPE_HAS_INF": "replace infinite values, or set `disallow_inf: false`",
    "COMPARATOR_L_INFTY_HIGH": _COMPARE,
    "COMPARATOR_JENSEN_SHANNON_DIVERGENCE_HIGH": _COMPARE,
    "COMPARATOR_NORMALIZED_ABSOLUTE_DIFFERENCE_HIGH": _COMPARE,
    "STATS_NOT_AVAILABLE": "give both sides what they are compared by, or take the comparator out of the schema",
    "DATASET_LOW_NUM_EXAMPLES": "give more data, or lower `min_examples_count` in the schema",
    "DATASET_HIGH_NUM_EXAMPLES": "give less data, or raise `max_examples_count` in the schema",
}
_ADVICE_BY_BEGINNING = {
    "ENUM_TYPE": _WIDEN_DOMAIN,
    "BOOL_TYPE": _WIDEN_DOMAIN,
    "INT_TYPE": _WIDEN_DOMAIN,
    "FLOAT_TYPE": _WIDEN_DOMAIN,
    "STRING_TYPE": "convert the column, or correct the feature's type in the schema",
    "FEATURE_TYPE": "correct the data, or the feature's `unique_constraints` in the schema",
}
_DEFAULT_ADVICE = "correct the data or the schema"
_DATASET = "the whole split"


@dataclass(frozen=True)
class Finding:
    """One anomaly of a feature in a split."""

    split: str
    feature: str
    error: bool
    title: str
    description: str
    advice: str

    @property
    def line(self) -> str:
        """All of it on one line, the title where the description does not say it already."""
        words = [word for word in _words(self.title) if len(word) > _SHORT_WORD]
        said = _words(self.description)
        repeated = sum(word in said for word in words) * 2 >= len(words)
        text = self.description.rstrip(".") if repeated and self.description else f"{self.title} ({self.description})"
        return f"{self.split}: {self.feature}: {text}"


def findings(anomalies: dict[str, anomalies_pb2.Anomalies]) -> list[Finding]:
    """The anomalies of every split, errors first, then by split and by feature."""
    found: list[Finding] = []
    for split, entry in anomalies.items():
        found += [_finding(split, name, info) for name, info in sorted(entry.anomaly_info.items())]
        if entry.HasField("dataset_anomaly_info"):
            found.append(_finding(split, _DATASET, entry.dataset_anomaly_info))
        if entry.data_missing:
            found.append(Finding(split, _DATASET, True, "No data", "The split has no examples", "give it some rows"))
    return sorted(found, key=lambda finding: not finding.error)


def summarise(found: list[Finding], *, shown: int = 3) -> str:
    """The first findings, and how many others there are, on one line."""
    lines = [finding.line for finding in found[:shown]]
    more = len(found) - len(lines)
    return "; ".join(lines) + (f"; and {more} more" if more else "")


def count(number: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _finding(split: str, feature: str, info: anomalies_pb2.AnomalyInfo | anomalies_pb2.DatasetAnomalyInfo) -> Finding:
    description = " ".join(info.description.split())
    if len(description) > _LONGEST_DESCRIPTION:
        description = description[: _LONGEST_DESCRIPTION - 1] + "…"
    advice = dict.fromkeys(_advice(_Info.Type.Name(reason.type)) for reason in info.reason)
    return Finding(
        split=split,
        feature=feature,
        error=info.severity == _Info.ERROR,
        title=info.short_description or "Anomaly",
        description=description,
        advice="; ".join(advice) or _DEFAULT_ADVICE,
    )


def _advice(kind: str) -> str:
    if kind in _ADVICE:
        return _ADVICE[kind]
    return next((advice for start, advice in _ADVICE_BY_BEGINNING.items() if kind.startswith(start)), _DEFAULT_ADVICE)
