"""Object storage for tests: a folder served on the loopback device."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit


@contextmanager
def object_storage(root: Path) -> Iterator[str]:
    """Serves the folders of `root` as buckets, as much like S3 as reading needs.

    Yields:
      What has to stand behind an `s3://` URI so that it is looked for there.
    """

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", head: bool = False, **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content_Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if not head:
                self.wfile.write(body)

        def do_HEAD(self) -> None:
            file = root / unquote(urlsplit(self.path).path).lstrip("/")
            if file.is_file():
                self.answer(
                    200,
                    head=True,
                    Content_Length=str(file.stat().st_size),
                    Last_Modified="Fri, 20 Nov 2026 00:00:00 GMT",
                )
            else:
                self.answer(200 if file.is_dir() and file.parent == root else 404, head=True)

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = parse_qs(parts.query)
            file = root / unquote(parts.path).lstrip("/")
            if "list-type" in query:
                keys = [str(entry.relative_to(file)) for entry in sorted(file.rglob("*")) if entry.is_file()]
                keys = [key for key in keys if key.startswith(query.get("prefix", [""])[0])]
                items = "".join(
                    f"<Contents><Key>{key}</Key><Size>{(file / key).stat().st_size}</Size>"
                    "<LastModified>2026-11-20T00:00:00.000Z</LastModified></Contents>"
                    for key in keys
                )
                text = f"<ListBucketResult><KeyCount>{len(keys)}</KeyCount>{items}</ListBucketResult>"
                self.answer(200, text.encode(), Content_Type="application/xml")
            elif not file.is_file():
                self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
            elif bounds := self.headers.get("Range"):
                start, end = (int(number) for number in bounds.removeprefix("bytes=").split("-"))
                content = file.read_bytes()
                part = content[start : end + 1]
                self.answer(206, part, Content_Range=f"bytes {start}-{start + len(part) - 1}/{len(content)}")
            else:
                self.answer(200, file.read_bytes())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"?endpoint_override=127.0.0.1:{server.server_port}&scheme=http&region=us-east-1"
    finally:
        server.shutdown()
        server.server_close()
