"""Requests that are run together: each gets its own answer, and nobody pays for another's fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_server.batching import Batches, Limits
from model_server.errors import BadRequestError, NotReadyError, RequestError
from model_server.prediction_log import Asked
from model_server.saved_model import SavedModel
from model_server.versions import Versions

LONG = 60.0
"""Seconds that no test waits: what waits for so long is answered by something else."""


@pytest.fixture(scope="module")
def model(models: dict[int, Path]) -> SavedModel:
    return SavedModel(models[1])


class Asking:
    """Asks a model in batches, and counts the rows of each run."""

    def __init__(self, limits: Limits) -> None:
        self.batches = Batches(limits)
        self.runs: list[int] = []

    def ask(self, model: SavedModel, signature: str, given: Mapping[str, Any], *outputs: str) -> Any:
        asked = model.signature(signature)
        wanted, arrays = asked.wanted(outputs), asked.arrays(given)

        def run(rows: Mapping[str, Any]) -> dict[str, Any]:
            self.runs.append(next(iter(rows.values())).size)
            return model.run(asked, rows, wanted)

        return self.batches.run(run, model, asked, arrays, wanted)


def at_once(*asks: Callable[[], Any]) -> list[Any]:
    """What each came to, an error of the server's too; all are begun before any has ended."""

    def told(ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except RequestError as error:
            return error

    with ThreadPoolExecutor(len(asks)) as pool:
        return list(pool.map(told, asks))


def test_requests_that_come_together_are_one_run_and_each_gets_its_rows(model: SavedModel) -> None:
    asking = Asking(Limits(12, LONG, 100))
    given = [[[float(place), 0.5]] * (1 + place % 2) for place in range(8)]
    answers = at_once(*(lambda rows=rows: asking.ask(model, "single", {"x": rows}) for rows in given))
    assert [answer["y"].shape for answer in answers] == [(len(rows), 2) for rows in given]
    assert asking.runs == [2 * 12], "full, it waits no longer"
    echoed = Asking(Limits(8, LONG, 100))
    texts = [f"{place}".encode() for place in range(8)]
    answers = at_once(*(lambda text=text: echoed.ask(model, "bytes", {"image": [text]}) for text in texts))
    assert [answer["image_bytes"].tolist() for answer in answers] == [[text] for text in texts]
    assert echoed.runs == [8]


def test_the_first_waits_as_long_as_it_was_told(model: SavedModel) -> None:
    asking = Asking(Limits(100, 0.0, 100))
    assert asking.ask(model, "single", {"x": [[1, 2]]})["y"].tolist() == [[1, 1]]
    assert asking.runs == [2]


def test_what_the_model_refuses_of_one_request_the_others_do_not_pay_for(model: SavedModel) -> None:
    asking = Asking(Limits(8, LONG, 100))
    places = [0, 1, 1, 7, 0, 1, 0, 1]
    answers = at_once(*(lambda place=place: asking.ask(model, "fails", {"place": [place]}) for place in places))
    assert isinstance(answers[3], BadRequestError)
    assert "the model refuses these values" in str(answers[3])
    told = [None if isinstance(answer, BadRequestError) else answer["found"].tolist() for answer in answers]
    assert told == [None if place == 7 else [place + 1.0] for place in places]
    assert sorted(asking.runs, reverse=True) == [8, 4, 4, 2, 2, 1, 1], "halves, until it is found"


@pytest.mark.parametrize(
    ("signature", "given"),
    [
        ("scalar", {"x": 4.0}),
        ("no_rows", {"x": [1.0, 2.0]}),
        ("single", {"x": [[0, 0]] * 4}),
        ("single", {"x": np.zeros([0, 2], np.float32)}),
    ],
)
def test_what_is_not_by_rows_none_or_as_large_as_a_batch_is_run_alone_and_at_once(
    signature: str, given: dict[str, Any], model: SavedModel
) -> None:
    assert set(Asking(Limits(4, LONG, 100)).ask(model, signature, given)) <= {"y", "total"}


def test_what_differs_is_never_one_batch(models: dict[int, Path], model: SavedModel) -> None:
    other = SavedModel(models[2])
    asking = Asking(Limits(2, LONG, 100))
    row = {"x": [[0, 0]]}
    answers = at_once(*(lambda each=each: asking.ask(each, "single", row)["y"] for each in (model, other) * 2))
    assert [answer.tolist() for answer in answers] == [[[1, 1]], [[2, 2]]] * 2
    pairs = [("image_bytes",), ("length",)] * 2
    lengths = at_once(*(lambda names=names: asking.ask(model, "bytes", {"image": [b"ab"]}, *names) for names in pairs))
    assert [sorted(each) for each in lengths] == [list(names) for names in pairs]


def test_more_than_may_wait_are_refused_and_those_that_wait_are_answered(model: SavedModel) -> None:
    asking = Asking(Limits(3, LONG, 2))
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(asking.ask, model, "single", {"x": [[0, 0]]})
        while not asking.batches._waiting:
            pass
        second = pool.submit(asking.ask, model, "bytes", {"image": [b"a"]})
        while asking.batches._waiting < 2:
            pass
        with pytest.raises(NotReadyError, match="2 requests wait already; ask again later"):
            asking.ask(model, "single", {"x": [[0, 0]]})
        # (As large as a batch, it waits for none; the two are answered by those that fill their batches.)
        asking.ask(model, "single", {"x": [[0, 0]] * 3})
        asking.batches._limits = Limits(3, LONG, 9)
        asking.ask(model, "single", {"x": [[0, 0]] * 2})
        asking.ask(model, "bytes", {"image": [b"a"] * 2})
        assert first.result()["y"].shape == (1, 2)
        assert second.result()["length"].tolist() == [1]


def test_a_version_answers_in_batches(models: dict[int, Path], tmp_path: Path) -> None:
    (tmp_path / "1").symlink_to(models[3], target_is_directory=True)
    versions = Versions("m", tmp_path, batches=Batches(Limits(4, LONG, 100)))
    versions.refresh()
    ready = threading.Barrier(4)

    def ask() -> Any:
        with versions.using() as version:
            ready.wait()
            assert version.model is not None
            return version.run(Asked(), version.model.signature("single"), {"x": [[0, 0]]})["y"].tolist()

    assert at_once(*[ask] * 4) == [[[3, 3]]] * 4
