"""The feedback stage: counts the rows of every split."""

from __future__ import annotations

import json

from components.runtime.data import tfrecord
from components.runtime.errors import InputError
from components.runtime.stage import progress
from components.runtime.stage import report as pages
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact


def feedback(
    examples: InputArtifact,
    at_least: int,
    counts: OutputArtifact,
    report: OutputArtifact,
) -> None:
    """Counts the rows of every split.

    Args:
      examples: as ingest makes them.
      at_least: rows that every split must have.
      counts: receives `counts.json`.
      report: receives the page.

    Raises:
      InputError: there are no splits, a file is damaged, or a split has too few rows.
    """
    if not examples.splits:
        raise InputError(f"{examples.path}: holds no splits, which are Split-<name>/; make the examples again")
    rows: dict[str, int] = {}
    for split in examples.splits:
        files = sorted(examples.split(split).glob("*.gz"))
        rows[split] = sum(1 for file in files for _ in tfrecord.read(file))
        progress.report(f"{split}: {rows[split]} rows")
        if rows[split] < at_least:
            raise InputError(
                f"the split {split} has {rows[split]} rows, and at_least is {at_least}: give more data, or lower it"
            )
    (counts.directory() / "counts.json").write_text(json.dumps(rows, indent=1) + "\n")
    counts.metadata |= {"splits": list(rows), "rows": sum(rows.values())}
    section = pages.section("Rows", pages.table(["split", "rows"], rows.items()))
    report.path.write_text(pages.page("Rows of every split", section), encoding="utf-8")
