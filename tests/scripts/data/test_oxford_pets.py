"""The archives of Oxford-IIIT Pet become pairs and nothing else; the download is tried on a server of this machine."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from components.runtime.errors import InputError
from scripts.data import download, oxford_pets
from scripts.data.fetch import Source

NAMES = ("Abyssinian_1", "Bengal_10", "american_bulldog_100")
LIST = "#Image CLASS-ID SPECIES BREED ID\n" + "".join(f"{name} 1 1 1\n" for name in NAMES)

Entry = tuple[str, bytes] | tarfile.TarInfo


def archive(file: Path, entries: list[Entry]) -> Path:
    with tarfile.open(file, "w:gz") as tar:
        for entry in entries:
            if isinstance(entry, tarfile.TarInfo):
                tar.addfile(entry)
            else:
                member = tarfile.TarInfo(entry[0])
                member.size = len(entry[1])
                tar.addfile(member, io.BytesIO(entry[1]))
    return file


def link(name: str, target: str) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = tarfile.SYMTYPE, target
    return entry


def images(more: list[Entry] | None = None) -> list[Entry]:
    pictures: list[Entry] = [(f"images/{name}.jpg", f"picture {name}".encode()) for name in NAMES]
    return [*(more or []), *pictures, ("images/Abyssinian_100.mat", b"of another program")]


def annotations(more: list[Entry] | None = None) -> list[Entry]:
    masks: list[Entry] = [(f"annotations/trimaps/{name}.png", f"mask {name}".encode()) for name in NAMES]
    return [("annotations/list.txt", LIST.encode()), *masks, *(more or []), ("annotations/trimaps/._x.png", b"hidden")]


def unpack(folder: Path, of_images: list[Entry], of_annotations: list[Entry]) -> int:
    pair = archive(folder / "images.tar.gz", of_images), archive(folder / "annotations.tar.gz", of_annotations)
    return oxford_pets.unpack(*pair, folder / "data", lambda line: None)


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()
    }


EXPECTED = {f"images/{name}.jpg": f"picture {name}" for name in NAMES} | {
    f"annotations/trimaps/{name}.png": f"mask {name}" for name in NAMES
}


def test_pairs_of_the_list_and_nothing_else(tmp_path: Path) -> None:
    assert unpack(tmp_path, images(), annotations()) == 3
    assert contents(tmp_path / "data") == EXPECTED


def test_no_entry_reaches_outside(tmp_path: Path) -> None:
    evil: list[Entry] = [
        ("../outside.jpg", b"evil"),
        ("images/../../outside.jpg", b"evil"),
        ("/tmp/outside.jpg", b"evil"),
        link("images/Abyssinian_1.jpg", "/etc/passwd"),
        link("images", ".."),
        ("images/deeper/Bengal_10.jpg", b"evil"),
    ]
    assert unpack(tmp_path, images(evil), annotations()) == 3
    assert contents(tmp_path / "data") == EXPECTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotations.tar.gz", "data", "images.tar.gz"]


def test_a_list_with_a_path_is_refused(tmp_path: Path) -> None:
    entries: list[Entry] = [("annotations/list.txt", b"../../evil 1 1 1\n")]
    with pytest.raises(InputError, match=r"names '\.\./\.\./evil', which is no name of a photograph"):
        unpack(tmp_path, images(), entries)
    assert not (tmp_path / "data").exists()


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"images\.tar\.gz: 1 of the files .* first is images/american_bulldog_100\.jpg"
    ):
        unpack(tmp_path, images()[:2], annotations())
    with pytest.raises(InputError, match=r"no photographs in annotations/list\.txt"):
        unpack(tmp_path, images(), images())
    whole = archive(tmp_path / "annotations.tar.gz", annotations()).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut\.tar\.gz: not a whole \.tar\.gz"):
        oxford_pets.unpack(tmp_path / "images.tar.gz", tmp_path / "cut.tar.gz", tmp_path / "none", print)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    folder = tmp_path / "server"
    folder.mkdir()
    archive(folder / "images.tar.gz", images())
    archive(folder / "annotations.tar.gz", annotations())

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    httpd = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()


def test_the_command_downloads_checks_and_unpacks(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["pets", "--from", server, "--output", str(tmp_path / "data"), "--downloads", str(tmp_path / "raw")]
    # The archives here are not the real ones, which their checksums tell.
    assert download.main(arguments) == 65
    assert "5c4f3ee8e5d25df40f4fd59a7f44e54c" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    monkeypatch.setattr(
        download,
        "PETS",
        tuple(
            Source(each.url, each.name, hashlib.md5((tmp_path / "server" / each.name).read_bytes()).hexdigest())
            for each in download.PETS
        ),
    )
    assert download.main(arguments) == 0
    assert contents(tmp_path / "data") == EXPECTED
    assert "make run MODEL=pets" in capsys.readouterr().out
