"""Which of a model's answers is explained, and what it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.runtime.errors import InputError, did_you_mean
from components.runtime.explaining.rows import Array, Rows, count

BINARY, CLASSES, VALUE = "binary", "classes", "number"
"""What an answer is: the probability of 1, one of each class, or a number."""

_PREFERRED = "outputs"
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


def subject(
    ask: Callable[[Rows], Mapping[str, Array]],
    rows: Rows,
    output: str = "",
    labels: Array | None = None,
    classes: Sequence[str] = (),
) -> Subject:
    """Finds out what the model answers.

    Args:
      ask: the signature.
      rows: examples.
      output: the one that is wanted; the one of numbers, where empty, or of several the one called `outputs`.
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
            f"the output {name!r} is of shape {list(shape)} for a row; explained are a number, and a number for "
            "each of "
            f"up to {_MOST_CLASSES:,} classes; there is no explanation of this model"
        )

    def answer(given: Rows) -> Array:
        return ask(given)[name].reshape(count(given), -1).astype(np.float64)

    answers = found[name].reshape(count(rows), -1).astype(np.float64)
    if bad := int((~np.isfinite(answers)).any(1).sum()):
        raise InputError(f"the answer to {bad} of {len(answers)} rows is not a number, which nothing explains")
    if answers.shape[1] == 1:
        within = bool(((answers >= 0) & (answers <= 1)).all()) and (
            labels is None or bool(np.isin(labels, (0, 1)).all())
        )
        return Subject(answer, name, BINARY if within else VALUE, ())
    sums = bool((answers >= 0).all()) and bool((np.abs(answers.sum(1) - 1) < _SUM).all())
    if not sums and not (
        labels is not None and labels.dtype.kind in "iu" and 0 <= labels.min() <= labels.max() < answers.shape[1]
    ):
        raise InputError(
            f"the output {name!r} has {answers.shape[1]} numbers for a row which are no probabilities of classes; "
            "there is no explanation of this model"
        )
    named = [classes[place] if place < len(classes) else str(place) for place in range(answers.shape[1])]
    return Subject(answer, name, CLASSES, named)


def _output(found: Mapping[str, Array], wanted: str) -> str:
    if wanted:
        if wanted not in found:
            raise InputError(
                f"the model answers no {wanted!r}{did_you_mean(wanted, found)}; it answers {', '.join(found)}"
            )
        if found[wanted].dtype.kind not in "fiub":
            raise InputError(f"{wanted!r} is no number, and nothing explains it; name another output")
        return wanted
    numbers = sorted(name for name, values in found.items() if values.dtype.kind == "f")
    if len(numbers) == 1 or _PREFERRED in numbers:
        return _PREFERRED if _PREFERRED in numbers else numbers[0]
    raise InputError(
        f"the model answers {', '.join(sorted(found))}, "
        + ("none of which is a number with a fraction; " if not numbers else "several of them numbers; ")
        + "name the one to explain as `output`"
    )
