"""What the workers of a training get whose artifacts lie in the pod of its task alone, as on Kubeflow Pipelines.

A folder on a volume that all of them mount: copies of the artifacts, and in one file what they are called by.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.runtime.stage import progress
from components.runtime.stage.artifacts import InputArtifact, content_bytes, remove

_FILE = "worker.json"
_KEPT_SECONDS = 24 * 3600
_OUTPUTS = ("model", "model_run", "metrics", "report")


@dataclass(frozen=True)
class Inputs:
    """What a training is called with.

    Attributes:
      artifacts: by the names of its inputs; None where none is given.
      parameters: by their names.
    """

    artifacts: Mapping[str, InputArtifact | None]
    parameters: Mapping[str, Any]


def put(inputs: Inputs, folder: Path, addresses: Sequence[str]) -> None:
    """Makes the folder; what an attempt that was killed left there is replaced.

    Args:
      inputs: of the training.
      folder: of this training alone.
      addresses: HOST:PORT of every worker, the chief's first.

    Raises:
      OSError: it cannot be written.
    """
    remove(folder)
    folder.mkdir(parents=True)
    given = {name: artifact for name, artifact in inputs.artifacts.items() if artifact}
    there = {name: artifact.path for name, artifact in given.items() if artifact.path.exists()}
    size = sum(map(content_bytes, there.values()))

    def copy(source: str, target: str) -> None:
        shutil.copyfile(source, target)
        progress.advance(Path(target).stat().st_size)

    with progress.counting(size, "bytes", "copying the inputs for the other workers"):
        for name, path in there.items():
            if path.is_dir():
                shutil.copytree(path, folder / name, copy_function=copy)
            else:
                copy(str(path), str(folder / name))
    entries = {}
    for name, artifact in given.items():
        # All workers look for checkpoints by it; without one the address would count, which is another here.
        metadata = {"digest": artifact.uri} | artifact.metadata
        entries[name] = {"artifacts": [{"name": name, "uri": str(folder / name), "metadata": metadata}]}
    said = {"addresses": list(addresses), "inputs": {"artifacts": entries, "parameterValues": dict(inputs.parameters)}}
    (folder / _FILE).write_text(json.dumps(said))


def sweep(place: Path, live: Collection[str]) -> None:
    """Removes folders of trainings that were killed and not tried again.

    Args:
      place: of the folders.
      live: names of those that may be in use.
    """
    for folder in place.glob("*/"):
        with contextlib.suppress(OSError):
            if folder.name not in live and time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                remove(folder)


def taken(folder: Path, scratch: Path) -> tuple[list[str], dict[str, Any]]:
    """What `put` left there: the addresses, and an executor input whose outputs lie in a folder of the worker's own.

    Raises:
      OSError: it is not there.
    """
    said = json.loads((folder / _FILE).read_text())
    outputs = {name: {"artifacts": [{"name": name, "uri": str(scratch / name)}]} for name in _OUTPUTS}
    return said["addresses"], {
        "inputs": said["inputs"],
        "outputs": {"artifacts": outputs, "outputFile": str(scratch / "executor_output.json")},
    }
