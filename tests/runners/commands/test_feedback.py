"""`feedback`: which labels become which rows of a span, what is told, what is refused, and what is recorded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import yaml
from pyarrow import parquet

from components.runtime.data.schema_columns import Column
from components.runtime.feedback.spans import Spans
from components.runtime.lineage import record as lineage
from components.runtime.records import prediction_log
from runners.feedback import given_labels, training
from runners.history.lineage_graph import Graph
from runners.history.pages.run_report import render
from runners.history.records import load_run
from runners.terminal import text
from tests.runners.cluster_support import Called, call
from tests.runners.compiled_models import model
from tests.runners.history.pipeline_roots import RootWriter
from tests.runners.versions.served_root import ServedRoot, served_root
from tests.support import ROOT

SCHEMA = """
feature { name: "tips" type: INT int_domain { min: 0 max: 1 } presence { min_fraction: 1.0 } }
feature { name: "company" type: BYTES value_count { max: 1 } }
feature { name: "fare" type: FLOAT not_in_environment: "NOWHERE" }
feature { name: "stops" type: INT value_count { min: 0 max: 9 } }
feature { name: "hour" type: INT }
represent_missing_values: true
"""
BEGUN = datetime(2026, 11, 20, tzinfo=UTC)
ROWS = 8


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> ServedRoot:
    served = served_root(tmp_path_factory.mktemp("three"))
    for version in served.versions:
        told = served.serving / version / "assets.extra" / "trained_on" / "schema.pbtxt"
        told.parent.mkdir(parents=True)
        told.write_text(SCHEMA)
    log(served.root / "predictions" / "taxi", [f"trip{row}-0" for row in range(ROWS)])
    return served


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, three: ServedRoot) -> ServedRoot:
    """Versions 1 to 3 of taxi, and predictions of version 3, one an hour."""
    monkeypatch.setenv("MILLRACE_USER", "berta")
    return three.copied(tmp_path)


def log(
    folder: Path,
    ids: Sequence[str],
    version: int = 3,
    redacted: Sequence[str] = (),
    scores: Sequence[float] | None = None,
    **features: pa.Array,
) -> None:
    count = len(ids)
    given = {
        "fare": pa.array([row + 0.5 for row in range(count)], pa.float32()),
        "company": pa.array([None if row == 1 else f"c{row}" for row in range(count)], pa.string()),
        "stops": pa.array([[row, None] for row in range(count)], pa.list_(pa.int64())),
        "hour": pa.array([None] * count, pa.int64()),
    } | features
    rows = prediction_log.table(
        ids,
        [BEGUN + timedelta(hours=row) for row in range(count)],
        [version] * count,
        ["serving_default"] * count,
        {name: values for name, values in given.items() if name not in redacted},
        {"outputs": pa.array([[score] for score in scores or [0.5] * count], pa.list_(pa.float32()))},
        redacted,
    )
    prediction_log.write(folder, rows)


def labels(tmp_path: Path, text: str, name: str = "labels.csv") -> Path:
    file = tmp_path / name
    file.write_text(text)
    return file


def called(served: ServedRoot, *arguments: object) -> Called:
    return call("--root", served.root, "feedback", "taxi", "--out", served.scratch / "data", *arguments)


def document(served: ServedRoot, *arguments: object) -> Mapping[str, Any]:
    found = called(served, *arguments, "--json")
    assert found.exit_code == 0, found.err
    return found.document


def refused(served: ServedRoot, *arguments: object, code: int = 65) -> str:
    """The error of a call that leaves nothing behind."""
    kept = served.root / "predictions" / "taxi"
    before = sorted(kept.rglob("*.parquet"))
    runs = sorted((served.root / "runs").iterdir())
    found = called(served, *arguments)
    assert found.exit_code == code, found.out + found.err
    assert not (served.scratch / "data").exists()
    assert sorted(kept.rglob("*.parquet")) == before
    assert sorted((served.root / "runs").iterdir()) == runs
    return found.error


def span(served: ServedRoot, number: int = 1) -> pa.Table:
    return parquet.read_table(served.scratch / "data" / f"span-{number}" / "part.parquet")


def test_a_span_has_the_columns_of_the_models_data_in_their_types(served: ServedRoot, tmp_path: Path) -> None:
    file = labels(tmp_path, "prediction_id,tips\ntrip0-0,1\ntrip1-0,0\ntrip2-0,\n")
    told = document(served, "--labels", file)
    rows = span(served)
    assert rows.schema.types == [pa.int64(), pa.string(), pa.float32(), pa.list_(pa.int64()), pa.int64()]
    assert rows.to_pylist() == [
        {"tips": 1, "company": "c0", "fare": 0.5, "stops": [0], "hour": None},
        {"tips": 0, "company": None, "fare": 1.5, "stops": [1], "hour": None},
    ]
    assert {name: told[name] for name in ("span", "folder", "rows", "kinds", "versions")} == {
        "span": 1,
        "folder": str(served.scratch / "data" / "span-1"),
        "rows": 2,
        "kinds": {"explicit": 2},
        "versions": {"3": 2},
    }
    assert (told["logged"], told["labelled"], told["without_label"]) == (ROWS, 2, 1)
    assert told["warnings"] == [
        "1 row of the labels has no id or no label: left out",
        "without any value in the log: hour",
        "the span has 2 rows, few to train on; collect 100 or more",
    ]
    assert sorted(entry.name for entry in (served.scratch / "data").iterdir()) == ["span-1"]


def test_what_is_said_to_people(served: ServedRoot, tmp_path: Path) -> None:
    file = labels(tmp_path, "prediction_id,label\ntrip0-0,1\n")
    lines = called(served, "--labels", file, "--kind", "corrected").lines
    assert lines[0] == f"span      {served.scratch}/data/span-1, 1 row: 1 corrected; predicted 1 by version 3"
    assert lines[1] == "labels    of 1 of 8 logged predictions (12.5%)"
    first = f"set ingest.format to auto (it is csv, and spans are Parquet) in {ROOT}/models/taxi/settings.yaml"
    command = f"./millrace run taxi --data {served.scratch}/data --spans 1"
    assert lines[3] == f"train     first {first}, then {command}"


def test_the_size_of_a_span_is_that_of_its_folder(served: ServedRoot, tmp_path: Path) -> None:
    told = document(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,1\n"))
    size = sum(file.stat().st_size for file in (served.scratch / "data" / "span-1").iterdir())
    assert f"1 row, {text.size(size)}<" in render(load_run(served.root, told["run"]))
    lines = call("--root", served.root, "lineage", served.scratch / "data" / "span-1").out
    assert text.size(size) in lines
    assert "span_bytes" not in lines


def test_the_command_that_is_told_reads_all_spans_that_it_can(tmp_path: Path) -> None:
    settings = model(tmp_path / "mine", "ingest: {format: auto}")
    data = Spans.of(str(tmp_path / "data"))
    for number, name in ((1, "trips.csv"), (2, "part.parquet"), (4, "part.parquet")):
        (data.data / f"span-{number}").mkdir(parents=True)
        (data.data / f"span-{number}" / name).touch()
    command = f"./millrace run mine --data {data.data} --spans"
    told = training.command("mine", settings, data)
    assert told == f"{command} 2  # 1 older not: their files are not Parquet, and a run reads one format"
    (data.data / "span-1" / "trips.csv").unlink()
    assert training.command("mine", settings, data) == f"{command} 3"
    patterns = model(tmp_path / "split", "ingest: {split_patterns: {train: 'train/*', eval: 'eval/*'}}")
    assert "first take out ingest.split_patterns, which look for other files" in training.command(
        "split", patterns, data
    )


def test_a_model_whose_data_is_a_query(served: ServedRoot, tmp_path: Path) -> None:
    query = "ingest: {query: {source: {kind: sqlite, path: city.db}, sql: SELECT 1 AS a}}"
    settings = model(tmp_path / "taxi", query)
    file = labels(tmp_path, "prediction_id,label\ntrip0-0,1\n")
    given = ("--root", served.root, "feedback", settings.folder, "--labels", file)
    refused = call(*given)
    assert refused.exit_code == 65
    assert "is what ingest.query asks for, and a span is files: name a folder for it with --out" in refused.err
    assert not (settings.folder / "data").exists()
    found = call(*given, "--out", tmp_path / "data")
    assert found.exit_code == 0, found.err
    assert (
        found.lines[3] == f"train     load the span into what ingest.query asks, then ./millrace run {settings.folder}"
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("l.tsv", "prediction_id\tlabel\ntrip3-0\t1\n"),
        ("l.jsonl", '{"prediction_id": "trip3-0", "label": true}\n{"prediction_id": "none-0", "label": "0"}\n'),
        ("l.parquet", ""),
    ],
)
def test_every_form_of_a_table(name: str, content: str, tmp_path: Path) -> None:
    file = labels(tmp_path, content, name)
    if name.endswith("parquet"):
        parquet.write_table(pa.table({"prediction_id": ["trip3-0"], "label": [1.0]}), file)
    found = given_labels.of_file(file, "prediction_id", ("tips", "label"), Column("tips", "INT"), "explicit")
    assert found.table.slice(0, 1).select(["prediction_id", "label", "kind"]).to_pylist() == [
        {"prediction_id": "trip3-0", "label": 1, "kind": "explicit"}
    ]


def test_the_newest_label_wins_and_is_told(served: ServedRoot, tmp_path: Path) -> None:
    text = "id,label,time\ntrip0-0,1,2026-11-30T10:00:00Z\ntrip0-0,0,2026-11-29\ntrip1-0,0,\n"
    assert "row 3: time: '' is no time" in refused(served, "--labels", labels(tmp_path, text), "--id", "id")
    told = document(
        served, "--labels", labels(tmp_path, text.replace("trip1-0,0,", "nobody-0,0,2026-11-29")), "--id", "id"
    )
    assert (told["rows"], told["superseded"], told["unknown"]) == (1, 1, 1)
    assert span(served).column("tips").to_pylist() == [1]
    assert told["warnings"][:2] == [
        "1 label is left out, for a newer one is of the same prediction",
        "1 label is of predictions that are not in the log: nobody-0",
    ]


def test_no_prediction_gets_into_two_spans(served: ServedRoot, tmp_path: Path) -> None:
    first = labels(tmp_path, "prediction_id,label\ntrip0-0,1\ntrip1-0,0\n")
    assert document(served, "--labels", first)["span"] == 1
    kept = sorted(path for path in (served.root / "predictions").rglob("*") if path.is_file())
    again = called(served, "--labels", first)
    soon = "a running server writes within 30 s"
    assert (again.exit_code, again.lines) == (
        0,
        [f"nothing new: all 2 predictions with labels are in a span already, and no span is written; {soon}"],
    )
    assert sorted(path for path in (served.root / "predictions").rglob("*") if path.is_file()) == kept
    # Nor where the label is another one by now, or the span was taken away.
    (served.scratch / "data" / "span-1").rename(served.scratch / "moved")
    told = document(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,0\ntrip5-0,1\n"))
    assert (told["span"], told["rows"], told["already"]) == (1, 1, 1)
    assert span(served).column("fare").to_pylist() == [5.5]
    assert "1 prediction with labels is in a span already" in told["warnings"][0]


def test_labels_are_kept_for_those_who_watch(served: ServedRoot, tmp_path: Path) -> None:
    folder = served.root / "predictions" / "taxi"
    document(
        served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,1\nnobody-0,1\n"), "--kind", "corrected"
    )
    document(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,0\n"))
    kept = prediction_log.read_labels(folder).select(["prediction_id", "label", "kind"]).to_pylist()
    assert kept == [
        {"prediction_id": "trip0-0", "label": 1, "kind": "corrected"},
        {"prediction_id": "trip0-0", "label": 0, "kind": "explicit"},
    ]


def test_what_nobody_acted_on_has_the_implicit_label(served: ServedRoot, tmp_path: Path) -> None:
    file = labels(tmp_path, "prediction_id,label\ntrip0-0,1\n")
    old = ("--implicit-after", "7d", "--implicit-value", 0)
    told = document(served, "--labels", file, "--kind", "implicit", *old, "--until", "2026-11-20T04:00")
    assert told["kinds"] == {"implicit": 4}
    assert span(served).column("tips").to_pylist() == [1, 0, 0, 0]
    # What is too young has none yet.
    log(served.root / "predictions" / "taxi", ["late-0"])
    told = document(served, *old, "--since", "2026-11-20T04:00")
    assert told["rows"] == 4


def test_labels_that_the_server_took_need_no_file(served: ServedRoot) -> None:
    folder = served.root / "predictions" / "taxi"
    assert "the server has taken no labels; name a file with --labels" in refused(served)
    now = datetime.now(UTC)

    def take(*rows: tuple[str, Any, str]) -> None:
        ids, values, kinds = zip(*rows, strict=True)
        times = pa.array([now] * len(rows), prediction_log.TIME)
        prediction_log.write_labels(
            folder, pa.table({"prediction_id": ids, "label": values, "kind": kinds, "time": times})
        )

    take(("trip0-0", "generous", "explicit"))
    assert "none of 1 label that the server took is one of the model's" in refused(served)
    take(("trip1-0", 1, "explicit"), ("trip2-0", 0, "corrected"), ("trip3-0", 7, "explicit"))
    told = document(served)
    assert (told["rows"], told["kinds"]) == (2, {"explicit": 1, "corrected": 1})
    assert told["warnings"][0] == (
        "2 labels that the server took are none of the model's; the first: trip0-0: 'generous' is no number"
    )
    assert len(prediction_log.read_labels(folder)) == 4


def test_labels_only_of_what_the_model_chose_are_told(served: ServedRoot, tmp_path: Path) -> None:
    folder = served.root / "predictions" / "taxi"
    scores = [row * 7 % 400 / 400 for row in range(400)]
    likely = [row for row in range(400) if scores[row] >= 0.75]
    log(folder, [f"many{row}-0" for row in range(400)], scores=scores)
    text = "prediction_id,label\n" + "".join(f"many{row}-0,{row % 2}\n" for row in likely)
    told = document(served, "--labels", labels(tmp_path, text))
    assert (
        told["one_sided"]
        == "half of the predictions with labels are from 0.812 to 0.936, half of all in their time from 0.26 to 0.775"
    )
    assert any("A model that learns only of what it chose itself confirms itself" in each for each in told["warnings"])
    others = [row for row in range(0, 300, 3) if row not in likely]
    text = "prediction_id,label\n" + "".join(f"many{row}-0,{row % 2}\n" for row in others)
    assert document(served, "--labels", labels(tmp_path, text), "--until", "2026-12-03T12:00")["one_sided"] is None


def test_it_is_recorded_and_lineage_leads_to_the_version_that_predicted(served: ServedRoot, tmp_path: Path) -> None:
    log(served.root / "predictions" / "taxi", ["old-0"], version=1)
    log(served.root / "predictions" / "taxi", ["gone-0"], version=99)
    text = "prediction_id,label\ntrip0-0,1\nold-0,0\ngone-0,1\n"
    told = document(served, "--labels", labels(tmp_path, text))
    record = load_run(served.root, told["run"])
    assert (record.state, record.decision, record.by) == ("done", "feedback", "berta")
    assert [(task.name, task.state, task.facts) for task in record.tasks] == [("feedback", "done", "3 rows, span 1")]
    graph = Graph.read(served.root)
    [found] = graph.find(told["folder"])
    execution = graph.executions[found.maker]
    assert {name: graph.artifacts[each].metadata["version"] for name, each in execution.inputs.items()} == {
        "version_1": 1,
        "version_3": 3,
    }
    page = Path(call("--root", served.root, "report", told["run"]).lines[-1]).read_text()
    assert "Labels that came later" in page
    assert "Of 10 logged predictions 30.0% have a label." in page
    lines = "\n".join(call("--root", served.root, "lineage", told["folder"], "--up").lines)
    assert f"train in {served.runs[0]}" in lines
    assert f"train in {served.runs[2]}" in lines
    assert load_run(served.root).id == served.runs[-1], "the latest run is one of the pipeline"


@pytest.mark.parametrize("place", ["{data}", "{data}/span-{{SPAN}}", "{data}/{{SPAN:5}}/x"])
def test_lineage_leads_on_from_a_span_to_what_was_trained_on_a_window_with_it(
    served: ServedRoot, tmp_path: Path, place: str
) -> None:
    told = document(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,1\n"))
    data = Path(told["folder"]).parent
    for run, spans in (("taxi-window", [1, 2]), ("taxi-later", [2, 3])):
        RootWriter(served.root).execution(
            run,
            "ingest",
            parameters={"data": place.format(data=data), "attempt": run},
            outputs={"examples": {"rows": 1, "spans": spans}},
        )
    lineage.flush()
    graph = Graph.read(served.root)
    [found] = graph.find(told["folder"])
    [reader] = [graph.executions[each] for each in found.users]
    assert (reader.run, reader.inputs["span_1"]) == ("taxi-window", found.id)


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("prediction_id,label\nx-0,1\ny-0,0\n", [], "none of its 2 ids, such as 'x-0', is among the 8 predictions in"),
        ("prediction_id,label\nx-0,1\n", [], "or the log with --log; a running server writes within 30 s"),
        ("prediction_id,label\ntrip0-0,yes\n", [], "row 1: label: 'yes' is no number"),
        ("prediction_id,label\ntrip0-0,1\ntrip1-0,0.5\n", [], "row 2: label: '0.5' is no whole number"),
        ("prediction_id,label\ntrip0-0,2\n", [], "row 1: label: '2' is none of the model's, which are 0 to 1"),
        ("predictionid,label\ntrip0-0,2\n", [], "the predictions' ids, did you mean 'predictionid'?"),
        ("prediction_id,truth\ntrip0-0,2\n", [], "no column 'tips' or 'label' with labels; it has pre"),
        ("prediction_id,label\n", [], "no labels in it"),
        ("", [], "cannot be read"),
        ("prediction_id,label\ntrip0-0,1\n", ["--label", "tip"], "--label tip: the model's data has no such column"),
        ("prediction_id,label\ntrip0-0,1\n", ["--implicit-after", "7d"], "belong together"),
        ("prediction_id,label\ntrip0-0,1\n", ["--since", "yesterday"], "--since yesterday: no time such as"),
        ("prediction_id,label\ntrip0-0,1\n", ["--log", "/nowhere"], "/nowhere/taxi: no predictions are logged there"),
        ("prediction_id,label\ntrip0-0,1\n", ["--out", "gs://b/data"], "spans are written into a folder"),
        ("prediction_id,label\ntrip0-0,1\n", ["--out", "/dev/null"], "/dev/null is no folder that can be written"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_line_and_changes_nothing(
    text: str, options: list[str], said: str, served: ServedRoot, tmp_path: Path
) -> None:
    assert said in refused(served, "--labels", labels(tmp_path, text), *options)


def test_a_label_that_is_neither_true_nor_false(served: ServedRoot, tmp_path: Path) -> None:
    schema = SCHEMA.replace("int_domain { min: 0 max: 1 }", "bool_domain {}")
    (served.serving / "3" / "assets.extra" / "trained_on" / "schema.pbtxt").write_text(schema)
    said = refused(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,true\ntrip1-0,7\n"))
    assert "row 2: label: '7' is none of the model's, which are 0 to 1" in said


def test_an_unknown_class_is_named(served: ServedRoot, tmp_path: Path) -> None:
    schema = SCHEMA.replace("type: INT int_domain { min: 0 max: 1 }", 'type: BYTES domain: "tips"')
    schema += 'string_domain { name: "tips" value: "high" value: "low" }'
    (served.serving / "3" / "assets.extra" / "trained_on" / "schema.pbtxt").write_text(schema)
    said = refused(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,hihg\n"))
    assert "row 1: label: 'hihg' is no class of the model, did you mean 'high'?; it knows high, low" in said


def test_a_label_that_32_bits_do_not_hold(served: ServedRoot, tmp_path: Path) -> None:
    schema = SCHEMA.replace("type: INT int_domain { min: 0 max: 1 }", "type: FLOAT")
    (served.serving / "3" / "assets.extra" / "trained_on" / "schema.pbtxt").write_text(schema)
    said = refused(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,1e300\n"))
    assert "row 1: label: '1e300' is too large for a number of 32 bits" in said


@pytest.mark.slow
def test_what_the_log_leaves_out_cannot_be_trained_on(served: ServedRoot, tmp_path: Path) -> None:
    log(served.root / "predictions" / "taxi", ["private-0"], redacted=["company"])
    said = refused(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,1\nprivate-0,1\n"))
    assert "the log leaves out company, which the model is trained on" in said
    assert document(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,1\n"))["rows"] == 1


def test_without_a_schema_the_label_has_to_be_named(served: ServedRoot, tmp_path: Path) -> None:
    for file in served.serving.glob("*/assets.extra/trained_on/schema.pbtxt"):
        file.unlink()
    file = labels(tmp_path, "prediction_id,label\ntrip0-0,1.5\n")
    assert "tells what it was trained on; name the label's column with --label" in refused(served, "--labels", file)
    document(served, "--labels", file, "--label", "tips")
    assert span(served).to_pylist() == [{"company": "c0", "fare": 0.5, "hour": None, "stops": [0], "tips": 1.5}]


@pytest.mark.slow
def test_spans_go_on_where_the_settings_have_them(tmp_path: Path, served: ServedRoot) -> None:
    data = served.scratch / "there"
    (data / "day-7").mkdir(parents=True)
    file = labels(tmp_path, "prediction_id,label\ntrip0-0,1\n")
    told = call(
        "--root", served.root, "feedback", "taxi", "--out", data / "day-{SPAN}", "--labels", file, "--json"
    ).document
    assert (told["span"], told["folder"]) == (8, str(data / "day-8"))


@pytest.mark.slow
def test_the_same_id_twice_in_the_log_is_its_last_answer(tmp_path: Path, served: ServedRoot) -> None:
    log(served.root / "predictions" / "taxi", ["trip0-0"], fare=pa.array([99.0], pa.float32()))
    told = document(served, "--labels", labels(tmp_path, "prediction_id,label\ntrip0-0,1\n"))
    assert span(served).column("fare").to_pylist() == [99.0]
    assert "1 prediction was logged again under the same id; the last one counts" in told["warnings"][0]


def test_the_pipeline_that_makes_data_on_a_cluster(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    model(folder, "cluster: {volume: {claim: here}}")
    made_files = call("compile", folder, "--feedback", "--output", tmp_path / "out")
    assert made_files.exit_code == 0, made_files.err
    workflow = yaml.safe_load((tmp_path / "out" / "mine-feedback.argo.yaml").read_text())
    given = {each["name"]: each["value"] for each in workflow["spec"]["arguments"]["parameters"]}
    assert given == {
        "data": "/millrace/data/mine",
        "implicit_after": "",
        "implicit_value": "",
        "label": "",
        "log": "/millrace/predictions/mine",
        "serving_directory": "/millrace/serving/mine",
    }
    [template] = [each for each in workflow["spec"]["templates"] if each["name"] == "feedback"]
    assert {"mountPath": "/millrace", "name": "millrace"} in template["container"]["volumeMounts"]
    refused = call("compile", folder, "--feedback", "--watch")
    assert (refused.exit_code, "compile one after the other" in refused.error) == (65, True)
    refused = call("compile", "pets", "--feedback", "--output", tmp_path / "out")
    assert refused.exit_code == 65
    assert "pets: spans of images are made here: millrace feedback --labels FILE" in refused.error
