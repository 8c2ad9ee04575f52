"""Training and tuning by several processes, here or on several machines: which of them this one is, what they share.

A variable says so, in the form of TensorFlow's TFConfigClusterResolver: `{"cluster": {"worker": [HOST:PORT, ...]},
"task": {"type": "worker", "index": N}}`. The worker 0 is the chief, which writes what comes of it. Of a training it is
`TF_CONFIG`; the workers of a search have another one, for each trains on its own.
"""

from __future__ import annotations

import functools
import json
import os
import re
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime.errors import InputError, did_you_mean

if TYPE_CHECKING:
    import tensorflow as tf

KEY = "execution"
"""In the custom_config of train and tune, which take it out before the user's function sees the rest."""

CHECKPOINT_DIRECTORY = "checkpoint_directory"
VARIABLE = "TF_CONFIG"
SEARCH_VARIABLE = "MILLRACE_SEARCH"
"""Of the stage tune; the first address is that of the search, which hands out trials."""
VARIABLES = {"train": VARIABLE, "tune": SEARCH_VARIABLE}
"""By the stages that may have several workers."""

_TASK = re.compile(r"/task:(\d+)")


@dataclass(frozen=True)
class Options:
    """How a training or a search runs, which changes neither its data nor its network.

    Attributes:
      workers: processes that train together, each a batch of every step, or that try trials beside each other.
      checkpoint_directory: where it leaves what another attempt goes on from; none are written where empty.
    """

    workers: int = 1
    checkpoint_directory: str = ""

    @property
    def said(self) -> dict[str, Any]:
        """Those that are set, by their names in the settings, for the pages."""
        return {name: value for name, value in vars(self).items() if value != getattr(Options, name)}


def options(custom_config: Mapping[str, Any], stage: str = "train") -> Options:
    """What a custom_config of a stage asks for.

    Raises:
      InputError: a key that there is not, a value of another kind, or a directory that cannot be one.
    """
    given = custom_config.get(KEY, {})
    known = Options.__dataclass_fields__
    if not isinstance(given, Mapping):
        raise InputError(
            f"{stage}: {KEY} of custom_config is the stage's own; expected workers and {CHECKPOINT_DIRECTORY}"
        )
    if unknown := sorted(set(given) - known.keys()):
        near = did_you_mean(str(unknown[0]), known)
        raise InputError(f"{stage}: no option {unknown[0]!r}{near}; there are {', '.join(known)}")
    # (KFP hands numbers on as floats.)
    workers = given.get("workers", 1)
    if isinstance(workers, bool) or not isinstance(workers, int | float) or workers != int(workers) or workers < 1:
        raise InputError(f"{stage}.workers: expected a whole number of at least 1, not {workers!r}")
    directory = str(given.get(CHECKPOINT_DIRECTORY, ""))
    if "://" in directory:
        raise InputError(
            f"{stage}.{CHECKPOINT_DIRECTORY} is {directory}: expected a folder of a disk that all workers see, such as "
            "the volume of the pipeline root"
        )
    place = Path(directory).absolute()
    there = next(each for each in (place, *place.parents) if os.path.lexists(each))
    if directory and not there.is_dir():
        raise InputError(f"{stage}.{CHECKPOINT_DIRECTORY} is {directory}: {there} is not a directory; name another one")
    return Options(int(workers), directory)


def configuration(addresses: Sequence[str], index: int) -> str:
    """A value of TF_CONFIG."""
    return json.dumps({"cluster": {"worker": list(addresses)}, "task": {"type": "worker", "index": index}})


def count(variable: str = VARIABLE) -> int:
    """How many processes work together; 1 where nobody says."""
    return len(_configured(variable).get("cluster", {}).get("worker", [])) or 1


def index(variable: str = VARIABLE) -> int:
    """Which of them this one is; 0 is the chief, and who is alone."""
    return int(_configured(variable).get("task", {}).get("index", 0))


def chief(variable: str = VARIABLE) -> tuple[str, int]:
    """Host and port of the worker 0."""
    host, _, port = str(_configured(variable)["cluster"]["worker"][0]).rpartition(":")
    return host.strip("[]"), int(port)


def _configured(variable: str) -> dict[str, Any]:
    text = os.environ.get(variable, "")
    try:
        found = json.loads(text) if text else {}
    except json.JSONDecodeError:
        raise InputError(f"{variable} of the environment is not JSON: unset it, or mend it") from None
    return found if isinstance(found, dict) else {}


@functools.cache
def strategy() -> tf.distribute.MultiWorkerMirroredStrategy:
    """What the model of each worker is built and compiled in; to be called before TensorFlow has computed anything.

    It returns when the workers have found each other.
    """
    import tensorflow as tf

    ended_by = signal.getsignal(signal.SIGTERM)
    made = tf.distribute.MultiWorkerMirroredStrategy()
    # TensorFlow takes the signal for a notice that the machine will go, and the process would live on until SIGKILL.
    signal.signal(signal.SIGTERM, ended_by)
    return made


def lost(error: BaseException) -> int | None:
    """The worker that an error says is out of reach, -1 where it does not say which; None of other errors."""
    import tensorflow as tf

    gone = (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
    )
    found, seen = None, error
    for _ in range(20):
        if isinstance(seen, gone):
            others = {int(each) for each in _TASK.findall(str(seen))} - {index()}
            found = others.pop() if len(others) == 1 else found if found is not None else -1
        if (following := seen.__cause__ or seen.__context__) is None:
            break
        seen = following
    return found
