"""What was raised in a worker of Beam, of which a job server hands over the text alone."""

from __future__ import annotations

import builtins
import re
import sys

# Frames are indented. A trace in a message, such as TensorFlow's of a Python function, has an empty line before them.
_TRACE = re.compile(
    r"Traceback \(most recent call last\):\n(?:  [^\n]*\n)+(?P<type>[A-Za-z_][^\s:]*)(?:: (?P<message>.*?))?\s*"
    r"(?=\n\n(?P<cause>The above exception was the direct cause of)|\n\nDuring handling of the above exception|"
    r"\n\s*at [\w.$]+\(|\nCaused by: |\Z)",
    re.DOTALL,
)
_OS_ERROR = re.compile(r"\[Errno (?P<number>\d+)\] (?P<what>[^\n]*?)(?:: '(?P<file>[^\n]*)')?")


def raised(text: str) -> Exception | None:
    """The last exception of the traces in a text, with those that it comes from as its causes and contexts.

    Each is of the type that was raised where this process has loaded it, else of a direct subclass of Exception of that
    name, and has the message.

    Args:
      text: that of a job server.

    Returns:
      None where there is no trace.
    """
    error: Exception | None = None
    is_cause = False
    for found in _TRACE.finditer(text):
        before, error = error, _again(found["type"], found["message"] or "")
        error.__context__ = before
        if is_cause:
            error.__cause__ = before
        is_cause = found["cause"] is not None
    return error


def _again(name: str, message: str) -> Exception:
    module, _, short = name.rpartition(".")
    kind = getattr(sys.modules.get(module, builtins), short, None)
    if not (isinstance(kind, type) and issubclass(kind, Exception)):
        kind = Exception
    if issubclass(kind, OSError) and (of_system := _OS_ERROR.fullmatch(message)):
        return OSError(int(of_system["number"]), of_system["what"], of_system["file"])
    # Constructors differ, and some types tell more than what they were given.
    methods = {"__init__": lambda *_: None, "__str__": lambda error: error.args[0]}
    again: Exception = type(short, (kind,), methods)(message)
    return again
