"""Vertex AI Pipelines, through google-cloud-aiplatform."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from components.runtime.errors import InputError, TransientError
from components.runtime.records.final_status import INPUT as STATUS
from runners.compiled import ir as compiled
from runners.compiled import training_workers
from runners.remote.http import TIMEOUT, missing, refusal
from runners.remote.schedules import Schedule, whole_minutes
from runners.settings import parameters
from runners.terminal.follow import RemoteRun
from runners.vertex import gpu as vertex_gpu
from runners.vertex.state import one_line, remote_run

DIGEST_LABEL = "millrace-digest"
_LARGEST = 4 * 1024 * 1024
"""Bytes that a request may have."""
# As components of the errors of google.auth and of requests are called.
_UNREACHABLE = frozenset({"TransportError", "ConnectionError", "ConnectTimeout", "ReadTimeout", "Timeout", "SSLError"})


@dataclass(frozen=True)
class Place:
    """Where in Google Cloud.

    Attributes:
      endpoint: of the API, in place of the region's own.
    """

    project: str
    region: str
    endpoint: str = ""

    def __post_init__(self) -> None:
        """Checks what needs no server."""
        if not self.project:
            raise InputError("no project: give --project, or set GOOGLE_CLOUD_PROJECT")
        if not re.fullmatch(r"(?:[a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9]", self.project):
            raise InputError(
                f"--project {self.project}: not the id of a project: 6 to 30 small letters, digits and hyphens"
            )
        if not self.region:
            raise InputError("no region: give --region, as europe-west4, or set GOOGLE_CLOUD_REGION")

    @property
    def where(self) -> str:
        """What it is called in messages."""
        return f"Vertex AI of {self.project} in {self.region}"


@dataclass(frozen=True)
class Job:
    """What is to run, checked as far as it can be without a server.

    Attributes:
      ir: the pipeline; what Kubernetes alone understands is left out.
      caching: whether tasks may be taken from the cache; as compiled when None.
    """

    ir: dict[str, Any]
    parameters: dict[str, Any]
    pipeline_root: str
    service_account: str = ""
    caching: bool | None = None

    @property
    def name(self) -> str:
        """Of the pipeline."""
        return str(self.ir["pipelineInfo"]["name"])

    def digest(self, *more: object) -> str:
        """Of everything that makes it what it is; fits into a label."""
        content = [self.ir, self.parameters, self.pipeline_root, self.service_account, self.caching, *more]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:40]


def make_job(
    file: Path,
    values: dict[str, Any],
    pipeline_root: str,
    *,
    service_account: str = "",
    caching: bool | None = None,
    where: str = "",
) -> Job:
    """Reads a compiled pipeline and checks everything that goes with it.

    Raises:
      InputError: one of them is wrong.
    """
    ir = parameters.read_ir(file)
    parameters.check(values, parameters.definitions(ir), where or str(file))
    training_workers.refuse_several(ir, "Vertex AI")
    ir = vertex_gpu.named(ir, compiled.documents(file.read_text())[1], str(file))
    if not pipeline_root:
        raise InputError("no place for the artifacts: give --pipeline-root, as gs://BUCKET/FOLDER")
    if not re.fullmatch(r"gs://[a-z0-9][a-z0-9._-]{1,220}[a-z0-9](/.*)?", pipeline_root):
        raise InputError(f"the pipeline root {pipeline_root!r} is not a place in Cloud Storage: gs://BUCKET/FOLDER")
    if service_account and not re.fullmatch(r"[^@\s]+@[^@\s]+\.gserviceaccount\.com", service_account):
        raise InputError(f"{service_account!r} is not a service account: NAME@PROJECT.iam.gserviceaccount.com")
    size = len(json.dumps([ir, values]))
    if size > _LARGEST:
        raise InputError(f"{file}: {size:,} bytes with its parameters; Vertex takes {_LARGEST:,} in one request")
    return Job(_with_final_status(ir), values, pipeline_root.rstrip("/"), service_account, caching)


def _with_final_status(ir: dict[str, Any]) -> dict[str, Any]:
    """The pipeline with the status of the run given to its exit task: Vertex can, whatever the compiled file is for."""
    ir = copy.deepcopy(ir)
    for task in ir.get("root", {}).get("dag", {}).get("tasks", {}).values():
        if task.get("triggerPolicy", {}).get("strategy") != "ALL_UPSTREAM_TASKS_COMPLETED":
            continue
        component = ir["components"][task["componentRef"]["name"]]
        definition = component.get("inputDefinitions", {}).get("parameters", {}).get(STATUS)
        given = task.setdefault("inputs", {}).setdefault("parameters", {})
        if definition and STATUS not in given:
            definition["parameterType"] = "TASK_FINAL_STATUS"
            # (A server that cannot tell it gets an empty one.)
            definition.pop("defaultValue", None)
            given[STATUS] = {"taskFinalStatus": {"producerTask": task["dependentTasks"][0]}}
    return ir


def images_without_registry(ir: dict[str, Any]) -> list[str]:
    """Images that Vertex would look for on the public registry."""
    executors = ir.get("deploymentSpec", {}).get("executors", {}).values()
    names = {str(each["container"]["image"]) for each in executors if "container" in each}
    hosts = re.compile(r"[^/]*[.:][^/]*/|localhost/")
    return sorted(name for name in names if not hosts.match(name))


class Vertex:
    """Vertex AI Pipelines of a project in a region."""

    def __init__(self, place: Place, timeout: float = TIMEOUT) -> None:
        """Finds the credentials of the environment; asks no server yet.

        Raises:
          InputError: no credentials, or no such region.
        """
        import google.auth
        from google.auth.credentials import with_scopes_if_required
        from google.auth.exceptions import DefaultCredentialsError
        from google.cloud import aiplatform
        from google.cloud.aiplatform.constants.base import SUPPORTED_REGIONS

        self.where = place.where
        self._timeout = timeout
        # What the library has to say of itself is for the log of a notebook, not for a command.
        for talker in ("google.cloud.aiplatform", "google.auth._default"):
            logging.getLogger(talker).setLevel(logging.CRITICAL)
        regions = sorted(SUPPORTED_REGIONS - {"global"})
        if place.region not in regions:
            raise missing("region", place.region, regions, "Vertex AI")
        try:
            # The scope comes after: with one, some kinds of credentials look up a project over the network, which is
            # named here already.
            credentials, _ = google.auth.default()
            credentials = with_scopes_if_required(credentials, ["https://www.googleapis.com/auth/cloud-platform"])
        except DefaultCredentialsError:
            raise InputError(
                "no Google credentials: gcloud auth application-default login, or name a key file in "
                "GOOGLE_APPLICATION_CREDENTIALS"
            ) from None
        aiplatform.init(
            project=place.project,
            location=place.region,
            credentials=credentials,
            api_endpoint=place.endpoint or None,
            api_transport="rest" if "://" in place.endpoint else None,
        )
        self._aiplatform = aiplatform

    def submit(self, job: Job, name: str = "") -> str:
        """Starts a run and returns its id."""
        with self._made(job, name) as made, self._doing(f"submitting {job.name}"):
            # Not `made.submit()`: that looks for the bucket first, for minutes where it may not, and makes it where it
            # is not there. What the artifacts' place allows is for the service to say.
            resource = made._gca_resource
            if job.service_account:
                resource.service_account = job.service_account
            started = made.api_client.create_pipeline_job(
                parent=made._parent, pipeline_job=resource, pipeline_job_id=made.job_id, timeout=self._timeout
            )
            return str(started.name).rpartition("/")[2]

    def state(self, identity: str) -> RemoteRun:
        """The state of a run."""
        with self._doing(f"asking for the run {identity}"):
            return remote_run(self._aiplatform.PipelineJob.get(identity).to_dict())

    def runs(self, limit: int) -> list[RemoteRun]:
        """The newest runs."""
        with self._doing("listing runs"):
            found = self._aiplatform.PipelineJob.list(order_by="create_time desc", enable_simple_view=False)
            return [remote_run(each.to_dict()) for each in found[:limit]]

    def apply(self, schedule: Schedule, job: Job, *, dry_run: bool) -> str:
        """Creates or replaces a schedule; says which."""
        cron = whole_minutes(schedule.cron, "Vertex")
        digest = job.digest(cron, schedule.concurrency)
        with self._doing("listing schedules"):
            there = self._aiplatform.PipelineJobSchedule.list(filter=f'display_name="{schedule.name}"')
            same = [each for each in there if _digest(each) == digest and _is_active(each) == schedule.enabled]
        if len(there) == 1 and same:
            return "unchanged"
        what = "replaced" if there else "created"
        if dry_run:
            return f"would be {what}"
        # The new one first: when it is refused, the old one is still there.
        with self._made(job, schedule.name, digest) as made, self._doing(f"creating the schedule {schedule.name}"):
            created = self._aiplatform.PipelineJobSchedule(pipeline_job=made, display_name=schedule.name)
            created.create(
                cron=cron,
                max_concurrent_run_count=schedule.concurrency,
                service_account=job.service_account or None,
                create_request_timeout=self._timeout,
            )
            if not schedule.enabled:
                created.pause()
        with self._doing(f"deleting the schedule {schedule.name} as it was"):
            for old in there:
                old.delete()
        return what

    @contextlib.contextmanager
    def _made(self, job: Job, name: str, digest: str = "") -> Iterator[Any]:
        """The library's own job. It reads the pipeline from a file, and its first document only."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "pipeline.yaml"
            file.write_text(yaml.safe_dump(job.ir))
            with self._doing(f"preparing {job.name}"):
                made = self._aiplatform.PipelineJob(
                    display_name=name or job.name,
                    template_path=str(file),
                    pipeline_root=job.pipeline_root,
                    parameter_values=job.parameters,
                    enable_caching=job.caching,
                    labels={DIGEST_LABEL: digest or job.digest()},
                )
            yield made

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        from google.api_core.exceptions import GoogleAPICallError, RetryError
        from google.auth.exceptions import GoogleAuthError, TransportError

        try:
            yield
        except GoogleAPICallError as error:
            # (REST puts the request before what the service said.)
            said = re.sub(r"^[A-Z]+ https?://\S+: ", "", str(error.message))
            raise refusal(self.where, what, int(error.code or 500), said) from None
        except (RetryError, TransportError) as error:
            raise TransientError(f"{self.where}: no answer while {what}: {one_line(error)}; try again") from None
        except GoogleAuthError as error:
            raise InputError(
                f"{self.where}: the credentials are refused while {what}: {one_line(error)}; sign in again: gcloud "
                "auth application-default login"
            ) from None
        except (ValueError, TypeError) as error:
            raise InputError(f"{self.where}: {one_line(error)} while {what}") from None
        except OSError as error:
            if type(error).__name__ not in _UNREACHABLE:
                raise
            raise TransientError(f"{self.where}: no connection while {what}; try again") from None


def _digest(schedule: Any) -> str:
    request = schedule.to_dict().get("createPipelineJobRequest", {})
    return str(request.get("pipelineJob", {}).get("labels", {}).get(DIGEST_LABEL, ""))


def _is_active(schedule: Any) -> bool:
    return str(schedule.to_dict().get("state", "")) == "ACTIVE"
