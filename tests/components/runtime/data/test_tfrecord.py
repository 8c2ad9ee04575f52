from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

import pytest

from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from tests.support import shared

RECORDS = [b"", b"a", b"bc" * 5000, bytes(range(256)), b"x" * (3 << 20)]


@pytest.mark.parametrize("compress", [True, False])
def test_what_is_written_is_read(tmp_path: Path, compress: bool) -> None:
    file = tmp_path / "f"
    assert tfrecord.write(file, RECORDS, gzip=compress) == 5
    assert file.read_bytes().startswith(b"\x1f\x8b") is compress
    assert list(tfrecord.read(file)) == RECORDS


def test_bytes_do_not_depend_on_time_or_batches(tmp_path: Path) -> None:
    records = [b"%d" % number * 50 for number in range(3000)]
    tfrecord.write(tmp_path / "one", records)
    with tfrecord.Writer(tmp_path / "two") as writer:
        for start in range(0, 3000, 7):
            writer.write(records[start : start + 7])
    content = (tmp_path / "one").read_bytes()
    assert content[4:8] == bytes(4), "the modification time in the gzip header"
    assert content == (tmp_path / "two").read_bytes()


def test_framing_is_that_of_tensorflow() -> None:
    file = sorted(shared("tfx_testdata/recorded_run/CsvExampleGen/examples/train").iterdir())[0]
    framed = gzip.decompress(file.read_bytes())
    assert tfrecord.frame(list(tfrecord.read(file))) == framed


def test_masked_crc_of_known_bytes() -> None:
    # 32 zero bytes: crc32c 0x8a9136aa (RFC 3720, B.4).
    crc = 0x8A9136AA
    assert tfrecord.masked_crc(bytes(32)) == (((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8) % 2**32


def test_a_file_without_records_is_read(tmp_path: Path) -> None:
    tfrecord.write(tmp_path / "gzip", [])
    (tmp_path / "plain").touch()
    assert list(tfrecord.read(tmp_path / "gzip")) == list(tfrecord.read(tmp_path / "plain")) == []


def test_gzip_members_one_after_the_other_are_read() -> None:
    content = b"".join(gzip.compress(tfrecord.frame([record])) for record in RECORDS)
    assert list(tfrecord.read_stream(io.BytesIO(content), "f")) == RECORDS


@pytest.mark.parametrize("level", [0, 1, 6, 9])
def test_zlib_is_read_as_gzip_is(level: int) -> None:
    content = zlib.compress(tfrecord.frame(RECORDS), level)
    assert list(tfrecord.read_stream(io.BytesIO(content), "f")) == RECORDS
    assert tfrecord.is_tfrecord(io.BytesIO(content))


@pytest.mark.parametrize("beginning", [b"\x1f\x8b", b"\x78\x01", b"\x78\x9c", b"\x78\xda"])
def test_a_plain_record_whose_length_looks_like_compression_is_plain(beginning: bytes) -> None:
    record = bytes(int.from_bytes(beginning, "little"))
    content = tfrecord.frame([record, b"x"])
    assert content.startswith(beginning)
    assert list(tfrecord.read_stream(io.BytesIO(content), "f")) == [record, b"x"]
    assert tfrecord.is_tfrecord(io.BytesIO(content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zlib.compress(tfrecord.frame([b"abc"] * 1000))[:-2], "f: ends inside its zlib stream"),
        (b"\x78\x9cno zlib at all", "f: not zlib as it begins to be"),
        (tfrecord.frame([b"abc", b"def"])[:-1], "f: record 2 at byte 19 has 3 bytes, but the file ends before"),
        (tfrecord.frame([b"abc"])[:7], "f: record 1 at byte 0 ends inside its header"),
        (b"\x04" + tfrecord.frame([b"abc"])[1:], "f: record 1 at byte 0: the checksum of its length does not hold"),
        (tfrecord.frame([b"abc", b"def"]).replace(b"def", b"dex"), "record 2 at byte 19: the checksum of its content"),
        (gzip.compress(tfrecord.frame([b"abc"] * 1000), mtime=0)[:-9], "f: ends inside its gzip stream"),
        (gzip.compress(tfrecord.frame([b"abc"] * 1000), mtime=0)[:15], "f: ends inside its gzip stream"),
        (gzip.compress(tfrecord.frame([b"abc"]), mtime=0) + b"rest", "f: not gzip as it begins to be"),
        (b"\x1f\x8bno gzip at all", "f: not gzip as it begins to be"),
        (b"plain text, not records", "f: record 1 at byte 0: the checksum of its length"),
    ],
)
def test_damaged_files_name_record_and_offset(content: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        list(tfrecord.read_stream(io.BytesIO(content), "f"))
    assert message in str(error.value)
    assert "copy or write it again" in str(error.value)


@pytest.mark.parametrize("place", range(60))
def test_every_flipped_bit_is_noticed(place: int) -> None:
    content = bytearray(tfrecord.frame([b"some record", b"another one", b"x"]))
    content[place] ^= 1 << place % 8
    with pytest.raises(InputError):
        list(tfrecord.read_stream(io.BytesIO(bytes(content)), "f"))


def test_a_bomb_is_read_in_small_pieces() -> None:
    record = bytes(64 << 20)
    content = gzip.compress(tfrecord.frame([record]))
    largest = max(len(chunk) for chunk in tfrecord._decompressed(io.BytesIO(content), "f"))
    assert largest <= 1 << 20


@pytest.mark.parametrize(
    "content", [b"", b"short", b"plain text, not records", gzip.compress(b"plain text", mtime=0), b"\x1f\x8bx"]
)
def test_other_files_are_not_taken_for_tfrecords(content: bytes) -> None:
    assert not tfrecord.is_tfrecord(io.BytesIO(content))


def test_tfrecords_are_known_by_their_first_bytes() -> None:
    framed = tfrecord.frame([b"abc"])
    assert tfrecord.is_tfrecord(io.BytesIO(framed))
    assert tfrecord.is_tfrecord(io.BytesIO(gzip.compress(framed)))


def test_a_failed_write_leaves_a_file_that_is_not_read_as_whole(tmp_path: Path) -> None:
    writer = tfrecord.Writer(tmp_path / "f")
    writer.write([b"abc"])
    writer.abandon()
    with pytest.raises(InputError):
        assert list(tfrecord.read(tmp_path / "f")), "an empty file would pass for one without records"
