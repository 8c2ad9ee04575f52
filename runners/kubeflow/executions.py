"""What a server knows of the tasks of a run: what each read and made. Whichever place of the server it comes from."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

METRICS = "system.Metrics"
LOGS = "executor-logs"
"""The output with the log of a pod, where the server keeps such; it is none of the pipeline's."""
_BOOKKEEPING = frozenset({"display_name", "store_session_info"})
"""Metadata that the server writes beside those of a stage."""


@dataclass(frozen=True)
class Artifact:
    """An artifact on a server.

    Attributes:
      type: as KFP's compiler calls it, such as `system.Model`.
      uri: empty where it is metadata alone.
      metadata: what the stage said of it; a whole number is an int.
    """

    id: str
    type: str
    uri: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass
class Execution:
    """A task of a run on a server: its drivers, attempts and layers are none.

    Attributes:
      id: the server's, which no other run has.
      task: the name that the dashboard shows.
      state: done, failed or running.
      started: seconds since 1970; 0 where nobody knows.
      parameters: its inputs that are no artifacts.
      inputs: artifacts by the names of the inputs.
      outputs: the same of the outputs; those of a task that was answered by the cache belong to an earlier one too.
    """

    id: str
    run: str
    task: str
    state: str
    started: float = 0.0
    error: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: dict[str, Artifact] = field(default_factory=dict)
    outputs: dict[str, Artifact] = field(default_factory=dict)


class Store(Protocol):
    """The place where a server keeps them."""

    def executions(self, run: str) -> list[Execution]:
        """The tasks of a run that have begun, by start.

        Raises:
          InputError: the server does not tell, or knows no such run.
        """
        ...

    def runs_of(self, artifacts: Collection[str]) -> Iterator[str]:
        """Ids of the runs that made or read any of these artifacts; a run may come more than once."""
        ...

    def artifacts(self, type: str = "") -> Iterator[Artifact]:
        """All artifacts that the server has of a type, or of any."""
        ...


def described(metadata: dict[str, Any]) -> dict[str, Any]:
    """Metadata as the stage wrote them: servers hand every number on as a float, and add their own."""
    return {
        name: int(value) if isinstance(value, float) and value.is_integer() else value
        for name, value in metadata.items()
        if name not in _BOOKKEEPING
    }
