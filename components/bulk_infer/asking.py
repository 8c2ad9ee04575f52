"""Asks a SavedModel for whole batches of serialised tf.Examples."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import tensorflow as tf
from tfx_bsl.coders.example_coder import ExamplesToRecordBatchDecoder

from components.runtime.errors import InputError, did_you_mean, operation_cause
from components.runtime.missing import stand_in
from components.runtime.module_file.signatures import EXAMPLES, FROM_EXAMPLES, SERVING_DEFAULT

Array = np.ndarray[Any, Any]

_HALF = (tf.float16, tf.bfloat16)


class RefusedRow(Exception):
    """A row that the model does not take.

    Attributes:
      row: its number in the batch, from 1.
      why: what the model, or what it is given by, says.
    """

    def __init__(self, row: int, why: str) -> None:
        super().__init__(row, why)
        self.row = row
        self.why = why


@dataclass(frozen=True)
class Output:
    """One of the things that a signature answers.

    Attributes:
      name: of the output in the signature.
      column: that it becomes: `prediction`, or `prediction_<name>` where there are several.
      dtype: TensorFlow's.
      size: values of a row; None where that differs from row to row.
    """

    name: str
    column: str
    dtype: tf.DType
    size: int | None

    @property
    def type(self) -> pa.DataType:
        """Of the column: plain where a row has one value, else a list, row by row of the last dimension."""
        if self.dtype == tf.string:
            plain = pa.string()
        elif self.dtype in _HALF:
            plain = pa.float32()
        else:
            plain = pa.from_numpy_dtype(self.dtype.as_numpy_dtype)
        return plain if self.size == 1 else pa.list_(plain)

    def column_of(self, values: Array) -> pa.Array:
        """The column of what the model answers.

        Args:
          values: of shape [rows, ...].

        Raises:
          InputError: a text is not UTF-8.
        """
        flat = values.reshape(len(values), -1)
        try:
            plain = pa.array(flat.ravel()).cast(self.type if self.size == 1 else self.type.value_type)
        except (pa.ArrowException, UnicodeDecodeError):
            raise InputError(f"the output {self.name!r} of the model has bytes that are no UTF-8 text") from None
        if self.size == 1:
            return plain
        offsets = np.arange(len(values) + 1, dtype=np.int32) * np.int32(flat.shape[1])
        return pa.ListArray.from_arrays(pa.array(offsets), plain)


class Model:
    """A loaded model and the signature that it is asked by.

    Attributes:
      signature: its name.
      outputs: in the order of their names.
    """

    def __init__(self, folder: str, signature: str = "") -> None:
        """Loads it.

        Args:
          folder: of the SavedModel.
          signature: empty for `from_examples` where it answers what `serving_default` does, else for the latter.

        Raises:
          InputError: it has no such signature, or one that answers nothing for each row.
        """
        loaded = _loaded(folder)
        found = loaded.signatures
        self.signature = _chosen(found, signature)
        self._ask = found[self.signature]
        self.outputs = _outputs(self._ask.structured_outputs, self.signature)
        specs = {argument: (spec.name or argument, spec) for argument, spec in _inputs(self._ask).items()}
        self._examples = _argument_of_examples(specs, self.signature, with_from_examples=FROM_EXAMPLES in found)
        self._plain = {} if self._examples else specs

    @property
    def row_bytes(self) -> int:
        """Size of what the model says of one row, as far as its signature tells."""
        return sum((output.size or 0) * output.dtype.size for output in self.outputs)

    def __call__(self, records: tf.Tensor) -> list[Array]:
        """What the model answers, an array for each of `outputs` whose first dimension is that of the records.

        Args:
          records: serialised tf.Examples, of shape [rows].

        Raises:
          RefusedRow: the first record that it refuses.
          InputError: it answers something else than a value, or several, for each row.
        """
        try:
            return self._answers(records)
        except tf.errors.InvalidArgumentError as error:
            raise self._refused(records, error) from None

    def _answers(self, records: tf.Tensor) -> list[Array]:
        given = {self._examples: records} if self._examples else self._tensors(records)
        answers = self._ask(**given)
        found = [_whole(answers[output.name]).numpy() for output in self.outputs]
        for output, values in zip(self.outputs, found, strict=True):
            if not values.ndim or len(values) != len(records):
                raise InputError(
                    f"the output {output.name!r} of the signature {self.signature!r} is of shape {values.shape} for "
                    f"{len(records)} rows, while it has to hold an answer for each; name another signature"
                )
        return found

    def _refused(self, records: tf.Tensor, error: tf.errors.InvalidArgumentError) -> RefusedRow:
        """Looks by halves for the first record that the model refuses."""
        first, cause = 0, operation_cause(error.message)
        while len(records) > 1:
            half = len(records) // 2
            try:
                self._answers(records[:half])
            except tf.errors.InvalidArgumentError as found:
                records, cause = records[:half], operation_cause(found.message)
                continue
            first, records = first + half, records[half:]
        return RefusedRow(first + 1, cause)

    def _tensors(self, records: tf.Tensor) -> dict[str, tf.Tensor]:
        """The plain features of records, as `signatures.export` says that they are given."""
        # Without a schema it takes the types from the records, and leaves out features that none of them has.
        # (A decoder is for one thread.)
        batch = ExamplesToRecordBatchDecoder().DecodeBatch(records.numpy().tolist())
        return {argument: _tensor(name, spec, _column(batch, name)) for argument, (name, spec) in self._plain.items()}


@functools.lru_cache(1)
def _loaded(folder: str) -> Any:
    try:
        return tf.saved_model.load(folder)
    except (OSError, ValueError) as error:
        raise InputError(f"{folder}: the SavedModel cannot be loaded: {' '.join(str(error).split())}") from None


def _whole(answer: tf.Tensor) -> tf.Tensor:
    """Half precision as float32, which files have."""
    return tf.cast(answer, tf.float32) if answer.dtype in _HALF else answer


def _inputs(signature: Any) -> dict[str, Any]:
    return dict(signature.structured_input_signature[1])


def _chosen(found: Mapping[str, Any], named: str) -> str:
    if named:
        if named not in found:
            raise InputError(
                f"signature {named!r}: the model has none of this name{did_you_mean(named, found)}; it has: "
                f"{', '.join(sorted(found)) or 'none'}"
            )
        return named
    if FROM_EXAMPLES in found and (
        SERVING_DEFAULT not in found or _shapes(found[FROM_EXAMPLES]) == _shapes(found[SERVING_DEFAULT])
    ):
        return FROM_EXAMPLES
    if SERVING_DEFAULT in found:
        return SERVING_DEFAULT
    raise InputError(
        f"the model has no signature {SERVING_DEFAULT!r}; name one with signature: {', '.join(sorted(found)) or 'none'}"
    )


def _shapes(signature: Any) -> dict[str, tuple[Any, Any]]:
    return {name: (spec.dtype, spec.shape.as_list()) for name, spec in signature.structured_outputs.items()}


def _outputs(specs: Mapping[str, Any], signature: str) -> list[Output]:
    if not specs:
        raise InputError(f"the signature {signature!r} of the model answers nothing; name another")
    made = []
    for name, spec in sorted(specs.items()):
        shape = spec.shape.as_list()[1:] if spec.shape.rank else [None]
        size = None if None in shape else math.prod(shape)
        made.append(Output(name, "prediction" if len(specs) == 1 else f"prediction_{name}", spec.dtype, size))
    return made


def _argument_of_examples(specs: Mapping[str, tuple[str, Any]], signature: str, *, with_from_examples: bool) -> str:
    """The argument that takes serialised tf.Examples; empty where the signature takes plain features."""
    if len(specs) != 1:
        return ""
    [(argument, (name, spec))] = specs.items()
    if spec.dtype != tf.string or spec.shape.rank not in (1, None):
        return ""
    # As TFX's module files have it: one text for each row, called examples. (Those exported here say it by the name.)
    is_said = signature not in (SERVING_DEFAULT,) if with_from_examples else EXAMPLES in name
    return argument if is_said else ""


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    place = batch.schema.get_field_index(name)
    return pa.nulls(batch.num_rows) if place < 0 else batch.column(place)


def _tensor(name: str, spec: Any, column: pa.Array) -> tf.Tensor:
    """A feature of all rows as the signature takes it; a missing value as `signatures.export` has it."""
    rows = len(column)
    missing = stand_in(spec.dtype.as_numpy_dtype)
    lengths, values = np.zeros(rows, np.int64), np.array([], dtype=object)
    if not pa.types.is_null(column.type):
        lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
        values = column.flatten().to_numpy(zero_copy_only=False)
        if (values.dtype == object) != (spec.dtype == tf.string):
            takes = "text" if spec.dtype == tf.string else "numbers"
            raise InputError(
                f"the model takes {takes} as {name!r}, and the data has something else; correct the column"
            )
        if spec.dtype.is_integer and values.dtype.kind == "f":
            raise InputError(f"the model takes whole numbers as {name!r}, and the data has others; correct the column")
    dense = list(spec.shape[1:])
    width = int(lengths.max(initial=0)) if None in dense else math.prod(dense)
    too_many = np.flatnonzero(lengths > width)
    if len(too_many):
        first = int(too_many[0])
        raise RefusedRow(first + 1, f"{name} has {lengths[first]} values, and the model takes {width}")
    filled = np.full((rows, width), missing, dtype=spec.dtype.as_numpy_dtype)
    filled[np.arange(width) < lengths[:, None]] = values
    return tf.constant(filled.reshape([rows, *(width if size is None else size for size in dense)]), spec.dtype)
