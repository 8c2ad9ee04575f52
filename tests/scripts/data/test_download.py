from __future__ import annotations

import gzip
import itertools
import struct
from pathlib import Path

import pytest

from components.runtime.data import examples
from components.runtime.errors import InputError
from scripts.data.download import read_idx
from tests.support import shared


def idx(folder: Path, images: int, labels: int, *, size: int = 2) -> tuple[Path, Path]:
    pair = folder / "images.gz", folder / "labels.gz"
    pixels = bytes(range(images * size * size))
    pair[0].write_bytes(gzip.compress(struct.pack(">4I", 2051, images, size, size) + pixels))
    pair[1].write_bytes(gzip.compress(struct.pack(">2I", 2049, labels) + bytes(range(labels))))
    return pair


def test_images_become_examples(tmp_path: Path) -> None:
    records = [examples.decode(record) for record in read_idx(*idx(tmp_path, 3, 3))]
    assert records[2] == {
        "depth": [1],
        "height": [2],
        "image_raw": [bytes([8, 9, 10, 11])],
        "label": [2],
        "width": [2],
    }
    assert len(records) == 3


def test_images_and_labels_must_be_of_each_other(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"3 images.*2 labels"):
        list(read_idx(*idx(tmp_path, 3, 2)))


def test_files_must_be_idx_files(tmp_path: Path) -> None:
    images, labels = idx(tmp_path, 3, 30)
    with pytest.raises(InputError, match="not IDX files"):
        list(read_idx(labels, labels))
    images.write_bytes(gzip.compress(b"short"))
    with pytest.raises(InputError, match="ends early"):
        list(read_idx(images, labels))


def test_real_mnist_agrees_with_the_recorded_examples() -> None:
    folder = shared("digits/mnist")
    ours = read_idx(folder / "train50k-images-idx3-ubyte.gz", folder / "train50k-labels-idx1-ubyte.gz")
    records = [examples.decode(record) for record in itertools.islice(ours, 100)]
    assert {record["height"][0] for record in records} == {28}
    assert all(len(record["image_raw"][0]) == 784 for record in records)
    assert {record["label"][0] for record in records} == set(range(10))
