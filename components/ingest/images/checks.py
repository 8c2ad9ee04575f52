"""Decodes an image wholly and says what is written: its own bytes, or a PNG where TensorFlow would read it otherwise.

Kept are JPEG and PNG that `tf.io.decode_image(channels=3)` reads upright and as 8-bit RGB, as people see them.
"""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

import numpy as np
from PIL import Image, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from components.ingest.images import jpeg
from components.ingest.images.faults import BadImage

JPEG = "jpeg"
PNG = "png"

MAX_FILE_BYTES = 128 << 20
"""Larger files are not read."""

PNG_LEVEL = 3
"""Of zlib, for what is re-encoded: photographs take less than half the time of level 6 and 5 % more room."""

# The decoders that may see a stranger's bytes; what Pillow calls MPO is a JPEG with more of them behind it.
_READ = ("JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP")
_JPEG = ("JPEG", "MPO")
_PLUGINS = (TiffImagePlugin, WebPImagePlugin)
"""Those that Pillow does not load by itself when it is told which formats to try."""

_PNG_END = b"IEND\xaeB`\x82"
_ORIENTATION = 0x0112
_PLAIN_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
_SIXTEEN_BITS = ("I;16", "I;16L", "I;16B", "I;16N")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
# Frames of JPEG that every decoder reads: baseline, extended, progressive; all with Huffman codes.
_COMMON_FRAMES = (0xC0, 0xC1, 0xC2)
_FOREIGN = (
    (b"ftypheic", "HEIC"),
    (b"ftypmif1", "HEIF"),
    (b"ftypavif", "AVIF"),
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"jP  \r\n", "JPEG 2000"),
)


@dataclass(frozen=True)
class Checked:
    """An image as it is written.

    Attributes:
      content: the encoded file.
      format: `jpeg` or `png`.
      width: in pixels, upright.
      height: in pixels, upright.
      converted: why the content is not the file's own; empty where it is.
    """

    content: bytes
    format: str
    width: int
    height: int
    converted: str = ""


def check(content: bytes) -> Checked:
    """Decodes an image.

    Raises:
      BadImage: it cannot be decoded to its last pixel, or is no single image.
    """
    image = decoded(content)
    reason = _why_convert(image, content)
    if not reason:
        return Checked(content, JPEG if image.format in _JPEG else PNG, image.width, image.height)
    plain = upright(_plain(image), orientation(image))
    return Checked(encode_png(plain), PNG, plain.width, plain.height, reason)


def decoded(content: bytes) -> Image.Image:
    """The image of a file's content, decoded to its last pixel.

    Raises:
      BadImage: it cannot be, or is no single image.
    """
    if not content:
        raise BadImage("is empty (0 bytes): copy it again")
    kind = "an image"
    try:
        with warnings.catch_warnings():
            # Pillow warns of odd metadata, which nothing here depends on.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image: Image.Image = Image.open(io.BytesIO(content), formats=_READ)
            kind = "a JPEG" if image.format in _JPEG else f"a {image.format}"
            frames = 1 if image.format in _JPEG else getattr(image, "n_frames", 1)
            if frames == 1:
                if image.format == "PNG":
                    # Only this compares the checksums of the pixels' chunks.
                    Image.open(io.BytesIO(content), formats=_READ).verify()
                image.load()
    except UnidentifiedImageError:
        raise BadImage(_foreign(content)) from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise BadImage(f"has more than {limit} million pixels: make it smaller") from None
    except MemoryError:
        raise
    except Exception as error:
        # Pillow's decoders raise whatever their reading of broken bytes runs into.
        raise BadImage(f"{kind} that is truncated or corrupt ({_reason(error)}): copy or save it again") from None
    if image.format == "PNG" and _PNG_END not in content:
        raise BadImage(f"{kind} that is truncated or corrupt (its end is missing): copy or save it again")
    if frames > 1:
        raise BadImage(f"{kind} of {frames} frames or pages: save the one that counts by itself")
    return image


def orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 for upright; 1 also where there is none or an unreadable one."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:
        # Broken metadata of a good image.
        return 1
    return value if value in _TURNS else 1


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image as people see it."""
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def png_header(content: bytes) -> tuple[int, int]:
    """Bits per sample and colour type of a PNG that could be decoded."""
    return content[24], content[25]


def encode_png(image: Image.Image) -> bytes:
    """A PNG of the pixels and nothing else."""
    image.info.clear()
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=PNG_LEVEL)
    return buffer.getvalue()


def _why_convert(image: Image.Image, content: bytes) -> str:
    if image.format in _JPEG:
        frame = jpeg.frame(content)
        if image.mode not in ("L", "RGB"):
            return image.mode
        if frame not in _COMMON_FRAMES:
            return "uncommon JPEG"
    elif image.format == "PNG":
        if png_header(content)[0] == 16:
            return "16 bits"
        if _is_transparent(image):
            return "transparency"
    else:
        return image.format or "other format"
    return "EXIF orientation" if orientation(image) != 1 else ""


def _is_transparent(image: Image.Image) -> bool:
    if not image.has_transparency_data:
        return False
    low, _ = image.convert("RGBA").getchannel("A").getextrema()
    return bool(low < 255)  # type: ignore[operator]


def _plain(image: Image.Image) -> Image.Image:
    """8-bit grey or RGB; transparent pixels show white."""
    if image.mode in _SIXTEEN_BITS:
        # Pillow's own conversion cuts off at 255.
        values = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((values * 255 + 32767) // 65535).astype(np.uint8))
    if image.mode not in _PLAIN_MODES:
        raise BadImage(f"a {image.format} of the mode {image.mode}: save it as RGB with 8 bits per channel")
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", colours.size, "white"), colours).convert("RGB")
    return image.copy() if image.mode == "L" else image.convert("RGB")


def _foreign(content: bytes) -> str:
    start = content[:64].lstrip(b"\xef\xbb\xbf \t\r\n")
    for mark, name in _FOREIGN:
        if mark in content[:32]:
            return f"{name}, not an image of a known kind: save it as JPEG or PNG"
    if start[:1] == b"<":
        kind = "SVG" if b"<svg" in content[:1000].lower() else "a web page or XML"
        return f"{kind}, not an image: download it again, or save it as JPEG or PNG"
    if start[:3] == b"\xff\xd8\xff" or start[:4] == b"\x89PNG":
        return "an image that is truncated or corrupt in its first bytes: copy or save it again"
    return "not an image that can be read (JPEG, PNG, GIF, BMP, TIFF, WebP): move it away or save it as one"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__
