"""Labels that clients send: what turned out to be true of a prediction, or what a person says of it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import Response

from components.runtime.data import labels
from components.runtime.records.prediction_log import EXPLICIT, KINDS
from model_server import rest_values
from model_server.errors import BadRequestError, NotReadyError, NotServedError, RequestError
from model_server.metrics import counted
from model_server.prediction_log import PREDICTION_ID
from model_server.rest import answer, content_of, refusal
from model_server.trained_label import label_of_version
from model_server.versions import Versions

_KEYS = {"prediction_id", "label", "kind"}
_LONGEST_LABEL = 10_000


def router(models: Mapping[str, Versions]) -> APIRouter:
    """The route of labels, which comes before those of the models."""
    routes = APIRouter()

    @routes.post("/v1/models/{name}/feedback")
    async def told(name: str, request: Request) -> Response:
        try:
            if name not in models:
                raise NotServedError(f"no model {name!r} is served; these are: {', '.join(sorted(models))}")
            with counted(name, "feedback", "REST"):
                return answer(_taken(models[name], rest_values.body(await content_of(request))))
        except RequestError as error:
            return refusal(error.http, str(error))

    return routes


def _refuse_other(model: Versions, label: bool | int | float | str) -> None:
    """Refuses a label of another type than the version in service was trained on, or beyond its bounds."""
    known = None
    with contextlib.suppress(RequestError), model.using() as version:
        assert version.model is not None
        known = label_of_version(version, version.model.signature(""))
    if known is None:
        return
    try:
        # (A class may be new.)
        labels.typed(label, replace(known, values=()))
    except ValueError as error:
        raise BadRequestError(f"`label` has to be as {known.name} of the model's data is: {error}") from None


def _taken(model: Versions, given: Mapping[str, Any]) -> dict[str, Any]:
    if model.log is None:
        raise NotServedError(f"{model.name}: predictions are not logged here, so no label belongs to one")
    if unknown := sorted(set(given) - _KEYS):
        raise BadRequestError(f"feedback has no {unknown[0]!r}; it has prediction_id, label and kind")
    prediction_id, label, kind = given.get("prediction_id"), given.get("label"), given.get("kind", EXPLICIT)
    if not isinstance(prediction_id, str) or not PREDICTION_ID.fullmatch(prediction_id):
        raise BadRequestError("`prediction_id` has to be the header X-Prediction-Id of an answer")
    if kind not in KINDS:
        raise BadRequestError(f"`kind` has to be one of {', '.join(KINDS)}")
    if not isinstance(label, bool | int | float | str) or (isinstance(label, float) and not math.isfinite(label)):
        raise BadRequestError("`label` has to be a number, a text, true or false")
    if (isinstance(label, int) and not -(2**63) <= label < 2**63) or len(str(label)) > _LONGEST_LABEL:
        raise BadRequestError(f"`label` has to fit 64 bits, a text {_LONGEST_LABEL:,} characters")
    _refuse_other(model, label)
    if not model.log.add_label(prediction_id, label, kind):
        raise NotReadyError("labels come faster than they can be written; try again")
    return {"prediction_id": prediction_id, "label": label, "kind": kind}
