"""The search space of Keras Tuner in Katib's words.

Of Katib's `parameters`: pkg/apis/controller/experiments/v1beta1/experiment_types.go in kubeflow/katib. Its suggestion
services take no notice of a step where values are drawn on a logarithmic scale, or are whole numbers; values with a
step are therefore listed.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from components.runtime.errors import InputError

_MOST_VALUES = 1000
"""A list of more is refused: it would not be read by people, and hardly by Katib."""
_NOT_IN_A_TEMPLATE = "\"'\\\n"
"""What would end the text that Katib puts a value into."""

Entry = Mapping[str, Any]


def parameters(space: Sequence[Entry]) -> list[dict[str, Any]]:
    """The parameters of an Experiment; those that are fixed are none.

    Args:
      space: of `HyperParameters.get_config()`: kind and configuration of each hyperparameter.

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
        made[name] = {"name": name, **_parameter(name, kind, config)}
    if not made:
        raise InputError("the search space has nothing that varies; declare hyperparameters in tuner_fn")
    return list(made.values())


def _parameter(name: str, kind: str, config: Entry) -> dict[str, Any]:
    if kind == "Boolean":
        return _listed("categorical", ["True", "False"])
    if kind == "Choice":
        values = [str(value) for value in config["values"]]
        if odd := [value for value in values if set(value) & set(_NOT_IN_A_TEMPLATE) or not value]:
            raise InputError(
                f"the hyperparameter {name!r}: Katib's template cannot take the value {odd[0]!r}; rename it"
            )
        return _listed("categorical", values)
    if kind not in ("Int", "Float"):
        raise InputError(f"the hyperparameter {name!r} is a {kind}, for which Katib has no word")
    low, high, step, sampling = (config[key] for key in ("min_value", "max_value", "step", "sampling"))
    if step is not None and not (kind == "Int" and step == 1 and sampling == "linear"):
        return _listed("discrete", [_text(value) for value in _values(name, low, high, step, sampling)])
    if sampling not in ("linear", "log", None):
        raise InputError(f"the hyperparameter {name!r}: Katib draws on no scale such as {sampling}; use linear or log")
    feasible = {"min": _text(low), "max": _text(high)}
    if sampling == "log":
        feasible["distribution"] = "logUniform"
    return {"parameterType": "int" if kind == "Int" else "double", "feasibleSpace": feasible}


def _values(name: str, low: float, high: float, step: float, sampling: str) -> list[float]:
    """Those that a step reaches: added, or on a logarithmic scale multiplied, as Keras Tuner's `Int` and `Float` do."""
    if sampling == "reverse_log":
        raise InputError(f"the hyperparameter {name!r}: Katib draws on no scale such as reverse_log; use linear or log")
    steps = math.log(high / low, step) if sampling == "log" else (high - low) / step
    count = math.floor(steps + 1e-8) + 1
    if count > _MOST_VALUES:
        raise InputError(f"the hyperparameter {name!r} has {count} values; take a larger step, or none")
    return [low * step**index if sampling == "log" else low + step * index for index in range(count)]


def _listed(kind: str, values: list[str]) -> dict[str, Any]:
    return {"parameterType": kind, "feasibleSpace": {"list": values}}


def _text(value: float) -> str:
    """A number without what adding up in binary has left of it."""
    return str(value) if isinstance(value, int) else f"{value:.12g}"
