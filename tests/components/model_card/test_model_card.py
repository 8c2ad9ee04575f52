"""The model card: what is known is on it, and what is not is not a 0."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.model_card.card import Words, parts
from components.model_card.known import Known
from components.runtime.publish.blessing import SLICES
from tests.components.push.serving_support import make_blessing, make_model
from tests.support import StageResult, run_stage

MEASURED = {
    "label": "paid",
    "splits": ["eval"],
    "rows": 120,
    "left_out": 0,
    "slices": [
        {"slice": {}, "examples": 120, "metrics": {"example_count": 120.0, "auc": 0.91}},
        {"slice": {"city": "Ulm | <b>"}, "examples": 100, "metrics": {"example_count": 100.0, "auc": 0.93}},
        {"slice": {"city": "Bonn"}, "examples": 20, "metrics": {"example_count": 20.0}},
        {"slice": {"hour": "10"}, "examples": 60, "metrics": {"auc": 0.9}},
        {"slice": {"hour": "9"}, "examples": 60, "metrics": {"auc": 0.8}},
    ],
}
_AUC = {"slice": "overall", "metric": "auc", "value": 0.91, "baseline_value": None}
THRESHOLDS = [
    _AUC | {"kind": "value", "bound": ">= 0.85", "passed": True},
    _AUC | {"kind": "change", "bound": "change >= -0.01", "passed": None},
]
WORDS: dict[str, Any] = {
    "intended_use": "Tells who pays.",
    "not_for": "Credit.",
    "limits": ["Knows Ulm only."],
    "trade_offs": "Recall for precision.",
    "owners": ["anna", "bob"],
    "license": "apache-2.0",
    "links": ["https://example.org/a"],
    "description": "Payers",
    "distributions": True,
}
NOTHING = {name: [] if isinstance(value, list) else "" for name, value in WORDS.items()} | {"distributions": True}


def statistics(folder: Path) -> Path:
    """Statistics of two features, as TFDV writes them."""
    for split, rows in (("train", 200), ("eval", 120)):
        made = statistics_pb2.DatasetFeatureStatisticsList()
        dataset = made.datasets.add(num_examples=rows)
        age = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.FLOAT)
        age.path.step.append("age")
        age.num_stats.common_stats.num_non_missing = rows * 3 // 4
        age.num_stats.common_stats.tot_num_values = rows * 3 // 4
        histogram = age.num_stats.histograms.add()
        for low in (20, 40, 60):
            histogram.buckets.add(low_value=low, high_value=low + 20, sample_count=rows / 4)
        city = dataset.features.add(type=statistics_pb2.FeatureNameStatistics.STRING)
        city.path.step.append("city")
        city.string_stats.common_stats.num_non_missing = rows
        city.string_stats.common_stats.tot_num_values = rows
        for value, share in (("Ulm | <b>", 0.9), ("a rare name", 0.005)):
            city.string_stats.top_values.add(value=value, frequency=share * rows)
        (folder / f"Split-{split}").mkdir(parents=True)
        (folder / f"Split-{split}" / "FeatureStats.pb").write_bytes(made.SerializeToString())
    return folder


def write(tmp_path: Path, *, blessed: bool = True, words: dict[str, Any] = WORDS, full: bool = True) -> StageResult:
    model = make_model(tmp_path / "model")
    blessing = make_blessing(tmp_path / "blessing", blessed, model, baseline="")
    (blessing / "warm_up").mkdir()
    (blessing / "warm_up" / "tf_serving_warmup_requests").write_text("requests")
    inputs = {
        "model": model,
        "blessing": blessing,
        "examples": tmp_path,
        "statistics": statistics(tmp_path / "statistics"),
    }
    examples: dict[str, Any] = {}
    if full:
        (blessing / SLICES).write_text(json.dumps(MEASURED))
        said = json.loads((blessing / "blessing.json").read_text())
        said |= {"thresholds": THRESHOLDS, "metrics": {"auc": 0.91, "auc 95% low": 0.9, "auc 95% high": 0.92}}
        (blessing / "blessing.json").write_text(json.dumps(said))
        served = {"passed": True, "reason": "served by a server: all 8 checks hold", "measured": {"p50_ms": 1.25}}
        (blessing / "infra.json").write_text(json.dumps(served))
        answer = {"approved": True, "by": "anna", "why": "as planned", "at": "2026-11-30T05:00:00+00:00"}
        (blessing / "approval.json").write_text(json.dumps({"answer": answer, "approved": True}))
        explained = tmp_path / "explanations"
        explained.mkdir()
        importance = [
            {"feature": "city", "mean": 0.3, "half_interval": 0.01},
            {"feature": "age", "mean": 0.1, "half_interval": None},
        ]
        goals = [{"goal": "demographic parity", "accuracy": 0.8, "thresholds": {"a": 0.4, "b": None}}]
        document = {
            "explained": 20, "split": "eval", "importance": importance,
            "thresholds": [{"feature": "group", "groups": {"a": 1200, "b": 56}, "goals": goals}],
        }  # fmt: skip
        (explained / "explanations.json").write_text(json.dumps(document))
        inputs["explanations"] = explained
        examples = {
            "splits": ["train", "eval"],
            "rows": 320.0,
            "rows_train": 200.0,
            "rows_eval": 120,
            "digest": "sha256:data",
            "spans": [20785.0, 20787.0],
            "span_versions": [2.0, 1.0],
            "span_dates": ["2026-11-28", "2026-11-30"],
            "span_gaps": "2026-11-29",
        }
    return run_stage(
        "model_card",
        tmp_path / "out",
        parameters={"run": "pay-1", "pipeline": "pay", **words},
        inputs=inputs,
        metadata={"examples": examples, "model": {"steps": 500}},
        outputs=["carded_blessing", "report"],
    )


def test_the_card_says_all_that_is_known(tmp_path: Path) -> None:
    result = write(tmp_path)
    assert result.exit_code == 0, result.stderr
    folder = result.folder / "carded_blessing"
    assert (folder / "BLESSED").exists()
    assert (folder / "warm_up" / "tf_serving_warmup_requests").read_text() == "requests", "what lies in it goes along"
    text = (folder / "model_card" / "model_card.md").read_text()
    for said in (
        "Tells who pays.",
        "Not for: Credit.",
        "- Knows Ulm only.",
        "Recall for precision.",
        "| owners | anna, bob |",
        "apache-2.0",
        "Of spans 2026-11-28 (version 2), 2026-11-30 (version 1); not there: 2026-11-29.",
        "- https://example.org/a",
        "| steps of training | 500 |",
        "| auc | 0.91 | 0.9 to 0.92 |",
        "| auc | overall | &gt;= 0.85 | 0.91 |  | yes |",
        "| auc | overall | change &gt;= -0.01 | 0.91 | unknown | not applied |",
        r"| Ulm \| &lt;b&gt; | 100 | 0.93 |",
        "| Bonn | 20 | – |",
        "| train | 200 |",
        "| all | 320 |",
        "| age | 25.00% | 25.00% |",
        "| city | 0.3 | 0.01 |",
        "| age | 0.1 | unknown |",
        "| demographic parity | 0.8 | 0.40 | none positive |",
        "| latency of a single row, median, ms | 1.25 |",
        "| size of the model, MB | unknown |",
        "| approved by | anna, 2026-11-30T05:00:00+00:00 |",
        "| why | as planned |",
        "| data | sha256:data |",
        "| compared with | nothing: there was no baseline |",
    ):
        assert said in text, said
    for card in (text, (folder / "model_card" / "model_card.html").read_text()):
        told = card.replace("\\", "")
        assert "on the 1,256 examples of eval by which they were found, by group: a (1,200), b (56)." in told
        assert "hold them to other ones before you decide by them" in told
    assert text.index("| 9 |") < text.index("| 10 |"), "numbers in their order"
    page = (folder / "model_card" / "model_card.html").read_text()
    assert (result.folder / "report").read_text() == page
    assert page.count("<svg") == 4, "a picture for each way of cutting, the data, and what it goes by"
    assert "a rare name" not in page, "a text that hardly any value is may be of a single person"
    assert "<b>" not in page.replace("<b></b>", "")
    assert "http" not in page.replace("http://www.w3.org", "").replace("https://example.org/a", "")


def test_what_nobody_said_is_never_a_number(tmp_path: Path) -> None:
    result = write(tmp_path, words=NOTHING, full=False)
    assert result.exit_code == 0, result.stderr
    text = (result.folder / "carded_blessing" / "model_card" / "model_card.md").read_text()
    for said in (
        "Not said.",
        "What it is not for is not said.",
        "| owners | unknown |",
        "No metrics are known.",
        "None are said.",
        "| all | unknown |",
        "Measured on the splits unknown, unknown examples.",
        "| data | unknown |",
        "| approved by | nobody was asked |",
    ):
        assert said in text, said
    assert "| 0 |" not in text
    assert "Serving it" not in text
    assert "What it goes by" not in text


def test_values_of_the_data_can_be_left_out(tmp_path: Path) -> None:
    digest, words = "sha256:1", Words("", "", "", [], "", [], "", [], "pay", "pay-1", "2026-11-30")
    known = Known({"blessed": True, "reason": "good"}, None, None, None, None, {}, {})
    made = statistics_pb2.DatasetFeatureStatisticsList()
    made.ParseFromString((statistics(tmp_path) / "Split-train" / "FeatureStats.pb").read_bytes())
    for shown in (True, False):
        told = str(parts(words, known, digest, {"train": made}, distributions=shown))
        assert ("Distributions of 2 features" in told) is shown
        assert ("Ulm" in told) is shown


def test_a_model_that_is_not_blessed_has_no_card(tmp_path: Path) -> None:
    result = write(tmp_path, blessed=False)
    assert result.exit_code == 0, result.stderr
    assert not (result.folder / "carded_blessing" / "model_card").exists()
    assert result.metadata("carded_blessing")["blessed"] is False
    assert "The model is not blessed" in (result.folder / "report").read_text()


@pytest.mark.parametrize("name", ["slices.json", "infra.json"])
def test_what_cannot_be_read_is_one_line(tmp_path: Path, name: str) -> None:
    model = make_model(tmp_path / "model")
    blessing = make_blessing(tmp_path / "blessing", True, model)
    (blessing / name).write_text("{")
    result = run_stage(
        "model_card",
        tmp_path / "out",
        parameters={"run": "pay-1", "pipeline": "pay", **NOTHING},
        inputs={
            "model": model,
            "blessing": blessing,
            "examples": tmp_path,
            "statistics": statistics(tmp_path / "statistics"),
        },
        outputs=["carded_blessing", "report"],
    )
    assert result.exit_code == 65
    assert name in result.error
    assert "cannot be read" in result.error
