"""Where the files are: folders, patterns, spans, object storage."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from components.ingest import sources
from components.runtime.errors import InputError, TransientError
from tests.components.ingest.ingest_support import ROWS, ingested, run_ingest, write_files
from tests.image_files import jpeg


def rows_of(start: int, count: int = 10) -> bytes:
    return b"number\n" + b"".join(b"%d\n" % number for number in range(start, start + count))


def numbers(rows: list[dict[str, list[int]]]) -> set[int]:
    return {row["number"][0] for row in rows}


def test_existing_splits_are_kept(tmp_path: Path) -> None:
    files = {"train/a.csv": rows_of(0), "train/b.csv": rows_of(10), "eval/c.csv": rows_of(0), "train/.d.csv": b"no"}
    data = write_files(tmp_path / "data", files)
    result = ingested(tmp_path / "out", data, patterns={"train": "train/*", "eval": "eval/*"})
    assert numbers(result.rows("train")) == set(range(20))
    assert numbers(result.rows("eval")) == set(range(10)), "also where rows are in both"
    assert result.metadata["rows_train"] == 20


def test_splits_are_not_looked_at_where_patterns_are_given(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"a.csv": rows_of(0)})
    assert ingested(tmp_path / "out", data, patterns={"all": "*.csv"}, splits={"": "x"}).metadata["splits"] == ["all"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.csv", {0}),
        ("x/*", {10}),
        ("./x/*", {10}),
        ("x/**", {10, 20}),
        ("**/*.csv", {0, 10, 20}),
        ("**", {0, 10, 20}),
        ("?.csv", {0}),
        ("x/y/*.csv", {20}),
        ("x/[b].csv", set()),
    ],
)
def test_patterns(tmp_path: Path, pattern: str, expected: set[int]) -> None:
    files = {"a.csv": rows_of(0, 1), "x/b.csv": rows_of(10, 1), "x/y/c.csv": rows_of(20, 1), "_t/d.csv": rows_of(30, 1)}
    data = write_files(tmp_path / "data", files)
    result = run_ingest(tmp_path / "out", data, patterns={"all": pattern})
    if expected:
        assert numbers(ingested(tmp_path / "again", data, patterns={"all": pattern}).rows()) == expected
    assert result.exit_code == (0 if expected else 65)


def test_types_are_the_same_in_all_splits(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"train.csv": b"a\n1\n", "eval.csv": b"a\n1.5\n"})
    result = ingested(tmp_path / "out", data, patterns={"train": "train.csv", "eval": "eval.csv"})
    assert result.metadata["columns"] == {"a": "float32"}
    assert result.rows("train") == [{"a": [1.0]}]


def test_the_newest_span_by_number(tmp_path: Path) -> None:
    files = {f"span-{span}/{split}/a.csv": rows_of(span, 5) for span in (9, 10, 8) for split in ("train", "eval")}
    data = write_files(tmp_path / "data", files | {"span-99x/train/a.csv": ROWS, "span-/train/a.csv": ROWS})
    patterns = {"train": "span-{SPAN}/train/*", "eval": "span-{SPAN}/eval/*"}
    result = ingested(tmp_path / "out", data, patterns=patterns)
    assert result.metadata["span"] == 10
    assert numbers(result.rows("train")) == set(range(10, 15))
    result = ingested(tmp_path / "out2", f"{data}/span-{{SPAN}}/train", splits={"all": 1})
    assert result.metadata["span"] == 10
    assert numbers(result.rows()) == set(range(10, 15))


def test_a_span_that_lacks_a_split(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"1/train.csv": ROWS, "1/eval.csv": ROWS, "2/train.csv": ROWS})
    result = run_ingest(tmp_path / "out", data, patterns={"train": "{SPAN}/train.csv", "eval": "{SPAN}/eval.csv"})
    assert result.exit_code == 65
    assert "no file of span 2 matches '{SPAN}/eval.csv'" in result.error


def test_no_span(tmp_path: Path) -> None:
    result = run_ingest(tmp_path / "out", write_files(tmp_path / "data", {"a.csv": ROWS}) / "span-{SPAN}")
    assert result.exit_code == 65
    assert "nothing there has a number in the place of {SPAN}" in result.error


def test_the_content_of_the_raw_data_is_told(tmp_path: Path) -> None:
    files = {"b.csv": rows_of(0), "a.csv": rows_of(30)}
    listing = b"".join(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\n".encode() for name in sorted(files))
    result = ingested(tmp_path / "out", write_files(tmp_path / "data", files), splits={"all": 1})
    assert result.metadata["content"] == f"sha256:{hashlib.sha256(listing).hexdigest()}"
    assert result.metadata["input_bytes"] == sum(map(len, files.values()))
    assert [row["number"][0] for row in result.rows()] == [*range(30, 40), *range(10)], (
        "files in the order of their names"
    )


@pytest.mark.parametrize("uri", ["file://{}", "{}/"])
def test_writings_of_a_path(tmp_path: Path, uri: str) -> None:
    data = write_files(tmp_path / "da ta", {"a.csv": ROWS})
    assert ingested(tmp_path / "out", uri.format(data)).metadata["rows"] == 30


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder served over HTTP as much like S3 as reading needs; with the query that names it."""
    root = tmp_path / "storage"
    root.mkdir()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

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
            file = root / urlsplit(self.path).path.lstrip("/")
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
            file = root / parts.path.lstrip("/")
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
        host = f"127.0.0.1:{server.server_port}"
        yield root, f"?endpoint_override={host}&scheme=http&region=us-east-1"
    finally:
        server.shutdown()
        server.server_close()


def test_object_storage(bucket: tuple[Path, str], tmp_path: Path) -> None:
    root, query = bucket
    write_files(root / "raw" / "taxi", {"a.csv": rows_of(0, 40), "b.csv": rows_of(40, 40), "_SUCCESS": b""})
    remote = ingested(tmp_path / "remote", f"s3://key:secret@raw/taxi{query}")
    local = ingested(tmp_path / "local", root / "raw" / "taxi")
    assert remote.files() == local.files()
    assert remote.metadata["content"] == local.metadata["content"]


def test_images_in_object_storage(bucket: tuple[Path, str], tmp_path: Path) -> None:
    root, query = bucket
    write_files(
        root / "raw" / "pets", {f"{'cat' if number % 3 else 'dog'}/{number}.jpg": jpeg(number) for number in range(90)}
    )
    remote = ingested(tmp_path / "remote", f"s3://key:secret@raw/pets{query}")
    local = ingested(tmp_path / "local", root / "raw" / "pets")
    assert remote.files() == local.files()
    assert remote.metadata["content"] == local.metadata["content"]
    (root / "raw" / "pets" / "cat" / "1.jpg").write_bytes(b"")
    result = run_ingest(tmp_path / "out", f"s3://key:secret@raw/pets{query}")
    assert result.error == "s3://raw/pets/cat/1.jpg: is empty (0 bytes): copy it again"


def test_object_storage_without_the_data(bucket: tuple[Path, str], tmp_path: Path) -> None:
    root, query = bucket
    (root / "raw").mkdir()
    result = run_ingest(tmp_path / "out", f"s3://key:secret@raw/nothing{query}")
    assert result.exit_code == 65
    assert result.error.startswith("s3://raw/nothing: no such folder or file"), "keys in a URI are not told"
    result = run_ingest(tmp_path / "out", f"s3://key:secret@raw/nothing{query}&what=1")
    assert result.exit_code == 65
    assert result.error.startswith("s3://raw/nothing: not a URI of object storage")
    assert "secret" not in result.error


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "AWS Error NETWORK_CONNECTION during HeadObject operation: curlCode: 7, Couldn't connect to server",
            TransientError,
        ),
        ("google::cloud::Status(UNAVAILABLE: Retry policy exhausted)", TransientError),
        ("AWS Error ACCESS_DENIED during ListObjectsV2 operation: Access Denied.", InputError),
        ("AWS Error UNKNOWN (HTTP status 403) during GetObject operation: No response body.", InputError),
    ],
)
def test_what_fails_in_object_storage(text: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"^s3://raw: cannot be read"), sources.reading("s3://raw"):
        raise OSError(text)
