"""Op functions: each takes a task of the pipeline, says one thing about its pod, and returns the task.

They write what KFP's IR and its Kubernetes platform spec have a place for; `configure` applies a stage's settings.
What the platform spec has no place for goes into an annotation, which the targets Argo and Vertex read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from kfp import kubernetes
from kfp.dsl import PipelineConfig, PipelineTask

from runners.compiled.images import OF_ALL
from runners.compiled.ir import (
    ACCOUNT_ANNOTATION,
    CACHED_BY_CONTENT,
    FOREIGN_STAGE,
    READ_ONLY_ANNOTATION,
    VERTEX_ANNOTATION,
)
from runners.settings.cluster import (
    LABELS_SERVER,
    RUN_LIMITS_SERVER,
    SECURITY_CONTEXT_SERVER,
    Cluster,
    Credentials,
    StageResources,
    Toleration,
)
from runners.settings.kubernetes_values import seconds

CREDENTIALS_PATH = "/credentials/gcp"
GPU = "gpu"
"""The variant of an image that has CUDA."""

FindImage = Callable[[str, str], str]
"""Says what to start for the name and the variant of an image."""

USER = 1000
"""The user that the images are made for."""

VOLUME_STAGES = ("query", "ingest", "resolve", "pull", "approve", "push", "canary", "watch", "retrain", "feedback")
"""The stages that read raw data, the serving directory or the log of predictions, which may lie on the volume."""


def memory(task: PipelineTask, request: str | None = None, limit: str | None = None) -> PipelineTask:
    """Sets aside memory, and ends the pod above a limit: `memory(task, "1Gi", "4Gi")`."""
    if request:
        task.set_memory_request(request)
    if limit:
        task.set_memory_limit(limit)
    return task


def cpu(task: PipelineTask, request: str | None = None, limit: str | None = None) -> PipelineTask:
    """Sets aside processors, and slows the pod down above a limit: `cpu(task, "500m", "2")`."""
    if request:
        task.set_cpu_request(request)
    if limit:
        task.set_cpu_limit(limit)
    return task


def gpu(
    task: PipelineTask,
    resource: str = "nvidia.com/gpu",
    count: int = 1,
    tolerations: Sequence[Toleration] | None = None,
    selector: Mapping[str, str] | None = None,
    vertex: str = "",
) -> PipelineTask:
    """Asks for accelerators: `gpu(task, "nvidia.com/gpu", 1)`.

    Args:
      task: the task.
      resource: what the vendor's device plugin calls them.
      count: how many.
      tolerations: of the taints that keep other pods away; without, the one that has the resource's name.
      selector: labels of the nodes, such as those that name the kind of accelerator.
      vertex: what Vertex AI calls them.
    """
    task.set_accelerator_type(resource).set_accelerator_limit(count)
    if tolerations is None:
        tolerations = [Toleration(key=resource, effect="NoSchedule")]
    for toleration in tolerations:
        tolerate(task, toleration)
    if vertex:
        kubernetes.add_pod_annotation(task, VERTEX_ANNOTATION, vertex)
    return node_selector(task, selector or {})


def tolerate(task: PipelineTask, toleration: Toleration) -> PipelineTask:
    """Puts up with a taint of the nodes."""
    kubernetes.add_toleration(task, **toleration.model_dump())
    return task


def node_selector(task: PipelineTask, labels: Mapping[str, str]) -> PipelineTask:
    """Runs on nodes with these labels only."""
    for key, value in sorted(labels.items()):
        kubernetes.add_node_selector(task, key, value)
    return task


def mount(task: PipelineTask, claim: str, path: str, read_only: bool = False) -> PipelineTask:
    """Mounts an existing claim: `mount(task, "photos", "/photos", read_only=True)`.

    KFP has no word for read-only, so on KFP that is a promise; the Argo target holds the pod to it.
    """
    kubernetes.mount_pvc(task, claim, path)
    if read_only:
        annotations = task.platform_config["kubernetes"].get("podMetadata", {}).get("annotations", {})
        paths = [*filter(None, annotations.get(READ_ONLY_ANNOTATION, "").split(",")), path]
        kubernetes.add_pod_annotation(task, READ_ONLY_ANNOTATION, ",".join(sorted(paths)))
    return task


def secret_as_env(task: PipelineTask, secret: str, variables: Mapping[str, str]) -> PipelineTask:
    """Gives keys of a secret as environment variables: `secret_as_env(task, "hub", {"token": "HF_TOKEN"})`."""
    kubernetes.use_secret_as_env(task, secret, dict(sorted(variables.items())))
    # A field that older servers refuse (kubeflow/pipelines#12495), though it says what holds without it.
    del task.platform_config["kubernetes"]["secretAsEnv"][-1]["optional"]
    return task


def secret_as_file(task: PipelineTask, secret: str, path: str) -> PipelineTask:
    """Gives a secret as a folder with a file per key."""
    return kubernetes.use_secret_as_volume(task, secret, path)


def credentials(task: PipelineTask, given: Credentials) -> PipelineTask:
    """Gives what the clouds' own libraries look for: Google's key file, Amazon's environment variables."""
    if given.gcp:
        secret_as_file(task, given.gcp.secret, CREDENTIALS_PATH)
        task.set_env_variable("GOOGLE_APPLICATION_CREDENTIALS", f"{CREDENTIALS_PATH}/{given.gcp.key}")
    if given.aws:
        keys = {given.aws.access_key_id: "AWS_ACCESS_KEY_ID", given.aws.secret_access_key: "AWS_SECRET_ACCESS_KEY"}
        secret_as_env(task, given.aws.secret, keys)
        if given.aws.region:
            task.set_env_variable("AWS_REGION", given.aws.region)
    return task


def service_account(task: PipelineTask, name: str) -> PipelineTask:
    """Runs as an account of its own, on plain Argo; on KFP all pods of a run have the one account of the run."""
    return kubernetes.add_pod_annotation(task, ACCOUNT_ANNOTATION, name)


def timeout(task: PipelineTask, duration: str) -> PipelineTask:
    """Ends the pod after a time: `timeout(task, "2h")`."""
    return kubernetes.set_timeout(task, seconds(duration))


def retry(
    task: PipelineTask, count: int, backoff: str = "30s", factor: float = 2.0, maximum: str = "10m"
) -> PipelineTask:
    """Tries again after a fault: `count` times, after `backoff`, then `factor` times as long, at most `maximum`."""
    if count:
        task.set_retry(count, f"{seconds(backoff)}s", factor, f"{seconds(maximum)}s")
    return task


def non_root(task: PipelineTask) -> PipelineTask:
    """Runs as the images' own user, and never as root."""
    return kubernetes.set_security_context(task, run_as_user=USER, run_as_non_root=True)


def caching(task: PipelineTask, enabled: bool) -> PipelineTask:
    """Takes a task's answer from an earlier run with the same input, or never."""
    return task.set_caching_options(enabled)


def cached_by_content(task: PipelineTask) -> PipelineTask:
    """Keeps a task from the caches of KFP and Vertex AI, which know a parameter by its text alone.

    What the text names may have changed; our own cache, local and on Argo, looks at that, and still answers.
    """
    return caching(task.set_env_variable(CACHED_BY_CONTENT, "true"), False)


def labels(task: PipelineTask, given: Mapping[str, str]) -> PipelineTask:
    """Labels the pod."""
    for key, value in sorted(given.items()):
        kubernetes.add_pod_label(task, key, value)
    return task


def image(task: PipelineTask, resources: StageResources, find: FindImage, *, of_all: bool = False) -> PipelineTask:
    """Starts what `find` says for the image that the task's component names: with accelerators, its GPU variant.

    Args:
      task: the task.
      resources: what its pod is given.
      find: says what to start.
      of_all: whether it needs the image of all stages in place of its own.
    """
    name = OF_ALL if of_all else task.container_spec.image
    return task.set_container_image(find(name, GPU if resources.gpu else ""))


def foreign(task: PipelineTask, stage: str) -> PipelineTask:
    """Says which stage a container is that has nothing of ours, not even the name of its image."""
    return task.set_env_variable(FOREIGN_STAGE, stage)


def bare_name(image: str, variant: str) -> str:
    """The image as its component names it: all that a run without containers needs."""
    return image


def configure(task: PipelineTask, resources: StageResources, cluster: Cluster, *, volume: bool) -> PipelineTask:
    """Applies what the settings say about a task.

    Args:
      task: the task.
      resources: what its pod is given.
      cluster: what holds for all pods.
      volume: whether its pod reads or writes what may lie on the volume.
    """
    memory(task, resources.memory.request, resources.memory.limit)
    cpu(task, resources.cpu.request, resources.cpu.limit)
    if resources.gpu:
        gpu(
            task,
            resources.gpu.resource,
            resources.gpu.count,
            resources.gpu.tolerations,
            resources.gpu.node_selector,
            resources.gpu.vertex,
        )
    node_selector(task, resources.node_selector)
    for toleration in resources.tolerations:
        tolerate(task, toleration)
    if cluster.volume.claim and volume:
        mount(task, cluster.volume.claim, cluster.mount_path)
    for volume in resources.mounts:
        mount(task, volume.claim, volume.path, volume.read_only)
    for secret in resources.secrets:
        if secret.path:
            secret_as_file(task, secret.name, secret.path)
        else:
            secret_as_env(task, secret.name, secret.env)
    credentials(task, resources.credentials)
    if cluster.image_pull_secrets:
        kubernetes.set_image_pull_secrets(task, cluster.image_pull_secrets)
    if resources.service_account:
        service_account(task, resources.service_account)
    if resources.timeout:
        timeout(task, resources.timeout)
    if resources.retry:
        retry(task, resources.retry.count, resources.retry.backoff, resources.retry.factor, resources.retry.max)
    if resources.caching is not None:
        caching(task, resources.caching)
    if cluster.server >= LABELS_SERVER:
        labels(task, cluster.labels)
    if cluster.server >= SECURITY_CONTEXT_SERVER:
        non_root(task)
    return task


def run_limits(cluster: Cluster) -> PipelineConfig | None:
    """How long a run may take and is kept, for a server that can be told."""
    if cluster.server < RUN_LIMITS_SERVER:
        return None
    return PipelineConfig(
        ttl_seconds_after_finished=cluster.ttl_seconds, active_deadline_seconds=cluster.deadline_seconds
    )
