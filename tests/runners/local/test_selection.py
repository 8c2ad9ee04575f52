"""--only: whose artifacts it goes on from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Pipeline
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.settings.model import load
from runners.settings.parameters import PARAMETERS
from tests.runners.history.pipeline_roots import RootWriter
from tests.runners.local.test_exit_handler import Silent

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
    for task, output in outputs.items():
        writer.execution(WHOLE, task, outputs={output: {}})
    writer.execution(WHOLE, "evaluate", outputs={"blessing": {"blessed": False}})
    writer.run(WHOLE)
    writer.execution(ONLY, "evaluate", outputs={"blessing": {"blessed": True}}, parameters={"new": True})
    writer.run(ONLY, offset=100, selection={"until": "", "only": ["evaluate"], "earlier": WHOLE})
    writer.reuse(EARLY, WHOLE, "ingest")
    writer.run(EARLY, offset=200, selection={"until": "ingest", "only": [], "earlier": ""})
    return root


def local_run(root: Path, pipeline: Pipeline, *only: str, earlier: str = "") -> LocalRun:
    return LocalRun(root, pipeline, "", {}, Silent(), Selection(only=only, earlier=earlier))


@pytest.mark.parametrize("earlier", ["", "latest"])
def test_the_newest_run_that_has_the_artifacts_is_taken_and_named(root: Path, pipeline: Pipeline, earlier: str) -> None:
    assert local_run(root, pipeline, "ingest", earlier=earlier).record["selection"]["earlier"] == EARLY
    assert local_run(root, pipeline, "evaluate", earlier=earlier).record["selection"]["earlier"] == ONLY
    assert local_run(root, pipeline, "statistics", earlier=earlier).record["selection"]["earlier"] == EARLY


def test_what_a_part_of_a_run_made_goes_before_what_it_went_on_from(root: Path, pipeline: Pipeline) -> None:
    """Push after evaluate: the model of the whole run, with the blessing of the later one."""
    push = local_run(root, pipeline, "push")
    assert push.record["selection"] == {"until": "", "only": ["push"], "earlier": ONLY}
    assert push._executions["train"]["run"] == WHOLE
    assert push._executions["evaluate"]["outputs"]["blessing"]["metadata"]["blessed"] is True


def test_a_run_that_was_named_is_taken_or_refused(root: Path, pipeline: Pipeline) -> None:
    push = local_run(root, pipeline, "push", earlier=WHOLE[:15])
    assert push._executions["evaluate"]["outputs"]["blessing"]["metadata"]["blessed"] is False
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
