"""The validate stage: holds the statistics of every split against the schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeAlias

import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.runtime import progress
from components.runtime.artifacts import InputArtifact, OutputArtifact
from components.runtime.errors import InputError
from components.runtime.tfmd import ANOMALIES_FILE, read_schema_artifact, read_statistics
from components.validate.findings import findings, summarise
from components.validate.page import validation_page

MODES = ("stop", "warn", "fail")
BASE_SPLIT = "train"

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
      schema: what the data should be like.
      on_anomalies: what errors do: `stop` makes `valid` false, `warn` leaves it true, `fail` ends the stage.
      previous_statistics: folder or URI of an earlier run's statistics, against which drift is measured; empty measures
        it against the split `train` of this one.
      anomalies: receives `Split-<name>/SchemaDiff.pb`.
      report: receives the page.

    Returns:
      `valid`, whether the pipeline should go on.

    Raises:
      InputError: `on_anomalies` is none of these, statistics or schema are missing or damaged, the schema has nothing
        to hold against the earlier statistics, or there are errors and `on_anomalies` is `fail`.
    """
    if on_anomalies not in MODES:
        raise InputError(f"on_anomalies is {on_anomalies!r}; write one of {', '.join(MODES)}")
    by_split = read_statistics(statistics)
    read_schema = read_schema_artifact(schema)
    earlier = _earlier(previous_statistics, read_schema, by_split) if previous_statistics else None
    found_by_split = check(by_split, read_schema, earlier)
    found = findings(found_by_split)
    errors = sum(finding.error for finding in found)
    if errors and on_anomalies == "fail":
        raise InputError(f"the data has {errors} errors: {summarise(found)}; correct the data or the schema")
    valid = not errors or on_anomalies == "warn"
    for split, entry in found_by_split.items():
        (anomalies.split(split) / ANOMALIES_FILE).write_bytes(entry.SerializeToString(deterministic=True))
    summary = summarise(found) or f"no anomalies in {', '.join(by_split)}"
    if errors and valid:
        summary = f"{errors} errors let through: {summary}"
    anomalies.metadata |= {"valid": valid, "anomalies": len(found), "errors": errors, "summary": summary}
    progress.report(summary)
    page = validation_page(found, found_by_split, valid=valid, on_anomalies=on_anomalies, earlier=previous_statistics)
    report.path.write_text(page, encoding="utf-8")
    return {"valid": valid}


def _earlier(place: str, schema: schema_pb2.Schema, splits: Iterable[str]) -> dict[str, _Statistics]:
    """The statistics of an earlier run, by split."""
    constraints = schema.dataset_constraints
    sizes = ("num_examples_drift_comparator", "num_examples_version_comparator")
    if not any(feature.HasField("drift_comparator") for feature in schema.feature) and not any(
        map(constraints.HasField, sizes)
    ):
        raise InputError(
            "previous_statistics is given, but the schema has no drift_comparator: write one for each feature"
        )
    artifact = InputArtifact("previous_statistics", place, {})
    if not artifact.path.is_dir():
        raise InputError(
            f"previous_statistics {place}: no such folder; name the output of the statistics stage in an earlier run"
        )
    earlier = read_statistics(artifact)
    if BASE_SPLIT not in earlier and (missing := [split for split in splits if split not in earlier]):
        raise InputError(
            f"previous_statistics {place}: has neither the split {missing[0]!r} nor {BASE_SPLIT!r}, only "
            f"{', '.join(earlier)}; name those of a run with the same splits"
        )
    return earlier


def check(
    statistics: dict[str, _Statistics], schema: schema_pb2.Schema, earlier: dict[str, _Statistics] | None = None
) -> dict[str, anomalies_pb2.Anomalies]:
    """Anomalies of every split.

    Where the schema has drift or skew comparators, every other split is compared with the split `train`: the splits of
    one run should be alike. Comparators of the number of examples are left out there, since splits differ in size by
    intention.

    Args:
      statistics: by split.
      schema: what the data should be like.
      earlier: statistics that take the place of `train` where drift is measured, by split: that of the same name, or
        else `train`. Then the comparators of the number of examples count.
    """
    base = statistics.get(BASE_SPLIT)
    drift = any(feature.HasField("drift_comparator") for feature in schema.feature)
    skew = any(feature.HasField("skew_comparator") for feature in schema.feature)
    comparable = schema_pb2.Schema()
    comparable.CopyFrom(schema)
    if earlier is None:
        for comparator in ("num_examples_drift_comparator", "num_examples_version_comparator"):
            comparable.dataset_constraints.ClearField(comparator)
    found: dict[str, anomalies_pb2.Anomalies] = {}
    for split, entry in statistics.items():
        other = base if split != BASE_SPLIT else None
        found[split] = tfdv.validate_statistics(
            entry,
            comparable,
            previous_statistics=earlier.get(split, earlier.get(BASE_SPLIT)) if earlier else other if drift else None,
            serving_statistics=other if skew else None,
        )
    return found
