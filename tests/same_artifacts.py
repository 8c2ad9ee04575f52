"""Which artifacts of two runs are the same, wherever each ran: by the records in their pipeline roots.

    python -m tests.same_artifacts ROOT RUN OTHER_ROOT OTHER_RUN

tells it of every artifact, and ends with 1 where one differs that must not. A root is a folder as `./millrace run` or a
volume has it, or a copy of its `runs` and of the `execution.json` files, which is enough: digests stand there.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from components.runtime.records import execution_record, run_record
from components.runtime.stage.artifacts import file_digests

TRACED = ("transform_fn/saved_model.pb", "transform_fn/fingerprint.pb")
"""Files of transform's graph: TensorFlow numbers what it traces by what it traced before, another time otherwise."""

SAME = {
    "ingest": ("examples", "sample"),
    "statistics": ("statistics", "report"),
    "schema": ("schema",),
    "validate": ("anomalies",),
    "transform": ("transformed_examples",),
    "evaluate": ("blessing",),
    "bulk_infer": ("predictions",),
}
"""Outputs by stage that are the same bytes, however the stage is run, where its inputs are."""


def differing(found: Path, expected: Path) -> list[str]:
    """The files by which two folders or files differ, but for those that are never the same."""
    digests, others = file_digests(found), file_digests(expected)
    both = digests.keys() & others.keys()
    same = {name for name in both if digests[name] == others[name] or name in TRACED}
    return sorted((digests.keys() | others.keys()) - same)


@dataclass(frozen=True)
class Made:
    """What a task of a run made.

    Attributes:
      stage: of the task.
      inputs: digests of what it read, by name.
      outputs: digests by name.
    """

    stage: str
    inputs: dict[str, str]
    outputs: dict[str, str]


def made(root: Path, run: str) -> dict[str, Made]:
    """What the tasks of a run made, or took from the cache, by their names."""
    record = json.loads((root / "runs" / run / run_record.FILE).read_text())
    found = {}
    for task in record["tasks"]:
        if task["execution"] and (execution := execution_record.read(root, task["execution"])):
            inputs, outputs = (
                {
                    name: each["metadata"]["digest"]
                    for name, each in execution[side].items()
                    if "digest" in each["metadata"]
                }
                for side in ("inputs", "outputs")
            )
            found[task["name"]] = Made(task["stage"], inputs, outputs)
    return found


def compared(run: Mapping[str, Made], other: Mapping[str, Made]) -> Iterator[tuple[str, bool, bool]]:
    """Of each artifact that both have `task/output`, whether it is the same, and whether it must be."""
    for task, here in run.items():
        if there := other.get(task):
            for output in here.outputs.keys() & there.outputs.keys():
                # What read another model, such as an evaluation, is another.
                must = output in SAME.get(here.stage, ()) and here.inputs == there.inputs
                yield f"{task}/{output}", here.outputs[output] == there.outputs[output], must


def main(arguments: list[str]) -> int:
    """Prints a line for each artifact; returns the exit code."""
    if len(arguments) != 4:
        print("usage: python -m tests.same_artifacts ROOT RUN OTHER_ROOT OTHER_RUN", file=sys.stderr)
        return 2
    root, run, other_root, other = arguments
    for place, name in ((root, run), (other_root, other)):
        if not (Path(place) / "runs" / name / run_record.FILE).is_file():
            print(f"{place}: there is no run {name!r} that has ended; `./millrace runs` names them", file=sys.stderr)
            return 2
    lines = sorted(compared(made(Path(root), run), made(Path(other_root), other)))
    for artifact, is_same, must in lines:
        print(f"{'same   ' if is_same else 'DIFFERS' if must else 'differs'} {artifact}{'' if must else ', as it may'}")
    return 0 if lines and all(is_same or not must for _, is_same, must in lines) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
