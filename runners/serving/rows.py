"""Rows that a person asks about, in the form that the server takes: by the inputs of the model's signature."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, did_you_mean
from components.runtime.model_server.client import Tensor

_SMALLEST_INT64 = -(2**63)
_FILE_SIGN = "@"
_FORMATS = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson", ".json")


def of_text(text: str, inputs: Mapping[str, Tensor]) -> tuple[dict[str, Any], list[str]]:
    """A row that was typed as JSON.

    Args:
      text: a JSON object, value by input; a text `@FILE` stands for the bytes of a file.
      inputs: of the signature.

    Returns:
      the row as the server takes it, and the names that it does not have, which count as missing values.

    Raises:
      InputError: it is none, names an input that there is not, or has a value of another type.
    """
    try:
        row = json.loads(text)
    except ValueError as error:
        raise InputError(f"--row {text}: no JSON ({error}); write it as --row '{{\"name\": value}}'") from None
    if not isinstance(row, dict):
        raise InputError(f"--row {text}: no JSON object; write it as --row '{{\"name\": value}}'")
    for name in row:
        if name not in inputs:
            raise InputError(f"--row: the model takes no {name!r}{did_you_mean(name, list(inputs))}")
    return _row(row, inputs, "--row"), [name for name in inputs if row.get(name) is None]


def of_file(file: Path, inputs: Mapping[str, Tensor], limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Rows of a table; columns that the model does not take are left out.

    Args:
      file: CSV, TSV, Parquet, or JSON with a row a line.
      inputs: of the signature.
      limit: so many of its first rows.

    Returns:
      the rows, and the inputs that the table has no column for.

    Raises:
      InputError: there is no such table, it has none of the inputs, or a value of another type.
    """
    found = list(_read(file, limit))
    if not found:
        raise InputError(f"{file}: no rows")
    columns = {name for row in found for name in row}
    if not columns & set(inputs):
        raise InputError(f"{file}: none of its columns is an input of the model: {', '.join(sorted(inputs))}")
    missing = [name for name in inputs if name not in columns]
    return [_row(row, inputs, f"{file}: row {place}") for place, row in enumerate(found, 1)], missing


def _read(file: Path, limit: int) -> Iterator[Mapping[str, Any]]:
    import pyarrow as pa
    from pyarrow import csv, parquet

    kind = file.suffix.lower()
    if kind not in _FORMATS:
        raise InputError(f"{file}: only {', '.join(_FORMATS)} can be asked about")
    try:
        if kind in (".jsonl", ".ndjson", ".json"):
            yield from _lines(file, limit)
            return
        if kind == ".parquet":
            batches = parquet.ParquetFile(file).iter_batches(batch_size=limit)
            yield from next(batches, pa.record_batch({})).to_pylist()[:limit]
            return
        delimiter = "\t" if kind == ".tsv" else ","
        with csv.open_csv(file, parse_options=csv.ParseOptions(delimiter=delimiter)) as table:
            names = table.schema.names
        # What a value is says the model, not the file: 02139 may be a text.
        texts = csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False)
        left = limit
        with csv.open_csv(file, parse_options=csv.ParseOptions(delimiter=delimiter), convert_options=texts) as table:
            for batch in table:
                yield from ({name: text or None for name, text in row.items()} for row in batch.to_pylist()[:left])
                left -= batch.num_rows
                if left <= 0:
                    return
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"{file}: cannot be read: {str(error).splitlines()[0]}") from None


def _lines(file: Path, limit: int) -> Iterator[Mapping[str, Any]]:
    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if number > limit:
                return
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{file}: line {number} is no JSON ({error})") from None
            if not isinstance(row, dict):
                raise InputError(f"{file}: line {number} is no JSON object")
            yield row


def _row(row: Mapping[str, Any], inputs: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    return {name: _value(row.get(name), tensor, f"{where}: {name}") for name, tensor in inputs.items()}


def _value(value: Any, tensor: Tensor, where: str) -> Any:
    several = len(tensor.shape) > 1
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        if not several:
            raise InputError(f"{where} takes one value, not a list")
        return [_value(each, Tensor(tensor.dtype, tensor.shape[1:]), where) for each in value]
    if several and value is not None:
        raise InputError(f"{where} takes a list of values")
    if value is None and several:
        # As many missing values as there are places; none where that is open.
        return [_value(None, Tensor(tensor.dtype, tensor.shape[1:]), where)] * max(tensor.shape[1], 0)
    if tensor.dtype == "DT_STRING":
        return _text(value, where)
    if tensor.dtype == "DT_BOOL":
        return _bool(value, where)
    whole = "INT" in tensor.dtype
    if value is None:
        return _SMALLEST_INT64 if whole else math.nan
    try:
        if isinstance(value, bool):
            raise ValueError(value)
        number = int(value) if whole and isinstance(value, str) else float(value) if isinstance(value, str) else value
        if not isinstance(number, int | float) or (whole and number != int(number)):
            raise ValueError(number)
        return int(number) if whole else number
    except (ValueError, OverflowError):
        raise InputError(f"{where} takes a {'whole ' if whole else ''}number, not {value!r}") from None


def _text(value: Any, where: str) -> Any:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return {"b64": base64.b64encode(value).decode()}
    if not isinstance(value, str):
        return str(value)
    if not value.startswith(_FILE_SIGN) or len(value) == 1:
        return value
    try:
        return {"b64": base64.b64encode(Path(value[1:]).read_bytes()).decode()}
    except OSError as error:
        raise InputError(f"{where}: {value[1:]}: {error.strerror}; {value!r} stands for the bytes of a file") from None


def _bool(value: Any, where: str) -> bool:
    told = str(value).lower() if value is not None else "false"
    if told not in ("true", "false", "0", "1"):
        raise InputError(f"{where} takes true or false, not {value!r}")
    return told in ("true", "1")
