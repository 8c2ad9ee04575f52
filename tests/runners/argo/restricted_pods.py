"""The Pod Security Standard `restricted`: https://kubernetes.io/docs/concepts/security/pod-security-standards/."""

import json
from collections.abc import Iterator

from tests.runners.argo.compiled_workflows import Document, pod_templates

VOLUME_TYPES = {
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"),
}


def pods_of(workflow: Document) -> Iterator[tuple[str, Document]]:
    """The pods that Argo makes, with its own containers `init` and `wait` as the patch leaves them."""
    spec = workflow["spec"]
    patch = json.loads(spec.get("podSpecPatch", "{}"))
    claims = [
        {"name": each["metadata"]["name"], "persistentVolumeClaim": {}} for each in spec.get("volumeClaimTemplates", [])
    ]
    for name, template in pod_templates(workflow).items():
        yield (
            name,
            {
                **{key: spec[key] for key in ("hostNetwork", "hostPID", "hostIPC") if key in spec},
                "securityContext": template.get("securityContext", spec.get("securityContext", {})),
                "volumes": [*spec.get("volumes", []), *claims, *template.get("volumes", [])],
                "containers": [template["container"] | {"name": "main"}, *patch.get("containers", [{"name": "wait"}])],
                "initContainers": patch.get("initContainers", [{"name": "init"}]),
            },
        )


def violations(pod: Document) -> Iterator[str]:
    """What `restricted` forbids, rule by rule, and besides a root file system that the stage could write to."""
    for key in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(key):
            yield key
    for volume in pod["volumes"]:
        if not volume.keys() - {"name"} <= VOLUME_TYPES:
            yield f"volume types: {volume}"
    context = pod["securityContext"]
    if context.get("sysctls") or context.get("seLinuxOptions") or context.get("windowsOptions"):
        yield "sysctls, SELinux or host process"
    for container in [*pod["containers"], *pod["initContainers"]]:
        own, name = container.get("securityContext", {}), container["name"]
        effective = context | own
        if own.get("privileged"):
            yield f"{name}: privileged"
        if own.get("allowPrivilegeEscalation") is not False:
            yield f"{name}: allowPrivilegeEscalation"
        if effective.get("runAsNonRoot") is not True:
            yield f"{name}: runAsNonRoot"
        if effective.get("runAsUser", 1) == 0:
            yield f"{name}: runAsUser"
        if effective.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{name}: seccompProfile"
        capabilities = own.get("capabilities", {})
        if "ALL" not in capabilities.get("drop", []) or not set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}:
            yield f"{name}: capabilities"
        if own.get("procMount", "Default") != "Default" or any(
            "hostPort" in port for port in container.get("ports", [])
        ):
            yield f"{name}: procMount or hostPort"
        if name == "main" and own.get("readOnlyRootFilesystem") is not True:
            yield f"{name}: readOnlyRootFilesystem"
