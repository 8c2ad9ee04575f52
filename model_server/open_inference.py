"""A model as KServe knows one, for the Open Inference Protocol (`/v2`, GRPCInferenceService).

https://github.com/kserve/open-inference-protocol
"""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import kserve
import numpy as np
from kserve.errors import InvalidInput
from kserve.protocol.infer_type import InferOutput, InferRequest, InferResponse
from kserve.utils.numpy_codec import from_np_dtype

from model_server.errors import RequestError
from model_server.signature import Tensor
from model_server.versions import Versions


class OpenInferenceModel(kserve.Model):
    """The version in service, by the signature `serving_default`."""

    def __init__(self, versions: Versions) -> None:
        super().__init__(versions.name)
        self._versions = versions

    async def healthy(self) -> bool:
        """Whether a version is in service."""
        return self._versions.is_ready

    async def predict(self, payload: Any, headers: dict[str, str] | None = None) -> InferResponse:
        """Answers one request.

        Args:
          payload: an InferRequest.
          headers: of the request; nothing is read from them.

        Raises:
          InvalidInput: the values do not fit the signature.
        """
        if not isinstance(payload, InferRequest):
            raise InvalidInput("the request is not of the Open Inference Protocol")
        return await asyncio.to_thread(self._answer, payload)

    def _answer(self, request: InferRequest) -> InferResponse:
        try:
            with self._versions.using() as version:
                assert version.model is not None
                signature = version.model.signature("")
                given = {each.name: each.as_numpy() for each in request.inputs}
                outputs = version.model.run(signature, given)
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
