"""How far a window is from what the model was trained on, and from the window before it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.runtime.data import tfdv
from components.runtime.data.comparisons import (
    DRIFT,
    MEASURES,
    SKEW,
    Base,
    find_unmeasurable,
    find_unmeasured,
    without,
)
from components.runtime.data.statistics import Statistics
from components.runtime.errors import InputError, did_you_mean
from components.watch import quantiles

MISSING = "missing"
"""The measure of the share of rows that have no value: by how much it differs."""

KOLMOGOROV_SMIRNOV = "kolmogorov_smirnov"
"""The measure of numbers for which the schema names none, see `components.watch.quantiles`."""

INFINITY_NORM = "infinity_norm"
"""The same of categories."""

PREDICTION = "prediction."
"""Before the name of an output, where features and outputs stand side by side."""

_KINDS = {DRIFT: "drift", SKEW: "skew"}
_WINDOW = "the window"


@dataclass(frozen=True)
class Distance:
    """A distance of a window.

    Attributes:
      feature: its name; of an output with PREDICTION before it.
      kind: skew (from what the model was trained on; of an output from the oldest window) or drift (from the window
        before).
      measure: the comparator's field, KOLMOGOROV_SMIRNOV or MISSING.
      value: None where nobody knows it.
      threshold: the largest that is no finding.
      why: why it is not known; empty where it is.
    """

    feature: str
    kind: str
    measure: str
    value: float | None
    threshold: float
    why: str = ""

    @property
    def passed(self) -> bool:
        """Whether the threshold is passed; of what is not known, no."""
        return self.value is not None and self.value > self.threshold

    @property
    def share(self) -> float:
        """The distance as a share of its threshold; 0 where it is not known."""
        if self.value is None or not self.value:
            return 0.0
        return self.value / self.threshold if self.threshold else math.inf


@dataclass(frozen=True)
class Thresholds:
    """The largest distances that are no finding.

    Attributes:
      default: of what neither `own` nor the schema names.
      own: by feature, or by PREDICTION and output; before the schema.
    """

    default: float
    own: Mapping[str, float]

    def __post_init__(self) -> None:
        """Refuses thresholds that are none.

        Raises:
          InputError: which one.
        """
        for name, value in {"threshold": self.default, **{f"thresholds.{n}": v for n, v in self.own.items()}}.items():
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise InputError(f"{name}: expected a number from 0 to 1, not {value!r}")

    def check(self, names: Sequence[str]) -> None:
        """Refuses thresholds of what there is not.

        Args:
          names: of features and outputs.

        Raises:
          InputError: which one.
        """
        for name in self.own:
            if name not in names:
                known = ", ".join(names)
                raise InputError(
                    f"thresholds: nothing is called {name!r}{did_you_mean(name, names)}; there are {known}"
                )

    def of(self, name: str) -> float:
        """That of a feature or an output whose schema has none."""
        return self.own.get(name, self.default)


@dataclass(frozen=True)
class Comparison:
    """What is compared, and by which measure.

    Attributes:
      schema: with a comparator of each kind for what TFDV measures: the schema's own, one of the other kind, or the
        default's for categories.
      numbers: thresholds of all other numbers, by feature: KOLMOGOROV_SMIRNOV.
      missing: thresholds of the share of missing values, by feature.
      fewest: values that both sides must have.
      before: what stands before a feature's name in what is told.
    """

    schema: schema_pb2.Schema
    numbers: Mapping[str, float]
    missing: Mapping[str, float]
    fewest: int
    before: str = ""

    @classmethod
    def of(
        cls, schema: schema_pb2.Schema, base: Statistics, thresholds: Thresholds, fewest: int, before: str = ""
    ) -> Comparison:
        """The measures of the features of a schema.

        Args:
          schema: of the features.
          base: statistics by which it is told whether a feature has categories or numbers.
          thresholds: what is no finding.
          fewest: values that both sides must have.
          before: what stands before a feature's name, here and in what is told.
        """
        result = schema_pb2.Schema()
        result.CopyFrom(schema)
        numbers, features = {}, _by_name(base)
        for feature in result.feature:
            name = f"{before}{feature.name}"
            given = [getattr(feature, kind) for kind in (DRIFT, SKEW) if feature.HasField(kind)]
            if given and name not in thresholds.own:
                for kind in (DRIFT, SKEW):
                    if not feature.HasField(kind):
                        getattr(feature, kind).CopyFrom(given[0])
                continue
            is_number = feature.name in features and features[feature.name].HasField("num_stats")
            for kind in (DRIFT, SKEW):
                feature.ClearField(kind)
                if not is_number:
                    getattr(feature, kind).infinity_norm.threshold = thresholds.of(name)
            if is_number:
                numbers[feature.name] = thresholds.of(name)
        missing = {feature.name: thresholds.of(f"{before}{feature.name}") for feature in schema.feature}
        return cls(result, numbers, missing, fewest, before)

    def measure(self, statistics: Statistics, bases: Mapping[str, Base]) -> list[Distance]:
        """The distances of a window, by feature.

        Args:
          statistics: of the window.
          bases: what the window is compared with, by comparator.
        """
        order = {feature.name: place for place, feature in enumerate(self.schema.feature)}
        found = [*self._by_tfdv(statistics, bases), *self._of_numbers(statistics, bases)]
        found = [self._if_enough(each, statistics, bases) for each in found]
        found += self._missing(statistics, bases)
        found.sort(key=lambda each: (order[each.feature], each.kind != "skew", each.measure))
        return [replace(each, feature=f"{self.before}{each.feature}") for each in found]

    def unmeasured(self, comparator: str, why: str) -> list[Distance]:
        """One for each feature where there is nothing to compare a window with.

        Args:
          comparator: by which it would be.
          why: there is nothing.
        """
        return [
            Distance(
                f"{self.before}{name}",
                _KINDS[comparator],
                KOLMOGOROV_SMIRNOV if name in self.numbers else INFINITY_NORM,
                None,
                threshold,
                why,
            )
            for name, threshold in self.missing.items()
        ]

    def _by_tfdv(self, statistics: Statistics, bases: Mapping[str, Base]) -> Iterator[Distance]:
        unmeasurable = find_unmeasurable("window", statistics, self.schema, bases, called=_WINDOW)
        measurable = without(self.schema, unmeasurable)
        found = tfdv.validate_statistics(
            statistics,
            _comparators_only(measurable),
            previous_statistics=bases[DRIFT].statistics if DRIFT in bases else None,
            serving_statistics=bases[SKEW].statistics if SKEW in bases else None,
        )
        for each in (*unmeasurable, *find_unmeasured("window", found, measurable, bases)):
            asked = each.distance
            yield Distance(asked.feature, _KINDS[asked.comparator], asked.measure, None, asked.threshold, each.why)
        names = {number: name for name, number in MEASURES.items()}
        for info in found.drift_skew_info:
            for kind, measurements in (("skew", info.skew_measurements), ("drift", info.drift_measurements)):
                for one in measurements:
                    if math.isfinite(one.value):
                        # (A divergence that is none comes out as a little less than nothing.)
                        value = max(one.value, 0.0)
                        yield Distance(".".join(info.path.step), kind, names[one.type], value, one.threshold)

    def _of_numbers(self, statistics: Statistics, bases: Mapping[str, Base]) -> Iterator[Distance]:
        now = _by_name(statistics)
        for comparator, base in bases.items():
            then = _by_name(base.statistics)
            for name, threshold in self.numbers.items():
                sides = {base.name: then.get(name), _WINDOW: now.get(name)}
                known = {where: quantiles.of(each) if each is not None else None for where, each in sides.items()}
                value, why = None, ""
                if lacking := [where for where, each in known.items() if each is None]:
                    why = f"{' and '.join(lacking)} {'has' if len(lacking) == 1 else 'have'} no finite values of it"
                else:
                    value = quantiles.distance(*(each for each in known.values() if each is not None))
                yield Distance(name, _KINDS[comparator], KOLMOGOROV_SMIRNOV, value, threshold, why)

    def _if_enough(self, distance: Distance, statistics: Statistics, bases: Mapping[str, Base]) -> Distance:
        """A distance of few values is one of chance."""
        base = bases[DRIFT if distance.kind == "drift" else SKEW]
        for where, each in ((_WINDOW, statistics), (base.name, base.statistics)):
            feature = _by_name(each).get(distance.feature)
            count = _common(feature).num_non_missing if feature is not None else 0
            if distance.value is not None and count < self.fewest:
                values = f"{count:,} value{'' if count == 1 else 's'}"
                return replace(distance, value=None, why=f"{where} has but {values} of it, fewer than {self.fewest:,}")
        return distance

    def _missing(self, statistics: Statistics, bases: Mapping[str, Base]) -> Iterator[Distance]:
        now = _present(statistics)
        for comparator, base in bases.items():
            then = _present(base.statistics)
            for name, threshold in self.missing.items():
                if name in now and name in then:
                    yield Distance(name, _KINDS[comparator], MISSING, abs(now[name] - then[name]), threshold)


def _comparators_only(schema: schema_pb2.Schema) -> schema_pb2.Schema:
    """The features with their comparators and what tells their kind: all else would find what nobody asks for here."""
    result = schema_pb2.Schema()
    for feature in schema.feature:
        kept = result.feature.add(name=feature.name, type=feature.type)
        for kind in (DRIFT, SKEW):
            if feature.HasField(kind):
                getattr(kept, kind).CopyFrom(getattr(feature, kind))
        if feature.WhichOneof("domain_info") == "int_domain":
            kept.int_domain.is_categorical = feature.int_domain.is_categorical
    return result


def _present(statistics: Statistics) -> dict[str, float]:
    """The share of rows with a value, by feature."""
    rows = statistics.datasets[0].num_examples
    shares = {}
    for name, feature in _by_name(statistics).items():
        shares[name] = _common(feature).num_non_missing / rows if rows else 0.0
    return shares


def _common(feature: statistics_pb2.FeatureNameStatistics) -> statistics_pb2.CommonStatistics:
    found: statistics_pb2.CommonStatistics = getattr(feature, feature.WhichOneof("stats") or "num_stats").common_stats
    return found


def _by_name(statistics: Statistics) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    if not statistics.datasets:
        return {}
    return {".".join(each.path.step) or each.name: each for each in statistics.datasets[0].features}
