"""`infer`: what it refuses before anything is begun. (Whole runs of it are in tests/e2e.)"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from components.runtime.publish.serving import LABELS
from runners.compiled.ir import documents, read
from runners.compiled.pipelines import compile_pipeline
from runners.compiled.tasks import Constant, Output
from runners.settings import purposes
from runners.settings.model import load
from tests.runners.cluster_support import call
from tests.runners.commands.test_compile import GOLDENS
from tests.runners.compiled_models import digest, model
from tests.runners.versions.served_root import ServedRoot, served_root


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> ServedRoot:
    """Versions 1 to 3; the third is stable."""
    found = served_root(tmp_path_factory.mktemp("served"))
    (found.serving / LABELS).write_text('{"stable": 3, "gone": 9}')
    return found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--version", 7], "taxi: there is no version 7; there are 1, 2, 3"),
        (
            ["--label", "stabel"],
            "taxi: no version has the label 'stabel', did you mean 'stable'?; labels are gone, stable",
        ),
        (["--label", ""], "--label is empty; name the label of a version, or leave it out for the one in service"),
        (["--out", "p.json"], "--out p.json: .json is none of the formats of predictions; name a file that ends in"),
        (["--label", "gone"], "taxi: there is no version 9, which 'gone' names; there are 1, 2, 3"),
        (["--version", 1, "--label", "stable"], "--version and --label exclude each other; give one of them"),
        (["--format", "csv"], "out.parquet: the name is that of parquet, and the format is csv; "),
        (
            ["--out", "/proc/out.csv"],
            "--out /proc/out.csv: /proc cannot be written to (No such file or directory); name another place",
        ),
        (["--data", "no/such.csv"], "--data no/such.csv: there is no such file or folder; name the one with your data"),
        (["--data", "s3://me:secret@bucket/data"], "--data"),
        (["--columns", "a,nope"], "--columns: rows.csv has no column 'nope'; it has: a"),
        (["--candidate", "deep"], "--candidate deep: no such candidate is pushed"),
    ],
    ids=lambda value: " ".join(map(str, value)) if isinstance(value, list) else "",
)
def test_what_is_refused_begins_no_run(
    served: ServedRoot, tmp_path: Path, arguments: list[Any], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").write_text("a\n1\n")
    given = ["--data", "rows.csv", "--out", "out.parquet", *arguments]
    before = sorted((served.root / "runs").iterdir())
    found = call("--root", served.root, "infer", "taxi", *given)
    assert found.exit_code == 65, found.out + found.err
    assert said in found.error
    assert "secret" not in found.out + found.err
    assert sorted((served.root / "runs").iterdir()) == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["rows.csv"]


def test_a_model_that_was_never_pushed(tmp_path: Path) -> None:
    found = call("--root", tmp_path / "root", "infer", "taxi", "--data", tmp_path, "--out", tmp_path / "out")
    assert found.exit_code == 65
    assert "nothing was pushed here yet; `millrace run` pushes what is blessed" in found.error


def test_its_pipeline_is_as_the_golden_says() -> None:
    text = compile_pipeline(purposes.for_inference(load("taxi")), digest)
    golden = GOLDENS / "taxi-infer.kfp.yaml"
    if os.environ.get("MILLRACE_REGENERATE"):
        golden.write_text(text)
    assert documents(text) == documents(golden.read_text())


SETTINGS = """
ingest: {delimiter: ";", leave_out_without: [label], split_patterns: {train: "t*", eval: "e*"}}
schema: {schema_file: schema.pbtxt}
validate: {on_anomalies: warn, previous_statistics: earlier}
bulk_infer: {columns: [id], beam_options: ["--runner=FlinkRunner"], output_format: csv}
cluster: {fuse: [[statistics, schema]]}
"""


def test_its_pipeline_takes_of_the_settings_how_files_are_read(tmp_path: Path) -> None:
    settings = model(tmp_path / "trips", SETTINGS)
    pipeline = read(documents(compile_pipeline(purposes.for_inference(settings), digest))[0])
    assert (pipeline.name, settings.pipeline_name) == ("trips-infer", "trips")
    assert list(pipeline.tasks) == ["pull", "ingest", "statistics", "validate", "bulk-infer"]
    given = {name: task.parameters | task.artifacts for name, task in pipeline.tasks.items()}
    assert given["ingest"]["delimiter"] == Constant(";")
    assert given["ingest"]["splits"] == Constant({"all": 1})
    assert (given["ingest"]["leave_out_without"], given["ingest"]["split_patterns"]) == (Constant([]), Constant({}))
    assert given["ingest"]["schema"] == given["validate"]["schema"] == Output("pull", "schema")
    assert given["validate"]["previous_statistics"] == Constant("")
    assert given["bulk-infer"]["beam_options"] == Constant(["--runner=FlinkRunner"])
    assert given["bulk-infer"]["model"] == Output("pull", "pulled_model")
    assert given["pull"]["schema_file"] == Constant(str(tmp_path / "trips" / "schema.pbtxt"))
    defaults = {name: each.get("defaultValue") for name, each in pipeline.parameters.items()}
    assert (defaults["columns"], defaults["output_format"], defaults["on_anomalies"]) == (["id"], "csv", "warn")
    assert not pipeline.tasks["pull"].cacheable


def test_images_need_no_labels() -> None:
    pipeline = read(documents(compile_pipeline(purposes.for_inference(load("pets")), digest))[0])
    assert pipeline.tasks["ingest"].parameters["images"] == Constant({"layout": "plain"})


def test_compile_writes_what_clusters_run(tmp_path: Path) -> None:
    found = call("compile", "taxi", "--infer", "--output", tmp_path, "--json")
    assert found.exit_code == 0, found.err
    assert found.document["pipeline"] == "taxi-infer"
    names = [Path(file).name for file in found.document["files"]]
    assert names == ["taxi-infer.kfp.yaml", "taxi-infer.argo.yaml"]
    workflow = (tmp_path / "taxi-infer.argo.yaml").read_text()
    assert json.dumps("taxi-infer")[1:-1] in workflow
    assert "components.runtime.launch" in workflow
