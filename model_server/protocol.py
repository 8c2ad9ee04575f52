"""What REST and gRPC share of TensorFlow Serving's protocol."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2

from model_server.errors import BadRequestError
from model_server.prediction_log import Asked
from model_server.signature import CLASSIFY, REGRESS
from model_server.versions import Loaded, State, Versions

_STATES = get_model_status_pb2.ModelVersionStatus.State
_UNKNOWN_ERROR = 2


def status(model: Versions, number: int | None, label: str) -> get_model_status_pb2.GetModelStatusResponse:
    """The states of a model's versions.

    Raises:
      NotServedError: there is none of that number or label.
    """
    answer = get_model_status_pb2.GetModelStatusResponse()
    for version in model.statuses(number, label):
        each = answer.model_version_status.add(version=version.number, state=_STATES.Value(version.state))
        if version.state is State.END and version.error:
            each.status.error_code = _UNKNOWN_ERROR
            each.status.error_message = version.error
        else:
            each.status.error_code = 0
    return answer


def metadata(model: Versions, number: int | None, label: str) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a version.

    Raises:
      RequestError: there is no such version.
    """
    with model.using(number, label) as version:
        assert version.model is not None
        answer = get_model_metadata_pb2.GetModelMetadataResponse()
        answer.model_spec.name = model.name
        answer.model_spec.version.value = version.number
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for name, signature in version.model.signature_defs.items():
            signatures.signature_def[name].CopyFrom(signature)
        answer.metadata["signature_def"].Pack(signatures)
        return answer


def classify(version: Loaded, asked: Asked, name: str, examples: Sequence[bytes]) -> list[list[tuple[str, float]]]:
    """Answers `classify`: label and score of each class, by example.

    Raises:
      BadRequestError: the signature is of another kind.
    """
    outputs = _by_examples(version, asked, name, CLASSIFY, examples)
    scores, classes = outputs.get("scores"), outputs.get("classes")
    if scores is None and classes is None:
        raise BadRequestError("the signature answers neither `scores` nor `classes`")
    for values in (scores, classes):
        if values is not None and (values.ndim != 2 or len(values) != len(examples)):
            raise BadRequestError("the signature does not answer a list of classes for each example")
    width = next(values for values in (scores, classes) if values is not None).shape[1]
    return [
        [
            (
                classes[row][place].decode() if classes is not None else "",
                float(scores[row][place]) if scores is not None else 0.0,
            )
            for place in range(width)
        ]
        for row in range(len(examples))
    ]


def regress(version: Loaded, asked: Asked, name: str, examples: Sequence[bytes]) -> list[float]:
    """Answers `regress`: a number by example.

    Raises:
      BadRequestError: the signature is of another kind.
    """
    values = _by_examples(version, asked, name, REGRESS, examples).get("outputs")
    if values is None or values.size != len(examples):
        raise BadRequestError("the signature does not answer a number for each example as `outputs`")
    return [float(value) for value in values.ravel()]


def _by_examples(version: Loaded, asked: Asked, name: str, method: str, examples: Sequence[bytes]) -> dict[str, Any]:
    assert version.model is not None
    signature = version.model.signature(name)
    if signature.method != method:
        kind, wanted = signature.method.rpartition("/")[2], method.rpartition("/")[2]
        raise BadRequestError(f"signature {signature.name!r} is for {kind}, not for {wanted}")
    return version.run(asked, signature, {next(iter(signature.inputs)): list(examples)})


def examples_of_json(request: Mapping[str, Any]) -> list[bytes]:
    """Serialised tf.Examples of the form that `classify` and `regress` take in REST.

    Raises:
      BadRequestError: it is another one.
    """
    rows, context = request.get("examples"), request.get("context", {})
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in [*rows, context]):
        raise BadRequestError("`examples` has to be a list of objects, feature by name")
    if both := sorted(name for row in rows for name in row if name in context):
        raise BadRequestError(f"feature {both[0]!r} is in `context` and in an example; it may be in one of them")
    return [_example({**context, **row}) for row in rows]


def _example(features: Mapping[str, Any]) -> bytes:
    example = tf.train.Example()
    for name, value in features.items():
        values = value if isinstance(value, list) else [value]
        feature = example.features.feature[name]
        try:
            if all(isinstance(each, bool | int) for each in values):
                feature.int64_list.value.extend(int(each) for each in values)
            elif all(isinstance(each, int | float) for each in values):
                feature.float_list.value.extend(values)
            else:
                feature.bytes_list.value.extend(_bytes(each) for each in values)
        except (TypeError, ValueError, AttributeError):
            raise BadRequestError(
                f"feature {name!r} has to be a number, integers of 64 bits, or a text, or a list of one kind"
            ) from None
    return bytes(example.SerializeToString())


def _bytes(value: Any) -> bytes:
    if isinstance(value, dict) and set(value) == {"b64"}:
        return base64.b64decode(value["b64"], validate=True)
    return bytes(value.encode())
