"""The report of a transformation: its features, and the values of them that are not finite."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from components.runtime.stage import report
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
        [
            report.text(name, "bad") if name in odd else name,
            features[name].dtype.name,
            _shape(features[name]),
            *(sum(found[split].get(name, [])) if features[name].dtype.is_floating else "" for split in rows),
        ]
        for name in named[:MAX_ROWS]
    ]
    parts: list[object] = [report.table(headers, entries)]
    if len(named) > MAX_ROWS:
        parts.append(report.paragraph(report.text(f"and {len(named) - MAX_ROWS} more", "muted")))
    sections = [report.section("Transformed features", *parts)]
    if odd:
        warning = (
            f"Features with values that are NaN or infinite: {len(odd)} of {len(features)}. A training on them gives a "
            "model that answers NaN: replace such values in preprocessing_fn."
        )
        sections.insert(0, report.section("Warning", report.paragraph(report.text(warning, "bad"))))
    return report.page("Transformed data", *sections)


def _shape(spec: Any) -> str:
    return str(list(spec.shape)) if isinstance(spec, tf.io.FixedLenFeature) else "any number of values"
