"""CSV files as streams of bytes in UTF-8, whatever they are written in, and as lines of text."""

from __future__ import annotations

import codecs
import gzip
import io
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from components.ingest.sources import SourceFile
from components.ingest.tables.csv.options import UTF8, UTF8_MARK
from components.runtime.errors import InputError

_BUFFER_BYTES = 1 << 20
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_LOOKED_AT_BYTES = 32
_OTHER_FORMATS = {
    b"PAR1": "Parquet, and not CSV: name it as what it is, or set format",
    b"Obj\x01": "Avro, and not CSV: name it as what it is, or set format",
    b"\x1f\x8b": "gzip, and not CSV: let its name end in .csv.gz",
    b"PK\x03\x04": "a ZIP archive or an Excel workbook, and not CSV: unpack it, or save the sheet as CSV",
    b"version https://git-lfs": "a pointer of Git LFS, and not the file: fetch it with git lfs pull",
    b"\xd0\xcf\x11\xe0": "an Excel workbook, and not CSV: save the sheet as CSV",
}
# The mark of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
    (UTF8_MARK, UTF8),
)
_HEADER_BYTES = 8


class TextStream(io.RawIOBase):
    """The text of a file in UTF-8."""

    def __init__(self, source: Any, name: str, encoding: str) -> None:
        """Takes a stream at its beginning.

        Raises:
          InputError: it is of another format, or visibly of another encoding.
        """
        super().__init__()
        self._source = source
        self._name = name
        self._encoding = encoding
        self._decoder = None if encoding == UTF8 else codecs.getincrementaldecoder(encoding)()
        self._beginning: bytes = source.read(_LOOKED_AT_BYTES)
        self._decoded = bytearray()
        self._lines = 0
        self._ended = False
        _check_beginning(self._beginning, name, encoding)

    def readable(self) -> bool:
        """Always."""
        return True

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, `size` of them unless the file ends before.

        Raises:
          InputError: the bytes are not of the encoding. Not where that is UTF-8, which the readers hold them to.
        """
        return self._raw(size) if self._decoder is None else self._transcoded(size)

    def readinto(self, buffer: Any, /) -> int:
        """Reads into a buffer; returns how many bytes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def _raw(self, size: int) -> bytes:
        if not self._beginning:
            data: bytes = self._source.read(size)
            return data
        first, self._beginning = self._beginning, b""
        rest: bytes = self._source.read(size if size < 0 else max(0, size - len(first)))
        return first + rest

    def _transcoded(self, size: int) -> bytes:
        while not self._ended and (size < 0 or len(self._decoded) < size):
            data = self._raw(_BUFFER_BYTES)
            self._ended = not data
            self._decoded += self._decode(data)
        end = len(self._decoded) if size < 0 else size
        result = bytes(self._decoded[:end])
        del self._decoded[:end]
        return result

    def _decode(self, data: bytes) -> bytes:
        assert self._decoder is not None
        try:
            text = self._decoder.decode(data, final=not data).encode()
        except UnicodeDecodeError as error:
            before = error.object[: error.start].decode(self._encoding, errors="replace")
            found = " ".join(f"0x{byte:02x}" for byte in error.object[error.start : error.end][:4])
            raise InputError(
                f"{self._name}: line {self._lines + before.count(chr(10)) + 1}: {found} is not {self._encoding}: "
                "correct encoding, or the file"
            ) from None
        except UnicodeError:
            raise InputError(f"{self._name}: not {self._encoding} throughout: correct encoding, or the file") from None
        self._lines += text.count(b"\n")
        return text


@contextmanager
def open_text(file: SourceFile, encoding: str = UTF8) -> Iterator[TextStream]:
    """Opens a CSV file, decompressing it where its name ends in `.gz`.

    Args:
      file: to be read from its beginning.
      encoding: that it is written in.

    Raises:
      InputError: it is of another format, or visibly of another encoding.
    """
    with file.open() as raw:
        if not file.path.lower().endswith(".gz"):
            yield TextStream(raw, file.name, encoding)
            return
        try:
            with gzip.GzipFile(fileobj=raw, mode="rb") as stream:  # type: ignore[call-overload]
                yield TextStream(stream, file.name, encoding)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"{file.name}: not a whole gzip file ({error}): copy or write it again") from None


def lines(stream: TextStream, name: str) -> Iterator[str]:
    """The lines of a CSV file with their ends, without the byte order mark.

    Raises:
      InputError: a line is not UTF-8.
    """
    buffered: Iterable[bytes] = io.BufferedReader(stream, _BUFFER_BYTES)
    for number, line in enumerate(buffered, 1):
        try:
            text = line.decode()
        except UnicodeDecodeError as error:
            raise InputError(
                f"{name}: line {number}: the byte 0x{line[error.start]:02x} is not UTF-8: "
                "save the file as UTF-8, or set encoding, such as cp1252"
            ) from None
        if number == 1:
            text = text.removeprefix(UTF8_MARK.decode())
        if "\r" in text[:-2]:
            yield from _LINE.findall(text)
        else:
            yield text


def kept(text: Iterable[str], into: list[str]) -> Iterator[str]:
    """The lines, each of which is put into a list when it is read."""
    for line in text:
        into.append(line)
        yield line


def _check_beginning(data: bytes, name: str, encoding: str) -> None:
    for magic, found in _OTHER_FORMATS.items():
        if data.startswith(magic):
            raise InputError(f"{name}: {found}")
    if marked := next((other for mark, other in _MARKS if data.startswith(mark)), ""):
        # With a mark, the encoding's name needs no order of the bytes.
        found = marked[: len("utf-16")]
        fits = encoding in (marked, found)
    else:
        header = data[:_HEADER_BYTES]
        # A header in ASCII, whose every second byte is zero.
        whole = len(header) == _HEADER_BYTES and not encoding.startswith(("utf-16", "utf-32"))
        found = (
            "" if not whole else "utf-16-le" if not any(header[1::2]) else "utf-16-be" if not any(header[::2]) else ""
        )
        fits = not found
    if not fits:
        raise InputError(f"{name}: line 1: the file is in {found[:6].upper()}: set encoding: {found}")
