"""Trino, by its own client: the cluster reads at once what it can, and gives the rows one after another."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
import requests
import trino
from trino.auth import BasicAuthentication

from components.query import columns
from components.query.answers import BATCH_ROWS, Answer, Asked, Rows
from components.query.faults import telling
from components.runtime.errors import InputError

_ERRORS = (trino.exceptions.Error, requests.RequestException, OSError)
_TYPES = {
    "boolean": pa.bool_(),
    "tinyint": pa.int8(),
    "smallint": pa.int16(),
    "integer": pa.int32(),
    "bigint": pa.int64(),
    "real": pa.float32(),
    "double": pa.float64(),
    "varchar": pa.string(),
    "char": pa.string(),
    "json": pa.string(),
    "uuid": pa.string(),
    "varbinary": pa.binary(),
    "date": pa.date32(),
    "time": pa.time64("us"),
    "timestamp": pa.timestamp("us"),
    "unknown": pa.null(),
}
_SIGNATURE = re.compile(r"([a-z]+)(?:\(([0-9, ]+)\))?( with time zone)?")


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Sends the query, whose id names what was read."""
    source = asked.source
    with telling(asked, _ERRORS, clean=_clean):
        connection = trino.dbapi.connect(
            host=source["host"],
            port=source["port"],
            user=source["user"],
            catalog=source["catalog"],
            schema=source["schema"],
            http_scheme=source["scheme"],
            auth=BasicAuthentication(source["user"], asked.secret) if asked.secret else None,
            source="millrace",
            timezone="UTC",
            request_timeout=60,
        )
        try:
            cursor = connection.cursor()
            cursor.execute(asked.sql)
            yield Answer([lambda: _rows(cursor, asked)], f"query {cursor.query_id}")
        finally:
            connection.close()


@contextmanager
def _rows(cursor: Any, asked: Asked) -> Iterator[Rows]:
    with telling(asked, _ERRORS, clean=_clean):
        fields, refused = [], []
        for name, kind, *_ in cursor.description:
            try:
                fields.append((name, _type(kind)))
            except ValueError:
                refused.append(f"{name!r} ({kind[:40]})")
        if refused:
            raise InputError(
                f"{asked.place}: no features: {', '.join(refused[:5])}: cast them in the query, or leave them out"
            )
        yield Rows(pa.schema(fields), _batches(cursor, pa.schema(fields), asked))


def _batches(cursor: Any, schema: pa.Schema, asked: Asked) -> Iterator[pa.RecordBatch]:
    with telling(asked, _ERRORS, clean=_clean):
        while rows := cursor.fetchmany(BATCH_ROWS):
            yield columns.batch(rows, schema, asked.place, _array)


def _type(signature: str) -> pa.DataType:
    """Arrow's type for one of Trino.

    Raises:
      ValueError: values of that type cannot be kept.
    """
    if signature.startswith("array(") and not signature.startswith("array(array("):
        return pa.list_(_type(signature[6:-1]))
    found = _SIGNATURE.fullmatch(signature)
    if not found or (found[3] and found[1] == "time"):
        raise ValueError(signature)
    if found[1] == "decimal":
        precision, scale = map(int, found[2].split(","))
        return pa.decimal128(precision, scale)
    if found[1] not in _TYPES:
        raise ValueError(signature)
    return pa.timestamp("us", "UTC") if found[3] else _TYPES[found[1]]


def _array(values: Sequence[Any], type: pa.DataType) -> pa.Array:
    if pa.types.is_string(type):
        values = [str(value) if isinstance(value, uuid.UUID) else value for value in values]
    return pa.array(values, type)


def _clean(text: str) -> str:
    """The server's words, out of the client's list of what it knows."""
    found = re.search(r'message="(.*?)", query_id=', text, re.DOTALL)
    return found[1] if found else text
