"""A Kubeflow Pipelines server, through kfp.Client."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import re
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from runners.kubeflow.contexts import Context
from runners.kubeflow.state import remote_run
from runners.remote.http import TIMEOUT, explained, missing, refusal
from runners.settings.parameters import read_ir
from runners.terminal.follow import RemoteRun

MINIMUM_SERVER = (2, 5)
"""The oldest server that is spoken to; what is compiled uses nothing newer."""

_PAGE = 100
_LOOKED_THROUGH = 1000


class Cluster:
    """A server and what it knows.

    Attributes:
      where: what the server is called in messages.
      version: that the server tells; empty where it tells none.
      namespace: empty where the server has but one user.
      client: kfp.Client.
    """

    def __init__(self, context: Context, timeout: float = TIMEOUT) -> None:
        """Connects: asks how the server is and which version it has.

        Raises:
          InputError: too old, not authorised, or no KFP server.
          TransientError: no answer.
        """
        self.where = context.host
        self._context = context
        self._timeout = timeout
        health = self._health()
        version = str(health.get("tag_name") or health.get("apiServerTagName") or "")
        _check_version(self.where, version)
        self.version = version
        multi_user = bool(health.get("multi_user", health.get("apiServerMultiUser", False)))
        if multi_user and not context.namespace:
            raise InputError(
                f"{self.where}: the server has many users; name your namespace: --namespace, or in the context"
            )
        # A server of one user refuses requests that name a namespace.
        self.namespace = context.namespace if multi_user else ""
        with self._doing("connecting"):
            self.client = self._connect()

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

    def upload(self, file: Path) -> tuple[Any, bool]:
        """Uploads a compiled pipeline, unless its content is there already.

        Returns:
          its version, and whether it is new.
        """
        name = str(read_ir(file)["pipelineInfo"]["name"])
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        version_name = f"{name}-{digest[:12]}"
        pipeline = self._pipeline_or_none(name)
        if pipeline is None:
            with self._doing(f"creating the pipeline {name}"):
                # Not `upload_pipeline`: its first version would bear the pipeline's name and no digest.
                import kfp_server_api

                pipeline = self.client.pipelines.pipeline_service_create_pipeline(
                    pipeline=kfp_server_api.V2beta1Pipeline(display_name=name, namespace=self.namespace or None)
                )
        for version in self.versions(pipeline.pipeline_id):
            if version.display_name == version_name:
                return version, False
        with self._doing(f"uploading {file.name}"):
            uploaded = self.client.upload_pipeline_version(
                str(file), version_name, pipeline_id=pipeline.pipeline_id, description=f"sha256:{digest}"
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
          uncached: the compiled file, where no task is to be taken from the cache: kfp can switch it off only in a
            file that it sends along.
        """
        what = {"pipeline_id": version.pipeline_id, "version_id": version.pipeline_version_id}
        if uncached is not None:
            what = {"pipeline_package_path": str(uncached), "enable_caching": False}
        with self._doing(f"starting a run of {version.display_name}"):
            started = self.client.run_pipeline(
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
        with self._doing(f"looking for the experiment {name}"):
            return str(self.client.create_experiment(name, namespace=self.namespace or None).experiment_id)

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
        with self._doing(f"asking for the run {identity}"):
            return remote_run(self.client.get_run(identity))

    def act(self, action: str, identity: str) -> None:
        """Does one of terminate, retry and delete to a run."""
        calls = {
            "terminate": self.client.terminate_run,
            "retry": lambda run: self.client.runs.run_service_retry_run(run_id=run),
            "delete": self.client.delete_run,
        }
        with self._doing(f"asking to {action} the run {identity}"):
            calls[action](identity)

    def runs(self, limit: int) -> list[Any]:
        """The newest runs."""
        # (An archived run is out of sight here as on the dashboard.)
        shown = {"predicates": [{"key": "storage_state", "operation": "NOT_EQUALS", "string_value": "ARCHIVED"}]}
        call = self.client.list_runs
        return self._pages(call, "runs", limit, sort_by="created_at desc", filter=json.dumps(shown))

    def pipelines(self) -> list[Any]:
        """All pipelines that the user sees: those of the namespace, then those that all share."""
        own = self._pages(self.client.list_pipelines, "pipelines")
        if not self.namespace:
            return own
        with self._doing("listing pipelines"):
            return own + list(_paged(self.client.list_pipelines, "pipelines"))

    def experiments(self) -> list[Any]:
        """All experiments that the user sees."""
        return self._pages(self.client.list_experiments, "experiments")

    def recurring_runs(self) -> list[Any]:
        """All recurring runs that the user sees."""
        return self._pages(self.client.list_recurring_runs, "recurring_runs")

    def versions(self, pipeline_id: str) -> list[Any]:
        """All versions of a pipeline, the newest first."""
        with self._doing("listing versions"):
            page = self.client.list_pipeline_versions
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
        with self._doing(f"deleting the pipeline {name}"):
            # Servers before 2.16 refuse to delete a pipeline that has versions.
            for version in versions:
                self.client.delete_pipeline_version(pipeline.pipeline_id, version.pipeline_version_id)
            self.client.delete_pipeline(pipeline.pipeline_id)
        return len(versions)

    def create_recurring_run(self, **arguments: Any) -> None:
        """As kfp.Client does it."""
        with self._doing(f"creating the recurring run {arguments['job_name']}"):
            self.client.create_recurring_run(**arguments)

    def delete_recurring_run(self, identity: str) -> None:
        """As kfp.Client does it."""
        with self._doing("deleting a recurring run"):
            self.client.delete_recurring_run(identity)

    def fetch(
        self, path: str, doing: str, *, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> bytes:
        """Gets what lies beside the API on the same host: `/artifacts/get`, the metadata store.

        Raises:
          InputError: it is not served there.
        """
        import urllib3

        sent = dict(headers or {})
        if self._context.token:
            sent["authorization"] = f"Bearer {self._context.token}"
        with explained(self.where, doing, [self._context.token]), self._pool() as pool:
            method = "GET" if body is None else "POST"
            answer = pool.request(method, f"{self.where}{path}", body=body, headers=sent, redirect=False)
            if answer.status != 200:
                raise refusal(self.where, doing, answer.status, answer.data)
            assert isinstance(answer, urllib3.BaseHTTPResponse)
            return answer.data

    def _pipeline_or_none(self, name: str) -> Any | None:
        # The server's own filter is by the name on display; the exact match is made here.
        return next((each for each in self.pipelines() if each.display_name == name), None)

    def _pages(self, call: Callable[..., Any], field: str, limit: int | None = None, **arguments: Any) -> list[Any]:
        with self._doing(f"listing {field.replace('_', ' ')}"):
            namespace = self.namespace or None
            return list(_paged(lambda **paging: call(namespace=namespace, **arguments, **paging), field, limit))

    @contextlib.contextmanager
    def _doing(self, what: str) -> Iterator[None]:
        """One line for every error; kfp's own links and warnings are not printed."""
        with (
            explained(self.where, what, [self._context.token]),
            contextlib.redirect_stdout(io.StringIO()),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield

    def _health(self) -> dict[str, Any]:
        """What the server says of itself; asked before kfp.Client does, which would try for half a minute."""
        doing = "connecting"
        data = self.fetch("/apis/v2beta1/healthz", doing)
        try:
            health = json.loads(data)
        except ValueError:
            health = None
        if not isinstance(health, dict):
            raise InputError(
                f"{self.where}: answers, but not as Kubeflow Pipelines does (is it a login page?); check the host "
                "and the token"
            )
        return health

    def _connect(self) -> Any:
        import kfp

        client = kfp.Client(
            host=self.where,
            # kfp takes its own default for "not given" and keeps every other name.
            namespace=self.namespace or "kubeflow",
            existing_token=self._context.token or None,
            ssl_ca_cert=self._context.ca_file or None,
        )
        rest = client.runs.run_service_get_run.__self__.api_client.rest_client
        plain = rest.request

        def request(*arguments: Any, **options: Any) -> Any:
            # kfp has no time-out of its own: a server that hangs would hang the command.
            options["_request_timeout"] = (self._timeout, self._timeout)
            return plain(*arguments, **options)

        rest.request = request
        rest.pool_manager.clear()
        rest.pool_manager.connection_pool_kw["retries"] = _no_retries()
        return client

    def _pool(self) -> Any:
        import urllib3

        extra: dict[str, Any] = {"ca_certs": self._context.ca_file} if self._context.ca_file else {}
        return urllib3.PoolManager(timeout=urllib3.Timeout(self._timeout), retries=_no_retries(), **extra)


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


def _check_version(where: str, tag: str) -> None:
    """Servers built from a branch give no version; they are let pass."""
    found = re.match(r"v?(\d+)\.(\d+)", tag)
    if found and (int(found[1]), int(found[2])) < MINIMUM_SERVER:
        least = ".".join(map(str, MINIMUM_SERVER))
        raise InputError(f"{where}: Kubeflow Pipelines {tag} is too old; {least} or newer is needed")


def _no_retries() -> Any:
    import urllib3

    return urllib3.Retry(connect=0, read=0, redirect=2, status=0, other=0)
