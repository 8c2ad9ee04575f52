"""A schema as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.runtime.data import tfmd
from components.runtime.stage.report import Html
from runners.notebook import cell
from runners.terminal import text

_VALUES = 120
"""Letters of a domain's values that are shown."""


def as_table(file: Path) -> Html:
    """What the columns of the data are like, a line for each.

    Raises:
      InputError: the file is no schema.
    """
    schema = tfmd.read_schema(file)
    domains = {domain.name: domain for domain in schema.string_domain}
    rows = [
        (
            feature.name,
            _kind(feature),
            _presence(feature),
            _valency(feature),
            _domain(feature, domains),
        )
        for feature in schema.feature
    ]
    return cell.table(("column", "type", "present", "values", "domain"), rows)


def _kind(feature: Any) -> str:
    return str(type(feature).DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[feature.type].name)


def _presence(feature: Any) -> str:
    if not feature.HasField("presence"):
        return text.NOTHING
    least = feature.presence.min_fraction
    return "always" if least == 1 else f"in {least:.0%} at least" if least else "may be missing"


def _valency(feature: Any) -> str:
    if feature.HasField("shape"):
        return " x ".join(str(size.size) for size in feature.shape.dim) or "1"
    if not feature.HasField("value_count"):
        return text.NOTHING
    least, most = feature.value_count.min, feature.value_count.max
    return str(most) if least == most else f"{least} to {most or 'any'}"


def _domain(feature: Any, domains: dict[str, Any]) -> str:
    kind = feature.WhichOneof("domain_info")
    if kind == "domain":
        found = domains.get(feature.domain)
        return text.clipped(", ".join(found.value), _VALUES) if found else str(feature.domain)
    if kind in ("int_domain", "float_domain"):
        domain = getattr(feature, kind)
        ends = [text.number(float(getattr(domain, end))) if domain.HasField(end) else "…" for end in ("min", "max")]
        return " to ".join(ends)
    if kind == "string_domain":
        return text.clipped(", ".join(feature.string_domain.value), _VALUES)
    return (kind or "").replace("_", " ")
