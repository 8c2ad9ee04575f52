"""What a Workflow needs to know besides the pipeline: volume, place, deadlines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, get_args

from components.runtime.errors import InputError
from runners.compiled.platform_spec import parameters_on_volume
from runners.settings.cluster import Volume
from runners.settings.kubernetes_values import Memory, MountPath, ObjectName, check, check_label

if TYPE_CHECKING:
    from runners.settings.model import Settings


@dataclass(frozen=True)
class ArgoOptions:
    """Options of a Workflow.

    Attributes:
      claim: an existing persistent volume claim for the pipeline root; without one each run makes its own, and Argo
        removes it when the run has succeeded.
      bucket: URI in object storage in place of a claim.
      bucket_secret: whose keys are variables of all pods, for the bucket.
      size: of a run's own claim.
      storage_class: of a run's own claim; the cluster's default where empty.
      access_mode: of the claim. With anything but ReadWriteMany the pods of a run are drawn to one node.
      mount_path: where the volume is mounted; the pipeline root.
      namespace: the cluster's current one where empty.
      service_account: the namespace's default where empty.
      model: label of all pods; the pipeline's name where empty.
      ttl_seconds: how long the finished Workflow stays in the cluster; what it wrote to an existing claim stays.
      deadline_seconds: how long a run may take.
      task_deadline_seconds: how long one attempt of a task may take that has no time-out of its own; 0 for no limit.
      retries: how often a passing fault (exit code 75) or a lost pod is followed by another attempt, where the task
        has no retry policy of its own.
      backoff_seconds: before the first retry; doubled for each one after.
      backoff_cap_seconds: the longest wait.
      parameters: values of pipeline parameters in place of their defaults; None for one that has to be given when the
        Workflow is submitted.
      labels: besides our own, on the Workflow and all pods.
    """

    claim: str = ""
    bucket: str = ""
    bucket_secret: str = ""
    size: str = "20Gi"
    storage_class: str = ""
    access_mode: str = "ReadWriteOnce"
    mount_path: str = "/millrace"
    namespace: str = ""
    service_account: str = ""
    model: str = ""
    ttl_seconds: int = 7 * 24 * 3600
    deadline_seconds: int = 24 * 3600
    task_deadline_seconds: int = 0
    retries: int = 2
    backoff_seconds: int = 5
    backoff_cap_seconds: int = 600
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks everything that Kubernetes would refuse.

        Raises:
          InputError: which option, and how to mend it.
        """
        for name in ("claim", "bucket_secret", "storage_class", "service_account", "namespace"):
            if value := getattr(self, name):
                check(ObjectName, f"{name} {value!r}", value)
        if "." in self.namespace or len(self.namespace) > 63:
            raise InputError(f"namespace {self.namespace!r}: a namespace has at most 63 characters and no '.'")
        check(Memory, f"size {self.size!r}", self.size)
        check(MountPath, f"mount_path {self.mount_path!r}", self.mount_path)
        modes = get_args(Volume.model_fields["access_mode"].annotation)
        if self.access_mode not in modes:
            raise InputError(f"access_mode {self.access_mode!r}: expected one of {', '.join(modes)}")
        for name in ("ttl_seconds", "deadline_seconds", "backoff_seconds", "backoff_cap_seconds"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number of seconds above 0")
        for name in ("task_deadline_seconds", "retries"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 or more")
        for key, value in {**self.labels, "millrace/model": self.model}.items():
            check_label(key, value)


def for_settings(settings: Settings, parameters: Mapping[str, Any] | None = None) -> ArgoOptions:
    """The options that a model's settings say.

    Args:
      settings: of the model.
      parameters: those that its pipeline declares, where it has one of its own.
    """
    cluster = settings.cluster
    return ArgoOptions(
        claim=cluster.volume.claim,
        bucket=cluster.bucket.uri if cluster.bucket else "",
        bucket_secret=cluster.bucket.secret if cluster.bucket else "",
        size=cluster.volume.size,
        storage_class=cluster.volume.storage_class,
        access_mode=cluster.volume.access_mode,
        mount_path=cluster.mount_path,
        service_account=cluster.service_account,
        model=settings.folder.name,
        ttl_seconds=cluster.ttl_seconds,
        deadline_seconds=cluster.deadline_seconds,
        # The settings give every task a retry policy, but for those that are not to be tried again.
        retries=0,
        parameters=parameters_on_volume(settings, parameters),
        labels=cluster.labels,
    )
