"""The executor: how a stage's function is called and what it leaves behind."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError, TransientError, classify
from components.runtime.stage.artifacts import (
    InputArtifact,
    OutputArtifact,
    content_bytes,
    content_digest,
    content_files,
)
from components.runtime.stage.executor import Execution, convert, failed
from tests.support import executor_input, run_stage


def count_words(
    source: InputArtifact, words: OutputArtifact, least: int, tags: list[str], loud: bool = False
) -> dict[str, Any]:
    text = source.path.read_text()
    words.path.write_text(text.upper() if loud else text)
    words.metadata["words"] = len(text.split())
    if "fail" in tags:
        raise InputError("told to fail")
    return {"enough": len(text.split()) >= least}


def _execution(folder: Path, **parameters: Any) -> Execution:
    source = folder / "source.txt"
    source.write_text("two words")
    return Execution.parse(
        "test",
        executor_input(
            folder / "out",
            parameters=parameters,
            inputs={"source": source},
            outputs=["words"],
            output_parameters=["enough"],
        ),
    )


def test_outputs_parameters_and_metadata_are_written(tmp_path: Path) -> None:
    _execution(tmp_path, least=2.0, tags='["a"]', loud=True).run(count_words)
    assert (tmp_path / "out" / "words").read_text() == "TWO WORDS"
    assert (tmp_path / "out" / "parameters" / "enough").read_text() == "true"
    output = json.loads((tmp_path / "out" / "executor_output.json").read_text())
    assert output["parameterValues"] == {"enough": True}
    metadata = output["artifacts"]["words"]["artifacts"][0]["metadata"]
    assert metadata["words"] == 2
    assert metadata["bytes"] == 9
    assert metadata["digest"].startswith("sha256:")
    assert metadata["producer"].startswith("millrace/test ")


def compare(source: InputArtifact, other: InputArtifact | None, words: OutputArtifact) -> None:
    words.path.write_text("none" if other is None else other.path.read_text())


@pytest.mark.parametrize("given", [{}, {"artifacts": []}], ids=["absent", "empty"])
def test_an_optional_artifact_that_is_not_given_is_none(tmp_path: Path, given: dict[str, Any]) -> None:
    source = tmp_path / "source.txt"
    source.write_text("text")
    call = executor_input(tmp_path / "out", inputs={"source": source}, outputs=["words"])
    # KFP names an optional input that has no artifact, or does not.
    call["inputs"]["artifacts"] |= {"other": given} if given else {}
    Execution.parse("test", call).run(compare)
    assert (tmp_path / "out" / "words").read_text() == "none"


def test_an_optional_artifact_that_is_given_is_passed_on_and_others_stay_required(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("more")
    given = {"source": tmp_path / "other.txt", "other": tmp_path / "other.txt"}
    call = executor_input(tmp_path / "out", inputs=given, outputs=["words"])
    Execution.parse("test", call).run(compare)
    assert (tmp_path / "out" / "words").read_text() == "more"
    del call["inputs"]["artifacts"]["source"]
    with pytest.raises(InputError, match="test: the input artifact 'source' is missing"):
        Execution.parse("test", call).run(compare)


def test_a_failing_stage_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="told to fail"):
        _execution(tmp_path, least=1, tags=["fail"]).run(count_words)
    assert list((tmp_path / "out").iterdir()) == []


def test_an_earlier_attempts_output_is_replaced(tmp_path: Path) -> None:
    _execution(tmp_path, least=1, tags=[], loud=True).run(count_words)
    _execution(tmp_path, least=1, tags=[]).run(count_words)
    assert (tmp_path / "out" / "words").read_text() == "two words"


def test_missing_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="parameter 'least' is missing"):
        _execution(tmp_path, tags=[]).run(count_words)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (500.0, int, 500),
        ("7", int, 7),
        ("true", bool, True),
        (False, bool, False),
        ('{"a": 1}', dict, {"a": 1}),
        ([1], list, [1]),
        (2, float, 2.0),
        ("x", str, "x"),
    ],
)
def test_values_are_converted(value: Any, kind: type, expected: Any) -> None:
    assert convert("p", value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind"), [(1.5, int), ("many", int), ("yes", bool), ("[1", list), ("[1]", dict), (None, float)]
)
def test_values_of_another_type_are_named(value: Any, kind: type) -> None:
    with pytest.raises(InputError, match=r"parameter 'p' is .* expected a value of type"):
        convert("p", value, kind)


def test_what_is_not_an_executor_input_is_refused() -> None:
    with pytest.raises(InputError, match="not KFP's executor input"):
        Execution.parse("test", {"inputs": {}})


def test_errors_are_found_behind_what_frameworks_wrap_around_them() -> None:
    wrapped = RuntimeError("wrapped")
    wrapped.__cause__ = InputError("data.csv:3: bad")
    assert str(classify(wrapped)) == "data.csv:3: bad"
    as_text = RuntimeError("Traceback ...\ncomponents.runtime.errors.InputError: x.gz: broken [while running 'Read']")
    found = classify(as_text)
    assert isinstance(found, InputError)
    assert str(found) == "x.gz: broken"
    # As Beam raises it anew in this process.
    found = classify(TransientError("x.gz: broken [while running 'Read']"))
    assert isinstance(found, TransientError)
    assert str(found) == "x.gz: broken"
    assert isinstance(classify(OSError(errno.ENOSPC, "No space left on device")), TransientError)
    assert isinstance(classify(RuntimeError("INTERNAL: write failed; No space left on device")), TransientError)
    assert classify(ValueError("ours")) is None


# As Beam's workers hand on what was raised in them.
TRACE = """Error received from SDK harness: Traceback (most recent call last):
  File "a.py", line 5, in deep
    raise KeyError("cell")
KeyError: 'cell'

During handling of the above exception, another exception occurred:

Traceback (most recent call last):
  File "a.py", line 5, in deep
    ^^^^
ValueError: of two
lines [while running 'Decode[train]']

"""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (RuntimeError(TRACE), "ValueError: of two lines [while running 'Decode[train]']"),
        (KeyError("cell"), "KeyError: 'cell'"),
        (RuntimeError("of\n  two lines"), "RuntimeError: of two lines"),
        (RuntimeError("x" * 2000), f"RuntimeError: {'x' * 486}…"),
        (
            RuntimeError("Traceback (most recent call last):\n  File"),
            "RuntimeError: Traceback (most recent call last): File",
        ),
    ],
)
def test_a_bug_is_told_in_a_short_line_and_its_traces_before(
    capsys: pytest.CaptureFixture[str], error: Exception, line: str
) -> None:
    assert failed("statistics", error, on_kubeflow=False) == 1
    printed = capsys.readouterr().err
    assert str(error).strip() in printed
    assert printed.splitlines()[-1] == f"error: statistics: {line}"


def test_exit_code_and_one_line_of_a_process(tmp_path: Path) -> None:
    parameters = {"data": str(tmp_path / "absent"), "format": "csv", "splits": {"train": 1}, "split_patterns": {}}
    result = run_stage("ingest", tmp_path / "out", parameters=parameters, outputs=["examples", "sample"])
    assert result.exit_code == 65
    assert str(tmp_path / "absent") in result.error
    assert "Traceback" not in result.stderr
    assert list((tmp_path / "out").iterdir()) == []


def measure(metrics: OutputArtifact, model: OutputArtifact) -> None:
    metrics.metadata["auc"] = 0.9
    model.directory()
    model.metadata["reason"] = "nothing was pushed yet"


def test_metrics_carry_metrics_only(tmp_path: Path) -> None:
    execution = Execution.parse("test", executor_input(tmp_path / "out", outputs=["metrics", "model"]))
    execution.run(measure)
    output = json.loads((tmp_path / "out" / "executor_output.json").read_text())
    assert output["artifacts"]["metrics"]["artifacts"][0]["metadata"] == {"auc": 0.9}
    assert (tmp_path / "out" / "metrics").exists()


def test_an_artifact_that_is_left_empty_says_so_and_is_empty_all_the_same(tmp_path: Path) -> None:
    execution = Execution.parse("test", executor_input(tmp_path / "out", outputs=["metrics", "model"]))
    execution.run(measure)
    model = tmp_path / "out" / "model"
    [note] = model.iterdir()
    assert note.read_text() == 'test left nothing in model.\nreason: "nothing was pushed yet"\n'
    assert InputArtifact("model", str(model), {}).is_empty
    (tmp_path / "nothing").mkdir()
    assert (
        execution.outputs["model"].metadata["digest"] == content_digest(model) == content_digest(tmp_path / "nothing")
    )
    assert execution.outputs["model"].metadata["bytes"] == content_bytes(model) == 0
    (model / "more").touch()
    assert not InputArtifact("model", str(model), {}).is_empty
    assert len(content_files(model)) == 2, "beside something else it is a file as any other"


def test_metrics_may_have_no_place_for_content(tmp_path: Path) -> None:
    call = executor_input(tmp_path / "out", outputs=["metrics", "model"])
    del call["outputs"]["artifacts"]["metrics"]["artifacts"][0]["uri"]
    Execution.parse("test", call).run(measure)
    output = json.loads((tmp_path / "out" / "executor_output.json").read_text())
    assert output["artifacts"]["metrics"]["artifacts"][0]["metadata"] == {"auc": 0.9}
    assert not (tmp_path / "out" / "metrics").exists()


def show(source: InputArtifact, words: OutputArtifact) -> None:
    words.path.write_text(json.dumps(source.metadata))


def test_metrics_that_come_one_by_one_are_one_artifact(tmp_path: Path) -> None:
    call = executor_input(tmp_path / "out", outputs=["words"])
    metrics = [{"name": name, "metadata": {name: value}} for name, value in (("auc", 0.9), ("loss", 0.1))]
    call["inputs"]["artifacts"]["source"] = {"artifacts": metrics}
    Execution.parse("test", call).run(show)
    assert json.loads((tmp_path / "out" / "words").read_text()) == {"auc": 0.9, "loss": 0.1}
