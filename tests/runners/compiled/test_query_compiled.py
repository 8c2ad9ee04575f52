"""A pipeline whose data is asked for: the task query, what it may know, and what the settings refuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import documents, read
from runners.compiled.tasks import Output
from runners.settings import named_files
from runners.settings.purposes import for_inference, on_spans
from tests.runners.cluster_support import call
from tests.runners.compiled_models import digest, model, pods
from tests.support import ROOT

ASKED = """
pipeline_name: asked
ingest:
  query:
    source: {kind: postgresql, host: db.example.org, database: taxi, user: reader}
    sql: |
      SELECT * FROM trips
      WHERE fare > 0
    partition: {column: trip_id, parts: 4}
    variable: TAXI_DATABASE
resources:
  query: {secrets: [{name: taxi-database, env: {password: TAXI_DATABASE}}]CACHING}
cluster: {volume: {claim: millrace}}
"""


def test_the_task_query_comes_before_ingest_and_is_asked_every_time(tmp_path: Path) -> None:
    text = compile_pipeline(model(tmp_path / "mine", ASKED.replace("CACHING", "")), digest)
    pipeline = read(documents(text)[0])
    assert pipeline.tasks["ingest"].artifacts["table"] == Output("query", "table")
    assert pipeline.tasks["ingest"].cacheable
    assert not pipeline.tasks["query"].cacheable
    pod = pods(text)["query"]
    assert "MILLRACE_CACHED_BY_CONTENT" not in [variable["name"] for variable in pod.get("env", [])]
    (secret,) = pod["secretAsEnv"]
    assert (secret["secretName"], secret["keyToEnv"]) == (
        "taxi-database",
        [{"secretKey": "password", "envVar": "TAXI_DATABASE"}],
    )
    given = {name: source["runtimeValue"]["constant"] for name, source in pod["task"]["inputs"]["parameters"].items()}
    assert given["sql"] == "SELECT * FROM trips\nWHERE fare > 0\n"
    assert given["source"] == {"kind": "postgresql", "host": "db.example.org", "database": "taxi", "user": "reader"}
    assert given["partition"] == {"column": "trip_id", "parts": 4}
    assert compile_workflow(text).count("name: taxi-database") == 1


def test_settings_can_promise_that_an_answer_stays(tmp_path: Path) -> None:
    text = compile_pipeline(model(tmp_path / "mine", ASKED.replace("CACHING", ", caching: true")), digest)
    assert read(documents(text)[0]).tasks["query"].cacheable


def test_new_data_of_inference_is_in_files(tmp_path: Path) -> None:
    settings = for_inference(model(tmp_path / "mine", ASKED.replace("CACHING", "")))
    assert "query" not in read(documents(compile_pipeline(settings, digest))[0]).tasks


def test_a_query_is_in_no_spans(tmp_path: Path) -> None:
    settings = model(tmp_path / "mine", ASKED.replace("CACHING", "") + "data: gs://bucket/span-{SPAN}\n")
    assert not settings.is_in_spans
    with pytest.raises(InputError, match=r"spans is of files, and the data is what ingest\.query asks for"):
        on_spans(settings, 3)


def test_a_range_and_a_count_replace_each_other(tmp_path: Path) -> None:
    counted = model(tmp_path / "counted", "ingest: {spans: 7}")
    assert (ranged := on_spans(counted, span="1-2").ingest).spans is None
    assert ranged.span == "1-2"
    assert on_spans(counted, span="5").ingest.spans == 7
    back = on_spans(model(tmp_path / "ranged", "ingest: {span: 1-2}"), 3).ingest
    assert (back.span, back.spans) == ("latest", 3)
    with pytest.raises(InputError, match="span is the range 1-2, and spans is 3: give one of the two"):
        on_spans(counted, 3, span="1-2")
    with pytest.raises(InputError, match="spans is 0: say how many of the newest are read, 1 or more"):
        on_spans(counted, 0)
    with pytest.raises(InputError, match=r"^spans: 12345678901234567 would lose digits .*; write a smaller one$"):
        on_spans(counted, 12345678901234567)
    for span, why in (("foo", "give a number"), ("9-1", "backwards; give 1-9"), ("2026-02-30", "there is no such day")):
        with pytest.raises(InputError, match=f"span is '?{span}'?: .*{why}"):
            on_spans(counted, span=span)


def test_without_the_section_there_is_no_such_task(tmp_path: Path) -> None:
    text = compile_pipeline(model(tmp_path / "mine", "{}"), digest)
    assert "query" not in pods(text)
    assert "table" not in documents(text)[0]["components"]["comp-ingest"]["inputDefinitions"]["artifacts"]


def test_a_file_beside_the_settings_is_that_of_a_model_anywhere(tmp_path: Path) -> None:
    text = "ingest: {query: {source: {kind: sqlite, path: taxi.db}, sql_file: trips.sql}}"
    settings = model(tmp_path / "mine", text)
    assert settings.arguments("query")["source"]["path"] == str(tmp_path / "mine" / "taxi.db")
    assert settings.arguments("query")["sql_file"] == str(tmp_path / "mine" / "trips.sql")
    assert "query" not in settings.arguments("ingest")
    with pytest.raises(InputError, match=r"ingest\.query\.sql_file: there is no file"):
        named_files.check(settings, ["query", "ingest"])


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("{source: {kind: sqlite, path: a.db}}", "either sql or sql_file says what is asked"),
        ("{source: {kind: sqlite, path: a.db}, sql: SELECT 1, sql_file: b.sql}", "either sql or sql_file"),
        ("{source: {kind: sqlit, path: a.db}, sql: SELECT 1}", "did you mean 'sqlite'"),
        ("{source: {kind: sqlite, path: a.db}, sql: SELECT 1, partition: {column: a, parts: 2}}", "is for postgresql"),
        ("{source: {kind: sqlite, path: a.db}, sql: SELECT 1, partition: {column: a, parts: 0}}", "parts"),
        ("{source: {kind: sqlite, path: a.db}, sql: SELECT 1, variable: my pass}", "the name of a variable"),
        ("{source: {kind: mysql, host: h, database: d, user: u, password: x}, sql: SELECT 1}", "looks like a secret"),
        ("{source: {kind: iceberg, uri: 'https://me:pw@host/x', table: a.b}}", "looks like an address with a password"),
        ("{source: {kind: sqlite, path: a.db}, sql: SELECT 1}, spans: 2", "spans is of files"),
        ("{source: {kind: sqlite, path: a.db}, sql: SELECT 1}, format: csv", "format csv is of files"),
    ],
)
def test_settings_that_ask_for_nothing_sensible(query: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=told):
        model(tmp_path / "mine", f"ingest: {{query: {query}}}")


def test_a_run_on_other_data_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    taxi = ROOT / "models" / "taxi"
    files = (
        f"\ntransform: {{module_file: {taxi}/preprocessing.py}}\ntrain: {{module_file: {taxi}/model.py}}\n"
        f"evaluate: {{eval_config_file: {taxi}/evaluation.pbtxt}}\n"
    )
    model(folder, ASKED.replace("CACHING", "") + files)
    (tmp_path / "trips.csv").write_text("a\n1\n")
    done = call("--root", tmp_path / "root", "run", folder, "--data", tmp_path / "trips.csv")
    assert done.exit_code == 65
    assert "the data is what ingest.query in settings.yaml asks for; leave it out" in done.err
