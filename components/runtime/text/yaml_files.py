"""YAML that people write, with the numbers of YAML 1.2: `1e-3` is one, which PyYAML, of YAML 1.1, takes for a text.

And YAML for Kubernetes, whose own reader goes by both: there the text `1e-3` is written in quotes.

Refused is what would be read as something else than it looks: a key that is there twice, of which PyYAML takes the
last, and words such as `0100`, `12:30` and `no`, of which YAML 1.1 and 1.2 make different things.

What PyYAML itself has written, compiled pipelines and Workflows, is read with its own loader.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

from components.runtime.errors import InputError

SAFE_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's own, for what programs have written: in C, where it was built with that, ten times as fast."""


class _Loader(SAFE_LOADER):  # type: ignore[misc]
    """PyYAML's loader with one more way to write a float."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's dumper, which puts in quotes what only others would take for a number, or for true or false."""


# The floats of the core schema, https://yaml.org/spec/1.2.2/#103-core-schema.
_FLOAT = (
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)[eE][-+]?[0-9]+$"),
    list("-+.0123456789"),
)
_Loader.add_implicit_resolver(*_FLOAT)
_Dumper.add_implicit_resolver(*_FLOAT)
# And the whole numbers of base 8 there; PyYAML keeps `y` and `n` of YAML 1.1 for texts.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"0o[0-7]+$"), ["0"])
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"[yYnN]$"), list("yYnN"))

# What the core schema takes for the same as PyYAML's resolver does; floats by what they must not have, `:` and `_`.
_IN_BOTH_VERSIONS = {
    "tag:yaml.org,2002:bool": re.compile(r"true|True|TRUE|false|False|FALSE"),
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+"),
    "tag:yaml.org,2002:float": re.compile(r"[^:_]+"),
}


def load(content: str | bytes, where: str) -> Any:
    """The one document of a text.

    Args:
      content: the text, or its bytes in UTF-8.
      where: the file, for messages.

    Raises:
      InputError: it is not YAML, there are several documents, or something in it can be read in two ways.
    """
    documents = load_all(content, where)
    if len(documents) > 1:
        raise InputError(f"{where}: holds {len(documents)} documents, with `---` between them; it should be one")
    return documents[0] if documents else None


def load_all(content: str | bytes, where: str) -> list[Any]:
    """All documents of a text.

    Raises:
      InputError: it is not YAML, or something in it can be read in two ways.
    """
    documents = []
    try:
        loader = _Loader(content.decode() if isinstance(content, bytes) else content)
        try:
            while loader.check_node():
                node = loader.get_node()
                _check(node, where, set(), set())
                documents.append(loader.construct_document(node))
        finally:
            loader.dispose()
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{where}: not YAML: {' '.join(str(error).split())}") from None
    except RecursionError:
        raise InputError(f"{where}: lists and mappings are nested too deep in it; write it flatter") from None
    except ValueError as error:
        # Of a date that is none, or a whole number of more digits than Python reads.
        raise InputError(f"{where}: a value cannot be read ({error}); write it in quotes") from None
    return documents


def dump(document: Any) -> str:
    """A document as YAML of which every reader makes the same, keys in their order."""
    text: str = yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=120, allow_unicode=True)
    return text


def _check(node: yaml.Node, where: str, around: set[int], passed: set[int]) -> None:
    """Refuses what can be read in two ways, and what has no end.

    Args:
      node: to be looked through.
      where: the file, for messages.
      around: the nodes in which this one lies, by `id`.
      passed: the nodes that need not be looked through again: an alias is the node of its anchor.
    """
    line = f"{where}: line {node.start_mark.line + 1}"
    if id(node) in around:
        raise InputError(f"{line}: an alias (*) inside of what its anchor (&) names, which has no end; write it out")
    if id(node) in passed:
        return
    passed.add(id(node))
    if isinstance(node, yaml.ScalarNode):
        in_both = _IN_BOTH_VERSIONS.get(node.tag)
        if not node.style and in_both and not in_both.fullmatch(node.value):
            raise InputError(
                f"{line}: YAML 1.1 and 1.2 read {node.value} as different things; "
                f"{'write true or false' if node.tag.endswith('bool') else 'write a plain number'}, "
                "or put it in quotes, where it is a text"
            )
        return
    inside = around | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _check(each, where, inside, passed)
        return
    lines: dict[tuple[str, str], int] = {}
    for key, value in node.value:
        _check(key, where, inside, passed)
        if isinstance(key, yaml.ScalarNode):
            name, number = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise InputError(
                    f"{where}: line {number}: the key {key.value!r} a second time, after line {lines[name]}; "
                    "keep one of them"
                )
            lines[name] = number
        _check(value, where, inside, passed)
