"""Parquet and Avro that cannot be read: one line with the file, exit code 65, nothing left behind."""

from __future__ import annotations

import datetime
import random
from pathlib import Path

import pyarrow as pa
import pytest

from tests.components.ingest.ingest_support import ROWS, run_ingest, write_files
from tests.components.ingest.tables.table_support import (
    avro_bytes,
    avro_of,
    avro_records,
    parquet_bytes,
    parquet_of,
    write,
)
from tests.components.ingest.test_ingest_faults import fails

TABLE = pa.table({"number": list(range(3000)), "text": [f"word {row}" for row in range(3000)]})
PARQUET = parquet_bytes(TABLE, compression="snappy", row_group_size=500)
AVRO = avro_bytes(TABLE, sync_interval=2000)
STRUCT = pa.array([{"a": 1}])
RECORD = {"type": "record", "name": "Inner", "fields": [{"name": "a", "type": "int"}]}
FOLDED = "write its fields as columns of their own"


def corrupted(content: bytes, place: float) -> bytes:
    at = int(len(content) * place)
    return content[:at] + bytes(byte ^ 0xFF for byte in content[at : at + 24]) + content[at + 24 :]


@pytest.mark.parametrize(
    ("files", "texts"),
    [
        ({"a.parquet": b""}, ["/data/a.parquet: an empty file"]),
        ({"a.avro": b""}, ["/data/a.avro: an empty file"]),
        ({"a.parquet": ROWS}, ["/data/a.parquet: not Parquet: it does not begin with PAR1"]),
        ({"a.parquet": AVRO}, ["/data/a.parquet: not Parquet"]),
        ({"a.avro": ROWS}, ["/data/a.avro: not Avro: it does not begin with Obj"]),
        ({"a.avro": PARQUET}, ["/data/a.avro: not Avro"]),
        ({"a.csv": PARQUET}, ["/data/a.csv: Parquet, and not CSV"]),
        ({"a.parquet": PARQUET[:-1]}, ["/data/a.parquet: does not end as Parquet does", "truncated"]),
        ({"a.parquet": PARQUET[:4]}, ["/data/a.parquet", "truncated or corrupt"]),
        ({"a.parquet": PARQUET[:200] + b"PAR1"}, ["/data/a.parquet: not whole Parquet", "truncated"]),
        ({"a.parquet": PARQUET[:4] + PARQUET[-200:]}, ["/data/a.parquet", "truncated or corrupt"]),
        ({"a.avro": AVRO[:-1]}, ["/data/a.avro: block", "the file ends inside it", "truncated"]),
        ({"a.avro": AVRO[: len(AVRO) // 2]}, ["/data/a.avro: block", "the file ends inside it"]),
        ({"a.avro": AVRO[:60]}, ["/data/a.avro: ends inside its header"]),
        ({"a.avro": AVRO[:4]}, ["/data/a.avro: ends inside its header"]),
        ({"a.avro": corrupted(AVRO, 0.5)}, ["/data/a.avro: block", "truncated or corrupt"]),
        ({"a.avro": AVRO.replace(b"deflate", b"deflat2")}, ["/data/a.avro: compressed with the codec 'deflat2'"]),
        ({"a.avro": AVRO.replace(b'"type"', b'"typo"', 1)}, ["/data/a.avro: its values are of type", "not records"]),
        ({"a.parquet": parquet_of([1])[:-1] + b"2"}, ["/data/a.parquet: does not end"]),
        ({"a.parquet": parquet_of([])}, ["/data: no records in any file"]),
        ({"a.avro": avro_of("int", [])}, ["/data: no records in any file"]),
        ({"a.parquet": PARQUET, "b.avro": AVRO}, ["files of two formats", "a.parquet (parquet)"]),
        ({"a.parquet": parquet_of(STRUCT)}, ["/data/a.parquet: column 'x' is of type struct<a: int64>", FOLDED]),
        (
            {"a.parquet": parquet_of([[("k", 1)]], pa.map_(pa.string(), pa.int64()))},
            ["type map<string, int64", FOLDED],
        ),
        ({"a.parquet": parquet_of([[[1]]])}, ["column 'x' is of type list<", "flatten its lists of lists"]),
        ({"a.parquet": parquet_of([[{"a": 1}]])}, ["column 'x' is of type list<", FOLDED]),
        ({"a.parquet": parquet_of([[1, None], [2]])}, ["/data/a.parquet: column 'x', rows 1 to 2: a list with a null"]),
        ({"a.parquet": parquet_of([1, 2**63], pa.uint64())}, ["column 'x', rows 1 to 2: a value that does not fit"]),
        ({"a.parquet": parquet_bytes(pa.table({" ": [1]}))}, ["/data/a.parquet: column 1 has no name"]),
        ({"a.parquet": parquet_bytes(pa.table([[1], [2]], names=["a", "a"]))}, ["columns 1 and 2 are both named 'a'"]),
        ({"a.avro": avro_of(RECORD, [{"a": 1}])}, ["/data/a.avro: column 'x' is of type record Inner", FOLDED]),
        ({"a.avro": avro_of({"type": "map", "values": "int"}, [{"k": 1}])}, ["column 'x' is of type map", FOLDED]),
        (
            {"a.avro": avro_of({"type": "array", "items": {"type": "array", "items": "int"}}, [[[1]]])},
            ["column 'x' is of type array of array of int", "flatten its lists of lists"],
        ),
        ({"a.avro": avro_of(["int", "string"], [1])}, ["column 'x' is of type int or string", "do not go together"]),
        (
            {"a.avro": avro_of({"type": "array", "items": ["null", "int"]}, [[1, None]])},
            ["/data/a.avro: column 'x', 1 records from byte", "a list with a null"],
        ),
        ({"a.avro": avro_records(RECORD | {"fields": []}, [{}])}, ["/data/a.avro: has no columns"]),
        (
            {"a.parquet": parquet_of([1]), "b.parquet": parquet_of(["text"])},
            ["/data/b.parquet: column 'x' is of type string, which does not go with the int64 of", "/data/a.parquet"],
        ),
        (
            {"a.parquet": parquet_of([1]), "b.parquet": parquet_of([datetime.date(2020, 1, 1)])},
            ["/data/b.parquet: column 'x' is of type date32[day], which does not go with the int64 of"],
        ),
        (
            {"a.avro": avro_of("int", [1]), "b.avro": avro_bytes(pa.table({"y": [1]}))},
            ["/data/b.avro: other columns than", "lacks 'x' and has 'y' besides"],
        ),
        ({"a.parquet": parquet_of([7] * 9)}, ["/data: the split 'eval' got none of the 9 rows"]),
    ],
)
def test_one_line(tmp_path: Path, files: dict[str, bytes], texts: list[str]) -> None:
    fails(tmp_path, files, *texts)


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_a_format_that_is_asked_for_and_is_not(format: str, tmp_path: Path) -> None:
    fails(tmp_path, {"a.csv": ROWS}, f"/data/a.csv: not {format.capitalize()}", format=format)


@pytest.mark.parametrize("content", [PARQUET, AVRO], ids=["parquet", "avro"])
def test_flipped_bytes_never_end_in_a_trace(content: bytes, tmp_path: Path) -> None:
    chance = random.Random(7)
    for number in range(25):
        place = chance.randrange(4, len(content))
        broken = content[:place] + bytes([content[place] ^ (1 << chance.randrange(8))]) + content[place + 1 :]
        result = run_ingest(tmp_path / str(number), write(tmp_path / f"{number}.bin", broken))
        # Where no checksum covers a byte, another value is another value.
        assert result.exit_code in (0, 65), result.stderr
        if result.exit_code:
            assert len(result.stderr.splitlines()) == 1, result.stderr
            assert f"{number}.bin" in result.error, (place, result.error)


def test_a_count_of_records_that_is_too_small_loses_none(tmp_path: Path) -> None:
    content = avro_of("int", [1, 2, 3, 4], codec="null")
    sync = b"0123456789abcdef"
    broken = content.replace(sync + b"\x08\x08", sync + b"\x04\x08")
    assert broken != content
    fails(tmp_path, {"a.avro": broken}, "/data/a.avro: block at byte", "not what the schema says")


def test_a_column_of_parquet_whose_name_is_not_text(tmp_path: Path) -> None:
    content = parquet_bytes(pa.table({"number": [1]}), store_schema=False)
    broken = content.replace(b"number", b"numbe\xff")
    fails(tmp_path, {"a.parquet": broken}, "/data/a.parquet: not whole Parquet", "truncated or corrupt")


def test_a_page_of_parquet_with_a_wrong_checksum(tmp_path: Path) -> None:
    content = parquet_of(list(range(1000)), compression="none", use_dictionary=False, write_page_checksum=True)
    place = content.index((500).to_bytes(8, "little"))
    broken = content[:place] + (501).to_bytes(8, "little") + content[place + 8 :]
    fails(tmp_path, {"a.parquet": broken}, "/data/a.parquet: not whole Parquet", "truncated or corrupt")


def test_parquet_in_a_folder_of_partitions(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"year=2014/part-0.parquet": PARQUET})
    result = run_ingest(tmp_path / "out", data)
    assert result.exit_code == 65
    assert "it has the folders year=2014: name files in them in split_patterns" in result.error


def test_all_columns_that_cannot_be_features_are_named_at_once(tmp_path: Path) -> None:
    """Types as their formats write them, each with how to mend it."""
    fields = [
        {"name": "addr", "type": RECORD},
        {"name": "n", "type": "int"},
        {"name": "u", "type": ["int", "string"]},
        {"name": "m", "type": {"type": "map", "values": "int"}},
    ]
    row = {"addr": {"a": 1}, "n": 2, "u": 3, "m": {"k": 4}}
    content = avro_records({"type": "record", "name": "Row", "fields": fields}, [row])
    fails(
        tmp_path / "1",
        {"a.avro": content},
        "/data/a.avro: 3 columns cannot be features: column 'addr' is of type record Inner, write its fields",
        "; column 'u' is of type int or string, its types do not go together, keep one of them besides null, or take "
        "it out where the file is written; column 'm' is of type map, write",
    )
    table = pa.table({"s": STRUCT, "n": [1], "l": [[[1]]]})
    fails(tmp_path / "2", {"a.parquet": parquet_bytes(table)}, "2 columns cannot be features", "'s'", "'l'")
