"""YAML that people write, with the numbers of YAML 1.2: `1e-3` is one, which PyYAML, of YAML 1.1, takes for a text.

What PyYAML itself has written, compiled pipelines and Workflows, is read with its own loader.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

# The same in C is ten times as fast.
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Loader(_Base):  # type: ignore[misc]
    """PyYAML's loader with one more way to write a float."""


# The floats of the core schema, https://yaml.org/spec/1.2.2/#103-core-schema; the integers stay with PyYAML's resolver.
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)


def load(text: str) -> Any:
    """The one document of a text.

    Raises:
      yaml.YAMLError: it is not YAML, or there are several.
    """
    return yaml.load(text, _Loader)


def load_all(text: str) -> list[Any]:
    """All documents of a text.

    Raises:
      yaml.YAMLError: it is not YAML.
    """
    return list(yaml.load_all(text, _Loader))
