"""TensorFlow Serving's gRPC services: PredictionService and ModelService.

https://github.com/tensorflow/serving/tree/master/tensorflow_serving/apis
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Mapping
from typing import Any

import grpc
import tensorflow as tf
from tensorflow_serving.apis import (
    classification_pb2,
    inference_pb2,
    input_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from model_server import protocol
from model_server.errors import BadRequestError, NotServedError, RequestError
from model_server.metrics import counted
from model_server.prediction_log import PREDICTION_HEADER, REQUEST_HEADER, Asked
from model_server.signature import CLASSIFY, REGRESS
from model_server.versions import Loaded, Versions

_LOG = logging.getLogger("millrace.serving")
_METADATA_FIELD = "signature_def"
_MOST_VALUES = 1 << 28

Work = Callable[[Versions, Any, Asked], Any]


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Answers Predict, Classify, Regress, MultiInference and GetModelMetadata."""

    def __init__(self, models: Mapping[str, Versions]) -> None:
        self._models = models

    async def Predict(self, request: Any, context: Any) -> Any:
        """One request of `predict`."""
        return await answered(self._models, "predict", request.model_spec, _predict, request, context)

    async def Classify(self, request: Any, context: Any) -> Any:
        """One request of `classify`."""
        return await answered(self._models, "classify", request.model_spec, _classify, request, context)

    async def Regress(self, request: Any, context: Any) -> Any:
        """One request of `regress`."""
        return await answered(self._models, "regress", request.model_spec, _regress, request, context)

    async def MultiInference(self, request: Any, context: Any) -> Any:
        """Several of `classify` and `regress` over the same examples, by one version."""
        first = request.tasks[0].model_spec if request.tasks else model_pb2.ModelSpec()
        return await answered(self._models, "multi_inference", first, _multi_inference, request, context)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        """The signatures of a version."""

        def told(model: Versions, _: Any, __: Asked) -> Any:
            if list(request.metadata_field) != [_METADATA_FIELD]:
                raise BadRequestError(f"metadata_field has to be [{_METADATA_FIELD!r}]")
            return protocol.metadata(model, *_version(request.model_spec))

        return await answered(self._models, "get_model_metadata", request.model_spec, told, request, context)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """Answers GetModelStatus."""

    def __init__(self, models: Mapping[str, Versions]) -> None:
        self._models = models

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        """The states of a model's versions."""

        def told(model: Versions, _: Any, __: Asked) -> Any:
            return protocol.status(model, *_version(request.model_spec))

        return await answered(self._models, "get_model_status", request.model_spec, told, request, context)


async def answered(
    models: Mapping[str, Versions],
    verb: str,
    spec: model_pb2.ModelSpec,
    work: Work,
    request: Any,
    context: grpc.aio.ServicerContext,
) -> Any:
    """Does a request's work in a thread, counts it, and turns what is refused into a status."""
    name = spec.name
    try:
        if not name:
            raise BadRequestError("the request names no model, in model_spec.name")
        if name not in models:
            raise NotServedError(f"no model {name!r} is served; these are: {', '.join(sorted(models))}")
        with counted(name, verb, "GRPC"):
            asked = models[name].asked(request_id(context))
            answer = await asyncio.to_thread(work, models[name], request, asked)
            if asked.prediction_id:
                context.set_trailing_metadata(((PREDICTION_HEADER.lower(), asked.prediction_id),))
            return answer
    except RequestError as error:
        await context.abort(grpc.StatusCode[error.grpc], str(error))
    except Exception as error:
        _LOG.exception("%s of %s", verb, name)
        await context.abort(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


def request_id(context: grpc.aio.ServicerContext) -> str | None:
    """What a client calls its request, if it does."""
    found = dict(context.invocation_metadata() or ()).get(REQUEST_HEADER.lower())
    return found if isinstance(found, str) else None


def _predict(model: Versions, request: Any, asked: Asked) -> Any:
    with model.using(*_version(request.model_spec)) as version:
        assert version.model is not None
        signature = version.model.signature(request.model_spec.signature_name)
        given = {name: _values(name, tensor) for name, tensor in request.inputs.items()}
        outputs = version.run(asked, signature, given, tuple(request.output_filter))
        answer = predict_pb2.PredictResponse(model_spec=_spec(model, version, signature.name))
        for name, values in outputs.items():
            answer.outputs[name].CopyFrom(tf.make_tensor_proto(values, dtype=signature.outputs[name].dtype))
        return answer


def _classify(model: Versions, request: Any, asked: Asked) -> Any:
    with model.using(*_version(request.model_spec)) as version:
        name = request.model_spec.signature_name
        found = _classes(version, asked, name, _examples(request.input))
        return classification_pb2.ClassificationResponse(model_spec=_spec(model, version, name), result=found)


def _regress(model: Versions, request: Any, asked: Asked) -> Any:
    with model.using(*_version(request.model_spec)) as version:
        name = request.model_spec.signature_name
        found = _regressions(version, asked, name, _examples(request.input))
        return regression_pb2.RegressionResponse(model_spec=_spec(model, version, name), result=found)


def _multi_inference(model: Versions, request: Any, asked: Asked) -> Any:
    first = request.tasks[0].model_spec
    for task in request.tasks:
        if (task.model_spec.name, _version(task.model_spec)) != (first.name, _version(first)):
            raise BadRequestError("all tasks have to name one model and one version: one of them answers")
        if task.method_name not in (CLASSIFY, REGRESS):
            raise BadRequestError(f"method_name has to be {CLASSIFY} or {REGRESS}, not {task.method_name!r}")
    examples = _examples(request.input)
    answer = inference_pb2.MultiInferenceResponse()
    with model.using(*_version(first)) as version:
        for place, task in enumerate(request.tasks):
            name = task.model_spec.signature_name
            # What the log has of a request are its rows, once.
            known = asked if not place else Asked()
            each = answer.results.add(model_spec=_spec(model, version, name))
            if task.method_name == CLASSIFY:
                each.classification_result.CopyFrom(_classes(version, known, name, examples))
            else:
                each.regression_result.CopyFrom(_regressions(version, known, name, examples))
    return answer


def _classes(version: Loaded, asked: Asked, name: str, examples: list[bytes]) -> Any:
    found = classification_pb2.ClassificationResult()
    for row in protocol.classify(version, asked, name, examples):
        classes = found.classifications.add()
        for label, score in row:
            classes.classes.add(label=label, score=score)
    return found


def _regressions(version: Loaded, asked: Asked, name: str, examples: list[bytes]) -> Any:
    values = protocol.regress(version, asked, name, examples)
    return regression_pb2.RegressionResult(regressions=[regression_pb2.Regression(value=value) for value in values])


def _values(name: str, tensor: Any) -> Any:
    size = math.prod(dimension.size for dimension in tensor.tensor_shape.dim)
    # A tensor may have one value for all of its places: what is small on the wire may be larger than the memory.
    if size > _MOST_VALUES:
        raise BadRequestError(f"input {name!r} has {size:,} values; {_MOST_VALUES:,} are the most")
    try:
        return tf.make_ndarray(tensor)
    # Whatever does not fit together in a message.
    except Exception as error:
        raise BadRequestError(f"input {name!r} is no tensor: {error}") from None


def _version(spec: model_pb2.ModelSpec) -> tuple[int | None, str]:
    choice = spec.WhichOneof("version_choice")
    return (spec.version.value if choice == "version" else None), (
        spec.version_label if choice == "version_label" else ""
    )


def _spec(model: Versions, version: Loaded, signature: str) -> model_pb2.ModelSpec:
    spec = model_pb2.ModelSpec(name=model.name, signature_name=signature or "serving_default")
    spec.version.value = version.number
    return spec


def _examples(given: input_pb2.Input) -> list[bytes]:
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        # Messages of one kind are merged by writing one behind the other; maps take the later value.
        return [
            context + each.SerializeToString(deterministic=True) for each in given.example_list_with_context.examples
        ]
    examples = [each.SerializeToString() for each in given.example_list.examples]
    if not examples:
        raise BadRequestError("the request has no examples")
    return examples
