"""The configuration of a TensorFlow Serving that holds the stable version: a ModelServerConfig as text in a ConfigMap.

https://www.tensorflow.org/tfx/serving/serving_config#model_server_config_file
"""

from __future__ import annotations

import json
import re

from components.runtime.errors import InputError
from components.runtime.stage.kubernetes import Kubernetes, place_of
from components.runtime.stage.progress import report as progress

KEY = "models.config"
_MAP = "/api/v1/namespaces/{namespace}/configmaps/{name}"
_POLICY = re.compile(r"model_version_policy\s*:?\s*\{(?:[^{}]|\{[^{}]*\})*\}")


def hold(cluster: Kubernetes, named: str, model: str, label: str, version: int) -> None:
    """Has the server hold one version, which has the label.

    Args:
      cluster: where the ConfigMap is.
      named: NAMESPACE/NAME of it.
      model: its name in requests.
      label: such as stable.
      version: the number.

    Raises:
      InputError: there is no such ConfigMap, or it says nothing of the model.
      TransientError: Kubernetes does not answer.
    """
    namespace, name = place_of(cluster, named, "canary.config_map")
    path = _MAP.format(namespace=namespace, name=name)
    before = str(cluster.get(path).get("data", {}).get(KEY) or "")
    try:
        after = held(before, model, label, version)
    except ValueError as error:
        raise InputError(f"the ConfigMap {namespace}/{name}, {KEY}: {error}") from None
    if after != before:
        cluster.merge(path, {"data": {KEY: after}})
        progress(f"the ConfigMap {namespace}/{name} has TensorFlow Serving hold version {version}")


def held(config: str, model: str, label: str, version: int) -> str:
    """A configuration in which a model has one version and one label; the rest of it is as before.

    Raises:
      ValueError: it has no such model, or no version policy of it.
    """
    for begin, end in _blocks(config):
        block = config[begin:end]
        if not re.search(rf"\bname\s*:\s*{re.escape(json.dumps(model))}", block):
            continue
        block, count = _POLICY.subn(f"model_version_policy {{ specific {{ versions: {version} }} }}", block)
        if not count:
            raise ValueError(f"the model {model!r} has no model_version_policy; write {{ specific {{ versions: N }} }}")
        labelled = rf"(version_labels\s*:?\s*\{{\s*key\s*:\s*{re.escape(json.dumps(label))}\s*,?\s*value\s*:\s*)\d+"
        block = re.sub(labelled, rf"\g<1>{version}", block)
        return config[:begin] + block + config[end:]
    raise ValueError(f"it has no model {model!r}")


def _blocks(config: str) -> list[tuple[int, int]]:
    """Where each `config { … }` begins and ends; braces in comments and texts are none."""
    blanked = re.sub(r'#[^\n]*|"(?:[^"\\]|\\.)*"', lambda found: " " * len(found[0]), config)
    found = []
    for start in re.finditer(r"\bconfig\s*:?\s*\{", blanked):
        depth, place = 1, start.end()
        while depth and place < len(blanked):
            depth += {"{": 1, "}": -1}.get(blanked[place], 0)
            place += 1
        found.append((start.start(), place))
    return found
