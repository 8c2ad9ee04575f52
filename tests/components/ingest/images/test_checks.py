"""Which images are kept, which are converted, which are named."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from components.ingest.images.checks import Checked, check
from components.ingest.images.faults import BadImage
from tests import image_files
from tests.image_files import encoded, jpeg, photo, png

GOOD = image_files.good_images()
KEPT = {
    "baseline",
    "progressive",
    "optimised",
    "full-chroma",
    "grey-jpeg",
    "jpeg-and-preview",
    "jpeg-with-tail",
    "upright-by-exif",
    "png",
    "grey-png",
    "palette",
    "one-bit",
    "two-bits",
    "four-bits",
    "opaque-alpha",
}


@pytest.mark.parametrize("name", sorted(KEPT))
def test_what_tensorflow_reads_as_people_do_is_kept_byte_for_byte(name: str) -> None:
    checked = check(GOOD[name])
    assert checked.content == GOOD[name]
    assert checked.converted == ""
    assert checked.format == ("jpeg" if GOOD[name][:2] == b"\xff\xd8" else "png")
    assert (checked.width, checked.height) == (image_files.WIDTH, image_files.HEIGHT)


@pytest.mark.parametrize("name", sorted(GOOD.keys() - KEPT))
def test_the_rest_is_converted_without_loss(name: str) -> None:
    checked = check(GOOD[name])
    assert checked.format == "png"
    image = Image.open(io.BytesIO(checked.content))
    assert image.format == "PNG"
    assert image.mode in ("L", "RGB")
    assert image.size == (checked.width, checked.height)
    assert not image.info, "neither EXIF, which would turn it again, nor the profile of another colour space"
    expected = image_files.shown(GOOD[name]).astype(int)
    assert np.abs(np.asarray(image.convert("RGB")).astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cmyk", "CMYK"),
        ("sixteen-bits", "16 bits"),
        ("colour-sixteen-bits", "16 bits"),
        ("alpha", "transparency"),
        ("palette-alpha", "transparency"),
        ("transparent-colour", "transparency"),
        ("gif", "GIF"),
        ("webp", "WEBP"),
        ("turned-6", "EXIF orientation"),
        ("turned-png", "EXIF orientation"),
    ],
)
def test_why_an_image_was_converted(name: str, why: str) -> None:
    assert check(GOOD[name]).converted == why


def test_a_turned_image_has_the_size_that_people_see() -> None:
    sizes = {name: (check(GOOD[name]).width, check(GOOD[name]).height) for name in ("turned-3", "turned-6")}
    assert sizes == {"turned-3": (64, 48), "turned-6": (48, 64)}


def test_broken_metadata_of_a_good_image_does_not_count() -> None:
    content = jpeg(exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert check(content) == Checked(content, "jpeg", image_files.WIDTH, image_files.HEIGHT)


def test_converting_twice_gives_the_same_bytes() -> None:
    assert check(GOOD["cmyk"]).content == check(GOOD["cmyk"]).content


def _zeros_from_the_middle(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


def _noise_in_the_middle(content: bytes) -> bytes:
    noise = np.random.default_rng(3).integers(0, 256, 1000, dtype=np.uint8).tobytes()
    return content[: len(content) // 2] + noise + content[len(content) // 2 + 1000 :]


@pytest.mark.parametrize("kind", ["baseline", "progressive", "png", "gif", "bmp", "tiff", "webp"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.99])
def test_a_truncated_file_is_named(kind: str, part: float) -> None:
    content = GOOD[kind]
    with pytest.raises(BadImage, match=r"truncated|not an image"):
        check(content[: int(len(content) * part)])


@pytest.mark.parametrize("missing", [1, 2, 3])
@pytest.mark.parametrize("kind", ["baseline", "progressive", "png"])
def test_the_last_bytes_count(kind: str, missing: int) -> None:
    with pytest.raises(BadImage, match="truncated"):
        check(GOOD[kind][:-missing])


@pytest.mark.parametrize("kind", ["baseline", "progressive", "png"])
def test_a_file_of_which_half_was_never_written_is_named(kind: str) -> None:
    with pytest.raises(BadImage, match="truncated or corrupt"):
        check(_zeros_from_the_middle(GOOD[kind]))


def test_damage_inside_is_named() -> None:
    large = photo().resize((640, 480))
    with pytest.raises(BadImage, match=r"a JPEG that is (truncated or )?corrupt"):
        check(_noise_in_the_middle(encoded(large, "JPEG", quality=95)))
    one_bit = bytearray(png())
    one_bit[len(one_bit) // 2] ^= 1
    with pytest.raises(BadImage, match=r"a PNG that is truncated or corrupt .*checksum"):
        check(bytes(one_bit))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>not found</html>", "a web page or XML, not an image"),
        (b"\xef\xbb\xbf\n<html>", "a web page"),
        (b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x20ftypavif", "AVIF"),
        (b"PK\x03\x04word/document.xml", "ZIP"),
        (b"some text", "not an image that can be read"),
        (b"\xff\xd8\xff\xe0", "truncated"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (image_files.raw_png(20_000, 20_000, 8, 0, b""), "more than 89 million pixels"),
        (image_files.raw_png(10_000, 10_000, 8, 0, b""), "more than 89 million pixels"),
        (encoded(image_files.grey(), "GIF", save_all=True, append_images=[photo()]), "a GIF of 2 frames"),
        (encoded(photo(), "WEBP", save_all=True, append_images=[photo(1)]), "a WEBP of 2 frames"),
        (encoded(photo(), "TIFF", save_all=True, append_images=[photo(1)]), "a TIFF of 2 frames or pages"),
        (encoded(photo(), "PNG", save_all=True, append_images=[photo(1)]), "a PNG of 2 frames"),
        (encoded(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"), "a TIFF of the mode F"),
    ],
)
def test_what_is_no_image_is_named(content: bytes, text: str) -> None:
    with pytest.raises(BadImage, match=text):
        check(content)
