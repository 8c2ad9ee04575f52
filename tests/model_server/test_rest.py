"""REST as TensorFlow Serving has it, asked of a real server."""

from __future__ import annotations

import asyncio
import base64
import json
import math
import socket
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import urllib3
import yaml
from fastapi import HTTPException

from components.runtime.model_server.process import Server
from model_server import rest
from model_server.limits import LARGEST_BODY, Limited
from tests.model_server.conftest import MODEL
from tests.model_server.made_models import ODD_NAME
from tests.support import ROOT

PATH = f"/v1/models/{quote(MODEL)}"
ROW = {"x": 1.5, ODD_NAME: 2, "text": "näh", "flag": True}
TYPES = {"int8": -128, "uint8": 255, "int32": 2**31 - 1, "float64": 0.1, "float16": 0.5}
JPEG = b"\xff\xd8\xff\x00"


def ask(server: Server, method: str, path: str, body: Any = None) -> tuple[int, Any, Any]:
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    answer = urllib3.request(method, server.client.address + path, body=content, timeout=60, retries=False)
    return answer.status, json.loads(answer.data), answer.headers


def predict(server: Server, request: Any, place: str = "") -> Any:
    status, document, _ = ask(server, "POST", f"{PATH}{place}:predict", request)
    assert status == 200, document
    return document


def refused(server: Server, request: Any, place: str = ":predict") -> tuple[int, str]:
    status, document, _ = ask(server, "POST", f"{PATH}{place}", request)
    assert list(document) == ["error"], document
    assert "\n" not in document["error"]
    return status, document["error"]


def test_rows_are_answered_by_output(server: Server) -> None:
    found = predict(server, {"instances": [ROW, ROW | {"x": 0.1, ODD_NAME: -(2**63), "text": ""}]})
    assert found == {
        "predictions": [
            {"version": 2.0, "x": 1.5, "whole": 2, "text": "näh", "flag": True},
            # A float of 32 bits is written with its own digits.
            {"version": 2.0, "x": 0.1, "whole": -(2**63), "text": "", "flag": True},
        ]
    }


def test_columns_are_answered_by_columns(server: Server) -> None:
    columns = {"x": [1, 2], ODD_NAME: [1, 2**63 - 1], "text": ["a", "b"], "flag": [False, True]}
    found = predict(server, {"inputs": columns})["outputs"]
    assert found["whole"] == [1, 2**63 - 1]
    assert found["flag"] == [False, True]
    assert found["version"] == [2.0, 2.0]


def test_one_input_and_one_output_need_no_names(server: Server) -> None:
    single = {"signature_name": "single"}
    assert predict(server, {"instances": [[1, 2], [3, 4]], **single}) == {"predictions": [[2, 2], [2, 2]]}
    assert predict(server, {"inputs": [[1, 2]], **single}) == {"outputs": [[2, 2]]}
    assert predict(server, {"instances": [{"x": [1, 2]}], **single}) == {"predictions": [[2, 2]]}
    assert predict(server, {"inputs": {"x": [[1, 2]]}, **single}) == {"outputs": [[2, 2]]}
    assert predict(server, {"inputs": 4, "signature_name": "scalar"}) == {"outputs": 5}


def test_bytes_go_and_come_in_base64(server: Server) -> None:
    coded = {"b64": base64.b64encode(JPEG).decode()}
    named = {"signature_name": "bytes"}
    answer = {"image_bytes": coded, "length": 4}
    assert predict(server, {"instances": [coded], **named}) == {"predictions": [answer]}
    assert predict(server, {"instances": [{"image": coded}], **named}) == {"predictions": [answer]}
    assert predict(server, {"inputs": [coded], **named}) == {"outputs": {"image_bytes": [coded], "length": [4]}}
    # What is no text goes so too, where the output is not called …_bytes.
    row = ROW | {"text": coded}
    assert predict(server, {"instances": [row]})["predictions"][0]["text"] == coded


def test_numbers_that_are_none_go_through(server: Server) -> None:
    found = predict(
        server, json.dumps({"instances": [ROW | {"x": value} for value in (math.nan, math.inf, 1)]}).encode()
    )
    x = [row["x"] for row in found["predictions"]]
    assert math.isnan(x[0])
    assert x[1:] == [math.inf, 1]


def test_every_type_of_number(server: Server) -> None:
    assert predict(server, {"instances": [TYPES], "signature_name": "types"}) == {"predictions": [TYPES]}


def test_versions_and_labels(server: Server) -> None:
    for place, version in (("", 2), ("/versions/1", 1), ("/versions/2", 2), ("/labels/stable", 1)):
        status, document, headers = ask(server, "POST", f"{PATH}{place}:predict", {"instances": [ROW]})
        assert (status, document["predictions"][0]["version"]) == (200, version)
        assert headers["X-Model-Version"] == str(version)


def test_status(server: Server) -> None:
    ok = {"error_code": "OK", "error_message": ""}
    versions = [{"version": number, "state": "AVAILABLE", "status": ok} for number in ("2", "1")]
    assert ask(server, "GET", PATH)[1] == {"model_version_status": versions}
    assert ask(server, "GET", f"{PATH}/versions/1")[1] == {"model_version_status": versions[1:]}
    assert ask(server, "GET", f"{PATH}/labels/stable")[1] == {"model_version_status": versions[1:]}
    assert ask(server, "GET", "/v1/models")[1] == {"models": [MODEL]}


def test_metadata(server: Server) -> None:
    status, found, _ = ask(server, "GET", f"{PATH}/labels/stable/metadata")
    assert status == 200
    assert found["model_spec"] == {"name": MODEL, "signature_name": "", "version": "1"}
    assert list(found["metadata"]) == ["signature_def"]
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert signatures["regress"]["method_name"] == "tensorflow/serving/regress"
    x = signatures["image"]["inputs"]["image"]
    assert x["dtype"] == "DT_FLOAT"
    assert [each["size"] for each in x["tensor_shape"]["dim"]] == ["-1", "4", "4", "3"]
    assert x["tensor_shape"]["unknown_rank"] is False


def test_classify_and_regress(server: Server) -> None:
    examples = {"context": {"text": "yes"}, "examples": [{"x": 0.25}, {"x": [0.5]}]}
    _, found, headers = ask(server, "POST", f"{PATH}:classify", {"signature_name": "classify", **examples})
    assert found == {"result": [[["yes", 0.25], ["other", 2.0]], [["yes", 0.5], ["other", 2.0]]]}
    assert headers["X-Model-Version"] == "2"
    _, found, _ = ask(server, "POST", f"{PATH}:classify", {"signature_name": "only_scores", **examples})
    assert found == {"result": [[["", 0.25]], [["", 0.5]]]}
    _, found, _ = ask(server, "POST", f"{PATH}/versions/1:regress", {"signature_name": "regress", **examples})
    assert found == {"result": [1.5, 2.0]}


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (b"{", "is no JSON"),
        (b"\xff", "is no JSON"),
        (b"[" * 100_000, "nested too deeply"),
        ([1], "has to be a JSON object"),
        ({}, "either `instances`"),
        ({"instances": [ROW], "inputs": {}}, "either `instances`"),
        ({"instances": []}, "a row or more"),
        ({"instances": {}}, "a row or more"),
        ({"instances": [1]}, "has to name the inputs"),
        ({"inputs": [1]}, "has to name the inputs"),
        ({"instances": [ROW, 1]}, "others do not"),
        ({"instances": [ROW, {"x": 1}]}, "row 1 of `instances`"),
        ({"instances": [{"x": 1}]}, "'flag' of signature 'serving_default' is missing"),
        ({"instances": [ROW | {"y": 1}]}, "has no input 'y'"),
        ({"instances": [ROW | {"x": "1"}]}, "'x' has to be float32 of shape [?]"),
        ({"instances": [ROW | {"x": None}]}, "'x' has to be"),
        ({"instances": [ROW | {"x": True}]}, "'x' has to be"),
        ({"instances": [ROW | {"x": [1]}]}, "not of shape [1, 1]"),
        ({"instances": [ROW | {ODD_NAME: 1.5}]}, f"{ODD_NAME!r} has to be int64"),
        ({"instances": [ROW | {ODD_NAME: 2**63}]}, f"{ODD_NAME!r} has to be int64"),
        ({"instances": [ROW | {ODD_NAME: 10**400}]}, f"{ODD_NAME!r} has to be int64"),
        ({"instances": [ROW | {"text": 1}]}, "'text' has to be string"),
        ({"instances": [ROW | {"text": {"b64": "!"}}]}, "no base64"),
        ({"instances": [ROW | {"text": {"b64": 1}}]}, '{"b64"'),
        ({"instances": [ROW | {"flag": 1}]}, "'flag' has to be bool"),
        ({"instances": [[1, 2], [3]], "signature_name": "single"}, "'x' has to be"),
        ({"instances": [json.loads("[" * 300 + "]" * 300)], "signature_name": "single"}, "nested too deeply"),
        ({"instances": [ROW], "signature_name": "none"}, "has no signature 'none'; it has"),
        ({"instances": [ROW], "signature_name": 1}, "has to be a text"),
        ({"instances": [1, 2], "signature_name": "no_rows"}, "'total' is not by rows"),
        ({"instances": [7], "signature_name": "fails"}, "the model refuses these values"),
        # TensorFlow quotes it, and it is no UTF-8.
        (
            {"instances": [{"examples": {"b64": "////bm9wZQ=="}}], "signature_name": "from_examples"},
            "the model refuses these values: Could not parse example input, value: '\ufffd\ufffd\ufffdnope'",
        ),
        (
            {"instances": [TYPES | {"int8": 128}], "signature_name": "types"},
            "'int8' has to be int8",
        ),
        ({"inputs": {"x": [1], ODD_NAME: [1, 2], "text": ["a"], "flag": [True]}}, "different numbers of examples"),
    ],
)  # fmt: skip
def test_bad_requests(server: Server, request_: Any, said: str) -> None:
    status, error = refused(server, request_)
    assert status == 400
    assert said in error


@pytest.mark.parametrize(
    ("place", "request_", "said"),
    [
        (":classify", {"signature_name": "regress", "examples": [{"x": 1}]}, "is for regress, not for classify"),
        (":regress", {"examples": [{"x": 1}]}, "is for predict, not for regress"),
        (":classify", {"signature_name": "odd_classes", "examples": [{"x": 1.0}]}, "a list of classes"),
        (":regress", {"signature_name": "regress", "examples": []}, "list of objects"),
        (":regress", {"signature_name": "regress", "examples": [1]}, "list of objects"),
        (":regress", {"signature_name": "regress", "examples": [{"x": {}}]}, "feature 'x'"),
        (":regress", {"signature_name": "regress", "examples": [{"x": [1, "a"]}]}, "feature 'x'"),
        (":regress", {"signature_name": "regress", "examples": [{"x": 2**64}]}, "feature 'x'"),
        (":regress", {"signature_name": "regress", "examples": [{"x": 1.5, "text": 1.5}]}, "the model refuses"),
        (":regress", {"signature_name": "regress", "examples": [{"x": 1}], "context": {"x": 1}}, "in `context` and"),
    ],
)
def test_bad_examples(server: Server, place: str, request_: Any, said: str) -> None:
    status, error = refused(server, request_, place)
    assert status == 400
    assert said in error


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", f"{PATH}/versions/7:predict", 404),
        ("POST", f"{PATH}/versions/{2**70}:predict", 404),
        ("POST", f"{PATH}/versions/{'9' * 5000}:predict", 404),
        ("GET", f"{PATH}/versions/{'9' * 5000}", 404),
        ("POST", f"{PATH}/labels/none:predict", 404),
        ("POST", f"{PATH}/versions/x:predict", 400),
        ("POST", "/v1/models/other:predict", 404),
        ("POST", PATH, 404),
        ("POST", f"{PATH}:regret", 404),
        ("POST", f"{PATH}/versions/1/labels/stable:predict", 404),
        ("GET", f"{PATH}/versions/7", 404),
        ("GET", f"{PATH}/labels/none", 404),
        ("GET", f"{PATH}/versions/7/metadata", 404),
        ("GET", "/v1/models/other", 404),
        ("GET", f"{PATH}:predict", 405),
        ("DELETE", PATH, 405),
        ("GET", "/nothing/here", 404),
        ("GET", "/v1/models/..%2f..%2fetc", 404),
    ],
)
def test_what_is_not_there(server: Server, method: str, path: str, status: int) -> None:
    found, document, _ = ask(server, method, path, {"instances": [ROW]} if method == "POST" else None)
    assert found == status
    assert list(document) == ["error"]


def test_a_body_that_is_too_large_is_not_read(server: Server) -> None:
    place = urlsplit(server.client.address)
    for path in (f"{PATH}:predict", f"/v2{PATH.removeprefix('/v1')}/infer"):
        with socket.create_connection((place.hostname, place.port), 30) as connection:
            connection.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {1 << 40}\r\n\r\n".encode())
            answer = _answer(connection)
            assert answer.startswith(b"HTTP/1.1 400")
            assert b'{"error":' in answer


def test_a_slow_client_and_one_that_leaves_hold_up_nobody(server: Server) -> None:
    place = urlsplit(server.client.address)
    body = json.dumps({"instances": [ROW]}).encode()
    head = (
        f"POST {PATH}:predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )
    slow = [socket.create_connection((place.hostname, place.port), 30) for _ in range(50)]
    for connection in slow:
        connection.sendall(head + body[:10])
    assert predict(server, {"instances": [ROW]})["predictions"]
    for connection in slow[1:]:
        connection.close()
    slow[0].sendall(body[10:])
    assert b'"version":2.0' in _answer(slow[0])
    slow[0].close()
    assert "went away" not in server.log.read_text()


def test_a_body_without_a_length_is_read_no_further_than_it_may_be() -> None:
    sent = 0

    async def pieces() -> dict[str, Any]:
        nonlocal sent
        sent += 1
        return {"type": "http.request", "body": bytes(LARGEST_BODY // 4), "more_body": True}

    async def reader(scope: Any, receive: Any, send: Any) -> None:
        while True:
            await receive()

    with pytest.raises(HTTPException, match="more than 256 MB"):
        asyncio.run(Limited(reader)({"type": "http", "headers": []}, pieces, None))
    assert sent == 5


def _answer(connection: socket.socket) -> bytes:
    found = b""
    while piece := connection.recv(65536):
        found += piece
        if b"}" in piece:
            break
    return found


def test_metrics_have_the_names_of_tensorflow_serving(server: Server) -> None:
    predict(server, {"instances": [ROW]})
    refused(server, {})
    for path in ("/monitoring/prometheus/metrics", "/metrics"):
        answer = urllib3.request("GET", server.client.address + path, timeout=60)
        lines = answer.data.decode().splitlines()
        assert answer.headers["content-type"].startswith("text/plain")
        counts = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if line[0] != "#"}
        labels = f'entrypoint="REST",model_name="{MODEL}"'
        assert counts[f':tensorflow:serving:request_count{{{labels},status="OK"}}'] >= 1
        assert counts[f':tensorflow:serving:request_count{{{labels},status="INVALID_ARGUMENT"}}'] >= 1
        latency = f'API="Predict",{labels}'
        assert counts[f":tensorflow:serving:request_latency_count{{{latency}}}"] >= 2
        # Microseconds: none takes less than ten.
        assert counts[f":tensorflow:serving:request_latency_sum{{{latency}}}"] >= 20
        assert counts[f'millrace_version_in_service{{model_name="{MODEL}"}}'] == 2


def test_the_route_of_a_canary_has_every_verb() -> None:
    route = yaml.safe_load((ROOT / "manifests" / "serving" / "canary" / "route.yaml").read_text())
    paths = [match["path"] for rule in route["spec"]["rules"] for match in rule["matches"]]
    verbs = {path["value"].partition(":")[2] for path in paths if path["type"] == "Exact"}
    assert verbs == set(rest._VERBS)
