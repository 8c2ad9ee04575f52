"""TensorFlow Serving's REST API: https://www.tensorflow.org/tfx/serving/api_rest."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from google.protobuf import json_format
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import ClientDisconnect
from tensorflow_serving.apis import get_model_metadata_pb2

from model_server import protocol, rest_values
from model_server.errors import BadRequestError, NotServedError, RequestError
from model_server.explaining import Turn, explain
from model_server.metrics import counted
from model_server.prediction_log import PREDICTION_HEADER, REQUEST_HEADER, Asked
from model_server.versions import Versions

VERSION_HEADER = "X-Model-Version"
"""Of every answer of a model: the version that gave it."""

_PATH = re.compile(
    r"(?P<name>[^/:]+)(?:/versions/(?P<version>[^/:]+)|/labels/(?P<label>[^/:]+))?(?P<metadata>/metadata)?(?::(?P<verb>\w+))?"
)

_DIGITS = 19
"""Of the largest number of 64 bits."""

Verb = Callable[[Versions, Asked, int | None, str, Mapping[str, Any]], tuple[dict[str, Any], int]]


def router(models: Mapping[str, Versions]) -> APIRouter:
    """The routes below `/v1`, and those of the metrics."""
    routes = APIRouter()
    turn = Turn()

    @routes.get("/v1/models")
    async def names() -> Response:
        return answer({"models": sorted(models)})

    @routes.get("/v1/models/{path:path}")
    async def told(path: str) -> Response:
        try:
            model, version, label, found = _asked(models, path)
            if found["verb"]:
                return refusal(405, f"{path}: send a POST")
            if found["metadata"]:
                return answer(await asyncio.to_thread(_metadata, model, version, label))
            return answer(_document(protocol.status(model, version, label)))
        except RequestError as error:
            return refusal(error.http, str(error))

    @routes.post("/v1/models/{path:path}")
    async def asked(path: str, request: Request) -> Response:
        try:
            model, version, label, found = _asked(models, path)
            verb = _VERBS.get(found["verb"] or "")
            if verb is None:
                raise NotServedError(f"{path}: POST to …:predict, …:classify, …:regress or …:explain")
            with counted(model.name, found["verb"], "REST"):
                content = await content_of(request)
                known = model.asked(request.headers.get(REQUEST_HEADER))
                do = turn.take if verb is explain else asyncio.to_thread
                document, number = await do(_worked, verb, model, known, version, label, content)
                logged = {PREDICTION_HEADER: known.prediction_id} if known.prediction_id else {}
                return _json(document, {VERSION_HEADER: str(number), **logged})
        except RequestError as error:
            return refusal(error.http, str(error))

    @routes.get("/monitoring/prometheus/metrics")
    @routes.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

    return routes


async def unknown(request: Request, error: Exception) -> Response:
    """What answers where there is no route."""
    return refusal(404, f"{request.url.path}: no such path; the models are below /v1/models")


async def method(request: Request, error: Exception) -> Response:
    """What answers where a path takes another method."""
    return refusal(405, f"{request.url.path} takes no {request.method}")


async def refused(request: Request, error: HTTPException) -> Response:
    """What answers to a request that a library refuses."""
    return refusal(error.status_code, str(error.detail))


async def invalid(request: Request, error: RequestValidationError) -> Response:
    """What answers to a request of the Open Inference Protocol that is none."""
    faults = [f"{'.'.join(map(str, each['loc'][1:]))}: {each['msg']}" for each in error.errors()]
    return refusal(400, f"the request is not of the Open Inference Protocol: {faults[0] if faults else error}")


async def content_of(request: Request) -> bytes:
    """The body of a request.

    Raises:
      BadRequestError: it is too large, or not all of it came.
    """
    try:
        return await request.body()
    except HTTPException as error:
        raise BadRequestError(str(error.detail)) from None
    except ClientDisconnect:
        raise BadRequestError("the client went away") from None


def _worked(
    verb: Verb, model: Versions, asked: Asked, number: int | None, label: str, content: bytes
) -> tuple[bytes, int]:
    # All that takes long is done here, in a thread: reading and writing JSON of many values too.
    document, answered = verb(model, asked, number, label, rest_values.body(content))
    return rest_values.text(document), answered


def _metadata(model: Versions, number: int | None, label: str) -> dict[str, Any]:
    found = protocol.metadata(model, number, label)
    signatures = get_model_metadata_pb2.SignatureDefMap()
    found.metadata["signature_def"].Unpack(signatures)
    # The same as in gRPC, but the type of what is packed in it is not told.
    return {"model_spec": _document(found.model_spec), "metadata": {"signature_def": _document(signatures)}}


def _document(message: Any) -> dict[str, Any]:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )


def _predict(
    model: Versions, asked: Asked, number: int | None, label: str, request: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    with model.using(number, label) as version:
        assert version.model is not None
        signature = version.model.signature(_signature_name(request))
        given, by_rows = rest_values.given(request, signature)
        outputs = version.run(asked, signature, given)
        count = len(request["instances"]) if by_rows else 0
        return rest_values.answer(outputs, by_rows=by_rows, count=count), version.number


def _classify(
    model: Versions, asked: Asked, number: int | None, label: str, request: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    with model.using(number, label) as version:
        examples = protocol.examples_of_json(request)
        classes = protocol.classify(version, asked, _signature_name(request), examples)
        return {"result": [[[name, score] for name, score in row] for row in classes]}, version.number


def _regress(
    model: Versions, asked: Asked, number: int | None, label: str, request: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    with model.using(number, label) as version:
        examples = protocol.examples_of_json(request)
        return {"result": protocol.regress(version, asked, _signature_name(request), examples)}, version.number


_VERBS: dict[str, Verb] = {"predict": _predict, "classify": _classify, "regress": _regress, "explain": explain}


def _signature_name(request: Mapping[str, Any]) -> str:
    name = request.get("signature_name", "")
    if not isinstance(name, str):
        raise BadRequestError("`signature_name` has to be a text")
    return name


def _asked(models: Mapping[str, Versions], path: str) -> tuple[Versions, int | None, str, re.Match[str]]:
    found = _PATH.fullmatch(path)
    if found is None:
        raise NotServedError(f"{path}: no such path; it is MODEL[/versions/N|/labels/LABEL][/metadata|:predict]")
    if found["name"] not in models:
        raise NotServedError(f"no model {found['name']!r} is served; these are: {', '.join(sorted(models))}")
    version = found["version"]
    if version is not None and not (version.isdecimal() and version.isascii()):
        raise BadRequestError(f"{version[:_DIGITS]!r} is no version; it is a number")
    if version is not None and len(version) > _DIGITS:
        raise NotServedError(f"version {version[:_DIGITS]}… is not served: a version has {_DIGITS} digits at most")
    return models[found["name"]], None if version is None else int(version), found["label"] or "", found


def answer(document: Mapping[str, Any]) -> Response:
    """An answer as JSON."""
    return _json(rest_values.text(document))


def _json(content: bytes, headers: Mapping[str, str] | None = None) -> Response:
    return Response(content, media_type="application/json", headers=dict(headers or {}))


def refusal(code: int, reason: str) -> Response:
    """Why there is no answer, in TensorFlow Serving's form."""
    return Response(rest_values.text({"error": reason}), status_code=code, media_type="application/json")
