"""When a task worked that left no execution, because it failed or was stopped: only its events tell."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from components.runtime.text.json_text import parse


def last_attempt(root: Path, run: str, task: str) -> tuple[datetime | None, datetime | None]:
    """Start and end of the last attempt at a task; None where no event tells.

    Args:
      root: the pipeline root.
      run: the run that it belongs to.
      task: its name.
    """
    begin = end = None
    try:
        lines = (root / "lineage" / run / f"{task}.jsonl").read_text().splitlines()
    except OSError:
        return None, None
    for line in lines:
        try:
            event = parse(line)
            moment = datetime.fromisoformat(event["eventTime"])
        except (ValueError, KeyError, TypeError):
            continue
        if event.get("eventType") == "START":
            begin, end = moment, None
        else:
            end = moment
    return begin, end
