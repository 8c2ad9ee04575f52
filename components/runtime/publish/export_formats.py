"""What is asked for: under which names, in which formats, made how."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from components.runtime.errors import InputError, did_you_mean

LITERT, ONNX, TFJS, SAVED_MODEL = "litert", "onnx", "tfjs", "saved_model"
TITLES = {LITERT: "LiteRT", ONNX: "ONNX", TFJS: "TensorFlow.js", SAVED_MODEL: "SavedModel"}
INT8 = "int8"

_QUANTISED = {
    LITERT: ("none", "float16", "dynamic", INT8),
    ONNX: ("none", "dynamic"),
    TFJS: ("none", "float16"),
    SAVED_MODEL: ("none",),
}
RAW, TRANSFORMED = "raw", "transformed"
_INPUTS = ("auto", RAW, TRANSFORMED)
_MOST_CLUSTERS = 256
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


@dataclass(frozen=True)
class Format:
    """One export.

    Attributes:
      name: what people call it, and its folder.
      format: of `TITLES`.
      quantise: of the weights; with `int8` of what flows between the layers too.
      inputs: whether it takes raw features or transformed ones; `auto` for raw ones where the format can hold the
        preprocessing.
      sparsity: share of each weight matrix that becomes 0; None for none.
      clusters: how many different values each weight matrix keeps; None for all.
    """

    name: str
    format: str
    quantise: str = "none"
    inputs: str = "auto"
    sparsity: float | None = None
    clusters: int | None = None

    @property
    def title(self) -> str:
        """How it is made, for people."""
        parts = [TITLES[self.format]]
        if self.quantise != "none":
            parts.append(self.quantise)
        if self.sparsity is not None:
            parts.append(f"{self.sparsity:.0%} of the weights 0")
        if self.clusters is not None:
            parts.append(f"{self.clusters} values for each matrix")
        return ", ".join(parts)


def read(asked: Mapping[str, Any]) -> list[Format]:
    """The exports that are asked for.

    Args:
      asked: by name, what `Format` has besides; `format` is the name where nothing is said.

    Raises:
      InputError: one that is none; says which, and what there is.
    """
    if not asked:
        raise InputError("formats is empty: name what to export, such as formats: {litert: {}}")
    return [_read(str(name), said) for name, said in asked.items()]


def _read(name: str, said: Any) -> Format:
    where = f"formats.{name}"
    if not _NAME.fullmatch(name):
        raise InputError(f"{where}: the name becomes that of a folder; write letters, digits, '-' and '_'")
    options = [field.name for field in fields(Format) if field.name != "name"]
    given = {} if said is None else said
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: expected options such as {{quantise: float16}}, not {said!r}")
    given = {key: value for key, value in given.items() if value is not None}
    if unknown := [str(key) for key in given if key not in options]:
        near = did_you_mean(unknown[0], options)
        raise InputError(f"{where}: no option {unknown[0]!r}{near}; there are {', '.join(options)}")
    kind = given.get("format", name)
    if kind not in TITLES:
        near = did_you_mean(str(kind), TITLES)
        raise InputError(f"{where}: {kind!r} is no format{near}; say which: format: {', '.join(TITLES)}")
    made = Format(**{**given, "name": name, "format": kind})
    _one_of(f"{where}.quantise", made.quantise, _QUANTISED[kind], f" for {TITLES[kind]}")
    _one_of(f"{where}.inputs", made.inputs, _INPUTS)
    share = made.sparsity
    if share is not None and (isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1):
        raise InputError(f"{where}.sparsity: expected a share between 0 and 1, not {share!r}")
    count = made.clusters
    if count is not None and (
        isinstance(count, bool) or not isinstance(count, int) or not 2 <= count <= _MOST_CLUSTERS
    ):
        raise InputError(f"{where}.clusters: expected a whole number from 2 to {_MOST_CLUSTERS}, not {count!r}")
    if kind == SAVED_MODEL and share is None and count is None:
        raise InputError(f"{where}: the model itself is a SavedModel; say sparsity or clusters, or leave it out")
    if kind == SAVED_MODEL and made.inputs == TRANSFORMED:
        raise InputError(f"{where}.inputs: a SavedModel takes what the model takes; leave it out")
    return made


def _one_of(where: str, value: Any, known: tuple[str, ...], of: str = "") -> None:
    if value not in known:
        raise InputError(f"{where}: {value!r}{did_you_mean(str(value), known)}; there are{of} {', '.join(known)}")
