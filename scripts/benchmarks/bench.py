"""Measures the taxi pipeline, or the stages that images go through, and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import datetime
import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime.errors import InputError  # noqa: E402
from scripts import command  # noqa: E402
from scripts.benchmarks import bench_formats, bench_images, bench_large  # noqa: E402
from scripts.data import taxi_trips  # noqa: E402

PAGE = PROJECT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
LARGE_BEGIN, LARGE_END = "<!-- measured large: begin -->", "<!-- measured large: end -->"
IMAGES_BEGIN, IMAGES_END = "<!-- measured images: begin -->", "<!-- measured images: end -->"
TFX_BEGIN, TFX_END = "<!-- measured tfx: begin -->", "<!-- measured tfx: end -->"
BEAM_ROWS = 200_000
FORMAT_ROWS = 1_000_000
_HEAD = f"""# Benchmarks

`make bench` measures and writes what stands between the marks below; `make bench ARGS="--rows 10000 --data FOLDER"`
measures other sizes and your own trips. It writes into this page, which git tracks: `ARGS="--page FILE"` writes
elsewhere, and `git checkout docs/benchmarks.md` brings these figures back.

{BEGIN}
{END}

## Ten million rows

`make bench ARGS=--large` measures and writes this part.

{LARGE_BEGIN}
{LARGE_END}

## Photographs with masks

`make bench ARGS=--images` measures and writes this part.

{IMAGES_BEGIN}
{IMAGES_END}

## Beside TFX

`make bench-tfx` measures and writes this part.

{TFX_BEGIN}
{TFX_END}
"""


@dataclass
class Measured:
    """One pipeline run, cold and again from the cache.

    Attributes:
      name: of the data.
      rows: in the data, all splits.
      cold: seconds of the whole process without anything cached.
      cached: seconds of the whole process with everything cached that may be.
      pipeline: seconds of the pipeline itself in the cold run.
      tasks: records of run.json.
    """

    name: str
    rows: int
    cold: float
    cached: float
    pipeline: float
    tasks: list[dict[str, Any]] = field(default_factory=list)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.bench", description=__doc__)
    parser.add_argument(
        "--rows", default="10000,100000,1000000", help="sizes of generated data, with commas; empty for none"
    )
    parser.add_argument("--data", type=Path, action="append", default=[], help="a folder of real trips to measure too")
    parser.add_argument("--train-steps", type=int, default=500)
    parser.add_argument("--no-formats", action="store_true", help="without Parquet and Avro")
    parser.add_argument("--no-beam", action="store_true", help="without the comparison with Beam")
    parser.add_argument(
        "--scratch", type=Path, default=PROJECT / "build" / "bench", help="folder for data and runs; emptied"
    )
    parser.add_argument(
        "--images",
        type=_count,
        nargs="?",
        const=5000,
        metavar="COUNT",
        help="measure ingest, statistics, schema and transform of so many generated images instead, 5000 without COUNT",
    )
    parser.add_argument(
        "--large",
        type=_count,
        nargs="?",
        const=10_000_000,
        metavar="ROWS",
        help="measure ingest, statistics, transform and evaluate of so many generated trips, 10 million without ROWS",
    )
    parser.add_argument("--page", type=Path, default=PAGE)
    arguments = parser.parse_args(argv)

    def measure_part(text: Callable[[], str], marks: tuple[str, str]) -> None:
        # Before the measurement, which would be lost.
        _document(arguments.page, marks)
        shutil.rmtree(arguments.scratch, ignore_errors=True)
        write_page(arguments.page, f"{_machine()}\n\n{text()}", marks=marks)
        shutil.rmtree(arguments.scratch, ignore_errors=True)
        print(f"written: {command.shown(arguments.page)}")

    def measure_images() -> None:
        stages = functools.partial(bench_images.measure, arguments.images, arguments.scratch)
        measure_part(lambda: bench_images.tables(stages()), (IMAGES_BEGIN, IMAGES_END))

    def measure_large() -> None:
        stages = functools.partial(bench_large.measure, arguments.large, arguments.scratch)
        measure_part(lambda: bench_large.tables(stages()), (LARGE_BEGIN, LARGE_END))

    def measure() -> None:
        _document(arguments.page, (BEGIN, END))
        sizes = [int(size) for size in arguments.rows.split(",") if size]
        shutil.rmtree(arguments.scratch, ignore_errors=True)
        measured = [
            bench(f"`{data.name}`", data, arguments.scratch / f"data-{number}", arguments.train_steps)
            for number, data in enumerate(arguments.data)
        ]
        for size in sizes:
            folder = generate(size, arguments.scratch)
            measured.append(
                bench(f"generated, {size:,}", folder, arguments.scratch / f"run-{size}", arguments.train_steps)
            )
        comparison = None if arguments.no_beam else compare_with_beam(arguments.scratch)
        formats = [] if arguments.no_formats else compare_formats(arguments.scratch)
        write_page(arguments.page, tables(measured, comparison, arguments.train_steps, formats))
        shutil.rmtree(arguments.scratch, ignore_errors=True)
        print(f"written: {command.shown(arguments.page)}")

    if arguments.large is not None:
        return command.run(measure_large)
    return command.run(measure if arguments.images is None else measure_images)


def generate(rows: int, scratch: Path) -> Path:
    """Generates trips and returns their folder."""
    folder = scratch / f"trips-{rows}"
    folder.mkdir(parents=True)
    taxi_trips.write(folder / "trips.csv", rows, seed=1)
    return folder


def bench(name: str, data: Path, root: Path, train_steps: int) -> Measured:
    """Runs the pipeline twice on one data set, in a pipeline root of its own."""
    print(f"{name}: cold ...", end=" ", flush=True)
    cold = _run(root, data, "--param", f"train_steps={train_steps}")
    record = _latest(root)
    print(f"{cold:.1f} s, cached ...", end=" ", flush=True)
    cached = _run(root, data, "--param", f"train_steps={train_steps}")
    print(f"{cached:.1f} s")
    rows = next(task["rows"] for task in record["tasks"] if task["stage"] == "ingest")
    return Measured(name, rows, cold, cached, record["seconds"], record["tasks"])


def compare_with_beam(scratch: Path) -> dict[str, float]:
    """Rows per second of ingest and of a Beam pipeline that does the same row by row, start-up apart."""
    data = generate(BEAM_ROWS, scratch)
    root = scratch / "ingest"
    print(f"ingest and Beam on {BEAM_ROWS:,} rows ...", end=" ", flush=True)
    _run(root, data, "--until", "ingest")
    task = next(task for task in _latest(root)["tasks"] if task["stage"] == "ingest")
    process = subprocess.run(
        [
            str(PROJECT / ".venv" / "ml" / "bin" / "python"),
            "scripts/benchmarks/beam_csv.py",
            data / "trips.csv",
            scratch / "beam",
        ],
        cwd=PROJECT,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    if process.returncode:
        raise RuntimeError(f"the Beam pipeline failed: {process.stderr[-2000:]}")
    beam = json.loads(process.stdout.splitlines()[-1])
    result = {"ingest": BEAM_ROWS / _work(task), "beam": beam["rows"] / beam["seconds"]}
    print(f"{result['ingest']:,.0f} and {result['beam']:,.0f} rows/s")
    return result


def compare_formats(scratch: Path) -> list[bench_formats.Measured]:
    """Ingest of the same trips in every format of tables."""
    trips = scratch / "formats-trips.csv"
    taxi_trips.write(trips, FORMAT_ROWS, seed=2)
    return bench_formats.measure(trips, scratch)


def tables(
    measured: list[Measured],
    comparison: dict[str, float] | None,
    train_steps: int,
    formats: list[bench_formats.Measured] | None = None,
) -> str:
    """What was measured, as Markdown."""
    lines = [
        _machine(),
        "",
        f"Seconds of the whole process, {train_steps} training steps. *Cached*: the same run again.",
        "Start-up is the wait for the environment's warm process, so the first stage in each has most of it.",
        "Peak memory is that of the stage's own process; pages of the libraries that it shares with the warm",
        "process and never touches are not in it.",
        "",
        "| data | rows | cold | of it the pipeline | cached |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {run.name} | {run.rows:,} | {run.cold:.1f} | {run.pipeline:.1f} | {run.cached:.1f} |" for run in measured
    ]
    for run in measured:
        lines += [
            "",
            f"## {run.name[0].upper()}{run.name[1:]}",
            "",
            "| task | work, s | start-up, s | rows | rows/s | peak memory, GB |",
            "| --- | ---: | ---: | ---: | ---: | ---: |",
        ]
        for task in run.tasks:
            if task["state"] != "done":
                continue
            rows = task.get("rows") or 0
            rate = f"{rows / _work(task):,.0f}" if rows else ""
            lines.append(
                f"| {task['name']} | {_work(task):.2f} | {task['start_up_seconds']:.2f} "
                f"| {f'{rows:,}' if rows else ''} | {rate} | {task['peak_memory_bytes'] / 1e9:.2f} |"
            )
    if comparison:
        lines += [
            "",
            "## Ingest and Beam",
            "",
            f"The same {BEAM_ROWS:,} generated trips, from CSV to gzip TFRecords of tf.Examples in two splits. Beam:"
            " `ReadFromText`, Python's `csv`, a pass for the types of the columns, `tf.train.Example`, a shuffle as in"
            " TFX's CsvExampleGen, FnApiRunner (`scripts/benchmarks/beam_csv.py`). Start-up apart.",
            "",
            "| | rows/s |",
            "| --- | ---: |",
            f"| ingest | {comparison['ingest']:,.0f} |",
            f"| Beam | {comparison['beam']:,.0f} |",
            f"| ingest is faster by | {comparison['ingest'] / comparison['beam']:.1f} times |",
        ]
    lines += bench_formats.lines(formats) if formats else []
    return "\n".join(lines)


def write_page(page: Path, text: str, *, marks: tuple[str, str] = (BEGIN, END)) -> None:
    """Puts `text` between two marks of the page, which is made where it is missing."""
    begin, end = marks
    before, _, rest = _document(page, marks).partition(begin)
    after = rest.partition(end)[2]
    part = page.with_name(f".{page.name}.part")
    part.write_text(f"{before}{begin}\n{text}\n{end}{after}")
    os.replace(part, page)


def _document(page: Path, marks: tuple[str, str]) -> str:
    """What is in the page, or in a new one; it has the marks."""
    begin, end = marks
    document = page.read_text() if page.exists() else _HEAD
    if begin not in document or end not in document:
        raise InputError(f"{page}: the marks {begin} and {end} are missing; put them where the tables go")
    return document


def _count(text: str) -> int:
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, not {text!r}")
    return int(text)


def _run(root: Path, data: Path, *options: str) -> float:
    """Seconds of one call of the command line."""
    begun = time.perf_counter()
    process = subprocess.run(
        [str(PROJECT / "millrace"), "--root", str(root), "run", "taxi", "--data", str(data.absolute()), *options],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - begun
    if process.returncode:
        lines = f"{process.stdout}\n{process.stderr}".strip().splitlines()
        reason = next(
            (line for line in reversed(lines) if line.startswith("error")), lines[-1] if lines else "no output"
        )
        raise InputError(f"the pipeline failed on {data}: {reason}")
    return seconds


def _latest(root: Path) -> dict[str, Any]:
    records = [json.loads(file.read_text()) for file in (root / "runs").glob("*/run.json")]
    latest: dict[str, Any] = max(records, key=lambda record: record["started"])
    return latest


def _work(task: dict[str, Any]) -> float:
    return max(task["seconds"] - task["start_up_seconds"], 1e-3)


def _machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cpuinfo = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*: (.*)", cpuinfo.read_text()) if cpuinfo.exists() else []
    today = datetime.datetime.now(tz=datetime.UTC).date()
    versions = ", ".join(
        f"{name} {_locked(lock, name)}" for lock, name in (("ml", "tensorflow-cpu"), ("client", "kfp"))
    )
    load = os.getloadavg()[0]
    return (
        f"Measured on {today} on {os.cpu_count()} cores ({names[0] if names else platform.machine()}), "
        f"{memory:.0f} GiB of memory, "
        f"Python {platform.python_version()}, {versions}; load average at the end {load:.1f}."
    )


def _locked(lock: str, name: str) -> str:
    text = (PROJECT / "images" / "locks" / f"{lock}.txt").read_text()
    found = re.search(rf"^{re.escape(name)}==(\S+)", text, re.MULTILINE)
    return found[1] if found else "?"


if __name__ == "__main__":
    sys.exit(main())
