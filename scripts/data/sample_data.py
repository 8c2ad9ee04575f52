"""Makes sample data: taxi trips, complaints and animals that never were, or the real digits that scikit-learn carries.

The trips follow the real ones of Chicago in shape: which columns are missing how often, how fare follows from miles and
minutes, how tips follow from the way of paying. No row of theirs is in it, and the companies are invented.
"""

from __future__ import annotations

import argparse
import csv
import functools
import gzip
import sys
from collections.abc import Iterator
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime.data import examples, tfrecord  # noqa: E402
from components.runtime.errors import InputError, did_you_mean  # noqa: E402
from scripts import command  # noqa: E402
from scripts.data import complaint_texts, pet_pictures, taxi_trips  # noqa: E402

MODELS = ("taxi", "digits", "mnist", "complaints", "complaints_product", "pets")
DEFAULT_ROWS = {"taxi": 15_000, "complaints": 15_000, "complaints_product": 15_000, "pets": 150}
SMALLEST_SIDE = 32
DIGIT_SIZE = 8
_DIGITS_INSIDE = Path("sklearn") / "datasets" / "data" / "digits.csv.gz"


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.data.sample_data", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("model", help=f"one of {', '.join(MODELS)}")
    parser.add_argument("--if-there-is-any", action="store_true", help="do nothing where a model has no sample data")
    parser.add_argument("--output", type=Path, help="folder to write to; data/<model> without")
    rows = ", ".join(f"{count} for {model}" for model, count in DEFAULT_ROWS.items())
    parser.add_argument("--rows", type=int, help=f"trips, complaints or pictures to make; {rows} without")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other ones")
    parser.add_argument("--drift", type=float, default=0.0, help="of trips: how far the city has changed, 0 to 1")
    sides = f"{pet_pictures.SMALLEST} to {pet_pictures.LARGEST}"
    parser.add_argument("--side", type=int, default=0, help=f"pixels along each side of a picture; {sides} without")
    arguments = parser.parse_args(argv)
    folder: Path = arguments.output or PROJECT / "data" / arguments.model

    def make() -> None:
        if arguments.model not in MODELS:
            if arguments.if_there_is_any:
                return
            raise InputError(
                f"there is no sample data of {arguments.model!r}{did_you_mean(arguments.model, MODELS)}; "
                f"there is some of: {', '.join(MODELS)}"
            )
        if arguments.model == "mnist":
            raise InputError("there is no sample of MNIST to make; get the images with: make download MODEL=mnist")
        count = DEFAULT_ROWS.get(arguments.model, 1) if arguments.rows is None else arguments.rows
        if count < 1:
            raise InputError(f"--rows {count}: ask for at least one")
        if not 0 <= arguments.drift <= 1 or (arguments.drift and arguments.model != "taxi"):
            raise InputError(f"--drift {arguments.drift:g}: taxi trips alone can drift, from 0 to 1")
        if arguments.model == "pets":
            print(f"{command.shown(folder)}: {pets(folder, count, arguments.seed, arguments.side)}")
            return
        if arguments.model in ("complaints", "complaints_product"):
            file = folder / "complaints.csv"
            changed = command.write_whole(file, lambda part: complaint_texts.write(part, count, arguments.seed))
            what = f"{count:,} generated complaints"
        elif arguments.model == "taxi":
            file = folder / "trips.csv"
            changed = command.write_whole(
                file, lambda part: taxi_trips.write(part, count, arguments.seed, arguments.drift)
            )
            what = f"{count:,} generated trips"
        else:
            file = folder / "digits.tfrecord.gz"
            source = digits_file()
            changed = command.write_whole(file, lambda part: tfrecord.write(part, digits(source)))
            what = "1,797 real digits"
        print(f"{command.shown(file)}: {what}{'' if changed else ', as before'}, {file.stat().st_size / 1e6:.1f} MB")

    return command.run(make)


def pets(folder: Path, count: int, seed: int, side: int) -> str:
    """Draws animals and their masks into a folder; says what is there then.

    Raises:
      InputError: they would be too small to draw.
    """
    if side and side < SMALLEST_SIDE:
        raise InputError(f"--side {side}: ask for at least {SMALLEST_SIDE} pixels")
    changed = False
    for number in range(count):
        for file, content in zip(
            pet_pictures.paths(folder, number), pet_pictures.pair(number, seed, side), strict=True
        ):
            changed |= command.write_whole(file, functools.partial(Path.write_bytes, data=content))
    changed |= pet_pictures.remove_from(folder, count)
    return f"{count:,} drawn animals with masks{'' if changed else ', as before'}"


def digits_file() -> Path:
    """The data file inside scikit-learn's wheel.

    Raises:
      InputError: it is not installed.
    """
    for folder in (PROJECT / ".venv" / "samples", *map(Path, sys.path)):
        if (folder / _DIGITS_INSIDE).is_file():
            return folder / _DIGITS_INSIDE
    raise InputError(
        "the digits come with scikit-learn, which is not installed in .venv/samples; run: make sample-data MODEL=digits"
    )


def digits(file: Path) -> Iterator[bytes]:
    """Yields the digits of a CSV file, 64 pixels from 0 to 16 and the label per row, as serialised tf.Examples."""
    with gzip.open(file, "rt", newline="") as stream:
        for row in csv.reader(stream):
            *pixels, label = (int(float(value)) for value in row)
            yield image_example(bytes(pixels), DIGIT_SIZE, label)


def image_example(pixels: bytes, size: int, label: int) -> bytes:
    """A serialised tf.Example of a square grey image: a byte per pixel, row by row."""
    return examples.encode({"image_raw": pixels, "height": size, "width": size, "depth": 1, "label": label})


if __name__ == "__main__":
    sys.exit(main())
