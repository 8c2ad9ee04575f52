"""Predictions where a person wants them: whole or not at all, and nothing of theirs is lost."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import csv, parquet

from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from runners.serving import predictions
from tests.components.push.serving_support import tree

COLUMNS = ['a "name"', "b\nc", "prediction"]
SHARDS = [
    pa.table({COLUMNS[0]: [1, 2], COLUMNS[1]: ["x", 'y "z"'], COLUMNS[2]: [0.5, 0.25]}),
    pa.table({COLUMNS[0]: [3], COLUMNS[1]: ["ä"], COLUMNS[2]: [1.0]}),
    pa.table({COLUMNS[0]: [4], COLUMNS[1]: ["v,w"], COLUMNS[2]: [2.0]}),
]


def made(folder: Path, suffix: str) -> Path:
    """The artifact of bulk_infer, of three shards."""
    split = folder / "predictions" / "Split-all"
    split.mkdir(parents=True)
    for number, table in enumerate(SHARDS):
        file = split / f"predictions-{number:05d}-of-00003{suffix}"
        if suffix == ".parquet":
            parquet.write_table(table, file)
        elif suffix == ".csv":
            csv.write_csv(table, file)
        else:
            tfrecord.write(file, [f"{number} {row}".encode() for row in range(len(table))])
    return split.parent


def test_a_folder_gets_the_shards(tmp_path: Path) -> None:
    artifact = made(tmp_path, ".csv")
    out = tmp_path / "new" / "out"
    predictions.check(out, "csv", overwrite=False, data="gs://bucket/data")
    predictions.put(artifact, out, COLUMNS)
    assert tree(out) == tree(artifact / "Split-all")
    assert list(out.parent.iterdir()) == [out]


def test_one_file_has_all_rows_in_order(tmp_path: Path) -> None:
    whole = pa.concat_tables(SHARDS)
    predictions.put(made(tmp_path / "p", ".parquet"), tmp_path / "out.parquet", COLUMNS)
    assert parquet.read_table(tmp_path / "out.parquet").equals(whole)
    predictions.put(made(tmp_path / "c", ".csv"), tmp_path / "out.csv", COLUMNS)
    options = csv.ParseOptions(newlines_in_values=True)
    assert csv.read_csv(tmp_path / "out.csv", parse_options=options).equals(whole)
    predictions.put(made(tmp_path / "t", ".tfrecord.gz"), tmp_path / "out.tfrecord.gz", COLUMNS)
    assert list(tfrecord.read(tmp_path / "out.tfrecord.gz")) == [b"0 0", b"0 1", b"1 0", b"2 0"]


def test_what_lies_there_is_replaced_where_that_is_asked_for(tmp_path: Path) -> None:
    artifact = made(tmp_path, ".csv")
    for out in (tmp_path / "folder", tmp_path / "file.csv"):
        if not out.suffix:
            out.mkdir()
            (out / "mine.txt").write_text("mine")
        else:
            out.write_text("mine")
        with pytest.raises(InputError, match="is there already; give --overwrite to replace it, or name another place"):
            predictions.check(out, "csv", overwrite=False, data="x")
        predictions.check(out, "csv", overwrite=True, data="x")
        predictions.put(artifact, out, COLUMNS)
    assert tree(tmp_path / "folder") == tree(artifact / "Split-all")
    assert (tmp_path / "file.csv").read_text().count("\n") == 6 - 2 * 2 + 4


@pytest.mark.parametrize(
    ("out", "output_format", "data", "said"),
    [
        (
            "out.csv",
            "parquet",
            "x",
            "the name is that of csv, and the format is parquet; name a file that ends in .parquet",
        ),
        ("data/out.csv", "csv", "data", "is, holds or lies in the data that is answered; name another place"),
        ("data/rows.csv", "csv", "data/rows.csv", "is, holds or lies in the data that is answered; name another place"),
        ("data", "csv", "data/rows.csv", "is, holds or lies in the data that is answered; name another place"),
        ("link/out.csv", "csv", "data", "is, holds or lies in the data that is answered; name another place"),
        ("file", "csv", "x", "a file lies there, and the name is that of a folder; name another place"),
        ("folder.csv", "csv", "x", "a folder lies there, and the name is that of a file; name another place"),
        ("file/below/out.csv", "csv", "x", "file cannot be written to (Not a directory); name another place"),
        (
            "/proc/none/out.csv",
            "csv",
            "x",
            "/proc cannot be written to (No such file or directory); name another place",
        ),
    ],
)
def test_places_that_cannot_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str, output_format: str, data: str, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("data", "folder.csv"):
        (tmp_path / folder).mkdir()
    (tmp_path / "data" / "rows.csv").touch()
    (tmp_path / "file").touch()
    os.symlink("data", tmp_path / "link")
    with pytest.raises(InputError) as error:
        predictions.check(Path(out), output_format, overwrite=True, data=data)
    assert str(error.value).startswith(f"--out {out}: ")
    assert str(error.value).endswith(f"{said}, or a folder" if "ends in" in said else said)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("p.json", ".json is none of the formats of predictions; name a file that ends in"),
        ("new/p.CSV.GZ", ".GZ is none of the formats of predictions; name a file that ends in"),
        ("p.parqet", ".parqet is none of the formats of predictions, did you mean '.parquet'?; name a file"),
    ],
)
def test_a_file_of_no_format_of_predictions_is_no_folder(tmp_path: Path, name: str, said: str) -> None:
    for _ in range(2):
        with pytest.raises(InputError, match=re.escape(f"--out {tmp_path / name}: {said}")):
            predictions.check(tmp_path / name, "parquet", overwrite=True, data="x")
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()


def test_folders_whose_names_have_points(tmp_path: Path) -> None:
    (tmp_path / "made.json").mkdir()
    for name in ("2026.11.30", "predictions.v2", "part-1.5", ".hidden", "made.json"):
        predictions.check(tmp_path / name, "csv", overwrite=False, data="x")


def test_a_copy_that_fails_leaves_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.csv"
    out.write_text("mine")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(predictions.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left on device"):
        predictions.put(made(tmp_path, ".csv"), out, COLUMNS)
    assert out.read_text() == "mine"
    assert not list(tmp_path.glob(".*"))
