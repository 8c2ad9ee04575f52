"""Bad input: one line that says what, where and how to mend it; exit code 65; nothing left behind."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from components.runtime.data import examples, tfrecord
from tests.components.ingest.ingest_support import ROWS, run_ingest, tfrecord_bytes, write_files
from tests.image_files import png
from tests.support import ROOT, StageResult, executor_input, run_stage

RECORDS = [examples.encode({"number": number}) for number in range(30)]
BEHIND = "text follows a closing quote in this row: close the quote left open, or double those within a cell"
RAGGED = ROWS + b'30,"line\nbreak"\n'


def assert_input_error(result: StageResult, *texts: str) -> None:
    assert result.exit_code == 65, result.stderr
    assert len(result.stderr.splitlines()) == 1, "one line and no trace"
    for text in texts:
        assert text in result.error
    assert list(result.folder.iterdir()) == [], "nothing is left behind"


def fails(tmp_path: Path, files: Mapping[str, bytes], *texts: str, **arguments: Any) -> None:
    data = write_files(tmp_path / "data", files)
    assert_input_error(run_ingest(tmp_path / "out", data, **arguments), *texts)


def test_in_a_process_of_its_own(tmp_path: Path) -> None:
    write_files(tmp_path / "data", {"a.csv": RAGGED + b"x\n"})
    parameters = {
        "data": str(tmp_path / "data"),
        "format": "auto",
        "splits": {"train": 2, "eval": 1},
        "split_patterns": {},
        "text_columns": [],
        "leave_out_without": [],
    }
    result = run_stage("ingest", tmp_path / "out", parameters=parameters, outputs=["examples", "sample"])
    assert_input_error(result, f"{tmp_path}/data/a.csv: line 34: a row of 1 cell, the header has 2")


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("nowhere", "nowhere: no such folder or file: put the raw data there"),
        ("", "data is empty"),
        ("ftp://host/x", "files cannot be read from ftp://"),
        ("gs://", "not a URI of object storage"),
    ],
)
def test_no_data(tmp_path: Path, data: str, text: str) -> None:
    assert_input_error(run_ingest(tmp_path / "out", data), text)


@pytest.mark.parametrize(
    ("files", "texts"),
    [
        ({}, ["/data: this folder is empty: put the data's files there"]),
        ({"in/a.csv": ROWS}, ["/data: no files in this folder; it has the folders in: name files in them"]),
        ({"_SUCCESS": b"", ".x.csv": ROWS}, ["/data: no files in this folder", "begin with '.' or '_'"]),
        ({"train/a.csv": ROWS}, ["it has the folders train: name files in them in split_patterns"]),
        ({"a.csv": b""}, ["/data/a.csv: an empty file"]),
        ({"a.csv": b"\n\r\n"}, ["/data/a.csv: an empty file"]),
        ({"a.csv": ROWS, "b.csv": b""}, ["/data/b.csv: an empty file"]),
        ({"a.csv": b"a,b\n"}, ["/data/a.csv: a header but no rows"]),
        ({"a.csv": b"a,b"}, ["/data/a.csv: a header but no rows"]),
        ({"a.csv": b"a,b\n", "b.csv": b"a,b\n"}, ["all 2 files", "a header but no rows"]),
        ({"a.csv": ROWS, "b.csv": RAGGED + b"1\n"}, ["/data/b.csv: line 34: a row of 1 cell, the header has 2"]),
        ({"a.csv": RAGGED.replace(b"\n", b"\r\n") + b"1,2,3\r\n"}, ["line 34: a row of 3 cells, the header has 2"]),
        (
            {"a.csv": ROWS + b'"30,x\n31,y\n'},
            ["line 32: a row of 1 cell", "goes on to line 33: is a quote not closed?"],
        ),
        ({"a.csv": ROWS + b'30,"x\n31,y\n'}, ["line 32: a quote in this row is never closed"]),
        (
            {"a.csv": ROWS + b'"30,x\n'},
            ["line 32: a row of 1 cell, the header has 2: a quote in this row is never closed"],
        ),
        (
            {"a.csv": ROWS + b'"30,x'},
            ["line 32: a row of 1 cell, the header has 2: a quote in this row is never closed"],
        ),
        ({"a.csv": ROWS + b'30,31,"x'}, ["line 32: a row of 3 cells", ": a quote in this row is never closed"]),
        ({"a.csv": ROWS + b'5" pipe'}, ["line 32: a row of 1 cell, the header has 2: add the missing cells"]),
        ({"a.csv": b'number,"text\n1,one\n'}, ["line 1: a quote in this row is never closed"]),
        ({"a.csv": ROWS + b'30,"x'}, ["line 32: a quote in this row is never closed"]),
        ({"a.csv": ROWS + b'30,"'}, ["line 32: a quote in this row is never closed"]),
        ({"a.csv": ROWS + b'30,"""'}, ["line 32: a quote in this row is never closed"]),
        ({"a.csv": b'a,"b'}, ["/data/a.csv: line 1: a quote in this row is never closed"]),
        ({"a.csv": ROWS + b'"'}, ["line 32: a row of 1 cell, the header has 2: a quote in this row is never closed"]),
        ({"a.csv": ROWS + b'"\n'}, ["line 32: a row of 1 cell, the header has 2: a quote in this row is never closed"]),
        (
            {"a.csv": ROWS + b'30,"open\n31,x\n32,"y"\n33,z\n'},
            [f"/data/a.csv: line 32 (to line 34): {BEHIND}"],
        ),
        ({"a.csv": ROWS + b'30,"z"z'}, [f"/data/a.csv: line 32: {BEHIND}"]),
        ({"a.csv": ROWS + b'30,""z\n'}, [f"/data/a.csv: line 32: {BEHIND}"]),
        ({"a.csv": RAGGED + b'1\n2,"z"z\n'}, ["line 34: a row of 1 cell, the header has 2: add the missing cells"]),
        ({"a.csv": b'"number"s,text\n1,one\n'}, [f"/data/a.csv: line 1: {BEHIND}"]),
        ({"a.csv": b'\n\nnumber,"text\n1,one\n2,"two"\n'}, [f"/data/a.csv: line 3: {BEHIND}"]),
        ({"a.csv": b'"a";"b"\n"1";"2"\n'}, ["/data/a.csv: one column", 'did you mean delimiter: ";"?']),
        ({"a.csv.gz": gzip.compress(ROWS + b'30,"z"z\n')}, [f"/data/a.csv.gz: line 32: {BEHIND}"]),
        ({"a.csv": ROWS, "b.csv": ROWS + b'30,"z"z\n'}, [f"/data/b.csv: line 32: {BEHIND}"]),
        ({"a.csv": RAGGED + b"1,\xe9t\xe9\n"}, ["/data/a.csv: line 34: the byte 0xe9 is not UTF-8"]),
        ({"a.csv": b"na\xefve,b\n1,2\n"}, ["line 1: the byte 0xef is not UTF-8"]),
        ({"a.csv": ROWS.decode().encode("utf-16")}, ["/data/a.csv: line 1: the file is in UTF-16"]),
        ({"a.csv": b"a,b,a\n1,2,3\n"}, ["/data/a.csv: columns 1 and 3 are both named 'a'"]),
        ({"a.csv": b"a,,b\n1,2,3\n"}, ["/data/a.csv: column 2 has no name"]),
        ({"a.csv": b"a,b, \n1,2,3\n"}, ["/data/a.csv: column 3 has no name"]),
        (
            {"a.csv": ROWS, "b.csv": b"number,txt,more\n1,2,3\n"},
            ["/data/b.csv: other columns than", "/data/a.csv: lacks 'text' and has 'txt', 'more' besides"],
        ),
        ({"a.csv": ROWS, "README.md": b"about"}, ["/data/README.md: neither a CSV", "move it away"]),
        ({"a.csv": ROWS, "b.parquet": b"PAR1"}, ["a.csv (csv) and", "b.parquet (parquet)"]),
        ({"a.csv": b"PAR1..."}, ["/data/a.csv: Parquet, and not CSV: name it as what it is"]),
        ({"a.csv": b"Obj\x01..."}, ["/data/a.csv: Avro, and not CSV"]),
        ({"a.csv": ROWS, "empty": b""}, ["/data/empty: neither a CSV"]),
        ({"a.csv": ROWS, "b.tfrecord": tfrecord_bytes(RECORDS)}, ["a.csv (csv) and", "b.tfrecord (tfrecord)"]),
        ({"a.csv": ROWS, "b": tfrecord_bytes(RECORDS)}, ["a.csv (csv) and", "b (tfrecord)"]),
        ({"a.csv.gz": gzip.compress(ROWS)[:-3]}, ["/data/a.csv.gz: not a whole gzip file"]),
        ({"a.csv.gz": gzip.compress(ROWS * 9999)[:2000]}, ["/data/a.csv.gz: not a whole gzip file"]),
        ({"a.csv.gz": ROWS}, ["/data/a.csv.gz: not a whole gzip file"]),
        ({"a.csv": gzip.compress(ROWS)}, ["/data/a.csv: gzip, and not CSV: let its name end in .csv.gz"]),
        (
            {"a.tfrecord": tfrecord_bytes(RECORDS, compress=False)[:-1]},
            ["/data/a.tfrecord: record 30 at byte", "truncated"],
        ),
        ({"a.tfrecord": tfrecord_bytes(RECORDS)[:-1]}, ["/data/a.tfrecord: ends inside its gzip stream"]),
        (
            {"a": tfrecord_bytes(RECORDS, compress=False).replace(b"number", b"numbex", 1)},
            ["record 1 at byte 0: the checksum"],
        ),
        ({"a.tfrecord": b"some text that is no TFRecord"}, ["/data/a.tfrecord: record 1 at byte 0", "corrupt"]),
        ({"a.tfrecord": tfrecord_bytes([*RECORDS, b"text"])}, ["/data/a.tfrecord: record 31 is not a tf.Example"]),
        ({"a.tfrecord": tfrecord_bytes([*RECORDS, b""])}, ["record 31 is not a tf.Example: it has no features"]),
        ({"a.tfrecord": tfrecord_bytes([])}, ["/data: no records in any file"]),
        ({"a.tfrecord": b""}, ["/data: no records in any file"]),
        ({"a.csv": b"a\n" + b"1\n" * 9}, ["/data: the split 'eval' got none of the 9 rows: give more rows"]),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, files: dict[str, bytes], texts: list[str]) -> None:
    fails(tmp_path, files, *texts)


def test_a_fault_far_behind_the_first_rows(tmp_path: Path) -> None:
    rows = b"number,text\n" + b"".join(b"%d,word %d\n" % (row, row) for row in range(200_000))
    fails(tmp_path, {"a.csv": rows + b"1\n"}, "/data/a.csv: line 200002: a row of 1 cell")
    fails(tmp_path, {"a.csv": rows + b"1,\xff\n"}, "/data/a.csv: line 200002: the byte 0xff")
    fails(tmp_path, {"a.csv": rows + b'1,"z"z\n'}, f"/data/a.csv: line 200002: {BEHIND}")


def test_a_quote_that_is_never_closed_does_not_fill_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from components.ingest.tables.csv import files as csv_files

    monkeypatch.setattr(csv_files, "BLOCK_BYTES", 1 << 10)
    monkeypatch.setattr(csv_files, "MAX_RECORD_BYTES", 1 << 14)
    content = ROWS + b'30,"x\n' + b"31,y\n" * 100_000
    fails(tmp_path, {"a.csv": content}, "/data/a.csv: has a record of more than", "is a quote not closed?")


@pytest.mark.parametrize("format", ["orc", "CSV", ""])
def test_an_unknown_format(tmp_path: Path, format: str) -> None:
    fails(tmp_path, {"a.csv": ROWS}, f"format is {format!r}: choose one of auto, csv, tfrecord", format=format)


def test_a_format_that_the_file_is_not_of(tmp_path: Path) -> None:
    fails(tmp_path, {"a.csv": ROWS}, "/data/a.csv: record 1 at byte 0", format="tfrecord")
    fails(tmp_path / "2", {"a": tfrecord_bytes(RECORDS)}, "/data/a: gzip, and not CSV", format="csv")


@pytest.mark.parametrize(
    ("splits", "text"),
    [
        ({}, "splits is empty"),
        ({"train": 0}, "splits gives 'train' 0 hash buckets"),
        ({"train": "two"}, "splits gives 'train' 'two' hash buckets"),
        ({"a/b": 1}, "splits has a split named 'a/b'"),
        ("train", "parameter 'splits' is 'train', expected a value of type dict"),
        ([1, 2], "parameter 'splits' is [1, 2], expected a value of type dict"),
    ],
)
def test_malformed_splits(tmp_path: Path, splits: Any, text: str) -> None:
    fails(tmp_path, {"a.csv": ROWS}, text, splits=splits)


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (
            {"train": "train/*", "eval": "nothing/*"},
            "/data: no file matches 'nothing/*', the pattern of the split 'eval'",
        ),
        ({"train": "train/*", "eval": "empty/*"}, "/data: the files of the split 'eval' hold no records"),
        ({"train": "train/*", "eval": "*/a.csv"}, "/data/train/a.csv: matches the patterns of two splits"),
        ({"train": "/train/*"}, "split_patterns has '/train/*' for 'train'"),
        ({"train": "../*"}, "split_patterns has '../*' for 'train'"),
        ({"train": ""}, "split_patterns has '' for 'train'"),
        ({"train": 3}, "split_patterns has 3 for 'train'"),
        ({"a b": "train/*"}, "split_patterns has a split named 'a b'"),
        ("train/*", "parameter 'split_patterns' is 'train/*'"),
        ({"train": "train-{SPAN}/*"}, "train-{SPAN}/*: nothing there has a number in the place of {SPAN}"),
    ],
)
def test_patterns_that_cannot_be_used(tmp_path: Path, patterns: Any, text: str) -> None:
    files = {"train/a.csv": ROWS, "eval/b.csv": ROWS, "empty/c.csv": b"number,text\n"}
    fails(tmp_path, files, text, patterns=patterns)


def test_patterns_for_one_file(tmp_path: Path) -> None:
    write_files(tmp_path / "data", {"a.csv": ROWS})
    result = run_ingest(tmp_path / "out", tmp_path / "data" / "a.csv", patterns={"train": "*"})
    assert_input_error(result, "/data/a.csv: split_patterns need a folder")


def test_a_link_to_nothing(tmp_path: Path) -> None:
    write_files(tmp_path / "data", {"a.csv": ROWS})
    (tmp_path / "data" / "b.csv").symlink_to(tmp_path / "gone.csv")
    assert_input_error(
        run_ingest(tmp_path / "out", tmp_path / "data"), "/data/b.csv: a link to a file that is not there"
    )


def test_a_pipe_among_the_files(tmp_path: Path) -> None:
    write_files(tmp_path / "data", {"a.csv": ROWS})
    os.mkfifo(tmp_path / "data" / "b.csv")
    assert_input_error(run_ingest(tmp_path / "out", tmp_path / "data"), "/data/b.csv: not a regular file")


@pytest.mark.parametrize("locked", ["data/a.csv", "data"])
def test_what_may_not_be_read(locked: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("runs ingest as another user, which only root can")
    # Not pytest's own folder, into which other users cannot look.
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        write_files(folder / "data", {"a.csv": ROWS})
        (folder / locked).chmod(0)
        out = folder / "out"
        out.mkdir()
        out.chmod(0o777)
        result = run_ingest(out, folder / "data", user=65534)
        assert_input_error(result, f"{folder}/data", "cannot be read", "Permission denied")
    finally:
        shutil.rmtree(folder)


def test_a_full_disk_is_a_passing_fault(tmp_path: Path) -> None:
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("needs a mount namespace for a small file system")
    rows = b"number,text\n" + b"".join(b"%d,%s\n" % (row, os.urandom(20).hex().encode()) for row in range(20_000))
    data, out = write_files(tmp_path / "data", {"a.csv": rows}), tmp_path / "out"
    out.mkdir()
    parameters = {"data": str(data), "format": "auto", "splits": {"train": 2, "eval": 1}, "split_patterns": {}}
    text = json.dumps(executor_input(out, parameters=parameters, outputs=["examples", "sample"]))
    script = (
        f'mount -t tmpfs -o size=256k tmpfs "{out}"; "{sys.executable}" -m components.ingest --executor-input "$0"; '
        f'code=$?; find "{out}" -mindepth 1; exit $code'
    )
    process = subprocess.run(
        [unshare, "-rm", "sh", "-c", script, text], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert process.returncode == 75, process.stderr
    assert "No space left on device: free some space, then run again" in process.stderr
    assert len(process.stderr.splitlines()) == 1
    assert str(out) not in process.stdout, "nothing is left behind"


def test_one_damaged_byte_anywhere_is_an_error_of_the_input(tmp_path: Path) -> None:
    content = bytearray(tfrecord.frame(RECORDS[:3]))
    for place in (0, 9, 13, 25, len(content) - 1):
        damaged = bytearray(content)
        damaged[place] ^= 0x10
        fails(tmp_path / str(place), {"x.tfrecord": bytes(damaged)}, "/data/x.tfrecord: record ", "checksum")


def test_beam_where_it_is_not(tmp_path: Path) -> None:
    options = {"beam_options": ["--runner=PortableRunner"]}
    fails(tmp_path, {"a.csv": ROWS}, "beam_options: this image has no Beam: give them in the settings", csv=options)
    folders = {"a/1.png": png(1), "b/2.png": png(2)}
    fails(tmp_path / "images", folders, "beam_options are for rows of a table, and these are images", csv=options)
