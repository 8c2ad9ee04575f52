"""Delta tables: the newest version or one of them, asked by DuckDB, which reads only the columns that it needs."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager

import deltalake
from deltalake.exceptions import DeltaError

from components.query.answers import Answer, Asked
from components.query.faults import telling
from components.query.sources.duckdb import connected, rows


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Opens the table; storage takes its credentials from the environment."""
    version = asked.source["version"]
    with telling(asked, (DeltaError, OSError)), connected(asked) as connection:
        table = deltalake.DeltaTable(asked.source["path"], version=None if version < 0 else version)
        connection.register("lake", table.to_pyarrow_dataset())
        written = datetime.datetime.fromtimestamp(table.history(1)[0]["timestamp"] / 1000, datetime.UTC)
        state = f"version {table.version()} of {written.isoformat(timespec='seconds')}"
        yield Answer([lambda: rows(connection, asked)], state)
