"""Reads what executions left on disk: execution.json, as docs/contract.md defines it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from components.runtime.module_file import distillation, workers
from components.runtime.records import execution_record
from components.runtime.stage.artifacts import local_path
from components.runtime.text.redaction import redact
from runners.history.record_values import finite, mapping, timestamp


@dataclass(frozen=True)
class Artifact:
    """An artifact as an execution's record describes it."""

    name: str
    uri: str
    type: str
    metadata: dict[str, Any]

    @property
    def digest(self) -> str:
        """`sha256:<hex>` of the content; empty where it is not recorded."""
        return str(self.metadata.get("digest") or "")

    def number(self, name: str) -> float | None:
        """A number of its metadata; None where there is none, or none that counts anything."""
        return finite(self.metadata.get(name))


@dataclass(frozen=True)
class Execution:
    """One finished execution of a stage, from its execution.json."""

    folder: Path
    pipeline: str
    task: str
    stage: str
    key: str
    run: str
    parameters: dict[str, Any]
    output_parameters: dict[str, Any]
    inputs: dict[str, Artifact]
    outputs: dict[str, Artifact]
    started: datetime | None
    finished: datetime | None
    seconds: float | None
    image: str
    original_parameters: dict[str, Any] = field(repr=False, compare=False)

    @property
    def said(self) -> dict[str, Any]:
        """Its parameters as people name them: what the settings hand on in custom_config stands by itself."""
        found = dict(self.parameters)
        config = found.get("custom_config")
        if self.stage not in workers.VARIABLES or not isinstance(config, Mapping):
            return found
        own = {key: mapping(config, key) for key in (workers.KEY, distillation.KEY) if key in config}
        found["custom_config"] = {key: value for key, value in config.items() if key not in own}
        found |= own.get(workers.KEY, {})
        if distil := own.get(distillation.KEY):
            found |= {"distil": {key: value for key, value in distil.items() if key != "warm_start"}}
        return found

    def scrub(self, document: str) -> str:
        """What the stage wrote, without the secrets among its parameters."""
        return str(redact(document, also=self.original_parameters))

    def path(self, output: str) -> Path:
        """Where an output lies."""
        return local_path(self.outputs[output].uri)


def load_execution(root: Path, place: str) -> Execution | None:
    """The execution whose record lies at a place under the root; None where it cannot be read."""
    record = execution_record.read(root, place)
    if record is None:
        return None
    folder = root / place
    parameters = mapping(record, "parameters")
    return Execution(
        folder=folder,
        pipeline=str(record.get("pipeline") or ""),
        task=str(record.get("task") or folder.parent.name),
        stage=str(record.get("stage") or folder.parent.name),
        key=str(record.get("key") or folder.name),
        run=str(record.get("run") or ""),
        parameters=redact(parameters),
        output_parameters=redact(mapping(record, "output_parameters"), also=parameters),
        inputs=_artifacts(record, "inputs"),
        outputs=_artifacts(record, "outputs"),
        started=timestamp(record.get("started")),
        finished=timestamp(record.get("finished")),
        seconds=finite(record.get("seconds")),
        image=str(record.get("image") or ""),
        original_parameters=parameters,
    )


def _artifacts(record: Mapping[str, Any], which: str) -> dict[str, Artifact]:
    return {
        name: Artifact(name, str(entry.get("uri") or ""), str(entry.get("type") or ""), mapping(entry, "metadata"))
        for name, entry in mapping(record, which).items()
        if isinstance(entry, Mapping)
    }
