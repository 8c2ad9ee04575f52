"""Asks a model server by TensorFlow Serving's REST API: https://www.tensorflow.org/tfx/serving/api_rest."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import urllib3

from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.text.json_text import parse

_TIMEOUT = 60.0
_OK = 200
_BAD_REQUEST = 400
_NOT_FOUND = 404
_LONGEST = 500
_MALFORMED = "Malformed request"
_PREDICTION_HEADER = "X-Prediction-Id"


@dataclass(frozen=True)
class State:
    """What a server says of a model.

    Attributes:
      available: the versions that answer, the highest first.
      error: why one cannot be loaded, where none is available.
    """

    available: tuple[int, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Tensor:
    """An input of a signature.

    Attributes:
      dtype: as TensorFlow names it, such as DT_FLOAT.
      shape: -1 where a size is open.
    """

    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Answered:
    """What a server answers to rows.

    Attributes:
      predictions: in the order of the rows.
      prediction_ids: the same, under which the server logs them; None where it logs none of them.
    """

    predictions: list[Any]
    prediction_ids: list[str] | None = None


class Client:
    """Asks one model of one server; may be used by several threads at once."""

    def __init__(self, address: str, model: str, pool: urllib3.PoolManager | None = None) -> None:
        """Connects to nothing yet.

        Args:
          address: such as http://127.0.0.1:8501.
          model: its name there.
          pool: what to ask by, where a server is reached by a way of its own.
        """
        self.address = address.rstrip("/")
        self.model = model
        self._pool = pool or urllib3.PoolManager(maxsize=64, retries=False, timeout=urllib3.Timeout(_TIMEOUT))

    def state(self) -> State:
        """Which versions answer; none where the server itself does not, or does not know the model yet."""
        try:
            answer = self._pool.request("GET", self._url(), timeout=5.0)
            found = parse(answer.data)["model_version_status"] if answer.status == _OK else []
            versions = [(int(each["version"]), str(each["state"]), each.get("status", {})) for each in found]
        except (urllib3.exceptions.HTTPError, ValueError, KeyError, TypeError):
            return State()
        available = tuple(sorted((number for number, state, _ in versions if state == "AVAILABLE"), reverse=True))
        errors = [str(status.get("error_message", "")) for _, state, status in versions if state == "END"]
        return State(available, "" if available else next(filter(None, errors), ""))

    def version(self, label: str = "") -> int:
        """The version that answers now: the highest, or the one with a label.

        Raises:
          InputError: there is no such model or label.
          TransientError: nothing answers there.
        """
        found = self._get("" if not label else f"/labels/{quote(label, safe='')}")
        available = [int(each["version"]) for each in found["model_version_status"] if each["state"] == "AVAILABLE"]
        if not available:
            raise TransientError(f"{self.address}: no version of {self.model} is loaded yet; try again")
        return max(available)

    def inputs(self, version: int, signature: str = "serving_default") -> dict[str, Tensor]:
        """The inputs of a signature.

        Raises:
          InputError: there is no such version or signature.
          TransientError: nothing answers there.
        """
        found = self._get(f"/versions/{version}/metadata")["metadata"]["signature_def"]["signature_def"]
        if signature not in found:
            raise InputError(f"{self.model} has no signature {signature!r}; it has {', '.join(sorted(found))}")
        return {
            name: Tensor(
                str(about["dtype"]), tuple(int(each["size"]) for each in about.get("tensor_shape", {}).get("dim", []))
            )
            for name, about in found[signature]["inputs"].items()
        }

    def predict(self, rows: Sequence[Any], version: int | None = None, signature: str = "") -> list[Any]:
        """The answers to rows, as of `ask`, in their order."""
        return self.ask(rows, version, signature).predictions

    def ask(self, rows: Sequence[Any], version: int | None = None, signature: str = "") -> Answered:
        """The answers to rows, and under which ids they are logged.

        Args:
          rows: JSON values, one for each example: by input, or the value of the only one.
          version: that shall answer; the one in service without.
          signature: its name; the default one without.

        Raises:
          InputError: the model refuses the rows, or there is no such version.
          TransientError: nothing answers, or the server fails.
        """
        body: dict[str, Any] = {"instances": list(rows)}
        if signature:
            body["signature_name"] = signature
        place = "" if version is None else f"/versions/{version}"
        answer, headers = self._request("POST", f"{place}:predict", json.dumps(body).encode())
        predictions = answer.get("predictions")
        if not isinstance(predictions, list) or len(predictions) != len(rows):
            raise StageError(f"{self.address}: no prediction for each row in the answer")
        # That of the first row; the others count on.
        request, _, first = headers.get(_PREDICTION_HEADER, "").rpartition("-")
        ids = [f"{request}-{int(first) + place}" for place in range(len(rows))] if first.isdecimal() else None
        return Answered(predictions, ids)

    def explain(
        self, rows: Sequence[Any], version: int | None = None, background: Sequence[Any] = ()
    ) -> dict[str, Any]:
        """What the answers to rows go by; of the server that is built in alone.

        Args:
          rows: as of `predict`.
          version: that shall explain; the one in service without.
          background: rows to explain against; those that the server knows without.

        Raises:
          InputError: the server refuses the rows, or explains nothing.
          TransientError: nothing answers, the server fails, or explains others now.
        """
        place = "" if version is None else f"/versions/{version}"
        body = {"instances": list(rows)} | ({"background": list(background)} if background else {})
        try:
            answer, _ = self._request("POST", f"{place}:explain", json.dumps(body).encode())
        except InputError as error:
            # What TensorFlow Serving says of a verb that it does not know.
            if _MALFORMED in str(error):
                raise InputError(
                    f"{self.address}: this server explains nothing; the one built in does: ./millrace serve "
                    "--server kserve"
                ) from None
            raise
        if not isinstance(answer.get("explanations"), list) or len(answer["explanations"]) != len(rows):
            raise StageError(f"{self.address}: no explanation for each row in the answer")
        return answer

    def _get(self, place: str) -> dict[str, Any]:
        return self._request("GET", place)[0]

    def _request(self, method: str, place: str, body: bytes | None = None) -> tuple[dict[str, Any], Mapping[str, str]]:
        """What is answered, and the headers of it."""
        try:
            answer = self._pool.request(method, self._url(place), body=body)
        except urllib3.exceptions.HTTPError as error:
            raise TransientError(f"{self.address}: nothing answers there ({_reason(error)})") from None
        try:
            # NaN stands for a number that is none, as the servers write it.
            found = json.loads(answer.data)
        except ValueError:
            found = None
        if answer.status == _OK and isinstance(found, dict):
            return found, answer.headers
        told = found["error"] if isinstance(found, Mapping) and "error" in found else None
        said = " ".join(str(told or answer.data[:_LONGEST].decode("utf-8", "replace")).split())
        if answer.status in (_BAD_REQUEST, _NOT_FOUND):
            raise InputError(f"{self.address}: {said}")
        raise TransientError(f"{self.address}: fault of the server ({answer.status}): {said}")

    def _url(self, place: str = "") -> str:
        return f"{self.address}/v1/models/{quote(self.model, safe='')}{place}"


def _reason(error: urllib3.exceptions.HTTPError) -> str:
    if isinstance(error, urllib3.exceptions.NewConnectionError):
        return "connection refused"
    if isinstance(error, urllib3.exceptions.TimeoutError):
        return "no answer in time"
    return type(error).__name__
