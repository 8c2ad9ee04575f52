"""Reading compiled pipelines, checked on ones that kfp's own compiler made. (kfp needs real annotations here.)"""

from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from components.runtime.errors import InputError
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Constant, Output, Parameter, Pipeline, task_parameters
from runners.settings.model import load


def _read(function: Any, folder: Path) -> Pipeline:
    compiler.Compiler().compile(function, str(folder / "p.yaml"))
    return read(documents((folder / "p.yaml").read_text())[0])


@dsl.container_component
def number(low: int, value: dsl.OutputPath(int), mark: str = "x"):  # type: ignore[valid-type, no-untyped-def]
    return dsl.ContainerSpec(image="registry/millrace/number:v1@sha256:0", command=["python"], args=[low, value, mark])


@pytest.mark.parametrize("model", ["taxi", "digits", "pets"])
def test_the_pipeline_is_read_whole(model: str) -> None:
    pipeline = read(documents(compile_pipeline(load(model)))[0])
    tasks = pipeline.tasks
    assert set(tasks) == {
        *("ingest", "statistics", "schema", "validate", "transform", "transformed-statistics"),
        *("train", "resolve", "evaluate", "push"),
    }
    assert tasks["transformed-statistics"].stage == "statistics"
    assert tasks["train"].parameters["train_steps"] == Parameter("train_steps")
    assert tasks["train"].artifacts["transform_graph"] == Output("transform", "transform_graph")
    assert tasks["transform"].artifacts["anomalies"] == Output("validate", "anomalies")
    assert tasks["push"].artifacts["blessing"] == Output("evaluate", "blessing")
    assert not any(task.conditions for task in tasks.values()), "the dashboard's first page shows all of it"
    assert not tasks["push"].cacheable
    assert not tasks["resolve"].cacheable
    assert tasks["train"].cacheable
    assert pipeline.ancestors("transform") == {"ingest", "statistics", "schema", "validate"}
    assert "statistics" not in pipeline.ancestors("statistics")


def test_compiling_is_deterministic() -> None:
    assert compile_pipeline(load("taxi")) == compile_pipeline(load("taxi"))


def test_conditions_are_evaluated_as_kfp_means_them(tmp_path: Path) -> None:
    @dsl.pipeline(name="p")
    def graph(limit: int = 3) -> None:
        first = number(low=1)
        with dsl.If(first.outputs["value"] > limit, name="big"):
            number(low=2).set_display_name("inside")
        with dsl.Elif(first.outputs["value"] == 0, name="zero"):
            number(low=3).set_display_name("none")
        with dsl.Else(name="other"):
            number(low=4).set_display_name("outside")

    tasks = _read(graph, tmp_path).tasks

    def holds(name: str, value: int) -> bool:
        values = {"pipelinechannel--limit": 3, "pipelinechannel--number-value": value}
        return all(condition.holds(values) for condition in tasks[name].conditions)

    assert [holds("inside", 5), holds("none", 5), holds("outside", 5)] == [True, False, False]
    assert [holds("inside", 0), holds("none", 0), holds("outside", 0)] == [False, True, False]
    assert [holds("inside", 2), holds("none", 2), holds("outside", 2)] == [False, False, True]
    assert tasks["inside"].conditions[0].values["pipelinechannel--number-value"] == Output("number", "value")


def test_values_reach_through_nested_groups(tmp_path: Path) -> None:
    @dsl.pipeline(name="p")
    def graph(limit: int = 3, mark: str = "m") -> None:
        first = number(low=limit)
        with dsl.If(first.outputs["value"] > 1, name="outer"), dsl.If(first.outputs["value"] > 2, name="inner"):
            number(low=first.outputs["value"], mark=mark).set_display_name("deep")

    pipeline = _read(graph, tmp_path)
    deep = pipeline.tasks["deep"]
    assert deep.parameters == {"low": Output("number", "value"), "mark": Parameter("mark")}
    assert [condition.name for condition in deep.conditions] == ["outer", "inner"]
    assert deep.after == {"number"}
    assert deep.stage == "number"
    assert task_parameters(deep, {"low": 4.0}) == {"low": 4, "mark": "x"}


def test_parameters_have_defaults_and_unknown_ones_are_refused(tmp_path: Path) -> None:
    @dsl.pipeline(name="p")
    def graph(limit: int, mark: str = "m") -> None:
        number(low=limit, mark=mark)
        number(low=5).set_display_name("constant")

    pipeline = _read(graph, tmp_path)
    assert pipeline.values({"limit": 2}) == {"limit": 2, "mark": "m"}
    assert pipeline.tasks["constant"].parameters["low"] == Constant(5.0)
    with pytest.raises(InputError, match="parameter 'limit' is missing"):
        pipeline.values({})
    with pytest.raises(InputError, match="no parameter 'limits'; the parameters are: limit, mark"):
        pipeline.values({"limits": 1})


def test_a_stage_is_named_by_its_command_whatever_its_image_is_called() -> None:
    ir, platform = documents(compile_pipeline(load("taxi"), lambda name, _: f"registry:5000/{name}-gpu@sha256:0"))
    assert platform["platforms"]
    tasks = read(ir).tasks
    assert tasks["train"].container["image"] == "registry:5000/millrace/train-gpu@sha256:0"
    assert tasks["train"].stage == "train"
    assert tasks["transformed-statistics"].stage == "statistics"


@pytest.mark.parametrize("text", ["a: [", "- a", "a: 1\n---\nb: 1\n---\nc: 1\n", ""])
def test_other_files_are_no_compiled_pipelines(text: str) -> None:
    with pytest.raises(InputError, match="not a compiled pipeline"):
        documents(text)


def test_what_only_the_kfp_backend_runs_is_refused(tmp_path: Path) -> None:
    @dsl.pipeline(name="p")
    def graph() -> None:
        with dsl.ParallelFor([1, 2]) as low:
            number(low=low)

    with pytest.raises(InputError, match="loops run on the KFP backend only"):
        _read(graph, tmp_path)
    with pytest.raises(InputError, match="not a compiled pipeline"):
        read({"kind": "Workflow"})
