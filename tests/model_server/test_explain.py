"""`:explain`, asked of a real server; how long it may take, and whom it keeps waiting; and on the page."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.runtime.errors import InputError
from components.runtime.explaining.answers import subject
from components.runtime.explaining.rows import Array, Rows
from components.runtime.model_server.client import Client
from components.runtime.model_server.process import Server
from model_server import explaining
from model_server.errors import BadRequestError, NotReadyError
from model_server.prediction_log import Asked
from model_server.versions import Versions
from tests.model_server.test_rest import PATH, ROW, ask, refused

KNOWN = [{**ROW, "x": 0.5}, {**ROW, "x": 1.0, "text": "other"}]


def explain(server: Server, place: str = "", **request: Any) -> Any:
    asked = {"instances": [ROW], "background": KNOWN, "output": "x"} | request
    status, document, headers = ask(server, "POST", f"{PATH}{place}:explain", asked)
    assert status == 200, document
    return document | {"by": headers["X-Model-Version"]}


def test_attributions_lead_from_the_known_rows_to_the_answer(server: Server) -> None:
    found = explain(server, instances=[ROW, ROW | {"x": -2.0}])
    assert (found["output"], found["task"], found["known_rows"], found["by"]) == ("x", "number", 2, "2")
    first, second = found["explanations"]
    assert (first["answer"], first["baseline"]) == (1.5, 0.75)
    assert first["attributions"] == {"flag": 0.0, "text": 0.0, "trip miles/µ": 0.0, "x": pytest.approx(0.75)}
    assert second["attributions"]["x"] == pytest.approx(-2.75)
    assert "nearest_other" not in first, "a number has no other answer"
    assert explain(server, "/labels/stable")["by"] == "1"


def test_what_if_one_feature_had_other_values(server: Server) -> None:
    asked = {"instances": [ROW], "what_if": {"feature": "x", "values": [2, float("nan"), -1.5]}}
    status, found, headers = ask(server, "POST", f"{PATH}:explain", asked)
    assert (status, headers["X-Model-Version"]) == (200, "2")
    assert found["answer"]["x"] == 1.5
    told = [each["x"] for each in found["predictions"]]
    assert (told[0], told[2]) == (2.0, -1.5)
    assert np.isnan(told[1])
    assert found["predictions"][0]["text"] == ROW["text"], "the other features stay"


def test_the_client_asks_for_explanations(server: Server) -> None:
    client = Client(server.client.address, server.client.model)
    with pytest.raises(InputError, match="nothing is known to explain against: give rows as `background`"):
        client.explain([ROW])
    with pytest.raises(InputError, match="several of them numbers"):
        client.explain([ROW], background=KNOWN)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"instances": [ROW] * 17}, "`instances` has 17 rows; 16 are the most that are explained at once"),
        ({"instances": []}, "`instances` has to be a list with a row or more"),
        ({"instances": [ROW], "background": [1]}, "each of `instances` has to name the inputs"),
        ({"instances": [ROW], "background": KNOWN}, "several of them numbers; name the one to explain as `output`"),
        ({"instances": [ROW], "background": KNOWN, "output": "text"}, "'text' is no number, and nothing explains it"),
        ({"instances": [{"x": 1}], "background": KNOWN}, "is missing"),
        (
            {"instances": [ROW, ROW], "what_if": {"feature": "x", "values": [1]}},
            "has to be a list of one row that names",
        ),
        ({"instances": [ROW], "what_if": {"feature": ["x"], "values": [1]}}, "has to name a `feature` of the row"),
        ({"instances": [ROW], "what_if": {"feature": {}, "values": [1]}}, "has to name a `feature` of the row"),
        ({"instances": [ROW], "what_if": ["x"]}, "`what_if` has to be an object with a `feature` and its `values`"),
        (
            {"instances": [ROW], "what_if": {"feature": "x", "value": 1}},
            "`what_if` has no 'value'; it has feature and values",
        ),
        (
            {"instances": [ROW], "whatif": {}},
            "explain has no 'whatif'; it has instances, background, output and what_if",
        ),
        ({"instances": [ROW], "background": KNOWN, "output": ["x"]}, "`output` has to be a text"),
        ({"instances": [ROW], "background": {"x": 1}}, "`background` has to be a list"),
        ({"instances": [ROW], "what_if": {"feature": "y", "values": [1]}}, "has to name a `feature` of the row"),
        ({"instances": [ROW], "what_if": {"feature": "x", "values": [1] * 65}}, "as `values` a list of up to 64"),
        ({"instances": [ROW], "what_if": {"feature": "x", "values": ["a"]}}, "input 'x' has to be float32"),
    ],
)
def test_bad_requests(server: Server, request_: Mapping[str, Any], said: str) -> None:
    status, error = refused(server, request_, ":explain")
    assert status == 400
    assert said in error


def answers(rows: Rows) -> dict[str, Array]:
    raised = np.exp(np.stack([rows["a"], rows["b"], 0 * rows["a"]], 1))
    names = np.array([[b"one", b"two", b"none"]] * len(rows["a"]), object)
    return {"scores": raised / raised.sum(1, keepdims=True), "classes": names}


def test_classes_are_named_and_the_nearest_of_another_is_told() -> None:
    known = {"a": np.array([3.0, 0.0, 0.1]), "b": np.array([0.0, 3.0, 2.0])}
    row = {"a": np.array([2.0]), "b": np.array([1.0])}
    names = explaining._names(answers(known))
    found = explaining._made(subject(answers, known, classes=names), row, known)
    [told] = found["explanations"]
    assert (found["task"], found["output"], told["name"], told["class"]) == ("classes", "scores", "one", 0)
    assert sum(told["attributions"].values()) == pytest.approx(told["answer"] - told["baseline"])
    assert told["nearest_other"]["name"] == "two"
    assert told["nearest_other"]["row"] == {"a": 0.1, "b": 2.0}
    assert found["orders"] == 2 * 3 * (32 // 3), "of few known rows each is used more than once"


def test_it_ends_after_its_time_with_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explaining, "_SECONDS", 0.0)
    known = {name: np.arange(40.0) for name in "abcdefgh"}
    row = {name: values[:1] + 1 for name, values in known.items()}

    def total(rows: Rows) -> dict[str, Array]:
        return {"outputs": sum(rows.values())}  # type: ignore[dict-item]

    found = explaining._made(subject(total, known), row, known)
    assert found["orders"] < 80
    [told] = found["explanations"]
    assert sum(told["attributions"].values()) == pytest.approx(told["answer"] - told["baseline"])


def test_one_at_a_time_a_few_wait_and_predictions_wait_for_none() -> None:
    at_once: list[int] = []
    going, ended = threading.Event(), threading.Event()

    def work(number: int) -> int:
        at_once.append(number)
        going.set()
        ended.wait(10)
        assert len(at_once) <= number + 1
        return number

    async def all_of_it() -> None:
        turn = explaining.Turn()
        first = [asyncio.create_task(turn.take(work, number)) for number in range(5)]
        await asyncio.to_thread(going.wait, 10)
        with pytest.raises(NotReadyError, match="5 explanations are being made or wait; ask again later"):
            await turn.take(work, 9)
        assert await asyncio.to_thread(lambda: "predicted") == "predicted", "in threads of their own"
        assert at_once == [0]
        ended.set()
        assert await asyncio.gather(*first) == [0, 1, 2, 3, 4]
        # Whose turn is over makes room.
        assert await turn.take(work, 5) == 5

    asyncio.run(all_of_it())


def test_too_many_rows_of_many_features_are_refused(
    models: dict[int, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "1").symlink_to(models[1])
    versions = Versions("m", tmp_path)
    versions.refresh()
    asked = {"instances": [ROW] * 3, "background": KNOWN, "output": "x"}
    assert explaining.explain(versions, Asked(), None, "", asked)[1] == 1
    monkeypatch.setattr(explaining, "_FIRST", 40)
    with pytest.raises(BadRequestError, match="3 rows of 4 features take 41 answers at least, and 40 is the most"):
        explaining.explain(versions, Asked(), None, "", asked)
    # A single one is explained whatever it takes.
    assert explaining.explain(versions, Asked(), None, "", asked | {"instances": [ROW]})[1] == 1
