"""Measures ingest on the same trips as CSV, Parquet and Avro."""

from __future__ import annotations

import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
from pyarrow import csv as arrow_csv
from pyarrow import parquet as pq

from components.ingest.sources import find
from components.ingest.tables.columns import Kind
from components.ingest.tables.csv.files import CsvTable

PROJECT = Path(__file__).resolve().parents[2]

_AVRO = {"int64": "long", "double": "double", "string": "string"}


@dataclass
class Measured:
    """Ingest of one format.

    Attributes:
      format: of the file.
      rows: in it.
      file_bytes: its size.
      seconds: of the stage without its start-up.
      cpu_seconds: of processors, all processes together, start-up included: says more on a busy machine.
      peak_bytes: memory of the stage's process.
    """

    format: str
    rows: int
    file_bytes: int
    seconds: float
    cpu_seconds: float
    peak_bytes: int


def measure(trips: Path, scratch: Path) -> list[Measured]:
    """Measures all formats.

    Args:
      trips: CSV file.
      scratch: folder for the other files and for what ingest writes.
    """
    measured = []
    for format in ("csv", "parquet", "avro"):
        file = scratch / "formats" / format / f"trips.{format}"
        file.parent.mkdir(parents=True)
        write(trips, file)
        output, seconds, usage = _ingest(file, scratch / "formats" / f"{format}-out")
        rows = int(output["artifacts"]["examples"]["artifacts"][0]["metadata"]["rows"])
        cpu_seconds = usage.ru_utime + usage.ru_stime
        measured.append(Measured(format, rows, file.stat().st_size, seconds, cpu_seconds, usage.ru_maxrss * 1024))
        print(f"{format}: {rows / seconds:,.0f} rows/s", flush=True)
    return measured


def _ingest(file: Path, folder: Path) -> tuple[dict[str, Any], float, resource.struct_rusage]:
    """Runs the stage; returns its output, seconds after its start-up, and what it used, memory its largest process."""
    folder.mkdir()
    parameters = {"data": str(file), "format": "auto", "splits": {"train": 2, "eval": 1}, "split_patterns": {}}
    outputs = {name: {"artifacts": [{"name": name, "uri": str(folder / name)}]} for name in ("examples", "sample")}
    request = {
        "inputs": {"parameterValues": parameters},
        "outputs": {"artifacts": outputs, "outputFile": str(folder / "output.json")},
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "components.ingest", "--executor-input", json.dumps(request)],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    begun = time.perf_counter()
    process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"ingest of {file} ended with {process.returncode}")
    output: dict[str, Any] = json.loads((folder / "output.json").read_text())
    return output, time.perf_counter() - begun, usage


def write(trips: Path, file: Path) -> None:
    """Writes a CSV file in the format that the other file's name says, some rows at a time."""
    if file.suffix == ".csv":
        file.symlink_to(trips.resolve())
        return
    options = arrow_csv.ConvertOptions(null_values=[""], strings_can_be_null=True, column_types=_types(trips))
    with arrow_csv.open_csv(trips, convert_options=options) as reader:
        if file.suffix == ".parquet":
            with pq.ParquetWriter(file, reader.schema) as writer:
                for batch in reader:
                    writer.write_batch(batch)
            return
        fields = [{"name": each.name, "type": ["null", _AVRO[str(each.type)]]} for each in reader.schema]
        schema = fastavro.parse_schema({"type": "record", "name": "Trip", "fields": fields})
        with file.open("wb") as stream:
            fastavro.writer(stream, schema, (row for batch in reader for row in batch.to_pylist()), codec="deflate")


def _types(trips: Path) -> dict[str, pa.DataType]:
    """Types of the columns, as ingest infers them: in little memory, which a child process would be blamed for."""
    # Its progress is for a stage's log.
    with contextlib.redirect_stdout(io.StringIO()):
        table = CsvTable.scan(find(str(trips), {}).files)
    types = {Kind.MISSING: pa.string(), Kind.INT: pa.int64(), Kind.FLOAT: pa.float64(), Kind.BYTES: pa.string()}
    return {name: types[table.kinds[name]] for name in table.names}


def lines(measured: list[Measured]) -> list[str]:
    """What was measured, as Markdown."""
    return [
        "",
        "## Formats",
        "",
        f"Ingest of the same {measured[0].rows:,} generated trips, Parquet with Snappy, Avro with deflate.",
        "",
        "| format | file, MB | work, s | rows/s | processors, s | peak memory, GB |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
        *(
            f"| {each.format} | {each.file_bytes / 1e6:.1f} | {each.seconds:.2f} | {each.rows / each.seconds:,.0f} "
            f"| {each.cpu_seconds:.1f} | {each.peak_bytes / 1e9:.2f} |"
            for each in measured
        ),
    ]
