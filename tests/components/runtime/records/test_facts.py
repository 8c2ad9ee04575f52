"""What an execution says of itself."""

from __future__ import annotations

from typing import Any

import pytest

from components.runtime.data.span_words import newest_versions
from components.runtime.records.facts import WARNING, alert, counted, facts


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


@pytest.mark.parametrize(
    ("metadata", "said", "sign"),
    [
        ({"rows": 9, "spans": [3]}, "9 rows, span 3", ""),
        (
            {"rows": 9, "spans": [3, 4, 5, 9], "span_gaps": "6 to 8"},
            "9 rows, spans 3 to 5, 9; not there: 6 to 8",
            WARNING,
        ),
        (
            {"rows": 9, "left_out": 4, "spans": [1.0, 2.0], "spans_asked": 5.0},
            "9 rows, 4 files left out, spans 1, 2; only 2 of the 5 spans asked for",
            WARNING,
        ),
        # As KFP hands numbers on, and as nobody should.
        ({"spans": [4.0], "span_versions": [2.0]}, "span 4 (version 2)", ""),
        ({"spans": "all", "span_versions_there": 7}, "", ""),
    ],
)
def test_which_spans_were_read_and_what_is_missing(metadata: dict[str, Any], said: str, sign: str) -> None:
    execution = {"stage": "ingest", "outputs": {"examples": {"metadata": metadata}}}
    assert (facts(execution), alert(execution)) == (said, sign)
    assert newest_versions(metadata) == ({4: 2} if "span_versions" in metadata else {})


def test_one_thing_is_no_plural() -> None:
    assert [counted(number, "row of the labels", "have") for number in (0, 1, 1200)] == [
        "0 rows of the labels have", "1 row of the labels has", "1,200 rows of the labels have",
    ]  # fmt: skip
    assert [counted(number, "anomaly") for number in (1.0, 2.0)] == ["1 anomaly", "2 anomalies"]


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"found": True, "version": 2, "candidate_in_service": True}, "version 2"),
        ({"found": False, "version": 0, "candidate_in_service": True}, "the model in service is this one"),
        ({"found": False, "version": 0, "candidate_in_service": False}, "no earlier model"),
    ],
)
def test_a_candidate_that_is_in_service_is_no_earlier_model(metadata: dict[str, Any], said: str) -> None:
    assert facts({"stage": "resolve", "outputs": {"baseline_model": {"metadata": metadata}}}) == said
