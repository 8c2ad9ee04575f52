"""Files that are looked at each by itself, in any process: together they are what one process finds in all of them."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import fs
from pyarrow import parquet as pq

from components.ingest.output import SplitWriter, divided, shard_name
from components.ingest.sample.sampling import Reservoir
from components.ingest.sources import SourceFile, find
from components.ingest.tables import known_types
from components.ingest.tables.columns import Kind
from components.ingest.tables.csv import files as csv_files
from components.ingest.tables.csv.files import CsvTable
from components.ingest.tables.csv.options import CsvOptions
from components.ingest.tables.parquet import ParquetTable, footer
from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from tests.components.ingest.ingest_support import write_files

CELLS = ["1", "2", "-3", "4.5", "", "", "n/a", "-", "1,5", "2,25", "1 000", "99999999999999999999", "word", "x", "inf"]


def apart(files: list[SourceFile], options: CsvOptions, known: dict[str, Kind]) -> CsvTable:
    """As workers find it, who are sent one file and send back what they found."""
    found = [pickle.loads(pickle.dumps(CsvTable.scan_one(file, options, known))) for file in files]
    return CsvTable.joined(files, found, options, known)


def told(table: CsvTable) -> tuple[object, ...]:
    causes = [(each.column, each.file.name, each.row, each.line, each.cells) for each in table.text_causes]
    return table.names, table.kinds, table.rows, causes, table._blocks


@pytest.mark.parametrize("seed", range(40))
def test_types_and_their_causes_are_those_of_one_process(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 64)
    chance = random.Random(seed)
    files = {}
    for number in range(4):
        # Many cells or few, mostly numbers or not: columns of each file are something else by themselves.
        pools = [CELLS[: chance.choice((3, 4, 6))] + chance.sample(CELLS, chance.randrange(4)) for _ in range(3)]
        pools.append([f"{place}:" for place in range(chance.choice((3, 30)))] + ["1"])
        rows = [",".join(f'"{chance.choice(pool)}"' for pool in pools) for _ in range(chance.choice((0, 3, 40)))]
        files[f"{number}.csv"] = ("a,b,c,d\n" + "".join(f"{row}\n" for row in rows)).encode()
    files["4.csv"] = b"d,c,b,a\n1,2,3,4\n"
    sources = find(str(write_files(tmp_path / "data", files)), {}).files
    options = CsvOptions(text_columns=("b",) if seed % 4 == 0 else (), decimal="," if seed % 5 == 0 else ".")
    known = {"a": Kind.INT, "c": Kind.FLOAT} if seed % 3 == 0 else {}
    assert told(apart(sources, options, known)) == told(CsvTable.scan(sources, options, known))


def test_a_cell_that_makes_numbers_text_in_another_file(tmp_path: Path) -> None:
    # By itself the second file is text like any other.
    data = write_files(tmp_path / "data", {"1.csv": b"a,b\n1,x\n2,y\n", "2.csv": b"a,b\nn/a,z\n"})
    causes = apart(find(str(data), {}).files, CsvOptions(), {}).text_causes
    assert [(each.column, each.file.label, each.line, each.cells) for each in causes] == [("a", "2.csv", 2, ["n/a"])]


def test_other_columns_in_a_file(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"1.csv": b"a,b\n1,2\n", "2.csv": b"a\n1\n"})
    with pytest.raises(InputError, match=r"2\.csv: other columns than .*1\.csv: lacks 'b'"):
        apart(find(str(data), {}).files, CsvOptions(), {})


def test_headers_without_rows(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", {"1.csv": b"a\n", "2.csv": b"a\n"})
    with pytest.raises(InputError, match=r"all 2 files, such as .*a header but no rows"):
        apart(find(str(data), {}).files, CsvOptions(), {})


def test_columns_of_tables(tmp_path: Path) -> None:
    tables = [
        {"a": [1, 2], "b": [1.0, 2.0], "c": [None, None]},
        {"b": [1.5, float("nan")], "a": [1.0, 4.0], "c": ["x", ""]},
        {"a": [2**63, 1], "c": [None, "y"], "b": [3.0, None]},
    ]
    for number, columns in enumerate(tables):
        types = {"a": pa.uint64()} if number == 2 else {}
        arrays = {name: pa.array(values, types.get(name)) for name, values in columns.items()}
        pq.write_table(pa.table(arrays), tmp_path / f"{number}.parquet")
    for known in ({}, {"b": Kind.INT, "c": Kind.BYTES}, {"a": Kind.INT, "b": Kind.FLOAT}):
        files = find(str(tmp_path), {}).files
        table = ParquetTable.joined(files, [pickle.loads(pickle.dumps(footer(file))) for file in files])
        asked = known_types.in_question(table.columns, known, table.unsigned)
        seen = [known_types.look(table.columns, asked, table.of(file).stored) for file in files]
        whole = ParquetTable.scan(files)
        assert (table.columns, table.unsigned, table.rows) == (whole.columns, whole.unsigned, whole.rows)
        assert known_types.typed(table.columns, known, known_types.joined(seen)) == known_types.as_known(
            whole.columns, known, whole.stored, whole.unsigned
        )


def test_a_file_is_sent_without_the_keys_of_its_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://localhost:1")
    storage = fs.S3FileSystem(access_key="KEY-1", secret_key="SECRET-2", endpoint_override="localhost:1", scheme="http")
    sent = pickle.dumps(SourceFile(storage, "bucket/a b.csv", "s3://bucket/a b.csv", "a b.csv", listed_bytes=3))
    assert b"KEY-1" not in sent
    assert b"SECRET-2" not in sent
    found = pickle.loads(sent)
    assert (found.path, found.listed_bytes) == ("bucket/a b.csv", 3)
    assert isinstance(found.filesystem, fs.S3FileSystem)


@pytest.mark.parametrize("seed", range(5))
def test_shards_are_divided_as_one_writer_divides_them(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    batches = [tfrecord.frame([chance.randbytes(chance.randrange(1, 60))]) for _ in range(60)]
    (tmp_path / "one").mkdir()
    with SplitWriter(tmp_path / "one", shard_bytes=300) as writer:
        for batch in batches:
            writer.append(batch, 1)
        writer.close()
    ends = list(divided(map(len, batches), 300))
    assert len(ends) > 3
    for number, (first, behind) in enumerate(ends):
        file = tmp_path / shard_name(number, len(ends))
        with tfrecord.Writer(file) as shard:
            for batch in batches[first:behind]:
                shard.append(batch)
        assert file.read_bytes() == (tmp_path / "one" / file.name).read_bytes()


def test_a_sample_of_records_most_of_which_are_not_there() -> None:
    whole, sparse = (Reservoir("train", 5, bytes.decode) for _ in range(2))
    left_out = 0
    for batch in range(200):
        framed = tfrecord.frame([f"{batch}-{row}".encode() for row in range(10)])
        whole.add(framed, 10)
        left_out += not sparse.takes_of(10)
        sparse.add(framed if sparse.takes_of(10) else b"", 10)
    assert sparse.rows == whole.rows
    assert left_out > 100
