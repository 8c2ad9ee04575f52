"""Downloads real data: trips of Chicago taxis, MNIST's digits, consumer complaints, or the pets of Oxford-IIIT Pet."""

from __future__ import annotations

import argparse
import functools
import gzip
import shutil
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime.data import tfrecord  # noqa: E402
from components.runtime.errors import InputError  # noqa: E402
from scripts import command  # noqa: E402
from scripts.data import cfpb, oxford_pets  # noqa: E402
from scripts.data.fetch import Source, fetch  # noqa: E402
from scripts.data.sample_data import image_example  # noqa: E402

TAXI = Source(
    # A commit, not a branch: the file never changes there.
    "https://raw.githubusercontent.com/tensorflow/tfx/b95df4cade22996ab428ac991c2027c23843b0a5"
    "/tfx/examples/chicago_taxi_pipeline/data/simple/data.csv",
    "data.csv",
)
_MNIST = "https://storage.googleapis.com/cvdf-datasets/mnist"
MNIST = {
    "train": (
        Source(
            f"{_MNIST}/train-images-idx3-ubyte.gz", "train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"
        ),
        Source(
            f"{_MNIST}/train-labels-idx1-ubyte.gz", "train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"
        ),
    ),
    "eval": (
        Source(f"{_MNIST}/t10k-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        Source(f"{_MNIST}/t10k-labels-idx1-ubyte.gz", "t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ),
}
COMPLAINTS = Source(
    # The bureau replaces it daily: the first download is kept and its checksum recorded, so that what was trained on
    # stays what it was; remove the file and its line in checksums.sha256 for a newer one.
    "https://files.consumerfinance.gov/ccdb/complaints.csv.zip",
    "complaints.csv.zip",
)
_PETS = "https://www.robots.ox.ac.uk/~vgg/data/pets/data"
PETS = (
    # torchvision's OxfordIIITPet holds them to the same checksums; the photographs' licence: CC BY-SA 4.0.
    Source(f"{_PETS}/images.tar.gz", "images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
    Source(f"{_PETS}/annotations.tar.gz", "annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
)
DEFAULT_FOLDERS = {"taxi": "chicago", "mnist": "mnist", "complaints": "cfpb", "pets": "oxford-pets"}
"""Where under data/ what is downloaded for each model goes."""

_IMAGES_MAGIC, _LABELS_MAGIC = 2051, 2049


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.data.download", description=__doc__)
    parser.add_argument("model", choices=[*DEFAULT_FOLDERS, "digits"], help="digits is another word for mnist")
    folders = ", ".join(f"data/{name} for {model}" for model, name in DEFAULT_FOLDERS.items())
    parser.add_argument("--output", type=Path, help=f"folder for the data; without: {folders}")
    parser.add_argument(
        "--downloads", type=Path, default=PROJECT / "data" / "downloads", help="folder for the files as they come"
    )
    parser.add_argument(
        "--from", dest="base", default="", metavar="URL", help="where the files lie instead, such as a mirror"
    )
    arguments = parser.parse_args(argv)
    model = "mnist" if arguments.model == "digits" else arguments.model
    output: Path = arguments.output or PROJECT / "data" / DEFAULT_FOLDERS[model]

    def get(source: Source) -> Path:
        url = f"{arguments.base.rstrip('/')}/{source.name}" if arguments.base else source.url
        return fetch(Source(url, source.name, source.md5), arguments.downloads, print)

    def make() -> None:
        if model == "taxi":
            downloaded = get(TAXI)
            command.write_whole(output / "trips.csv", lambda part: shutil.copyfile(downloaded, part))
        elif model == "complaints":
            _write_complaints(get(COMPLAINTS), output / "complaints.csv")
        elif model == "pets":
            photographs, trimaps = map(get, PETS)
            pairs = oxford_pets.unpack(photographs, trimaps, output, print)
            print(f"{pairs:,} photographs with trimaps; they want more steps: see docs/models.md")
        else:
            for split, (images, labels) in MNIST.items():
                write = functools.partial(_write_images, get(images), get(labels))
                command.write_whole(output / f"{split}.tfrecord.gz", write)
        print(f"ready: make run MODEL={model} DATA={command.shown(output)}")

    return command.run(make)


def read_idx(images: Path, labels: Path) -> Iterator[bytes]:
    """Yields the images of a pair of gzipped IDX files as serialised tf.Examples.

    The format: yann.lecun.com/exdb/mnist, "the IDX file format": big-endian magic number, sizes, then bytes.

    Raises:
      InputError: they are not such files, or not of each other.
    """
    with gzip.open(images) as image_stream, gzip.open(labels) as label_stream:
        magic, count, height, width = _header(cast(BinaryIO, image_stream), 4, images)
        label_magic, label_count = _header(cast(BinaryIO, label_stream), 2, labels)
        if (magic, label_magic) != (_IMAGES_MAGIC, _LABELS_MAGIC) or height != width:
            raise InputError(
                f"{images}, {labels}: not IDX files of square images and of labels; remove them and download again"
            )
        if count != label_count:
            raise InputError(
                f"{images} has {count} images, {labels} {label_count} labels; remove them and download again"
            )
        for _ in range(count):
            pixels, label = image_stream.read(height * width), label_stream.read(1)
            if len(pixels) < height * width or not label:
                raise InputError(f"{images}: ends early; remove it and download again")
            yield image_example(pixels, height, label[0])


def _write_images(images: Path, labels: Path, part: Path) -> None:
    tfrecord.write(part, read_idx(images, labels))


def _write_complaints(archive: Path, file: Path) -> None:
    counts: list[tuple[int, int]] = []
    command.write_whole(file, lambda part: counts.append(cfpb.convert(archive, part)))
    written, left_out = counts[0]
    print(f"{command.shown(file)}: {written:,} complaints; {left_out:,} left out, of which no dispute is known")


def _header(stream: BinaryIO, numbers: int, file: Path) -> tuple[int, ...]:
    data = stream.read(4 * numbers)
    if len(data) < 4 * numbers:
        raise InputError(f"{file}: ends early; remove it and download again")
    return struct.unpack(f">{numbers}I", data)


if __name__ == "__main__":
    sys.exit(main())
