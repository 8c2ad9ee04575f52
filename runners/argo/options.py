"""What a Workflow needs to know besides the pipeline: volume, place, deadlines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from components.runtime.errors import InputError

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
_SUBDOMAIN = re.compile(rf"{_LABEL.pattern}(\.{_LABEL.pattern})*")
_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi)?")
_LABEL_KEY = re.compile(rf"({_SUBDOMAIN.pattern}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_ACCESS_MODES = ("ReadWriteOnce", "ReadWriteMany", "ReadWriteOncePod")
# Argo and the launcher have their own files there.
_TAKEN = ("/tmp", "/var", "/proc", "/sys", "/dev", "/etc", "/usr", "/bin", "/lib", "/argo", "/mainctrfs")


@dataclass(frozen=True)
class ArgoOptions:
    """Options of a Workflow.

    Attributes:
      claim: an existing persistent volume claim for the pipeline root; without one each run makes its own, and Argo
        removes it when the run has succeeded.
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
      retries: how often a passing fault (exit code 75) is tried again where the task has no retry policy of its own.
      backoff_seconds: before the first retry; doubled for each one after.
      backoff_cap_seconds: the longest wait.
      parameters: values of pipeline parameters in place of their defaults.
      labels: besides our own, on the Workflow and all pods.
    """

    claim: str = ""
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
    retries: int = 3
    backoff_seconds: int = 30
    backoff_cap_seconds: int = 600
    parameters: Mapping[str, Any] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Checks everything that Kubernetes would refuse.

        Raises:
          InputError: which option, and how to mend it.
        """
        for name in ("claim", "storage_class", "service_account"):
            if value := getattr(self, name):
                check_name(f"{name} {value!r}", value)
        if self.namespace:
            check_label(f"namespace {self.namespace!r}", self.namespace)
        check_quantity(f"size {self.size!r}", self.size)
        if self.access_mode not in _ACCESS_MODES:
            raise InputError(f"access_mode {self.access_mode!r}: expected one of {', '.join(_ACCESS_MODES)}")
        check_mount_path(f"mount_path {self.mount_path!r}", self.mount_path)
        for name in ("ttl_seconds", "deadline_seconds", "backoff_seconds", "backoff_cap_seconds"):
            if getattr(self, name) <= 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected a number of seconds above 0")
        for name in ("task_deadline_seconds", "retries"):
            if getattr(self, name) < 0:
                raise InputError(f"{name} is {getattr(self, name)}, expected 0 or more")
        for key, value in (self.labels | {"millrace/model": self.model}).items():  # type: ignore[operator]
            check_label_pair(key, value)


def check_name(what: str, name: str, limit: int = 253) -> None:
    """Raises InputError unless `name` can be the name of a Kubernetes object (a DNS subdomain)."""
    if len(name) > limit or not _SUBDOMAIN.fullmatch(name):
        raise InputError(
            f"{what}: Kubernetes refuses it; use small letters, digits, '-' and '.', a letter or digit at both ends, "
            f"at most {limit} characters"
        )


def check_label(what: str, name: str, limit: int = 63) -> None:
    """Raises InputError unless `name` is a DNS label."""
    if len(name) > limit or not _LABEL.fullmatch(name):
        raise InputError(
            f"{what}: Kubernetes refuses it; use small letters, digits and '-', a letter or digit at both ends, "
            f"at most {limit} characters"
        )


def check_label_pair(key: str, value: str) -> None:
    """Raises InputError unless both can be a label's."""
    if not _LABEL_KEY.fullmatch(key):
        raise InputError(f"label {key!r}: Kubernetes refuses this key; use letters, digits, '-', '_' and '.'")
    if not isinstance(value, str) or not _LABEL_VALUE.fullmatch(value):
        raise InputError(
            f"label {key}={value!r}: Kubernetes refuses this value; use letters, digits, '-', '_' and '.', at most 63"
        )


def check_quantity(what: str, quantity: str) -> None:
    """Raises InputError unless Kubernetes reads the quantity."""
    if not _QUANTITY.fullmatch(quantity):
        raise InputError(f"{what}: not a quantity of Kubernetes; expected a number with a unit, such as 4Gi or 500m")


def check_mount_path(what: str, path: str) -> None:
    """Raises InputError unless a volume can be mounted there."""
    parts = path.split("/")
    if not path.startswith("/") or path == "/" or ":" in path or ".." in parts or "" in parts[1:]:
        raise InputError(f"{what}: expected an absolute path such as /millrace, without '..', ':' and a '/' at the end")
    if f"/{parts[1]}" in _TAKEN:
        raise InputError(f"{what}: /{parts[1]} belongs to the container's own system; use a path such as /millrace")
