"""The choose stage: which candidate it hands on, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from components.runtime.stage.artifacts import content_digest
from tests.components.push.serving_support import make_blessing, make_model, tree
from tests.support import StageResult, run_stage

OUTPUTS = ["model", "blessing", "metrics", "choice", "report"]
HIGHER = {"auc": "higher"}


def candidate(
    folder: Path,
    name: str,
    metrics: dict[str, float],
    *,
    blessed: bool = True,
    better: dict[str, str] | None = None,
    thresholds: list[dict[str, Any]] | None = None,
) -> dict[str, Path]:
    """The inputs of a candidate: a model of its own, and its blessing as evaluate writes it."""
    place = name.replace("-", "_")
    model = make_model(folder / f"model_{place}", name)
    blessing = make_blessing(folder / f"blessing_{place}", blessed, model, baseline="")
    file = blessing / "blessing.json"
    better = HIGHER if better is None else better
    content = json.loads(file.read_text()) | {"metrics": metrics, "better": better, "thresholds": thresholds or []}
    file.write_text(json.dumps(content))
    return {f"model_{place}": model, f"blessing_{place}": blessing}


def choose(folder: Path, inputs: dict[str, Path], names: list[str], **parameters: str) -> StageResult:
    return run_stage(
        "choose",
        folder,
        inputs=inputs,
        parameters={"candidates": names, "metric": "", "better": ""} | parameters,
        outputs=OUTPUTS,
        output_parameters=["candidate"],
        metadata={
            name: {"steps": 5, "digest": content_digest(place)}
            for name, place in inputs.items()
            if name.startswith("model_")
        },
    )


def three(folder: Path) -> dict[str, Path]:
    """`wide` is blessed, `deep-net` is blessed and better, `text` is best and not blessed."""
    return (
        candidate(folder, "wide", {"auc": 0.8, "loss": 0.3})
        | candidate(folder, "deep-net", {"auc": 0.9, "loss": 0.5, "auc 95% low": 0.88, "auc 95% high": 0.92})
        | candidate(folder, "text", {"auc": 0.95, "loss": 0.1}, blessed=False)
    )


def test_the_best_blessed_one_is_handed_on_with_its_name(tmp_path: Path) -> None:
    inputs = three(tmp_path)
    result = choose(tmp_path / "out", inputs, ["wide", "deep-net", "text"])
    assert result.exit_code == 0, result.stderr
    assert result.output["parameterValues"] == {"candidate": "deep-net"}
    assert tree(tmp_path / "out" / "model") == tree(inputs["model_deep_net"])
    assert (tmp_path / "out" / "model" / "Format-Serving" / "assets").is_dir()
    model = result.metadata("model")
    assert (model["candidate"], model["steps"]) == ("deep-net", 5)
    assert model["digest"] == content_digest(inputs["model_deep_net"])
    why = "deep-net is the best of 2 blessed candidates by auc, 0.9"
    told = json.loads((tmp_path / "out" / "blessing" / "blessing.json").read_text())
    assert (told["candidate"], told["reason"]) == ("deep-net", f"{why}; all 2 thresholds hold")
    assert (told["model_digest"], told["baseline_digest"]) == (model["digest"], "")
    assert (tmp_path / "out" / "blessing" / "BLESSED").exists()
    assert result.metadata("blessing")["blessed"] is True
    assert result.metadata("metrics") == {"auc": 0.9, "loss": 0.5, "auc 95% low": 0.88, "auc 95% high": 0.92}
    choice = json.loads((tmp_path / "out" / "choice" / "choice.json").read_text())
    assert [choice[key] for key in ("candidate", "metric", "better", "why")] == ["deep-net", "auc", "higher", why]
    assert [(each["name"], each["blessed"], each["value"]) for each in choice["candidates"]] == [
        ("wide", True, 0.8),
        ("deep-net", True, 0.9),
        ("text", False, 0.95),
    ]
    assert result.metadata("choice")["value"] == 0.9


def test_page_shows_all_candidates(tmp_path: Path) -> None:
    fails = {"metric": "auc", "slice": "a < b", "bound": ">= 0.99", "value": 0.95, "passed": False}
    inputs = three(tmp_path) | candidate(tmp_path, "more", {"auc": 0.7}, blessed=False, thresholds=[fails])
    choose(tmp_path / "out", inputs, ["wide", "deep-net", "text", "more"])
    page = (tmp_path / "out" / "report").read_text()
    for cell in ("auc (higher is better)", "a &lt; b", "0.95, fails", ">chosen<", "<svg role"):
        assert cell in page
    assert page.count("auc 0.71 &lt; 0.85 (overall)") == 2
    # The best of a metric is marked, also where it was not chosen.
    assert '<td>auc</td><td>0.8</td><td>0.9</td><td><span class="good">0.95</span></td>' in page


def test_another_metric_decides_where_it_is_named(tmp_path: Path) -> None:
    result = choose(tmp_path / "out", three(tmp_path), ["wide", "deep-net", "text"], metric="loss", better="lower")
    assert result.output["parameterValues"] == {"candidate": "wide"}
    assert "wide is the best of 2 blessed candidates by loss, 0.3" in result.stdout


def test_of_two_that_are_as_good_the_first_is_chosen_and_that_is_told(tmp_path: Path) -> None:
    inputs = candidate(tmp_path, "a", {"auc": 0.8}) | candidate(tmp_path, "b", {"auc": 0.8})
    result = choose(tmp_path / "out", inputs, ["b", "a"])
    assert result.metadata("choice")["why"] == (
        "b is the best of 2 blessed candidates by auc, 0.8, as good as a, and named before in the settings"
    )


def test_where_none_is_blessed_the_reasons_of_all_are_handed_on(tmp_path: Path) -> None:
    inputs = candidate(tmp_path, "a", {"auc": 0.7}, blessed=False) | candidate(
        tmp_path, "b", {"auc": 0.8}, blessed=False
    )
    result = choose(tmp_path / "out", inputs, ["a", "b"])
    assert result.exit_code == 0, result.stderr
    assert result.output["parameterValues"] == {"candidate": ""}
    why = "no candidate is blessed: a: auc 0.71 < 0.85 (overall); b: auc 0.71 < 0.85 (overall)"
    assert result.metadata("blessing")["reason"] == why
    assert (tmp_path / "out" / "blessing" / "NOT_BLESSED").exists()
    pushed = run_stage(
        "push",
        tmp_path / "pushed",
        inputs={name: tmp_path / "out" / name for name in ("model", "blessing")},
        parameters={"destination": str(tmp_path / "serving")},
        outputs=["pushed_model"],
        output_parameters=["version"],
    )
    assert {key: pushed.metadata("pushed_model")[key] for key in ("pushed", "reason")} == {
        "pushed": False,
        "reason": why,
    }
    assert not (tmp_path / "serving").exists()


def test_push_says_which_candidate_it_published(tmp_path: Path) -> None:
    choose(tmp_path / "out", three(tmp_path), ["wide", "deep-net", "text"])
    pushed = run_stage(
        "push",
        tmp_path / "pushed",
        inputs={name: tmp_path / "out" / name for name in ("model", "blessing")},
        parameters={"destination": str(tmp_path / "serving")},
        outputs=["pushed_model"],
        output_parameters=["version"],
    )
    assert pushed.exit_code == 0, pushed.stderr
    assert (pushed.metadata("pushed_model")["candidate"], pushed.metadata("pushed_model")["version"]) == ("deep-net", 1)


@pytest.mark.parametrize(
    ("better", "parameters", "error"),
    [
        ({}, {}, "no evaluation has a threshold that says which way"),
        ({}, {"metric": "auc"}, "no threshold says which way auc is better; say it: choose: {metric: auc, better: "),
        (HIGHER, {"metric": "acu"}, "the evaluation of a has no metric 'acu' over all examples; it has: auc; name one"),
        (HIGHER, {"better": "hihger"}, "better: 'hihger', did you mean 'higher'?; expected higher or lower"),
    ],
)
def test_without_a_way_to_compare_it_is_refused(
    tmp_path: Path, better: dict[str, str], parameters: dict[str, str], error: str
) -> None:
    inputs = candidate(tmp_path, "a", {"auc": 0.7}, better=better) | candidate(tmp_path, "b", {"auc": 0.8}, better={})
    result = choose(tmp_path / "out", inputs, ["a", "b"], **parameters)
    assert result.exit_code == 65
    assert error in result.error
    assert list((tmp_path / "out").iterdir()) == []


def test_thresholds_that_do_not_agree_are_refused(tmp_path: Path) -> None:
    inputs = candidate(tmp_path, "a", {"auc": 0.7}) | candidate(tmp_path, "b", {"auc": 0.8}, better={"auc": "lower"})
    result = choose(tmp_path / "out", inputs, ["a", "b"])
    assert result.exit_code == 65
    assert "the thresholds of a and b do not agree which way auc is better" in result.error


def test_a_candidate_that_is_not_blessed_need_not_have_the_metric(tmp_path: Path) -> None:
    """NaN is left out of the metrics, and never blesses."""
    inputs = candidate(tmp_path, "a", {}, blessed=False) | candidate(tmp_path, "b", {"auc": 0.8})
    result = choose(tmp_path / "out", inputs, ["a", "b"])
    assert result.metadata("choice")["why"] == "b is the only blessed one of 2 candidates, auc 0.8"


def test_a_blessing_of_another_model_is_refused(tmp_path: Path) -> None:
    inputs = three(tmp_path)
    inputs["model_deep_net"] = make_model(tmp_path / "another", "another")
    result = choose(tmp_path / "out", inputs, ["wide", "deep-net", "text"])
    assert result.exit_code == 65
    assert result.error == "candidate deep-net: its blessing is of another model; evaluate it again"


def test_a_missing_candidate_and_a_blessing_without_metrics_are_refused(tmp_path: Path) -> None:
    inputs = candidate(tmp_path, "a", {"auc": 0.7})
    assert choose(tmp_path / "out", inputs, ["a", "b"]).error == (
        "candidate b: the input artifact 'model_b' is missing"
    )
    inputs |= {"model_b": make_model(tmp_path / "b"), "blessing_b": make_blessing(tmp_path / "blessing_b")}
    assert "candidate b: its blessing.json tells no metrics" in choose(tmp_path / "out2", inputs, ["a", "b"]).error
