"""Measures what `./millrace new` and `./millrace run` make of tables, beside a gradient boosting on the same rows.

What was measured is kept in new_tables.json beside this file, of which the table in docs/models.md is written.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime.errors import InputError  # noqa: E402
from components.runtime.stage.artifacts import write_whole  # noqa: E402
from scripts import command  # noqa: E402
from scripts.benchmarks.bench import write_page  # noqa: E402
from scripts.benchmarks.table_data import TABLES  # noqa: E402

RESULTS = Path(__file__).with_name("new_tables.json")
PAGE = PROJECT / "docs" / "models.md"
MARKS = "<!-- measured tables: begin -->", "<!-- measured tables: end -->"
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
      blessed: whether the model was.
      seconds: of both commands.
      commit: of the checkout that measured, short; with `+` where files were changed since.
    """

    name: str
    rows: int
    columns: int
    metric: str
    ours: float
    boosting: float
    standard_error: float
    blessed: bool
    seconds: float
    commit: str


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.benchmarks.bench_new", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TABLES)}; all without")
    parser.add_argument(
        "--scratch", type=Path, default=PROJECT / "build" / "bench-new", help="folder for data and runs; emptied"
    )
    parser.add_argument("--results", type=Path, default=RESULTS, help="what was measured, and what is added to it")
    parser.add_argument("--page", type=Path, default=PAGE, help="the page that gets the table")
    arguments = parser.parse_args(argv)

    def measure_all() -> None:
        if unknown := [name for name in arguments.names if name not in TABLES]:
            raise InputError(f"no table {unknown[0]!r}; choose from: {', '.join(TABLES)}")
        shutil.rmtree(arguments.scratch, ignore_errors=True)
        print("\n".join(HEAD), flush=True)
        failed = []
        for name in arguments.names or TABLES:
            try:
                measured = measure(name, arguments.scratch.absolute())
            except InputError as error:
                failed.append(name)
                print(f"| {name} | {error} |", flush=True)
                continue
            print(line(measured), flush=True)
            # After each: a long measurement that is stopped has not been for nothing.
            keep(arguments.results, measured)
            write_page(arguments.page, table(results(arguments.results)), marks=MARKS)
        if failed:
            raise InputError(f"not measured: {', '.join(failed)}; the reasons are above, earlier figures stand")

    return command.run(measure_all)


def results(file: Path) -> list[Measured]:
    """What was measured, in the order of `TABLES`; nothing where the file is missing."""
    kept = json.loads(file.read_text()) if file.exists() else {}
    return [Measured(name, **kept[name]) for name in TABLES if name in kept]


def keep(file: Path, measured: Measured) -> None:
    """Puts one result in the place of an earlier one of its data set."""
    kept = {each.name: each for each in results(file)} | {measured.name: measured}
    found = {name: dataclasses.asdict(kept[name]) for name in TABLES if name in kept}
    for values in found.values():
        del values["name"]
    write_whole(file, json.dumps(found, indent=2) + "\n")


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
        blessed=outputs["blessing"]["metadata"]["blessed"],
        seconds=round(seconds, 1),
        commit=_commit(),
    )


def _commit() -> str:
    """The commit of the checkout, with a plus where its code is another; empty where it is none of git."""

    def said(*words: str) -> str:
        return subprocess.run(("git", *words), cwd=PROJECT, capture_output=True, text=True, check=False).stdout.strip()

    # (What is measured is written into the checkout.)
    written = [f":!{file.relative_to(PROJECT)}" for file in (RESULTS, PAGE)]
    return said("describe", "--always", "--exclude=*") + ("+" if said("status", "--porcelain", "--", *written) else "")


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
    "| data | rows | columns | metric | ours | boosting | difference | standard error | blessed | seconds | commit |",
    "| --- | ---: | ---: | --- | ---: | ---: | ---: | ---: | --- | ---: | --- |",
)


def line(measured: Measured) -> str:
    """A row of the table; what misses the promise is bold."""
    difference = measured.ours - measured.boosting
    shown = f"{100 * difference:+.1f}"
    labels = len(TABLES[measured.name].labels)
    values = [
        f"{measured.name}, {labels} labels" if labels > 1 else measured.name,
        f"{measured.rows:,}",
        str(measured.columns),
        METRICS[measured.metric],
        f"{100 * measured.ours:.1f}",
        f"{100 * measured.boosting:.1f}",
        shown if difference >= -PROMISED else f"**{shown}**",
        f"{100 * measured.standard_error:.1f}",
        "yes" if measured.blessed else "**no**",
        f"{measured.seconds:.0f}",
        measured.commit,
    ]
    return f"| {' | '.join(values)} |"


def table(measured: Sequence[Measured]) -> str:
    """All rows, and what they add up to."""
    near = sum(each.ours - each.boosting >= -PROMISED for each in measured)
    blessed = sum(each.blessed for each in measured)
    total = f"Of these {len(measured)} tables {near} are at most {100 * PROMISED:.0f} behind the boosting; "
    total += f"{blessed} are blessed."
    if missing := [name for name in TABLES if name not in {each.name for each in measured}]:
        total += f" Not measured: {', '.join(missing)}."
    return "\n".join([*HEAD, *map(line, measured), "", *textwrap.wrap(total, 120)])


if __name__ == "__main__":
    sys.exit(main())
