"""Images as ingest writes them, read with TensorFlow: upright, RGB, as people see them."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from components.ingest.images.checks import check
from components.ingest.images.masks import check_mask
from tests import image_files

GOOD = image_files.good_images()


@pytest.mark.parametrize("name", sorted(GOOD))
def test_an_image_is_read_as_it_is_seen(name: str) -> None:
    checked = check(GOOD[name])
    pixels = tf.io.decode_image(checked.content, channels=3, expand_animations=False).numpy()
    expected = image_files.shown(GOOD[name])
    assert pixels.shape == (checked.height, checked.width, 3) == expected.shape
    difference = np.abs(pixels.astype(int) - expected.astype(int))
    # Decoders of JPEG differ in how they round and how they spread colours over pixels.
    assert difference.max() <= (12 if checked.format == "jpeg" else 1), name
    assert difference.mean() < 1.5


def test_jpeg_can_be_read_by_its_own_operation() -> None:
    for name, content in GOOD.items():
        checked = check(content)
        if checked.format == "jpeg":
            assert tf.io.decode_jpeg(checked.content, channels=3).shape == (checked.height, checked.width, 3), name


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_a_mask_of_few_bits_keeps_its_numbers(bits: int) -> None:
    size = (image_files.WIDTH, image_files.HEIGHT)
    content, _ = check_mask(image_files.few_bits_png(bits), size, range(1 << bits))
    numbers = tf.io.decode_png(content, channels=1).numpy()
    assert np.unique(numbers).tolist() == list(range(1 << bits))
