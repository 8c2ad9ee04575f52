"""Measures the stages that photographs and masks go through before training: seconds, and memory with all processes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.runtime.errors import InputError
from scripts.data import image_samples

PROJECT = Path(__file__).resolve().parents[2]
SIDE = 512
_SAMPLED_SECONDS = 0.1


@dataclass(frozen=True)
class Stage:
    """One stage's run as a process of its own.

    Attributes:
      name: of the stage.
      items: images or rows that went through it; 0 where their number does not matter.
      seconds: of the whole process, the import of its libraries included.
      cpu_seconds: of processors, all its processes together; says more on a busy machine.
      peak_memory_bytes: highest sum over the process and its children of their proportional set sizes, in which a
        page that several share counts once.
    """

    name: str
    items: int
    seconds: float
    cpu_seconds: float
    peak_memory_bytes: int


def measure(count: int, scratch: Path) -> list[Stage]:
    """Generates images and runs the stages over them, one after the other.

    Args:
      count: of pairs of image and mask.
      scratch: folder for data and artifacts.

    Raises:
      InputError: a stage failed.
    """
    print(f"generating {count:,} images of {SIDE}x{SIDE} ...", flush=True)
    data = image_samples.write(scratch / "images", count, side=SIDE)
    examples = {"examples": scratch / "ingest" / "examples"}
    ingest = {"data": str(data), "format": "images", "images": {"layout": "pairs"}}
    ingest |= {"splits": {"train": 4, "eval": 1}, "split_patterns": {}}
    stages = [run_stage("ingest", scratch, count, ingest, {})]
    stages.append(run_stage("statistics", scratch, count, {"schema_file": "", "beam_options": []}, examples))
    statistics = {"statistics": scratch / "statistics" / "statistics"}
    stages.append(run_stage("schema", scratch, 0, {"schema_file": "models/pets/schema.pbtxt"}, statistics))
    transform = {"module_file": "models/pets/preprocessing.py", "custom_config": {}, "beam_options": []}
    inputs = examples | {"schema": scratch / "schema" / "schema"}
    stages.append(run_stage("transform", scratch, count, transform, inputs))
    return stages


def run_stage(
    stage: str, scratch: Path, items: int, parameters: Mapping[str, Any], inputs: Mapping[str, Path]
) -> Stage:
    """Runs a stage in its environment; its outputs lie in `scratch/<stage>/<output>`.

    Raises:
      InputError: it failed.
    """
    print(f"{stage} ...", end=" ", flush=True)
    folder = scratch / stage
    folder.mkdir(parents=True)
    component = yaml.safe_load((PROJECT / "components" / stage / "component.yaml").read_text())
    texts = {entry["name"]: entry.get("default") for entry in component["inputs"] if entry.get("type") == "String"}
    defaults = {name: default for name, default in texts.items() if default is not None}
    executor_input = {
        "inputs": {
            "parameterValues": defaults | dict(parameters),
            "artifacts": {name: _artifacts(name, path) for name, path in inputs.items()},
        },
        "outputs": {
            "artifacts": {
                output["name"]: _artifacts(output["name"], folder / output["name"]) for output in component["outputs"]
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }
    (folder / "input.json").write_text(json.dumps(executor_input))
    environments = yaml.safe_load((PROJECT / "images" / "environments.yaml").read_text())
    environment = next(name for name, entry in environments.items() if stage in entry["stages"])
    python = PROJECT / ".venv" / environment / "bin" / "python"
    begun, cpu_begun = time.perf_counter(), cpu_seconds()
    with (folder / "log").open("w+") as log:
        process = subprocess.Popen(
            [python, "-m", f"components.{stage}", "--executor-input", f"@{folder / 'input.json'}"],
            cwd=PROJECT,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        peak = peak_memory(process)
        seconds = time.perf_counter() - begun
        if process.returncode:
            log.seek(0)
            raise InputError(f"{stage} failed: {log.read().splitlines()[-1]}")
    result = Stage(stage, items, seconds, cpu_seconds() - cpu_begun, peak)
    print(f"{seconds:.1f} s, {peak / 1e9:.2f} GB")
    return result


def cpu_seconds() -> float:
    """Of all processes that this one has started and that have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def peak_memory(process: subprocess.Popen[Any]) -> int:
    """Waits for a process; returns the most bytes that it and its children had at one time, see `Stage`."""
    peak = 0
    while process.poll() is None:
        begun = time.process_time()
        peak = max(peak, sum(_proportional_bytes(pid) for pid in _tree(process.pid)))
        # (The kernel goes through all pages, and holds the process up: of a large one, for a fiftieth of the time.)
        time.sleep(min(1.0, max(_SAMPLED_SECONDS, 49 * (time.process_time() - begun))))
    return peak


def _tree(pid: int) -> list[int]:
    found = [pid]
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += _tree(int(child))
    except OSError:
        # It has ended meanwhile.
        return found
    return found


def _proportional_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) * 1024


def _artifacts(name: str, path: Path) -> dict[str, Any]:
    """As a backend hands it to a stage: with the metadata of the one that made it, which stages go by."""
    made = path.parent / "executor_output.json"
    known = json.loads(made.read_text())["artifacts"] if made.exists() else {}
    metadata = known[name]["artifacts"][0].get("metadata", {}) if name in known else {}
    return {"artifacts": [{"name": name, "uri": str(path), "metadata": metadata}]}


def tables(stages: list[Stage]) -> str:
    """What was measured, as Markdown."""
    count = stages[0].items
    lines = [
        f"{count:,} generated images of {SIDE}x{SIDE} with masks, layout `pairs`, each stage a process of its own.",
        "Seconds with the import of the libraries. Memory: the highest sum over the stage's process and its children,",
        "pages that they share counted once. Schema and transform are those of `models/pets`, which makes",
        "PNG of 128x128.",
        "",
        "| stage | seconds | of processors | images per processor second | peak memory, GB |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for stage in stages:
        rate = f"{stage.items / stage.cpu_seconds:,.0f}" if stage.items else ""
        times = f"{stage.seconds:.1f} | {stage.cpu_seconds:.1f}"
        lines.append(f"| {stage.name} | {times} | {rate} | {stage.peak_memory_bytes / 1e9:.2f} |")
    return "\n".join(lines)
