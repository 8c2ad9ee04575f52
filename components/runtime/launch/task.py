"""One task of a pipeline with everything that it needs resolved, and the key of what it computes."""

from __future__ import annotations

import functools
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from components.runtime.launch.fingerprints import fingerprint

SCHEDULED_PLACEHOLDER = "{{$.pipeline_job_schedule_time_utc}}"
"""`dsl.PIPELINE_JOB_SCHEDULE_TIME_UTC_PLACEHOLDER`: where a parameter is this, the time the run was scheduled for."""

BEAM_OPTIONS = "beam_options"
"""The parameter of stages that can run on Beam; where it is empty, they do not."""


@dataclass(frozen=True)
class Task:
    """One task of a pipeline with everything that it needs resolved.

    Attributes:
      component: the IR's ComponentSpec: inputDefinitions, outputDefinitions.
      container: the IR's PipelineContainerSpec: image, command, args.
      inputs: artifacts by input name, each `{"uri", "type", "metadata"}`.
      scheduled: when the run was scheduled, or began where it has no schedule; RFC 3339.
      code: digest of the stage's code and environment, or of its image.
      cacheable: whether an earlier execution with the same key may stand in for a new one.
      foreign: whether image and command are of somebody else's making, with nothing of ours in them.
    """

    pipeline: str
    name: str
    stage: str
    run: str
    component: dict[str, Any]
    container: dict[str, Any]
    parameters: dict[str, Any]
    inputs: dict[str, dict[str, Any]]
    code: str
    cacheable: bool = True
    foreign: bool = False
    scheduled: str = ""

    @property
    def on_beam(self) -> bool:
        """Whether it has Beam's options."""
        return bool(self.parameters.get(BEAM_OPTIONS))

    @functools.cached_property
    def key(self) -> str:
        """Identifies what this execution computes: code, parameters with the files they name, content of the inputs."""
        return _digest(
            {
                "code": self.code,
                "image": self.container["image"],
                "command": [*self.container.get("command", []), *self.container.get("args", [])],
                "parameters": self._fingerprint or self.parameters,
                "inputs": {name: artifact["metadata"]["digest"] for name, artifact in self.inputs.items()},
                "run": "" if self.reusable else self.run,
            }
        )[:32]

    @property
    def reusable(self) -> bool:
        """Whether the key tells all: what lies behind an address may change without the parameter."""
        return self.cacheable and self._fingerprint is not None

    @functools.cached_property
    def _fingerprint(self) -> dict[str, Any] | None:
        # (The run's own name is no part of what is computed; the time that it was scheduled for may be.)
        return fingerprint(
            {
                name: self.scheduled if value == SCHEDULED_PLACEHOLDER else value
                for name, value in self.parameters.items()
            }
        )


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
