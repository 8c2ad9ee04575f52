"""SQLite, a file: types are those of the values, since SQLite itself holds no column to one."""

from __future__ import annotations

import datetime
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa

from components.query import columns
from components.query.answers import BATCH_ROWS, Answer, Asked, Rows
from components.query.faults import telling
from components.query.sources.files import existing_file
from components.runtime.errors import InputError

_TYPES = {
    frozenset[str](): pa.null(),
    frozenset({"integer"}): pa.int64(),
    frozenset({"real"}): pa.float64(),
    frozenset({"integer", "real"}): pa.float64(),
    frozenset({"text"}): pa.string(),
    frozenset({"blob"}): pa.binary(),
    frozenset({"text", "blob"}): pa.binary(),
}
_KINDS = ("integer", "real", "text", "blob")


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Reads the file twice in one transaction: for the types of all values, then for the values."""
    path = existing_file(asked)
    with telling(asked, (sqlite3.Error, OverflowError)):
        # (Another process may write to the file; what it locks is waited for.)
        database = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, timeout=30, isolation_level=None, check_same_thread=False
        )
        try:
            database.execute("PRAGMA query_only = ON")
            database.execute("BEGIN")
            yield Answer([lambda: _rows(database, asked)], _state(database, path))
        finally:
            database.close()


def _state(database: sqlite3.Connection, path: Path) -> str:
    """What SQLite itself tells states of a file apart by: the counter in its header (https://sqlite.org/fileformat2.html).

    With a log that is written ahead, the counter may stay; then what is in that log tells them apart.
    """
    with path.open("rb") as file:
        counter = int.from_bytes(file.read(28)[24:28], "big")
    version = database.execute("PRAGMA schema_version").fetchone()[0]
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not (status := log.stat()).st_size:
        return f"change {counter}, schema {version}"
    written = datetime.datetime.fromtimestamp(status.st_mtime, datetime.UTC).isoformat(timespec="microseconds")
    return f"change {counter}, schema {version}, log of {status.st_size:,} bytes of {written}"


@contextmanager
def _rows(database: sqlite3.Connection, asked: Asked) -> Iterator[Rows]:
    with telling(asked, (sqlite3.Error, OverflowError)):
        cursor = database.execute(asked.sql)
        names = [column[0] for column in cursor.description]
        schema = pa.schema(list(zip(names, _types(database, asked, names), strict=True)))
        yield Rows(schema, _batches(cursor, schema, asked))


def _types(database: sqlite3.Connection, asked: Asked, names: list[str]) -> list[pa.DataType]:
    # By place, since two columns may have one name, and a name any sign.
    columns = [f"c{number}" for number in range(len(names))]
    seen = ", ".join(f"max(typeof({column}) = '{kind}')" for column in columns for kind in _KINDS)
    named = f"WITH answer({', '.join(columns)}) AS ({asked.sql}\n)"
    found = database.execute(f"{named} SELECT {seen} FROM answer").fetchone()
    types = []
    for number, name in enumerate(names):
        of_column = found[number * len(_KINDS) : (number + 1) * len(_KINDS)]
        kinds = frozenset(kind for kind, is_there in zip(_KINDS, of_column, strict=True) if is_there)
        if kinds not in _TYPES:
            raise InputError(
                f"{asked.place}: column {name!r} has values of the types {' and '.join(sorted(kinds))}: "
                "cast it in the query to one of them"
            )
        types.append(_TYPES[kinds])
    return types


def _batches(cursor: sqlite3.Cursor, schema: pa.Schema, asked: Asked) -> Iterator[pa.RecordBatch]:
    with telling(asked, (sqlite3.Error, OverflowError)):
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield columns.batch(rows, schema, asked.place, _array)


def _array(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    if pa.types.is_binary(type):
        return pa.array([value.encode() if isinstance(value, str) else value for value in values], type)
    return pa.array(values, type)
