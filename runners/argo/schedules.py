"""Schedules as CronWorkflows: the same files as for Kubeflow Pipelines and Vertex AI.

Format: Argo Workflows v1alpha1, CronWorkflow, of 3.6 and later, whose `schedules` is a list.
"""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from runners.argo.schema import validate
from runners.argo.values import CREATED, SCHEDULED
from runners.argo.workflow_file import definitions, with_values
from runners.remote.schedules import Schedule, whole_minutes
from runners.settings import parameters, secret_values
from runners.settings.kubernetes_values import check_name
from runners.terminal import text

_DESCRIPTION = "workflows.argoproj.io/description"
_LONGEST_NAME = 52
"""Argo appends the time to the name of a Workflow, which is a label of its pods."""
_SCHEDULE_TIME = "{{workflow.scheduledTime}}"
"""Argo's tag, RFC 3339: https://argo-workflows.readthedocs.io/en/latest/variables/, of CronWorkflows."""
_KEPT = 50
"""Ended Workflows that stay until their own time is over; Argo keeps three and one where nothing is said."""


def cron_workflow(schedule: Schedule, workflow: dict[str, Any], file: Path) -> dict[str, Any]:
    """Returns the CronWorkflow of a schedule.

    Args:
      schedule: what its file describes.
      workflow: the compiled Workflow that it runs.
      file: of the schedule, for errors.

    Raises:
      InputError: the schedule asks for what Argo does not have, or for a parameter that the workflow does not have.
    """
    _refuse_what_argo_lacks(schedule, file)
    try:
        cron = whole_minutes(schedule.cron, "Argo")
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    parameters.check(schedule.parameters, definitions(workflow), str(file))
    secret_values.refuse(schedule.parameters, f"{file}: parameters", by_key=False)
    filled = with_values(workflow, schedule.parameters, file, f"{file}: parameter")
    spec = _by_the_schedule(filled["spec"])
    if schedule.service_account:
        spec["serviceAccountName"] = schedule.service_account
    metadata = {key: filled["metadata"][key] for key in ("labels", "annotations") if key in filled["metadata"]}
    made: dict[str, Any] = {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "CronWorkflow",
        "metadata": {"name": schedule.name, "labels": metadata.get("labels", {})},
        "spec": {
            "schedules": [cron],
            "timezone": "UTC",
            "concurrencyPolicy": "Forbid" if schedule.concurrency == 1 else "Allow",
            "suspend": not schedule.enabled,
            "successfulJobsHistoryLimit": _KEPT,
            "failedJobsHistoryLimit": _KEPT,
            "workflowMetadata": metadata,
            "workflowSpec": spec,
        },
    }
    if namespace := filled["metadata"].get("namespace"):
        made["metadata"]["namespace"] = namespace
    try:
        validate(made)
    except (AssertionError, ValueError) as error:
        said = str(error).splitlines()
        raise InputError(f"{file}: pipeline {schedule.pipeline}: Argo does not take it: {' '.join(said[:3])}") from None
    if schedule.description:
        made["metadata"]["annotations"] = {_DESCRIPTION: schedule.description}
    return made


def is_as_wanted(there: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether a CronWorkflow is what a schedule asks for; somebody may have changed it by hand."""
    annotations = there["metadata"].get("annotations") or {}
    same = there["spec"] == wanted["spec"] and there["metadata"].get("labels", {}) == wanted["metadata"]["labels"]
    return same and annotations.get(_DESCRIPTION) == (wanted["metadata"].get("annotations") or {}).get(_DESCRIPTION)


def schedule_facts(there: dict[str, Any]) -> dict[str, Any]:
    """A CronWorkflow as a document for programs."""
    status = there.get("status") or {}
    last = status.get("lastScheduledTime")
    return {
        "schedule": there["metadata"]["name"],
        "cron": there["spec"].get("schedules") or [there["spec"].get("schedule", "")],
        "enabled": not there["spec"].get("suspend"),
        "last_run": datetime.fromisoformat(last) if last else None,
        "under_way": len(status.get("active") or []),
    }


def schedule_row(there: dict[str, Any]) -> list[Any]:
    """A line about a CronWorkflow: name, cron, whether it is on, when it last began a run, how many of them go on."""
    facts = schedule_facts(there)
    return [
        facts["schedule"],
        ", ".join(facts["cron"]),
        "enabled" if facts["enabled"] else "disabled",
        text.moment(facts["last_run"]),
        str(facts["under_way"]),
    ]


def _by_the_schedule(spec: dict[str, Any]) -> dict[str, Any]:
    """The same with the schedule's time where tasks are told when the run was scheduled: only a CronWorkflow has one.

    A run that begins late, after the controller was down, is still that of its time.
    """
    for template in spec.get("templates") or []:
        arguments = template.get("container", {}).get("args") or []
        for place, argument in enumerate(arguments[:-1]):
            if argument == SCHEDULED and arguments[place + 1] == CREATED:
                arguments[place + 1] = _SCHEDULE_TIME
    return spec


def _refuse_what_argo_lacks(schedule: Schedule, file: Path) -> None:
    if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", schedule.name) or len(schedule.name) > _LONGEST_NAME:
        raise InputError(
            f"{file}: name {schedule.name!r}: on Argo at most {_LONGEST_NAME} lower-case letters, digits and '-', "
            "a letter or digit first and last"
        )
    if schedule.version:
        raise InputError(f"{file}: version: Argo keeps no versions; the compiled file is what runs")
    if schedule.catch_up:
        raise InputError(f"{file}: catch_up: Argo does not make up for runs that were missed")
    if schedule.pipeline_root:
        raise InputError(f"{file}: pipeline_root: on Argo it is the volume, cluster.volume in the model's settings")
    if "concurrency" in schedule.model_fields_set and schedule.concurrency != 1:
        raise InputError(
            f"{file}: concurrency: Argo runs one at a time (1) or as many as come (leave it out), not "
            f"{schedule.concurrency}"
        )
    check_name(schedule.service_account, f"{file}: service_account")
