"""What a photograph is like, in a few numbers: what can drift as cameras age and rooms darken, without the photograph.

The same of the data that a model is trained on, where ingest is asked for it, and of what a served model is asked.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Collection
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

IMAGE, IMAGE_NAME, IMAGE_FORMAT, HEIGHT, WIDTH = "image", "image_name", "image_format", "height", "width"
"""What ingest calls an encoded image and what its file tells of it; height and width in pixels."""

MEASURES = ("brightness", "contrast", "sharpness", "noise", "red", "green", "blue", "bits_per_pixel")
"""What `measured` tells of an image."""

LONGEST = 256
"""Pixels along the longer side of what is measured; larger images are shrunk by a whole number: what a model sees is
small, and a large photograph costs no more than a small one."""

_SMALLEST = 3
"""Pixels along a side from which on there is a neighbour on each side of one."""

_PNG_BITS = 24
"""Where a PNG says how many bits a sample has."""

_SIGNATURES = {b"\xff\xd8\xff": "jpeg", b"\x89PNG\r\n": "png", b"GIF8": "gif"}
_READ = ("JPEG", "PNG", "GIF", "BMP", "WEBP")
"""What TensorFlow and browsers take for images, as Pillow calls it."""


def describing(columns: Collection[str]) -> frozenset[str]:
    """Image and the columns that only tell what it is, where data is of images as ingest makes it; none of other data.

    Args:
      columns: names of all.
    """
    are_images = {IMAGE, IMAGE_NAME} <= {*columns}
    return frozenset((IMAGE, IMAGE_NAME, IMAGE_FORMAT, HEIGHT, WIDTH, *MEASURES)) if are_images else frozenset()


def format_of(content: bytes) -> str:
    """`jpeg`, `png`, `gif`, `bmp` or `webp` by the first bytes; empty for anything else."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "webp"
    # (Two letters alone may be of anything: behind the size stand four zeros.)
    if content[:2] == b"BM" and content[6:10] == bytes(4):
        return "bmp"
    return next((name for start, name in _SIGNATURES.items() if content.startswith(start)), "")


def size(content: bytes) -> tuple[int, int] | None:
    """Height and width in pixels, of an encoded image; None of what is none."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=_READ) as image:
            return image.height, image.width
    except Exception:
        # Whatever Pillow's readers run into in broken bytes.
        return None


def mask_values(content: bytes) -> npt.NDArray[np.uint8]:
    """The values of a mask, of shape [height, width]: of one with a palette the numbers of its colours.

    Args:
      content: an encoded PNG.

    Raises:
      ValueError: it cannot be decoded, has too many pixels, or is not of one channel of at most 8 bits.
    """
    import numpy as np
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            # As many pixels as ingest takes.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
                mode = image.mode
                values = np.asarray(image, np.uint8) if mode in ("1", "L", "P") else None
    except UnidentifiedImageError:
        raise ValueError("cannot be read as PNG") from None
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 10**6
        raise ValueError(f"has more than {limit} million pixels; make it smaller") from None
    except MemoryError:
        raise
    except Exception as error:
        # Whatever Pillow's decoders run into in broken bytes.
        raise ValueError(f"cannot be read as PNG ({' '.join(str(error).split())[:100]})") from None
    if values is None:
        raise ValueError(f"has the mode {mode}; save it with one channel of 8 bits")
    # Pillow spreads few bits of grey over 0 to 255; the mask means the numbers as they are stored.
    spread = {2: 85, 4: 17}.get(content[_PNG_BITS], 1) if mode == "L" else 1
    return values // spread


def measured(content: bytes) -> dict[str, float]:
    """The measures of an encoded image.

    - `brightness`, `contrast`: mean and standard deviation of the luma (ITU-R BT.601), 0 to 255.
    - `sharpness`: variance of its Laplacian (Pech-Pacheco and others, 2000): falls where an image is blurred.
    - `noise`: standard deviation by Immerkær's mask (1996), which edges and slopes do not answer to.
    - `red`, `green`, `blue`: means, 0 to 255.
    - `bits_per_pixel`: of the file; falls where JPEG is told to save.

    Args:
      content: an encoded image.

    Returns:
      them by name; none of what cannot be decoded or has fewer than 3 pixels along a side.
    """
    import numpy as np
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=_READ) as image:
            pixels = image.width * image.height
            colours = image.convert("RGB")
    except Exception:
        # Whatever Pillow's decoders run into in broken bytes.
        return {}
    shrunk = colours.reduce(-(-max(colours.size) // LONGEST)) if max(colours.size) > LONGEST else colours
    if min(shrunk.size) < _SMALLEST:
        return {}
    red, green, blue = np.asarray(shrunk, np.float32).reshape(-1, 3).mean(axis=0).tolist()
    luma = np.asarray(shrunk.convert("L"), np.float32)
    return {
        "brightness": float(luma.mean()),
        "contrast": float(luma.std()),
        "sharpness": float(_laplacian(luma).var()),
        "noise": float(np.abs(_laplacian_differences(luma)).mean() * np.sqrt(np.pi / 2) / 6),
        "red": red,
        "green": green,
        "blue": blue,
        "bits_per_pixel": 8 * len(content) / pixels,
    }


def _laplacian(luma: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Of each inner pixel: its four neighbours less four times itself."""
    inner = luma[1:-1, 1:-1]
    return luma[:-2, 1:-1] + luma[2:, 1:-1] + luma[1:-1, :-2] + luma[1:-1, 2:] - 4 * inner


def _laplacian_differences(luma: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Immerkær's mask: the difference of two Laplacians, (1, -2, 1) down times (1, -2, 1) across."""
    down = luma[:-2] - 2 * luma[1:-1] + luma[2:]
    return down[:, :-2] - 2 * down[:, 1:-1] + down[:, 2:]
