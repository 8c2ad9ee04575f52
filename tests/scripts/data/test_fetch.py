from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.runtime.errors import InputError, TransientError
from scripts.data import download
from scripts.data.fetch import ATTEMPTS, Source, fetch

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@dataclass
class Server:
    """What the loopback server answers, and what it was asked.

    Attributes:
      regards: whether it knows If-Range.
      then: content and headers with which it goes on after each answer.
    """

    url: str = ""
    content: bytes = CONTENT
    statuses: list[int] = field(default_factory=list)
    cut_after: list[int] = field(default_factory=list)
    ranges: bool = True
    versions: dict[str, str] = field(default_factory=lambda: {"ETag": '"1"'})
    regards: bool = True
    then: list[tuple[bytes, dict[str, str]]] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.headers.get("Range", "")
            state.asked.append(wanted)
            status = state.statuses.pop(0) if state.statuses else 200
            if status != 200:
                self.send_error(status)
                return
            body, versions = state.content, state.versions
            same = self.headers.get("If-Range", "") in versions.values()
            if wanted and state.ranges and (same or not state.regards):
                first = int(wanted.removeprefix("bytes=").removesuffix("-"))
                if first >= len(body):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
                body = body[first:]
            else:
                self.send_response(200)
            for name, value in versions.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: state.cut_after.pop(0)] if state.cut_after else body)
            self.close_connection = True
            if state.then:
                state.content, state.versions = state.then.pop(0)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{http.server_port}"
    yield state
    http.shutdown()
    http.server_close()


Get = Callable[..., Path]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def get(server: Server, said: list[str], tmp_path: Path) -> Get:
    def call(md5: str = MD5) -> Path:
        return fetch(Source(f"{server.url}/file", "file", md5), tmp_path, said.append, pause_seconds=0.01)

    return call


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_good_file_is_downloaded_once(server: Server, get: Get, tmp_path: Path) -> None:
    assert get().read_bytes() == CONTENT
    get()
    assert len(server.asked) == 1
    assert names(tmp_path) == ["file"]


def test_wrong_checksum_removes_the_file_and_names_both_sums(server: Server, get: Get, tmp_path: Path) -> None:
    server.content = b"x" + CONTENT[1:]
    with pytest.raises(InputError) as caught:
        get()
    assert MD5 in str(caught.value)
    assert hashlib.md5(server.content).hexdigest() in str(caught.value)
    assert caught.value.exit_code == 65
    assert names(tmp_path) == []


def test_file_damaged_on_disk_is_removed(server: Server, get: Get, tmp_path: Path) -> None:
    get().write_bytes(CONTENT[:-1])
    with pytest.raises(InputError, match=MD5):
        get()
    assert names(tmp_path) == []
    assert get().read_bytes() == CONTENT


def test_broken_connection_is_gone_on_with(server: Server, get: Get) -> None:
    server.cut_after = [1000, 500]
    assert get().read_bytes() == CONTENT
    assert server.asked == ["", "bytes=1000-", "bytes=1500-"]


def test_interrupted_download_is_gone_on_with_by_the_next_call(server: Server, get: Get, tmp_path: Path) -> None:
    server.cut_after = [100] * ATTEMPTS
    with pytest.raises(TransientError, match="connection ended") as caught:
        get()
    assert caught.value.exit_code == 75
    assert names(tmp_path) == [".file.part", ".file.part.of"]
    server.asked.clear()
    assert get().read_bytes() == CONTENT
    assert server.asked == [f"bytes={100 * ATTEMPTS}-"]
    assert names(tmp_path) == ["file"]


def test_server_without_ranges_starts_anew(server: Server, get: Get) -> None:
    server.ranges = False
    server.cut_after = [1000]
    assert get().read_bytes() == CONTENT


OLD = b"old" * 3000
NEW = b"new" * 2500
YESTERDAY = {"Last-Modified": "Sun, 01 Jan 2023 00:00:00 GMT"}
TODAY = {"Last-Modified": "Mon, 02 Jan 2023 00:00:00 GMT"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"1"'}, {"ETag": '"2"'}),
        (YESTERDAY, TODAY),
        ({"ETag": 'W/"1"'}, {"ETag": 'W/"1"'}),
        ({"ETag": '"1"'}, {}),
        ({}, {}),
        # A file that changed twice in the second in which it was asked for.
        ({"Last-Modified": "Wed, 01 Jan 2125 00:00:00 GMT"}, {"Last-Modified": "Wed, 01 Jan 2125 00:00:00 GMT"}),
    ],
    ids=["tag", "time", "weak tag", "no tag any more", "nothing", "a time of now"],
)
@pytest.mark.parametrize("regards", [True, False], ids=["If-Range is known", "If-Range is not known"])
def test_a_file_that_changes_is_never_glued(
    server: Server, get: Get, before: dict[str, str], after: dict[str, str], regards: bool
) -> None:
    server.content, server.versions, server.regards = OLD, before, regards
    server.cut_after = [1000]
    server.then = [(NEW, after)]
    # Without a published checksum nobody else would notice.
    assert get(md5="").read_bytes() == NEW


def test_a_part_of_another_address_is_not_gone_on_with(
    server: Server, get: Get, said: list[str], tmp_path: Path
) -> None:
    server.content, server.cut_after = OLD, [100] * ATTEMPTS
    with pytest.raises(TransientError):
        fetch(Source(f"{server.url}/elsewhere", "file"), tmp_path, said.append, pause_seconds=0.01)
    server.content = NEW
    assert get(md5="").read_bytes() == NEW


def test_leftover_longer_than_the_file_is_dropped(server: Server, get: Get, tmp_path: Path) -> None:
    (tmp_path / ".file.part").write_bytes(CONTENT + b"more")
    assert get().read_bytes() == CONTENT


def test_missing_file_is_not_asked_for_again(server: Server, get: Get, tmp_path: Path) -> None:
    server.statuses = [404]
    with pytest.raises(InputError, match="404"):
        get()
    assert len(server.asked) == 1
    assert names(tmp_path) == []


def test_busy_server_is_asked_again(server: Server, get: Get, said: list[str]) -> None:
    server.statuses = [503, 503]
    assert get().read_bytes() == CONTENT
    assert sum("503" in line for line in said) == 2


def test_server_that_stays_busy_is_a_passing_fault(server: Server, get: Get) -> None:
    server.statuses = [503] * ATTEMPTS
    with pytest.raises(TransientError, match="503"):
        get()


def test_no_server_is_a_passing_fault(tmp_path: Path, said: list[str]) -> None:
    with pytest.raises(TransientError, match="refused"):
        fetch(Source("http://127.0.0.1:9/file", "file"), tmp_path, said.append, pause_seconds=0.01)


def test_without_a_published_checksum_the_first_download_decides(
    server: Server, get: Get, said: list[str], tmp_path: Path
) -> None:
    file = get(md5="")
    assert (tmp_path / "checksums.sha256").read_text() == f"{SHA256}  file\n"
    assert any("no checksum is published" in line and SHA256 in line for line in said)
    file.unlink()
    server.content = CONTENT + b"more"
    with pytest.raises(InputError, match=SHA256):
        get(md5="")
    assert names(tmp_path) == ["checksums.sha256"]


def test_command_writes_the_trips_where_a_pipeline_reads_them(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        "taxi",
        "--from",
        server.url,
        "--output",
        str(tmp_path / "chicago"),
        "--downloads",
        str(tmp_path / "raw"),
    ]
    assert download.main(arguments) == 0
    assert names(tmp_path / "chicago") == ["trips.csv"]
    assert (tmp_path / "chicago" / "trips.csv").read_bytes() == CONTENT
    assert "no checksum is published" in capsys.readouterr().out


def test_command_fails_in_one_line(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    server.content = b"not MNIST"
    arguments = [
        "mnist",
        "--from",
        server.url,
        "--output",
        str(tmp_path / "mnist"),
        "--downloads",
        str(tmp_path / "raw"),
    ]
    assert download.main(arguments) == 65
    errors = capsys.readouterr().err
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert not (tmp_path / "mnist").exists()


def test_address_must_be_http(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert download.main(["taxi", "--from", "ftp://example.org", "--downloads", str(tmp_path)]) == 65
    assert "not an http address" in capsys.readouterr().err
