"""PostgreSQL, by ADBC: rows come as binary COPY; parts are read at once from one snapshot of the database."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import pairwise

import adbc_driver_manager
import adbc_driver_postgresql.dbapi as adbc
import pyarrow as pa
import pyarrow.compute as pc

from components.query.answers import Answer, Asked, Rows
from components.query.faults import telling
from components.runtime.errors import InputError

_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
# Large tables are else read from where another reader is, so that the order of the rows is another each time.
_IN_ORDER = "SET LOCAL synchronize_seqscans = off"
# What a moment's day is depends on nobody's settings.
_UTC = "SET LOCAL TimeZone = 'UTC'"
_STATE = (
    "SELECT pg_current_snapshot()::text AS snapshot, to_char(now(), 'YYYY-MM-DD\"T\"HH24:MI:SS.US+00:00') AS moment, "
    "pg_export_snapshot() AS shared"
)
_WHOLE_NUMBERS = (pa.int16(), pa.int32(), pa.int64())


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Begins a transaction that reads, whose snapshot all parts share."""
    with _connected(asked) as cursor:
        cursor.execute(_BEGIN)
        cursor.execute(_UTC)
        state = cursor.execute(_STATE).fetch_arrow_table().to_pylist()[0]
        conditions = _conditions(cursor, asked) if asked.partition else [""]
        yield Answer(
            [partial(_rows, asked, state["shared"], condition) for condition in conditions],
            f"snapshot {state['snapshot']} at {state['moment']}",
        )


@contextmanager
def _connected(asked: Asked) -> Iterator[adbc.Cursor]:
    source = asked.source
    said = {
        "host": source["host"],
        "port": str(source["port"]),
        "dbname": source["database"],
        "user": source["user"],
        "sslmode": source["sslmode"],
        "password": asked.secret,
        "application_name": "millrace",
        "connect_timeout": "20",
        "client_encoding": "UTF8",
        # A server that is gone is noticed within two minutes.
        "keepalives_idle": "60",
        "keepalives_interval": "10",
        "keepalives_count": "6",
    }
    info = " ".join(f"{key}='{_escaped(value)}'" for key, value in said.items() if value)
    with (
        telling(asked, (adbc_driver_manager.Error,), _state_of, clean=_clean),
        adbc.connect(info, autocommit=True) as connection,
        connection.cursor() as cursor,
    ):
        yield cursor


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _conditions(cursor: adbc.Cursor, asked: Asked) -> list[str]:
    """What divides the rows into parts of about as many numbers; rows without one are in the first.

    Raises:
      InputError: the column is not of whole numbers.
    """
    assert asked.partition
    name = '"' + asked.partition.column.replace('"', '""') + '"'
    found = cursor.execute(
        f"SELECT min({name}) AS low, max({name}) AS high FROM ({asked.sql}\n) AS query"
    ).fetch_arrow_table()
    if found.schema.field("low").type not in _WHOLE_NUMBERS:
        raise InputError(
            f"{asked.place}: partition.column {asked.partition.column!r} is no column of whole numbers: name one"
        )
    low, high = found.column("low")[0].as_py(), found.column("high")[0].as_py()
    if low is None:
        return [""]
    parts = min(asked.partition.parts, high - low + 1)
    bounds = [low + (high - low + 1) * number // parts for number in range(1, parts)]
    if not bounds:
        return [""]
    first = f"({name} < {bounds[0]} OR {name} IS NULL)"
    inner = [f"{name} >= {start} AND {name} < {end}" for start, end in pairwise(bounds)]
    return [first, *inner, f"{name} >= {bounds[-1]}"]


@contextmanager
def _rows(asked: Asked, snapshot: str, condition: str) -> Iterator[Rows]:
    # (The driver puts a parenthesis behind the query, which may end with a comment.)
    sql = f"SELECT * FROM ({asked.sql}\n) AS query WHERE {condition}" if condition else f"{asked.sql}\n"
    with _connected(asked) as cursor:
        cursor.execute(_BEGIN)
        cursor.execute(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        cursor.execute(_UTC)
        cursor.execute(_IN_ORDER)
        schema = cursor.adbc_execute_schema(sql)
        lists = [place for place, field in enumerate(schema) if pa.types.is_list(field.type)]
        cursor.execute(_with_depths(sql, len(schema), lists) if lists else sql)
        yield Rows(schema, _batches(cursor.fetch_record_batch(), schema, lists, asked))


def _with_depths(sql: str, width: int, lists: Sequence[int]) -> str:
    """Asks besides of how many dimensions arrays are: the driver gives their values in one, whatever they are."""
    names = ", ".join(f"c{place}" for place in range(width))
    depths = ", ".join(f"array_ndims(c{place}) AS d{place}" for place in lists)
    return f"SELECT {names}, {depths} FROM ({sql}\n) AS answer({names})"


def _batches(
    reader: pa.RecordBatchReader, schema: pa.Schema, lists: Sequence[int], asked: Asked
) -> Iterator[pa.RecordBatch]:
    with telling(asked, (adbc_driver_manager.Error, pa.ArrowException, OSError), _state_of, clean=_clean):
        for batch in reader:
            for place, depths in zip(lists, batch.columns[len(schema) :], strict=True):
                if (pc.max(depths).as_py() or 0) > 1:
                    raise InputError(
                        f"{asked.place}: column {schema.names[place]!r} has arrays of arrays, which are no features: "
                        "leave it out of the query, or take it apart there"
                    )
            yield pa.RecordBatch.from_arrays(batch.columns[: len(schema)], schema=schema)


def _state_of(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""


def _clean(text: str) -> str:
    """The server's own words, without the query, which the driver repeats."""
    text = text.partition("\nQuery was: ")[0]
    for sign in ("[libpq] Failed to connect:", "FATAL:", "ERROR:"):
        if sign in text:
            text = text.partition(sign)[2]
    return text.partition("\nLINE ")[0].partition("\nDETAIL")[0]
