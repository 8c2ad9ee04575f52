"""Fetches the public data that the tests use, and makes of it the very files that they expect, by checksum.

What of the tests' data nobody publishes is named at the end; the tests that need it are skipped, and say so.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import hashlib
import io
import itertools
import shutil
import struct
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime.data import examples  # noqa: E402
from components.runtime.errors import InputError  # noqa: E402
from components.runtime.stage.artifacts import content_files, listing_digest, remove  # noqa: E402
from scripts import command  # noqa: E402
from scripts.data import oxford_pets  # noqa: E402
from scripts.data.download import MNIST, PETS, TAXI  # noqa: E402
from scripts.data.fetch import Source, fetch  # noqa: E402
from scripts.data.pet_pictures import IMAGES  # noqa: E402
from scripts.data.sample_data import digits_file  # noqa: E402

_TFX_COMMIT = "58435d68d561e9ba6c657a0ec111adba5176ee98"
_TFX = f"https://raw.githubusercontent.com/tensorflow/tfx/{_TFX_COMMIT}"
TFX_FILES = (
    "tfx/components/testdata/penguin/data/Split-eval/data_tfrecord-00000-of-00001.gz",
    "tfx/components/testdata/penguin/data/Split-train/data_tfrecord-00000-of-00001.gz",
    "tfx/components/testdata/penguin/schema/schema.pbtxt",
    "tfx/examples/penguin/data/labelled/penguins_processed.csv",
    "tfx/examples/penguin/data/skewed/penguins_processed.csv",
    "tfx/examples/penguin/schema/user_provided/schema.pbtxt",
)
"""Files of TFX's own tests, at one commit."""

PET_NUMBERS = {
    "Abyssinian": ("cat", "1 10-15 100-146 148-153"),
    "Bengal": ("cat", "10-15 100-153"),
    "american_bulldog": ("dog", "10-15 100-144 146-153 158"),
}
"""The photographs of Oxford-IIIT Pet that the tests use: species and numbers by breed."""

MNIST_IMAGES = 50_000
DIGIT_ROWS = 1_397
_TRAIN_BUCKETS, _BUCKETS = 2, 3

Get = Callable[[Source], Path]


def taxi(get: Get, folder: Path) -> None:
    """Writes the trips that TFX's own taxi example trains on: two of three, by a hash of the trip's tf.Example.

    The rule is that of TFX's example_gen, `_PartitionFn`: sha256 of the serialised record, modulo the buckets.
    """
    lines = get(TAXI).read_text(encoding="utf-8").splitlines(keepends=True)
    names, *rows = csv.reader(lines)
    columns = [_typed(cells) for cells in zip(*rows, strict=True)]
    train = []
    for line, values in zip(lines[1:], zip(*columns, strict=True), strict=True):
        record = examples.encode(dict(zip(names, values, strict=True)))
        if int.from_bytes(hashlib.sha256(record).digest(), "big") % _BUCKETS < _TRAIN_BUCKETS:
            train.append(line)
    (folder / "data.csv").write_text("".join([lines[0], *train]), encoding="utf-8")


def _typed(cells: tuple[str, ...]) -> list[int | float | str | None]:
    """The cells of a column, of the narrowest type that holds all of them; empty ones are missing."""
    for kind in (int, float, str):
        try:
            return [kind(cell) if cell else None for cell in cells]
        except ValueError:
            continue
    raise AssertionError("str takes everything")


def sklearn_digits(_: Get, folder: Path) -> None:
    """Writes the first digits of those that scikit-learn's wheel carries, as a table with names."""
    with gzip.open(digits_file(), "rt", newline="") as source, (folder / "digits.csv").open("w", newline="") as target:
        writer = csv.writer(target)
        writer.writerow([*(f"p{number}" for number in range(64)), "label"])
        for row in itertools.islice(csv.reader(source), DIGIT_ROWS):
            writer.writerow([int(float(cell)) for cell in row])


def mnist(get: Get, folder: Path) -> None:
    """Writes the first images of MNIST's training half, in MNIST's own format."""
    names = ("train50k-images-idx3-ubyte.gz", "train50k-labels-idx1-ubyte.gz")
    for source, name, header, size in zip(MNIST["train"], names, (16, 8), (784, 1), strict=True):
        with gzip.open(get(source)) as stream:
            start, content = bytearray(stream.read(header)), stream.read(MNIST_IMAGES * size)
        # The second number of an IDX file is the count of what follows.
        struct.pack_into(">I", start, 4, MNIST_IMAGES)
        (folder / name).write_bytes(gzip.compress(bytes(start) + content, mtime=0))


def pets(get: Get, folder: Path) -> None:
    """Writes some photographs with their trimaps, and a table of them."""
    names = {f"{breed}_{number}": (breed, species) for breed, species, number in _pet_numbers()}
    photographs, trimaps = map(get, PETS)
    oxford_pets.unpack(photographs, trimaps, folder, print, only=set(names))
    with (folder / "manifest.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["name", "breed", "species", "width", "height", "format", "mode", "sha256"])
        for name, (breed, species) in sorted(names.items()):
            content = (folder / IMAGES / f"{name}.jpg").read_bytes()
            with Image.open(io.BytesIO(content)) as image:
                facts = (*image.size, image.format, image.mode)
            writer.writerow([name, breed, species, *facts, hashlib.sha256(content).hexdigest()])


def _pet_numbers() -> Iterator[tuple[str, str, int]]:
    for breed, (species, ranges) in PET_NUMBERS.items():
        for part in ranges.split():
            first, _, last = part.partition("-")
            for number in range(int(first), int(last or first) + 1):
                yield breed, species, number


def tfx(get: Get, folder: Path) -> None:
    """Writes files of TFX's own tests."""
    for path in TFX_FILES:
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(get(Source(f"{_TFX}/{path}", path.replace("/", "--"))), target)


@dataclass(frozen=True)
class Part:
    """A folder of test data.

    Attributes:
      make: writes it.
      digest: of its content, see `_digest`.
    """

    make: Callable[[Get, Path], None]
    digest: str


PARTS = {
    "taxi": Part(taxi, "sha256:b440df359fd9d4d9d094afbc7685778e382f744c80fe97cb7a64e51a5fe4e199"),
    "digits/sklearn-digits": Part(
        sklearn_digits, "sha256:c533afc5005d71bff9a3c303a73088b7e754afcd55e1350fcc7135e26e7af80c"
    ),
    "digits/mnist": Part(mnist, "sha256:c688d39585751ced626315dd09b749a1942af349f3887e1208db339d7ce99151"),
    "pets": Part(pets, "sha256:2131234cc7d45875069da2f773abb14055b4a6c6ab1d2fbebe2af3acf1330a09"),
    "tfx_testdata/head": Part(tfx, "sha256:6b14a330baf4ac84c310b7454851ba84626192c81927b7ae8b3c232748f01008"),
}
"""What can be fetched, by where it lies."""

NOT_PUBLIC = {
    "complaints": "extracts of a database that changes daily",
    "tfx_testdata/recorded_run": "a run of TFX that we recorded",
    "kfp_recorded": "answers of a Kubeflow Pipelines server that we recorded",
}
"""What cannot, and why."""


def _digest(folder: Path) -> str:
    """Identifies a folder's content; of compressed files that content counts, which programs compress differently."""
    found = {}
    for file in content_files(folder):
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as stream:
            found[file.relative_to(folder).as_posix()] = hashlib.file_digest(stream, "sha256").hexdigest()
    return listing_digest(found)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.data.test_data", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("part", nargs="*", help=f"without: all of {', '.join(PARTS)}")
    parser.add_argument("--output", type=Path, default=PROJECT / "data" / "test", help="folder for the data")
    parser.add_argument(
        "--downloads", type=Path, default=PROJECT / "data" / "downloads", help="folder for the files as they come"
    )
    parser.add_argument(
        "--from", dest="base", default="", metavar="URL", help="where the files lie instead, such as a mirror"
    )
    arguments = parser.parse_args(argv)

    def get(source: Source) -> Path:
        url = f"{arguments.base.rstrip('/')}/{source.name}" if arguments.base else source.url
        return fetch(replace(source, url=url), arguments.downloads, print)

    def make() -> None:
        if unknown := [name for name in arguments.part if name not in PARTS]:
            raise InputError(f"no test data named {unknown[0]!r}; there are {', '.join(PARTS)}")
        for name in arguments.part or PARTS:
            _make(name, PARTS[name], get, arguments.output)
        print(f"ready: make test finds it in {command.shown(arguments.output)}")
        for name, why in NOT_PUBLIC.items():
            print(f"not to be had: {name}, {why}; the tests that need it are skipped")

    return command.run(make)


def _make(name: str, part: Part, get: Get, output: Path) -> None:
    target = output / name
    if target.is_dir() and _digest(target) == part.digest:
        print(f"{name}: there already")
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside its place, so that tests never meet half of it.
    made = Path(tempfile.mkdtemp(prefix=f".{target.name}-", dir=target.parent))
    try:
        part.make(get, made)
        if (found := _digest(made)) != part.digest:
            raise InputError(
                f"{name}: what was made has the checksum {found}, the tests expect {part.digest}; a source has changed"
            )
        remove(target)
        made.rename(target)
    finally:
        remove(made)
    print(f"{name}: {len(content_files(target)):,} files")


if __name__ == "__main__":
    sys.exit(main())
