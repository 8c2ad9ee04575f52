"""The validate stage: holds the statistics of every split against the schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.runtime.data import tfdv, validity
from components.runtime.data.comparisons import (
    DRIFT,
    SKEW,
    Base,
    NotMeasured,
    add,
    distances,
    find_unmeasurable,
    find_unmeasured,
    is_counted,
    note,
    without,
)
from components.runtime.data.tfmd import (
    ANOMALIES_FILE,
    OF_A_VERSION,
    STATISTICS_FILE,
    read_schema_artifact,
    read_statistics,
)
from components.runtime.errors import InputError
from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.validate.findings import count, findings, summarise
from components.validate.page import validation_page

MODES = ("stop", "warn")
BASE_SPLIT = "train"
_ROWS_BY_TIME = "num_examples_drift_comparator"
_ROWS_BY_VERSION = "num_examples_version_comparator"

_Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList


def validate(
    statistics: InputArtifact,
    schema: InputArtifact,
    on_anomalies: str,
    previous_statistics: str,
    anomalies: OutputArtifact,
    report: OutputArtifact,
) -> dict[str, Any]:
    """Looks for anomalies in every split.

    Args:
      statistics: of every split.
      schema: what the data should be like. To one that pull made, of what a model is asked, other columns are a
        warning, and a batch need not have a value of a feature that rows may lack.
      on_anomalies: what errors do: `stop` makes `valid` false, so that transform refuses the data; `warn` leaves it
        true.
      previous_statistics: folder or URI of an earlier run's statistics, against which drift is measured; empty measures
        it against the split `train` of this one.
      anomalies: receives `Split-<name>/SchemaDiff.pb`.
      report: receives the page.

    Returns:
      `valid`, whether the pipeline should go on.

    Raises:
      InputError: `on_anomalies` is none of these, statistics or schema are missing or damaged, the schema has nothing
        to hold against the earlier statistics.
    """
    if on_anomalies not in MODES:
        raise InputError(f"on_anomalies is {on_anomalies!r}; write {' or '.join(MODES)}")
    by_split = read_statistics(statistics)
    read_schema = read_schema_artifact(schema)
    earlier = _earlier(previous_statistics, read_schema, by_split) if previous_statistics else None
    is_asking = schema.metadata.get("source") == OF_A_VERSION
    found_by_split, missing = check(by_split, read_schema, earlier, asking=is_asking)
    found = findings(found_by_split)
    at_fault = [finding for finding in found if finding.error]
    errors = len(at_fault)
    valid = not errors or on_anomalies == "warn"
    for split, entry in found_by_split.items():
        (anomalies.split(split) / ANOMALIES_FILE).write_bytes(entry.SerializeToString(deterministic=True))
    # Where there are errors, no warning is a part of the reason.
    summary = summarise(at_fault or found) or f"no anomalies in {', '.join(by_split)}"
    if errors and valid:
        summary = f"{count(errors, 'error')} let through: {summary}"
    validity.write(anomalies, valid=valid, summary=summary)
    anomalies.metadata |= {
        "valid": valid,
        "anomalies": len(found),
        "errors": errors,
        "not_measured": len(missing),
        "summary": summary,
    }
    progress.report(summary)
    page = validation_page(
        found, found_by_split, missing, valid=valid, on_anomalies=on_anomalies, earlier=previous_statistics
    )
    report.path.write_text(page, encoding="utf-8")
    return {"valid": valid}


def _earlier(place: str, schema: schema_pb2.Schema, splits: Iterable[str]) -> dict[str, _Statistics]:
    """The statistics of an earlier run, by split."""
    artifact = InputArtifact("previous_statistics", place, {})
    if not artifact.path.is_dir():
        raise InputError(
            f"previous_statistics {place}: no such folder; name the output of the statistics stage in an earlier run"
        )
    if not artifact.splits:
        raise InputError(
            f"previous_statistics {place}: holds no statistics, which are Split-<name>/{STATISTICS_FILE}; name the "
            "output of the statistics stage in an earlier run, artifacts/<pipeline>/statistics/<key>/statistics"
        )
    earlier = read_statistics(artifact)
    if BASE_SPLIT not in earlier and (missing := [split for split in splits if split not in earlier]):
        raise InputError(
            f"previous_statistics {place}: has neither the split {missing[0]!r} nor {BASE_SPLIT!r}, only "
            f"{', '.join(earlier)}; name those of a run with the same splits"
        )
    drift = any(distance.comparator == DRIFT for distance in distances(schema))
    if not drift and not schema.dataset_constraints.HasField(_ROWS_BY_TIME):
        raise InputError(
            "previous_statistics is given, but the schema has no drift_comparator with a threshold: write one for each "
            "feature into a curated schema, and name that as schema.schema_file; an inferred schema has none"
        )
    return earlier


def check(
    statistics: dict[str, _Statistics],
    schema: schema_pb2.Schema,
    earlier: dict[str, _Statistics] | None = None,
    *,
    asking: bool = False,
) -> tuple[dict[str, anomalies_pb2.Anomalies], list[NotMeasured]]:
    """Anomalies of every split, and the distances that a threshold asks for and that could not be measured.

    Where the schema has drift or skew comparators, every other split is compared with the split `train`: the splits of
    one run should be alike. Comparators of the number of examples are left out there, since splits differ in size by
    intention. A distance that could not be measured is an error of its split; where there is nothing to compare with,
    as in a first run with one split, that is a warning.

    Args:
      statistics: by split.
      schema: what the data should be like.
      earlier: statistics that take the place of `train` where drift is measured, by split: that of the same name, or
        else `train`. Then the comparator of the number of examples counts.
      asking: whether a model is to be asked about the data, which may have columns besides and only few rows.
    """
    train = statistics.get(BASE_SPLIT)
    found: dict[str, anomalies_pb2.Anomalies] = {}
    missing: list[NotMeasured] = []
    asked = {distance.comparator for distance in distances(schema)}
    for split, entry in statistics.items():
        bases = {}
        if train is not None and split != BASE_SPLIT:
            bases = dict.fromkeys((DRIFT, SKEW), Base(BASE_SPLIT, train))
        if earlier:
            bases[DRIFT] = Base("the earlier run", earlier[split if split in earlier else BASE_SPLIT])
        unmeasurable = find_unmeasurable(split, entry, schema, bases)
        measurable = without(schema, unmeasurable)
        given = {comparator: bases[comparator].statistics for comparator in asked & bases.keys()}
        found[split] = tfdv.validate_statistics(
            entry,
            _for_tfdv(measurable, entry, rows=earlier is not None, asking=asking),
            previous_statistics=given.get(DRIFT),
            serving_statistics=given.get(SKEW),
        )
        if asking:
            _warn_of_new_columns(found[split])
        unmeasured = [*unmeasurable, *find_unmeasured(split, found[split], measurable, bases)]
        note(found[split], unmeasured)
        missing += unmeasured
    if found:
        _note_what_is_not_compared(next(iter(found.values())), statistics, schema, earlier)
    return found, missing


def _for_tfdv(schema: schema_pb2.Schema, statistics: _Statistics, *, rows: bool, asking: bool) -> schema_pb2.Schema:
    """A copy in which nothing stands that TFDV would pass over or take for something else.

    Args:
      schema: what the data should be like.
      statistics: of the split that is held against it.
      rows: whether there is something that the number of examples can be compared with.
      asking: see `check`.
    """
    result = schema_pb2.Schema()
    result.CopyFrom(schema)
    if not rows:
        result.dataset_constraints.ClearField(_ROWS_BY_TIME)
    result.dataset_constraints.ClearField(_ROWS_BY_VERSION)
    present = {".".join(entry.path.step) for entry in statistics.datasets[0].features}
    counted = {".".join(entry.path.step) for entry in statistics.datasets[0].features if is_counted(entry)}
    for feature in result.feature:
        # TFDV holds integers that are counted as categories against an int_domain only.
        if feature.type == schema_pb2.INT and feature.HasField("bool_domain") and feature.name in counted:
            feature.int_domain.CopyFrom(schema_pb2.IntDomain(min=0, max=1, is_categorical=True))
        # (A column that is not there at all is missing all the same.)
        if asking and feature.name in present and not feature.presence.min_fraction:
            feature.presence.min_count = 0
    return result


def _warn_of_new_columns(found: anomalies_pb2.Anomalies) -> None:
    """Takes columns that the schema does not name for what they are where a model is asked: an id, a label."""
    for info in found.anomaly_info.values():
        if {reason.type for reason in info.reason} == {anomalies_pb2.AnomalyInfo.SCHEMA_NEW_COLUMN}:
            info.severity = anomalies_pb2.AnomalyInfo.WARNING


def _note_what_is_not_compared(
    found: anomalies_pb2.Anomalies,
    statistics: dict[str, _Statistics],
    schema: schema_pb2.Schema,
    earlier: dict[str, _Statistics] | None,
) -> None:
    """Adds warnings about comparators that this run has nothing to compare with."""
    reasons = {}
    if BASE_SPLIT not in statistics or len(statistics) == 1:
        beside = f"no split beside {BASE_SPLIT}" if BASE_SPLIT in statistics else f"no split {BASE_SPLIT}"
        asked = {distance.comparator for distance in distances(schema)}
        if DRIFT in asked and not earlier:
            reasons[DRIFT] = f"there is {beside} and no validate.previous_statistics"
        if SKEW in asked:
            reasons[SKEW] = f"there is {beside}"
    if schema.dataset_constraints.HasField(_ROWS_BY_TIME) and not earlier:
        reasons[_ROWS_BY_TIME] = "there is no validate.previous_statistics to compare the number of rows with"
    if schema.dataset_constraints.HasField(_ROWS_BY_VERSION):
        reasons[_ROWS_BY_VERSION] = f"runs have no versions of the data: write {_ROWS_BY_TIME}"
    for comparator, why in sorted(reasons.items()):
        add(
            found.dataset_anomaly_info,
            "Nothing compared",
            f"{comparator} of the schema: not measured, because {why}.",
            error=False,
        )
