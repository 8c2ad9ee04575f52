"""How a stage fails, and the exit code that tells an orchestrator whether to try again."""

from __future__ import annotations

import difflib
import errno
import re
from collections.abc import Iterable, Iterator

EXIT_INPUT = 65
EXIT_TRANSIENT = 75
EXIT_INTERRUPTED = 130
"""Of a run that was ended from outside, as shells have it for Ctrl-C."""

_TRANSIENT_ERRNOS = frozenset(
    {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EIO,
        errno.ETIMEDOUT,
        errno.ECONNRESET,
        errno.ECONNREFUSED,
        errno.EMFILE,
        errno.ENFILE,
    }
)
_REFUSED_ERRNOS = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENODEV}
)
"""What only the person who owns the place can mend."""

_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded")
_HINTS = {
    errno.ENOSPC: ": free some space, then run again",
    errno.EDQUOT: ": free some space, then run again",
    errno.EACCES: ": give this user the right to it, or name another place",
    errno.EPERM: ": give this user the right to it, or name another place",
    errno.EROFS: ": name a place that can be written",
    errno.EISDIR: ": a folder lies where a file is needed; name the file",
    errno.ENOTDIR: ": a file lies where a folder is needed; move it away, or name another place",
}
_FUNCTION = re.compile(r"\{\{function_node .*?\}\}\s*")
STEP = r"\[while running '[^\n]*?'\]"
"""Beam's, behind the message of what is raised in a step in this process; names of steps may hold brackets."""
_STEPS = re.compile(rf"(?: {STEP})+$")

_RAISED = re.compile(r"^\S.*(?:\n.+)*", re.MULTILINE)
"""What stands behind the frames of a trace, which are indented."""
_LONGEST_LINE = 500

_QUOTED = re.compile(r"(?:^|[\s.])(InputError|TransientError): (.+?)(?: \[while running .*)?$", re.MULTILINE)


class StageError(Exception):
    """An error with a message for people: what is wrong, where, and how to mend it, in one line."""

    exit_code = 1

    def _render_traceback_(self) -> list[str]:
        """What IPython shows of it: the line, for the way through our code mends nothing."""
        return [f"error: {self}"]


class InputError(StageError):
    """The input or the configuration is wrong; trying again cannot help (exit code 65)."""

    exit_code = EXIT_INPUT


class TransientError(StageError):
    """A passing fault, such as a full disk or a lost connection; trying again may help (exit code 75)."""

    exit_code = EXIT_TRANSIENT


def classify(error: BaseException) -> StageError | None:
    """Returns the StageError behind `error`, or None when `error` is a bug of ours.

    Beam and TensorFlow wrap what user code raises into exceptions of their own that keep only the text, so the
    chain of causes is searched first for the types and then for their printed form.
    """
    for cause in causes(error):
        if isinstance(cause, StageError):
            message = _STEPS.sub("", str(cause))
            return cause if message == str(cause) else type(cause)(message, *cause.args[1:])
        if isinstance(cause, OSError) and cause.errno in _TRANSIENT_ERRNOS:
            return TransientError(_os_error(cause))
        if isinstance(cause, OSError) and cause.errno in _REFUSED_ERRNOS and cause.filename:
            return InputError(_os_error(cause))
    for cause in causes(error):
        text = str(cause)
        if quoted := _QUOTED.search(text):
            kind = InputError if quoted[1] == "InputError" else TransientError
            return kind(quoted[2])
        if disk_full := _DISK_FULL.search(text):
            return TransientError(f"{disk_full[0]}: free some space, then run again")
    return None


def known(error: BaseException) -> StageError:
    """The StageError behind `error`; where there is none, a bug's own words in one line, with exit code 1."""
    if fault := classify(error):
        return fault
    line = without_trace(f"{type(error).__name__}: {error}")
    return StageError(f"{line[:_LONGEST_LINE]}…" if len(line) > _LONGEST_LINE else line)


def without_trace(text: str) -> str:
    """A message in one line; where it holds a trace, as those of Beam's workers do, what was raised last in that."""
    _, trace, behind = text.rpartition("Traceback (most recent call last):\n")
    raised = _RAISED.search(behind) if trace else None
    return " ".join((raised[0] if raised else text).split())


def causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and what it was raised from or while that was handled, the last one first."""
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__ or current.__context__


def _os_error(error: OSError) -> str:
    where = f"{error.filename2 or error.filename}: " if error.filename else ""
    return f"{where}{error.strerror}{_HINTS.get(error.errno or 0, '')}"


def operation_cause(message: str) -> str:
    """What a TensorFlow operation complained about: pages of stack stand before it, and names of nodes behind."""
    message = _FUNCTION.sub("", message.partition("[[{{node")[0]).partition(" [Op:")[0]
    lines = [line.strip() for line in message.splitlines()]
    return next((line for line in reversed(lines) if line), message)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`, did you mean '...'?` with the nearest of what is known; empty where nothing is near."""
    near = difflib.get_close_matches(word, list(known), n=1)
    return f", did you mean {near[0]!r}?" if near else ""
