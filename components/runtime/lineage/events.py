"""Describes an execution as an OpenLineage event: https://openlineage.io/spec/2-0-2/OpenLineage.json.

The library is imported when the first event is made, and what sends events to a server when one is sent: that takes
three times as long.
"""

from __future__ import annotations

import hashlib
import json
import math
import uuid
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.runtime import VERSION
from components.runtime.records import facts
from components.runtime.records.execution_record import ARTIFACT_PLACE, relative_uri
from components.runtime.stage import imports
from components.runtime.stage.artifacts import content_files, file_digest
from components.runtime.text.redaction import redact

if TYPE_CHECKING:
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

NAMESPACE = "millrace"
PRODUCER = f"urn:millrace:{VERSION}"
EXECUTION_FACET = "millrace_execution"
ARTIFACT_FACET = "millrace_artifact"

_WORKING_DIRECTORY = Path(__file__).parents[3]
_UUIDS = uuid.UUID("6f4ecb8b-4c6f-5c39-9d0a-6d1b4f6f0f52")

warnings.filterwarnings("ignore", category=DeprecationWarning, module=r"openlineage\..*")


def event(root: Path, run: str, execution: dict[str, Any], kind: str, *, error: str = "", now: str = "") -> RunEvent:
    """Makes the OpenLineage event of an execution.

    Args:
      root: the pipeline root, which does not appear in the event.
      run: the pipeline run.
      execution: what execution.json holds, or will hold.
      kind: START, COMPLETE, FAIL or ABORT.
      error: the error of a failed execution.
      now: ISO time of the event, where the execution does not tell it.
    """
    imports.bare("openlineage.client")
    from openlineage.client import event_v2
    from openlineage.client import facet_v2 as facets

    facets.set_producer(PRODUCER)
    parameters = execution.get("parameters", {})
    pipeline, task = execution["pipeline"], execution["task"]
    cached = execution.get("run", run) != run
    moment = execution.get("started" if kind == "START" else "finished")
    run_facets: dict[str, Any] = {
        "parent": facets.parent_run.ParentRunFacet(
            run=facets.parent_run.Run(runId=run_id(run)),
            job=facets.parent_run.Job(namespace=NAMESPACE, name=pipeline),
        ),
        "processing_engine": facets.processing_engine_run.ProcessingEngineRunFacet(version=VERSION, name="millrace"),
        "executionParameters": facets.execution_parameters_run.ExecutionParametersRunFacet(
            parameters=[
                facets.execution_parameters_run.ExecutionParameter(key=name, name=name, value=_text(value))
                for name, value in redact(parameters).items()
            ]
        ),
        EXECUTION_FACET: facets.RunFacet().with_additional_properties(
            run=run,
            pipeline=pipeline,
            task=task,
            stage=execution.get("stage", ""),
            executionKey=execution.get("key", ""),
            code=execution.get("code", ""),
            image=execution.get("image", ""),
            cached=cached,
            madeBy=execution.get("run", run),
            outputParameters=redact(execution.get("output_parameters", {}), also=parameters),
            **{name: execution[name] for name in ("seconds", "peak_memory_bytes") if name in execution},
        ),
    }
    if kind == "FAIL":
        run_facets["errorMessage"] = facets.error_message_run.ErrorMessageRunFacet(
            message=redact(error, also=parameters), programmingLanguage="PYTHON"
        )
    job_facets: dict[str, Any] = {}
    for artifact in execution.get("outputs", {}).values():
        if query := artifact.get("metadata", {}).get("query"):
            job_facets["sql"] = facets.sql_job.SQLJobFacet(query=redact(query, also=parameters))
    job_facets["jobType"] = facets.job_type_job.JobTypeJobFacet(
        processingType="BATCH", integration="MILLRACE", jobType="TASK"
    )
    return event_v2.RunEvent(
        eventTime=(None if cached else moment) or now or datetime.now(UTC).isoformat(),
        eventType=event_v2.RunState[kind],
        run=event_v2.Run(runId=run_id(run, task), facets=run_facets),
        job=event_v2.Job(namespace=NAMESPACE, name=f"{pipeline}.{task}", facets=job_facets),
        inputs=[
            *(_input(root, name, artifact, parameters) for name, artifact in execution.get("inputs", {}).items()),
            *_files(parameters),
        ],
        outputs=[
            _output(root, name, artifact, execution, parameters)
            for name, artifact in execution.get("outputs", {}).items()
            if kind != "START"
        ],
        producer=PRODUCER,
    )


def run_id(run: str, task: str = "") -> str:
    """The UUID under which OpenLineage knows a run of a pipeline, or of one task in it."""
    return str(uuid.uuid5(_UUIDS, f"{run}/{task}" if task else run))


def outside(parameters: dict[str, Any]) -> dict[str, str]:
    """The parameters that name what came from outside of the pipeline."""
    return {
        name: value
        for name, value in parameters.items()
        if (name == "data" or name.endswith("_file")) and isinstance(value, str) and value
    }


def _input(root: Path, name: str, artifact: dict[str, Any], parameters: dict[str, Any]) -> InputDataset:
    from openlineage.client import event_v2

    uri = relative_uri(root, artifact["uri"])
    known = ARTIFACT_PLACE.search(uri)
    full = f"{known['pipeline']}.{known['task']}.{known['output']}" if known else redact(uri)
    return event_v2.InputDataset(
        namespace=NAMESPACE if known else "file", name=full, facets=_facets(name, uri, artifact, parameters)
    )


def _output(
    root: Path, name: str, artifact: dict[str, Any], execution: dict[str, Any], parameters: dict[str, Any]
) -> OutputDataset:
    from openlineage.client import event_v2
    from openlineage.client.facet_v2 import output_statistics_output_dataset as statistics

    uri = relative_uri(root, artifact["uri"])
    metadata = dict(artifact.get("metadata", {}))
    if isinstance(metadata.get("destination"), str):
        # The serving directory lies below the pipeline root, unless the settings name another.
        metadata["destination"] = relative_uri(root, metadata["destination"])
    counts = statistics.OutputStatisticsOutputDatasetFacet(rowCount=metadata.get("rows"), size=facts.size(metadata))
    return event_v2.OutputDataset(
        namespace=NAMESPACE,
        name=f"{execution['pipeline']}.{execution['task']}.{name}",
        facets=_facets(name, uri, artifact | {"metadata": metadata}, parameters),
        outputFacets={"outputStatistics": counts},
    )


def _facets(name: str, uri: str, artifact: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any]:
    from openlineage.client import facet_v2

    metadata = artifact.get("metadata", {})
    described = {key: _plain(value) for key, value in metadata.items() if key != "digest" and not _is_content(value)}
    facets: dict[str, Any] = {
        ARTIFACT_FACET: facet_v2.DatasetFacet().with_additional_properties(
            argument=name,
            uri=redact(uri, also=parameters),
            artifactType=artifact.get("type", ""),
            metadata=redact(described, also=parameters),
        )
    }
    if digest := metadata.get("digest"):
        facets["version"] = facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=digest)
    return facets


def _files(parameters: dict[str, Any]) -> list[InputDataset]:
    """What came from outside of the pipeline: raw data, module files, curated schemas."""
    from openlineage.client import event_v2

    return [
        event_v2.InputDataset(
            namespace="file",
            name=redact(value, also=parameters),
            facets=_facets(name, value, {"type": "file", "metadata": {"digest": _version(name, value)}}, parameters),
        )
        for name, value in outside(parameters).items()
    ]


def _is_content(value: Any) -> bool:
    """Curves and confusion matrices are content, not description; they would make an event megabytes long."""
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(each, dict | list) for each in value))


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity; servers refuse an event that holds one."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _version(name: str, value: str) -> str:
    """Content of a file; of raw data, which may be too much to read twice, the names and sizes of its files."""
    # Where the stages run, from wherever the command was called.
    path = _WORKING_DIRECTORY / value
    try:
        if name != "data":
            return f"sha256:{file_digest(_copy(value) if '://' in value else path)}"
        names = path.parent if path.is_file() else path
        listing = [f"{file.relative_to(names).as_posix()}\0{file.stat().st_size}" for file in content_files(path)]
        return f"listing-sha256:{hashlib.sha256(chr(10).join(listing).encode()).hexdigest()}" if listing else ""
    except OSError:
        return ""


def _copy(uri: str) -> Path:
    # The launcher has it already, for the key of its cache.
    from components.runtime.data.storage import local_file

    return local_file(uri)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
