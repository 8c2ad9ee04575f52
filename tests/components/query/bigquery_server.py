"""BigQuery's two protocols on loopback, as far as a query needs them: jobs over REST, rows over gRPC as Arrow.

What answers the queries is DuckDB; what asks is Google's own clients.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import duckdb
import grpc
import pyarrow as pa
from google.cloud.bigquery_storage_v1 import types

PROJECT = "city"
_PACKAGE = "google.cloud.bigquery.storage.v1.BigQueryRead"


class Server:
    """What both protocols share.

    Attributes:
      rows: of the table `trips`.
      tables: results of jobs.
    """

    def __init__(self, rows: pa.Table) -> None:
        self.rows = rows
        self.tables: dict[str, pa.Table] = {}

    def insert(self, said: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A job, run as soon as it is there: https://cloud.google.com/bigquery/docs/reference/rest/v2/jobs/insert."""
        asked = said["configuration"]["query"]
        with duckdb.connect() as connection:
            connection.register("trips", self.rows)
            try:
                kind = connection.extract_statements(asked["query"])
                answered = connection.sql(asked["query"])
            except duckdb.Error as error:
                words = str(error).splitlines()[0]
                reason = {"reason": "invalidQuery", "message": words, "location": "query"}
                return 400, {"error": {"code": 400, "message": words, "errors": [reason], "status": "INVALID_ARGUMENT"}}
            name = said["jobReference"]["jobId"] if "jobReference" in said else "dry"
            statement = "SELECT" if len(kind) == 1 else "SCRIPT"
            dry = bool(said["configuration"].get("dryRun"))
            if not dry and answered is not None:
                self.tables[name] = answered.to_arrow_table()
        return 200, self.job(name, said["configuration"], statement)

    def job(self, name: str, configuration: dict[str, Any], statement: str) -> dict[str, Any]:
        table = {"projectId": PROJECT, "datasetId": "_anonymous", "tableId": name}
        said = configuration["query"] | {"destinationTable": table}
        return {
            "kind": "bigquery#job",
            "id": f"{PROJECT}:EU.{name}",
            "jobReference": {"projectId": PROJECT, "jobId": name, "location": "EU"},
            "configuration": configuration | {"query": said, "jobType": "QUERY"},
            "status": {"state": "DONE"},
            "statistics": {
                "creationTime": "1796000000000",
                "startTime": "1796000000000",
                "endTime": "1796000001000",
                "query": {"statementType": statement, "totalBytesProcessed": "0"},
            },
        }

    def results(self, name: str) -> dict[str, Any]:
        return {
            "kind": "bigquery#getQueryResultsResponse",
            "jobReference": {"projectId": PROJECT, "jobId": name, "location": "EU"},
            "jobComplete": True,
            "totalRows": str(self.tables[name].num_rows),
            "schema": {"fields": []},
        }

    def create_session(self, request: types.CreateReadSessionRequest, context: Any) -> types.ReadSession:
        name = request.read_session.table.rpartition("/")[2]
        table = self.tables[name]
        count = min(request.max_stream_count, table.num_rows)
        return types.ReadSession(
            name=name,
            table=request.read_session.table,
            data_format=types.DataFormat.ARROW,
            arrow_schema=types.ArrowSchema(serialized_schema=table.schema.serialize().to_pybytes()),
            streams=[types.ReadStream(name=f"{name}/{number}/{count}") for number in range(count)],
        )

    def read_rows(self, request: types.ReadRowsRequest, context: Any) -> Iterator[types.ReadRowsResponse]:
        name, number, count = request.read_stream.rsplit("/", 2)
        table = self.tables[name]
        start, end = (table.num_rows * (int(number) + more) // int(count) for more in (0, 1))
        for batch in table.slice(start, end - start).combine_chunks().to_batches(max_chunksize=7):
            yield types.ReadRowsResponse(
                arrow_record_batch=types.ArrowRecordBatch(serialized_record_batch=batch.serialize().to_pybytes()),
                row_count=batch.num_rows,
            )


@contextmanager
def bigquery(rows: pa.Table) -> Iterator[tuple[Server, dict[str, str]]]:
    """A server, and the variables by which the clients find it."""
    server = Server(rows)

    class Rest(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self._answer(*server.insert(body))

        def do_GET(self) -> None:
            place, _, name = self.path.partition("?")[0].rpartition("/")
            if place.endswith("/queries"):
                self._answer(200, server.results(name))
            else:
                self._answer(200, server.job(name, {"query": {"query": ""}}, "SELECT"))

        def _answer(self, code: int, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Says nothing."""

    handlers = {
        "CreateReadSession": grpc.unary_unary_rpc_method_handler(
            server.create_session, types.CreateReadSessionRequest.deserialize, types.ReadSession.serialize
        ),
        "ReadRows": grpc.unary_stream_rpc_method_handler(
            server.read_rows, types.ReadRowsRequest.deserialize, types.ReadRowsResponse.serialize
        ),
    }
    rest = ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    storage = grpc.server(ThreadPoolExecutor(4))
    storage.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_PACKAGE, handlers),))
    port = storage.add_insecure_port("127.0.0.1:0")
    storage.start()
    try:
        yield (
            server,
            {
                "BIGQUERY_EMULATOR_HOST": f"http://127.0.0.1:{rest.server_port}",
                "BIGQUERY_STORAGE_EMULATOR_HOST": f"127.0.0.1:{port}",
            },
        )
    finally:
        storage.stop(None)
        rest.shutdown()
        rest.server_close()
