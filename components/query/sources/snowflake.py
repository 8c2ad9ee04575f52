"""Snowflake, by ADBC, which fetches the parts of an answer at once.

It has never been run against a real Snowflake: only its driver against a stand-in for a login and a query on loopback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import adbc_driver_manager
import adbc_driver_snowflake.dbapi as adbc
import pyarrow as pa

from components.query.answers import Answer, Asked, Rows
from components.query.faults import telling

_OPTIONS = {
    "account": "adbc.snowflake.sql.account",
    "database": "adbc.snowflake.sql.db",
    "schema": "adbc.snowflake.sql.schema",
    "warehouse": "adbc.snowflake.sql.warehouse",
    "role": "adbc.snowflake.sql.role",
    "host": "adbc.snowflake.sql.uri.host",
    "port": "adbc.snowflake.sql.uri.port",
    "scheme": "adbc.snowflake.sql.uri.protocol",
}
_LOGIN = {
    # It tries for five minutes else, and says nothing meanwhile.
    "adbc.snowflake.sql.client_option.login_timeout": "30s",
    "adbc.snowflake.sql.client_option.disable_telemetry": "true",
}
# Integers are NUMBER(38, 0) there: as decimals they would be floats here.
_NUMBERS = {"adbc.snowflake.sql.client_option.use_high_precision": "false"}


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Sends the query, whose id names what was read."""
    with telling(asked, (adbc_driver_manager.Error,), _state_of):
        given = {option: str(asked.source[key]) for key, option in _OPTIONS.items() if asked.source[key]}
        login = {"username": asked.source["user"], "password": asked.needed_secret()}
        options = {**given, **login, **_LOGIN}
        with adbc.connect(db_kwargs=options, autocommit=True) as connection, connection.cursor() as cursor:
            cursor.adbc_statement.set_options(**_NUMBERS)
            cursor.execute(asked.sql)
            reader = cursor.fetch_record_batch()
            with connection.cursor() as other:
                other.execute("SELECT LAST_QUERY_ID(-1), CURRENT_TIMESTAMP()::VARCHAR")
                query, moment = other.fetchone()
            yield Answer([lambda: _rows(reader, asked)], f"query {query} at {moment}")


@contextmanager
def _rows(reader: pa.RecordBatchReader, asked: Asked) -> Iterator[Rows]:
    yield Rows(reader.schema, _batches(reader, asked))


def _batches(reader: pa.RecordBatchReader, asked: Asked) -> Iterator[pa.RecordBatch]:
    with telling(asked, (adbc_driver_manager.Error, pa.ArrowException, OSError), _state_of):
        yield from reader


def _state_of(error: BaseException) -> str:
    return getattr(error, "sqlstate", None) or ""
