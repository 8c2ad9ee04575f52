"""What is known of a model when it is about to be published, and by whom it was told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.runtime.errors import InputError
from components.runtime.publish import blessing as blessings
from components.runtime.stage.artifacts import InputArtifact
from components.runtime.text.json_text import parse

_INFRA, _APPROVAL, _EXPLANATIONS = "infra.json", "approval.json", "explanations.json"


@dataclass(frozen=True)
class Known:
    """All of it; what nobody told is None.

    Attributes:
      blessing: `blessing.json`.
      slices: what was measured by slice.
      infra: what serving costs.
      approval: who approved it.
      explanations: what it goes by.
      model: metadata of the model.
      examples: metadata of the examples.
    """

    blessing: Mapping[str, Any]
    slices: Mapping[str, Any] | None
    infra: Mapping[str, Any] | None
    approval: Mapping[str, Any] | None
    explanations: Mapping[str, Any] | None
    model: Mapping[str, Any]
    examples: Mapping[str, Any]


def gather(
    model: InputArtifact, blessing: InputArtifact, examples: InputArtifact, explanations: InputArtifact | None
) -> Known:
    """Reads all that there is.

    Raises:
      InputError: something is there and cannot be read.
    """
    return Known(
        blessings.document(blessing),
        blessings.slices(blessing),
        _read(blessing, _INFRA),
        _read(blessing, _APPROVAL),
        _read(explanations, _EXPLANATIONS) if explanations else None,
        model.metadata,
        examples.metadata,
    )


def _read(artifact: InputArtifact, name: str) -> Mapping[str, Any] | None:
    file = artifact.path / name
    try:
        found: Mapping[str, Any] = parse(file.read_bytes())
        return found if isinstance(found, dict) and found else None
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise InputError(f"{artifact.name}: {file} cannot be read ({error}); run the pipeline again") from None


def count(value: Any) -> int | None:
    """A count of metadata, which KFP hands on as a float; None where there is none."""
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def metrics(found: Mapping[str, Any]) -> dict[str, float]:
    """Metrics by name, without their intervals."""
    return {
        name: float(value) for name, value in found.items() if isinstance(value, int | float) and " 95% " not in name
    }
