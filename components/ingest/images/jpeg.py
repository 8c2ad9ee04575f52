"""The markers of a JPEG file, which Pillow passes over: its kind, and damage that decoders only warn of.

A JPEG has no checksums, and libjpeg makes pixels of whatever it finds. In the compressed data, though, a byte 0xFF
may only be followed by few others (ITU-T T.81, B.1.1.5), so that damage of some hundred bytes nearly always shows.
"""

from __future__ import annotations

import re

from components.ingest.images.faults import BadImage

_SCAN, _END = 0xDA, 0xD9
# Start of frame: all but the tables (C4), the extension (C8) and arithmetic conditioning (CC).
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_SEGMENTS = _FRAMES | {0xC4, 0xCC, _SCAN, 0xDB, 0xDC, 0xDD, 0xDE, 0xDF, *range(0xE0, 0xF0), 0xFE}
_NEXT_MARKER = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])", re.DOTALL)


def frame(content: bytes) -> int:
    """The marker of a JPEG's frame, such as 0xC0 for baseline and 0xC2 for progressive.

    Args:
      content: a JPEG that could be decoded.

    Raises:
      BadImage: a marker stands where none may, or the last one is missing.
    """
    found, position = 0, 2
    while True:
        # Between segments this finds the next at once; behind the header of a scan it passes over the scan's data.
        match = _NEXT_MARKER.search(content, position)
        if match is None:
            raise BadImage("a JPEG that is truncated or corrupt (its end is missing): copy or save it again")
        marker, position = match[1][0], match.end()
        if marker == _END:
            return found
        if marker not in _SEGMENTS:
            raise BadImage(
                f"a JPEG that is corrupt (a stray marker 0x{marker:02X} at byte {match.start()}): copy or save it again"
            )
        if marker in _FRAMES and not found:
            found = marker
        position += int.from_bytes(content[position : position + 2], "big")
