"""Answers for raw rows with exported models, in a process that stays warm: `python -m ...predictions`.

Protocol: JSON lines. On standard input `{"model": FOLDER, "digest": TEXT, "rows":
[{NAME: VALUE}]}`, where bytes are `{"base64": TEXT}`
and what is missing is null or left out; without `rows` the model is only loaded. On standard output
`{"inputs": [NAME], "outputs": {NAME: {"dtype": ..., "shape": [...], "base64": ...}}}`, of strings `values` in place of
`base64`; or `{"error": TEXT, "code": EXIT_CODE}`. Closing standard input ends the process.
"""

from __future__ import annotations

import base64
import functools
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.runtime.data import examples
from components.runtime.errors import InputError, classify, known, operation_cause
from components.runtime.missing import stand_in
from components.runtime.module_file import signatures

if TYPE_CHECKING:
    import tensorflow as tf

Row = Mapping[str, Any]

_MODELS_KEPT = 4


class ExportedModel:
    """A SavedModel, asked by its signature `serving_default`.

    Attributes:
      inputs: the specs of its raw features by name; empty where it takes serialised tf.Examples.
    """

    def __init__(self, folder: str) -> None:
        """Loads it.

        Raises:
          InputError: there is none, or it has no such signature.
        """
        import tensorflow as tf

        try:
            self._loaded = tf.saved_model.load(folder)
        except OSError:
            raise InputError(f"{folder}: no SavedModel lies here; run the pipeline up to train again") from None
        if signatures.SERVING_DEFAULT not in self._loaded.signatures:
            has = ", ".join(self._loaded.signatures) or "none"
            raise InputError(f"{folder}: the model has no signature {signatures.SERVING_DEFAULT!r}; it has: {has}")
        self._ask = self._loaded.signatures[signatures.SERVING_DEFAULT]
        specs = {spec.name or argument: (argument, spec) for argument, spec in self._keywords().items()}
        self._arguments = {name: argument for name, (argument, _) in specs.items()}
        self.inputs: dict[str, tf.TensorSpec] = {name: spec for name, (_, spec) in sorted(specs.items())}
        self._examples = ""
        # As TFX's module files have it: one text for each row. (Those exported here have their own signature for that.)
        if signatures.FROM_EXAMPLES not in self._loaded.signatures and len(self.inputs) == 1:
            [(name, spec)] = self.inputs.items()
            if spec.dtype == tf.string and spec.shape.rank == 1 and signatures.EXAMPLES in name:
                self._examples, self.inputs = name, {}

    def _keywords(self) -> dict[str, Any]:
        return dict(self._ask.structured_input_signature[1])

    def signature(self, name: str) -> Any:
        """Another signature of the model, as TensorFlow has it; None where there is none of that name."""
        return self._loaded.signatures.get(name)

    @property
    def takes_examples(self) -> str:
        """Name of the input for serialised tf.Examples; empty where the model takes raw features."""
        return self._examples

    @property
    def network(self) -> Any:
        """The model without its preprocessing, a function of TensorFlow; None where it was saved without."""
        return getattr(self._loaded, signatures.NETWORK, None)

    def predict(self, rows: Sequence[Row]) -> dict[str, Any]:
        """What the signature answers, arrays by name whose first dimension is that of the rows.

        Raises:
          InputError: a value that an input does not take; names the row, from 0, and the input.
        """
        return self.answers(self.arguments(rows))

    def arguments(self, rows: Sequence[Row]) -> dict[str, tf.Tensor]:
        """What the signature is given for rows, tensors by input.

        Raises:
          InputError: a value that an input does not take; names the row, from 0, and the input.
        """
        import tensorflow as tf

        if self._examples:
            return {self._examples: tf.constant([examples.encode(row) for row in rows], tf.string)}
        return {name: _tensor(name, spec, [row.get(name) for row in rows]) for name, spec in self.inputs.items()}

    def answers(self, given: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """What the signature answers to tensors by input: arrays by output.

        Raises:
          InputError: the model refuses them.
        """
        import tensorflow as tf

        try:
            answers = self._ask(**{self._arguments[name]: tensor for name, tensor in given.items()})
        except tf.errors.InvalidArgumentError as error:
            raise InputError(f"the model refuses these rows: {operation_cause(error.message)}") from None
        return {name: answer.numpy() for name, answer in answers.items()}


def _tensor(name: str, spec: Any, values: Sequence[Any]) -> tf.Tensor:
    """The values of all rows as the signature takes them; what is missing is as `signatures.export` says."""
    import tensorflow as tf

    missing = stand_in(spec.dtype.as_numpy_dtype)
    if spec.shape.rank == 1:
        plain = [_plain(name, spec, row, _one(name, row, each), missing) for row, each in enumerate(values)]
        return tf.constant(plain, spec.dtype)
    inner = list(spec.shape[1:])
    lists = [
        [_plain(name, spec, row, each, missing) for each in ([] if value is None else _flat(value))]
        for row, value in enumerate(values)
    ]
    if None in inner:
        width = max(map(len, lists), default=0)
        return tf.constant([each + [missing] * (width - len(each)) for each in lists], spec.dtype, [len(lists), width])
    for row, each in enumerate(lists):
        if each and len(each) != math.prod(inner):
            raise InputError(f"row {row}: {name} takes {math.prod(inner)} values, not {len(each)}")
    filled = [each or [missing] * math.prod(inner) for each in lists]
    return tf.constant(filled, spec.dtype, [len(lists), *inner])


def _one(name: str, row: int, value: Any) -> Any:
    """The one value of a feature that has no more; it may stand in a list."""
    if not isinstance(value, list):
        return value
    if len(value) > 1:
        raise InputError(f"row {row}: {name} takes one value, not {len(value)}")
    return value[0] if value else None


def _flat(value: Any) -> list[Any]:
    return [inner for each in value for inner in _flat(each)] if isinstance(value, list) else [value]


def _plain(name: str, spec: Any, row: int, value: Any, missing: Any) -> Any:
    import tensorflow as tf

    if value is None or (isinstance(value, float) and math.isnan(value)):
        value = missing
    if spec.dtype == tf.string:
        return value if isinstance(value, bytes) else str(value).encode(errors="backslashreplace")
    try:
        number = float(value) if not isinstance(value, int) else value
        if spec.dtype.is_integer and number != int(number):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        takes = "a whole number" if spec.dtype.is_integer else "a number"
        raise InputError(f"row {row}: {name} takes {takes}, not {value!r}") from None
    if spec.dtype.is_integer:
        if not spec.dtype.min <= number <= spec.dtype.max:
            raise InputError(f"row {row}: {name} takes {spec.dtype.name}, which {value!r} is too large for")
        return int(number)
    return float(number)


@functools.lru_cache(_MODELS_KEPT)
def _model(folder: str, digest: str) -> ExportedModel:
    """A model by what identifies its content: another may lie in the same place by now."""
    return ExportedModel(folder)


def _decoded(value: Any) -> Any:
    if isinstance(value, dict):
        return base64.b64decode(value["base64"])
    return [_decoded(each) for each in value] if isinstance(value, list) else value


def _encoded(array: Any) -> dict[str, Any]:
    if array.dtype == object:
        values = [each.decode("utf-8", "replace") if isinstance(each, bytes) else str(each) for each in array.ravel()]
        return {"dtype": "str", "shape": array.shape, "values": values}
    content = base64.b64encode(array.tobytes()).decode()
    return {"dtype": array.dtype.str, "shape": array.shape, "base64": content}


def answer(request: Mapping[str, Any]) -> dict[str, Any]:
    """The answer to a request; both as the protocol has them."""
    model = _model(request["model"], request.get("digest", ""))
    rows = [{name: _decoded(value) for name, value in row.items()} for row in request.get("rows", [])]
    outputs = model.predict(rows) if rows else {}
    return {"inputs": list(model.inputs), "outputs": {name: _encoded(array) for name, array in outputs.items()}}


def main() -> None:
    """Answers until standard input is closed."""
    # Libraries print; only answers may go to the real standard output.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as answers:
        os.dup2(2, 1)
        for line in sys.stdin:
            try:
                said = answer(json.loads(line))
            except Exception as error:
                fault = classify(error) or known(error)
                said = {"error": str(fault), "code": fault.exit_code}
            print(json.dumps(said), file=answers, flush=True)


if __name__ == "__main__":
    main()
