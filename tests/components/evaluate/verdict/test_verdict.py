"""The verdict, on numbers put together by hand."""

from __future__ import annotations

import json
import math

import pytest
from google.protobuf import text_format
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.evaluation.computation.results import Results, SliceMetrics
from components.runtime.evaluation.configuration.reading import with_baseline
from components.runtime.evaluation.verdict.verdict import Verdict, judge

HEAD = 'model_specs { label_key: "y" } slicing_specs {} slicing_specs { feature_keys: "hour" } '
OVERALL = "per_slice_thresholds { slicing_specs {} threshold { %s } }"
ABOVE = "value_threshold { lower_bound { value: 0.85 } }"
BELOW = "value_threshold { upper_bound { value: 0.3 } }"
NOT_WORSE = "change_threshold { direction: HIGHER_IS_BETTER absolute { value: -0.01 } }"
RELATIVE = "change_threshold { direction: HIGHER_IS_BETTER relative { value: -0.05 } }"


def decide(thresholds: str, values: dict[str, dict[str, float]], baseline: dict[str, float] | None = None) -> Verdict:
    """Judges the metric `auc`.

    Args:
      thresholds: fields of its MetricConfig.
      values: the candidate's metrics by slice, `overall` or `hour=<n>`.
      baseline: the baseline's value of `auc` by slice.
    """
    text = HEAD + 'metrics_specs { metrics { class_name: "AUC" config: \'"name": "auc"\' ' + thresholds + " } }"
    config = text_format.Parse(text, config_pb2.EvalConfig())
    model = "candidate" if baseline is not None else ""
    slices = []
    for name, metrics in values.items():
        key = () if name == "overall" else (("hour", int(name.partition("=")[2])),)
        numbers = {metric_types.MetricKey(metric, model_name=model): value for metric, value in metrics.items()}
        if baseline is not None and "auc" in metrics:
            numbers[metric_types.MetricKey("auc", model_name="baseline")] = baseline[name]
            change = metrics["auc"] - baseline[name]
            numbers[metric_types.MetricKey("auc", model_name=model, is_diff=True)] = change
        slices.append(SliceMetrics(key, numbers))
    unapplied = with_baseline(config, True) if baseline is None else None
    return judge(Results(slices, {}), with_baseline(config, baseline is not None), unapplied, [])


@pytest.mark.parametrize(
    ("threshold", "better"),
    [
        (ABOVE, {"auc": "higher"}),
        (BELOW, {"auc": "lower"}),
        # Applied or not: without a baseline it still says which way.
        (NOT_WORSE, {"auc": "higher"}),
        (NOT_WORSE.replace("HIGHER", "LOWER"), {"auc": "lower"}),
        ("value_threshold { lower_bound { value: 0.1 } upper_bound { value: 0.9 } }", {}),
    ],
)
def test_a_threshold_says_which_way_is_better(threshold: str, better: dict[str, str]) -> None:
    assert decide(OVERALL % threshold, {"overall": {"auc": 0.5}}).better == better


def test_value_threshold_overall() -> None:
    assert decide(OVERALL % ABOVE, {"overall": {"auc": 0.85}}).blessed
    verdict = decide(OVERALL % ABOVE, {"overall": {"auc": 0.71}})
    assert not verdict.blessed
    assert verdict.reason.startswith("auc 0.71 < 0.85 (overall)")
    assert [outcome.as_json() for outcome in verdict.outcomes] == [
        {
            "slice": "overall",
            "metric": "auc",
            "kind": "value",
            "bound": ">= 0.85",
            "value": 0.71,
            "baseline_value": None,
            "passed": False,
        }
    ]


def test_upper_bound() -> None:
    assert not decide(OVERALL % BELOW, {"overall": {"auc": 0.31}}).blessed
    assert decide(OVERALL % BELOW, {"overall": {"auc": 0.3}}).blessed


def test_overall_threshold_leaves_slices_alone_and_a_plain_one_does_not() -> None:
    values = {"overall": {"auc": 0.9}, "hour=3": {"auc": 0.5}}
    assert decide(OVERALL % ABOVE, values).blessed
    verdict = decide(f"threshold {{ {ABOVE} }}", values)
    assert not verdict.blessed
    assert verdict.reason.startswith("auc 0.5 < 0.85 (hour=3)")
    assert [outcome.passed for outcome in verdict.outcomes] == [True, False]


def test_threshold_on_one_slice_and_on_each_of_a_feature() -> None:
    one = OVERALL.replace("slicing_specs {}", 'slicing_specs { feature_values { key: "hour" value: "3" } }') % ABOVE
    each = OVERALL.replace("slicing_specs {}", 'slicing_specs { feature_keys: "hour" }') % ABOVE
    values = {"overall": {"auc": 0.1}, "hour=3": {"auc": 0.9}, "hour=4": {"auc": 0.5}}
    assert decide(one, values).blessed
    assert "(hour=4)" in decide(each, values).reason
    missing = decide(one, {"overall": {"auc": 0.9}, "hour=4": {"auc": 0.9}})
    assert not missing.blessed
    assert missing.reason.startswith("auc: no examples in the slice hour=3")


@pytest.mark.parametrize("value", [math.nan, None])
def test_nan_and_absent_never_bless(value: float | None) -> None:
    metrics = {"other": 1.0} if value is None else {"auc": value}
    for thresholds in (ABOVE, BELOW, "value_threshold {}"):
        verdict = decide(OVERALL % thresholds, {"overall": metrics})
        assert not verdict.blessed
        assert verdict.reason.startswith("auc was not computed" if value is None else "auc is not defined")
        json.dumps([outcome.as_json() for outcome in verdict.outcomes], allow_nan=False)


def test_what_there_is_of_a_metric_is_told_where_the_one_with_the_threshold_is_not() -> None:
    text = (
        HEAD
        + 'metrics_specs { metrics { class_name: "NDCG" config: \'"gain_key": "g"\' threshold { '
        + ABOVE
        + " } } }"
    )
    config = with_baseline(text_format.Parse(text, config_pb2.EvalConfig()), False)
    values = {metric_types.MetricKey("ndcg", sub_key=metric_types.SubKey(top_k=k)): 0.9 for k in (1, 3)}
    verdict = judge(Results([SliceMetrics((), values)], {}), config, None, [])
    assert not verdict.blessed
    assert verdict.reason == "ndcg was not computed; there is ndcg top 1, ndcg top 3 (overall)"


@pytest.mark.parametrize("value", [math.inf, -math.inf])
def test_infinity_never_blesses(value: float) -> None:
    for thresholds in (ABOVE, BELOW, "value_threshold {}"):
        verdict = decide(OVERALL % thresholds, {"overall": {"auc": value}})
        assert (verdict.blessed, verdict.outcomes[0].passed) == (False, False)
        assert verdict.reason.startswith("auc is infinite (overall)")
        json.dumps([outcome.as_json() for outcome in verdict.outcomes], allow_nan=False)
    for direction in ("HIGHER_IS_BETTER", "LOWER_IS_BETTER"):
        thresholds = OVERALL % f"change_threshold {{ direction: {direction} absolute {{ value: 0 }} }}"
        assert not decide(thresholds, {"overall": {"auc": value}}, {"overall": 0.9}).blessed
        assert not decide(thresholds, {"overall": {"auc": 0.9}}, {"overall": value}).blessed


@pytest.mark.parametrize(("value", "word"), [(math.inf, "infinite"), (math.nan, "NaN")])
def test_what_no_threshold_judges_does_not_bless_either_where_it_is_no_number(value: float, word: str) -> None:
    verdict = decide(OVERALL % ABOVE, {"overall": {"auc": 0.9, "loss": value}})
    assert not verdict.blessed
    assert verdict.reason.startswith(f"loss is {word}, which never blesses (overall)")
    assert not decide("", {"overall": {"auc": 0.9, "loss": value}}).blessed
    # A slice may be too small for a metric that nobody asks there.
    assert decide(OVERALL % ABOVE, {"overall": {"auc": 0.9}, "hour=3": {"auc": 0.9, "loss": value}}).blessed


def test_a_class_that_the_examples_lack_does_not_speak_against_the_model() -> None:
    lacking = metric_types.MetricKey("auc", sub_key=metric_types.SubKey(class_id=7))
    macro = metric_types.MetricKey("auc", aggregation_type=metric_types.AggregationType(macro_average=True))
    config = with_baseline(text_format.Parse(HEAD, config_pb2.EvalConfig()), False)
    for key in (lacking, macro):
        assert judge(Results([SliceMetrics((), {key: math.nan})], {}), config, None, []).blessed
        assert not judge(Results([SliceMetrics((), {key: math.inf})], {}), config, None, []).blessed


@pytest.mark.parametrize("direction", ["HIGHER_IS_BETTER", "LOWER_IS_BETTER"])
def test_nan_change_never_blesses(direction: str) -> None:
    thresholds = OVERALL % f"change_threshold {{ direction: {direction} absolute {{ value: 5 }} }}"
    assert not decide(thresholds, {"overall": {"auc": math.nan}}, {"overall": 0.9}).blessed
    assert not decide(thresholds, {"overall": {"auc": 0.9}}, {"overall": math.nan}).blessed


def test_change_threshold() -> None:
    assert decide(OVERALL % NOT_WORSE, {"overall": {"auc": 0.895}}, {"overall": 0.9}).blessed
    verdict = decide(OVERALL % NOT_WORSE, {"overall": {"auc": 0.875}}, {"overall": 0.9})
    assert not verdict.blessed
    assert verdict.baseline
    assert verdict.reason == "auc 0.875 against 0.9 of the baseline: change -0.025 < -0.01 (overall)"
    assert (verdict.outcomes[0].value, verdict.outcomes[0].baseline_value) == (0.875, 0.9)


def test_relative_change_and_a_baseline_of_zero() -> None:
    assert decide(OVERALL % RELATIVE, {"overall": {"auc": 0.96}}, {"overall": 1.0}).blessed
    assert not decide(OVERALL % RELATIVE, {"overall": {"auc": 0.94}}, {"overall": 1.0}).blessed
    assert not decide(OVERALL % RELATIVE, {"overall": {"auc": 0.94}}, {"overall": 0.0}).blessed


def test_relative_change_below_zero() -> None:
    assert not decide(OVERALL % RELATIVE, {"overall": {"auc": -14.37}}, {"overall": -10.43}).blessed
    assert decide(OVERALL % RELATIVE, {"overall": {"auc": -10.43}}, {"overall": -14.37}).blessed
    less = OVERALL % "change_threshold { direction: LOWER_IS_BETTER relative { value: 0.05 } }"
    assert decide(less, {"overall": {"auc": -14.37}}, {"overall": -10.43}).blessed
    assert not decide(less, {"overall": {"auc": -10.43}}, {"overall": -14.37}).blessed


def test_without_overall_each_slice_speaks_against_the_model() -> None:
    verdict = decide("", {"hour=3": {"auc": 0.9, "loss": 1.0}, "hour=4": {"auc": 0.9, "loss": math.inf}})
    assert verdict.reason.startswith("loss is infinite, which never blesses (hour=4)")
    # A slice may lack a class; every slice does not.
    assert decide("", {"hour=3": {"loss": 1.0}, "hour=4": {"loss": math.nan}}).blessed
    assert not decide("", {"hour=3": {"loss": math.nan}, "hour=4": {"loss": math.nan}}).blessed


@pytest.mark.parametrize(
    ("candidate", "baseline", "renumbered"),
    [
        (["0", "2", "1", "3"], ["0", "1", "2", "3"], {1: ("2", "1"), 2: ("1", "2")}),
        (["5", "1", "3"], ["5", "1", "4"], {2: ("3", "4")}),
        (["loan", "1"], ["loan", "card"], {}),  # The candidate has no name for 1.
    ],
)
def test_exchanged_integers_are_told(
    candidate: list[str], baseline: list[str], renumbered: dict[int, tuple[str, str]]
) -> None:
    assert Results([], {}, 0, candidate, baseline).renumbered == renumbered


def test_first_run_ignores_change_thresholds_and_says_so() -> None:
    verdict = decide(OVERALL % f"{ABOVE} {NOT_WORSE}", {"overall": {"auc": 0.9}})
    assert verdict.blessed
    assert not verdict.baseline
    assert "; there is no baseline, so 1 change threshold is not applied" in verdict.reason
    assert [outcome.passed for outcome in verdict.outcomes] == [True, None]
    assert not decide(OVERALL % f"{ABOVE} {NOT_WORSE}", {"overall": {"auc": 0.8}}).blessed


def test_no_threshold_at_all_blesses_and_says_so() -> None:
    verdict = decide("", {"overall": {"auc": 0.1}})
    assert verdict.blessed
    assert verdict.reason.startswith("NO THRESHOLD IS SET: every model is blessed")


def test_no_threshold_that_applies_blesses_and_says_so() -> None:
    verdict = decide(OVERALL % NOT_WORSE, {"overall": {"auc": 0.1}})
    assert verdict.blessed
    assert verdict.reason.startswith("NO THRESHOLD APPLIES: blessed without a test; there is no baseline")


def test_disagreement_with_tfma_never_blesses() -> None:
    config = text_format.Parse(
        HEAD + 'metrics_specs { metrics { class_name: "AUC" config: \'"name": "auc"\' ' + OVERALL % ABOVE + " } }",
        config_pb2.EvalConfig(),
    )
    results = Results([SliceMetrics((), {metric_types.MetricKey("auc"): 0.9})], {})
    verdict = judge(results, with_baseline(config, False), None, ["auc: odd"])
    assert (verdict.blessed, verdict.reason) == (False, "TensorFlow Model Analysis: auc: odd")


def test_classes_that_the_baseline_numbers_otherwise_are_not_compared() -> None:
    text = HEAD + (
        'metrics_specs { binarize { class_ids { values: [0, 1] } } metrics { class_name: "AUC" '
        + f'config: \'"name": "auc"\' {OVERALL % NOT_WORSE} }} }}'
    )
    config = with_baseline(text_format.Parse(text, config_pb2.EvalConfig()), True)
    values = {}
    for number in (0, 1):
        key = metric_types.MetricKey("auc", model_name="candidate", sub_key=metric_types.SubKey(class_id=number))
        values |= {key: 0.9, key._replace(model_name="baseline"): 0.9, key._replace(is_diff=True): 0.0}
    slices = [SliceMetrics((), values)]
    same = Results(slices, {}, class_names=["loan", "card"], baseline_class_names=["loan", "card", "new"])
    assert judge(same, config, None, []).blessed
    exchanged = Results(slices, {}, class_names=["loan", "card"], baseline_class_names=["loan", "mortgage"])
    verdict = judge(exchanged, config, None, [])
    assert not verdict.blessed
    assert verdict.reason == "auc class 1 cannot be compared: class 1 is 'card', and 'mortgage' in the baseline"
