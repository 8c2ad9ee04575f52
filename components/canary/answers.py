"""What both versions answer to the same rows."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Sequence
from typing import Any

from components.runtime.data import tfrecord
from components.runtime.data.examples import decode
from components.runtime.errors import InputError
from components.runtime.model_server.client import Client
from components.runtime.model_server.instances import instance
from components.runtime.stage.artifacts import InputArtifact

_AT_ONCE = 50
_DIFFERS = 0.1
"""Numbers that are no probabilities differ where they lie more than this many standard deviations of them apart."""


def instances(examples: InputArtifact, split: str, count: int, client: Client) -> list[dict[str, Any]]:
    """The first rows of a split, as a server takes them.

    Args:
      examples: raw tf.Examples.
      split: its name.
      count: how many rows at most.
      client: of a server, which tells what the model takes.

    Raises:
      InputError: there is no such split.
    """
    inputs = client.inputs(client.version())
    rows = itertools.chain.from_iterable(map(tfrecord.read, sorted(examples.split(split).iterdir())))
    found = []
    for place, record in enumerate(itertools.islice(rows, count), 1):
        values = decode(record)
        # One value where the model takes one, and none is a missing value.
        row = {
            name: values.get(name) if len(each.shape) > 1 else next(iter(values.get(name, [])), None)
            for name, each in inputs.items()
        }
        found.append(instance(row, inputs, f"row {place} of {split}"))
    return found


def differing(stable: Client, canary: Client, rows: Sequence[dict[str, Any]]) -> float | None:
    """The share of rows that are answered otherwise; None without rows.

    Of classes another one wins, a probability lies on the other side of one half, and any other number is further away
    than a tenth of the standard deviation of the stable version's.

    Raises:
      InputError: the versions answer in different forms.
    """
    pairs: list[tuple[Any, Any]] = []
    for begin in range(0, len(rows), _AT_ONCE):
        asked = rows[begin : begin + _AT_ONCE]
        pairs += zip(map(_numbers, stable.predict(asked)), map(_numbers, canary.predict(asked)), strict=True)
    if not pairs:
        return None
    if any(len(one) != len(other) for one, other in pairs):
        raise InputError("the new version answers in another form than the stable one")
    flat = [value for one, _ in pairs for value in one]
    are_scores = all(isinstance(value, int | float) and 0 <= value <= 1 for value in flat)
    scale = statistics.pstdev(flat) if not are_scores and all(isinstance(each, int | float) for each in flat) else 0.0
    return sum(_differ(one, other, are_scores, scale) for one, other in pairs) / len(pairs)


def _differ(one: Sequence[Any], other: Sequence[Any], are_scores: bool, scale: float) -> bool:
    if are_scores and len(one) > 1:
        return one.index(max(one)) != other.index(max(other))
    if are_scores:
        return (one[0] >= 0.5) != (other[0] >= 0.5)
    if any(isinstance(each, str) for each in (*one, *other)):
        return list(one) != list(other)
    return any(abs(first - second) > _DIFFERS * scale for first, second in zip(one, other, strict=True))


def _numbers(answer: Any) -> list[Any]:
    """The values of an answer, whatever it is nested in."""
    if isinstance(answer, dict):
        return [value for name in sorted(answer) for value in _numbers(answer[name])]
    if isinstance(answer, list):
        return [value for each in answer for value in _numbers(each)]
    return [answer]
