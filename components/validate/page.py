"""The report page of validation: the verdict, the anomalies, and what was measured between splits."""

from __future__ import annotations

from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.runtime.data.comparisons import NotMeasured
from components.runtime.stage import report
from components.validate.findings import Finding, count

MAX_ROWS = 500
_NAME_LENGTH = 80
_Measurement = anomalies_pb2.DriftSkewInfo.Measurement


def validation_page(
    found: list[Finding],
    anomalies: dict[str, anomalies_pb2.Anomalies],
    missing: list[NotMeasured],
    *,
    valid: bool,
    on_anomalies: str,
    earlier: str = "",
) -> str:
    """Draws the page.

    Args:
      found: what `findings` made of `anomalies`.
      anomalies: of every split, in the order in which they are shown.
      missing: distances that could not be measured, though the schema has a threshold for each.
      valid: whether the pipeline goes on.
      on_anomalies: what was asked for.
      earlier: what drift was measured against, where that was not the split train.
    """
    parts = [report.section("Verdict", _verdict(found, list(anomalies), valid=valid, on_anomalies=on_anomalies))]
    if found:
        parts.append(report.section("Anomalies", _anomaly_table(found)))
    measured = _missing(missing) + _measurements(anomalies, "the earlier run" if earlier else "train")
    if measured:
        words = "What TFDV calls current or training is the split, what it calls previous or serving is the other."
        note = report.paragraph(report.text(f"Where the schema has comparators. {words}", "muted"))
        headers = ["split", "compared with", "feature", "measure", "value", "threshold", ""]
        parts.append(report.section("Drift and skew", note, report.table(headers, measured[:MAX_ROWS])))
    return report.page("Validation", *parts)


def _verdict(found: list[Finding], splits: list[str], *, valid: bool, on_anomalies: str) -> report.Html:
    errors = sum(finding.error for finding in found)
    if valid and not errors:
        text = report.text("The data is valid.", "good")
    elif valid:
        why = f"the pipeline goes on since on_anomalies is {on_anomalies}"
        text = report.text(f"The data has {count(errors, 'error')}; {why}.", "bad")
    else:
        text = report.text(f"The data is not valid: {count(errors, 'error')}. The pipeline stops here.", "bad")
    rows = [
        (
            split,
            sum(finding.error for finding in found if finding.split == split),
            sum(not finding.error for finding in found if finding.split == split),
        )
        for split in splits
    ]
    return report.Html(report.paragraph(text) + report.table(["split", "errors", "warnings"], rows))


def _anomaly_table(found: list[Finding]) -> report.Html:
    rows = [
        (
            finding.split,
            _shorten(finding.feature),
            report.text("error", "bad") if finding.error else "warning",
            finding.title,
            finding.description,
            finding.advice,
        )
        for finding in found[:MAX_ROWS]
    ]
    table = report.table(["split", "feature", "severity", "what", "why", "what to do"], rows)
    more = len(found) - len(rows)
    return report.Html(table + (report.paragraph(report.text(f"and {more} more", "muted")) if more else ""))


def _measurements(anomalies: dict[str, anomalies_pb2.Anomalies], previous: str) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for split, entry in anomalies.items():
        for info in entry.drift_skew_info:
            drift = [(measurement, previous) for measurement in info.drift_measurements]
            for measurement, other in [*drift, *((measurement, "train") for measurement in info.skew_measurements)]:
                measure = _Measurement.Type.Name(measurement.type).replace("_", " ").capitalize()
                over = measurement.value > measurement.threshold
                verdict = report.text("too far", "bad") if over else report.text("within", "good")
                name = _shorten(".".join(info.path.step))
                rows.append((split, other, name, measure, measurement.value, measurement.threshold, verdict))
    return rows


def _missing(missing: list[NotMeasured]) -> list[tuple[object, ...]]:
    return [
        (
            each.split,
            each.base,
            _shorten(each.distance.feature),
            each.distance.words.capitalize(),
            None,
            each.distance.threshold,
            report.text(f"not measured, because {each.why}", "bad"),
        )
        for each in missing
    ]


def _shorten(name: str) -> str:
    return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 1] + "…"
