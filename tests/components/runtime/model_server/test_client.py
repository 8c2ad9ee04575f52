"""What the client makes of a server's answers; those of real ones are in tests/model_server."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from components.runtime.errors import InputError, StageError, TransientError
from components.runtime.model_server.client import Client, State, Tensor
from tests.runners.loopback import Request, serving


def told(*versions: tuple[int, str, str]) -> dict[str, Any]:
    return {
        "model_version_status": [
            {"version": str(number), "state": state, "status": {"error_code": "OK", "error_message": error}}
            for number, state, error in versions
        ]
    }


def test_state_and_version() -> None:
    answers: list[Any] = [
        told((2, "LOADING", ""), (1, "AVAILABLE", ""), (10, "AVAILABLE", "")),
        told((2, "END", "damaged"), (1, "AVAILABLE", "")),
        told((3, "END", ""), (2, "END", "damaged")),
        {"other": 1},
    ]
    with serving(lambda request: (200, answers[0])) as address:
        client = Client(address + "/", "taxi")
        assert client.address == address
        assert client.state() == State((10, 1))
        assert client.version() == 10
        answers.pop(0)
        assert client.state() == State((1,))
        answers.pop(0)
        assert client.state() == State((), "damaged")
        with pytest.raises(TransientError, match="no version of taxi is loaded yet"):
            client.version()
        answers.pop(0)
        assert client.state() == State()


def test_names_are_quoted_in_addresses() -> None:
    asked: list[str] = []

    def answer(request: Request) -> tuple[Any, ...]:
        asked.append(request.target)
        return 200, told((1, "AVAILABLE", ""))

    with serving(answer) as address:
        Client(address, "taxi fares/ü").version("a?b")
        Client(address, "taxi fares/ü").state()
    assert asked == ["/v1/models/taxi%20fares%2F%C3%BC/labels/a%3Fb", "/v1/models/taxi%20fares%2F%C3%BC"]


def test_inputs() -> None:
    shape = {"dim": [{"size": "-1"}, {"size": "3"}]}
    inputs = {"a b": {"dtype": "DT_FLOAT", "tensor_shape": shape}, "c": {"dtype": "DT_INT64"}}
    document = {"metadata": {"signature_def": {"signature_def": {"serving_default": {"inputs": inputs}}}}}
    with serving(lambda request: (200, document)) as address:
        client = Client(address, "taxi")
        assert client.inputs(1) == {"a b": Tensor("DT_FLOAT", (-1, 3)), "c": Tensor("DT_INT64", ())}
        with pytest.raises(InputError, match="taxi has no signature 'other'; it has serving_default"):
            client.inputs(1, "other")


def test_predictions() -> None:
    asked: list[tuple[str, Any]] = []

    def answer(request: Request) -> tuple[Any, ...]:
        asked.append((request.target, json.loads(request.body)))
        return 200, b'{"predictions": [1, NaN]}'

    with serving(answer) as address:
        client = Client(address, "taxi")
        first, second = client.predict([1, 2], 3, "s")
        assert first == 1
        assert second != second
        assert asked == [("/v1/models/taxi/versions/3:predict", {"instances": [1, 2], "signature_name": "s"})]
        with pytest.raises(StageError, match="no prediction for each row"):
            client.predict([1])
        assert asked[1][0] == "/v1/models/taxi:predict"


@pytest.mark.parametrize(
    ("status", "body", "kind", "said"),
    [
        (400, {"error": "bad row"}, InputError, "bad row"),
        (404, {"error": "no version"}, InputError, "no version"),
        (503, {"error": "loading"}, TransientError, "fault of the server (503): loading"),
        (500, b"<html>", TransientError, "fault of the server (500)"),
        (200, b"<html>", TransientError, "fault of the server (200)"),
    ],
)
def test_refusals(status: int, body: Any, kind: type[StageError], said: str) -> None:
    with serving(lambda request: (status, body)) as address, pytest.raises(kind) as caught:
        Client(address, "taxi").predict([1])
    assert str(caught.value).startswith(f"{address}: ")
    assert said in str(caught.value)


def test_nothing_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
    assert Client(address, "taxi").state() == State()
    with pytest.raises(TransientError, match=r"nothing answers there \(connection refused\)"):
        Client(address, "taxi").version()


def test_an_address_that_is_none() -> None:
    for address in ("nowhere", "http://", "ftp://x:1", "http://a:99999999"):
        assert Client(address, "taxi").state() == State()
        with pytest.raises((InputError, TransientError)):
            Client(address, "taxi").version()
