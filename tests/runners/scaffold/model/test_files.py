"""The files of a new model: they hold the project's style, and say what the data asks for."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.runtime.errors import InputError
from runners.scaffold.model import curated_schema, files, naming
from runners.settings import evaluation_file, named_files
from runners.settings.model import load
from tests.runners.scaffold.model.model_support import data_set, plan, ruff, write

ODD = {
    "mean radius (mm)": [1.5, 2.5, 3.25, 4.75],
    'the "best" of all': ["a", "b", "a", "b"],
    "it's": ["x", "y", "y", "x"],
    "od280/od315": [0.5, None, 2.5, 1.25],
    "Größe": [1.0, 2.0, 5.0, 4.0],
    "größe": [2.0, 1.0, 4.0, 5.0],
    "価格": [7.5, 8.5, 9.5, 7.0],
    "2024": [0.1, 0.2, 0.3, 0.35],
    "back\\slash": [10.5, 11.5, 12.5, 13.0],
    "a name that is so long that no line of any file has room for it beside what has to be done with it " * 2: [
        1.25, 2.5, 3.75, 5.0,
    ],
    "label": [3.5, 1.5, 2.5, 0.5],
    "was wird's?": ["ja", "nein", "nein", "ja"],
}  # fmt: skip


def repeated(columns: dict[str, list[Any]], times: int = 30) -> dict[str, list[Any]]:
    return {name: values * times for name, values in columns.items()}


def made(folder: Path, columns: dict[str, list[Any]], *labels: str) -> dict[str, str]:
    return files.render(plan(data_set(folder / "data", columns), *labels, kept=list(columns)))


def test_names_of_any_letters(tmp_path: Path) -> None:
    texts = made(tmp_path, repeated(ODD), "was wird's?")
    folder = write(tmp_path / "churn", texts)
    ruff("check", str(folder))
    ruff("format", "--check", str(folder))
    module = ast.parse(texts["preprocessing.py"])
    (function,) = [
        each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == "preprocessing_fn"
    ]
    constants = {ast.literal_eval(each.value) for each in module.body if isinstance(each, ast.Assign)
                 and isinstance(each.targets[0], ast.Name) and each.targets[0].id.startswith("COLUMN")}  # fmt: skip
    read = {node.slice.value for node in ast.walk(function)
            if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant)}  # fmt: skip
    assert read | constants == set(ODD)
    settings = load(str(folder))
    evaluation_file.check(folder / settings.evaluate.eval_config_file, "evaluation.pbtxt")
    named_files.check(settings, ["schema", "transform", "train", "evaluate"])


def test_labels_that_would_end_a_comment_or_a_docstring(tmp_path: Path) -> None:
    label = 'is it\na """ \\ ?'
    texts = made(tmp_path, repeated({"x": [1.5, 2.5, 1.5, 2.5], label: ["a\n", 'b"""', "a\n", "a\n"]}), label)
    folder = write(tmp_path / "churn", texts)
    ruff("check", str(folder))
    assert load(str(folder)).description == "churn: Is is it a ''' ' ? b'''?"


@pytest.mark.parametrize("label", ["two", "three", "number", "price", "tags"])
def test_every_task(tmp_path: Path, label: str) -> None:
    columns: dict[str, list[Any]] = {
        "age": [31.5, 40.0, 22.25, 19.5, 60.0, 33.0],
        "two": ["yes", "no", "no", "yes", "no", "no"],
        "three": ["a", "b", "c", "b", "a", "c"],
        "number": [0.5, 1.5, 0.25, 8.0, 9.5, 3.0],
        "price": [1.0, 3.0, 1.5, 2.5, 2.0, 3000.0],
        "tags": [["x"], ["x", "y"], ["y"], ["z"], ["z"], ["x", "z"]],
        "story": ["one fine day it rained", "then it did not rain", "we went home at once", "and so did they all",
                  "nobody knows what for it was", "it is the end of it"],
    }  # fmt: skip
    columns = repeated(columns)
    columns["story"] = [f"{text} {number}" for number, text in enumerate(columns["story"])]
    folder = write(tmp_path / "churn", made(tmp_path, columns, label))
    assert "TextVectorization" in (folder / "model.py").read_text()
    ruff("check", str(folder))
    ruff("format", "--check", str(folder))
    evaluation_file.check(folder / "evaluation.pbtxt", "evaluation.pbtxt")
    assert "MajorityLift" in (text := (folder / "evaluation.pbtxt").read_text()) or "Lift" in text or "AUC" in text
    assert '"BinaryAccuracy" }' in text or label != "two"


def test_what_may_be_absent_is_tried_and_nan_is_no_absence(tmp_path: Path) -> None:
    """The schema asks for a value in each row where the data has one, and NaN is one."""
    columns = {"a": [1.5, None, 2.5], "b": [1.5, float("nan"), 2.5], "y": [0, 1, 1]}
    assert 'OPTIONAL = ["a"]' in made(tmp_path, repeated(columns), "y")["tests/test_model.py"]


def test_settings_say_only_what_differs(tmp_path: Path) -> None:
    data = data_set(
        tmp_path / "data",
        repeated({"x": [1.5, 2.5, 1.5, 2.5], "y": [0, 1, 1, 1]}),
        leave_out_without=["y"],
        delimiter=";",
    )
    settings = yaml.safe_load(files.render(plan(data, "y"))["settings.yaml"])
    assert settings["ingest"] == {"leave_out_without": ["y"], "delimiter": ";"}
    assert settings.keys() == {"description", "data", "ingest", "schema", "train"}


def test_the_schema_has_what_looks_wrong_marked(tmp_path: Path) -> None:
    columns = {"day": ["2015-01-31", "2015-02-01", "2015-03-05"], "same": [1, 1, 1], "y": [0, 1, 1]}
    schema = made(tmp_path, repeated(columns), "y")["schema.pbtxt"]
    assert '# LOOK: a date as text.\nfeature {\n  name: "day"' in schema
    assert "# LOOK: constant: every row has '1'.\n# Not read: without the line `lifecycle_stage`" in schema
    assert schema.count("lifecycle_stage: DISABLED") == 1
    assert '# The label.\nfeature {\n  name: "y"' in schema


def test_a_schema_is_read_as_protobuf_writes_it(tmp_path: Path) -> None:
    text = (
        'feature {\n  name: "a \\"b\\" \\\\ \\t"\n  type: INT\n}\nstring_domain {\n  name: "d"\n  value: "}"\n}\n'
        "generate_legacy_feature_spec: false\n"
    )
    found = curated_schema.blocks(text)
    assert list(found.features) == ['a "b" \\ \t']
    assert [block.split()[0] for block in found.rest] == ["string_domain", "generate_legacy_feature_spec:"]


def test_safe_names_are_all_different() -> None:
    names = ["Größe (cm)", "grosse cm", "studyName", "2024", "価格", "%", "label"]
    assert list(naming.safe_names(names, taken=["label"]).values()) == [
        "grosse_cm", "grosse_cm_2", "study_name", "column_2024", "column", "column_2", "label_2",
    ]  # fmt: skip


def test_nothing_is_overwritten_and_half_a_model_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(InputError, match="is there already"):
        files.write(tmp_path / "there", {"a": "b"})

    def full(file: Path, text: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files, "write_whole", full)
    with pytest.raises(OSError, match="No space"):
        files.write(tmp_path / "new", {"a": "b"})
    assert not (tmp_path / "new").exists()
