"""What is measured of an image: held to images of which it is known, and to what happens to cameras."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from components.runtime.data import pictures
from scripts.data.degraded import degraded
from tests.image_files import encoded, jpeg, photo, png, raw_png


def of(pixels: np.ndarray, kind: str = "PNG") -> dict[str, float]:
    return pictures.measured(encoded(Image.fromarray(pixels.astype(np.uint8)), kind))


def test_an_even_image_has_its_colour_and_nothing_else() -> None:
    found = of(np.full((20, 30, 3), (200, 100, 50)))
    assert (found["red"], found["green"], found["blue"]) == (200, 100, 50)
    assert found["brightness"] == pytest.approx(0.299 * 200 + 0.587 * 100 + 0.114 * 50, abs=0.6)
    assert (found["contrast"], found["sharpness"], found["noise"]) == (0, 0, 0)


def test_noise_is_found_in_its_own_size_whatever_lies_below_it() -> None:
    slope = np.mgrid[:200, :200].sum(axis=0)[..., np.newaxis] / 4 + 60
    grey = slope + np.random.default_rng(1).normal(0, 8, (200, 200, 1))
    assert of(np.repeat(grey, 3, axis=2))["noise"] == pytest.approx(8, rel=0.05)
    assert of(np.repeat(slope, 3, axis=2))["noise"] < 0.6


def test_contrast_is_the_deviation_and_bits_are_those_of_the_file() -> None:
    stripes = np.zeros((40, 40, 3))
    stripes[:, ::2] = 100
    found = of(stripes)
    assert found["contrast"] == pytest.approx(50, abs=0.5)
    content = jpeg()
    assert pictures.measured(content)["bits_per_pixel"] == pytest.approx(8 * len(content) / (64 * 48))


def test_cameras_that_age_are_seen_in_each_measure_that_is_of_it() -> None:
    # Coarse and fine: what a photograph has.
    random = np.random.default_rng(3)
    coarse = np.kron(random.integers(60, 200, (10, 12, 3)), np.ones((20, 20, 1)))
    content = encoded(
        Image.fromarray((coarse + random.normal(0, 2, coarse.shape)).clip(0, 255).astype(np.uint8)), "JPEG"
    )
    new, aged = pictures.measured(content), pictures.measured(degraded(content, 1.0, 1))
    assert degraded(content, 0.0, 1) == content
    assert degraded(content, 1.0, 1) == degraded(content, 1.0, 1) != degraded(content, 1.0, 2)
    assert aged["brightness"] == pytest.approx(0.4 * new["brightness"], rel=0.05)
    for name in ("contrast", "sharpness", "red", "green", "blue"):
        assert aged[name] < 0.6 * new[name], name


def test_a_large_image_is_measured_small_and_a_tiny_one_not_at_all() -> None:
    random = np.random.default_rng(5).integers(0, 255, (1024, 1024, 3))
    # Of four by four pixels that have nothing to do with each other the mean deviates a quarter as much.
    assert of(random)["contrast"] == pytest.approx(of(random[:256, :256])["contrast"] / 4, rel=0.1)
    assert of(np.zeros((2, 50, 3))) == {}


def test_grey_and_transparent_images_and_what_is_none() -> None:
    assert of(np.full((9, 9), 77))["brightness"] == 77
    assert pictures.measured(b"\x89PNG\r\nno more") == {}
    assert pictures.measured(jpeg()[:-200]) == {}
    assert [pictures.format_of(each) for each in (jpeg(), png(), b"text", b"")] == ["jpeg", "png", "", ""]
    others = [encoded(photo(), kind) for kind in ("GIF", "BMP", "WEBP")]
    assert [pictures.format_of(each) for each in others] == ["gif", "bmp", "webp"]
    assert all({*pictures.measured(each)} == {*pictures.MEASURES} for each in others)
    assert pictures.format_of(b"BMW and other cars") == ""
    assert [pictures.size(each) for each in (jpeg(), b"text")] == [(48, 64), None]


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_a_mask_is_what_is_stored_whatever_colours_it_has(bits: int) -> None:
    values = np.arange(12, dtype=np.uint8).reshape(3, 4) % min(2**bits, 4)
    palette = Image.fromarray(values)
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    content = io.BytesIO()
    palette.save(content, "PNG", bits=bits)
    assert pictures.mask_values(content.getvalue()).tolist() == values.tolist()


def test_what_is_no_mask() -> None:
    with pytest.raises(ValueError, match="has the mode RGB; save it with one channel"):
        pictures.mask_values(png())
    with pytest.raises(ValueError, match=r"^cannot be read as PNG$"):
        pictures.mask_values(jpeg())
    for side in (10_000, 60_000):
        with pytest.raises(ValueError, match=r"^has more than 89 million pixels; make it smaller$"):
            pictures.mask_values(raw_png(side, side, 8, 0, b""))


def test_which_columns_only_tell_of_an_image() -> None:
    assert "height" in pictures.describing(["image", "image_name", "height", "label"])
    assert pictures.describing(["height", "width", "image"]) == frozenset()
