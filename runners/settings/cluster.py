"""The sections `cluster` and `resources` of a model's settings: what its pods are given."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from components.runtime.publish import vertex_accelerators
from runners.settings import sections
from runners.settings.kubernetes_values import (
    Cpu,
    Duration,
    LabelKey,
    LabelValue,
    MaybeName,
    Memory,
    MountPath,
    ObjectName,
    SecretKey,
    Variable,
    cpu_cores,
    memory_bytes,
    seconds,
)

OLDEST_SERVER = "2.5"
"""The oldest KFP server that runs what `./millrace compile` writes, unless the settings name a newer one."""

# The first KFP servers that know a field of a compiled pipeline (kubeflow/pipelines#12049, #11953, #12832 with
# #12859, #13184).
LABELS_SERVER = (2, 14)
FINAL_STATUS_SERVER = (2, 14)
SECURITY_CONTEXT_SERVER = (2, 17)
RUN_LIMITS_SERVER = (2, 17)


class Section(sections.Section, BaseModel):
    """A part of the settings that stays as it was read."""

    model_config = ConfigDict(frozen=True)


def _server(text: str) -> str:
    if not re.fullmatch(r"2\.[0-9]+(\.[0-9]+)?", text):
        raise ValueError("expected the version of a KFP server in quotes, such as '2.5' or '2.17'")
    if int(text.split(".")[1]) < int(OLDEST_SERVER.split(".")[1]):
        raise ValueError(f"the oldest KFP server that is supported is {OLDEST_SERVER}")
    return text


def _bucket(uri: str) -> str:
    if not re.fullmatch(r"(s3|gs)://[a-z0-9][a-z0-9._-]+(/[^?@#\s{}]+)?", uri.rstrip("/")):
        raise ValueError("expected s3://BUCKET/FOLDER or gs://BUCKET/FOLDER, without keys or options")
    return uri.rstrip("/")


class Volume(Section):
    """The persistent volume: artifacts on plain Argo, raw data and served models on every cluster."""

    claim: MaybeName = ""
    create: bool = False
    size: Memory = "20Gi"
    storage_class: MaybeName = ""
    access_mode: Literal["ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod"] = "ReadWriteOnce"

    @model_validator(mode="after")
    def _one_or_the_other(self) -> Volume:
        if self.create and self.claim:
            raise ValueError("create makes a claim for each run, claim names one that exists; give one of them")
        return self


class Bucket(Section):
    """Where artifacts and records lie on Argo without a volume.

    Attributes:
      uri: `s3://BUCKET/FOLDER` or `gs://BUCKET/FOLDER`.
      secret: a Kubernetes secret whose keys are variables of the environment of all pods, such as AWS_ACCESS_KEY_ID;
        the rights of the pods' account without.
    """

    uri: Annotated[str, AfterValidator(_bucket)]
    secret: MaybeName = ""


class Cluster(Section):
    """What holds for all pods of the pipeline.

    Attributes:
      kfp_server: version of the KFP server, `2.5` or newer; a newer one is told more, see docs/cluster-settings.md.
      volume: the persistent volume.
      bucket: object storage in place of the volume, on Argo.
      mount_path: where the volume is in the containers.
      ttl: how long a finished run is kept.
      deadline: how long a run may take as a whole.
      labels: more labels for runs and pods.
      image_pull_secrets: secrets for a registry that asks who pulls.
      service_account: what the pods run as; the target's own default without.
      fuse: groups of tasks, each of which is one pod.
    """

    kfp_server: Annotated[str, BeforeValidator(str), AfterValidator(_server)] = OLDEST_SERVER
    volume: Volume = Volume()
    bucket: Bucket | None = None
    mount_path: MountPath = "/millrace"
    ttl: Duration = "7d"
    deadline: Duration = "1d"
    labels: dict[LabelKey, LabelValue] = {}
    image_pull_secrets: list[ObjectName] = []
    service_account: MaybeName = ""
    fuse: list[Annotated[list[str], Field(min_length=2)]] = []

    @model_validator(mode="after")
    def _bucket_or_volume(self) -> Cluster:
        if self.bucket and (self.volume.claim or self.volume.create):
            raise ValueError("bucket: artifacts lie in it or on a volume; leave out volume, or bucket")
        return self

    @model_validator(mode="after")
    def _a_task_has_one_pod(self) -> Cluster:
        fused = [task for group in self.fuse for task in group]
        for task in fused:
            if fused.count(task) > 1:
                raise ValueError(f"fuse: {task} is named twice; it runs in one pod")
        return self

    @model_validator(mode="after")
    def _labels_are_not_ours(self) -> Cluster:
        for key in self.labels:
            if key.startswith("millrace/"):
                raise ValueError(f"labels: {key}: labels under millrace/ are our own; use another prefix")
        return self

    @property
    def server(self) -> tuple[int, int]:
        """Major and minor version of the KFP server."""
        major, minor = self.kfp_server.split(".")[:2]
        return int(major), int(minor)

    @property
    def ttl_seconds(self) -> int:
        """`ttl` in seconds."""
        return seconds(self.ttl)

    @property
    def deadline_seconds(self) -> int:
        """`deadline` in seconds."""
        return seconds(self.deadline)


class MemoryRange(Section):
    """What the scheduler sets aside, and where the pod is ended."""

    request: Memory | None = None
    limit: Memory | None = None

    @model_validator(mode="after")
    def _request_fits(self) -> MemoryRange:
        if self.request and self.limit and memory_bytes(self.request) > memory_bytes(self.limit):
            raise ValueError(f"the request, {self.request}, is above the limit, {self.limit}")
        return self


class CpuRange(Section):
    """What the scheduler sets aside, and where the pod is slowed down."""

    request: Cpu | None = None
    limit: Cpu | None = None

    @model_validator(mode="after")
    def _request_fits(self) -> CpuRange:
        if self.request and self.limit and cpu_cores(self.request) > cpu_cores(self.limit):
            raise ValueError(f"the request, {self.request}, is above the limit, {self.limit}")
        return self


class Toleration(Section):
    """A taint that pods of the stage put up with."""

    key: LabelKey | None = None
    operator: Literal["Exists", "Equal"] = "Exists"
    value: LabelValue | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None

    @model_validator(mode="after")
    def _value_goes_with_equal(self) -> Toleration:
        if (self.value is not None) != (self.operator == "Equal"):
            raise ValueError("operator Equal compares with a value, Exists with none")
        if self.key is None and self.operator == "Equal":
            raise ValueError("operator Equal needs a key")
        return self


class Gpu(Section):
    """Accelerators; the stage's GPU image runs."""

    count: PositiveInt = 1
    resource: LabelKey = "nvidia.com/gpu"
    # Clusters taint their GPU nodes with the resource's name, GKE and the NVIDIA operator among them.
    tolerations: list[Toleration] | None = None
    node_selector: dict[LabelKey, LabelValue] = {}
    # Vertex AI knows no resources of Kubernetes.
    vertex: Annotated[str, AfterValidator(lambda name: vertex_accelerators.check(name) if name else name)] = ""


class Mount(Section):
    """An existing claim in the containers of a stage."""

    claim: ObjectName
    path: MountPath
    read_only: bool = False


class Secret(Section):
    """A Kubernetes secret by its name, as environment variables or as files."""

    name: ObjectName
    env: dict[SecretKey, Variable] = {}
    path: MountPath | None = None

    @model_validator(mode="after")
    def _env_or_path(self) -> Secret:
        if bool(self.env) == bool(self.path):
            raise ValueError("expected env: {KEY: VARIABLE} or path: /folder, one of them")
        return self


class GcpCredentials(Section):
    """A secret with the key file of a service account."""

    secret: ObjectName
    key: SecretKey = "key.json"


class AwsCredentials(Section):
    """A secret with an access key; the names of its keys, not their values."""

    secret: ObjectName
    access_key_id: SecretKey = "AWS_ACCESS_KEY_ID"
    secret_access_key: SecretKey = "AWS_SECRET_ACCESS_KEY"
    region: LabelValue = ""

    @model_validator(mode="after")
    def _keys_differ(self) -> AwsCredentials:
        if self.access_key_id == self.secret_access_key:
            raise ValueError("access_key_id and secret_access_key are the same key of the secret")
        return self


class Credentials(Section):
    """For a cloud's storage and services."""

    gcp: GcpCredentials | None = None
    aws: AwsCredentials | None = None


class Retry(Section):
    """Trying again after a fault: `count` times, after `backoff`, then `factor` times as long, at most `max`."""

    count: NonNegativeInt = 2
    backoff: Duration = "30s"
    factor: Annotated[float, Field(ge=1)] = 2.0
    max: Duration = "10m"


class StageResources(Section):
    """What the pods of one stage are given."""

    memory: MemoryRange = MemoryRange()
    cpu: CpuRange = CpuRange()
    gpu: Gpu | None = None
    mounts: list[Mount] = []
    secrets: list[Secret] = []
    credentials: Credentials = Credentials()
    node_selector: dict[LabelKey, LabelValue] = {}
    tolerations: list[Toleration] = []
    service_account: MaybeName = ""
    timeout: Duration | None = None
    retry: Retry | None = None
    caching: bool | None = None

    @property
    def paths(self) -> list[str]:
        """Where something is mounted."""
        return [mount.path for mount in self.mounts] + [secret.path for secret in self.secrets if secret.path]

    @model_validator(mode="after")
    def _places_differ(self) -> StageResources:
        variables = [variable for secret in self.secrets for variable in secret.env.values()]
        if self.credentials.gcp:
            variables.append("GOOGLE_APPLICATION_CREDENTIALS")
        if self.credentials.aws:
            variables += ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"]
        for path in self.paths:
            if self.paths.count(path) > 1:
                raise ValueError(f"{path} is mounted twice")
        for variable in variables:
            if variables.count(variable) > 1:
                raise ValueError(f"the environment variable {variable} is set twice")
        return self
