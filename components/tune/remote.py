"""A search in another process, as a trial worker sees it: a desk that hands out trials, and the oracle behind it.

Keras Tuner has a server and a client of its own for that (`keras_tuner.distribute`, by KERASTUNER_ORACLE_IP). They are
not used: that server never learns that a worker has gone, for which it then waits for ever; what it is told of a trial
is neither why it failed nor how many steps it made; and it can keep nothing for another attempt. Messages are lines of
JSON, with the states of trials as Keras Tuner itself writes them to files.
"""

from __future__ import annotations

import contextlib
import json
import math
import queue
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from keras_tuner.engine import hyperparameters as hp
from keras_tuner.engine import oracle as oracles
from keras_tuner.engine import trial as trials

from components.runtime.errors import EXIT_TRANSIENT, TransientError, known
from components.runtime.launch import worker_forks
from components.tune.search import Made
from components.tune.trial_workers import Worker
from components.tune.trials import Runner
from components.tune.tuners import Tuner

_BEAT_SECONDS = 2.0
"""Between two messages of a worker, however long a step takes."""

_FOUND_SECONDS = 1800.0
"""In which the search has to be there: a node may have to come for it, and an image."""

_OF_THE_USER = ("objective", "max_trials", "allow_new_entries", "tune_new_entries")
"""What a tuner may read of its oracle in Keras Tuner's own client."""


def run(made: Tuner, seed: int, worker: Worker) -> None:
    """Has a tuner run the trials that the search hands out, until it has no more.

    Args:
      made: the user's tuner, as the search has one too; it loses its own oracle.
      seed: of every trial.
      worker: which one this process is.

    Raises:
      TransientError: the search does not come.
    """
    connection = Connection(worker.index, worker.address)
    made.tuner.oracle = RemoteOracle(connection, made.tuner.oracle)
    made.tuner.tuner_id = f"worker{worker.index}"
    with connection.telling():
        Runner(made, seed, There(connection)).run()


class Connection:
    """The way to the search; it ends the process when the search is over, or out of reach."""

    def __init__(self, worker: int, address: tuple[str, int]) -> None:
        """Waits for the search.

        Args:
          worker: which one this is.
          address: host and port of the search.

        Raises:
          TransientError: it does not come.
        """
        self._socket = _found(address)
        self._replies: queue.Queue[dict[str, Any]] = queue.Queue()
        self._writing = threading.Lock()
        self._made: Made | None = None
        self._send({"worker": worker})
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def ask(self, call: str, **arguments: Any) -> dict[str, Any]:
        """Calls the search, and returns its answer."""
        self._send({"call": call} | arguments)
        return self._replies.get()

    def note(self, made: Made | None) -> None:
        """What the next beats tell; None where no trial runs."""
        with self._writing:
            self._made = made

    @contextlib.contextmanager
    def telling(self) -> Iterator[None]:
        """Tells the search why this worker ends, if it does by an error."""
        try:
            yield
        except Exception as error:
            fault = known(error)
            self.ask("fault", message=" ".join(str(fault).split()), code=fault.exit_code)
            raise

    def _beat(self) -> None:
        while True:
            time.sleep(_BEAT_SECONDS)
            with self._writing:
                self._write({"call": "step", "made": vars(self._made) if self._made else None})

    def _send(self, message: Mapping[str, Any]) -> None:
        with self._writing:
            self._write(message)

    def _write(self, message: Mapping[str, Any]) -> None:
        # (Where nobody is there any more, `_read` ends the process.)
        with contextlib.suppress(OSError):
            self._socket.sendall(json.dumps(message, default=float).encode() + b"\n")

    def _read(self) -> None:
        with contextlib.suppress(OSError), self._socket.makefile("rb") as lines:
            for line in lines:
                reply = json.loads(line)
                if reply.get("over"):
                    # In the middle of a trial, too: nobody waits for it.
                    worker_forks.end(0)
                self._replies.put(reply)
        worker_forks.say("the search cannot be reached any more; its own log says more; try again")
        worker_forks.end(EXIT_TRANSIENT)


class There:
    """The desk of a search in another process."""

    def __init__(self, connection: Connection) -> None:
        """Takes the way there."""
        self._connection = connection

    def create(self) -> tuple[trials.Trial, float]:
        """As Desk has it."""
        self._connection.note(None)
        answer = self._connection.ask("create")
        left = answer["seconds_left"]
        return trials.Trial.from_state(answer["trial"]), math.inf if left is None else left

    def step(self, made: Made) -> None:
        """As Desk has it."""
        self._connection.note(made)

    def end(self, trial: trials.Trial, made: Made) -> None:
        """As Desk has it."""
        self._connection.ask("end", trial=trial.get_state(), made=vars(made))


class RemoteOracle:
    """What a tuner calls of its oracle besides what goes over the desk, of the oracle of the search."""

    def __init__(self, connection: Connection, own: oracles.Oracle) -> None:
        """Takes the way there, and the oracle that the tuner was made with."""
        self._connection = connection
        self._own = own

    def __getattr__(self, name: str) -> Any:
        if name in _OF_THE_USER:
            return getattr(self._own, name)
        raise AttributeError(
            f"oracle.{name} is with the search, not with its workers (tune.workers), which have "
            f"{', '.join(_OF_THE_USER)}"
        )

    def update_trial(self, trial_id: str, metrics: Mapping[str, Any], step: int = 0) -> trials.Trial:
        """As Oracle has it."""
        return self._trial("update_trial", trial_id=trial_id, metrics=dict(metrics), step=step)

    def get_trial(self, trial_id: str) -> trials.Trial:
        """As Oracle has it."""
        return self._trial("get_trial", trial_id=trial_id)

    def get_best_trials(self, num_trials: int = 1) -> list[trials.Trial]:
        """As Oracle has it."""
        found = self._connection.ask("get_best_trials", num_trials=num_trials)["trials"]
        return [trials.Trial.from_state(state) for state in found]

    def get_space(self) -> hp.HyperParameters:
        """As Oracle has it."""
        return hp.HyperParameters.from_config(self._connection.ask("get_space")["space"])

    def update_space(self, hyperparameters: hp.HyperParameters) -> None:
        """As Oracle has it."""
        self._connection.ask("update_space", space=hyperparameters.get_config())

    def save(self) -> None:
        """Does nothing: the search keeps itself."""

    def _trial(self, call: str, **arguments: Any) -> trials.Trial:
        return trials.Trial.from_state(self._connection.ask(call, **arguments)["trial"])


def _found(address: tuple[str, int]) -> socket.socket:
    until = time.monotonic() + _FOUND_SECONDS
    while True:
        try:
            found = socket.create_connection(address, timeout=5)
        except OSError:
            if time.monotonic() > until:
                break
            time.sleep(0.5)
            continue
        found.settimeout(None)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return found
    raise TransientError(
        f"the search at {address[0]} was not there within {round(_FOUND_SECONDS / 60)} minutes; see why its pod does "
        "not start, or is not found (manifests/workers names it), and try again"
    )
