"""--only: whose artifacts it goes on from. (kfp needs real annotations here.)"""

import json
import textwrap
from pathlib import Path
from typing import Any

import pytest
from kfp import compiler, dsl

from components.runtime.errors import InputError
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Pipeline
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.settings.model import load
from runners.settings.parameters import PARAMETERS
from tests.runners.history.pipeline_roots import RootWriter
from tests.runners.local.test_exit_handler import Silent, run

WHOLE, ONLY, EARLY = "taxi-20261101-000000-aaaa", "taxi-20261102-000000-bbbb", "taxi-20261103-000000-cccc"


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return read(documents(compile_pipeline(load("taxi")))[0])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole run, then evaluate once more on its artifacts, then a run that stopped early."""
    root = tmp_path_factory.mktemp("selection")
    writer = RootWriter(root)
    outputs = {"ingest": "examples", "schema": "schema", "train": "model", "resolve": "baseline_model"}
    for task, output in (outputs | {"statistics": "statistics"}).items():
        writer.execution(WHOLE, task, outputs={output: {}})
    writer.execution(WHOLE, "evaluate", outputs={"blessing": {"blessed": False}})
    writer.run(WHOLE, parameters={"data": "/earlier", "train_steps": 7, "serving_directory": "/served"})
    writer.execution(ONLY, "evaluate", outputs={"blessing": {"blessed": True}}, parameters={"new": True})
    writer.run(ONLY, offset=100, selection={"until": "", "only": ["evaluate"], "earlier": WHOLE})
    writer.reuse(EARLY, WHOLE, "ingest")
    writer.run(EARLY, offset=200, selection={"until": "ingest", "only": [], "earlier": ""})
    return root


def local_run(
    root: Path, pipeline: Pipeline, *only: str, earlier: str = "", given: dict[str, str] | None = None, **values: Any
) -> LocalRun:
    selection = Selection(only=only, earlier=earlier)
    return LocalRun(root, pipeline, "", values, Silent(), selection, given=given or {})


@pytest.mark.parametrize("earlier", ["", "latest", "taxi"])
def test_the_newest_run_that_has_the_artifacts_is_taken_and_named(root: Path, pipeline: Pipeline, earlier: str) -> None:
    assert local_run(root, pipeline, "ingest", earlier=earlier).record["selection"]["earlier"] == EARLY
    assert local_run(root, pipeline, "evaluate", earlier=earlier).record["selection"]["earlier"] == ONLY
    assert local_run(root, pipeline, "statistics", earlier=earlier).record["selection"]["earlier"] == EARLY


def test_what_a_part_of_a_run_made_goes_before_what_it_went_on_from(root: Path, pipeline: Pipeline) -> None:
    """Push after evaluate: the model of the whole run, with the blessing of the later one."""
    push = local_run(root, pipeline, "push")
    assert push.record["selection"] == {"until": "", "only": ["push"], "earlier": ONLY}
    assert push._resolver.executions["train"]["run"] == WHOLE
    assert push._resolver.executions["evaluate"]["outputs"]["blessing"]["metadata"]["blessed"] is True


def test_a_run_that_was_named_is_taken_or_refused(root: Path, pipeline: Pipeline) -> None:
    push = local_run(root, pipeline, "push", earlier=WHOLE[:15])
    assert push._resolver.executions["evaluate"]["outputs"]["blessing"]["metadata"]["blessed"] is False
    with pytest.raises(InputError) as error:
        local_run(root, pipeline, "evaluate", earlier=EARLY)
    assert str(error.value) == (
        f"the run {EARLY} has no artifacts of schema, train, resolve; without --from the newest that has is taken"
    )


def test_where_no_run_has_them_it_is_said_what_they_are(root: Path, pipeline: Pipeline) -> None:
    with pytest.raises(InputError, match="--only train needs the artifacts of schema, transform, and no run of taxi "):
        local_run(root, pipeline, "train")


def test_the_help_knows_the_parameters(pipeline: Pipeline) -> None:
    assert sorted(PARAMETERS) == sorted(pipeline.parameters)


def test_the_record_tells_what_was_selected(root: Path) -> None:
    record = json.loads((root / "runs" / ONLY / "run.json").read_text())
    assert record["selection"]["earlier"] == WHOLE


def test_the_record_has_the_parameters_that_the_results_came_of(root: Path, pipeline: Pipeline) -> None:
    """Evaluate reads none of them: they are those of the run that ingested and trained. Push reads one."""
    now = {"data": "/other", "train_steps": 9, "serving_directory": "/mine"}
    earlier = {"data": "/earlier", "train_steps": 7}
    made = local_run(root, pipeline, "evaluate", earlier=WHOLE, **now)
    assert made.record["parameters"] == earlier | {"serving_directory": "/served"}
    made = local_run(root, pipeline, "push", earlier=WHOLE, **now)
    assert made.record["parameters"] == earlier | {"serving_directory": "/mine"}


def test_a_parameter_that_would_have_no_effect_is_refused(root: Path, pipeline: Pipeline) -> None:
    values = {"data": "/other", "train_steps": 7, "serving_directory": "/mine"}
    with pytest.raises(InputError) as error:
        local_run(root, pipeline, "push", earlier=WHOLE, given={"data": "--data "}, **values)
    assert str(error.value) == (
        f"--data /other: ingest alone would read it, which --only takes from the run {WHOLE}, where it was /earlier; "
        "leave it out, or run the whole pipeline"
    )
    # The same as then, or for a task that is run.
    given = {"train_steps": "--param train_steps=", "serving_directory": "--param serving_directory="}
    local_run(root, pipeline, "push", earlier=WHOLE, given=given, **values)


@dsl.container_component
def judge(mode: str, verdict: dsl.Output[dsl.Artifact]):  # type: ignore[no-untyped-def]
    """Runs where ingest does: writes a verdict."""
    program = "import pathlib, sys; pathlib.Path(sys.argv[2]).write_text(sys.argv[1])"
    return dsl.ContainerSpec(image="millrace/ingest", command=["python", "-c", program], args=[mode, verdict.path])


@dsl.container_component
def obey(verdict: dsl.Input[dsl.Artifact]):  # type: ignore[no-untyped-def]
    """Refuses what was judged so."""
    program = """
        import pathlib, sys
        if pathlib.Path(sys.argv[1]).read_text() == "stop":
            sys.exit(print("error: it was judged bad", flush=True) or 65)
    """
    return dsl.ContainerSpec(
        image="millrace/ingest", command=["python", "-c", textwrap.dedent(program)], args=[verdict.path]
    )


def _judging(folder: Path, mode: str) -> str:
    @dsl.pipeline(name="small")
    def graph() -> None:
        obey(verdict=judge(mode=mode).outputs["verdict"])

    compiler.Compiler().compile(graph, str(folder / "p.yaml"))
    return (folder / "p.yaml").read_text()


def test_a_refusal_that_goes_by_settings_of_an_earlier_run_says_so(tmp_path: Path) -> None:
    code, whole = run(tmp_path / "root", _judging(tmp_path, "stop"))
    assert (code, whole["error"]) == (65, "obey: it was judged bad")
    code, same = run(tmp_path / "root", _judging(tmp_path, "stop"), Selection(only=("obey",)))
    assert (code, same["error"]) == (65, "obey: it was judged bad")
    lenient = _judging(tmp_path, "warn")
    code, changed = run(tmp_path / "root", lenient, Selection(only=("obey",)))
    assert (code, changed["error"]) == (
        65,
        f"obey: it was judged bad (judge is not run again: its result is of the run {whole['id']}, since which its "
        "mode changed; --only judge --only obey goes by what the settings say now)",
    )
    assert run(tmp_path / "root", lenient, Selection(only=("judge", "obey")))[0] == 0


def test_whose_fault_it_is_that_transform_refuses_its_data(tmp_path: Path, pipeline: Pipeline) -> None:
    writer = RootWriter(tmp_path)
    for task, output in {"ingest": "examples", "schema": "schema", "statistics": "statistics"}.items():
        writer.execution(WHOLE, task, outputs={output: {}})
    bad = {"valid": False, "anomalies": 1, "errors": 1, "summary": "fare: dropped"}
    writer.execution(WHOLE, "validate", outputs={"anomalies": bad}, parameters={"on_anomalies": "stop"})
    writer.run(WHOLE)
    assert "fare: dropped" in local_run(tmp_path, pipeline, "transform").invalid_data()
    assert local_run(tmp_path, pipeline, "schema").invalid_data() == ""
