"""What the IR and the kubernetes platform spec say about a task's pod, as Kubernetes has it.

The platform spec is kubeflow/pipelines, kubernetes_platform/proto/kubernetes_executor_config.proto.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from components.runtime.errors import InputError
from runners.compiled.ir import ACCOUNT_ANNOTATION, READ_ONLY_ANNOTATION
from runners.compiled.pod_security import POD_SECURITY, USER
from runners.settings.kubernetes_values import ObjectName, SecretKey, Variable, check, check_label

VOLUME = "millrace"
SCRATCH = "scratch"

_QUANTITY = re.compile(r"[0-9]+(\.[0-9]+)?(m|([kKMGTPE]i?))?")
_NOT_A_CONSTANT = "can only be a constant for {}, not a parameter or an output of a task"


class Pod:
    """Collects a task's container and pod settings."""

    def __init__(
        self,
        task: str,
        container: Mapping[str, Any],
        config: Mapping[str, Any],
        claim: str,
        mount_path: str,
        target: str = "Argo",
    ) -> None:
        """Translates both.

        Args:
          task: name of the task, for messages.
          container: the IR's PipelineContainerSpec.
          config: the task's part of the platform spec.
          claim: the claim that the volume of the pipeline root is; empty for a claim of the run's own.
          mount_path: where it is mounted.
          target: what makes the pod, for messages.

        Raises:
          InputError: something that such a pod cannot have.
        """
        self._task = task
        self._target = target
        self._claim = claim
        self.env: dict[str, dict[str, Any]] = {}
        self.mounts: list[dict[str, Any]] = [
            {"name": VOLUME, "mountPath": mount_path},
            # The root file system is read-only.
            {"name": SCRATCH, "mountPath": "/tmp"},
        ]
        self.volumes: dict[str, dict[str, Any]] = {}
        self.container: dict[str, Any] = {}
        self.template: dict[str, Any] = {}
        self.labels: dict[str, str] = {}
        self.annotations: dict[str, str] = {}
        self.pull_secrets: list[str] = []
        annotations = config.get("podMetadata", {}).get("annotations", {})
        self._read_only = annotations.get(READ_ONLY_ANNOTATION, "").split(",")
        for variable in container.get("env", []):
            self._variable(variable["name"], {"value": str(variable.get("value", ""))})
        if resources := self._resources(container.get("resources", {})):
            self.container["resources"] = resources
        for key in config:
            translate: Callable[[Any], None] | None = getattr(self, f"_{_snake(key)}", None)
            if translate is None or not config[key]:
                if config[key]:
                    self._refuse(f"{key} of the platform spec cannot be translated to {target}; leave it out")
                continue
            translate(config[key])

    def _refuse(self, reason: str) -> None:
        raise InputError(f"task {self._task}: {reason}")

    def _where(self, what: str) -> str:
        return f"task {self._task}: {what}"

    # --- resources

    def _resources(self, resources: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, dict[str, str]] = {}
        for side in ("Request", "Limit"):
            quantities: dict[str, str] = {}
            for name, unit in (("Cpu", ""), ("Memory", "G")):
                # The numbers, in cores and 10^9 bytes, are the older form; servers before 2.4 know nothing else.
                value = resources.get(f"resource{name}{side}")
                if value is None and (number := resources.get(f"{name.lower()}{side}")):
                    value = f"{number:g}{unit}"
                if value:
                    if not _QUANTITY.fullmatch(self._constant_text(value)):
                        self._refuse(f"{name.lower()} {side.lower()} {value!r} is no quantity, such as 4Gi or 500m")
                    quantities[name.lower()] = value
            if quantities:
                found["requests" if side == "Request" else "limits"] = quantities
        accelerator = resources.get("accelerator", {})
        kind = accelerator.get("resourceType") or accelerator.get("type")
        count = accelerator.get("resourceCount") or accelerator.get("count")
        if kind and count:
            check_label(self._constant_text(kind), "")
            if not str(self._constant_text(str(count))).isdigit():
                self._refuse(f"accelerator count {count!r}: expected a whole number")
            found.setdefault("limits", {})[kind] = str(count)
        return found

    def _constant_text(self, value: str) -> str:
        if "{{$" in value:
            self._refuse(f"a resource {_NOT_A_CONSTANT.format(self._target)}")
        return value

    # --- the platform spec, one method for each of its fields

    def _secret_as_env(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            name = self._name(entry, "secretName")
            for each in entry["keyToEnv"]:
                self._variable(each["envVar"], _from("secretKeyRef", name, each["secretKey"], entry))

    def _config_map_as_env(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            name = self._name(entry, "configMapName")
            for each in entry["keyToEnv"]:
                self._variable(each["envVar"], _from("configMapKeyRef", name, each["configMapKey"], entry))

    def _field_path_as_env(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            self._variable(entry["name"], {"valueFrom": {"fieldRef": {"fieldPath": entry["fieldPath"]}}})

    def _secret_as_volume(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            name = self._name(entry, "secretName")
            source = {"secretName": name} | _optional(entry)
            self._mount(f"secret-{name}", {"secret": source}, entry, read_only=True)

    def _config_map_as_volume(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            name = self._name(entry, "configMapName")
            source = {"name": name} | _optional(entry)
            self._mount(f"config-{name}", {"configMap": source}, entry, read_only=True)

    def _pvc_mount(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            name = self._name(entry, "pvcName", "constant")
            # Two volumes of one claim in one pod hang it on some clusters.
            volume = VOLUME if name == self._claim else f"claim-{name}"
            self._mount(volume, {"persistentVolumeClaim": {"claimName": name}}, entry)

    def _empty_dir_mounts(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            source = {key: entry[key] for key in ("medium", "sizeLimit") if entry.get(key)}
            self._mount(f"empty-{entry['volumeName']}", {"emptyDir": source}, entry)

    def _generic_ephemeral_volume(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            spec: dict[str, Any] = {
                "accessModes": entry["accessModes"],
                "resources": {"requests": {"storage": entry["size"]}},
            }
            if entry.get("storageClassName"):
                spec["storageClassName"] = entry["storageClassName"]
            template: dict[str, Any] = {"spec": spec}
            if metadata := _labels_and_annotations(entry.get("metadata", {})):
                template["metadata"] = metadata
            self._mount(f"own-{entry['volumeName']}", {"ephemeral": {"volumeClaimTemplate": template}}, entry)

    def _node_selector(self, entry: dict[str, Any]) -> None:
        labels = dict(entry.get("labels", {})) | (self._json(entry, "nodeSelectorJson") or {})
        for key, value in labels.items():
            check_label(key, value)
        self.template["nodeSelector"] = labels

    def _tolerations(self, entries: list[dict[str, Any]]) -> None:
        found: list[dict[str, Any]] = []
        for entry in entries:
            plain = {key: value for key, value in entry.items() if key != "tolerationJson"}
            given = self._json(entry, "tolerationJson") if "tolerationJson" in entry else plain
            for each in given if isinstance(given, list) else [given]:
                each = dict(each)
                if "tolerationSeconds" in each:
                    each["tolerationSeconds"] = int(each["tolerationSeconds"])
                found.append(each)
        self.template["tolerations"] = found

    def _node_affinity(self, entries: list[dict[str, Any]]) -> None:
        required: list[dict[str, Any]] = []
        preferred: list[dict[str, Any]] = []
        for entry in entries:
            if "nodeAffinityJson" in entry:
                self._refuse(f"nodeAffinityJson cannot be translated to {self._target}; use add_node_affinity")
            term = {key: entry[key] for key in ("matchExpressions", "matchFields") if entry.get(key)}
            if "weight" in entry:
                preferred.append({"weight": int(entry["weight"]), "preference": term})
            else:
                required.append(term)
        affinity: dict[str, Any] = {}
        if required:
            affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {"nodeSelectorTerms": required}
        if preferred:
            affinity["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
        self.template["affinity"] = {"nodeAffinity": affinity}

    def _pod_metadata(self, entry: dict[str, Any]) -> None:
        for key, value in entry.get("labels", {}).items():
            check_label(key, value)
            if key.startswith("millrace/"):
                self._refuse(f"label {key!r}: labels under millrace/ are our own; use another prefix")
        self.labels |= entry.get("labels", {})
        self.annotations |= entry.get("annotations", {})
        if account := self.annotations.pop(ACCOUNT_ANNOTATION, ""):
            check(ObjectName, self._where(f"service account {account!r}"), account)
            self.template["serviceAccountName"] = account

    def _image_pull_policy(self, policy: str) -> None:
        self.container["imagePullPolicy"] = policy

    def _image_pull_secret(self, entries: list[dict[str, Any]]) -> None:
        self.pull_secrets += [self._name(entry, "secretName") for entry in entries]

    def _active_deadline_seconds(self, seconds: str | int) -> None:
        self.template["activeDeadlineSeconds"] = int(seconds)

    def _security_context(self, entry: dict[str, Any]) -> None:
        user = int(entry.get("runAsUser", USER))
        if user == 0 or entry.get("runAsNonRoot") is False:
            self._refuse("the security context asks for root, which the Pod Security Standard restricted forbids")
        context = {"runAsUser": user}
        if "runAsGroup" in entry:
            context["runAsGroup"] = int(entry["runAsGroup"])
        if unknown := entry.keys() - {"runAsUser", "runAsGroup", "runAsNonRoot"}:
            self._refuse(
                f"the security context's {sorted(unknown)[0]} cannot be translated to {self._target}; leave it out"
            )
        if user != USER or "runAsGroup" in context:
            self.template["securityContext"] = POD_SECURITY | context

    # --- parts

    def _variable(self, name: str, value: dict[str, Any]) -> None:
        check(Variable, self._where(f"variable {name!r}"), name)
        self.env[name] = {"name": name} | value

    def _mount(self, volume: str, source: dict[str, Any], entry: dict[str, Any], *, read_only: bool = False) -> None:
        path = entry["mountPath"]
        if not path.startswith("/") or path.rstrip("/") in ("", "/tmp") or ":" in path or ".." in path.split("/"):
            self._refuse(f"mount path {path!r}: expected an absolute path such as /data, and not /tmp, which is taken")
        # Names of claims and secrets may have dots and be longer than a volume's name.
        volume = volume.replace(".", "-")[:63].rstrip("-")
        named = {"name": volume} | source
        if volume != VOLUME and self.volumes.setdefault(volume, named) != named:
            self._refuse(f"two different volumes would have the name {volume!r}; use shorter names")
        mount = {"name": volume, "mountPath": path}
        if entry.get("subPath"):
            mount["subPath"] = entry["subPath"]
        if mount == self.mounts[0]:
            # The volume of the pipeline root, which the platform spec mounts for KFP.
            return
        if any(other["mountPath"] == path for other in self.mounts):
            self._refuse(f"two volumes are mounted at {path}; give one of them another path")
        self.mounts.append(mount | ({"readOnly": True} if read_only or path in self._read_only else {}))

    def _name(self, entry: dict[str, Any], *keys: str) -> str:
        """The name of a secret, map or claim: a constant in the new form, or the older plain one."""
        for key, binding in entry.items():
            if key.endswith("NameParameter"):
                if "constant" not in binding.get("runtimeValue", {}):
                    self._refuse(f"{key.removesuffix('Parameter')} {_NOT_A_CONSTANT.format(self._target)}")
                name = str(binding["runtimeValue"]["constant"])
                check(ObjectName, self._where(f"{key.removesuffix('Parameter')} {name!r}"), name)
                return name
        for key in keys:
            if key in entry:
                check(ObjectName, self._where(f"{key} {entry[key]!r}"), entry[key])
                return str(entry[key])
        self._refuse(f"the name of a mount {_NOT_A_CONSTANT.format(self._target)}")
        raise AssertionError

    def _json(self, entry: dict[str, Any], key: str) -> Any:
        if key not in entry:
            return None
        if "constant" not in entry[key].get("runtimeValue", {}):
            self._refuse(f"{key} {_NOT_A_CONSTANT.format(self._target)}")
        value = entry[key]["runtimeValue"]["constant"]
        return json.loads(value) if isinstance(value, str) else value


def _from(kind: str, name: str, key: str, entry: dict[str, Any]) -> dict[str, Any]:
    check(SecretKey, f"{name}: key {key!r}", key)
    return {"valueFrom": {kind: {"name": name, "key": key} | _optional(entry)}}


def _optional(entry: dict[str, Any]) -> dict[str, bool]:
    return {"optional": True} if entry.get("optional") else {}


def _labels_and_annotations(metadata: dict[str, Any]) -> dict[str, Any]:
    return {key: metadata[key] for key in ("labels", "annotations") if metadata.get(key)}


def _snake(name: str) -> str:
    return re.sub("([A-Z])", lambda letter: f"_{letter[1].lower()}", name)


def same_node(run: str) -> dict[str, Any]:
    """Draws a run's pods to the node of its volume: elsewhere they may have to wait. A wish: a GPU may be elsewhere.

    Args:
      run: what the pods' label `millrace/run` has.
    """
    term = {
        "labelSelector": {"matchLabels": {"millrace/run": run}},
        "topologyKey": "kubernetes.io/hostname",
    }
    return {
        "podAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 100, "podAffinityTerm": term}],
        }
    }
