"""Masks: one class number per pixel, of the image's size, nothing lossy."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from components.ingest.images.faults import BadImage
from components.ingest.images.masks import check_mask
from tests.image_files import HEIGHT, ORIENTATION, WIDTH, encoded, few_bits_png, mask, mask_png, raw_png, with_alpha

SIZE = (WIDTH, HEIGHT)
VALUES = (1, 2, 3)


def numbers(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content))
    assert (image.format, image.mode) == ("PNG", "L")
    return np.asarray(image)


def test_a_grey_png_is_kept_byte_for_byte() -> None:
    assert check_mask(mask_png(), SIZE, VALUES) == (mask_png(), "")


def palette() -> Image.Image:
    image = Image.fromarray(mask()).convert("P")
    image.putpalette([200, 0, 0] * 4)
    return image


@pytest.mark.parametrize(
    "content",
    [
        encoded(palette(), "PNG"),
        encoded(Image.fromarray(mask()), "BMP"),
        encoded(Image.fromarray(mask()), "TIFF"),
        encoded(Image.fromarray(mask()).convert("RGB"), "PNG"),
        encoded(Image.fromarray(mask()).convert("RGBA"), "PNG"),
        encoded(Image.fromarray(mask()).convert("LA"), "PNG"),
        encoded(Image.fromarray(mask().astype(np.uint16)), "PNG"),
    ],
    ids=["palette", "bmp", "tiff", "rgb", "rgba", "grey-alpha", "sixteen-bits"],
)
def test_other_files_of_one_number_per_pixel_become_grey_png(content: bytes) -> None:
    written, converted = check_mask(content, SIZE, VALUES)
    assert converted == "mask"
    np.testing.assert_array_equal(numbers(written), mask())


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_few_bits_mean_the_numbers_as_they_are_stored(bits: int) -> None:
    written, _ = check_mask(few_bits_png(bits), SIZE, range(1 << bits))
    np.testing.assert_array_equal(numbers(written)[0], np.arange(WIDTH) % (1 << bits))


def test_a_turned_mask_is_turned() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 3
    written, _ = check_mask(encoded(Image.fromarray(mask()), "PNG", exif=exif), SIZE, VALUES)
    np.testing.assert_array_equal(numbers(written), mask()[::-1, ::-1])


def test_without_mask_values_every_number_is_taken() -> None:
    content = mask_png((0, 17, 255))
    assert check_mask(content, SIZE, ())[0] == content


ODD = mask()
ODD[5, 7:9] = 9


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (mask_png()[:-20], "truncated"),
        (encoded(Image.fromarray(mask()), "JPEG"), "a mask as JPEG, which may change its values: save it as PNG"),
        (encoded(Image.fromarray(mask()), "WEBP"), "a mask as WEBP"),
        (mask_png(size=(WIDTH, HEIGHT - 1)), "a mask of 64x47 pixels, its image has 64x48"),
        (mask_png(size=(HEIGHT, WIDTH)), "a mask of 48x64 pixels, its image has 64x48"),
        (
            encoded(Image.fromarray(ODD), "PNG"),
            r"the value 9 in 2 pixels, the first at x 7, y 5: .*mask_values \(1, 2, 3\)",
        ),
        (encoded(Image.fromarray(mask().astype(np.uint16) * 300), "PNG"), "the value 300 in"),
        (mask_png((0, 1)), "the value 0 in"),
        (encoded(with_alpha(255), "PNG"), r"a mask in colours \(RGBA\)"),
        (encoded(with_alpha(0), "PNG"), "a mask with transparency"),
        (raw_png(20_000, 20_000, 8, 0, b""), "more than 89 million pixels"),
    ],
)
def test_a_mask_that_cannot_be_used_is_named(content: bytes, text: str) -> None:
    with pytest.raises(BadImage, match=text):
        check_mask(content, SIZE, VALUES)
