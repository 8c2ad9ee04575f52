"""Texts, names and numbers as Python that reads as if it had been typed, and was then formatted."""

from __future__ import annotations

import json

WIDTH = 120


def literal(text: str) -> str:
    """A text in quotes: double ones, unless it has more of these itself than of single ones."""
    quoted = json.dumps(text, ensure_ascii=False)
    if text.count('"') <= text.count("'"):
        return quoted
    return "'" + quoted[1:-1].replace("'", "\\'").replace('\\"', '"') + "'"


def value(of: object) -> str:
    """A text or a number."""
    return literal(of) if isinstance(of, str) else repr(of)


def rounded(number: float) -> str:
    """A float of at most six digits, as Python writes it."""
    return repr(float(f"{number:.6g}"))


def call(function: str, arguments: list[str], indent: int, before: str = "", after: str = ",") -> str:
    """A call in one line if it has room there, else with an argument per line, as ruff formats it.

    Args:
      function: its name.
      arguments: each as Python.
      indent: blanks before the line.
      before: what stands before the call in its line, such as a key.
      after: what stands behind it.
    """
    line = f"{before}{function}({', '.join(arguments)}){after}"
    if indent + len(line) <= WIDTH:
        return line
    inner = ", ".join(arguments)
    blanks = " " * (indent + 4)
    if len(blanks) + len(inner) <= WIDTH:
        return f"{before}{function}(\n{blanks}{inner}\n{' ' * indent}){after}"
    lines = "\n".join(f"{blanks}{argument}," for argument in arguments)
    return f"{before}{function}(\n{lines}\n{' ' * indent}){after}"


def constant(of: object, indent: int = 0) -> str:
    """A text, a number, a list or a dict, on as many lines as it needs.

    Args:
      of: its value.
      indent: letters before it in its line, at most.
    """
    if isinstance(of, str):
        return _text(of, indent)
    if not isinstance(of, list | dict):
        return repr(of)
    pairs = of.items() if isinstance(of, dict) else [(None, each) for each in of]
    items = [f"{value(key)}: {_one_line(each)}" if isinstance(of, dict) else _one_line(each) for key, each in pairs]
    opening, closing = "{}" if isinstance(of, dict) else "[]"
    line = opening + ", ".join(items) + closing
    if len(line) + 20 + indent <= WIDTH:
        return line
    return "\n".join([opening, *map(_item, items), closing])


def _item(text: str) -> str:
    """A line of its own; a name that is longer than one stays whole all the same."""
    line = f"    {text},"
    return line if len(line) <= WIDTH else f"{line}  # noqa: E501"


def _one_line(of: object) -> str:
    return constant(of, -10_000) if isinstance(of, list | dict) else value(of)


def _text(of: str, indent: int) -> str:
    if len(literal(of)) + 20 + indent <= WIDTH:
        return literal(of)
    pieces = [of[start : start + 80] for start in range(0, len(of), 80)]
    return "\n".join(["(", *(f"    {literal(piece)}" for piece in pieces), ")"])
