"""The files between launcher and stage, in KFP's form: executor input, executor output, and what is kept of both."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from components.runtime.launch.task import SCHEDULED_PLACEHOLDER, Task
from components.runtime.records import execution_record
from components.runtime.stage.artifacts import content_bytes, content_digest

RUN_PLACEHOLDER = "{{$.pipeline_job_name}}"
"""`dsl.PIPELINE_JOB_NAME_PLACEHOLDER`, which a KFP backend fills in too: where a parameter is this, the run's name."""
RUN_PLACEHOLDERS = (RUN_PLACEHOLDER, "{{$.pipeline_job_uuid}}")
"""With `dsl.PIPELINE_JOB_ID_PLACEHOLDER`: a run of ours has its name for an id."""
PLACEHOLDERS = (*RUN_PLACEHOLDERS, SCHEDULED_PLACEHOLDER)
"""All that our own launchers fill in."""


def write_records(root: Path, task: Task, workplace: Path, record: dict[str, Any]) -> None:
    """Writes what is kept of an execution, with places that hold after publication and wherever the root is moved."""
    execution_record.write(root, workplace, record)
    kept = execution_record.relative(root, record)
    place = Path(execution_record.home(record))
    (workplace / "executor_input.json").write_text(json.dumps(executor_input(kept["inputs"], task, place), indent=1))
    file = workplace / "executor_output.json"
    if file.exists():
        written = json.loads(file.read_text())
        for name, entry in written.get("artifacts", {}).items():
            for artifact in entry.get("artifacts", []):
                artifact["uri"] = str(place / name)
        file.write_text(json.dumps(written, indent=1))


def parameters(task: Task) -> dict[str, Any]:
    """What the stage is given: the run's name, and when it was scheduled, where a parameter stands for it."""
    known = dict.fromkeys(RUN_PLACEHOLDERS, task.run) | {SCHEDULED_PLACEHOLDER: task.scheduled}
    return {
        name: known.get(value, value) if isinstance(value, str) else value for name, value in task.parameters.items()
    }


def executor_input(inputs: dict[str, dict[str, Any]], task: Task, folder: Path) -> dict[str, Any]:
    """KFP's executor input of one execution.

    Args:
      inputs: artifacts by input name, as in `Task`.
      task: names parameters and outputs.
      folder: where the outputs go.
    """
    outputs = task.component.get("outputDefinitions", {})
    return {
        "inputs": {
            "parameterValues": parameters(task),
            "artifacts": {
                name: {
                    "artifacts": [
                        {
                            "name": name,
                            "uri": artifact["uri"],
                            "type": {"schemaTitle": artifact["type"], "schemaVersion": "0.0.1"},
                            "metadata": artifact["metadata"],
                        }
                    ]
                }
                for name, artifact in inputs.items()
            },
        },
        "outputs": {
            "parameters": {
                name: {"outputFile": str(folder / "parameters" / name)} for name in outputs.get("parameters", {})
            },
            "artifacts": {
                name: {
                    "artifacts": [
                        {"name": name, "uri": str(folder / name), "type": definition["artifactType"], "metadata": {}}
                    ]
                }
                for name, definition in outputs.get("artifacts", {}).items()
            },
            "outputFile": str(folder / "executor_output.json"),
        },
    }


def read_outputs(task: Task, folder: Path, home: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """Reads what the stage made, with the places that hold after publication.

    Raises:
      InputError: an output is missing, or is no value of its type; ours see to that themselves.
    """
    file = folder / "executor_output.json"
    written = json.loads(file.read_text()) if file.exists() else {}
    definitions = task.component.get("outputDefinitions", {})
    outputs = {}
    for name, definition in definitions.get("artifacts", {}).items():
        artifact = written.get("artifacts", {}).get(name, {}).get("artifacts", [{}])[0]
        metadata = dict(artifact.get("metadata", {}))
        if not (folder / name).exists():
            raise InputError(f"{task.name}: the stage ended well and left no output {name!r}; it writes to its path")
        if task.foreign:
            metadata.setdefault("producer", task.container["image"])
        # Metrics artifacts don't tell, for people who look at them on KFP; keys and checks of the cache go by these.
        metadata.setdefault("digest", content_digest(folder / name))
        metadata.setdefault("bytes", content_bytes(folder / name))
        outputs[name] = {
            "uri": str(home / name),
            "type": definition["artifactType"]["schemaTitle"],
            "metadata": metadata,
        }
    parameters = {}
    for name, definition in definitions.get("parameters", {}).items():
        try:
            text = (folder / "parameters" / name).read_text()
            parameters[name] = text if definition["parameterType"] == "STRING" else json.loads(text)
        except FileNotFoundError:
            raise InputError(f"{task.name}: the stage ended well and left no output {name!r} in its file") from None
        except ValueError:
            raise InputError(f"{task.name}: the output {name!r} is no {definition['parameterType']} in JSON") from None
    return outputs, parameters
