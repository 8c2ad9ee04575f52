"""DuckDB, a file; and what asks the tables of lakes."""

from __future__ import annotations

import datetime
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from components.query.answers import BATCH_ROWS, Answer, Asked, Rows
from components.query.faults import telling
from components.query.sources.files import existing_file
from components.runtime.errors import InputError

# What a query needs is installed; nothing is loaded from elsewhere while it runs, nor as a file is opened.
_CONFIG = {"autoinstall_known_extensions": False, "autoload_known_extensions": False}
_MAGIC = slice(8, 12), b"DUCK"
"""Where every file of DuckDB has these bytes (https://duckdb.org/docs/stable/internals/storage)."""
# What comes as something else: large numbers without a sign as negative ones, bits with how many are padding,
# times without their zone.
_LOST = ("uhugeint", "bit", "time with time zone")


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Opens the file for reading."""
    path = existing_file(asked)
    place, sign = _MAGIC
    with path.open("rb") as file:
        if file.read(place.stop)[place] != sign:
            raise InputError(f"{asked.place}: is no file of DuckDB: mend source.path or source.kind in ingest.query")
    with connected(asked, path) as connection:
        status = path.stat()
        state = f"{status.st_size:,} bytes of {_time(status.st_mtime)}"
        yield Answer([lambda: rows(connection, asked)], state)


@contextmanager
def connected(asked: Asked, path: Path | None = None, *, scratch: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection.

    Args:
      asked: what is asked, for messages.
      path: of the file that it reads; None where what it reads is registered in it.
      scratch: whether it may keep tables on the disk, while it lasts.
    """
    with tempfile.TemporaryDirectory(prefix="millrace-query-") as spill, telling(asked, (duckdb.Error,)):
        config: dict[str, Any] = _CONFIG | {"temp_directory": spill}
        place = f"{spill}/scratch.duckdb" if scratch else str(path or ":memory:")
        connection = duckdb.connect(place, read_only=path is not None, config=config)
        try:
            connection.execute("SET TimeZone = 'UTC'")
            yield connection
        finally:
            connection.close()


@contextmanager
def rows(connection: duckdb.DuckDBPyConnection, asked: Asked) -> Iterator[Rows]:
    """The rows of the query.

    Raises:
      InputError: it is more than one statement, or one that does more than read.
    """
    with telling(asked, (duckdb.Error,)):
        statements = connection.extract_statements(asked.sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise InputError(f"{asked.place}: the query is no single SELECT: nothing else is asked")
        relation = connection.sql(asked.sql)
        for name, kind in zip(relation.columns, relation.types, strict=True):
            if _inner(kind) in _LOST:
                raise InputError(
                    f"{asked.place}: no features: column {name!r} is of type {kind}: leave it out of the query, "
                    "or cast it there"
                )
        reader = relation.to_arrow_reader(BATCH_ROWS)
        yield Rows(reader.schema, _batches(reader, asked))


def _inner(kind: Any) -> str:
    """What lists are of, if it is one."""
    while kind.id in ("list", "array"):
        kind = dict(kind.children)["child"]
    return str(kind.id)


def _batches(reader: pa.RecordBatchReader, asked: Asked) -> Iterator[pa.RecordBatch]:
    # An error of DuckDB while it answers comes through Arrow's stream.
    with telling(asked, (duckdb.Error, pa.ArrowException, OSError)):
        yield from reader


def _time(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).isoformat(timespec="seconds")
