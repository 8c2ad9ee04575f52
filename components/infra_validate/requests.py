"""What is sent to the server: rows of a split, as plain features and as tf.Examples, and what they should be answered.

The expected answers are those of the model in this process, by the code that evaluate and notebooks use.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from components.runtime.module_file import signatures
from components.runtime.module_file.predictions import ExportedModel
from components.runtime.stage.artifacts import InputArtifact

Arrays = Mapping[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Question:
    """Requests to one signature, and what should come back.

    Attributes:
      signature: its name.
      title: for people.
      given: arrays by input, a row for each example.
      expected: arrays by output.
    """

    signature: str
    title: str
    given: Arrays
    expected: Arrays

    @property
    def count(self) -> int:
        """Number of rows."""
        return len(next(iter(self.given.values())))

    def rows(self, start: int = 0, end: int | None = None) -> list[Any]:
        """Rows as JSON has them in REST: by input, or the value of the only one."""
        columns = {name: [_json(value) for value in values[start:end]] for name, values in self.given.items()}
        if len(columns) == 1:
            return next(iter(columns.values()))
        return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def records(examples: InputArtifact, split: str, count: int) -> list[bytes]:
    """The first rows of a split, serialised.

    Raises:
      InputError: there is no such split, or it has no rows.
    """
    files = sorted(examples.split(split).glob("*"))
    found = list(itertools.islice(itertools.chain.from_iterable(map(tfrecord.read, files)), count))
    if not found:
        raise InputError(f"split {split!r} of the examples has no rows; name another one in infra_validate.split")
    return found


def questions(model: Path, rows: Sequence[bytes]) -> list[Question]:
    """What to ask a model, by each signature that answers predictions.

    Args:
      model: its SavedModel.
      rows: serialised tf.Examples.

    Raises:
      InputError: the model has no signature `serving_default`, or refuses the rows.
    """
    import tensorflow as tf

    exported = ExportedModel(str(model))
    given = exported.arguments([tf_examples.decode(row) for row in rows])
    made = [
        Question(
            signatures.SERVING_DEFAULT,
            "plain features" if exported.inputs else "tf.Examples",
            {name: tensor.numpy() for name, tensor in given.items()},
            exported.answers(given),
        )
    ]
    by_examples = exported.signature(signatures.FROM_EXAMPLES)
    if by_examples is not None:
        [(name, spec)] = by_examples.structured_input_signature[1].items()
        serialised = np.array(rows, dtype=object)
        answers = by_examples(**{name: tf.constant(rows, tf.string)})
        made.append(
            Question(
                signatures.FROM_EXAMPLES,
                "tf.Examples",
                {spec.name or name: serialised},
                {output: answer.numpy() for output, answer in answers.items()},
            )
        )
    return made


def _json(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return [_json(each) for each in value]
    if isinstance(value, bytes):
        # Texts go as such, as clients send them; what is none, in base64.
        try:
            return value.decode()
        except UnicodeDecodeError:
            return {"b64": base64.b64encode(value).decode()}
    return value.item()
