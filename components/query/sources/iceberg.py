"""Iceberg tables: the current snapshot or one of them, by a catalog or by the table's own files."""

from __future__ import annotations

import datetime
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import requests
from pyiceberg import exceptions
from pyiceberg.catalog import load_catalog
from pyiceberg.table import StaticTable, Table
from sqlalchemy import make_url
from sqlalchemy.exc import SQLAlchemyError

from components.query.answers import Answer, Asked, Rows
from components.query.faults import telling
from components.query.sources.duckdb import connected, rows
from components.runtime.errors import InputError

# What it warns of, its errors say too.
logging.getLogger("pyiceberg").setLevel(logging.ERROR)
# (The library's exceptions have no class in common.)
_OWN = tuple(each for each in vars(exceptions).values() if isinstance(each, type) and issubclass(each, Exception))
_ERRORS = (*_OWN, pa.ArrowException, requests.RequestException, SQLAlchemyError, OSError, ValueError)


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Opens the table; storage takes its credentials from the environment."""
    with telling(asked, _ERRORS, clean=_clean):
        table = _table(asked)
        number = asked.source["snapshot"]
        if number and not number.isdigit():
            raise InputError(f"{asked.place}: source.snapshot is {number!r}: give the number of a snapshot, in quotes")
        snapshot = table.snapshot_by_id(int(number)) if number else table.current_snapshot()
        if snapshot is None and not number:
            raise InputError(f"{asked.place}: the table has no snapshot: nothing was written into it yet")
        if snapshot is None:
            known = ", ".join(str(each.snapshot_id) for each in table.snapshots()[-5:]) or "none"
            raise InputError(f"{asked.place}: no such snapshot; the newest it has: {known}: mend source.snapshot")
        written = datetime.datetime.fromtimestamp(snapshot.timestamp_ms / 1000, datetime.UTC)
        state = f"snapshot {snapshot.snapshot_id} of {written.isoformat(timespec='seconds')}"
        reader = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow_batch_reader()
        if asked.is_whole_lake:
            yield Answer([lambda: _all_rows(reader, asked)], state)
            return
        with connected(asked, scratch=True) as connection:
            # A query may name the table twice, and a reader can be read once.
            connection.register("lake_rows", reader)
            connection.execute("CREATE TABLE lake AS SELECT * FROM lake_rows")
            yield Answer([lambda: rows(connection, asked)], state)


@contextmanager
def _all_rows(reader: pa.RecordBatchReader, asked: Asked) -> Iterator[Rows]:
    yield Rows(reader.schema, _batches(reader, asked))


def _batches(reader: pa.RecordBatchReader, asked: Asked) -> Iterator[pa.RecordBatch]:
    with telling(asked, _ERRORS, clean=_clean):
        yield from reader


def _table(asked: Asked) -> Table:
    source = asked.source
    if source["path"]:
        return StaticTable.from_metadata(source["path"])
    if source["uri"].startswith("sqlite"):
        file = make_url(source["uri"]).database
        if not file or not Path(file).is_file():
            raise InputError(f"{asked.place}: no such file: mend source.uri in ingest.query")
    said = {"type": source["catalog"], "uri": source["uri"], "warehouse": source["warehouse"], "token": asked.secret}
    # (Else whatever database it is gets the tables of a catalog.)
    said["init_catalog_tables"] = "false"
    return load_catalog("millrace", **{key: value for key, value in said.items() if value}).load_table(source["table"])


def _clean(text: str) -> str:
    """What a catalog's database says, without the query of the catalog."""
    return text.partition("\n[SQL:")[0]
