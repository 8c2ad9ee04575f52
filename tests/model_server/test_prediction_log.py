"""What a real server logs of requests of every kind, and how clients label an answer."""

from __future__ import annotations

import base64
import datetime
import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import quote

import grpc
import numpy as np
import pytest
import tensorflow as tf
import urllib3
from kserve.protocol.grpc import grpc_predict_v2_pb2, grpc_predict_v2_pb2_grpc
from pyarrow import parquet
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from components.runtime.model_server.process import Server
from components.runtime.records import prediction_log as log_files
from tests.model_server.conftest import MODEL, log_of
from tests.model_server.made_models import ODD_NAME

PATH = f"/v1/models/{quote(MODEL)}"
SMALLEST = -(2**63)
ROW = {"x": 1.5, ODD_NAME: 2, "text": "näh", "flag": True}
MISSING = {"x": float("nan"), ODD_NAME: SMALLEST, "text": "", "flag": False}


@pytest.fixture
def log(server: Server) -> Path:
    return log_of(server.log.with_suffix(""))


def ask(server: Server, place: str, body: Any, request_id: str = "") -> urllib3.BaseHTTPResponse:
    headers = {"Content-Type": "application/json"} | ({"X-Request-Id": request_id} if request_id else {})
    answer = urllib3.request(
        "POST", f"{server.client.address}{place}", body=json.dumps(body), headers=headers, timeout=60, retries=False
    )
    assert answer.status == 200, answer.data
    return answer


_REQUESTS: dict[Path, set[str]] = {}
"""Of which requests each file of the log has rows: all tests of the server write into it."""


def logged(log: Path, prediction_id: str, rows: int = 1) -> list[dict[str, Any]]:
    """The rows of a request, once they are written."""
    request = prediction_id.rpartition("-")[0]
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for file in reversed(log_files.files(log)):
            if file not in _REQUESTS:
                ids = parquet.ParquetFile(file).read(["prediction_id"])["prediction_id"].to_pylist()
                _REQUESTS[file] = {each.rpartition("-")[0] for each in ids}
            if request in _REQUESTS[file]:
                whole = parquet.ParquetFile(file).read().to_pylist()
                found = [row for row in whole if row["prediction_id"].rpartition("-")[0] == request]
                assert [row["prediction_id"] for row in found] == [f"{request}-{row}" for row in range(rows)]
                return found
        time.sleep(0.05)
    raise AssertionError(f"{prediction_id} is not in the log")


def example(**features: Any) -> bytes:
    made = tf.train.Example()
    for name, value in features.items():
        kind = made.features.feature[name]
        if isinstance(value, bytes):
            kind.bytes_list.value.append(value)
        elif isinstance(value, int):
            kind.int64_list.value.append(value)
        elif value is not None:
            kind.float_list.value.append(value)
        else:
            kind.SetInParent()
    return made.SerializeToString()


def test_rows_and_columns_are_logged_with_the_version_and_without_what_is_redacted(server: Server, log: Path) -> None:
    before = datetime.datetime.now(datetime.UTC)
    answer = ask(server, f"{PATH}/labels/stable:predict", {"instances": [ROW, MISSING]}, "trip.2026:7")
    assert answer.headers["X-Prediction-Id"] == "trip.2026:7-0"
    one, other = logged(log, "trip.2026:7-0", 2)
    assert before <= one["time"] <= datetime.datetime.now(datetime.UTC)
    assert (one["version"], one["signature"]) == (1, "serving_default")
    assert one["features"] == {"x": 1.5, ODD_NAME: 2, "text": "näh"}
    assert other["features"] == {"x": None, ODD_NAME: None, "text": None}
    assert one["prediction"] == {"version": 1.0, "x": 1.5, "whole": 2, "text": "näh"}
    # Of an answer nothing is missing: what it says is what it said.
    assert (other["prediction"]["whole"], other["prediction"]["text"]) == (SMALLEST, "")
    columns = {name: [value] for name, value in ROW.items()}
    by_columns = ask(server, f"{PATH}:predict", {"inputs": columns}).headers["X-Prediction-Id"]
    [row] = logged(log, by_columns)
    assert (row["version"], row["features"]) == (2, one["features"])
    answered = server.client.ask([ROW, MISSING])
    assert answered.prediction_ids is not None
    rows = logged(log, answered.prediction_ids[0], 2)
    assert [row["prediction_id"] for row in rows] == answered.prediction_ids, "the client counts as the log does"
    [file, *_] = log_files.files(log)
    assert log_files.redacted(next(log_files.read(log))) == {"flag", "secret"}
    assert file.parent.name.startswith("date=")


@pytest.mark.parametrize("given", ["", "two words", "ä", "x" * 101])
def test_an_id_that_can_be_none_is_made_anew(given: str, server: Server, log: Path) -> None:
    made = ask(server, f"{PATH}:predict", {"instances": [ROW]}, given.encode("latin-1").decode("latin-1"))
    request = made.headers["X-Prediction-Id"].removesuffix("-0")
    assert len(request) == 32
    assert request != ask(server, f"{PATH}:predict", {"instances": [ROW]}).headers["X-Prediction-Id"][:-2]


def test_lists_and_bytes_are_logged_as_they_are(server: Server, log: Path) -> None:
    image = {"signature_name": "image", "instances": np.zeros([2, 4, 4, 3]).tolist()}
    rows = logged(log, ask(server, f"{PATH}:predict", image).headers["X-Prediction-Id"], 2)
    assert np.shape(rows[1]["features"]["image"]) == (4, 4, 3)
    assert len(rows[1]["prediction"]["probabilities"]) == 3
    coded = {"signature_name": "bytes", "instances": [{"b64": base64.b64encode(b"\xff\xd8").decode()}]}
    # (A text that could be a tf.Example and is none, where something is redacted, might hold it.)
    [row] = logged(log, ask(server, f"{PATH}:predict", coded).headers["X-Prediction-Id"])
    assert row["features"] is None
    assert row["prediction"] == {"image_bytes": b"\xff\xd8", "length": 2}


def test_what_is_not_by_rows_is_not_logged_and_says_so(server: Server) -> None:
    for signature, inputs in (("scalar", 4), ("no_rows", {"x": [1, 2]})):
        answer = ask(server, f"{PATH}:predict", {"signature_name": signature, "inputs": inputs})
        assert "X-Prediction-Id" not in answer.headers


def test_examples_are_logged_as_the_same_features_given_plainly(server: Server, log: Path) -> None:
    examples = [{"x": 2.5, "text": "a", "flag": 1, "unknown": 7}, {"x": 1.0}]
    for verb in ("classify", "regress"):
        answer = ask(server, f"{PATH}:{verb}", {"signature_name": verb, "examples": examples})
        one, other = logged(log, answer.headers["X-Prediction-Id"], 2)
        assert one["features"] == {"x": 2.5, ODD_NAME: None, "text": "a"}
        assert other["features"] == {"x": 1.0, ODD_NAME: None, "text": None}
        assert one["signature"] == verb
    assert one["prediction"] == {"outputs": 7.0}
    coded = [{"b64": base64.b64encode(example(x=2.5, text=b"a", flag=1)).decode()}]
    answer = ask(server, f"{PATH}:predict", {"signature_name": "from_examples", "instances": coded})
    [row] = logged(log, answer.headers["X-Prediction-Id"])
    assert row["features"] == {"x": 2.5, ODD_NAME: None, "text": "a"}


def test_grpc_tells_the_id_behind_the_answer(server: Server, log: Path) -> None:
    predict = predict_pb2.PredictRequest()
    for name, values in {"x": np.float32([1.5]), ODD_NAME: np.int64([2]), "text": [b"a"], "flag": [True]}.items():
        predict.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    classify, regress = classification_pb2.ClassificationRequest(), regression_pb2.RegressionRequest()
    for request in (predict, classify, regress):
        request.model_spec.name = MODEL
    classify.model_spec.signature_name, regress.model_spec.signature_name = "classify", "regress"
    for request in (classify, regress):
        request.input.example_list.examples.add().MergeFromString(example(x=1.5, text=b"a", secret=b"b"))
    with grpc.insecure_channel(server.grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        for call, request in ((stub.Predict, predict), (stub.Classify, classify), (stub.Regress, regress)):
            name = f"grpc-{type(request).__name__}"
            _, behind = call.with_call(request, timeout=60, metadata=[("x-request-id", name)])
            assert dict(behind.trailing_metadata())["x-prediction-id"] == f"{name}-0"
            [row] = logged(log, f"{name}-0")
            assert (row["features"]["x"], row["features"]["text"]) == (1.5, "a")
            assert not row["features"].keys() & {"flag", "secret"}


def test_the_open_inference_protocol_tells_the_id_in_the_answer(server: Server, log: Path) -> None:
    inputs = [
        {"name": "x", "shape": [1], "datatype": "FP32", "data": [1.5]},
        {"name": ODD_NAME, "shape": [1], "datatype": "INT64", "data": [2]},
        {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]},
        {"name": "flag", "shape": [1], "datatype": "BOOL", "data": [True]},
    ]
    answer = ask(server, f"/v2/models/{quote(MODEL)}/infer", {"id": "oip", "inputs": inputs})
    assert answer.headers["X-Prediction-Id"] == json.loads(answer.data)["parameters"]["prediction_id"] == "oip-0"
    [row] = logged(log, "oip-0")
    assert row["features"] == {"x": 1.5, ODD_NAME: 2, "text": "a"}
    request = grpc_predict_v2_pb2.ModelInferRequest(model_name=MODEL)
    for each in inputs:
        given = request.inputs.add(name=each["name"], shape=each["shape"], datatype=each["datatype"])
        field = {"FP32": "fp32", "INT64": "int64", "BYTES": "bytes", "BOOL": "bool"}[each["datatype"]]
        values = [value.encode() if isinstance(value, str) else value for value in each["data"]]
        getattr(given.contents, f"{field}_contents").extend(values)
    with grpc.insecure_channel(server.grpc, options=[("grpc.enable_http_proxy", 0)]) as channel:
        stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
        found = stub.ModelInfer(request, timeout=60, metadata=[("x-request-id", "oip.grpc")])
    assert found.parameters["prediction_id"].string_param == "oip.grpc-0"
    assert logged(log, "oip.grpc-0")[0]["features"] == row["features"]


def test_a_label_of_an_answer_is_kept(server: Server, log: Path) -> None:
    told = ask(server, f"{PATH}:predict", {"instances": [ROW]}).headers["X-Prediction-Id"]
    for label, kind in ((1, "explicit"), ("Zürich", "corrected"), (True, "implicit"), (0.5, "explicit")):
        answer = ask(server, f"{PATH}/feedback", {"prediction_id": told, "label": label, "kind": kind})
        assert json.loads(answer.data) == {"prediction_id": told, "label": label, "kind": kind}
    end = time.monotonic() + 60
    while len(log_files.read_labels(log)) < 4 and time.monotonic() < end:
        time.sleep(0.05)
    assert log_files.read_labels(log).select(["prediction_id", "label", "kind"]).to_pylist() == [
        {"prediction_id": told, "label": label, "kind": kind}
        for label, kind in (("1", "explicit"), ("Zürich", "corrected"), ("true", "implicit"), ("0.5", "explicit"))
    ]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prediction_id": "abc"}, "`prediction_id` has to be"),
        ({"prediction_id": 7}, "`prediction_id` has to be"),
        ({"kind": "guessed"}, "`kind` has to be one of explicit, corrected, implicit"),
        ({"label": None}, "`label` has to be a number, a text, true or false"),
        ({"label": float("nan")}, "`label` has to be a number"),
        ({"label": 2**63}, "`label` has to fit"),
        ({"label": [1]}, "`label` has to be a number"),
        ({"lable": 1}, "feedback has no 'lable'"),
    ],
)
def test_feedback_that_is_none_is_refused(change: dict[str, Any], said: str, server: Server) -> None:
    body = {"prediction_id": "a-0", "label": 1} | change
    answer = urllib3.request("POST", f"{server.client.address}{PATH}/feedback", body=json.dumps(body), retries=False)
    assert answer.status == 400
    assert json.loads(answer.data)["error"].startswith(said)
