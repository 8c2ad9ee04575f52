from __future__ import annotations

import hashlib
import http.server
import json
import math
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from openlineage.client import event_v2

from components.runtime.lineage import record as lineage
from components.runtime.lineage.events import EXECUTION_FACET, event, run_id
from tests.support import ROOT

SECRET = "hf_neverToBeSeen"


def execution(root: Path, **changes: Any) -> dict[str, Any]:
    return {
        "pipeline": "taxi",
        "task": "train",
        "stage": "train",
        "key": "0123abcd",
        "run": "taxi-1",
        "parameters": {"train_steps": 500, "hub_token": SECRET, "custom_config": {"api_key": SECRET, "depth": 2}},
        "output_parameters": {},
        "inputs": {
            "examples": {
                "uri": str(root / "artifacts/taxi/ingest/k1/examples"),
                "type": "system.Dataset",
                "metadata": {"digest": "sha256:aa", "rows": 10},
            }
        },
        "outputs": {
            "model": {
                "uri": str(root / "artifacts/taxi/train/0123abcd/model"),
                "type": "system.Model",
                "metadata": {"digest": "sha256:bb", "bytes": 77, "rows": 10, "signatures": ["a", "b"]},
            },
            "metrics": {
                "uri": str(root / "artifacts/taxi/train/0123abcd/metrics"),
                "type": "system.Metrics",
                "metadata": {
                    "digest": "sha256:cc",
                    "loss": math.nan,
                    "curve": [{"x": 1}] * 1000,
                    "matrix": {"rows": []},
                },
            },
        },
        "started": "2026-11-20T21:34:55.123456+00:00",
        "finished": "2026-11-20T21:34:59.123456+00:00",
        "seconds": 4.0,
        "peak_memory_bytes": 900,
        "code": "c0de",
        "image": "millrace/train",
        **changes,
    }


def read(root: Path, run: str, task: str = "train") -> list[dict[str, Any]]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    lines = (root / "lineage" / run / f"{task}.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def check_against_the_specification(found: dict[str, Any]) -> None:
    """What https://openlineage.io/spec/2-0-2/OpenLineage.json requires of a run event."""
    assert found["eventType"] in {"START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER"}
    assert datetime.fromisoformat(found["eventTime"]).tzinfo is not None
    assert urlparse(found["producer"]).scheme
    assert found["schemaURL"].endswith("#/$defs/RunEvent")
    assert str(uuid.UUID(found["run"]["runId"])) == found["run"]["runId"]
    assert found["job"]["namespace"]
    assert found["job"]["name"]
    holders = [found["run"], found["job"], *found["inputs"], *found["outputs"]]
    for dataset in [*found["inputs"], *found["outputs"]]:
        assert dataset["namespace"]
        assert dataset["name"]
    for holder in holders:
        for kind in ("facets", "inputFacets", "outputFacets"):
            for facet in holder.get(kind, {}).values():
                assert urlparse(facet["_producer"]).scheme == "urn"
                assert urlparse(facet["_schemaURL"]).scheme == "https"
    # The library's classes check types and formats once more.
    event_v2.RunEvent(
        eventTime=found["eventTime"],
        eventType=event_v2.RunState[found["eventType"]],
        run=event_v2.Run(runId=found["run"]["runId"]),
        job=event_v2.Job(namespace=found["job"]["namespace"], name=found["job"]["name"]),
        producer=found["producer"],
    )


def test_a_finished_execution_is_two_events(tmp_path: Path) -> None:
    record = execution(tmp_path)
    lineage.started(tmp_path, "taxi-1", {key: value for key, value in record.items() if key != "outputs"})
    lineage.ended(tmp_path, "taxi-1", record, "done")
    assert lineage.flush()

    start, complete = read(tmp_path, "taxi-1")

    check_against_the_specification(start)
    check_against_the_specification(complete)
    assert [start["eventType"], complete["eventType"]] == ["START", "COMPLETE"]
    assert [start["eventTime"], complete["eventTime"]] == [record["started"], record["finished"]]
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert (complete["job"]["namespace"], complete["job"]["name"]) == ("millrace", "taxi.train")
    assert complete["run"]["facets"]["parent"]["run"]["runId"] == run_id("taxi-1")
    assert complete["run"]["facets"]["parent"]["job"] == {"facets": {}, "name": "taxi", "namespace": "millrace"}
    assert complete["run"]["facets"][EXECUTION_FACET]["cached"] is False
    [examples] = complete["inputs"]
    assert (examples["name"], examples["facets"]["version"]["datasetVersion"]) == ("taxi.ingest.examples", "sha256:aa")
    model, metrics = complete["outputs"]
    assert (model["name"], model["facets"]["version"]["datasetVersion"]) == ("taxi.train.model", "sha256:bb")
    assert (
        model["outputFacets"]["outputStatistics"]["rowCount"],
        model["outputFacets"]["outputStatistics"]["size"],
    ) == (10, 77)
    assert model["facets"]["millrace_artifact"]["uri"] == "artifacts/taxi/train/0123abcd/model", (
        "holds wherever the root lies"
    )
    assert metrics["facets"]["millrace_artifact"]["metadata"] == {"loss": "nan"}, (
        "no NaN, which is no JSON, and no curves"
    )


def test_a_failed_execution_tells_its_error(tmp_path: Path) -> None:
    record = execution(tmp_path, outputs={})
    lineage.started(tmp_path, "taxi-1", record)
    lineage.ended(tmp_path, "taxi-1", record, "failed", f"cannot log in with {SECRET}")
    lineage.flush()

    _, fail = read(tmp_path, "taxi-1")

    check_against_the_specification(fail)
    assert fail["eventType"] == "FAIL"
    assert fail["run"]["facets"]["errorMessage"]["message"] == "cannot log in with ***"


def test_a_cached_execution_tells_from_which_run(tmp_path: Path) -> None:
    lineage.ended(tmp_path, "taxi-2", execution(tmp_path), "cached")
    lineage.flush()

    start, complete = read(tmp_path, "taxi-2")

    check_against_the_specification(complete)
    facet = complete["run"]["facets"][EXECUTION_FACET]
    assert (start["eventType"], facet["cached"], facet["madeBy"], facet["run"]) == ("START", True, "taxi-1", "taxi-2")
    assert complete["eventTime"] > "2026-11-20T21:34:59.2", "the time of its use, not that of its making"
    assert len(complete["outputs"]) == 2


def test_an_interrupted_execution_is_aborted(tmp_path: Path) -> None:
    lineage.ended(tmp_path, "taxi-1", execution(tmp_path, outputs={}), "stopped")
    lineage.flush()
    assert [each["eventType"] for each in read(tmp_path, "taxi-1")] == ["START", "ABORT"]


def test_secrets_appear_nowhere(tmp_path: Path) -> None:
    record = execution(tmp_path)
    record["outputs"]["model"]["metadata"]["note"] = f"pushed with {SECRET}"
    for state in ("done", "failed", "cached"):
        lineage.ended(tmp_path, "taxi-1", record, state, f"error with {SECRET}")
    lineage.flush()
    text = (tmp_path / "lineage/taxi-1/train.jsonl").read_text()
    assert SECRET not in text
    assert "train_steps" in text


def test_files_from_outside_are_inputs_with_their_version(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "trips.csv").write_text("a,b\n1,2\n")
    module = tmp_path / "model.py"
    module.write_text("x = 1\n")
    record = execution(
        tmp_path, parameters={"data": str(data), "module_file": str(module), "schema_file": ""}, inputs={}
    )

    first = {
        dataset.name: dataset.facets["version"].datasetVersion
        for dataset in event(tmp_path, "r", record, "START").inputs
    }
    (data / "trips.csv").write_text("a,b\n1,2\n3,4\n")
    second = {
        dataset.name: dataset.facets["version"].datasetVersion
        for dataset in event(tmp_path, "r", record, "START").inputs
    }

    assert first.keys() == {str(data), str(module)}
    assert first[str(data)].startswith("listing-sha256:")
    assert first[str(data)] != second[str(data)]
    assert first[str(module)] == second[str(module)] != ""


def test_files_are_found_from_wherever_the_command_was_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    record = execution(tmp_path, parameters={"module_file": "models/taxi/model.py"}, inputs={})
    [module] = event(tmp_path, "r", record, "START").inputs
    assert module.name == "models/taxi/model.py"
    digest = hashlib.sha256((ROOT / "models" / "taxi" / "model.py").read_bytes()).hexdigest()
    assert module.facets["version"].datasetVersion == f"sha256:{digest}"


def test_events_of_a_process_that_ends_at_once_are_written(tmp_path: Path) -> None:
    code = (
        "import sys, json; from pathlib import Path; from components.runtime.lineage import record as lineage;"
        "lineage.ended(Path(sys.argv[1]), 'taxi-2', json.loads(sys.argv[2]), 'done')"
    )
    record = execution(tmp_path, run="taxi-2")
    del record["outputs"]["metrics"]
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), json.dumps(record)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert result.stderr == ""
    assert [each["eventType"] for each in read(tmp_path, "taxi-2")] == ["START", "COMPLETE"]


def test_recording_does_not_import_the_library_in_the_callers_thread() -> None:
    code = (
        "import sys, components.runtime.lineage.record; print([name for name in sys.modules if 'openlineage' in name])"
    )
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


def test_what_sends_events_is_imported_where_a_server_gets_them(tmp_path: Path) -> None:
    code = (
        "import json, sys; from pathlib import Path; from components.runtime.lineage.events import event\n"
        "event(Path(sys.argv[1]), 'taxi-1', json.loads(sys.argv[2]), 'COMPLETE')\n"
        "print(sorted({'requests', 'httpx', 'openlineage.client.client'} & sys.modules.keys()))\n"
        "from openlineage.client import OpenLineageClient; print(OpenLineageClient.__module__)"
    )
    made = json.dumps(execution(tmp_path))
    words = [sys.executable, "-c", code, str(tmp_path), made]
    result = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["[]", "openlineage.client.client"]


def test_a_root_that_cannot_be_written_costs_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "lineage").write_text("in the way")
    lineage.ended(tmp_path, "taxi-1", execution(tmp_path), "done")
    lineage.flush()
    assert "lineage: " in caplog.text


class Server(http.server.ThreadingHTTPServer):
    """An OpenLineage server on the loopback device: keeps what is posted to it."""

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.received: list[tuple[str, str, dict[str, Any]]] = []


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((self.path, self.headers.get("Authorization", ""), body))
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with Server(getattr(request, "param", 201)) as made:
        thread = threading.Thread(target=made.serve_forever, daemon=True)
        thread.start()
        yield made
        made.shutdown()


def record_in_a_process(root: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Two executions of one run, in a process of its own: the library reads the environment only once."""
    code = (
        "import sys, json; from pathlib import Path; from components.runtime.lineage import record as lineage\n"
        "record = json.loads(sys.argv[2])\n"
        "root = Path(sys.argv[1])\n"
        "lineage.started(root, 'taxi-1', record)\n"
        "lineage.ended(root, 'taxi-1', record, 'done')\n"
    )
    record = execution(root)
    del record["outputs"]["metrics"]
    return subprocess.run(
        [sys.executable, "-c", code, str(root), json.dumps(record)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_server_gets_the_same_events(tmp_path: Path, server: Server) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}"

    result = record_in_a_process(tmp_path, OPENLINEAGE_URL=url, OPENLINEAGE_API_KEY="the-api-key")

    assert (result.returncode, result.stderr) == (0, "")
    assert [path for path, _, _ in server.received] == ["/api/v1/lineage"] * 2
    assert [key for _, key, _ in server.received] == ["Bearer the-api-key"] * 2
    for (_, _, received), written in zip(server.received, read(tmp_path, "taxi-1"), strict=True):
        check_against_the_specification(received)
        assert received["run"]["runId"] == written["run"]["runId"]
        assert received["eventType"] == written["eventType"]
        assert received["inputs"] == written["inputs"]
        assert SECRET not in json.dumps(received)


@pytest.mark.parametrize("server", [403], indirect=True)
def test_a_server_that_refuses_costs_one_warning(tmp_path: Path, server: Server) -> None:
    result = record_in_a_process(
        tmp_path, OPENLINEAGE_URL=f"http://127.0.0.1:{server.server_address[1]}", OPENLINEAGE_API_KEY="the-api-key"
    )

    assert result.returncode == 0
    assert len(result.stderr.splitlines()) == 1
    assert "the OpenLineage server gets no events of this run" in result.stderr
    assert "the-api-key" not in result.stderr
    assert len(server.received) == 1, "not tried again"
    assert len(read(tmp_path, "taxi-1")) == 2


def test_a_server_that_is_not_there_costs_one_warning(tmp_path: Path) -> None:
    with Server(201) as gone:
        port = gone.server_address[1]

    result = record_in_a_process(tmp_path, OPENLINEAGE_URL=f"http://127.0.0.1:{port}")

    assert (result.returncode, len(result.stderr.splitlines())) == (0, 1)
    assert len(read(tmp_path, "taxi-1")) == 2


def test_a_disabled_client_sends_nothing(tmp_path: Path, server: Server) -> None:
    url = f"http://127.0.0.1:{server.server_address[1]}"
    result = record_in_a_process(tmp_path, OPENLINEAGE_URL=url, OPENLINEAGE_DISABLED="true")
    assert (result.returncode, server.received) == (0, [])
    assert len(read(tmp_path, "taxi-1")) == 2
