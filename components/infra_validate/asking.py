"""Asks the server: whether it answers as the model in this process does, and how fast."""

from __future__ import annotations

import base64
import math
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from components.infra_validate.requests import Arrays, Question
from components.runtime.errors import StageError
from components.runtime.model_server.client import Client

_BATCH = 32
_TIMEOUT = 60.0
_LARGEST_MESSAGE = 256 << 20
_BY_NAME = "predictions by output"


@dataclass(frozen=True)
class Agreement:
    """How the answers to one question by one protocol compare with the expected ones.

    Attributes:
      title: which.
      rows: that were compared.
      difference: the largest one, of numbers above 1 as a share of them; NaN in both is none. Infinite where shapes,
        texts or NaNs differ.
      error: why there is no answer.
    """

    title: str
    rows: int
    difference: float = 0.0
    error: str = ""


def by_rest(client: Client, question: Question) -> Agreement:
    """Compares the answers of REST, a few rows one by one and all in batches."""
    title = f"REST, {question.title}"
    largest = 0.0
    singles = min(question.count, 5)
    pieces = [(row, row + 1) for row in range(singles)]
    pieces += [(start, min(start + _BATCH, question.count)) for start in range(0, question.count, _BATCH)]
    for start, end in pieces:
        try:
            answers = client.predict(question.rows(start, end), signature=question.signature)
        except StageError as error:
            return Agreement(title, question.count, math.inf, str(error))
        for name, wanted in question.expected.items():
            got = answers
            if len(question.expected) > 1:
                got = [row.get(name) if isinstance(row, Mapping) else None for row in answers]
            largest = max(largest, _difference(got, wanted[start:end]))
    return Agreement(title, question.count, largest)


def by_grpc(address: str, model: str, question: Question) -> Agreement:
    """Compares the answers of gRPC."""
    title = f"gRPC, {question.title}"
    limits = [("grpc.max_send_message_length", _LARGEST_MESSAGE), ("grpc.max_receive_message_length", _LARGEST_MESSAGE)]
    with grpc.insecure_channel(address, options=[*limits, ("grpc.enable_http_proxy", 0)]) as channel:
        ask = prediction_service_pb2_grpc.PredictionServiceStub(channel).Predict
        try:
            answer = ask(request(model, question.signature, question.given), timeout=_TIMEOUT)
        except grpc.RpcError as error:
            return Agreement(title, question.count, math.inf, f"{error.code().name}: {error.details()}")
    largest = 0.0
    for name, wanted in question.expected.items():
        if name not in answer.outputs:
            return Agreement(title, question.count, math.inf, f"the answer has no {name!r}")
        largest = max(largest, _difference(tf.make_ndarray(answer.outputs[name]), wanted))
    return Agreement(title, question.count, largest)


def request(model: str, signature: str, given: Arrays) -> predict_pb2.PredictRequest:
    """A request of TensorFlow Serving's gRPC API."""
    made = predict_pb2.PredictRequest()
    made.model_spec.name = model
    made.model_spec.signature_name = signature
    for name, values in given.items():
        made.inputs[name].CopyFrom(tf.make_tensor_proto(values))
    return made


def _difference(got: Any, wanted: np.ndarray[Any, Any]) -> float:
    if wanted.dtype.kind in "OSU":
        texts = np.asarray(got, dtype=object)
        same = texts.shape == wanted.shape and [_bytes(each) for each in texts.flat] == list(wanted.flat)
        return 0.0 if same else math.inf
    try:
        found = np.asarray(got)
    # Lists of different lengths.
    except ValueError:
        return math.inf
    if found.shape != wanted.shape or found.dtype.kind not in "biuf":
        return math.inf
    if not found.size:
        return 0.0
    # REST tells a number by the digits that its type has, which as one of 64 bits are not quite the same.
    if wanted.dtype.kind == "f":
        found = found.astype(wanted.dtype)
    numbers, truth = found.astype(np.float64), wanted.astype(np.float64)
    if not np.array_equal(np.isnan(numbers), np.isnan(truth)):
        return math.inf
    size = np.where(np.isfinite(truth), np.maximum(np.abs(truth), 1.0), 1.0)
    with np.errstate(invalid="ignore"):
        # Two that are infinite alike do not differ.
        apart = np.where(numbers == truth, 0.0, np.abs(numbers - truth) / size)
    return float(np.nanmax(apart, initial=0.0))


def _bytes(value: Any) -> bytes | None:
    """A text of an answer, which is one of REST or in base64 there; None where it is something else."""
    if isinstance(value, Mapping) and isinstance(value.get("b64"), str):
        return base64.b64decode(value["b64"])
    return value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else None


@dataclass(frozen=True)
class Speed:
    """What so many requests at once, of one row each by REST, came to.

    Attributes:
      at_once: how many.
      latencies: milliseconds of each request.
      seconds: that it took.
      errors: requests that were not answered.
      error: what one of them said.
    """

    at_once: int
    latencies: np.ndarray[Any, Any]
    seconds: float
    errors: int
    error: str = ""

    @property
    def per_second(self) -> float:
        """Requests answered in a second."""
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        """Milliseconds that this share, in percent, of the requests stays below; NaN where none was answered."""
        return float(np.percentile(self.latencies, share)) if len(self.latencies) else math.nan


def speed(client: Client, question: Question, at_once: int, seconds: float) -> Speed:
    """Asks for single rows, one after the other in each of some threads."""
    rows = question.rows()
    lists: list[list[float]] = [[] for _ in range(at_once)]
    failed: list[str] = []
    end = time.monotonic() + seconds

    def ask(number: int) -> None:
        place = number
        while time.monotonic() < end:
            row = rows[place % len(rows)]
            place += at_once
            begun = time.perf_counter()
            try:
                client.predict([row], signature=question.signature)
            except StageError as error:
                failed.append(str(error))
                continue
            lists[number].append((time.perf_counter() - begun) * 1e3)

    begun = time.monotonic()
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(at_once)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    latencies = np.array(list(_joined(lists)), dtype=np.float64)
    return Speed(at_once, latencies, time.monotonic() - begun, len(failed), failed[0] if failed else "")


def _joined(lists: Sequence[Sequence[float]]) -> list[float]:
    return [each for one in lists for each in one]
