"""What all sections of the settings have in common."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, field_validator


class Section(BaseModel):
    """A part of the settings: it holds the keys that it names and no other, each with a value of its own type.

    Of its own type: pydantic would else take `true` for the number 1, and a text of any length for a whole number.
    """

    model_config = ConfigDict(extra="forbid", strict=True)

    @field_validator("*", mode="before")
    @classmethod
    def _is_given(cls, value: Any) -> Any:
        """Refuses a key without a value, such as a section whose keys are all commented out."""
        if value is None:
            raise ValueError("is empty; give it a value ({} for a section's defaults), or take the key out")
        return value
