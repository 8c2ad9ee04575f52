"""The servers of both sides: which version each answers with, and what it has counted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from components.canary import counters
from components.canary.counters import Counted
from components.canary.traffic import Pod, Traffic
from components.runtime.errors import StageError, TransientError
from components.runtime.model_server.client import Client
from components.runtime.stage.kubernetes import Kubernetes


@dataclass(frozen=True)
class Seen:
    """One look at the pods of a side.

    Attributes:
      counted: by pod, what it has counted since it began.
      versions: by pod, the version that it answers with; None where there is none, or it has no numbers.
    """

    counted: Mapping[str, Counted]
    versions: Mapping[str, int | None]


class Servers:
    """All pods that serve the model."""

    def __init__(self, cluster: Kubernetes, traffic: Traffic, model: str) -> None:
        """Asks for nothing yet.

        Args:
          cluster: where they are.
          traffic: tells which there are.
          model: its name in requests.
        """
        self._cluster, self._traffic, self._model = cluster, traffic, model

    def look(self, side: str) -> Seen:
        """Asks each pod of a side; one that does not answer is left out, for it may just be going."""
        counted, versions = {}, {}
        for pod in self._traffic.pods(side):
            try:
                text = self._cluster.text(f"{self._address(pod)}{counters.PATH}")
            except StageError:
                continue
            counted[pod.name] = counters.read(text, self._model)
            versions[pod.name] = self._version(pod, text) if self._traffic.numbers_versions else None
        return Seen(counted, versions)

    def _version(self, pod: Pod, text: str) -> int | None:
        """What a pod answers with: as the built-in server's metrics tell, else the highest that is available."""
        told = counters.in_service(text, self._model)
        if told is None:
            available = Client(self._address(pod), self._model, self._cluster.pool()).state().available
            told = max(available, default=None)
        return told

    def client(self, side: str) -> Client:
        """Asks one of the pods of a side.

        Raises:
          TransientError: none is ready.
        """
        pods = self._traffic.pods(side)
        if not pods:
            raise TransientError(f"no pod of the {side} side is ready")
        return Client(self._address(pods[0]), self._model, self._cluster.pool())

    def _address(self, pod: Pod) -> str:
        return self._cluster.pod(pod.namespace, pod.name, pod.port)
