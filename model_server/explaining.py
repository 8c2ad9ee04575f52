"""Answers `explain`: what of a row its answer goes by, against rows that are known of the version.

Known are its warm-up requests, and the rows that a request brings along. Explanations take many answers each: they are
made one at a time, in a thread of their own and in batches between which requests for predictions have their turn, and
end after some seconds with what they have by then.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np

from components.runtime.errors import InputError
from components.runtime.explaining import shapley as shapley_values
from components.runtime.explaining.answers import CLASSES, VALUE, Subject, subject
from components.runtime.explaining.counterfactuals import nearest_other
from components.runtime.explaining.rows import Array, Rows, count, joined, take
from model_server import rest_values, warm_up
from model_server.errors import BadRequestError, NotReadyError
from model_server.prediction_log import Asked
from model_server.signature import Signature
from model_server.versions import Loaded, Versions

MOST_ROWS = 16
"""Of a request."""
MOST_BACKGROUND = 64
MOST_VALUES = 64
_KEYS = ("instances", "background", "output", "what_if")
_WHAT_IF_KEYS = ("feature", "values")
_BACKGROUND = 32
"""Orders for each row: of few background rows each is used several times."""
_FIRST = 20_000
"""Answers that a request may take before it can end early."""
_SECONDS = 5.0
_AT_ONCE = 256
_WAITING = 4
_SEED = 42

_Made = TypeVar("_Made")


class Turn:
    """One explanation at a time; a few wait, and others are told to come later."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="explain")
        self._asked = 0
        self._lock = threading.Lock()

    async def take(self, work: Callable[..., _Made], *arguments: Any) -> _Made:
        """Does it when its turn comes.

        Raises:
          NotReadyError: too many wait already.
        """
        with self._lock:
            if self._asked > _WAITING:
                raise NotReadyError(f"{self._asked} explanations are being made or wait; ask again later")
            self._asked += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)
        finally:
            with self._lock:
                self._asked -= 1


def explain(
    model: Versions, asked: Asked, number: int | None, label: str, request: Mapping[str, Any]
) -> tuple[dict[str, Any], int]:
    """Answers one request: `instances` as of predict, optionally `output` and `background` (rows as `instances`).

    With `what_if` (a `feature` and its `values`) it tells what would be answered to a row with each of these instead.
    Nothing of it is logged: these rows are made up.

    Raises:
      RequestError: it is wrong, too large, or nothing is known to explain against.
    """
    del asked
    _check(request)
    with model.using(number, label) as version:
        assert version.model is not None
        signature = version.model.signature("")
        if "what_if" in request:
            return _what_if(version, signature, request), version.number
        rows = _rows(signature, request, "instances", MOST_ROWS)
        known = _known(version, signature, request)
        width = len(rows)
        if (least := shapley_values.evaluations(count(rows), width, 2)) > _FIRST and count(rows) > 1:
            raise BadRequestError(
                f"{count(rows)} rows of {width} features take {least:,} answers at least, and {_FIRST:,} is the most; "
                "explain fewer rows at once"
            )

        def ask(given: Rows) -> dict[str, Array]:
            assert version.model is not None
            return version.model.run(signature, given)

        try:
            explained = subject(ask, joined(rows, known), request.get("output", ""), classes=_names(ask(known)))
        except InputError as error:
            raise BadRequestError(str(error)) from None
        return _made(explained, rows, known), version.number


def _check(request: Mapping[str, Any]) -> None:
    _refuse_unknown(request, _KEYS, "explain")
    if not isinstance(request.get("output", ""), str):
        raise BadRequestError("`output` has to be a text, the name of an output of the model")


def _refuse_unknown(given: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise BadRequestError(f"{what} has no {unknown[0]!r}; it has {', '.join(known[:-1])} and {known[-1]}")


def _what_if(version: Loaded, signature: Signature, request: Mapping[str, Any]) -> dict[str, Any]:
    """What is answered to a row as it is, and with other values of one feature: predictions as of predict."""
    row, asked = request.get("instances"), request["what_if"]
    if not isinstance(row, list) or len(row) != 1 or not isinstance(row[0], dict):
        raise BadRequestError("with `what_if`, `instances` has to be a list of one row that names its inputs")
    if not isinstance(asked, dict):
        raise BadRequestError("`what_if` has to be an object with a `feature` and its `values`")
    _refuse_unknown(asked, _WHAT_IF_KEYS, "`what_if`")
    feature, values = asked.get("feature"), asked.get("values")
    if (
        not isinstance(feature, str)
        or feature not in row[0]
        or not isinstance(values, list)
        or not 0 < len(values) <= MOST_VALUES
    ):
        raise BadRequestError(
            f"`what_if` has to name a `feature` of the row, and as `values` a list of up to {MOST_VALUES}"
        )
    assert version.model is not None
    rows = [row[0], *({**row[0], feature: value} for value in values)]
    given, _ = rest_values.given({"instances": rows}, signature)
    answers = rest_values.answer(version.model.run(signature, given), by_rows=True, count=len(rows))["predictions"]
    return {"answer": answers[0], "predictions": answers[1:]}


def _made(explained: Subject, rows: Rows, known: Rows) -> dict[str, Any]:
    # Of few known rows each is used more than once, with another order.
    times = max(1, _BACKGROUND // count(known))
    end = time.monotonic() + _SECONDS
    found = shapley_values.shapley(
        explained.answer, rows, known, _SEED, times, at_once=_AT_ONCE, stop=lambda: time.monotonic() > end
    )
    targets = explained.targets(found.answers)
    decisions, answers = explained.decisions(found.answers), explained.answer(known)
    known_decisions = explained.decisions(answers)
    told = []
    for place, target in enumerate(targets):
        each: dict[str, Any] = {
            "answer": _number(found.answers[place, target]),
            "baseline": _number(found.baseline[target]),
            "attributions": _by_feature(found.features, found.values[place, :, target]),
            "errors": _by_feature(found.features, found.errors[place, :, target]),
        }
        if explained.task == CLASSES:
            each |= {"class": int(target), "name": explained.classes[target]}
        if explained.task != VALUE:
            row = take(rows, [place])
            other = nearest_other(row, int(decisions[place]), known, known_decisions)
            each["nearest_other"] = other and {
                "row": {name: rest_values.encoded(name, values)[other.row] for name, values in known.items()},
                "answer": _number(answers[other.row, explained.targets(answers)[other.row]]),
                "distance": other.distance,
                "differs": list(other.differs),
            }
            if other and explained.task == CLASSES:
                each["nearest_other"]["class"] = int(known_decisions[other.row])
                each["nearest_other"]["name"] = explained.classes[known_decisions[other.row]]
        told.append(each)
    return {
        "output": explained.output,
        "task": explained.task,
        "known_rows": count(known),
        "orders": found.background * times * 2,
        "explanations": told,
    }


def _rows(signature: Signature, request: Mapping[str, Any], key: str, most: int) -> dict[str, Array]:
    listed = request.get(key)
    if not isinstance(listed, list) or not listed:
        raise BadRequestError(f"`{key}` has to be a list with a row or more")
    if len(listed) > most:
        raise BadRequestError(f"`{key}` has {len(listed)} rows; {most} are the most that are explained at once")
    given, _ = rest_values.given({"instances": listed}, signature)
    return signature.arrays(given)


def _known(version: Loaded, signature: Signature, request: Mapping[str, Any]) -> dict[str, Array]:
    if "background" in request:
        return _rows(signature, request, "background", MOST_BACKGROUND)
    assert version.model is not None
    found = warm_up.examples(version.model, version.folder, MOST_BACKGROUND)
    if not found:
        raise BadRequestError(
            "nothing is known to explain against: give rows as `background` (`./millrace ask --background FILE`), or "
            "have the stage infra_validate put warm-up requests into the version"
        )
    try:
        return joined(*found)
    except ValueError:
        raise BadRequestError("the warm-up requests differ in shape; give rows as `background`") from None


def _names(answers: Mapping[str, Array]) -> list[str]:
    """Names of classes, where a list of texts that is the same for all rows stands beside the numbers."""
    for values in answers.values():
        if values.dtype.kind == "O" and values.ndim == 2 and (values == values[:1]).all():
            return [each.decode("utf-8", "replace") for each in values[0]]
    return []


def _by_feature(names: tuple[str, ...], values: Array) -> dict[str, float | None]:
    return {name: _number(value) for name, value in zip(names, values, strict=True)}


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
