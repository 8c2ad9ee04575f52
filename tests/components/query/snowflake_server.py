"""A stand-in for Snowflake on loopback: a login, and one answer to every query, for its driver to talk to."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pyarrow as pa

from tests.components.query.servers import PASSWORD


@contextmanager
def snowflake(table: pa.Table, columns: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """What `source` says of the server, and the queries that it was asked.

    Args:
      table: the answer, as Snowflake's own Arrow.
      columns: what Snowflake says of its columns, its rowtype.
    """
    asked: list[str] = []
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    rows = base64.b64encode(sink.getvalue()).decode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                content = gzip.decompress(content)
            said = json.loads(content) if content else {}
            if self.path.startswith("/session/v1/login-request"):
                right = said["data"]["PASSWORD"] == PASSWORD
                wrong = {"success": False, "code": "390100", "message": "Incorrect username or password was specified."}
                self._answer(_LOGGED_IN if right else wrong | {"data": {"nextAction": "RETRY_LOGIN"}})
            elif self.path.startswith("/queries/v1/query-request"):
                asked.append(said["sqlText"])
                own = "LAST_QUERY_ID" in said["sqlText"]
                self._answer({"success": True, "code": None, "message": None, "data": _STATE if own else _ANSWER})
            else:
                self._answer({"success": True, "data": {}})

        def _answer(self, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *arguments: Any) -> None:
            """Says nothing."""

    _LOGGED_IN = {
        "success": True,
        "data": {"token": "token", "masterToken": "master", "validityInSeconds": 3600, "masterValidityInSeconds": 3600,
                 "sessionId": 7, "parameters": [], "sessionInfo": {}},
    }  # fmt: skip
    _ANSWER = {
        "parameters": [], "rowtype": columns, "rowsetBase64": rows, "total": table.num_rows,
        "returned": table.num_rows, "queryId": "01b2-query", "queryResultFormat": "arrow", "statementTypeId": 4096,
    }  # fmt: skip
    text = {"type": "text", "nullable": True, "length": 100, "byteLength": 400, "scale": None, "precision": None}
    state = pa.table({"A": ["01b2-query"], "B": ["2026-11-30 01:02:03 Z"]})
    stream = pa.BufferOutputStream()
    fields = [pa.field(name, pa.string(), metadata={"logicalType": "TEXT"}) for name in state.column_names]
    with pa.ipc.new_stream(stream, pa.schema(fields)) as writer:
        writer.write_table(state.cast(pa.schema(fields)))
    _STATE = {
        "parameters": [], "rowtype": [{"name": "A", **text}, {"name": "B", **text}], "total": 1, "returned": 1,
        "rowsetBase64": base64.b64encode(stream.getvalue()).decode(), "queryId": "01b3", "queryResultFormat": "arrow",
        "statementTypeId": 4096,
    }  # fmt: skip
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield (
            {"kind": "snowflake", "account": "city", "user": "reader", "database": "TAXI", "host": "127.0.0.1",
             "port": server.server_port, "scheme": "http"},
            asked,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
