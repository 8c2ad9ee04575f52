"""Pairs of photograph and mask as ingest leaves them, transformed and trained on."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import tensorflow as tf

from components.runtime.data import examples
from tests.components.train import training_support as support
from tests.components.train.training_support import Prepared
from tests.support import ROOT, shared

FOLDER = ROOT / "models" / "pets"
MODULE = FOLDER / "model.py"
SMALL: dict[str, Any] = {"batch_size": 4, "alpha": 0.1, "decoder_filters": [8, 8, 8, 8, 8], "epochs": 1}
"""A network that is traced and trained in seconds."""


def names() -> list[str]:
    with (shared("pets") / "manifest.csv").open(newline="") as stream:
        return [row["name"] for row in csv.DictReader(stream)]


def record(name: str, image: bytes, image_format: str, mask: bytes) -> bytes:
    height, width = tf.io.decode_image(image, expand_animations=False).shape[:2]
    return examples.encode(
        {
            "image": image,
            "image_format": image_format,
            "image_name": f"images/{name}.jpg",
            "height": height,
            "width": width,
            "mask": mask,
        }
    )


def real(chosen: list[str]) -> list[bytes]:
    """The real pairs of these names."""
    folder = shared("pets")
    return [record(name, (folder / f"images/{name}.jpg").read_bytes(), "jpeg", trimap(name)) for name in chosen]


def trimap(name: str) -> bytes:
    return (shared("pets") / f"annotations/trimaps/{name}.png").read_bytes()


def odd() -> list[bytes]:
    """Photographs that are PNG in spite of their name, grey, or transparent."""
    made = []
    for name in names()[60:63]:
        pixels = tf.io.decode_jpeg((shared("pets") / f"images/{name}.jpg").read_bytes())
        grey = tf.image.rgb_to_grayscale(pixels)
        transparent = tf.concat([pixels, tf.fill([*pixels.shape[:2], 1], tf.constant(128, tf.uint8))], axis=-1)
        made += [
            record(f"{name}_png", tf.io.encode_png(pixels).numpy(), "png", trimap(name)),
            record(f"{name}_grey", tf.io.encode_jpeg(grey).numpy(), "jpeg", trimap(name)),
            record(f"{name}_clear", tf.io.encode_png(transparent).numpy(), "png", trimap(name)),
        ]
    return made


def prepare(folder: Path, records: list[bytes], size: int) -> Prepared:
    """Splits records and transforms them."""
    schema = (FOLDER / "schema.pbtxt").read_text()
    return support.prepare(folder, records, schema, FOLDER / "preprocessing.py", {"image_size": size})
