"""What an execution says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from components.runtime.records.facts import facts


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"importance": {"a": 0.3, "b": 0.1, "c": 0.1}}, "goes by a and b most"),
        ({"importance": {"image_raw": 0.3, "depth": 0.0, "width": 0.0}}, "goes by image_raw most"),
        ({"importance": {"a": 0.0}}, ""),
        ({"importance": {"a": 0.3, "b": 0.1}, "goes_by": ["a"]}, "goes by a most"),
        ({"importance": {"a": 0.3}, "goes_by": []}, ""),
        ({}, ""),
    ],
)
def test_a_model_goes_by_what_has_a_part_in_its_answers(metadata: dict[str, Any], said: str) -> None:
    assert facts({"stage": "explain", "outputs": {"explanations": {"metadata": metadata}}}) == said
