"""Rows that a person asks about, in the form that the server takes: by the inputs of the model's signature."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, did_you_mean
from components.runtime.model_server.client import Tensor
from components.runtime.model_server.instances import instance

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
            yield from json_lines(file, limit)
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


def json_lines(file: Path, limit: int | None = None) -> Iterator[dict[str, Any]]:
    """The rows of a file with a JSON object a line.

    Args:
      file: the file.
      limit: so many of its first rows; all without.

    Raises:
      InputError: a line is none.
      OSError: the file cannot be read.
    """
    with file.open("rb") as lines:
        for number, line in enumerate(itertools.islice(lines, limit), 1):
            try:
                row = json.loads(line)
            except ValueError as error:
                raise InputError(f"{file}: line {number} is no JSON ({error})") from None
            if not isinstance(row, dict):
                raise InputError(f"{file}: line {number} is no JSON object")
            yield row


def _row(row: Mapping[str, Any], inputs: Mapping[str, Tensor], where: str) -> dict[str, Any]:
    opened = {
        name: _opened(value, f"{where}: {name}") if inputs[name].dtype == "DT_STRING" else value
        for name, value in row.items()
        if name in inputs
    }
    return instance(opened, inputs, where)


def _opened(value: Any, where: str) -> Any:
    """A value, with the bytes of the files that its texts stand for."""
    if isinstance(value, list):
        return [_opened(each, where) for each in value]
    if not isinstance(value, str) or not value.startswith(_FILE_SIGN) or len(value) == 1:
        return value
    try:
        return Path(value[1:]).read_bytes()
    except OSError as error:
        raise InputError(f"{where}: {value[1:]}: {error.strerror}; {value!r} stands for the bytes of a file") from None
