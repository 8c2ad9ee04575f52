"""The stage: a real server where one is needed, programs that end or lie in place of TensorFlow Serving where not."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.infra_validate.requests import questions, records
from components.runtime.errors import InputError
from components.runtime.publish.blessing import WARM_UP
from components.runtime.stage.artifacts import InputArtifact
from model_server import warm_up
from model_server.saved_model import SavedModel
from tests.components.infra_validate.conftest import ROWS, Validate, save
from tests.support import StageResult


def facts(result: StageResult) -> dict[str, Any]:
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads((result.folder / "infra_blessing" / "infra.json").read_text())
    return found


def passed(result: StageResult) -> bool:
    return json.loads((result.folder / "parameters" / "passed").read_text())


def check_not_passed(result: StageResult) -> str:
    """Nothing of it may be pushed, and the reason stands everywhere."""
    found = facts(result)
    assert found["passed"] is passed(result) is False
    folder = result.folder / "infra_blessing"
    assert {entry.name for entry in folder.iterdir()} == {"NOT_BLESSED", "blessing.json", "infra.json"}
    blessing = json.loads((folder / "blessing.json").read_text())
    assert blessing["blessed"] is False
    assert blessing["reason"] == f"not fit to be served: {found['reason']}"
    assert found["reason"].splitlines() == [found["reason"]]
    assert result.metadata("infra_blessing")["blessed"] is False
    assert "not passed" in result.stdout + result.stderr
    return str(found["reason"])


def test_a_model_is_served_asked_and_passed_on(validate: Validate, model: Path, tmp_path: Path) -> None:
    result = validate(bounds={"p99_ms": 60_000, "requests_per_second": 0.001})
    found = facts(result)
    assert found["passed"] is passed(result) is True, found
    folder = result.folder / "infra_blessing"
    assert (folder / "BLESSED").exists()
    blessing = json.loads((folder / "blessing.json").read_text())
    assert blessing == {"blessed": True, "reason": "good", "baseline_digest": "", "infra": {"passed": True}}
    titles = [each["title"] for each in found["checks"]]
    assert titles[:5] == [
        "the server loads the model",
        "answers by REST, plain features",
        "answers by gRPC, plain features",
        "answers by REST, tf.Examples",
        "answers by gRPC, tf.Examples",
    ]
    measured = result.metadata("metrics")
    assert measured == found["measured"]
    assert set(measured) >= {"p50_ms", "p99_ms", "load_seconds", "memory_mb", "model_mb", "requests_per_second"}
    assert 0 < measured["p50_ms"] <= measured["p99_ms"]
    page = (result.folder / "report").read_text()
    assert "yes: served by the built-in server (KServe)" in page
    assert "<svg" in page
    # What a server answers before it serves the version: by both signatures, two rows one by one, and both at once.
    version = tmp_path / "1"
    shutil.copytree(model / "Format-Serving", version)
    (version / "assets.extra").mkdir()
    shutil.copy(folder / WARM_UP, version / "assets.extra")
    assert warm_up.replay(SavedModel(version), version) == 6
    rows = warm_up.examples(SavedModel(version), version, 10)
    assert [row["text"][0].decode() for row in rows] == [row["text"] for row in ROWS[:2]]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo out of memory; exit 3", "TensorFlow Serving ended with 3: out of memory"),
        ("kill -9 $$", "TensorFlow Serving ended with -9: it said nothing"),
        ("exec sleep 100", "TensorFlow Serving was not ready after 1 s: it said nothing"),
    ],
)
def test_a_server_that_does_not_serve(
    validate: Validate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, said: str
) -> None:
    monkeypatch.setenv("MILLRACE_MODEL_SERVER", str(_program(tmp_path, script)))
    reason = check_not_passed(validate(ready_seconds=1.0))
    assert reason == f"the server loads the model: {said} (it answers)"


def _program(folder: Path, script: str) -> Path:
    program = folder / "tensorflow_model_server"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return program


_LIAR = """
import http.server, json, os, sys
port = next(int(each.split("=")[1]) for each in sys.argv if each.startswith("--rest_api_port"))
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.tell({"model_version_status": [{"version": "1", "state": "AVAILABLE", "status": {}}]})
    def do_POST(self):
        rows = json.loads(self.rfile.read(int(self.headers["content-length"])))["instances"]
        if MODE == "die": os._exit(7)
        self.tell({"predictions": [{"share": 0.5, "all": [0, 0], "label": "", "raw": ""}] * len(rows)})
    def tell(self, document):
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", port), Answers).serve_forever()
"""


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("die", "answers by REST, plain features: http://127.0.0.1"),
        ("lie", "answers by REST, plain features: 40 rows, largest difference inf (as in this process, to 1e-05)"),
    ],
)
def test_a_server_that_answers_wrongly_or_dies_while_asked(
    validate: Validate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str, said: str
) -> None:
    file = tmp_path / "liar.py"
    file.write_text(f"MODE = {mode!r}\n{_LIAR}")
    program = _program(tmp_path, f'exec python3 {file} "$@"')
    monkeypatch.setenv("MILLRACE_MODEL_SERVER", str(program))
    result = validate()
    assert check_not_passed(result).startswith(said)
    page = (result.folder / "report").read_text()
    assert "no: answers by REST" in page
    assert "not measured" in page


def test_a_model_that_is_not_blessed_is_not_served(validate: Validate, blessing: Path) -> None:
    (blessing / "BLESSED").rename(blessing / "NOT_BLESSED")
    (blessing / "blessing.json").write_text(json.dumps({"blessed": False, "reason": "auc <0.5>"}))
    result = validate()
    assert result.exit_code == 0
    assert not passed(result)
    # Nothing was checked, and nothing is told of it.
    folder = result.folder / "infra_blessing"
    assert {entry.name for entry in folder.iterdir()} == {"NOT_BLESSED", "blessing.json"}
    document = json.loads((folder / "blessing.json").read_text())
    assert (document["reason"], document["infra"]) == ("auc <0.5>", {"passed": None})
    assert "auc &lt;0.5&gt;" in (result.folder / "report").read_text()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"split": "test"}, "no split 'test', it has: empty, eval"),
        ({"split": "empty"}, "split 'empty' of the examples has no rows"),
        ({"rows": 0}, "rows: expected 1 or more, not 0"),
        ({"at_once": [0]}, "at_once: expected whole numbers from 1"),
        ({"bounds": {"p99": 1}}, "bounds: 'p99'"),
        ({"bounds": {"p99_ms": -1}}, "bounds.p99_ms: expected a number above 0"),
        ({"bounds": {"p99_ms": True}}, "bounds.p99_ms: expected a number above 0"),
        ({"server": "torch"}, "server: 'torch'"),
        ({"server": "tensorflow"}, "tensorflow_model_server is not on the path"),
    ],
)
def test_bad_parameters(validate: Validate, parameters: dict[str, Any], said: str) -> None:
    result = validate(**parameters)
    assert result.exit_code == 65
    assert said in result.error


def test_a_blessing_of_another_model(validate: Validate, blessing: Path) -> None:
    document = {"blessed": True, "reason": "good", "model_digest": "sha256:other"}
    (blessing / "blessing.json").write_text(json.dumps(document))
    result = validate()
    assert result.exit_code == 65
    assert "the blessing is of another model" in result.error


def test_a_model_without_a_signature_to_ask(validate: Validate, tmp_path: Path) -> None:
    result = validate(candidate=save(tmp_path / "model", ["from_examples"]))
    assert result.exit_code == 65
    assert "the model has no signature 'serving_default'; it has: from_examples" in result.error


def test_a_model_that_takes_examples_only(tmp_path: Path, examples: Path) -> None:
    model = save(tmp_path / "model", ["by_examples"])
    rows = records(InputArtifact("examples", str(examples), {}), "eval", 7)
    [question] = questions(model / "Format-Serving", rows)
    assert (question.title, list(question.given), question.count) == ("tf.Examples", ["examples"], 7)
    assert [tf.train.Example.FromString(value) for value in question.given["examples"]]
    assert all(set(row) == {"b64"} for row in question.rows())


def test_a_row_that_the_model_does_not_take(tmp_path: Path, model: Path) -> None:
    from components.runtime.data import examples as tf_examples

    with pytest.raises(InputError, match="row 0: x takes a number"):
        questions(model / "Format-Serving", [tf_examples.encode({"x": "much"})])
