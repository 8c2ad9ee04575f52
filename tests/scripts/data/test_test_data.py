"""What `make test-data` makes of the public files is what the tests' figures were taken from, to the byte."""

from __future__ import annotations

import gzip
import io
import shutil
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from scripts.data import test_data
from scripts.data.download import MNIST, PETS, TAXI
from scripts.data.fetch import Source
from tests.runners.loopback import Request, serving
from tests.support import shared


def same_files(one: Path, other: Path) -> bool:
    names = {path.relative_to(one) for path in one.rglob("*") if path.is_file()}
    return bool(names) and all((one / name).read_bytes() == (other / name).read_bytes() for name in names)


def serve_files(folder: Path) -> Callable[[Source], Path]:
    return lambda source: folder / source.name


def with_eval_rows(trips: bytes) -> bytes:
    """The trips among others that TFX's rule puts into the other split: these fares hash so."""
    lines = trips.splitlines(keepends=True)
    names = lines[0].strip().split(b",")
    fares = (b"11.05", b"11.1", b"11.3")
    others = [b",".join(fare if name == b"fare" else b"" for name in names) + b"\n" for fare in fares]
    return b"".join([*lines[:5], others[0], *lines[5:9000], others[1], *lines[9000:], others[2]])


def test_taxi_is_the_training_half_of_tfx_over_http(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trips = shared("taxi/data.csv")

    def answer(request: Request) -> tuple[int, bytes]:
        assert request.path == f"/{TAXI.name}"
        return 200, with_eval_rows(trips.read_bytes())

    with serving(answer) as url:
        arguments = ["taxi", "--output", str(tmp_path / "out"), "--downloads", str(tmp_path / "in"), "--from", url]
        assert test_data.main(arguments) == 0
    assert (tmp_path / "out" / "taxi" / "data.csv").read_bytes() == trips.read_bytes()
    assert test_data.main(arguments) == 0, "without the server"
    printed = capsys.readouterr().out
    assert "taxi: there already" in printed
    assert "not to be had: tfx_testdata/recorded_run" in printed


def test_what_a_source_has_changed_is_not_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / TAXI.name).write_text("trip_miles,fare\n1.5,8.25\n")
    part = test_data.Part(test_data.taxi, test_data.PARTS["taxi"].digest)
    with pytest.raises(Exception, match=r"taxi: what was made has the checksum .* a source has changed"):
        test_data._make("taxi", part, serve_files(tmp_path / "in"), tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    assert test_data.main(["nope", "--output", str(tmp_path)]) == 65
    assert "no test data named 'nope'; there are taxi" in capsys.readouterr().err


def test_digits_are_the_first_of_scikit_learn(tmp_path: Path) -> None:
    folder = shared("digits/sklearn-digits")
    test_data._make("digits", test_data.PARTS["digits/sklearn-digits"], serve_files(tmp_path), tmp_path / "out")
    assert same_files(tmp_path / "out" / "digits", folder)


@pytest.mark.slow
def test_mnist_is_the_first_images_of_the_training_half(tmp_path: Path) -> None:
    folder = shared("digits/mnist")
    kinds = (("images", "idx3", ">4I", 784), ("labels", "idx1", ">2I", 1))
    for source, (kind, suffix, header, size) in zip(MNIST["train"], kinds, strict=True):
        content = gzip.decompress((folder / f"train50k-{kind}-{suffix}-ubyte.gz").read_bytes())
        start, length = list(struct.unpack_from(header, content)), struct.calcsize(header)
        start[1] += 100
        whole = struct.pack(header, *start) + content[length:] + bytes(100 * size)
        (tmp_path / source.name).write_bytes(gzip.compress(whole, compresslevel=1))
    test_data._make("mnist", test_data.PARTS["digits/mnist"], serve_files(tmp_path), tmp_path / "out")


def test_pets_are_some_of_the_archives(tmp_path: Path) -> None:
    folder = shared("pets")
    for source, inside in zip(PETS, ("images", "annotations"), strict=True):
        with tarfile.open(tmp_path / source.name, "w:gz", compresslevel=1) as archive:
            archive.add(folder / inside, inside)
            more = tarfile.TarInfo(f"{inside}/Persian_1.jpg")
            more.size = 3
            archive.addfile(more, io.BytesIO(b"cat"))
    test_data._make("pets", test_data.PARTS["pets"], serve_files(tmp_path), tmp_path / "out")
    assert same_files(tmp_path / "out" / "pets", folder)


def test_files_of_tfx_lie_where_they_lie_there(tmp_path: Path) -> None:
    folder = shared("tfx_testdata/head")
    for path in test_data.TFX_FILES:
        shutil.copyfile(folder / path, tmp_path / path.replace("/", "--"))
    test_data._make("head", test_data.PARTS["tfx_testdata/head"], serve_files(tmp_path), tmp_path / "out")
    assert same_files(tmp_path / "out" / "head", folder)
