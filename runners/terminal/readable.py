"""Output to terminals and pipes that are not UTF-8."""

from __future__ import annotations

import codecs
import io
import unicodedata
from typing import IO

_PLAIN = str.maketrans("✔✘▶■↺·–—…→≥≤─│├└┌┐┘┤┬┴┼━▁▂▃▄▅▆▇█", "+x>#=.--.>><-||`..'|-++=__.-~=+#")
"""Signs of ours, of rich's tables and of small curves, and a letter of ASCII for each: widths stay as they are."""
_ASCII = "millrace_ascii"
"""ASCII under another name: click takes the known one for a mistake, and writes UTF-8."""


def make_readable(*streams: IO[str]) -> None:
    """Lets a terminal show what its encoding cannot: our signs as letters, accents left out, the rest escaped."""
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            ascii_only = codecs.lookup(stream.encoding).name == "ascii"
            stream.reconfigure(encoding=_ASCII if ascii_only else None, errors=_readable.__name__)


def _readable(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = []
    for letter in error.object[error.start : error.end]:
        plain = unicodedata.normalize("NFKD", letter.translate(_PLAIN)).encode("ascii", "ignore").decode()
        letters.append(plain or letter.encode("ascii", "backslashreplace").decode())
    return "".join(letters), error.end


def _own_ascii(name: str) -> codecs.CodecInfo | None:
    if name != _ASCII:
        return None
    known = codecs.lookup("ascii")
    return codecs.CodecInfo(
        known.encode,
        known.decode,
        known.streamreader,
        known.streamwriter,
        known.incrementalencoder,
        known.incrementaldecoder,
        name=name,
    )


codecs.register(_own_ascii)
codecs.register_error(_readable.__name__, _readable)
