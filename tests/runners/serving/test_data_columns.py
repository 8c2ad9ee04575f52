"""Columns that the data has not are refused at once where that is sure, and left to the stages where it is not."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from components.runtime.errors import InputError
from runners.serving.data_columns import check
from runners.settings.stages import Ingest

PLAIN = Ingest()


def written(folder: Path, name: str, content: bytes | str) -> str:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(file)


def refused(columns: list[str], data: str, ingest: Ingest = PLAIN) -> str:
    with pytest.raises(InputError) as caught:
        check(columns, data, ingest)
    return str(caught.value)


def test_of_csv(tmp_path: Path) -> None:
    data = written(tmp_path, "rows.csv", '\ufefftrip_id,"fare ""net""",way\n1,2,3\n')
    check(["*", "trip_id", 'fare "net"', "way"], data, PLAIN)
    assert refused(["trip-id"], data) == (
        f"--columns: {data} has no column 'trip-id', did you mean 'trip_id'?; it has: trip_id, fare \"net\", way"
    )
    assert "it has: a, b" in refused(["nope"], written(tmp_path, "x.csv", "sep=;\na;b\n1;2\n"), Ingest(delimiter=";"))
    assert "it has: größe" in refused(
        ["nope"], written(tmp_path, "y.csv", "größe\n1\n".encode("latin-1")), Ingest(encoding="latin-1")
    )
    named = Ingest(header=False, column_names=["a", "b"])
    assert "it has: a, b" in refused(["nope"], written(tmp_path, "z.csv", "nope,1\n"), named)


def test_of_parquet_and_of_the_first_file_of_a_folder(tmp_path: Path) -> None:
    parquet.write_table(pa.table({"a": [1]}), tmp_path / "part-0.parquet")
    written(tmp_path, "_SUCCESS", "nope")
    written(tmp_path, ".hidden.csv", "nope\n1\n")
    check(["a"], str(tmp_path), PLAIN)
    assert "part-0.parquet has no column 'nope'; it has: a" in refused(["nope"], str(tmp_path))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("rows.avro", b"Obj\x01nothing"),
        ("rows.tfrecord", b"a\nb\n"),
        ("rows.csv", "a\nb\n".encode("utf-16")),
        ("rows.csv", '"a\nnope",b\n1,2\n'),
        ("rows.csv", "one line"),
        ("rows.csv", ""),
        ("broken.parquet", b"PAR1 and no more"),
    ],
    ids=["avro", "tfrecord", "utf-16", "lines", "headless", "empty", "broken"],
)
def test_what_cannot_be_told_here_is_left_to_the_stages(name: str, content: bytes | str, tmp_path: Path) -> None:
    check(["nope"], written(tmp_path, name, content), PLAIN)


def test_what_is_not_here_is_left_to_the_stages(tmp_path: Path) -> None:
    for data in ("gs://bucket/rows.csv", str(tmp_path / "none.csv"), str(tmp_path)):
        check(["nope"], data, PLAIN)
