"""Where the pipeline root of a Workflow is, as its pods are told: on a volume that they share, or in a bucket."""

from __future__ import annotations

from typing import Any

from runners.argo.options import ArgoOptions
from runners.compiled.pods import SCRATCH, VOLUME


def root_arguments(options: ArgoOptions) -> list[str]:
    """The options of the launcher that say where the pipeline root is."""
    return ["--root", options.mount_path, *(["--bucket", options.bucket] if options.bucket else [])]


def own_volumes(options: ArgoOptions) -> list[dict[str, Any]]:
    """What each pod has for itself; also its part of the pipeline root, where that is in a bucket."""
    names = [SCRATCH, VOLUME] if options.bucket else [SCRATCH]
    return [{"name": name, "emptyDir": {}} for name in names]


def variables_of_bucket(options: ArgoOptions) -> dict[str, Any]:
    """Of a container that reads and writes the bucket, by whose rights."""
    return {"envFrom": [{"secretRef": {"name": options.bucket_secret}}]} if options.bucket_secret else {}
