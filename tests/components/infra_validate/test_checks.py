"""What is held to what, without a server."""

from __future__ import annotations

import math

import numpy as np
import pytest

from components.infra_validate import asking, checks, page
from components.infra_validate.asking import Agreement, Speed
from components.infra_validate.checks import Measured


def speed(at_once: int, *latencies: float, errors: int = 0) -> Speed:
    return Speed(at_once, np.array(latencies, dtype=float), 2.0, errors, "503" if errors else "")


MEASURED = Measured(1.5, 300_000_000, 2_000_000, [speed(1, 1, 2, 3), speed(8, *range(1, 41))])


def test_bounds_hold_or_not() -> None:
    made = {
        check.title: check
        for check in checks.of_bounds(MEASURED, {"p50_ms": 2, "memory_mb": 100, "requests_per_second": 20})
    }
    assert made[checks.TITLES["p50_ms"]].holds is True
    assert made[checks.TITLES["memory_mb"]].holds is False
    assert made[checks.TITLES["requests_per_second"]].holds is True
    assert made[checks.TITLES["p99_ms"]].holds is None
    assert checks.reason(list(made.values())) == "memory of the server, MB: 300 (at most 100)"


def test_what_was_not_measured_holds_no_bound() -> None:
    empty = Measured(None, None, 5, [])
    made = checks.of_bounds(empty, {"p50_ms": 100, "memory_mb": 1, "requests_per_second": 1})
    assert [check.found for check in made if check.holds is False] == ["not measured"] * 3
    assert checks.reason(made).endswith("; and 2 more")
    nothing = Measured(1, 1, 1, [speed(1, errors=3)])
    assert [c.holds for c in checks.of_bounds(nothing, {"p99_ms": 1}) if "99th" in c.title] == [False]
    assert nothing.values()["requests_per_second"] == 0


def test_every_request_has_to_be_answered() -> None:
    found = checks.of_load([speed(1, 1), speed(64, 1, errors=2), speed(8)])
    assert [check.holds for check in found] == [True, False, False]
    assert found[1].found == "1 answered, 2 not: 503"


@pytest.mark.parametrize(
    ("got", "wanted", "difference"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        ([math.nan, 1], [math.nan, 1], 0.0),
        ([math.nan, 1], [1, 1], math.inf),
        ([math.inf], [math.inf], 0.0),
        ([math.inf], [1.0], math.inf),
        ([2e6], [1e6], 1.0),
        ([16777.217], np.float32([16777.217]), 0.0),
        ([1.0], [1.0, 2.0], math.inf),
        (["a"], [1.0], math.inf),
        ([], [], 0.0),
        (["ä"], np.array(["ä".encode()], object), 0.0),
        (["a"], np.array([b"b"], object), math.inf),
        ([{"b64": "/w=="}], np.array([b"\xff"], object), 0.0),
        ([{"b64": "/g=="}], np.array([b"\xff"], object), math.inf),
        ([["a"]], np.array([b"a"], object), math.inf),
    ],
)
def test_differences(got: list[object], wanted: object, difference: float) -> None:
    assert asking._difference(got, np.asarray(wanted)) == difference


def test_agreement_within_the_tolerance() -> None:
    found = checks.of_answers(
        [Agreement("REST", 3, 1e-6), Agreement("gRPC", 3, 1e-4), Agreement("x", 3, math.inf, "gone")], 1e-5
    )
    assert [check.holds for check in found] == [True, False, False]
    assert found[2].found == "gone"


def test_the_page_tells_what_was_measured() -> None:
    found = [*checks.of_load(MEASURED.speeds), *checks.of_bounds(MEASURED, {"memory_mb": 100})]
    text = page.render("a server <1>", found, MEASURED, checks.reason(found))
    assert "no: memory of the server" in text
    assert "a server &lt;1&gt;" in text
    assert "<svg" in text
