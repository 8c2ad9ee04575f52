"""The framing of Avro's object container files: header, then blocks of records between marks.

Source: Apache Avro 1.12, Specification, Object Container Files. Splitting a file into blocks without decoding them lets
other processes decompress and decode them.
"""

from __future__ import annotations

import bz2
import json
import lzma
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from components.runtime.data.tfrecord import ByteStream
from components.runtime.errors import InputError

MAGIC = b"Obj\x01"
CODECS = ("null", "deflate", "snappy", "zstandard", "bzip2", "xz")

_SYNC_BYTES = 16
_READ_BYTES = 1 << 20
_MAX_BLOCK_BYTES = 1 << 30
_MAX_HEADER_BYTES = 64 << 20
MEND = "the file is truncated or corrupt, copy or write it again"


@dataclass(frozen=True)
class Header:
    """What a file says of itself."""

    schema: Any
    codec: str
    sync: bytes


@dataclass(frozen=True)
class Block:
    """Some records.

    Attributes:
      offset: of the block in the file, bytes.
      records: how many.
      data: their bytes as they stand in the file, compressed.
    """

    offset: int
    records: int
    data: bytes


class Container:
    """Reads one file from its beginning to its end."""

    def __init__(self, stream: ByteStream, name: str) -> None:
        """Reads the header.

        Args:
          stream: at its beginning.
          name: of the file, for messages.

        Raises:
          InputError: it is not a header.
        """
        self._stream, self._name = stream, name
        self._buffer, self._position, self._offset = b"", 0, 0
        beginning = self._stream.read(_READ_BYTES)
        if not beginning:
            raise InputError(f"{name}: an empty file: write it again, or move it away")
        if not beginning.startswith(MAGIC):
            raise InputError(
                f"{name}: not Avro: it does not begin with Obj and 1: name it as what it is, or set format"
            )
        self._buffer, self._position = beginning, len(MAGIC)
        try:
            entries = self._map()
            codec = entries.get("avro.codec", b"null").decode()
            schema = json.loads(entries["avro.schema"])
            self.header = Header(schema, codec, self._take(_SYNC_BYTES))
        except EOFError:
            raise InputError(f"{name}: ends inside its header: {MEND}") from None
        except (ValueError, KeyError) as error:
            raise InputError(f"{name}: its header cannot be read ({error!r}): {MEND}") from None
        if codec not in CODECS:
            raise InputError(f"{name}: compressed with the codec {codec!r}: write it with one of {', '.join(CODECS)}")

    def blocks(self) -> Iterator[Block]:
        """All blocks.

        Raises:
          InputError: the file ends inside one, or a mark is not where it should be.
        """
        number = 0
        while self._more():
            number += 1
            offset = self._offset + self._position
            where = f"{self._name}: block {number} at byte {offset}"
            try:
                records, size = self._long(), self._long()
                if records < 0 or not 0 <= size <= _MAX_BLOCK_BYTES:
                    raise InputError(f"{where}: {records} records in {size} bytes cannot be: {MEND}")
                data = self._take(size)
                mark = self._take(_SYNC_BYTES)
            except EOFError:
                raise InputError(f"{where}: the file ends inside it: {MEND}") from None
            except ValueError as error:
                raise InputError(f"{where}: {error}: {MEND}") from None
            if mark != self.header.sync:
                raise InputError(f"{where}: is not followed by the file's mark: {MEND}")
            if records:
                yield Block(offset, records, data)

    def _map(self) -> dict[str, bytes]:
        entries = {}
        while count := self._long():
            if count < 0:
                count = -count
                self._long()
            for _ in range(count):
                key = self._text()
                entries[key.decode()] = self._text()
        return entries

    def _text(self) -> bytes:
        size = self._long()
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise ValueError(f"a text of {size} bytes")
        return self._take(size)

    def _long(self) -> int:
        number = shift = 0
        while True:
            byte = self._take(1)[0]
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (number >> 1) ^ -(number & 1)
            shift += 7
            if shift > 63:
                raise ValueError("a number of more than 64 bits")

    def _more(self) -> bool:
        """Whether there is another byte; reads to the very end, so that the file's digest is known then."""
        if self._position == len(self._buffer):
            self._fill(1)
        return self._position < len(self._buffer)

    def _take(self, size: int) -> bytes:
        if len(self._buffer) - self._position < size:
            self._fill(size)
        end = self._position + size
        if end > len(self._buffer):
            raise EOFError
        data = self._buffer[self._position : end]
        self._position = end
        return data

    def _fill(self, size: int) -> None:
        self._offset += self._position
        parts = [self._buffer[self._position :]]
        available = len(parts[0])
        while available < size and (data := self._stream.read(_READ_BYTES)):
            parts.append(data)
            available += len(data)
        self._buffer, self._position = b"".join(parts), 0


def decompress(data: bytes, codec: str) -> bytes:
    """The bytes of a block's records.

    Raises:
      ValueError: they are corrupt.
    """
    try:
        if codec == "deflate":
            return zlib.decompress(data, -zlib.MAX_WBITS)
        if codec == "snappy":
            return _snappy(data)
        if codec == "zstandard":
            with pa.CompressedInputStream(pa.BufferReader(data), "zstd") as stream:
                return stream.read()
        if codec == "bzip2":
            return bz2.decompress(data)
        if codec == "xz":
            return lzma.decompress(data)
    except (zlib.error, lzma.LZMAError, OSError, EOFError, pa.ArrowException) as error:
        raise ValueError(f"not {codec} data ({error})") from None
    return data


def _snappy(data: bytes) -> bytes:
    """Raw snappy, which begins with its size, and behind it the CRC-32 of the plain bytes."""
    size = shift = 0
    for byte in data[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > _MAX_BLOCK_BYTES:
        raise ValueError(f"{size} bytes in one block")
    plain = pa.Codec("snappy").decompress(data[:-4], size, asbytes=True)
    if zlib.crc32(plain) != int.from_bytes(data[-4:], "big"):
        raise ValueError("the checksum of a snappy block does not hold")
    return plain
