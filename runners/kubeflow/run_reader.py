"""Gathers what a server tells of a run: the run, its pipeline, the Workflow behind it, the logs of pods that failed."""

from __future__ import annotations

import json
from typing import Any

from components.runtime.errors import InputError, TransientError
from components.runtime.text import workflow_nodes
from runners.kubeflow import logs, stages
from runners.kubeflow.connection import Connection
from runners.kubeflow.nodes import Node
from runners.kubeflow.state import Told, remote_run
from runners.terminal.follow import RemoteRun

_NOT_IMPLEMENTED = "(501)"
"""What a gateway answers for an API that the server behind it has no more."""


class RunReader:
    """Reads runs; what does not change while a run is followed is asked for once."""

    def __init__(self, connection: Connection, namespace: str) -> None:
        """Takes the server, and the namespace where it has many."""
        self._connection, self._namespace = connection, namespace
        self._irs: dict[str, dict[str, Any]] = {}
        self._errors: dict[str, str] = {}

    def read(self, identity: str) -> RemoteRun:
        """A run with its tasks."""
        with self._connection.doing(f"asking for the run {identity}"):
            run = self._connection.client.get_run(identity)
        workflow = self._workflow(identity)
        namespace = str(((workflow or {}).get("metadata") or {}).get("namespace") or self._namespace)
        return remote_run(
            Told(
                run=run,
                ir=self._ir(run),
                nodes=None if workflow is None else list(workflow_nodes.nodes(workflow).values()),
                log=lambda node: self._error(identity, namespace, node),
            )
        )

    def ir(self, identity: str) -> dict[str, Any]:
        """The IR of a run's pipeline; empty where the server has the run or its pipeline no more."""
        try:
            with self._connection.doing(f"asking for the run {identity}"):
                run = self._connection.client.get_run(identity)
        except InputError:
            return {}
        return self._ir(run)

    def _ir(self, run: Any) -> dict[str, Any]:
        """The IR of a run's pipeline; empty where the server has it no more."""
        version = run.pipeline_version_reference
        if run.pipeline_spec or not (version and version.pipeline_version_id):
            return stages.unwrapped(run.pipeline_spec)
        key = version.pipeline_version_id
        if key not in self._irs:
            try:
                with self._connection.doing("asking for the version of a pipeline"):
                    found = self._connection.client.get_pipeline_version(version.pipeline_id, key)
                self._irs[key] = stages.unwrapped(found.pipeline_spec)
            except InputError:
                # Deleted since.
                self._irs[key] = {}
        return self._irs[key]

    def _workflow(self, identity: str) -> dict[str, Any] | None:
        """The Workflow behind a run, which the older API shows; None where the server does not."""
        try:
            answer = self._connection.fetch(f"/apis/v1beta1/runs/{identity}", f"asking for the run {identity}")
            workflow = json.loads(json.loads(answer)["pipeline_runtime"]["workflow_manifest"])
        except TransientError as error:
            if _NOT_IMPLEMENTED in str(error):
                return None
            raise
        except (InputError, ValueError, KeyError, TypeError):
            return None
        return workflow if isinstance(workflow, dict) and workflow_nodes.nodes(workflow) else None

    def _error(self, identity: str, namespace: str, node: Node) -> str:
        """The error in the log of a pod of a run, which is read once."""
        key = str(node.get("id"))
        if not self._errors.get(key):
            self._errors[key] = logs.error(self._connection, identity, namespace, node)
        return self._errors[key]
