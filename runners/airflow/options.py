"""What a DAG needs to know besides the pipeline: the volume, who starts it when, and who waits for the pods."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from components.runtime.errors import InputError
from runners.compiled.platform_spec import parameters_on_volume
from runners.remote import schedules
from runners.settings.kubernetes_values import MountPath, ObjectName, check, check_label

if TYPE_CHECKING:
    from runners.settings.model import Settings

_PRESETS = ("@hourly", "@daily", "@weekly", "@monthly", "@quarterly", "@yearly")
_ASSET = re.compile(r"[a-z][-+.a-z0-9]*://\S+")
_DAG_ID = re.compile(r"[-.\w]{1,200}", re.ASCII)


@dataclass(frozen=True)
class AirflowOptions:
    """Options of a DAG.

    Attributes:
      claim: the persistent volume claim of the pipeline root.
      access_mode: of the claim. With anything but ReadWriteMany the pods of a run are drawn to one node.
      mount_path: where the volume is mounted; the pipeline root.
      service_account: of the pods; the namespace's default where empty.
      model: label of all pods; the pipeline's name where empty.
      deadline_seconds: how long a run may take.
      parameters: values of pipeline parameters in place of their defaults.
      labels: besides our own, on all pods.
      dag_id: the pipeline's name where empty.
      namespace: of the pods; that of the connection where empty.
      connection: Airflow's, of the cluster.
      deferrable: whether Airflow's triggerer waits for the pods, and not a worker.
      schedule: a cron expression or one of Airflow's presets; none where empty.
      on_assets: URIs; the DAG runs when all of them have been updated since its last run.
      outlet: URI of the asset that is updated when a version of the model has come into service.
      dated: formats of `strftime` by parameter, which has the run's logical date unless it is given.
    """

    claim: str
    access_mode: str = "ReadWriteOnce"
    mount_path: str = "/millrace"
    service_account: str = ""
    model: str = ""
    deadline_seconds: int = 24 * 3600
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    dag_id: str = ""
    namespace: str = ""
    connection: str = "kubernetes_default"
    deferrable: bool = False
    schedule: str = ""
    on_assets: Sequence[str] = ()
    outlet: str = ""
    dated: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks everything that Kubernetes or Airflow would refuse.

        Raises:
          InputError: which option, and how to mend it.
        """
        if not self.claim:
            raise InputError(
                "cluster.volume.claim is missing: on Airflow a run has no volume of its own; name a claim that exists"
            )
        for name in ("claim", "service_account", "namespace"):
            if value := getattr(self, name):
                check(ObjectName, f"{name} {value!r}", value)
        check(MountPath, f"mount_path {self.mount_path!r}", self.mount_path)
        for key, value in {**self.labels, "millrace/model": self.model}.items():
            check_label(key, value)
        if self.dag_id and not _DAG_ID.fullmatch(self.dag_id):
            raise InputError(f"--dag-id {self.dag_id}: expected at most 200 letters, digits, '-', '.' and '_'")
        if self.schedule and self.on_assets:
            raise InputError("--schedule and --on-asset each say when the DAG runs; give one of them")
        if self.schedule and self.schedule not in _PRESETS:
            _check_cron(self.schedule)
        for option, uris in (("--on-asset", self.on_assets), ("--outlet", [self.outlet] if self.outlet else [])):
            for uri in uris:
                if not _ASSET.fullmatch(uri):
                    raise InputError(f"{option} {uri}: expected a URI, such as s3://bucket/trips or x-team://trips")


def _check_cron(text: str) -> None:
    if len(text.split()) != 5:
        raise InputError(
            f"--schedule {text}: expected five fields (minute hour day month weekday), such as '30 2 * * *', or one of "
            f"{', '.join(_PRESETS)}"
        )
    try:
        schedules.check_cron(f"0 {text}")
    except InputError as error:
        raise InputError(f"--schedule {text}: {str(error).partition(': ')[2] or error}") from None


def for_settings(settings: Settings, declared: Mapping[str, Any] | None = None, **options: Any) -> AirflowOptions:
    """The options that a model's settings say.

    Args:
      settings: of the model.
      declared: the parameters of its pipeline, where it has one of its own.
      options: those that the settings do not say.
    """
    cluster = settings.cluster
    on_volume = {name: value for name, value in parameters_on_volume(settings, declared).items() if value is not None}
    return AirflowOptions(
        claim=cluster.volume.claim,
        access_mode=cluster.volume.access_mode,
        mount_path=cluster.mount_path,
        service_account=cluster.service_account,
        model=settings.folder.name,
        deadline_seconds=cluster.deadline_seconds,
        labels=cluster.labels,
        parameters=on_volume | options.pop("parameters", {}),
        **options,
    )
