"""The validate stage: holds the statistics of every split against the schema."""

from __future__ import annotations

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
    anomalies: OutputArtifact,
    report: OutputArtifact,
) -> dict[str, Any]:
    """Looks for anomalies in every split.

    Args:
      statistics: of every split.
      schema: what the data should be like.
      on_anomalies: what errors do: `stop` makes `valid` false, `warn` leaves it true, `fail` ends the stage.
      anomalies: receives `Split-<name>/SchemaDiff.pb`.
      report: receives the page.

    Returns:
      `valid`, whether the pipeline should go on.

    Raises:
      InputError: `on_anomalies` is none of these, statistics or schema are missing or damaged, or there are errors and
        `on_anomalies` is `fail`.
    """
    if on_anomalies not in MODES:
        raise InputError(f"on_anomalies is {on_anomalies!r}; write one of {', '.join(MODES)}")
    by_split = read_statistics(statistics)
    found_by_split = check(by_split, read_schema_artifact(schema))
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
    page = validation_page(found, found_by_split, valid=valid, on_anomalies=on_anomalies)
    report.path.write_text(page, encoding="utf-8")
    return {"valid": valid}


def check(statistics: dict[str, _Statistics], schema: schema_pb2.Schema) -> dict[str, anomalies_pb2.Anomalies]:
    """Anomalies of every split.

    Where the schema has drift or skew comparators, every other split is compared with the split `train`: the splits of
    one run should be alike. Comparators of the number of examples are left out there, since splits differ in size by
    intention.
    """
    base = statistics.get(BASE_SPLIT)
    drift = any(feature.HasField("drift_comparator") for feature in schema.feature)
    skew = any(feature.HasField("skew_comparator") for feature in schema.feature)
    comparable = schema_pb2.Schema()
    comparable.CopyFrom(schema)
    for comparator in ("num_examples_drift_comparator", "num_examples_version_comparator"):
        comparable.dataset_constraints.ClearField(comparator)
    found: dict[str, anomalies_pb2.Anomalies] = {}
    for split, entry in statistics.items():
        other = base if split != BASE_SPLIT else None
        found[split] = tfdv.validate_statistics(
            entry,
            comparable,
            previous_statistics=other if drift else None,
            serving_statistics=other if skew else None,
        )
    return found
