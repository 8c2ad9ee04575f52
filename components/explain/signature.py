"""The examples of a split as the signature of a model takes them, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from components.runtime import missing
from components.runtime.data import examples as tf_examples
from components.runtime.explaining.rows import Array, Rows, count
from components.runtime.module_file.predictions import ExportedModel


def rows_of(exported: ExportedModel, decoded: Sequence[Mapping[str, list[Any]]]) -> dict[str, Array]:
    """The features of examples, as the model takes them; of one that takes tf.Examples, all that they have.

    Raises:
      InputError: the model does not take these examples.
    """
    if exported.inputs:
        return {name: tensor.numpy() for name, tensor in exported.arguments(decoded).items()}
    return {
        name: _column([row.get(name, []) for row in decoded]) for name in sorted({n for row in decoded for n in row})
    }


def _column(values: Sequence[list[Any]]) -> Array:
    """Values of a feature of tf.Examples: as a signature would have them where there is one at most, else as lists."""
    first = next((each[0] for each in values if each), None)
    if first is None or any(len(each) > 1 for each in values):
        made = np.empty(len(values), object)
        made[:] = values
        return made
    if isinstance(first, bytes):
        return np.array([each[0] if each else b"" for each in values], object)
    if isinstance(first, int):
        return np.array([each[0] if each else missing.INTEGER for each in values], np.int64)
    return np.array([each[0] if each else np.nan for each in values], np.float32)


def _examples(rows: Rows) -> Array:
    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return value
        absent = value == b"" or value != value or (isinstance(value, np.integer) and value == missing.INTEGER)
        return [] if absent else [value.item() if isinstance(value, np.generic) else value]

    records = [
        tf_examples.encode({name: plain(values[row]) for name, values in rows.items()}) for row in range(count(rows))
    ]
    return np.array(records, object)


def asking(exported: ExportedModel) -> Callable[[Rows], dict[str, Array]]:
    """What the signature answers to rows, arrays by output.

    Raises (the function):
      InputError: the model refuses the rows.
    """
    import tensorflow as tf

    def ask(rows: Rows) -> dict[str, Array]:
        given = rows if exported.inputs else {exported.takes_examples: _examples(rows)}
        found = exported.answers({name: tf.constant(values) for name, values in given.items()})
        return {name: np.asarray(values) for name, values in found.items()}

    return ask
