"""gRPC as TensorFlow Serving has it, and KServe's Open Inference Protocol, asked of a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import grpc
import numpy as np
import pytest
import tensorflow as tf
import urllib3
from kserve.protocol.grpc import grpc_predict_v2_pb2, grpc_predict_v2_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    input_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from components.runtime.model_server.process import Server
from tests.model_server.conftest import MODEL
from tests.model_server.made_models import ODD_NAME

ROW = {"x": np.float32([1.5]), ODD_NAME: np.int64([-(2**63)]), "text": [b"n\xc3\xa4h"], "flag": [True]}


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(server.grpc, options=[("grpc.enable_http_proxy", 0)]) as found:
        yield found


def request(inputs: dict[str, Any], signature: str = "", **spec: Any) -> predict_pb2.PredictRequest:
    made = predict_pb2.PredictRequest()
    made.model_spec.name = MODEL
    made.model_spec.signature_name = signature
    for name, values in inputs.items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    _choose(made.model_spec, **spec)
    return made


def _choose(spec: Any, version: int | None = None, label: str = "") -> None:
    if version is not None:
        spec.version.value = version
    if label:
        spec.version_label = label


def predict(channel: grpc.Channel, asked: predict_pb2.PredictRequest) -> predict_pb2.PredictResponse:
    return prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict(asked, timeout=60)


def refused(channel: grpc.Channel, asked: predict_pb2.PredictRequest) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        predict(channel, asked)
    return caught.value.code().name, caught.value.details()


def test_predict(channel: grpc.Channel) -> None:
    answer = predict(channel, request(ROW))
    found = {name: tf.make_ndarray(tensor).tolist() for name, tensor in answer.outputs.items()}
    assert found == {"version": [2], "x": [1.5], "whole": [-(2**63)], "text": [b"n\xc3\xa4h"], "flag": [True]}
    assert answer.outputs["x"].dtype == tf.float32.as_datatype_enum
    assert answer.model_spec.name == MODEL
    assert answer.model_spec.version.value == 2
    assert answer.model_spec.signature_name == "serving_default"


def test_versions_labels_and_outputs(channel: grpc.Channel) -> None:
    for choice, version in (({"version": 1}, 1), ({"version": 2}, 2), ({"label": "stable"}, 1)):
        asked = request(ROW, **choice)
        asked.output_filter.append("version")
        answer = predict(channel, asked)
        assert list(answer.outputs) == ["version"]
        assert tf.make_ndarray(answer.outputs["version"]) == [version]
        assert answer.model_spec.version.value == version


def test_large_and_empty_tensors(channel: grpc.Channel) -> None:
    many = np.zeros([300_000, 2], np.float32)
    assert tf.make_ndarray(predict(channel, request({"x": many}, "single")).outputs["y"]).shape == many.shape
    assert tf.make_ndarray(predict(channel, request({"x": many[:0]}, "single")).outputs["y"]).shape == (0, 2)
    assert tf.make_ndarray(predict(channel, request({"x": np.float32(1)}, "scalar")).outputs["y"]) == 2


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        (request(ROW, version=7), "NOT_FOUND", "version 7 is not served; these are: [1, 2]"),
        (request(ROW, label="none"), "NOT_FOUND", "no version has the label 'none'; there are stable"),
        (request(ROW, "none"), "INVALID_ARGUMENT", "has no signature 'none'"),
        (request({"x": [1.0]}), "INVALID_ARGUMENT", "is missing"),
        (request(ROW | {"y": [1]}), "INVALID_ARGUMENT", "has no input 'y'"),
        (request(ROW | {"x": ["a"]}), "INVALID_ARGUMENT", "'x' has to be float32"),
        (request({"place": np.int64([7])}, "fails"), "INVALID_ARGUMENT", "the model refuses"),
        (request({"examples": [b"\xff\xff\xffnope"]}, "from_examples"), "INVALID_ARGUMENT", "\ufffdnope'"),
        (predict_pb2.PredictRequest(), "INVALID_ARGUMENT", "names no model"),
    ],
)  # fmt: skip
def test_refusals(channel: grpc.Channel, asked: predict_pb2.PredictRequest, code: str, said: str) -> None:
    found = refused(channel, asked)
    assert found[0] == code
    assert said in found[1]


def test_more_refusals(channel: grpc.Channel) -> None:
    asked = request(ROW)
    asked.model_spec.name = "other"
    assert refused(channel, asked) == ("NOT_FOUND", f"no model 'other' is served; these are: {MODEL}")
    asked = request(ROW)
    asked.output_filter.append("none")
    assert "has no output 'none'" in refused(channel, asked)[1]


def test_tensors_that_are_none(channel: grpc.Channel) -> None:
    asked = request(ROW)
    asked.inputs["x"].tensor_content = b"123"
    asked.inputs["x"].ClearField("float_val")
    assert refused(channel, asked)[0] == "INVALID_ARGUMENT"
    # A few bytes that stand for more than there is memory.
    for sizes in ([1 << 40], [1 << 31, 1 << 31]):
        asked = request(ROW)
        del asked.inputs["x"].tensor_shape.dim[:]
        for size in sizes:
            asked.inputs["x"].tensor_shape.dim.add(size=size)
        code, said = refused(channel, asked)
        assert code == "INVALID_ARGUMENT"
        assert "are the most" in said
    asked.inputs["x"].tensor_shape.dim[0].size = -5
    assert refused(channel, asked)[0] == "INVALID_ARGUMENT"
    asked.inputs["x"].dtype = 99
    assert refused(channel, asked)[0] == "INVALID_ARGUMENT"


def _input(*values: float) -> input_pb2.Input:
    made = input_pb2.Input()
    for value in values:
        example = made.example_list.examples.add()
        example.features.feature["x"].float_list.value.append(value)
    return made


def test_classify_and_regress(channel: grpc.Channel) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    asked = classification_pb2.ClassificationRequest(input=_input(0.25, 0.5))
    asked.model_spec.name, asked.model_spec.signature_name = MODEL, "classify"
    answer = stub.Classify(asked, timeout=60)
    found = [[(each.label, each.score) for each in row.classes] for row in answer.result.classifications]
    assert found == [[("", 0.25), ("other", 2)], [("", 0.5), ("other", 2)]]
    assert answer.model_spec.version.value == 2

    asked = regression_pb2.RegressionRequest()
    asked.model_spec.name, asked.model_spec.signature_name = MODEL, "regress"
    asked.model_spec.version_label = "stable"
    with_context = asked.input.example_list_with_context
    with_context.context.features.feature["x"].float_list.value.append(3)
    with_context.examples.add()
    answer = stub.Regress(asked, timeout=60)
    assert [each.value for each in answer.result.regressions] == [7]
    assert answer.model_spec.signature_name == "regress"

    asked.input.Clear()
    with pytest.raises(grpc.RpcError, match="has no examples"):
        stub.Regress(asked, timeout=60)
    asked.input.CopyFrom(_input(1))
    asked.model_spec.signature_name = ""
    with pytest.raises(grpc.RpcError, match="is for predict, not for regress"):
        stub.Regress(asked, timeout=60)


def test_metadata_and_status(channel: grpc.Channel) -> None:
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    asked = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    asked.model_spec.name = MODEL
    answer = stub.GetModelMetadata(asked, timeout=60)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(signatures)
    assert ODD_NAME in signatures.signature_def["serving_default"].inputs
    assert answer.model_spec.version.value == 2
    for fields in ([], ["other"]):
        del asked.metadata_field[:]
        asked.metadata_field.extend(fields)
        with pytest.raises(grpc.RpcError, match="metadata_field has to be"):
            stub.GetModelMetadata(asked, timeout=60)

    states = model_service_pb2_grpc.ModelServiceStub(channel)
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = MODEL
    found = states.GetModelStatus(status, timeout=60).model_version_status
    available = get_model_status_pb2.ModelVersionStatus.AVAILABLE
    assert [(each.version, each.state) for each in found] == [(2, available), (1, available)]
    status.model_spec.version.value = 7
    with pytest.raises(grpc.RpcError, match="version 7 is not served"):
        states.GetModelStatus(status, timeout=60)


def several(*tasks: tuple[str, str], **spec: Any) -> inference_pb2.MultiInferenceRequest:
    """A request of several signatures, each by its name and what it is asked for."""
    made = inference_pb2.MultiInferenceRequest()
    for signature, method in tasks:
        task = made.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name, task.model_spec.signature_name = MODEL, signature
        _choose(task.model_spec, **spec)
    made.input.example_list.examples.add().features.feature["x"].float_list.value.append(1.5)
    return made


def test_multi_inference(channel: grpc.Channel) -> None:
    ask = prediction_service_pb2_grpc.PredictionServiceStub(channel).MultiInference
    for spec, version in (({}, 2), ({"label": "stable"}, 1)):
        answer = ask(several(("classify", "classify"), ("regress", "regress"), **spec), timeout=60)
        assert [each.model_spec.version.value for each in answer.results] == [version] * 2
        assert [each.model_spec.signature_name for each in answer.results] == ["classify", "regress"]
        [row] = answer.results[0].classification_result.classifications
        assert [(each.label, each.score) for each in row.classes] == [("", 1.5), ("other", version)]
        [regression] = answer.results[1].regression_result.regressions
        assert regression.value == 2 * 1.5 + version


def test_multi_inference_refuses_what_no_one_version_can_answer(channel: grpc.Channel) -> None:
    ask = prediction_service_pb2_grpc.PredictionServiceStub(channel).MultiInference
    mixed = several(("classify", "classify"), ("regress", "regress"))
    mixed.tasks[1].model_spec.version.value = 1
    without = several(("classify", "classify"))
    del without.input.example_list.examples[:]
    for asked, reason in (
        (inference_pb2.MultiInferenceRequest(), "the request names no model"),
        (mixed, "all tasks have to name one model and one version"),
        (several(("classify", "predict")), "method_name has to be tensorflow/serving/classify or"),
        (several(("classify", "classify"), ("classify", "regress")), "is for classify, not for regress"),
        (several(("nope", "classify")), "the model has no signature 'nope'"),
        (without, "the request has no examples"),
        (several(("classify", "classify"), version=7), "version 7 is not served"),
    ):
        with pytest.raises(grpc.RpcError, match=reason):
            ask(asked, timeout=60)


def test_what_is_not_built_says_so(channel: grpc.Channel) -> None:
    stub = model_service_pb2_grpc.ModelServiceStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=60)
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


V2_INPUTS = [
    {"name": "x", "datatype": "FP32", "shape": [1], "data": [1.5]},
    {"name": ODD_NAME, "datatype": "INT64", "shape": [1], "data": [3]},
    {"name": "text", "datatype": "BYTES", "shape": [1], "data": ["näh"]},
    {"name": "flag", "datatype": "BOOL", "shape": [1], "data": [True]},
]


def _v2(server: Server, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = urllib3.request(
        method, f"{server.client.address}/v2{path}", body=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json"}, timeout=60, retries=False,
    )  # fmt: skip
    return answer.status, json.loads(answer.data)


def test_open_inference_protocol_by_rest(server: Server) -> None:
    model = f"/models/{quote(MODEL)}"
    assert _v2(server, "GET", "/health/live") == (200, {"live": True})
    assert _v2(server, "GET", "/health/ready") == (200, {"ready": True})
    assert _v2(server, "GET", f"{model}/ready")[0] == 200
    status, about = _v2(server, "GET", model)
    assert status == 200
    types = {each["name"]: (each["datatype"], each["shape"]) for each in about["inputs"]}
    assert types[ODD_NAME] == ("INT64", [-1])
    status, answer = _v2(server, "POST", f"{model}/infer", {"id": "7", "inputs": V2_INPUTS})
    assert (status, answer["id"], answer["model_version"]) == (200, "7", "2")
    found = {each["name"]: each["data"] for each in answer["outputs"]}
    assert found == {"version": [2.0], "x": [1.5], "whole": [3], "text": ["näh"], "flag": [True]}
    status, answer = _v2(server, "POST", f"{model}/infer", {"inputs": V2_INPUTS[:1]})
    assert (status, list(answer)) == (400, ["error"])
    assert "is missing" in answer["error"]
    status, answer = _v2(server, "POST", f"{model}/infer", {"inputs": 1})
    assert (status, list(answer)) == (400, ["error"])
    assert _v2(server, "GET", "/models/other")[0] == 404


def test_open_inference_protocol_by_grpc(channel: grpc.Channel) -> None:
    stub = grpc_predict_v2_pb2_grpc.GRPCInferenceServiceStub(channel)
    assert stub.ServerLive(grpc_predict_v2_pb2.ServerLiveRequest(), timeout=60).live
    asked = grpc_predict_v2_pb2.ModelInferRequest(model_name=MODEL)
    for name, datatype, field, value in (
        ("x", "FP32", "fp32_contents", 1.5), (ODD_NAME, "INT64", "int64_contents", 3),
        ("text", "BYTES", "bytes_contents", b"a"), ("flag", "BOOL", "bool_contents", True),
    ):  # fmt: skip
        each = asked.inputs.add(name=name, datatype=datatype, shape=[1])
        getattr(each.contents, field).append(value)
    answer = stub.ModelInfer(asked, timeout=60)
    assert answer.model_version == "2"
    assert sorted(each.name for each in answer.outputs) == ["flag", "text", "version", "whole", "x"]
    del asked.inputs[1:]
    with pytest.raises(grpc.RpcError, match="is missing"):
        stub.ModelInfer(asked, timeout=60)
