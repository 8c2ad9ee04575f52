"""Where a cluster is, and who asks: the kubeconfig, or the pod's own account inside a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from components.runtime.errors import InputError
from runners.remote.http import missing


class NoKubeconfig(InputError):
    """Nothing says where a cluster is."""


def configure(configuration: Any, context: str) -> str:
    """Fills the configuration of a client, and returns the namespace that goes with it.

    Args:
      configuration: of kubernetes.client.
      context: of the kubeconfig; its current one where empty.

    Raises:
      NoKubeconfig: there is none.
      InputError: it cannot be read, or has no such context.
    """
    from kubernetes import config
    from kubernetes.config.config_exception import ConfigException

    configuration.retries = _no_retries()
    try:
        contexts, active = config.list_kube_config_contexts()
    except ConfigException as error:
        try:
            config.load_incluster_config(configuration)
        except ConfigException:
            said = " ".join(str(error).split())
            if "No configuration found" in said:
                raise NoKubeconfig("no cluster: there is no kubeconfig; set KUBECONFIG") from None
            raise InputError(f"the kubeconfig cannot be read: {said}") from None
        return Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace").read_text().strip()
    except Exception as error:
        # The library meets a damaged file with whatever its first wrong step raises.
        raise InputError(f"the kubeconfig cannot be read: {' '.join(str(error).split())}") from None
    names = [each["name"] for each in contexts]
    if context and context not in names:
        raise missing("context", context, names, "the kubeconfig", "in")
    chosen = next((each for each in contexts if each["name"] == context), active)
    try:
        config.load_kube_config(context=context or None, client_configuration=configuration)
    except Exception as error:
        raise InputError(f"the kubeconfig: {' '.join(str(error).split())}") from None
    return str(chosen["context"].get("namespace") or "")


def _no_retries() -> Any:
    import urllib3

    return urllib3.Retry(connect=0, read=0, redirect=2, status=0, other=0)
