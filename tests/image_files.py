"""Small images of every kind, good and bad, made with Pillow or byte by byte."""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

HEIGHT, WIDTH = 48, 64
ORIENTATION = 0x0112

Pixels = npt.NDArray[np.uint8]


def photo(seed: int = 0) -> Image.Image:
    """A smooth RGB image in which up, down, left and right differ; of size WIDTH x HEIGHT."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH].astype(np.float32)
    planes = (rows * 5, columns * 3, 255 - rows * 2 - columns)
    grain = np.random.default_rng(seed).normal(0, 4, (HEIGHT, WIDTH, 3))
    return Image.fromarray(np.clip(np.stack(planes, axis=-1) + grain, 0, 255).astype(np.uint8))


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    """An image as a file's bytes."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(seed: int = 0, **options: Any) -> bytes:
    """A baseline JPEG, unless the options say otherwise."""
    return encoded(photo(seed), "JPEG", quality=90, **options)


def png(seed: int = 0, **options: Any) -> bytes:
    """An RGB PNG."""
    return encoded(photo(seed), "PNG", **options)


def turned(kind: str, orientation: int) -> bytes:
    """A file whose EXIF says that it is to be turned."""
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    return encoded(photo(), kind, exif=exif)


def grey(dtype: type[np.generic] = np.uint8) -> Image.Image:
    """One channel: of 8 bits, or of 16 over their whole range."""
    values = np.asarray(photo().convert("L"))
    return Image.fromarray((values.astype(np.uint16) * 257) if dtype is np.uint16 else values)


def with_alpha(alpha: int) -> Image.Image:
    """RGBA; the left half is of that alpha, the right half opaque."""
    image = photo().convert("RGBA")
    mask = np.full((HEIGHT, WIDTH), 255, np.uint8)
    mask[:, : WIDTH // 2] = alpha
    image.putalpha(Image.fromarray(mask))
    return image


def mask(values: tuple[int, ...] = (1, 2, 3), size: tuple[int, int] = (WIDTH, HEIGHT)) -> Pixels:
    """Class numbers in stripes, shape [height, width]."""
    columns = np.arange(size[0]) * len(values) // size[0]
    return np.broadcast_to(np.array(values, np.uint8)[columns], (size[1], size[0])).copy()


def mask_png(*arguments: Any, **options: Any) -> bytes:
    """A grey PNG of class numbers."""
    return encoded(Image.fromarray(mask(*arguments, **options)), "PNG")


def raw_png(width: int, height: int, bits: int, colour: int, rows: bytes, *, extra: bytes = b"") -> bytes:
    """A PNG of chunks, for what Pillow does not write: `rows` are the bytes behind zlib, filters included."""
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), extra, _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def colour_png_of_16_bits() -> bytes:
    """RGB of 16 bits: the pixels of `photo` in the high bytes, others in the low ones."""
    values = np.asarray(photo()).astype(">u2") * 256 + 77
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    return raw_png(WIDTH, HEIGHT, 16, 2, rows)


def few_bits_png(bits: int) -> bytes:
    """Grey of 1, 2 or 4 bits: the numbers from 0 up in turn."""
    values = np.arange(WIDTH) % (1 << bits)
    packed = np.packbits(((values[:, None] >> np.arange(bits)[::-1]) & 1).astype(np.uint8).ravel()).tobytes()
    return raw_png(WIDTH, HEIGHT, bits, 0, (b"\0" + packed) * HEIGHT)


def transparent_colour_png() -> bytes:
    """RGB with one colour declared transparent: the first pixel's."""
    pixels = np.asarray(photo())
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    key = struct.pack(">HHH", *(int(value) for value in pixels[0, 0]))
    return raw_png(WIDTH, HEIGHT, 8, 2, rows, extra=_chunk(b"tRNS", key))


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def good_images() -> dict[str, bytes]:
    """What must be read, by a name that says what it is."""
    two = [photo(), photo(1)]
    return {
        "baseline": jpeg(),
        "progressive": jpeg(progressive=True),
        "optimised": jpeg(optimize=True),
        "full-chroma": jpeg(subsampling=0),
        "grey-jpeg": encoded(grey(), "JPEG"),
        "jpeg-and-preview": encoded(two[0], "MPO", save_all=True, append_images=two[1:]),
        "jpeg-with-tail": jpeg() + b"tail of a camera" * 9,
        "upright-by-exif": turned("JPEG", 1),
        "png": png(),
        "grey-png": encoded(grey(), "PNG"),
        "palette": encoded(photo().quantize(8), "PNG"),
        "one-bit": few_bits_png(1),
        "two-bits": few_bits_png(2),
        "four-bits": few_bits_png(4),
        "opaque-alpha": encoded(with_alpha(255), "PNG"),
        "cmyk": encoded(photo().convert("CMYK"), "JPEG"),
        "sixteen-bits": encoded(grey(np.uint16), "PNG"),
        "colour-sixteen-bits": colour_png_of_16_bits(),
        "alpha": encoded(with_alpha(100), "PNG"),
        "grey-alpha": encoded(with_alpha(100).convert("LA"), "PNG"),
        "palette-alpha": encoded(with_alpha(0).quantize(8), "PNG"),
        "transparent-colour": transparent_colour_png(),
        "gif": encoded(photo(), "GIF"),
        "bmp": encoded(photo(), "BMP"),
        "tiff": encoded(photo(), "TIFF"),
        "tiff-sixteen-bits": encoded(grey(np.uint16), "TIFF"),
        "webp": encoded(photo(), "WEBP", lossless=True),
        "turned-png": turned("PNG", 6),
        "turned-webp": turned("WEBP", 8),
        "turned-tiff": turned("TIFF", 3),
    } | {f"turned-{orientation}": turned("JPEG", orientation) for orientation in range(2, 9)}


def shown(content: bytes) -> Pixels:
    """What people see, shape [height, width, 3]: by Pillow and arithmetic of our own, apart from what is tested."""
    image = Image.open(io.BytesIO(content))
    turn = {
        2: lambda pixels: pixels[:, ::-1],
        3: lambda pixels: pixels[::-1, ::-1],
        4: lambda pixels: pixels[::-1],
        5: lambda pixels: pixels.swapaxes(0, 1),
        6: lambda pixels: np.rot90(pixels, -1),
        7: lambda pixels: np.rot90(pixels, -1)[::-1],
        8: lambda pixels: np.rot90(pixels),
    }.get(0 if image.format == "TIFF" else image.getexif().get(ORIENTATION, 1), lambda pixels: pixels)
    if image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.float64) / 65535 * 255
        return np.repeat(np.rint(values).astype(np.uint8)[..., None], 3, axis=-1)
    colours = np.asarray(image.convert("RGBA")).astype(np.float64)
    alpha = colours[..., 3:] / 255
    pixels = np.rint(colours[..., :3] * alpha + 255 * (1 - alpha)).astype(np.uint8)
    result: Pixels = turn(pixels)
    return result
