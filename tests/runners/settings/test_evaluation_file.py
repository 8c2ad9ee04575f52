"""What is wrong in an EvalConfig is told before the training where its text alone shows it."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.settings.evaluation_file import check
from tests.support import ROOT


@pytest.mark.parametrize("file", sorted(ROOT.glob("models/*/evaluation.pbtxt")), ids=lambda path: path.parent.name)
def test_those_of_the_models_are_right(file: Path) -> None:
    check(file, str(file))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing\n",
        "metrics_specs < metrics: < class_name: 'A' \"UC\" > >; options { min_slice_size { value: -3.5e7 } },",
        'metrics_specs { metrics [ { class_name: "AUC" }, { class_name: "Mine" module: "mine" } ] '
        'model_names: [ "a", "b" ] } model_specs {} slicing_specs {} cross_slicing_specs {}',
        "# a form feed \x0c and a line\u2028separator\nmodel_specs { label_key: 'a\u2028b' }",
        'metrics_specs { metrics { class_name: "MajorityLift" module: "components.evaluate.metrics" } }',
        'metrics_specs { metrics { class_name: "MajorityLift" module: "components.evaluate.lift" } }',
        'metrics_specs { thresholds { key: "auc" value { value_threshold { lower_bound { value: .5 } } } } }',
    ],
)
def test_all_forms_of_the_text_are_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "evaluation.pbtxt").write_text(text)
    check(tmp_path / "evaluation.pbtxt", "evaluation.pbtxt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            'metrics_specs {\n metrics { class_name: "AUCC" } }',
            "line 2: class_name 'AUCC' is no metric, did you mean 'AUC'",
        ),
        ('metrics_specs { metrics { class_name: "MajorityLift" } }', "needs its module beside it"),
        ("metrics_specs {\n metrics { }", "EvalConfig, line 2"),
        ("\nmetric_specs {}", "line 2: no field 'metric_specs', did you mean 'metrics_specs'"),
        ('metrics_specs { metrics { class_name "AUC" } }', "line 1:38"),
        (
            'metrics_specs {\n metrics { class_name: "SquareErrorLift" module: "components.evaluate.metrics" } }',
            "line 2: components.evaluate.metrics has no class 'SquareErrorLift', did you mean 'SquaredErrorLift'",
        ),
        (
            'metrics_specs { metrics { class_name: "X" module: "components.evaluate.lifts" } }',
            "there is no module 'components.evaluate.lifts' with metrics; the one with all of ours is "
            "'components.evaluate.metrics'",
        ),
        ("metrics_specs " + "{ a " * 3000, "messages too deep in others"),
        ("}", "line 1:1"),
        ("options: ", "Expected a value"),
        ('model_specs { label_key: "x }', "EvalConfig, line 1"),
    ],
)
def test_what_is_wrong_is_told_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "evaluation.pbtxt").write_text(text)
    with pytest.raises(InputError) as error:
        check(tmp_path / "evaluation.pbtxt", "models/x/evaluation.pbtxt")
    assert str(error.value).startswith("models/x/evaluation.pbtxt: ")
    assert message in str(error.value)


def test_other_bytes_than_text(tmp_path: Path) -> None:
    (tmp_path / "evaluation.pbtxt").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="not UTF-8 text"):
        check(tmp_path / "evaluation.pbtxt", "evaluation.pbtxt")
