"""The search space of Keras Tuner in Katib's words.

Of Katib's `parameters`: pkg/apis/controller/experiments/v1beta1/experiment_types.go in kubeflow/katib. Its suggestion
services take no notice of a step where values are drawn on a logarithmic scale, or are whole numbers; values with a
step are therefore listed. Its grid takes no number with fractions without a step: there, what Keras Tuner's own grid
tries of such a number is listed too.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime.errors import InputError

_MOST_VALUES = 1000
"""A list of more is refused: it would not be read by people, and hardly by Katib."""
_NOT_IN_A_TEMPLATE = re.compile(r"""["'\\\x00-\x1f]|\$\(""")
"""What would end the text that Katib puts a value into, or be put something else in place of by Kubernetes."""
_SAMPLES = 10
"""What Keras Tuner's grid tries of a number without a step (`Numerical.values`), beside its default."""

Entry = Mapping[str, Any]


def parameters(space: Sequence[Entry], *, grid: bool = False) -> list[dict[str, Any]]:
    """The parameters of an Experiment; those that are fixed are none.

    Args:
      space: of `HyperParameters.get_config()`: kind and configuration of each hyperparameter.
      grid: whether every combination is to be tried, so that each has to have a number of values.

    Raises:
      InputError: something that Katib has no word for.
    """
    made: dict[str, dict[str, Any]] = {}
    for entry in space:
        kind, config = entry["class_name"], entry["config"]
        if kind == "Fixed":
            continue
        name = config["name"]
        if not name:
            raise InputError("a hyperparameter has no name, by which Katib would know it; give it one in tuner_fn")
        if name in made:
            raise InputError(
                f"the hyperparameter {name!r} is declared twice, under different conditions, which Katib does not "
                "know; give each its own name in tuner_fn"
            )
        made[name] = {"name": name, **_parameter(name, kind, config, grid=grid)}
    if not made:
        raise InputError("the search space has nothing that varies; declare hyperparameters in tuner_fn")
    return list(made.values())


def combinations(made: Sequence[Mapping[str, Any]]) -> int:
    """How many trials a grid over parameters of an Experiment is."""
    count = 1
    for each in made:
        space = each["feasibleSpace"]
        count *= len(space["list"]) if "list" in space else int(space["max"]) - int(space["min"]) + 1
    return count


def _parameter(name: str, kind: str, config: Entry, *, grid: bool) -> dict[str, Any]:
    if kind == "Boolean":
        return _listed("categorical", ["True", "False"])
    if kind == "Choice":
        values = [str(value) for value in config["values"]]
        if odd := [value for value in values if not value or _NOT_IN_A_TEMPLATE.search(value)]:
            raise InputError(
                f"the hyperparameter {name!r}: Katib's template cannot take the value {odd[0]!r}; rename it"
            )
        return _listed("categorical", values)
    if kind not in ("Int", "Float"):
        raise InputError(f"the hyperparameter {name!r} is a {kind}, for which Katib has no word")
    low, high, step, sampling = (config[key] for key in ("min_value", "max_value", "step", "sampling"))
    if sampling not in ("linear", "log", None):
        raise InputError(f"the hyperparameter {name!r}: Katib draws on no scale such as {sampling}; use linear or log")
    every = kind == "Int" and step == 1 and sampling != "log"
    if not every and (grid or step is not None):
        numbers = _samples(kind, low, high, sampling) if step is None else _values(name, low, high, step, sampling)
        if grid:
            numbers = [*numbers, low if (default := config.get("default")) is None else default]
        texts = {_text(value): value for value in numbers}
        return _listed("discrete", sorted(texts, key=lambda text: texts[text]))
    feasible = {"min": _text(low), "max": _text(high)}
    if sampling == "log":
        feasible["distribution"] = "logUniform"
    return {"parameterType": "int" if kind == "Int" else "double", "feasibleSpace": feasible}


def _values(name: str, low: float, high: float, step: float, sampling: str | None) -> list[float]:
    """Those that a step reaches: added, or on a logarithmic scale multiplied, as Keras Tuner's `Int` and `Float` do."""
    steps = math.log(high / low, step) if sampling == "log" else (high - low) / step
    count = math.floor(steps + 1e-8) + 1
    if count > _MOST_VALUES:
        raise InputError(f"the hyperparameter {name!r} has {count} values; take a larger step, or none")
    return [low * step**index if sampling == "log" else low + step * index for index in range(count)]


def _samples(kind: str, low: float, high: float, sampling: str | None) -> list[float]:
    whole = kind == "Int"
    end = high + 1 if whole else high
    parts = [(index + 0.5) / _SAMPLES for index in range(_SAMPLES)]
    found = [low * (end / low) ** part if sampling == "log" else low + part * (end - low) for part in parts]
    return [int(value) for value in found] if whole else found


def _listed(kind: str, values: list[str]) -> dict[str, Any]:
    return {"parameterType": kind, "feasibleSpace": {"list": values}}


def _text(value: float) -> str:
    """A number without what adding up in binary has left of it."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"
