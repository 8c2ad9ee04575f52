"""The stage: what is converted, evaluated by the model's gates, and handed on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.export import litert, onnx_format, tfjs
from components.export.made import answering, check_bounds
from components.export.source import CannotConvert, Source
from components.runtime.errors import InputError
from components.runtime.publish import export_formats as formats
from components.runtime.publish.export_formats import Format
from tests.components.export.conftest import LARGE, Export, Numbers
from tests.support import StageResult


def entries(result: StageResult) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads((result.folder / "export_blessing" / "exports.json").read_text())
    return found


def files(result: StageResult, name: str) -> set[str]:
    folder = result.folder / "export_blessing" / "exports" / name
    return {entry.relative_to(folder).as_posix() for entry in folder.rglob("*") if entry.is_file()}


def by_default(folder: Path) -> None:
    """Has the model evaluated by its signature serving_default."""
    file = folder / "evaluation.pbtxt"
    file.write_text(file.read_text().replace("from_examples", "serving_default"))


def test_an_export_is_evaluated_and_handed_on_or_not(export: Export, words: Path) -> None:
    result = export({"litert": {}, "whole": {"format": "litert", "inputs": "raw"}}, model=words)
    found = entries(result)
    assert (found["litert"]["passed"], found["litert"]["losses"]["auc"]) == (True, 0)
    assert files(result, "litert") == {"model.tflite", "export.json"}
    why = "cannot be converted: its preprocessing looks words up in a vocabulary (the op LookupTableFindV2)"
    assert found["whole"]["refused"] == why
    assert result.metadata("export_blessing")["exports"] == ["litert"]
    assert result.metadata("export_blessing")["exports_refused"] == {"whole": why}
    assert (result.folder / "export_blessing" / "BLESSED").exists()
    assert "<svg" in (result.folder / "report").read_text()


@pytest.mark.slow
def test_each_format_is_converted_evaluated_and_handed_on(export: Export) -> None:
    result = export(
        {
            "litert": {},
            "int8": {"format": "litert", "quantise": "int8"},
            "onnx": {},
            "tfjs": {"quantise": "float16"},
            "pruned": {"format": "saved_model", "sparsity": 0.5},
        }
    )
    found = entries(result)
    names = ["int8", "litert", "onnx", "pruned", "tfjs"]
    assert sorted(json.loads((result.folder / "parameters" / "passed").read_text())) == names, result.stdout
    for entry in found.values():
        assert entry["passed"] is True
        assert entry["inputs"] == "raw"
        assert entry["metrics"]["auc"] > 0.98
        assert entry["losses"]["auc"] < 0.01
        assert entry["bytes"] > 0
        assert entry["p50_ms"] > 0
    assert found["litert"]["losses"]["auc"] == 0
    assert files(result, "litert") == {"model.tflite", "export.json"}
    assert files(result, "onnx") == {"model.onnx", "export.json"}
    assert files(result, "tfjs") == {"model.json", "group1-shard1of1.bin", "export.json"}
    assert {"saved_model.pb", "variables/variables.index"} < files(result, "pruned")
    # Of all there is the blessing that came in.
    blessing = result.folder / "export_blessing"
    assert (blessing / "BLESSED").exists()
    told = json.loads((blessing / "blessing.json").read_text())
    assert told == {"blessed": True, "reason": "all hold", "baseline_digest": "", "exports": dict.fromkeys(found, "")}
    metadata = result.metadata("export_blessing")
    assert sorted(metadata["exports"]) == names
    assert metadata["blessed"] is True
    assert "exports_refused" not in metadata
    measured = result.metadata("metrics")
    assert measured["int8 size_mb"] == found["int8"]["bytes"] / 1e6
    assert measured["onnx loss"] == 0
    page = (result.folder / "report").read_text()
    assert "<svg" in page
    assert "evaluated again on eval" in page
    contract = json.loads((blessing / "exports" / "litert" / "export.json").read_text())
    assert contract["features"][0] == {"feature": "a", "input": "a", "dtype": "float32", "shape": [None]}
    assert [each["feature"] for each in contract["features"]] == ["a", "b", "code"]
    assert contract["outputs"] == ["outputs"]
    assert contract["missing"].startswith("NaN")


@pytest.mark.slow
def test_what_fails_a_gate_or_a_bound_is_not_handed_on_and_says_why(export: Export) -> None:
    result = export(
        {
            "empty": {"format": "saved_model", "sparsity": 0.99},
            "coarse": {"format": "litert", "clusters": 2, "sparsity": 0.9},
            "onnx": {},
        },
        bounds={"size_mb": 0.0001},
    )
    found = entries(result)
    assert json.loads((result.folder / "parameters" / "passed").read_text()) == []
    assert not (result.folder / "export_blessing" / "exports").exists()
    assert (result.folder / "export_blessing" / "BLESSED").exists(), "the model is published nonetheless"
    assert found["empty"]["refused"].startswith("auc 0.543661 < 0.9 (overall)")
    assert "MB, more than size_mb: 0.0001" in found["onnx"]["refused"]
    assert result.metadata("export_blessing")["exports_refused"] == {
        name: each["refused"] for name, each in found.items()
    }
    assert result.metadata("export_blessing")["review"] == "not as empty, coarse, onnx"
    assert found["empty"]["refused"] in (result.folder / "report").read_text().replace("&lt;", "<")
    assert f"empty: not handed on: {found['empty']['refused']}" in result.stdout


@pytest.mark.slow
def test_a_change_threshold_holds_against_the_model_itself(export: Export, tmp_path: Path) -> None:
    config = (tmp_path / "evaluation.pbtxt").read_text()
    (tmp_path / "evaluation.pbtxt").write_text(config.replace("value: 0.9", "value: 0.5"))
    changed = entries(export({"half": {"format": "litert", "sparsity": 0.94}}))["half"]
    assert " of the model: change -0." in changed["refused"], changed
    assert changed["refused"].endswith("< -0.05 (overall)")


@pytest.mark.slow
def test_the_loss_is_bounded_where_every_threshold_holds(export: Export) -> None:
    entry = entries(export({"coarse": {"format": "litert", "clusters": 2}}, bounds={"loss": 0}))["coarse"]
    assert entry["losses"]["auc"] > 0
    assert " lost, more than loss: 0" in entry["refused"], entry


@pytest.mark.slow
def test_preprocessing_that_a_format_cannot_hold_is_left_to_who_asks(export: Export, words: Path, hashed: Path) -> None:
    result = export({"onnx": {}, "whole": {"format": "onnx", "inputs": "raw"}}, model=words)
    found = entries(result)
    why = "its preprocessing looks words up in a vocabulary (the op LookupTableFindV2)"
    assert (found["onnx"]["inputs"], found["onnx"]["why_transformed"]) == ("transformed", why)
    assert found["onnx"]["passed"] is True
    assert found["whole"]["refused"] == f"cannot be converted: {why}"
    assert found["whole"]["p50_ms"] is found["whole"]["metrics"] is None
    contract = json.loads((result.folder / "export_blessing" / "exports" / "onnx" / "export.json").read_text())
    assert [each["feature"] for each in contract["features"]] == ["a_xf", "b_xf", "code_xf"]
    assert contract["why_not_raw"] == why
    assert "transform_features" in contract["made_by"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("litert", "LiteRT has no kernel for the ops StringLength, StringLower"),
        ("onnx", "ONNX has no op StringLength"),
        ("tfjs", "TensorFlow.js has no kernel for the ops StringLength, StringLower"),
    ],
)
def test_ops_that_a_format_lacks_are_named(export: Export, hashed: Path, kind: str, why: str) -> None:
    found = entries(export({kind: {"inputs": "raw"}}, model=hashed))
    assert found[kind]["refused"] == f"cannot be converted: {why}"


@pytest.mark.slow
def test_a_model_without_a_network_of_its_own_is_exported_whole_or_not_at_all(export: Export, tmp_path: Path) -> None:
    model = Numbers().save(tmp_path / "m", network=False)
    found = entries(export({"onnx": {}, "net": {"format": "onnx", "inputs": "transformed"}}, model=model))
    assert found["onnx"]["inputs"] == "raw"
    assert found["net"]["refused"].startswith("cannot be converted: the model has no function 'network'")


@pytest.mark.slow
def test_a_model_that_takes_examples_alone_is_refused(export: Export, tmp_path: Path) -> None:
    by_default(tmp_path)
    model = Numbers().save(tmp_path / "m", network=False, by_examples=True)
    result = export({"litert": {}}, model=model)
    assert result.exit_code == 65
    assert result.error.startswith("the model takes serialised tf.Examples alone, which no device makes: export it in")


@pytest.mark.slow
def test_what_takes_examples_alone_can_still_be_pruned_or_give_its_network(export: Export, tmp_path: Path) -> None:
    by_default(tmp_path)
    model = Numbers().save(tmp_path / "m", by_examples=True)
    found = entries(export({"onnx": {}, "pruned": {"format": "saved_model", "sparsity": 0.5}}, model=model))
    assert found["onnx"]["why_transformed"].startswith("the model's signature serving_default takes serialised tf.Exam")
    assert [each["passed"] for each in found.values()] == [True, True]


def test_of_a_model_that_is_not_blessed_nothing_is_made(export: Export) -> None:
    result = export({"litert": {}}, blessed=False)
    assert result.exit_code == 0
    assert json.loads((result.folder / "parameters" / "passed").read_text()) == []
    assert {entry.name for entry in (result.folder / "export_blessing").iterdir()} == {"NOT_BLESSED", "blessing.json"}
    assert "auc 0.5 &lt; 0.9" in (result.folder / "report").read_text()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "formats is empty: name what to export, such as formats: {litert: {}}"),
        ({"onx": {}}, "formats.onx: 'onx' is no format, did you mean 'onnx'?; say which: format: litert, onnx, tfjs"),
        ({"onnx": 3}, "formats.onnx: expected options such as {quantise: float16}, not 3"),
        ({"onnx": {"quantize": "int8"}}, "formats.onnx: no option 'quantize', did you mean 'quantise'?; there are"),
        ({"onnx": {"quantise": "int8"}}, "formats.onnx.quantise: 'int8'; there are for ONNX none, dynamic"),
        ({"a/b": {"format": "onnx"}}, "formats.a/b: the name becomes that of a folder; write letters, digits"),
        ({"onnx": {"sparsity": 50}}, "formats.onnx.sparsity: expected a share between 0 and 1, not 50"),
        ({"onnx": {"clusters": 1}}, "formats.onnx.clusters: expected a whole number from 2 to 256, not 1"),
        ({"saved_model": {}}, "formats.saved_model: the model itself is a SavedModel; say sparsity or clusters"),
        (
            {"tfjs": {"inputs": "row"}},
            "formats.tfjs.inputs: 'row', did you mean 'raw'?; there are auto, raw, transformed",
        ),
    ],
)
def test_formats_that_there_are_not(asked: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        formats.read(asked)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(
    ("bounds", "said"),
    [
        ({"lost": 1}, "bounds: 'lost', did you mean 'loss'?; there are loss, size_mb, p50_ms"),
        ({"loss": -1}, "bounds.loss: expected a number from 0, not -1"),
        ({"size_mb": "1"}, "bounds.size_mb: expected a number from 0, not '1'"),
    ],
)
def test_bounds_that_there_are_not(bounds: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError) as caught:
        check_bounds(bounds)
    assert str(caught.value) == said


@pytest.mark.slow
def test_int8_needs_rows(export: Export) -> None:
    result = export({"phone": {"format": "litert", "quantise": "int8"}}, representative_split="empty")
    assert result.exit_code == 65
    assert result.error == (
        "formats.phone: int8 takes its ranges from rows of the split 'empty', and there are none; name another one in "
        "export.representative_split"
    )


@pytest.mark.slow
def test_an_evaluation_over_beam_alone_is_refused(export: Export, tmp_path: Path) -> None:
    config = (tmp_path / "evaluation.pbtxt").read_text()
    (tmp_path / "evaluation.pbtxt").write_text(config.replace("label_key", 'example_weight_key: "a_xf" label_key'))
    result = export({"onnx": {}})
    assert result.exit_code == 65
    assert "asks for what is computed over Beam alone" in result.error


def test_javascripts_whole_numbers_wrap_around(tmp_path: Path, numbers: Path) -> None:
    """The codes lie beyond 32 bits: their lower halves are what TensorFlow.js computes with."""
    source = Source(numbers / "Format-Serving")
    cut = source.cut("raw")
    given = {"a": np.float32([0, 0]), "b": np.float32([0, 0]), "code": np.int64([LARGE, LARGE + 2**31 + 1])}
    tfjs.convert(cut, Format("t", "tfjs"), tmp_path, None)
    taken = tfjs.Runner(tmp_path, cut)(given)
    wrapped = source.answers({**given, "code": given["code"].astype(np.int32).astype(np.int64)})
    np.testing.assert_allclose(taken, wrapped, atol=1e-6)
    document = json.loads((tmp_path / "model.json").read_text())
    assert document["signature"]["inputs"]["code"]["dtype"] == "DT_INT32"
    assert "DT_INT64" not in json.dumps(document["modelTopology"])


@pytest.mark.parametrize(
    ("kind", "form"), [(litert, "litert"), pytest.param(onnx_format, "onnx", marks=pytest.mark.slow), (tfjs, "tfjs")]
)
def test_an_export_answers_as_the_model_for_any_number_of_rows(
    tmp_path: Path, numbers: Path, kind: Any, form: str
) -> None:
    source = Source(numbers / "Format-Serving")
    cut = source.cut("raw")
    kind.convert(cut, Format("x", form), tmp_path, None)
    runner = kind.Runner(tmp_path, cut)
    for count in (1, 5, 2):
        values = np.linspace(-1, 1, count, dtype=np.float32)
        given = {"a": values, "b": values[::-1] * 0.3, "code": np.arange(count)}
        np.testing.assert_allclose(runner(given), source.answers(given), atol=1e-6)


def test_a_file_that_does_not_run_is_refused_in_its_runtimes_words(tmp_path: Path, numbers: Path) -> None:
    cut = Source(numbers / "Format-Serving").cut("raw")
    (tmp_path / litert.FILE).write_bytes(b"no model")
    with pytest.raises(CannotConvert, match="the file does not run: The model is not a valid Flatbuffer"):
        answering(lambda: litert.Runner(tmp_path, cut))


@pytest.mark.slow
def test_answers_of_another_shape_are_no_answers() -> None:
    from components.export import gates  # TensorFlow Model Analysis takes seconds to import

    def model(examples: tf.Tensor) -> tuple[Any, Any, dict[str, Any]]:
        return np.zeros((2, 1)), np.zeros((2, 3)), {}

    asked = gates._Asked(model, lambda rows: np.zeros((len(rows), 2)))  # type: ignore[arg-type]
    with pytest.raises(
        CannotConvert, match=r"the file answers another shape than the model: \[2, 2\] in place of \[2, 3\]"
    ):
        asked(tf.constant([b"a", b"b"]))


def test_adding_whole_numbers_as_keras_does_is_no_obstacle(tmp_path: Path) -> None:
    class Added(Numbers):
        def prepare(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            pair = tf.nn.bias_add(tf.stack([raw["code"], raw["code"]], 1), tf.constant([2, 4], tf.int64))
            return {**super().prepare(raw), "code_xf": pair[:, 0]}

    source = Source(Added().save(tmp_path / "m") / "Format-Serving")
    cut = source.cut("raw")
    litert.convert(cut, Format("x", "litert"), tmp_path, None)
    given = {"a": np.float32([0.1]), "b": np.float32([0.2]), "code": np.int64([3])}
    np.testing.assert_allclose(litert.Runner(tmp_path, cut)(given), source.answers(given), atol=1e-6)
