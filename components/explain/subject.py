"""The model that is explained: what it is asked, and which of its answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.runtime.data import examples as tf_examples
from components.runtime.errors import InputError, did_you_mean
from components.runtime.explaining.rows import Array, Rows, count
from components.runtime.module_file import signatures
from components.runtime.module_file.predictions import ExportedModel

BINARY, CLASSES, VALUE = "binary", "classes", "number"
"""What an answer is: the probability of 1, one of each class, or a number."""

_SUM = 1e-3
_MOST_CLASSES = 1000


@dataclass(frozen=True)
class Subject:
    """A model and its answer.

    Attributes:
      answer: of the model to rows, float64 of shape [rows, answers].
      output: of the signature, that is explained.
      task: binary, classes or number.
      classes: names, one for each of the answers of classes.
    """

    answer: Callable[[Rows], Array]
    output: str
    task: str
    classes: Sequence[str]

    def decisions(self, answers: Array) -> Array:
        """The class that is answered, by number; of a binary one 1 from 0.5 on; zeros of a number."""
        if self.task == CLASSES:
            return answers.argmax(1)
        return (answers[:, 0] >= 0.5).astype(int) if self.task == BINARY else np.zeros(len(answers), int)

    def targets(self, answers: Array) -> Array:
        """Which of the answers is explained of each row: that of the class that is answered."""
        return self.decisions(answers) if self.task == CLASSES else np.zeros(len(answers), int)

    def told(self, answers: Array) -> str:
        """One answer, shape [answers], for people."""
        if self.task == CLASSES:
            place = int(answers.argmax())
            return f"{self.classes[place]} ({answers[place]:.3f})"
        return f"{answers[0]:.4g}"


def rows_of(exported: ExportedModel, decoded: Sequence[Mapping[str, list[Any]]]) -> dict[str, Array]:
    """The features of examples, as the model takes them; of one that takes tf.Examples, all that they have.

    Raises:
      InputError: the model does not take these examples.
    """
    if exported.inputs:
        return {name: tensor.numpy() for name, tensor in exported.arguments(decoded).items()}
    return {name: _column([row.get(name, []) for row in decoded]) for name in sorted({n for row in decoded for n in row})}


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
        return np.array([each[0] if each else np.iinfo(np.int64).min for each in values], np.int64)
    return np.array([each[0] if each else np.nan for each in values], np.float32)


def _examples(rows: Rows) -> Array:
    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return value
        absent = value == b"" or value != value or (isinstance(value, np.integer) and value == np.iinfo(np.int64).min)
        return [] if absent else [value.item() if isinstance(value, np.generic) else value]

    records = [tf_examples.encode({name: plain(values[row]) for name, values in rows.items()}) for row in range(count(rows))]
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


def subject(ask: Callable[[Rows], dict[str, Array]], rows: Rows, output: str, labels: Array | None, classes: Sequence[str]) -> Subject:
    """Finds out what the model answers.

    Args:
      ask: the signature.
      rows: examples.
      output: the one that is wanted; the one of numbers, where empty.
      labels: of the examples, where they are known.
      classes: names by number, as far as they are known.

    Raises:
      InputError: there is no such output, or it is neither a number nor one for each class.
    """
    found = ask(rows)
    name = _output(found, output)
    shape = found[name].shape[1:]
    if shape not in ((), (1,)) and (len(shape) != 1 or shape[0] > _MOST_CLASSES):
        raise InputError(
            f"the output {name!r} is of shape {list(shape)} for a row; explained are a number, and a number for each of "
            f"up to {_MOST_CLASSES:,} classes; leave explain out for this model"
        )

    def answer(given: Rows) -> Array:
        return ask(given)[name].reshape(count(given), -1).astype(np.float64)

    answers = found[name].reshape(count(rows), -1).astype(np.float64)
    if bad := int((~np.isfinite(answers)).any(1).sum()):
        raise InputError(f"the answer to {bad} of {len(answers)} rows is not a number, which nothing explains; train again")
    if answers.shape[1] == 1:
        within = bool(((answers >= 0) & (answers <= 1)).all()) and (labels is None or bool(np.isin(labels, (0, 1)).all()))
        return Subject(answer, name, BINARY if within else VALUE, ())
    sums = bool((answers >= 0).all()) and bool((np.abs(answers.sum(1) - 1) < _SUM).all())
    if not sums and not (labels is not None and labels.dtype.kind in "iu" and 0 <= labels.min() <= labels.max() < answers.shape[1]):
        raise InputError(
            f"the output {name!r} has {answers.shape[1]} numbers for a row which are no probabilities of classes; "
            "leave explain out for this model"
        )
    named = [classes[place] if place < len(classes) else str(place) for place in range(answers.shape[1])]
    return Subject(answer, name, CLASSES, named)


def _output(found: Mapping[str, Array], wanted: str) -> str:
    if wanted:
        if wanted not in found:
            raise InputError(f"explain.output: the model answers no {wanted!r}{did_you_mean(wanted, found)}; it answers {', '.join(found)}")
        if found[wanted].dtype.kind not in "fiub":
            raise InputError(f"explain.output: {wanted!r} is no number, and nothing explains it; name another output")
        return wanted
    if signatures.OUTPUTS in found and found[signatures.OUTPUTS].dtype.kind == "f":
        return signatures.OUTPUTS
    numbers = sorted(name for name, values in found.items() if values.dtype.kind == "f")
    if len(numbers) == 1:
        return numbers[0]
    raise InputError(
        f"the model answers {', '.join(sorted(found))}, "
        + ("none of which is a number with a fraction; " if not numbers else "several of them numbers; ")
        + "name what to explain in explain.output"
    )
