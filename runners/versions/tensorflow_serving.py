"""The configuration of TensorFlow Serving for a model: which versions it holds in memory, and their labels."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping


def config(model: str, base_path: str, in_service: int, labels: Mapping[str, int], there: Collection[int]) -> str:
    """A ModelServerConfig as text.

    The version in service and those with a label are named one by one, for a label of a version that the server does
    not hold is refused by it.

    Args:
      model: its name in requests.
      base_path: the serving directory, where the server sees it.
      in_service: the version that answers where none is asked for.
      labels: with the versions that they name; those of versions that are not there are left out.
      there: the versions that are there.
    """
    named = {label: number for label, number in sorted(labels.items()) if number in there}
    versions = " ".join(f"versions: {number}" for number in sorted({in_service, *named.values()}))
    lines = [
        "model_config_list {",
        "  config {",
        f"    name: {json.dumps(model)}",
        f"    base_path: {json.dumps(base_path)}",
        '    model_platform: "tensorflow"',
        f"    model_version_policy {{ specific {{ {versions} }} }}",
        *(f"    version_labels {{ key: {json.dumps(label)} value: {number} }}" for label, number in named.items()),
        "  }",
        "}",
    ]
    return "\n".join(lines)
