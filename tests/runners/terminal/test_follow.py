"""A run is followed through what its server does meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from components.runtime.errors import InputError, TransientError
from runners.terminal import follow
from runners.terminal.follow import RemoteRun, RemoteTask

AWAY = "https://c: no connection while asking for the workflow taxi-1"
RUNNING = RemoteRun("taxi-1", "taxi-1", "running", tasks=[RemoteTask("train", "running")])
DONE = RemoteRun("taxi-1", "taxi-1", "done", tasks=[RemoteTask("train", "done")])


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(follow, "time", made)
    return made


def away(clock: Clock, begin: float, end: float) -> Callable[[], RemoteRun]:
    """A server that does not answer between two times, and whose run is done 5 s after the second."""

    def poll() -> RemoteRun:
        if begin <= clock.now < end:
            raise TransientError(AWAY)
        return DONE if clock.now >= end + 5 else RUNNING

    return poll


def test_a_server_that_is_away_for_minutes_is_told_once_and_asked_again(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = follow.follow(away(clock, 10, 400), interval=5)
    assert ended == DONE
    assert capsys.readouterr().out.splitlines() == [
        "run taxi-1",
        "▶ train",
        f"! {AWAY} (asked again for 10 min)",
        "✔ train  -",
    ]


def test_each_absence_is_told(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([RUNNING, AWAY, AWAY, RUNNING, AWAY, DONE])

    def poll() -> RemoteRun:
        answer = next(answers)
        if isinstance(answer, str):
            raise TransientError(answer)
        return answer

    assert follow.follow(poll, interval=1) == DONE
    assert capsys.readouterr().out.count(AWAY) == 2


def test_a_wait_without_answers_ends_and_says_what_was_known_last(clock: Clock) -> None:
    with pytest.raises(TransientError) as caught:
        follow.follow(away(clock, 10, 9999), interval=5)
    assert clock.now == pytest.approx(5 + follow.PATIENCE, abs=6)
    assert str(caught.value) == (
        f"run taxi-1: no answer for 10 min 5 s, before that it was running; wait again ({AWAY})"
    )


def test_a_server_that_comes_back_may_refuse_for_a_moment(clock: Clock) -> None:
    """As Kubernetes does: it answers before it has read its roles."""
    plain, patience = away(clock, 10, 60), [70]

    def poll() -> RemoteRun:
        if 60 <= clock.now < patience[0]:
            raise InputError("https://c: not allowed (403)")
        return plain()

    assert follow.follow(poll, interval=5) == DONE
    clock.now, patience[0] = 0.0, 9999
    with pytest.raises(InputError, match="not allowed"):
        follow.follow(poll, interval=5)
    assert clock.now < 150


def test_a_limit_is_held_while_the_server_is_away(clock: Clock) -> None:
    with pytest.raises(TransientError) as caught:
        follow.follow(away(clock, 10, 9999), interval=5, limit=60)
    assert "no answer for 55 s, before that it was running" in str(caught.value)
    assert "still" not in str(caught.value)


def test_a_server_that_never_answered_and_one_that_refuses_end_the_wait_at_once(clock: Clock) -> None:
    with pytest.raises(TransientError, match="no connection"):
        follow.follow(away(clock, 0, 9999), interval=5)
    answers = iter([RUNNING])

    def poll() -> RemoteRun:
        for answer in answers:
            return answer
        raise InputError("not allowed")

    with pytest.raises(InputError, match="not allowed"):
        follow.follow(poll, interval=5)
    assert clock.now == 5


# --- how long a task took

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


@pytest.mark.parametrize("name", ["approve", "approve-wide"])
def test_where_logs_are_not_read_a_task_that_asks_is_known_by_its_name(name: str) -> None:
    tasks = [RemoteTask("train", "done"), RemoteTask(name, "running"), RemoteTask("push", "waiting")]
    told = follow.asking(RemoteRun("taxi-1", "taxi-1", "running", tasks=tasks))
    assert [(task.state, task.asks) for task in told.tasks] == [("done", False), ("waiting", True), ("waiting", False)]
    assert told.error.startswith(f"{name}: waits for a person")
    assert told.state == "waiting"
    tasks[0] = RemoteTask("train-deep", "running")
    told = follow.asking(RemoteRun("taxi-1", "taxi-1", "running", tasks=tasks))
    assert (told.state, told.error) == ("running", ""), "another task is at work"
    assert follow.asking(DONE) == DONE
