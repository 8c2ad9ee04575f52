"""MySQL and MariaDB, by PyMySQL: one connection, whose rows come as they are read."""

from __future__ import annotations

import ssl
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import pymysql
from pymysql.constants import FIELD_TYPE, FLAG
from pymysql.cursors import SSCursor

from components.query import columns
from components.query.answers import BATCH_ROWS, Answer, Asked, Rows
from components.query.faults import telling
from components.runtime.errors import InputError

_TYPES = {
    **dict.fromkeys((FIELD_TYPE.TINY, FIELD_TYPE.SHORT, FIELD_TYPE.INT24, FIELD_TYPE.LONG), pa.int64()),
    **dict.fromkeys((FIELD_TYPE.LONGLONG, FIELD_TYPE.YEAR, FIELD_TYPE.BIT), pa.int64()),
    FIELD_TYPE.FLOAT: pa.float32(),
    FIELD_TYPE.DOUBLE: pa.float64(),
    FIELD_TYPE.NULL: pa.null(),
    FIELD_TYPE.DATE: pa.date32(),
    FIELD_TYPE.DATETIME: pa.timestamp("us"),
    FIELD_TYPE.TIMESTAMP: pa.timestamp("us", "UTC"),
    FIELD_TYPE.TIME: pa.time64("us"),
    # Texts and bytes have the same types; a charset tells them apart, and a feature is bytes either way.
    **dict.fromkeys((FIELD_TYPE.VARCHAR, FIELD_TYPE.VAR_STRING, FIELD_TYPE.STRING, FIELD_TYPE.JSON), pa.binary()),
    **dict.fromkeys((FIELD_TYPE.BLOB, FIELD_TYPE.TINY_BLOB, FIELD_TYPE.MEDIUM_BLOB), pa.binary()),
    **dict.fromkeys((FIELD_TYPE.LONG_BLOB, FIELD_TYPE.ENUM, FIELD_TYPE.SET), pa.binary()),
}
_LARGEST_PRECISION = 38
_PASSING = (1040, 1053, 1203, 1205, 1213, 2002, 2003, 2006, 2013)
"""Numbers of errors that pass: too many connections, shut-downs, locks, connections refused and lost."""
# (PyMySQL tells of a server that is gone in classes of its own and of Python.)
_ERRORS = (pymysql.MySQLError, OSError, EOFError, struct.error)
_POSITIONS = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('gtid_executed', 'gtid_binlog_pos')"


class _Cursor(SSCursor):
    """A cursor that tells what its columns are."""

    def schema(self, asked: Asked) -> pa.Schema:
        """The types of the answer's columns.

        Raises:
          InputError: one is of a type of which nothing can be made.
        """
        fields = []
        for field in self._result.fields:
            if field.type_code in (FIELD_TYPE.DECIMAL, FIELD_TYPE.NEWDECIMAL):
                # The length counts the point, and the sign of what may have one.
                precision = field.length - (field.scale > 0) - (not field.flags & FLAG.UNSIGNED)
                exact = precision <= _LARGEST_PRECISION
                fields.append((field.name, pa.decimal128(precision, field.scale) if exact else pa.float64()))
            elif field.type_code in _TYPES:
                fields.append((field.name, _TYPES[field.type_code]))
            else:
                raise InputError(
                    f"{asked.place}: column {field.name!r} is no feature: cast it in the query, or leave it out"
                )
        return pa.schema(fields)


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Begins a transaction that reads one snapshot, as far as the tables' engines keep any."""
    source = asked.source
    with telling(asked, _ERRORS, _state_of, clean=_clean):
        connection = pymysql.connect(
            host=source["host"],
            port=source["port"],
            user=source["user"],
            password=asked.secret,
            database=source["database"],
            charset="utf8mb4",
            ssl=ssl.create_default_context() if source["tls"] else None,
            connect_timeout=20,
            read_timeout=3600,
            init_command="SET time_zone = '+00:00'",
            local_infile=False,
        )
        try:
            with connection.cursor() as cursor:
                cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
                cursor.execute("SELECT UTC_TIMESTAMP(6)")
                moment = cursor.fetchone()[0].isoformat()
                cursor.execute(_POSITIONS)
                positions = [f"{name} {value}, " for name, value in cursor.fetchall() if value]
            yield Answer([lambda: _rows(connection, asked)], f"{''.join(positions)}at {moment}+00:00")
        finally:
            # (Rows that nobody wants are not waited for.)
            connection._force_close()


@contextmanager
def _rows(connection: pymysql.Connection[Any], asked: Asked) -> Iterator[Rows]:
    with telling(asked, _ERRORS, _state_of, clean=_clean):
        cursor = connection.cursor(_Cursor)
        cursor.execute(asked.sql)
        schema = cursor.schema(asked)
        yield Rows(schema, _batches(cursor, schema, asked))


def _batches(cursor: SSCursor, schema: pa.Schema, asked: Asked) -> Iterator[pa.RecordBatch]:
    with telling(asked, _ERRORS, _state_of, clean=_clean):
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield columns.batch(rows, schema, asked.place, _array)


def _array(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    if pa.types.is_time(type):
        # Times come as durations, which may be longer than a day.
        return pa.array(values, pa.duration("us")).cast(pa.int64()).cast(type)
    if pa.types.is_int64(type) and any(isinstance(value, bytes) for value in values):
        values = [None if value is None else int.from_bytes(value, "big") for value in values]
    return pa.array(values, type)


def _state_of(error: BaseException) -> str:
    number = error.args[0] if error.args else 0
    return "08000" if number in _PASSING else "42000" if isinstance(number, int) and number else ""


def _clean(text: str) -> str:
    """The server's words, out of PyMySQL's pair of number and text."""
    return text.removeprefix("(").removesuffix(")").partition(", ")[2].strip("\"'") or text
