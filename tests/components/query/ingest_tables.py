"""Has ingest, which runs in another environment, read what query kept: `ingest_tables.py FOLDER... PARQUET`."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import components.ingest.ingest  # noqa: F401 (before the fork)
from components.runtime.stage.executor import run_stage
from tests.support import executor_input


def main(places: list[str]) -> int:
    """Writes `examples` beside each folder with a table, and beside the last one, which is plain Parquet."""
    for place in map(Path, places):
        out = place.with_name(f"{place.name}-ingested")
        out.mkdir(parents=True)
        table = {} if place.is_file() else {"table": place}
        parameters = {
            "data": str(place) if place.is_file() else "",
            "format": "auto",
            "splits": {"train": 2, "eval": 1},
            "split_patterns": {},
        }
        asked = executor_input(out, parameters=parameters, inputs=table, outputs=["examples", "sample"])
        child = os.fork()
        if child == 0:
            run_stage("components.ingest.ingest:ingest", ["--executor-input", json.dumps(asked)])
            os._exit(0)
        if code := os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
            return code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
