"""Runs that wait for a person: what they ask lies in their serving directory, as long as somebody waits for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from components.runtime.publish import approval
from components.runtime.stage.progress import WAITS

_STAGE = "approve"


def asked(places: Iterable[Path], run: str) -> dict[str, str]:
    """What a run that goes on waits for, in words, by the end of its tasks' names: `-wide`, or nothing.

    Args:
      places: serving directories in which it may ask.
      run: its id.
    """
    found = [question for place in places if place.is_dir() for _, question in approval.waiting(place)]
    return {
        each.run.removeprefix(run): f"{WAITS}a person: {each.command} (until {each.deadline})"
        for each in found
        if each.run == run or each.run.startswith(f"{run}-")
    }


def of_task(name: str, stage: str, asked: dict[str, str]) -> str:
    """What a task waits for; empty of one that does not ask."""
    return asked.get(name.removeprefix(_STAGE), "") if stage == _STAGE else ""
