"""The page at `/`: a person fills in the features and sees the answer. What it asks, it asks as every client does.

Its files lie in page_files/; what they need to know of a model beyond TensorFlow Serving's own API is told here: the
labels, and rows to begin with, from the warm-up requests of the version.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from components.runtime.data.schema_columns import Column
from model_server import rest_values, warm_up
from model_server.errors import BadRequestError, RequestError
from model_server.rest import answer, refusal
from model_server.signature import Tensor
from model_server.trained_label import label_of_version
from model_server.versions import State, Versions

_FILES = Path(__file__).parent / "page_files"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_EXAMPLES = 10
_LARGEST_EXAMPLES = 2 << 20
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-cache",
}


def router(models: Mapping[str, Versions]) -> APIRouter:
    """The routes of the page."""
    routes = APIRouter()
    files = {file.name: file.read_bytes() for file in _FILES.iterdir() if file.suffix in _TYPES}

    def told(name: str) -> Response:
        return Response(files[name], media_type=_TYPES[Path(name).suffix], headers=_HEADERS)

    @routes.get("/")
    async def page() -> Response:
        return told("index.html")

    @routes.get("/page/model")
    async def model(request: Request) -> Response:
        asked = request.query_params
        try:
            return answer(await asyncio.to_thread(_about, models, asked.get("version", ""), asked.get("label", "")))
        except RequestError as error:
            return refusal(error.http, str(error))

    @routes.get("/page/{name}")
    async def file(name: str) -> Response:
        return told(name) if name in files else refusal(404, f"/page/{name}: no such file")

    return routes


def _about(models: Mapping[str, Versions], number: str, label: str) -> dict[str, Any]:
    [model] = models.values()
    if number and not (number.isdecimal() and number.isascii()):
        raise BadRequestError(f"{number!r} is no version; it is a number")
    with model.using(int(number) if number else None, label) as version:
        assert version.model is not None
        signature = version.model.signature("")
        trained = label_of_version(version, signature) or Column("", "")
        return {
            "model": model.name,
            "versions": [each.number for each in model.statuses() if each.state is State.AVAILABLE],
            "labels": model.labels,
            "in_service": model.in_service,
            "version": version.number,
            "inputs": [_tensor(name, tensor) for name, tensor in sorted(signature.inputs.items())],
            "outputs": [_tensor(name, tensor) for name, tensor in sorted(signature.outputs.items())],
            # (Nobody types a mask.)
            "feedback": dataclasses.asdict(trained) if model.log and not trained.is_image else None,
            "examples": _examples(warm_up.examples(version.model, version.folder, _EXAMPLES)),
        }


def _tensor(name: str, tensor: Tensor) -> dict[str, Any]:
    return {"name": name, "dtype": tensor.dtype.name, "shape": tensor.shape and list(tensor.shape)}


def _examples(rows: list[warm_up.Arrays]) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = []
    size = 0
    for row in rows:
        made = {name: rest_values.encoded(name, values)[0] for name, values in row.items()}
        size += len(rest_values.text(made))
        if size > _LARGEST_EXAMPLES:
            break
        told.append(made)
    return told
