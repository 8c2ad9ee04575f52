"""Where goes what a command says: to people, to machines (`--json`), or nowhere (`--quiet`).

A command returns a `Result`; nothing else is printed on standard output but by `note`, on the way. docs/json.md says
what machines may rely on.
"""

from __future__ import annotations

import dataclasses
import io
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import PurePath
from typing import IO, Any

import click
from rich.console import Console

from components.runtime.text.redaction import redact
from components.runtime.text.visible import visible

JSON, QUIET = "--json", "--quiet"


@dataclass(frozen=True)
class Result:
    """What came of a command.

    Attributes:
      data: of the one JSON document, an object; or what makes it, where that takes time.
      text: prints it for people, or is what they read.
      product: the lines that the command was called for, such as a path or an id, or what makes or prints them: all
        that `--quiet` leaves.
      exit_code: of the process.
      error: why that is not 0, in one line; `text` tells it in its own way.
    """

    data: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    text: Callable[[], object] | str = ""
    product: Sequence[object] | Callable[[], object] = ()
    exit_code: int = 0
    error: str = ""


@dataclass
class _Asked:
    """What the command line asks for, and the warnings that were said so far."""

    json: bool = False
    quiet: bool = False
    warnings: list[str] = field(default_factory=list)


_asked = _Asked()


@contextmanager
def as_asked(arguments: Sequence[str]) -> Iterator[None]:
    """Does what the command line asks for, wherever in it: also where the rest of it is wrong."""
    global _asked
    options = arguments[: arguments.index("--")] if "--" in arguments else arguments
    before, _asked = _asked, _Asked(JSON in options, QUIET in options)
    try:
        yield
    finally:
        _asked = before


def add_options(command: click.Command) -> None:
    """Gives a command, and all below it, the options that `as_asked` looks for."""
    if not any(JSON in parameter.opts for parameter in command.params):
        for name, line in (
            (JSON, "Print one JSON document, for programs."),
            (QUIET, "Print errors, and the name of what was made, alone."),
        ):
            command.params.append(click.Option([name], is_flag=True, expose_value=False, help=line))
    if isinstance(command, click.Group):
        for below in command.commands.values():
            add_options(below)


class _Console(Console):
    """Interrupts where its reader is gone (`| head`); rich would end the process with 1, and say nothing."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        to_nobody(self.file)
        click.echo("nobody reads what is printed any more, so this ends", err=True)
        raise KeyboardInterrupt


def is_quiet() -> bool:
    """Whether nothing is to be told but what came of the command."""
    return _asked.quiet


def console() -> Console:
    """Where the work is shown while it goes on: beside the document, where there is one."""
    return _Console(file=io.StringIO()) if _asked.quiet else _Console(stderr=_asked.json)


def note(line: str) -> None:
    """Says something on the way that is no part of the result."""
    if not _asked.quiet:
        click.echo(line, err=_asked.json)


def warn(line: str) -> None:
    """Says what somebody should look at, though the command goes on: one line on standard error."""
    _asked.warnings.append(line)
    if not _asked.quiet:
        click.echo(line, err=True)


def show(result: Result) -> int:
    """Prints what came of a command; returns the exit code."""
    if _asked.json:
        data = result.data() if callable(result.data) else result.data
        _print({"error": None, **data, **({"error": result.error} if result.error else {}), **_ended(result.exit_code)})
    elif _asked.quiet:
        lines = result.product() if callable(result.product) else result.product
        for line in lines if isinstance(lines, list | tuple) else [lines] if lines else []:
            click.echo(line)
    elif callable(result.text):
        result.text()
    elif result.text:
        click.echo(result.text)
    if result.error and (_asked.json or _asked.quiet):
        click.echo(f"error: {visible(result.error)}", err=True)
    return result.exit_code


def fail(error: str, exit_code: int) -> None:
    """Prints the document of a command that did not come to its end; what people read goes to standard error."""
    if _asked.json:
        try:
            _print({"error": visible(error), **_ended(exit_code)})
        except OSError:
            # There may be no room for it, which is then the error; what is left of it shall not fail again at the end.
            to_nobody(sys.stdout)


def to_nobody(stream: IO[str]) -> None:
    """Lets go of an output that nobody reads or has room for: Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _ended(exit_code: int) -> dict[str, Any]:
    return {"code": exit_code, "warnings": [line.removeprefix("warning: ") for line in _asked.warnings]}


def _print(document: Mapping[str, Any]) -> None:
    click.echo(json.dumps(redact(plain(document)), indent=2, allow_nan=False, ensure_ascii=not _is_utf8()))


def _is_utf8() -> bool:
    return (getattr(sys.stdout, "encoding", None) or "utf-8").lower().replace("-", "") == "utf8"


def plain(value: Any) -> Any:
    """A value as JSON has it: times in UTC as ISO 8601, paths as text, what is no number and no text as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(name): plain(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, set | frozenset):
        return sorted(plain(entry) for entry in value)
    if isinstance(value, datetime):
        moment = value if value.tzinfo else value.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, PurePath):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
