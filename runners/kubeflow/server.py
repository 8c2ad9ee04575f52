"""A Kubeflow Pipelines server: its pipelines, versions, experiments and runs, through kfp.Client."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, TransientError
from runners.kubeflow import stages, task_store
from runners.kubeflow.connection import Connection
from runners.kubeflow.run_reader import RunReader
from runners.kubeflow.state import STATES
from runners.remote.http import missing
from runners.settings.parameters import read_ir
from runners.terminal.follow import RemoteRun

_PAGE = 100
_LOOKED_THROUGH = 1000
_ROOT = re.compile(r"(?:minio|s3|gs)://[^/?\s]+(?:/[^?\s]*)?(?:\?\S+)?")
"""As ParseBucketPathToConfig in backend/src/v2/objectstore of kubeflow/pipelines, which driver and launcher call."""


def check_root(root: str, what: str) -> None:
    """Refuses a pipeline root that the server's driver would fail on, after the run was submitted; empty is its own.

    Raises:
      InputError: it is a path, or an address of another kind.
    """
    if root and not _ROOT.fullmatch(root):
        raise InputError(
            f"{what} is {root!r}; Kubeflow Pipelines writes to minio://, s3:// and gs://BUCKET/FOLDER only"
        )


class Cluster:
    """A server and what it knows.

    Attributes:
      connection: to the server.
      where: what the server is called in messages.
      namespace: empty where the server has but one user.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.where, self.namespace = connection.where, connection.namespace
        self._client = connection.client
        self._reader = RunReader(connection, self.namespace)

    def latest_version(self, pipeline: str, name: str = "") -> Any:
        """A version of a pipeline: that of a name, or the newest.

        Raises:
          InputError: no such pipeline or version; with the nearest names.
        """
        found = self.pipeline(pipeline)
        versions = self.versions(found.pipeline_id)
        if name:
            versions = [version for version in versions if name in (version.display_name, version.pipeline_version_id)]
            if not versions:
                names = [version.display_name for version in self.versions(found.pipeline_id)]
                raise missing(f"version of {pipeline}", name, names, self.where)
        if not versions:
            raise InputError(f"pipeline {pipeline!r} has no version on {self.where}; upload one")
        return versions[0]

    def upload(self, file: Path, name: str = "") -> tuple[Any, bool]:
        """Uploads a compiled pipeline, unless its content is there already.

        Args:
          file: the pipeline.
          name: of it on the server; its own where empty.

        Returns:
          its version, and whether it is new.
        """
        info = read_ir(file)["pipelineInfo"]
        name, description = name or str(info["name"]), str(info.get("description") or "")
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        version_name = f"{name}-{digest[:12]}"
        pipeline = self._pipeline_or_none(name)
        if pipeline is None:
            with self.connection.doing(f"creating the pipeline {name}"):
                # Not `upload_pipeline`: its first version would bear the pipeline's name and no digest.
                import kfp_server_api

                pipeline = self._client.pipelines.pipeline_service_create_pipeline(
                    pipeline=kfp_server_api.V2beta1Pipeline(
                        display_name=name, description=description or None, namespace=self.namespace or None
                    )
                )
        for version in self.versions(pipeline.pipeline_id):
            if version.display_name == version_name:
                return version, False
        with self.connection.doing(f"uploading {file.name}"):
            told = f"{description} (sha256:{digest})" if description else f"sha256:{digest}"
            uploaded = self._client.upload_pipeline_version(
                str(file), version_name, pipeline_id=pipeline.pipeline_id, description=told
            )
        return uploaded, True

    def run(
        self,
        version: Any,
        name: str,
        *,
        experiment: str,
        parameters: dict[str, Any],
        pipeline_root: str = "",
        service_account: str = "",
        uncached: Path | None = None,
    ) -> str:
        """Starts a run of a version and returns its id.

        Args:
          version: of a pipeline.
          name: of the run.
          experiment: made where it is not there.
          parameters: of the pipeline.
          pipeline_root: where artifacts go; the server's own place when empty.
          service_account: of the pods.
          uncached: the compiled file, where no task is to be taken from the cache: it can be switched off only in a
            file that is sent along.
        """
        what = {"pipeline_id": version.pipeline_id, "version_id": version.pipeline_version_id}
        with tempfile.TemporaryDirectory() as folder:
            if uncached is not None:
                # (kfp's own enable_caching does so at the root only, and leaves it on in groups of tasks.)
                package = Path(folder, "uncached.yaml")
                package.write_text(stages.uncached(uncached.read_text()))
                what = {"pipeline_package_path": str(package)}
            with self.connection.doing(f"starting a run of {version.display_name}"):
                started = self._client.run_pipeline(
                    self.experiment(experiment),
                    name,
                    params=parameters,
                    pipeline_root=pipeline_root or None,
                    service_account=service_account or None,
                    **what,
                )
        return str(started.run_id)

    def experiment(self, name: str) -> str:
        """The id of an experiment, which is made where it is not there."""
        with self.connection.doing(f"looking for the experiment {name}"):
            return str(self._client.create_experiment(name, namespace=self.namespace or None).experiment_id)

    def known_experiment(self, name: str) -> str:
        """The id of an experiment; empty where it is not there."""
        return next((str(each.experiment_id) for each in self.experiments() if each.display_name == name), "")

    def find_run(self, reference: str) -> str:
        """The id of a run: an id, the beginning of one, the name of a run (the newest of it), or `latest`.

        Raises:
          InputError: there is none, or the beginning fits several.
        """
        runs = self.runs(_LOOKED_THROUGH)
        if reference == "latest" and runs:
            return str(runs[0].run_id)
        named = [run for run in runs if reference in (run.run_id, run.display_name)]
        named = named or [run for run in runs if len(reference) >= 4 and run.run_id.startswith(reference)]
        if not named:
            raise missing("run", reference, [run.display_name for run in runs], self.where)
        if len({run.display_name for run in named}) > 1:
            few = ", ".join(run.run_id for run in named[:3])
            raise InputError(f"more than one run begins with {reference!r}: {few}; give more of the id")
        return str(named[0].run_id)

    def get(self, identity: str) -> RemoteRun:
        """A run with its tasks."""
        run = self._reader.read(identity)
        if not any(task.started for task in run.tasks) and task_store.is_there(self.connection):
            # The client here is older, and does not know where the tasks of such a server are.
            told = {task.name: task for task in task_store.TaskStore(self.connection).remote_tasks(identity)}
            planned = [told.pop(task.name, task) for task in run.tasks]
            return dataclasses.replace(run, tasks=[*planned, *told.values()])
        return run

    def ir(self, identity: str) -> dict[str, Any]:
        """The IR of a run's pipeline; empty where the server has it no more."""
        return self._reader.ir(identity)

    def act(self, action: str, identity: str) -> None:
        """Does one of terminate, retry and delete to a run."""
        calls = {
            "terminate": self._client.terminate_run,
            "retry": lambda run: self._client.runs.run_service_retry_run(run_id=run),
            "delete": self._client.delete_run,
        }
        with self.connection.doing(f"asking to {action} the run {identity}"):
            calls[action](identity)

    def runs(self, limit: int) -> list[Any]:
        """The newest runs."""
        # (An archived run is out of sight here as on the dashboard.)
        shown = {"predicates": [{"key": "storage_state", "operation": "NOT_EQUALS", "string_value": "ARCHIVED"}]}
        call = self._client.list_runs
        return self._pages(call, "runs", limit, sort_by="created_at desc", filter=json.dumps(shown))

    def pipelines(self) -> list[Any]:
        """All pipelines that the user sees: those of the namespace, then those that all share."""
        own = self._pages(self._client.list_pipelines, "pipelines")
        if not self.namespace:
            return own
        with self.connection.doing("listing pipelines"):
            return own + list(_paged(self._client.list_pipelines, "pipelines"))

    def experiments(self) -> list[Any]:
        """All experiments that the user sees."""
        return self._pages(self._client.list_experiments, "experiments")

    def recurring_runs(self) -> list[Any]:
        """All recurring runs that the user sees."""
        return self._pages(self._client.list_recurring_runs, "recurring_runs")

    def versions(self, pipeline_id: str) -> list[Any]:
        """All versions of a pipeline, the newest first."""
        with self.connection.doing("listing versions"):
            page = self._client.list_pipeline_versions
            return list(
                _paged(lambda **paging: page(pipeline_id, sort_by="created_at desc", **paging), "pipeline_versions")
            )

    def pipeline(self, name: str) -> Any:
        """A pipeline by its name.

        Raises:
          InputError: there is none; with the nearest names.
        """
        found = self._pipeline_or_none(name)
        if found is None:
            raise missing("pipeline", name, [each.display_name for each in self.pipelines()], self.where)
        return found

    def delete_pipeline(self, name: str) -> int:
        """Deletes a pipeline with all its versions; returns how many they were."""
        pipeline = self.pipeline(name)
        versions = self.versions(pipeline.pipeline_id)
        with self.connection.doing(f"deleting the pipeline {name}"):
            # Servers before 2.16 refuse to delete a pipeline that has versions.
            for version in versions:
                self._client.delete_pipeline_version(pipeline.pipeline_id, version.pipeline_version_id)
            self._client.delete_pipeline(pipeline.pipeline_id)
        return len(versions)

    def create_recurring_run(self, **arguments: Any) -> None:
        """As kfp.Client does it."""
        with self.connection.doing(f"creating the recurring run {arguments['job_name']}"):
            self._client.create_recurring_run(**arguments)

    def retire_recurring_run(self, identity: str) -> list[str]:
        """Starts no more runs of a recurring run, and deletes it, unless that would kill runs that are under way.

        Their Workflows belong to it, so Kubernetes removes them with it.

        Returns:
          the names and ids of the runs that go on; it is disabled then, and not deleted.
        """
        # (One whose object in Kubernetes is gone cannot be disabled any more, only deleted.)
        with contextlib.suppress(TransientError), self.connection.doing("disabling a recurring run"):
            self._client.disable_recurring_run(identity)
        # (Archived ones as well: they may be under way.)
        runs = self._pages(self._client.list_runs, "runs", _LOOKED_THROUGH, sort_by="created_at desc")
        left = [
            f"{run.display_name} ({run.run_id})"
            for run in runs
            if run.recurring_run_id == identity and STATES.get(run.state, "waiting") in ("waiting", "running")
        ]
        if not left:
            with self.connection.doing("deleting a recurring run"):
                self._client.delete_recurring_run(identity)
        return left

    def _pipeline_or_none(self, name: str) -> Any | None:
        # The server's own filter is by the name on display; the exact match is made here.
        return next((each for each in self.pipelines() if each.display_name == name), None)

    def _pages(self, call: Callable[..., Any], field: str, limit: int | None = None, **arguments: Any) -> list[Any]:
        with self.connection.doing(f"listing {field.replace('_', ' ')}"):
            namespace = self.namespace or None
            return list(_paged(lambda **paging: call(namespace=namespace, **arguments, **paging), field, limit))


def _paged(call: Callable[..., Any], field: str, limit: int | None = None) -> Iterator[Any]:
    token, given = "", 0
    while True:
        page = call(page_token=token, page_size=min(_PAGE, limit - given) if limit else _PAGE)
        for item in getattr(page, field) or []:
            yield item
            given += 1
            if limit and given >= limit:
                return
        token = page.next_page_token or ""
        if not token:
            return
