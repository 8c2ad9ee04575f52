"""CSV files as streams of bytes and as lines of text."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from components.ingest.sources import SourceFile
from components.runtime.errors import InputError

_BUFFER_BYTES = 1 << 20
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_UTF8_MARK = "\ufeff"
_OTHER_FORMATS = {b"PAR1": "Parquet", b"Obj\x01": "Avro"}
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


class TextStream(io.RawIOBase):
    """The decompressed bytes of a file; remembers the last ones, in which an open quote shows."""

    def __init__(self, source: Any) -> None:
        super().__init__()
        self._source = source
        self._chunks: tuple[bytes, ...] = ()

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, `size` of them unless the file ends before."""
        data: bytes = self._source.read(size)
        if data:
            self._chunks = (*self._chunks[-2:], data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Reads into a buffer; returns how many bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    @property
    def tail(self) -> bytes:
        """What the last three reads gave."""
        return b"".join(self._chunks)


@contextmanager
def open_text(file: SourceFile) -> Iterator[TextStream]:
    """Opens a CSV file, decompressing it where its name ends in `.gz`."""
    with file.open() as raw:
        if not file.path.lower().endswith(".gz"):
            yield TextStream(raw)
            return
        try:
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:  # type: ignore[call-overload]
                yield TextStream(stream)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{file.name}: not a whole gzip file ({error}): copy or write it again") from None


def lines(stream: TextStream, name: str) -> Iterator[str]:
    """The lines of a CSV file with their ends, without the byte order mark.

    Raises:
      InputError: a line is not UTF-8.
    """
    buffered: Iterable[bytes] = io.BufferedReader(stream, _BUFFER_BYTES)
    for number, line in enumerate(buffered, 1):
        if number == 1 and line[:4] in _OTHER_FORMATS:
            raise InputError(f"{name}: {_OTHER_FORMATS[line[:4]]}, and not CSV: name it as what it is, or set format")
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            utf16 = number == 1 and line.startswith(_UTF16_MARKS)
            found = "the file is in UTF-16" if utf16 else f"the byte 0x{line[error.start]:02x} is not UTF-8"
            raise InputError(f"{name}: line {number}: {found}: save the file as UTF-8") from None
        if number == 1:
            text = text.removeprefix(_UTF8_MARK)
        if "\r" in text[:-2]:
            yield from _LINE.findall(text)
        else:
            yield text
