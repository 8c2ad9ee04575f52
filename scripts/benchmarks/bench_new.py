"""Measures what `./millrace new` and `./millrace run` make of tables, beside a gradient boosting on the same rows."""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime.errors import InputError  # noqa: E402
from scripts import command  # noqa: E402
from scripts.benchmarks.table_data import TABLES  # noqa: E402

METRICS = {"r2_score": "R²", "sparse_categorical_accuracy": "accuracy", "auc": "AUC", "auc macro": "AUC"}
"""Of the run, by their names there: the first that there is tells the task, too."""
PROMISED = 0.02
ML = str(PROJECT / ".venv" / "ml" / "bin" / "python")


@dataclass(frozen=True)
class Measured:
    """What came of one data set.

    Attributes:
      name: of the data set.
      rows: of all splits.
      columns: without the labels.
      metric: by its name in the run.
      ours: its value in the run.
      boosting: that of scikit-learn's boosting on the same rows.
      standard_error: of the latter, by drawing the evaluated rows anew.
      eval_rows: how many rows were evaluated.
      blessed: whether the model was.
      seconds: of both commands.
    """

    name: str
    rows: int
    columns: int
    metric: str
    ours: float
    boosting: float
    standard_error: float
    eval_rows: int
    blessed: bool
    seconds: float


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.bench_new", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)}; all without")
    parser.add_argument(
        "--scratch", type=Path, default=PROJECT / "build" / "bench-new", help="folder for data and runs; emptied"
    )
    arguments = parser.parse_args(argv)

    def measure_all() -> None:
        if unknown := [name for name in arguments.names if name not in TABLES]:
            raise InputError(f"no table {unknown[0]!r}; choose from: {', '.join(TABLES)}")
        shutil.rmtree(arguments.scratch, ignore_errors=True)
        print("\n".join(HEAD), flush=True)
        for name in arguments.names or TABLES:
            try:
                print(line(measure(name, arguments.scratch.absolute())), flush=True)
            except InputError as error:
                print(f"| {name} | {error} |", flush=True)

    return command.run(measure_all)


def measure(name: str, scratch: Path) -> Measured:
    """Writes the data set, has a model made for it and run, and trains the boosting on the same rows.

    Raises:
      InputError: one of the commands failed.
    """
    table, data, root = TABLES[name], scratch / "data" / name, scratch / "root"
    data.mkdir(parents=True)
    _call(ML, "-m", "scripts.benchmarks.table_data", name, str(data / f"{name}.csv"))
    model, millrace = scratch / "models" / name, [str(PROJECT / "millrace"), "--root", str(root)]
    begun = time.perf_counter()
    _call(*millrace, "new", str(model), "--data", str(data), *_labels(name), *table.options)
    _call(*millrace, "run", str(model))
    return result(name, scratch, time.perf_counter() - begun)


def result(name: str, scratch: Path, seconds: float) -> Measured:
    """Reads the newest run of a data set, and trains the boosting on the rows that it trained on.

    Raises:
      InputError: that failed.
    """
    root = scratch / "root"
    run = max((json.loads(file.read_text()) for file in (root / "runs").glob(f"{name}-*/run.json")), key=_started)
    executions = {task["name"]: root / task["execution"] for task in run["tasks"] if task["execution"]}
    outputs = json.loads((executions["evaluate"] / "execution.json").read_text())["outputs"]
    metrics = outputs["metrics"]["metadata"]
    metric = next(metric for metric in METRICS if metric in metrics)
    examples = json.loads((executions["ingest"] / "execution.json").read_text())["outputs"]["examples"]
    # (Of several labels it is the mean over them.)
    options = [f"--metric={metric.split()[0]}", *_labels(name)]
    printed = _call(ML, "-m", "scripts.benchmarks.boosting", str(root / examples["uri"]), *options)
    boosting = json.loads(printed.splitlines()[-1])
    return Measured(
        name=name,
        rows=next(task["rows"] for task in run["tasks"] if task["name"] == "ingest"),
        columns=boosting["columns"],
        metric=metric,
        ours=metrics[metric],
        boosting=boosting["score"],
        standard_error=boosting["standard_error"],
        eval_rows=boosting["eval_rows"],
        blessed=outputs["blessing"]["metadata"]["blessed"],
        seconds=seconds,
    )


def _labels(name: str) -> list[str]:
    return [f"--label={label}" for label in TABLES[name].labels]


def _started(record: dict[str, Any]) -> str:
    return str(record["started"])


def _call(*arguments: str) -> str:
    """What a command prints.

    Raises:
      InputError: it failed, with its last line that tells an error.
    """
    process = subprocess.run(arguments, cwd=PROJECT, capture_output=True, text=True, check=False)
    if process.returncode:
        lines = f"{process.stdout}\n{process.stderr}".strip().splitlines() or ["no output"]
        reason = next((line for line in reversed(lines) if line.startswith("error")), lines[-1])
        raise InputError(f"{' '.join(arguments[1:4])} failed: {reason}")
    return process.stdout


HEAD = (
    "| data | rows | columns | metric | ours | boosting | difference | standard error | blessed | seconds |",
    "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- | ---: |",
)


def line(measured: Measured) -> str:
    """A row of the table; what misses the promise is bold."""
    difference = measured.ours - measured.boosting
    shown = f"{100 * difference:+.1f}"
    values = [
        measured.name,
        f"{measured.rows:,}",
        str(measured.columns),
        METRICS[measured.metric],
        f"{100 * measured.ours:.1f}",
        f"{100 * measured.boosting:.1f}",
        shown if difference >= -PROMISED else f"**{shown}**",
        f"{100 * measured.standard_error:.1f}",
        "yes" if measured.blessed else "**no**",
        f"{measured.seconds:.0f}",
    ]
    return f"| {' | '.join(values)} |"


if __name__ == "__main__":
    sys.exit(main())
