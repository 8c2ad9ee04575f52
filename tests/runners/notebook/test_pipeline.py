"""A pipeline from Python: its runs are those of the command, and what they made is at hand."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from components.runtime.errors import InputError, StageError
from millrace import Pipeline
from runners.history import records
from runners.notebook.cell import RunFailed, Stopped
from runners.notebook.stages import Run
from runners.settings.folders import MODELS
from tests.runners.history.rivals_root import RivalsRoot
from tests.runners.notebook.notebook_support import trips
from tests.support import MILLRACE


@pytest.fixture(scope="module")
def p(tmp_path_factory: pytest.TempPathFactory) -> Pipeline:
    """Of a copy of taxi, whose trips have been ingested."""
    folder = tmp_path_factory.mktemp("notebook")
    shutil.copytree(MODELS / "taxi", folder / "rides")
    made = Pipeline(folder / "rides", data=trips(folder / "trips"), root=folder / "root")
    made.run("ingest")
    return made


def test_a_run_is_one_of_the_commands(p: Pipeline) -> None:
    listed = records.list_runs(p.root)[-1]
    assert (listed.pipeline, listed.state, listed.part) == ("rides", "done", "until ingest")
    told = subprocess.run([MILLRACE, "--root", str(p.root), "runs"], capture_output=True, text=True, check=True)
    assert listed.id in told.stdout
    assert (listed.folder / "report.html").is_file()
    again = p.run("ingest")
    assert again["ingest"].state == "cached"
    assert again["ingest"].artifacts.keys() == {"examples", "sample"}
    assert p.latest.id == again.id
    assert "not run yet" in p._repr_html_()
    assert again.id in p._repr_html_()


def test_stages_are_those_of_the_compiled_pipeline(p: Pipeline) -> None:
    before = p.stages
    assert before == p._ipython_key_completions_() == list(p)
    assert "transformed-statistics" in before
    settings = p.folder / "settings.yaml"
    text = settings.read_text()
    settings.write_text(text.replace("# tune: {", "tune: {"))
    try:
        assert set(p.stages) - set(before) == {"tune"}
    finally:
        settings.write_text(text)


def test_rows_are_those_of_the_file(p: Pipeline) -> None:
    raw = pd.read_csv(p.raw_data() + "/trips.csv")
    assert p["ingest"]["examples"].splits == ["train", "eval"]
    parts = [p["ingest"].examples(split).to_pandas() for split in ("train", "eval")]
    assert [len(part) for part in parts] == [p["ingest"].examples(split).count for split in ("train", "eval")]
    rows = pd.concat(parts, ignore_index=True)
    order = [
        "trip_start_timestamp",
        "fare",
        "trip_miles",
        "trip_seconds",
        "pickup_latitude",
        "dropoff_latitude",
        "tips",
    ]
    one, other = (frame.sort_values(order).reset_index(drop=True) for frame in (rows, raw))
    for name in ("fare", "tips", "trip_start_timestamp", "pickup_latitude"):
        assert one[name].astype(float).to_numpy() == pytest.approx(other[name].astype(float).to_numpy(), nan_ok=True)
    assert one["payment_type"].tolist() == other["payment_type"].tolist()
    # As it was written, not as a float32 is printed.
    assert set(rows["fare"]) <= set(raw["fare"])
    # (The type of a column is that of the values that are looked at.)
    head = p["ingest"].examples().head(3)
    assert head["fare"].tolist() == parts[0]["fare"].head(3).tolist()
    assert list(head) == list(parts[0])


def test_artifacts_have_uri_metadata_and_lineage(p: Pipeline) -> None:
    examples = p["ingest"]["examples"]
    assert examples.path.is_dir()
    assert examples.uri == str(examples.path)
    assert examples.metadata["rows"] == 400
    up = repr(examples.lineage("up"))
    assert "trips" in up
    assert " used by" not in up
    assert "used by" in repr(examples.lineage())
    assert examples.uri in examples._repr_html_()


REFUSED: list[tuple[Callable[[Pipeline], object], str]] = [
    (lambda p: p["ingst"], "no stage 'ingst', did you mean 'ingest'?; the stages are: ingest, statistics"),
    (lambda p: p["train"], "train has not run yet; run('train') runs what it needs, and it"),
    (lambda p: p["ingest"]["example"], "ingest makes no 'example', did you mean 'examples'?"),
    (lambda p: p["ingest"].examples("test"), "no split 'test'; the splits are: train, eval"),
    (lambda p: p["ingest"].examples().head(-1), "expected a number of rows, 0 or more, not -1"),
    (lambda p: p["ingest"].model, "ingest makes none (model)"),
    (lambda p: p["ingest"]["examples"].lineage("sideways"), "lineage('sideways'): expected 'up', 'down'"),
    (lambda p: p.run("ingst"), "no task 'ingst' in the pipeline rides"),
    (lambda p: p.run("ingest", only="ingest"), "until and only exclude each other"),
    (lambda p: p.run(earlier="x"), "earlier='x' is the run that only= goes on from"),
    (lambda p: p.run("ingest", train_step=3), "run(): no parameter 'train_step'; did you mean 'train_steps'?"),
    (lambda p: p.run("ingest", train_steps="3"), "parameter train_steps: expected a whole number, not '3'"),
    (lambda p: p.run("ingest", data=p.root / "nowhere"), "nowhere: there is no such file or folder"),
    (lambda p: p.compare("rides-2001"), "rides-2001: there is no such run"),
    (lambda p: Pipeline(None), "Pipeline(None): name a model"),  # type: ignore[arg-type]
    (lambda p: Pipeline("taxy"), "did you mean 'taxi'?"),
    (lambda p: Pipeline(Path("taxi")), "no model"),
    (lambda p: Pipeline("./taxi"), "no model ./taxi"),
    (lambda p: Pipeline("taxi", root="gs://bucket/root"), "root=gs://bucket/root: runs on this machine keep"),
    (lambda p: Pipeline("taxi", root=""), "root is empty"),
]


def test_what_a_person_can_mend_is_one_line(p: Pipeline) -> None:
    before = len(p.runs)
    for call, said in REFUSED:
        with pytest.raises(InputError) as refused:
            call(p)
        assert said in str(refused.value)
        assert refused.value._render_traceback_() == [f"error: {refused.value}"]
    assert len(p.runs) == before


def test_runs_can_be_looked_at_while_the_settings_are_broken(p: Pipeline) -> None:
    before, settings = p.latest.id, p.folder / "settings.yaml"
    text = settings.read_text()
    settings.write_text("trian: {}")
    try:
        assert (p.latest.id, p["ingest"].run, p.name) == (before, before, "rides")
        assert "transform" in p.stages
        assert "<Pipeline rides of" in repr(p)
        assert "its settings cannot be read now" in p._repr_html_()
        with pytest.raises(InputError, match="unknown key 'trian'"):
            p.run("ingest")
    finally:
        settings.write_text(text)


def test_a_failed_stage_says_why_and_stays_to_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "trips.csv").write_text("fare,tips\n1,2\n3,4,5\n")
    broken = Pipeline("taxi", data=tmp_path / "data", root=tmp_path / "root")
    with pytest.raises(RunFailed, match=r"ingest: .*trips\.csv.*; its log: .*/ingest\.log$") as failed:
        broken.run("statistics")
    assert failed.value.exit_code == InputError.exit_code
    assert (broken.latest.state, broken["ingest"].state) == ("failed", "failed")
    assert "trips.csv" in repr(broken["ingest"])
    assert "trips.csv" in broken["ingest"].log
    with pytest.raises(InputError, match="ingest failed in taxi-"):
        broken["ingest"].artifacts  # noqa: B018
    with pytest.raises(InputError, match="statistics has not run yet"):
        broken["statistics"]


def test_only_what_changed_runs_and_two_runs_are_compared(p: Pipeline, tmp_path: Path) -> None:
    rides = Pipeline(p.folder, data=trips(tmp_path / "trips", 50), root=tmp_path / "root")
    first = rides.run("ingest", train_steps=7)
    with pytest.raises(InputError, match="no run of rides before"):
        rides.compare()
    assert rides.run("ingest")["ingest"].state == "cached"
    trips(tmp_path / "trips", 60)
    second = rides.run("ingest")
    assert (first["ingest"].state, second["ingest"].state) == ("done", "done")
    compared = rides.compare(first)
    assert (compared.tables.left.id, compared.tables.right.id) == (first.id, second.id)
    assert {row.name for row in compared.tables.artifacts if row.differs} == {"ingest/examples"}
    assert "* train_steps" in repr(compared)
    assert compared._repr_html_().count("<iframe") == 1
    assert compared.write(tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.slow
def test_a_stage_runs_again_for_what_its_own_module_imports(tmp_path: Path) -> None:
    folder = tmp_path / "rides"
    shutil.copytree(MODELS / "taxi", folder)
    preprocessing = folder / "preprocessing.py"
    preprocessing.write_text(preprocessing.read_text().replace("BUCKETS = 10\n", "from sizes import BUCKETS\n", 1))
    (folder / "sizes.py").write_text("BUCKETS = 10\n")
    rides = Pipeline(folder, data=trips(tmp_path / "trips", 200), root=tmp_path / "root")
    first = rides.run("transform", show=False)
    with (folder / "model.py").open("a") as stream:
        stream.write("EDITED = True\n")
    assert rides.run("transform", show=False)["transform"].state == "cached"
    (folder / "sizes.py").write_text("BUCKETS = 3\n")
    second = rides.run("transform", show=False)
    assert (first["transform"].state, second["transform"].state, second["ingest"].state) == ("done", "done", "cached")
    assert second["transform"].examples("train").to_pandas()["pickup_latitude_xf"].max() < 3


def test_an_interruption_stops_the_run_and_says_so(p: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        os.kill(os.getpid(), 2)
        time.sleep(10)

    monkeypatch.setattr("components.runtime.launch.execution.find", interrupted)
    with pytest.raises(Stopped, match=r"stopped.*; run again, and it goes on from there") as stopped:
        p.run("ingest")
    assert stopped.value._render_traceback_() == [str(stopped.value)]
    assert p.latest.state == "stopped"
    monkeypatch.undo()
    monkeypatch.setattr(Pipeline, "_compile", interrupted)
    with pytest.raises(Stopped, match=r"^interrupted$"):
        p.run("ingest")


def test_bugs_keep_their_trace(p: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Run, "__init__", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError) as bug:
        p.run("ingest")
    assert not isinstance(bug.value, StageError)


def test_rows_for_a_chosen_model_are_held_to_the_data_of_its_training(tmp_path: Path) -> None:
    root = RivalsRoot(tmp_path)
    graph = Path(root.records["transform"]["outputs"]["transform_graph"]["uri"])
    graph.unlink()
    graph.mkdir()
    (graph / "schema.pbtxt").write_text(
        'feature { name: "fare" type: FLOAT shape {} } feature { name: "tips" type: FLOAT }'
    )
    model = Run(records.load_run(tmp_path))["choose"].model
    model._check([{"fare": 3.0, "tips": 1.0}], ["fare"])
    with pytest.raises(InputError, match="no column 'far' in the data, did you mean 'fare'"):
        model._check([{"far": 3.0}], ["fare"])
    with pytest.raises(InputError, match="row 0 lacks fare"):
        model._check([{"tips": 3.0}], ["fare"])


def test_in_a_script_a_page_is_told_by_a_name_that_a_browser_opens(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    RivalsRoot(tmp_path)
    Run(records.load_run(tmp_path))["train-wide"].show()
    label, page = capsys.readouterr().out.split()
    assert (label, Path(page).suffix) == ("page", ".html")
    assert "About train-wide" in Path(page).read_text()
