"""What the server of a search answers to its workers, and how it notices that one is gone: real sockets, no trials."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras_tuner
import pytest
from keras_tuner.engine import trial as trials

from components.runtime.errors import InputError, StageError, TransientError
from components.tune import trial_workers
from components.tune.kept import Kept
from components.tune.page import page
from components.tune.search import Made, Search
from components.tune.trial_workers import Server


def oracle(folder: Path, seed: int = 3) -> Any:
    space = keras_tuner.HyperParameters()
    space.Float("rate", 1e-3, 1.0, sampling="log")
    space.Int("units", 8, 64, step=8)
    space.Boolean("wide")
    made = keras_tuner.oracles.RandomSearchOracle(objective="val_loss", max_trials=50, seed=seed, hyperparameters=space)
    made._set_project_dir(str(folder), "trials")
    made.verbose = 0
    return made


class Worker:
    """Speaks as a worker does, and runs nothing."""

    def __init__(self, server: Server, index: int) -> None:
        """Says who it is."""
        self._socket = socket.create_connection(server.server_address[:2])
        self._lines = self._socket.makefile("rb")
        self._tell({"worker": index})

    def _tell(self, message: dict[str, Any]) -> None:
        self._socket.sendall(json.dumps(message).encode() + b"\n")

    def ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        self._tell({"call": call, **arguments})
        answer: dict[str, Any] = json.loads(self._lines.readline())
        return answer

    def begin(self) -> dict[str, Any] | None:
        answer = self.ask("create")
        return answer["trial"] if answer.get("trial", {}).get("status") == "RUNNING" else None

    def end(self, trial: dict[str, Any], score: float | None, message: str = "") -> dict[str, Any]:
        if score is not None:
            self.ask("update_trial", trial_id=trial["trial_id"], metrics={"val_loss": score}, step=0)
        status = "FAILED" if score is None else "COMPLETED"
        return self.ask("end", trial=trial | {"status": status}, made=vars(Made(steps=5, message=message)))

    def close(self) -> None:
        self._lines.close()
        self._socket.close()


class Serving:
    """A search of two workers, of which a process of no use here stands for worker 0."""

    def __init__(self, folder: Path, max_trials: int = 4, kept: Kept | None = None) -> None:
        """Begins it."""
        self.server = Server(("127.0.0.1", 0), 2, folder)
        self.search = Search(oracle(folder), max_trials, 0, workers=2, kept=kept)
        self.child = subprocess.Popen(["sleep", "60"])
        (folder / "0.log").touch()
        self.server.children[self.child.pid] = 0
        self.error: StageError | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.server.run(self.search)
            self.search.finish()
        except StageError as error:
            self.error = error
        finally:
            self.server.close()

    def wait(self) -> StageError | None:
        self._thread.join(10)
        assert not self._thread.is_alive()
        return self.error


Start = Callable[..., Serving]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    started: list[Serving] = []

    def begin(**more: Any) -> Serving:
        started.append(Serving(tmp_path, **more))
        return started[-1]

    yield begin
    for each in started:
        each.child.kill()
        each.wait()


def states(search: Search) -> list[tuple[str, str]]:
    return [(trial.state, trial.message) for trial in search.trials]


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_workers_get_the_trials_that_one_would_get_in_the_same_order(start: Start, tmp_path: Path) -> None:
    alone, wanted = Search(oracle(tmp_path / "alone"), 6, 0), []
    while (trial := alone.create()).status == trials.TrialStatus.RUNNING:
        wanted.append(trial.hyperparameters.values)
        alone.oracle.update_trial(trial.trial_id, {"val_loss": 0.5})
        trial.status = trials.TrialStatus.COMPLETED
        alone.end(0, trial, Made())
    serving = start(max_trials=6)
    one, other = Worker(serving.server, 0), Worker(serving.server, 1)
    found = []
    for _ in range(3):
        # The one that began later ends first.
        mine, its = one.begin(), other.begin()
        assert mine
        assert its
        found += [mine["hyperparameters"]["values"], its["hyperparameters"]["values"]]
        other.end(its, 0.5 + len(found))
        one.end(mine, 0.7)
    assert found == wanted
    assert one.begin() is None
    assert serving.wait() is None
    assert [trial.number for trial in serving.search.trials] == [1, 2, 3, 4, 5, 6]
    assert [trial.worker for trial in serving.search.trials] == [0, 1] * 3
    assert serving.search.best == serving.search.trials[0]
    assert serving.search.ended_by == "trials"


def failed(trial: Any) -> Any:
    trial.status = trials.TrialStatus.FAILED
    return trial


def test_the_trial_of_a_worker_that_is_gone_has_failed_and_the_search_goes_on(start: Start) -> None:
    serving = start(max_trials=2)
    one, other = Worker(serving.server, 0), Worker(serving.server, 1)
    assert one.begin()
    trial = other.begin()
    assert trial
    serving.child.kill()
    one.close()
    until(lambda: bool(serving.search.trials))
    other.end(trial, 0.5)
    assert other.begin() is None
    assert serving.wait() is None
    assert states(serving.search) == [
        ("failed", "worker 0 was ended by SIGKILL; the machine may be out of memory"),
        ("completed", ""),
    ]


@pytest.mark.parametrize(
    ("ends", "printed", "how"),
    [
        ("kill -KILL $$", "", "was ended by SIGKILL; the machine may be out of memory"),
        (
            "exit 65",
            "Traceback\nerror: RuntimeError: boom (in tuner_fn)\n",
            "ended by itself: RuntimeError: boom (in tuner_fn)",
        ),
        ("exit 3", "", "ended by itself: exit code 3, without a word"),
        ("exit 0", "", "ended by itself, with exit code 0"),
    ],
)
def test_a_worker_that_is_lost_before_its_first_trial_is_told(
    start: Start, tmp_path: Path, capfd: pytest.CaptureFixture[str], ends: str, printed: str, how: str
) -> None:
    serving = start(max_trials=1)
    log = tmp_path / "0.log"
    log.write_text(printed)
    lost = subprocess.Popen(["bash", "-c", f"read; {ends}"], stdin=subprocess.PIPE)
    serving.server.children = {lost.pid: 0}
    other = Worker(serving.server, 1)
    trial = other.begin()
    assert trial
    assert lost.stdin
    lost.stdin.close()
    until(lambda: bool(serving.search.gone))
    other.end(trial, 0.5)
    assert other.begin() is None
    assert serving.wait() is None
    assert serving.search.gone == {0: how}
    told = capfd.readouterr()
    assert f"progress: worker 0 {how}; 1 of 2 left\n" in told.out
    assert told.out.count("progress: worker ") == 1
    assert "error: " not in told.err
    assert ("Traceback" in told.err) is bool(printed)
    if printed:
        assert how in page(serving.search, "RandomSearch", serving.search.best_configuration(), 1.0, {})


def test_workers_that_end_with_the_search_are_not_lost(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    serving = start(max_trials=1)
    one, other = Worker(serving.server, 1), Worker(serving.server, 0)
    trial = one.begin()
    assert trial
    assert other.begin() is None
    serving.child.kill()
    serving.server.children = {}
    other.close()
    one.end(trial, 0.5)
    assert one.begin() is None
    assert serving.wait() is None
    assert serving.search.gone == {}
    assert "progress: worker" not in capfd.readouterr().out


def test_a_worker_that_says_nothing_any_more_is_lost_and_ended(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial_workers, "_SILENT_SECONDS", 0.2)
    monkeypatch.setattr(trial_workers, "_ENDS_SECONDS", 0.1)
    serving = start()
    hangs = Worker(serving.server, 0)
    assert hangs.begin()
    error = serving.wait()
    assert states(serving.search) == [("failed", "worker 0 has not been heard of for 0.2 seconds")]
    assert isinstance(error, TransientError)
    assert str(error) == (
        "no worker of 2 is left, and the search is not over, with 1 trials ended: worker 0 has not been heard of for "
        "0.2 seconds; try again"
    )
    assert serving.child.poll() is not None


def test_a_pod_that_is_tried_again_is_a_worker_again(start: Start) -> None:
    serving = start(max_trials=2)
    before = Worker(serving.server, 1)
    assert before.begin()
    again = Worker(serving.server, 1)
    trial = again.begin()
    assert serving.search.gone == {}
    assert trial
    # What the one before still says is nobody's.
    assert before.ask("end", trial=trial, made=vars(Made())) == {"over": True}
    before.close()
    again.end(trial, 0.5)
    assert again.begin() is None
    assert serving.wait() is None
    assert states(serving.search) == [("failed", "worker 1 began again"), ("completed", "")]


def test_a_search_in_which_all_trials_fail_is_given_up_and_every_worker_is_told(start: Start) -> None:
    serving = start()
    one, other = Worker(serving.server, 0), Worker(serving.server, 1)
    for _ in range(2):
        trial = one.begin()
        assert trial
        assert one.end(trial, None, "ValueError: no luck") == {}
    trial, its = one.begin(), other.begin()
    assert trial
    assert its
    assert one.end(trial, None, "ValueError: no luck") == {"over": True}
    # It hears of it in the middle of its trial.
    assert json.loads(other._lines.readline()) == {"over": True}
    error = serving.wait()
    assert isinstance(error, InputError)
    assert str(error).startswith("all 3 trials failed, so there are no best hyperparameters; the first: ValueError: no")


def test_a_search_with_several_workers_is_kept_with_what_they_were_at(start: Start, tmp_path: Path) -> None:
    kept = Kept(str(tmp_path / "kept"), "key")
    serving = start(max_trials=3, kept=kept)
    one, other = Worker(serving.server, 0), Worker(serving.server, 1)
    first, second = one.begin(), other.begin()
    assert first
    assert second
    other.end(second, 0.5)
    again = Search(oracle(tmp_path / "again", seed=9), 3, 0, kept=kept)
    assert states(again) == [("completed", "")]
    assert again.create().hyperparameters.values == first["hyperparameters"]["values"]
    third = other.begin()
    assert third
    again.end(0, failed(again.oracle.ongoing_trials["worker0"]), Made(message="no luck"))
    assert again.create().hyperparameters.values == third["hyperparameters"]["values"]
    again.forget()
    assert kept.read() is None


def test_what_is_kept_and_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = Kept(str(tmp_path), "key")
    kept.write({"seconds": 1})
    (file,) = tmp_path.glob("*/*.json")
    file.write_text(file.read_text()[:5])
    assert kept.read() is None
    assert f"progress: searching from the beginning: {file} cannot be read: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda document: document.pop("tried"), "KeyError('tried')"),
        (lambda document: document["oracle"].pop("start_order"), "KeyError('start_order')"),
        (lambda document: document["oracle"].pop("display"), "KeyError('display')"),
        (lambda document: document["oracle"].update(start_order=[]), "its trials are not those"),
        (lambda document: document.update(seconds="abc"), "could not convert string to float: 'abc'"),
        (lambda document: document.update(tried=["x"]), "string indices must be integers"),
        (lambda document: document["trials"].append({"number": 1}), "missing"),
    ],
)
def test_what_is_kept_and_does_not_fit_is_told_and_leaves_nothing_behind(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Callable[[Any], Any], why: str
) -> None:
    kept = Kept(str(tmp_path / "kept"), "key")
    first = Search(oracle(tmp_path / "first"), 2, 0, kept=kept)
    begun = first.create()
    document = kept.read()
    assert document
    change(document)
    kept.write(document)
    capsys.readouterr()
    again = Search(oracle(tmp_path / "again"), 2, 0, kept=kept)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"progress: searching from the beginning: {kept.folder} is of another version, or damaged")
    assert why in line
    assert not kept.folder.exists()
    assert again.create().hyperparameters.values == begun.hyperparameters.values
    assert again.where(0) == "1 of 2"
    assert kept.read() is not None
