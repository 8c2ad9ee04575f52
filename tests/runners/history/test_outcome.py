"""What came of a run, in words."""

from __future__ import annotations

from typing import Any

import pytest

from runners.history.outcome import _reason

HOLDS = {"blessed": True, "reason": "all 2 thresholds hold"}
FIT = {"blessed": True, "review": "served by the built-in server (KServe): all 11 checks hold"}
YES = {"blessed": True, "review": "approved by anna: as planned", "reason": "all 2 thresholds hold"}
NO = {"blessed": False, "review": "not approved by anna", "reason": "not approved by anna"}


@pytest.mark.parametrize(
    ("verdict", "reviews", "told"),
    [
        (HOLDS, {}, "all 2 thresholds hold"),
        (HOLDS, {"infra-validate": FIT, "approve": YES}, f"all 2 thresholds hold; {FIT['review']}; {YES['review']}"),
        # Who refused it says all: that it was fit to be served is no reason.
        (NO, {"infra-validate": FIT, "approve": NO}, "not approved by anna"),
        ({}, {}, ""),
    ],
)
def test_who_approved_a_model_is_told_with_its_verdict(
    verdict: dict[str, Any], reviews: dict[str, dict[str, Any]], told: str
) -> None:
    assert _reason(verdict, reviews) == told
