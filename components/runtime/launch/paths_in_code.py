"""How a user's code says which files it reads: texts in it, folders above its own, and listings of folders."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

_LISTS = frozenset({"iterdir", "listdir", "scandir", "walk", "fwalk"})
_FILLED_IN = re.compile(r"\{[^{}]*\}|%(\(\w+\))?[-+ #0]*\d*(\.\d+)?[diouxXeEfFgGcrsa]")
"""What `format` and `%` put a value in place of."""


def texts(node: ast.AST) -> Iterator[str]:
    """The text that a node of code is; of one with values in it that looks like a path, a pattern of what it can be."""
    if isinstance(node, ast.JoinedStr):
        parts = (str(part.value) if isinstance(part, ast.Constant) else "*" for part in node.values)
        yield from _pattern("".join(parts))
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
        if (filled := _FILLED_IN.sub("*", node.value)) != node.value:
            yield from _pattern(filled)
    elif isinstance(node, ast.Call) and _called(node) == "rglob" and (asked := _asked(node)):
        yield f"**/{asked}"


def lists_a_folder(node: ast.AST) -> bool:
    """Whether a node of code reads which files there are, without a text that says which of them."""
    if isinstance(node, ast.Attribute):
        of_ast = isinstance(node.value, ast.Name) and node.value.id == "ast"
        return node.attr in _LISTS and not of_ast
    if isinstance(node, ast.ImportFrom):
        return node.module == "os" and any(alias.name in _LISTS for alias in node.names)
    if isinstance(node, ast.Call) and (called := _called(node)) in ("glob", "iglob", "rglob") and node.args:
        asked = _asked(node)
        # (A pattern elsewhere in the code counts as a text, but for what `rglob` makes of it.)
        return called == "rglob" if asked is None else not any(map(str.isalnum, asked))
    return False


def levels_up(node: ast.AST) -> int:
    """How far above a file's own folder a node of code looks: `parents[1]`, `.parent.parent`, two `dirname`; else 0."""
    if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Attribute) and node.value.attr == "parents":
        level = node.slice.value if isinstance(node.slice, ast.Constant) else 0
        return level if isinstance(level, int) and level > 0 else 0
    if isinstance(node, ast.Constant):
        return int(node.value == "..")
    if isinstance(node, ast.Attribute) and node.attr == "pardir":
        return 1
    steps, inner = 0, node
    while True:
        if isinstance(inner, ast.Attribute) and inner.attr == "parent":
            inner, steps = inner.value, steps + 1
        elif isinstance(inner, ast.Call) and _called(inner) == "dirname" and inner.args:
            inner, steps = inner.args[0], steps + 1
        elif isinstance(inner, ast.Call) and isinstance(inner.func, ast.Attribute) and not inner.args:
            # As `resolve()`.
            inner = inner.func.value
        else:
            break
    # A name may stand for the folder; that of the file and what is made of it are in it.
    is_folder = isinstance(inner, ast.Name) and inner.id != "__file__"
    return steps if is_folder else max(steps - 1, 0)


def _pattern(text: str) -> Iterator[str]:
    if "." in text or "/" in text:
        yield text


def _called(node: ast.Call) -> str:
    called = node.func
    return called.attr if isinstance(called, ast.Attribute) else called.id if isinstance(called, ast.Name) else ""


def _asked(node: ast.Call) -> str | None:
    first = node.args[0] if node.args else None
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else None
