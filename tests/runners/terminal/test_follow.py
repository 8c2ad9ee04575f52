"""What is told of a task on a server, whichever it is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from runners.terminal.follow import RemoteTask

BEGUN = datetime.now(UTC) - timedelta(hours=1)


@pytest.mark.parametrize("state", ["done", "failed", "stopped", "cached"])
def test_a_task_whose_end_nobody_tells_does_not_go_on_for_ever(state: str) -> None:
    assert RemoteTask("train", state, BEGUN).seconds is None
    assert RemoteTask("train", state, BEGUN, BEGUN + timedelta(seconds=3)).seconds == 3


@pytest.mark.parametrize("state", ["running", "waiting"])
def test_a_task_that_goes_on_has_taken_so_long(state: str) -> None:
    assert (RemoteTask("train", state, BEGUN).seconds or 0) >= 3600


def test_what_was_left_out_took_no_time() -> None:
    """Some servers note the moment at which they did so, twice."""
    assert RemoteTask("train", "skipped", BEGUN, BEGUN).seconds is None
