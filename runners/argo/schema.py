"""Holds a document to Argo's schema, by hera's models, which are generated from it."""

from __future__ import annotations

from typing import Any


def validate(document: dict[str, Any]) -> None:
    """Holds a Workflow or CronWorkflow to Argo's schema: what hera's models do not keep whole, Argo does not know."""
    # The import takes a second.
    from hera.workflows import models

    kept = (
        getattr(models, document["kind"])
        .model_validate(document)
        .model_dump(mode="json", by_alias=True, exclude_none=True)
    )
    if kept != document:
        raise AssertionError(f"not a {document['kind']} of Argo's schema: {_difference(document, kept)}")


def _difference(wanted: Any, kept: Any, path: str = "") -> str:
    if isinstance(wanted, dict) and isinstance(kept, dict):
        for key in wanted.keys() | kept.keys():
            if wanted.get(key) != kept.get(key):
                return _difference(wanted.get(key), kept.get(key), f"{path}.{key}")
    if isinstance(wanted, list) and isinstance(kept, list) and len(wanted) == len(kept):
        for index, pair in enumerate(zip(wanted, kept, strict=True)):
            if pair[0] != pair[1]:
                return _difference(*pair, f"{path}[{index}]")
    return f"{path}: {wanted!r} became {kept!r}"
