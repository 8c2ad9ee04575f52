"""BigQuery: a query job, whose rows come as Arrow by the Storage Read API in streams that are read at once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import grpc
import pyarrow as pa
from google.api_core.exceptions import GoogleAPIError
from google.auth.credentials import AnonymousCredentials
from google.auth.exceptions import GoogleAuthError
from google.cloud import bigquery
from google.cloud.bigquery_storage_v1 import BigQueryReadClient, types
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from components.query.answers import Answer, Asked, Rows
from components.query.faults import telling
from components.runtime.errors import InputError

_ERRORS = (GoogleAPIError, GoogleAuthError, grpc.RpcError, OSError)
_REST = "BIGQUERY_EMULATOR_HOST"
_STORAGE = "BIGQUERY_STORAGE_EMULATOR_HOST"
"""Variables of the environment that name the servers of an emulator, which asks for no credentials."""


@contextmanager
def answer(asked: Asked) -> Iterator[Answer]:
    """Runs the query; its result, a table of its own that does not change, is read by a session of streams."""
    source = asked.source
    with telling(asked, _ERRORS):
        client, storage = _clients(asked)
        kind = client.query(asked.sql, job_config=bigquery.QueryJobConfig(dry_run=True)).statement_type
        if kind != "SELECT":
            raise InputError(f"{asked.place}: the query is no single SELECT but {kind}: nothing else is asked")
        job = client.query(asked.sql)
        job.result(max_results=0)
        session = storage.create_read_session(
            parent=f"projects/{source['project']}",
            read_session=types.ReadSession(table=_path(job.destination), data_format=types.DataFormat.ARROW),
            max_stream_count=source["streams"],
        )
        ended = job.ended.isoformat(timespec="seconds") if job.ended else ""
        # (A table without rows has no streams.)
        parts = [partial(_rows, storage, session, stream.name, asked) for stream in session.streams]
        yield Answer(parts or [partial(_rows, storage, session, "", asked)], f"job {job.job_id} at {ended}")


def _clients(asked: Asked) -> tuple[bigquery.Client, BigQueryReadClient]:
    project, location = asked.source["project"], asked.source["location"]
    if not os.environ.get(_REST):
        client = bigquery.Client(project=project, location=location)
        return client, BigQueryReadClient(credentials=client._credentials)
    anonymous = AnonymousCredentials()
    transport = BigQueryReadGrpcTransport(channel=grpc.insecure_channel(os.environ[_STORAGE]))
    return bigquery.Client(project, anonymous, location=location), BigQueryReadClient(transport=transport)


def _path(table: bigquery.TableReference) -> str:
    return f"projects/{table.project}/datasets/{table.dataset_id}/tables/{table.table_id}"


@contextmanager
def _rows(storage: BigQueryReadClient, session: Any, stream: str, asked: Asked) -> Iterator[Rows]:
    schema = pa.ipc.read_schema(pa.py_buffer(session.arrow_schema.serialized_schema))
    yield Rows(schema, _batches(storage, stream, schema, asked))


def _batches(storage: BigQueryReadClient, stream: str, schema: pa.Schema, asked: Asked) -> Iterator[pa.RecordBatch]:
    if not stream:
        return
    with telling(asked, _ERRORS):
        for answered in storage.read_rows(stream):
            yield pa.ipc.read_record_batch(pa.py_buffer(answered.arrow_record_batch.serialized_record_batch), schema)
