"""The report of a transformation: its features, and the values of them that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from components.runtime import report
from components.transform.finite import NotFinite

MAX_ROWS = 500


def page(features: Mapping[str, Any], rows: Mapping[str, int], found: Mapping[str, NotFinite]) -> str:
    """A self-contained page.

    Args:
      features: spec of each transformed feature, as `tft.TFTransformOutput` gives it.
      rows: by split.
      found: values that are not finite, by split.
    """
    odd = {name for counts in found.values() for name in counts}
    named = sorted(features, key=lambda name: (name not in odd, name))
    headers = ["feature", "type", "shape", *(f"NaN or infinite in {split}" for split in rows)]
    entries = [
        [name, features[name].dtype.name, _shape(features[name]), *_counts(features[name], name, rows, found)]
        for name in named[:MAX_ROWS]
    ]
    parts: list[object] = [report.table(headers, entries)]
    if len(named) > MAX_ROWS:
        parts.append(report.paragraph(report.text(f"and {len(named) - MAX_ROWS} more", "muted")))
    sections = [report.section("Transformed features", *parts)]
    if odd:
        warning = (
            f"{len(odd)} of {len(features)} features have values that are NaN or infinite. A training on them gives a "
            "model that answers NaN: fill such values in in preprocessing_fn."
        )
        sections.insert(0, report.section("Warning", report.paragraph(report.text(warning, "bad"))))
    return report.page("Transformed data", *sections)


def _shape(spec: Any) -> str:
    return str(list(spec.shape)) if isinstance(spec, tf.io.FixedLenFeature) else "any number of values"


def _counts(spec: Any, name: str, rows: Mapping[str, int], found: Mapping[str, NotFinite]) -> list[object]:
    if not spec.dtype.is_floating:
        return [""] * len(rows)
    counts = [sum(found[split].get(name, [])) for split in rows]
    return [report.text(f"{count:,}", "bad") if count else "0" for count in counts]
