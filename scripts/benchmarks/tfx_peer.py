"""Measures TFX's own pipeline of the model taxi beside ours, on the same generated trips, in turn.

What was measured is kept in tfx_peer.json beside this file, of which the part in docs/benchmarks.md is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime.errors import InputError  # noqa: E402
from components.runtime.stage.artifacts import write_whole  # noqa: E402
from scripts import command  # noqa: E402
from scripts.benchmarks.bench import PAGE, TFX_BEGIN, TFX_END, generate, write_page  # noqa: E402
from scripts.benchmarks.bench_images import cpu_seconds, peak_memory  # noqa: E402

RESULTS = Path(__file__).with_name("tfx_peer.json")
TRAIN_STEPS, EVAL_STEPS = 500, 50
_AT_REST = 1.2
"""Processes for each processor: TFX alone has a little more than one."""

PEERS = {
    "CsvExampleGen": "ingest",
    "StatisticsGen": "statistics",
    "SchemaGen": "schema",
    "ExampleValidator": "validate",
    "Transform": "transform",
    "Trainer": "train",
    "latest_blessed_model_resolver": "resolve",
    "Evaluator": "evaluate",
    "Pusher": "push",
}
"""Components of TFX, by their ids, and our stages that do the same."""


@dataclass(frozen=True)
class Part:
    """A stage of ours, a component of TFX, or the imports of that.

    Attributes:
      name: of the task, or the component's id.
      seconds: that it took; of ours without the wait for its environment.
      processors: seconds of processors; None where nobody measures them, as of ours.
      memory: the peak of its process, bytes.
    """

    name: str
    seconds: float
    processors: float | None
    memory: int


@dataclass(frozen=True)
class Run:
    """A pipeline from nothing to a pushed model, as one process with its children.

    Attributes:
      seconds: of the process.
      processors: seconds of processors, of all its processes.
      memory: the most bytes that they had at one time, pages that they share counted once.
      parts: what it went through.
    """

    seconds: float
    processors: float
    memory: int
    parts: list[Part] = field(default_factory=list)

    @classmethod
    def read(cls, kept: dict[str, Any]) -> Run:
        """What `dataclasses.asdict` made of one."""
        return cls(**kept | {"parts": [Part(**part) for part in kept["parts"]]})


@dataclass(frozen=True)
class Measured:
    """Both pipelines on the same rows.

    Attributes:
      rows: of the data, all splits.
      ours: our run.
      tfx: TFX's.
      versions: of TFX and of its Python.
      machine: when and on what it was measured, in words.
      load: load average at the end, processes for a processor: above 1 other work took its share.
    """

    rows: int
    ours: Run
    tfx: Run
    versions: str
    machine: str
    load: float


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.tfx_peer", description=__doc__)
    parser.add_argument("--rows", default="10000,100000", help="sizes of the generated data, with commas")
    parser.add_argument(
        "--python", type=Path, default=PROJECT / ".venv" / "tfx" / "bin" / "python", help="of an environment with TFX"
    )
    parser.add_argument(
        "--scratch", type=Path, default=PROJECT / "build" / "bench-tfx", help="folder for data and runs; emptied"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="what was measured, and what is added to it")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that gets the tables")
    arguments = parser.parse_args(argv)

    def measure_all() -> None:
        if not arguments.python.exists():
            raise InputError(f"{arguments.python}: there is no such Python; make bench-tfx makes its environment")
        shutil.rmtree(arguments.scratch, ignore_errors=True)
        for rows in (int(size) for size in arguments.rows.split(",") if size):
            measured = measure(rows, arguments.scratch.absolute(), arguments.python.absolute())
            # After each: a long measurement that is stopped has not been for nothing.
            keep(arguments.results, measured)
            write_page(arguments.page, tables(results(arguments.results)), marks=(TFX_BEGIN, TFX_END))
        shutil.rmtree(arguments.scratch, ignore_errors=True)
        print(f"written: {command.shown(arguments.page)}")

    return command.run(measure_all)


def results(file: Path) -> list[Measured]:
    """What was measured, the fewest rows first; nothing where the file is missing."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    return [
        Measured(int(rows), **each | {name: Run.read(each[name]) for name in ("ours", "tfx")})
        for rows, each in sorted(kept.items(), key=lambda item: int(item[0]))
    ]


def keep(file: Path, measured: Measured) -> None:
    """Puts one result in the place of an earlier one of as many rows."""
    found = {each.rows: each for each in results(file)} | {measured.rows: measured}
    kept = {str(rows): dataclasses.asdict(each) for rows, each in sorted(found.items())}
    for values in kept.values():
        del values["rows"]
    write_whole(file, json.dumps(kept, indent=2) + "\n")


def measure(rows: int, scratch: Path, python: Path) -> Measured:
    """Runs both pipelines on as many generated rows, each from nothing.

    Raises:
      InputError: one of them failed, or pushed no model.
    """
    data = generate(rows, scratch)
    ours = _measured(f"ours, {rows:,} rows", _ours(data, scratch / f"ours-{rows}"), scratch / f"ours-{rows}.log")
    record = next((scratch / f"ours-{rows}" / "runs").glob("*/run.json"))
    tasks = [task for task in json.loads(record.read_text())["tasks"] if task["state"] == "done"]
    parts = [
        Part(task["name"], task["seconds"] - task["start_up_seconds"], None, task["peak_memory_bytes"])
        for task in tasks
    ]
    root = scratch / f"tfx-{rows}"
    steps = [f"--train-steps={TRAIN_STEPS}", f"--eval-steps={EVAL_STEPS}"]
    theirs = [str(python), "scripts/benchmarks/tfx_pipeline.py", str(data), str(root), *steps]
    log = scratch / f"tfx-{rows}.log"
    tfx = _measured(f"TFX, {rows:,} rows", theirs, log)
    if not any((root / "serving").glob("*/saved_model.pb")):
        raise InputError(f"TFX pushed no model; its log is {log}")
    told = json.loads(log.read_text(errors="replace").splitlines()[-1])
    now = datetime.datetime.now(tz=datetime.UTC).date()
    return Measured(
        rows,
        dataclasses.replace(ours, parts=parts),
        dataclasses.replace(tfx, parts=[Part(**part) for part in told["parts"]]),
        f"TFX {told['tfx']} on Python {told['python']}",
        f"{now}, {os.cpu_count()} cores",
        os.getloadavg()[0] / (os.cpu_count() or 1),
    )


def _ours(data: Path, root: Path) -> list[str]:
    return [
        *(str(PROJECT / "millrace"), "--root", str(root), "run", "taxi", "--data", str(data)),
        *("--param", f"train_steps={TRAIN_STEPS}"),
    ]


def _measured(name: str, words: list[str], log: Path) -> Run:
    """Runs a command; what it prints goes to `log`.

    Raises:
      InputError: it failed.
    """
    print(f"{name} ...", end=" ", flush=True)
    used, begun = cpu_seconds(), time.perf_counter()
    # Another Python's libraries have no place in either; TensorFlow's chatter at its start would fill the log.
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    with log.open("w") as stream:
        process = subprocess.Popen(
            words,
            cwd=PROJECT,
            env=variables | {"TF_CPP_MIN_LOG_LEVEL": "3"},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
        )
        memory = peak_memory(process)
    run = Run(time.perf_counter() - begun, cpu_seconds() - used, memory)
    if process.returncode:
        last = (log.read_text(errors="replace").strip().splitlines() or ["it printed nothing"])[-1]
        raise InputError(f"{name} failed: {last}; its log is {log}")
    print(f"{run.seconds:.1f} s, {run.processors:.1f} s of processors, {run.memory / 1e9:.2f} GB", flush=True)
    return run


def tables(measured: list[Measured]) -> str:
    """What was measured, as Markdown."""
    lines: list[str] = []
    for each in measured:
        lines += [
            *([""] if lines else []),
            f"### {each.rows:,} rows",
            "",
            f"{each.versions}; {each.machine}, {_load(each)}",
            "",
            "| | TFX, s | processors, s | memory, GB | ours, s | processors, s | memory, GB |",
            "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
            *_lines(each),
        ]
    return "\n".join(lines)


def _lines(measured: Measured) -> list[str]:
    tfx = {part.name: part for part in measured.tfx.parts}
    ours = {part.name: part for part in measured.ours.parts}
    pairs = [(name, PEERS.get(name, "")) for name in tfx]
    pairs += [("", name) for name in ours if name not in PEERS.values()]
    lines = []
    for theirs, stage in pairs:
        title = f"{theirs}, {stage}" if theirs and stage else theirs or stage
        lines.append(f"| {title} | {_cells(tfx.get(theirs))} | {_cells(ours.get(stage))} |")
    runs = [
        f"{run.seconds:.1f} | {run.processors:.1f} | {run.memory / 1e9:.2f}" for run in (measured.tfx, measured.ours)
    ]
    seconds = measured.tfx.seconds / measured.ours.seconds
    processors = measured.tfx.processors / measured.ours.processors
    return [
        *lines,
        f"| **the whole process** | {' | '.join(runs)} |",
        "",
        f"TFX takes {seconds:.1f} times as long, and {processors:.1f} times the processors' seconds.",
    ]


def _cells(part: Part | None) -> str:
    """Seconds, those of processors, and memory; empty where nothing was measured."""
    if part is None:
        return " | ".join([""] * 3)
    processors = "" if part.processors is None else f"{part.processors:.2f}"
    return f"{part.seconds:.2f} | {processors} | {part.memory / 1e9:.2f}"


def _load(measured: Measured) -> str:
    """How busy the machine was, and what that means for the figures."""
    told = f"load average {measured.load:.1f} for each processor at the end."
    if measured.load <= _AT_REST:
        return told
    return f"{told} Other work shared the machine: of seconds only those of processors tell."


if __name__ == "__main__":
    sys.exit(main())
