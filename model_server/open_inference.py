"""A model as KServe knows one, for the Open Inference Protocol (`/v2`, GRPCInferenceService).

https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import kserve
import numpy as np
from kserve.errors import InvalidInput, ModelNotReady
from kserve.protocol.infer_type import InferOutput, InferRequest, InferResponse
from kserve.utils.numpy_codec import from_np_dtype

from model_server.errors import NotReadyError, RequestError
from model_server.prediction_log import PREDICTION_HEADER, REQUEST_HEADER, Asked
from model_server.signature import Tensor
from model_server.versions import Versions

_PREDICTION_ID = "prediction_id"
"""The parameter of an answer that is logged: the id of its first row."""


class OpenInferenceModel(kserve.Model):
    """The version in service, by the signature `serving_default`."""

    def __init__(self, versions: Versions) -> None:
        super().__init__(versions.name, return_response_headers=True)
        self._versions = versions

    async def healthy(self) -> bool:
        """Whether a version is in service."""
        return self._versions.is_ready

    async def predict(
        self, payload: Any, headers: dict[str, str] | None = None, response_headers: dict[str, str] | None = None
    ) -> InferResponse:
        """Answers one request.

        Args:
          payload: an InferRequest.
          headers: of the request, or the metadata of gRPC, by names in small letters.
          response_headers: get those of the answer; in gRPC nobody reads them, so the answer itself tells as much.

        Raises:
          InvalidInput: the values do not fit the signature.
          ModelNotReady: no version is loaded, or too many requests wait.
        """
        if not isinstance(payload, InferRequest):
            raise InvalidInput("the request is not of the Open Inference Protocol")
        asked = self._versions.asked((headers or {}).get(REQUEST_HEADER.lower()) or payload.id)
        answer = await asyncio.to_thread(self._answer, payload, asked)
        if asked.prediction_id:
            answer.parameters = {_PREDICTION_ID: asked.prediction_id}
            if response_headers is not None:
                response_headers[PREDICTION_HEADER] = asked.prediction_id
        return answer

    def _answer(self, request: InferRequest, asked: Asked) -> InferResponse:
        try:
            with self._versions.using() as version:
                assert version.model is not None
                signature = version.model.signature("")
                given = {each.name: each.as_numpy() for each in request.inputs}
                outputs = version.run(asked, signature, given)
        except NotReadyError as error:
            raise ModelNotReady(self.name, str(error)) from None
        except RequestError as error:
            raise InvalidInput(str(error)) from None
        answers = []
        for name, values in outputs.items():
            each = InferOutput(name=name, shape=list(values.shape), datatype=from_np_dtype(values.dtype))
            each.set_data_from_numpy(values, binary_data=False)
            answers.append(each)
        return InferResponse(
            response_id=request.id or str(uuid.uuid4()),
            model_name=self.name,
            model_version=str(version.number),
            infer_outputs=answers,
        )

    def get_input_types(self) -> list[dict[str, Any]]:
        """Names, types and shapes of what the version in service takes; nothing where none is."""
        return self._types("inputs")

    def get_output_types(self) -> list[dict[str, Any]]:
        """As of the inputs."""
        return self._types("outputs")

    def _types(self, which: str) -> list[dict[str, Any]]:
        try:
            with self._versions.using() as version:
                assert version.model is not None
                tensors: dict[str, Tensor] = dict(getattr(version.model.signature(""), which))
        except RequestError:
            return []
        return [
            {
                "name": name,
                "datatype": from_np_dtype(np.dtype(tensor.dtype.as_numpy_dtype)),
                "shape": [-1 if size is None else size for size in tensor.shape or ()],
            }
            for name, tensor in tensors.items()
        ]
