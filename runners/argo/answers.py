"""What is no answer of Kubernetes's is told as that, before anything is read from it."""

from __future__ import annotations

from typing import Any

from components.runtime.errors import InputError


def items(where: str, page: Any) -> list[dict[str, Any]]:
    """The resources in a page of a list.

    Raises:
      InputError: it is none.
    """
    found = page.get("items") if isinstance(page, dict) else None
    if not isinstance(found, list):
        raise stranger(where)
    return [resource(where, each) for each in found]


def resource(where: str, answer: Any) -> dict[str, Any]:
    """A resource: it has a name and a specification, and its parts are mappings.

    Raises:
      InputError: it is none.
    """
    made = answer if isinstance(answer, dict) else {}
    metadata, spec, status = made.get("metadata"), made.get("spec"), made.get("status") or {}
    is_whole = isinstance(metadata, dict) and isinstance(metadata.get("name"), str) and isinstance(spec, dict)
    if not is_whole or not isinstance(status, dict) or not isinstance(status.get("nodes") or {}, dict):
        raise stranger(where)
    return made


def stranger(where: str) -> InputError:
    """The error for an answer of something else."""
    return InputError(f"{where}: answers, but not as Kubernetes does; check the address")
