"""Begins a run on Argo: a Workflow of a WorkflowTemplate, as `./millrace argo submit` makes it of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from components.retrain.begun import Begun, read
from components.runtime.errors import InputError
from components.runtime.records import run_record
from components.runtime.records.argo_workflow import noted
from components.runtime.stage.kubernetes import Asker, Kubernetes, MissingError, ThereAlreadyError, place_of

AFTER = "millrace/started-by"
"""Label of a Workflow that another one has begun: its name."""

BEGUN = "millrace/begun"
"""Annotation of such a Workflow: the note of it, for whoever finds the Workflow and no note."""

_API = "/apis/argoproj.io/v1alpha1/namespaces"
_ASKER = Asker("retrain begins a run on Kubernetes", "kubernetes", "manifests/retrain")
_ENDED = {"Succeeded": "done", "Failed": "failed", "Error": "failed"}


class Argo:
    """The Workflows of a namespace."""

    def __init__(self, template: str, address: str = "") -> None:
        """Connects to nothing yet.

        Args:
          template: NAME or NAMESPACE/NAME of the WorkflowTemplate.
          address: of a proxy of the API; this pod's own cluster without.

        Raises:
          InputError: this is no pod of Kubernetes.
        """
        self._cluster = Kubernetes(_ASKER, address)
        namespace, self._template = place_of(self._cluster, template, "template")
        self._place = f"{_API}/{namespace}"

    def state(self, run: str) -> str:
        """How a run is: running, done, failed, or gone."""
        try:
            found = self._cluster.get(f"{self._place}/workflows/{run}")
        except MissingError:
            return "gone"
        return _ENDED.get(str((found.get("status") or {}).get("phase")), "running")

    def begin(self, wanted: Begun, parameters: Mapping[str, str]) -> Begun:
        """Begins a run.

        Args:
          wanted: the run, without its id.
          parameters: given as far as the pipeline has them.

        Returns:
          The run of that name, with its id: another one, where there was one.

        Raises:
          InputError: there is no such template, a Workflow of that name that no look has begun, or the account may not.
          TransientError: Kubernetes does not answer.
        """
        try:
            found = self._cluster.get(f"{self._place}/workflowtemplates/{self._template}")
        except MissingError:
            raise InputError(
                f"there is no WorkflowTemplate {self._template} in the namespace; make it: ./millrace argo upload "
                f"{self._template} --as {self._template}"
            ) from None
        begun = replace(wanted, id=wanted.run)
        workflow = noted(_workflow(found["spec"], begun, parameters), run_record.by_look(begun.after))
        try:
            self._cluster.create(f"{self._place}/workflows", workflow)
        except ThereAlreadyError:
            # Of this look too, where the answer to an attempt before this one was lost.
            there = self._cluster.get(f"{self._place}/workflows/{begun.run}")
            try:
                return read((there["metadata"].get("annotations") or {}).get(BEGUN, ""))
            except ValueError:
                raise InputError(
                    f"there is a Workflow {begun.run} that no look has begun, and this one would begin one of that "
                    f"name; remove it: kubectl delete workflow {begun.run}"
                ) from None
        return begun


def _workflow(spec: Mapping[str, Any], begun: Begun, parameters: Mapping[str, str]) -> dict[str, Any]:
    """The Workflow itself, not a reference: who follows it reads its templates, and it stays what it was."""
    own = {key: value for key, value in spec.items() if key != "workflowMetadata"}
    metadata = spec.get("workflowMetadata") or {}
    given = (own.get("arguments") or {}).get("parameters") or []
    if given:
        filled = [each | ({"value": parameters[each["name"]]} if each["name"] in parameters else {}) for each in given]
        own["arguments"] = own["arguments"] | {"parameters": filled}
    labels = (metadata.get("labels") or {}) | {AFTER: begun.after[:63].rstrip("-.")}
    annotations = (metadata.get("annotations") or {}) | {BEGUN: begun.told}
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": begun.run, "labels": labels, "annotations": annotations},
        "spec": own,
    }
