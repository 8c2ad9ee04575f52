"""Registers a blessed model with Vertex AI, and deploys it where an endpoint is asked for.

Everything is found again before it is made: the files by their checksums, the version by the model's digest, a running
operation by its note in the bucket. So the same input gives one version, however often it is tried.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from components.runtime.errors import InputError
from components.runtime.publish import blessing as blessings
from components.runtime.publish import serving
from components.runtime.publish.vertex_options import PushVertex
from components.runtime.stage.artifacts import InputArtifact, OutputArtifact
from components.runtime.stage.progress import report


def push_vertex(
    model: InputArtifact,
    blessing: InputArtifact,
    pipeline: str,
    run: str,
    project: str,
    region: str,
    staging: str,
    display_name: str,
    model_id: str,
    aliases: list[str],
    labels: dict[str, str],
    container: dict[str, Any],
    endpoint: dict[str, Any],
    size_limit_mb: int,
    wait_minutes: float,
    request_seconds: float,
    api_endpoint: str,
    pushed_model: OutputArtifact,
) -> dict[str, Any]:
    """Publishes the model, unless a version that holds it is there already.

    Args:
      model: `Format-Serving/` with a SavedModel.
      blessing: whether it is `BLESSED`.
      pipeline: name of the pipeline.
      run: name of the run; empty where it has none.
      project: id of the Google Cloud project.
      region: of the model and the endpoint.
      staging: folder in Cloud Storage, `gs://bucket/folder`.
      display_name: of the model; empty for the pipeline's name.
      model_id: last part of the model's resource name; empty to make it of the display name.
      aliases: that the version takes over.
      labels: more labels of the version.
      container: fields of `vertex_options.Container`.
      endpoint: fields of `vertex_options.Endpoint`; empty to register the model only.
      size_limit_mb: of the files together, in 10^6 bytes.
      wait_minutes: how long one operation may take.
      request_seconds: how long one request may take, with what is tried again.
      api_endpoint: address of the API where it is not the region's own.
      pushed_model: gets `pushed.json`.

    Returns:
      `version` and `endpoint_name`; empty where nothing was published.

    Raises:
      InputError: the blessing is of another model, the model is too large, an option is wrong, or Google refuses.
      TransientError: Google cannot now, or an operation takes too long.
    """
    options = _options(
        project=project,
        region=region,
        staging=staging,
        display_name=display_name,
        model_id=model_id,
        aliases=aliases,
        labels=labels,
        container=container,
        endpoint=endpoint or None,
        size_limit_mb=size_limit_mb,
        wait_minutes=wait_minutes,
        request_seconds=request_seconds,
        api_endpoint=api_endpoint,
    )
    files = serving.saved_model_files(model)
    digest = serving.model_digest(files)
    blessed = blessings.read(blessing, digest, pushed_model)
    if blessed is None:
        return {"version": "", "endpoint_name": ""}
    source = serving.saved_model(model)
    _check_size(source, files, options.size_limit_mb)
    facts = _publish(options, pipeline, source, files, digest, blessed, run)
    blessings.record_push(pushed_model, facts)
    return {"version": facts["version"], "endpoint_name": facts.get("endpoint", "")}


def _publish(
    options: PushVertex,
    pipeline: str,
    source: Path,
    files: dict[str, str],
    digest: str,
    blessed: blessings.Blessing,
    run: str,
) -> dict[str, Any]:
    """Does it all; returns the metadata of `pushed_model`."""
    # Google's libraries take seconds to import: what is wrong with the input is said before.
    from components.push_vertex import cloud as clouds
    from components.push_vertex import endpoints, staging
    from components.push_vertex.operations import Operations
    from components.push_vertex.registry import Candidate, Registry, model_name

    cloud = clouds.connect(options)
    name = options.display_name or pipeline
    home = f"{options.staging.rstrip('/')}/{pipeline}"
    candidate = Candidate(digest, f"{home}/{digest.removeprefix('sha256:')}", blessed, pipeline, run)
    operations = Operations(cloud, f"{home}/operations", options.wait_minutes * 60)
    registry = Registry(cloud, options, model_name(cloud, options, name), name)
    registry.check_not_overtaken(candidate)
    version = registry.find(candidate)
    created = version is None
    if version is None:
        staging.copy(cloud, source, files, candidate.uri)
        version = registry.upload(candidate, operations)
    moved = registry.take_aliases(version)
    there = "" if created else ", which was there already"
    report(f"version {version.number} of {version.model.rpartition('/')[2]}{there}")
    facts: dict[str, Any] = {
        "version": version.number,
        "destination": version.model,
        # KFP's pages and Google's components go by this name.
        "resourceName": version.name,
        "model_digest": digest,
        "aliases": sorted(version.aliases | set(options.aliases)),
        "staging": candidate.uri,
        "created": created,
        # Its own come with a new version.
        "moved": [] if created else moved,
    }
    if options.endpoint:
        deployment = endpoints.deploy(cloud, options.endpoint, version, name, candidate, operations)
        facts |= asdict(deployment)
        report(f"version {version.number} answers at {deployment.endpoint.rpartition('/')[2]}")
    return facts


def _options(**given: Any) -> PushVertex:
    try:
        return PushVertex.model_validate(given)
    except ValidationError as error:
        mistake = error.errors()[0]
        where = ".".join(str(part) for part in mistake["loc"])
        message = mistake["msg"].removeprefix("Value error, ")
        value = "" if isinstance(mistake["input"], dict) else f", not {mistake['input']!r}"
        raise InputError(f"{where}: {message}{value}" if where else message) from None


def _check_size(source: Path, files: dict[str, str], limit_mb: int) -> None:
    size = sum((source / name).stat().st_size for name in files)
    if size > limit_mb * 1_000_000:
        raise InputError(
            f"the model has {size / 1e6:,.1f} MB, more than the limit of {limit_mb:,} MB; make it smaller, or raise"
            " size_limit_mb if Vertex AI takes more now"
        )
