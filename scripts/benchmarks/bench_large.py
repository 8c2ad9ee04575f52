"""Measures the stages that read all rows, each alone, on many generated trips: wall, processors, memory."""

from __future__ import annotations

import json
from pathlib import Path

from scripts.benchmarks.bench_images import Stage, run_stage
from scripts.data import taxi_trips

FILE_ROWS = 1_000_000
TRAIN_STEPS = 500


def measure(rows: int, scratch: Path) -> list[Stage]:
    """Generates trips in files of a million and runs the stages over them, one after the other.

    Args:
      rows: of all files.
      scratch: folder for data and artifacts; of ten million rows some 4 GB.

    Raises:
      InputError: a stage failed.
    """
    print(f"generating {rows:,} trips ...", flush=True)
    data = scratch / "trips"
    data.mkdir(parents=True)
    for number, first in enumerate(range(0, rows, FILE_ROWS)):
        taxi_trips.write(data / f"trips-{number:03}.csv", min(FILE_ROWS, rows - first), number + 1, 0.0)

    def made(stage: str, *names: str) -> dict[str, Path]:
        return {name: scratch / stage / name for name in names}

    ingest = {"data": str(data), "splits": {"train": 2, "eval": 1}, "split_patterns": {}}
    stages = [run_stage("ingest", scratch, rows, ingest, {})]
    examples = made("ingest", "examples")
    stages.append(run_stage("statistics", scratch, rows, {"schema_file": "", "beam_options": []}, examples))
    run_stage("schema", scratch, 0, {"schema_file": ""}, made("statistics", "statistics"))
    schema = made("schema", "schema")
    transform = {"module_file": "models/taxi/preprocessing.py", "custom_config": {}, "beam_options": []}
    stages.append(run_stage("transform", scratch, rows, transform, examples | schema))
    train = {"module_file": "models/taxi/model.py", "train_steps": TRAIN_STEPS, "eval_steps": 50, "seed": 42}
    train |= {"custom_config": {}, "hyperparameters_file": ""}
    run_stage("train", scratch, 0, train, made("transform", "transformed_examples", "transform_graph") | schema)
    output = json.loads((scratch / "ingest" / "executor_output.json").read_text())
    evaluated = int(output["artifacts"]["examples"]["artifacts"][0]["metadata"]["rows_eval"])
    baseline = scratch / "baseline"
    baseline.mkdir()
    evaluate = {"eval_config_file": "models/taxi/evaluation.pbtxt", "example_splits": ["eval"], "beam_options": []}
    inputs = examples | schema | made("train", "model") | {"baseline_model": baseline}
    stages.append(run_stage("evaluate", scratch, evaluated, evaluate | {"require_thresholds": False}, inputs))
    return stages


def tables(stages: list[Stage]) -> str:
    """What was measured, as Markdown."""
    rows = stages[0].items
    files = f"files of {FILE_ROWS:,}" if rows > FILE_ROWS else "one file"
    lines = [
        f"{rows:,} generated trips in {files}, each stage alone, a process of its own.",
        "Seconds with the import of the libraries, rows a second by these. Memory: the highest sum over the stage's",
        "process and its children, shared pages counted once. Evaluate reads the split eval, a third of the rows.",
        "",
        "| stage | rows | seconds | rows/s | of processors, s | microseconds of processors a row | peak memory, GB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for stage in stages:
        rates = f"{stage.seconds:.1f} | {stage.items / stage.seconds:,.0f} | {stage.cpu_seconds:.1f}"
        each = f"{1e6 * stage.cpu_seconds / stage.items:.1f}"
        lines.append(f"| {stage.name} | {stage.items:,} | {rates} | {each} | {stage.peak_memory_bytes / 1e9:.2f} |")
    return "\n".join(lines)
