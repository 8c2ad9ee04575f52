"""What is told of a run: state, error, failed task, blessing, pushed version."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from components.runtime.errors import InputError
from components.runtime.publish.serving import how_pushed
from components.runtime.text.redaction import redact
from components.runtime.text.visible import visible

_STATES = {
    "SUCCEEDED": "done",
    # Of Kubeflow's older servers.
    "COMPLETE": "done",
    "CACHED": "done",
    "FAILED": "failed",
    "CANCELLED": "stopped",
    "CANCELED": "stopped",
}
ENDED = "ended"
"""The state of a run of which nobody says more."""

_MARKS = {"done": "\u2705", "failed": "\u274c", "stopped": "\u23f9\ufe0f", ENDED: "\u2753"}
_WARNING = "\u26a0\ufe0f"
_DRIFTED = "drifted"
_LONGEST_ERROR = 1000
_PLACEHOLDER = re.compile(r"\{\{\$.*\}\}")


@dataclass(frozen=True)
class Message:
    """What is told.

    Attributes:
      state: done, failed, stopped or ended.
      facts: name and value of each line behind the title.
      link: of a page about the run.
      drifted: whether it looked at a version in service, and found a threshold passed.
    """

    pipeline: str
    run: str
    state: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    link: str = ""
    drifted: bool = False

    @classmethod
    def read(cls, status: dict[str, Any], pipeline: str, link: str = "", run: str = "", run_id: str = "") -> Message:
        """Makes the message of a status.

        Args:
          status: how the run ended; empty where nobody tells.
          pipeline: its name.
          link: of a page about the run, with {run} for its id.
          run: its name on display; the id in the status where it is empty.
          run_id: its id on Kubeflow, whose status names the Workflow behind it instead.

        Raises:
          InputError: a link that is none.
        """
        if link and not re.match(r"https?://[^\s]+$", link):
            raise InputError(f"notify: link is {link!r}, expected an address that begins with http:// or https://")
        resource = str(status.get("pipelineJobResourceName") or "")
        identity = _line(resource.rsplit("/", 1)[-1])
        # A server that does not know a placeholder hands it on as it is.
        name, known = ("" if _PLACEHOLDER.fullmatch(each) else _line(each) for each in (run, run_id))
        state = _STATES.get(str(status.get("state") or "").upper(), ENDED)
        told = dict(status.get("millrace") or {})
        facts = list(_facts(state, status, told))
        # Vertex names the whole path of a job, whose last part is what its pages go by; its id is another number.
        page = link.replace("{run}", (identity if "/" in resource else known) or identity or name)
        shown = [(name, _line(redact(value))) for name, value in facts]
        return cls(pipeline, name or identity, state, shown, page, told.get("watched") == _DRIFTED)

    def wanted(self, when: str) -> bool:
        """Whether this end is told; one that is not known counts as a failure, for that must not go unseen.

        So does drift: the run that found it has gone well, the model has not.
        """
        return when == "always" or (self.state == "done" and not self.drifted) == (when == "success")

    @property
    def _mark(self) -> str:
        return _WARNING if self.drifted else _MARKS[self.state]

    def title(self) -> str:
        """The first line."""
        return f"{self.pipeline} {self.state}{', drift found' if self.drifted else ''}" + (
            f": run {self.run}" if self.run else ""
        )

    def text(self) -> str:
        """Plain text for chats and mail."""
        lines = [f"{self._mark} {self.title()}", *(f"{name}: {value}" for name, value in self.facts)]
        return "\n".join([*lines, self.link] if self.link else lines)

    def markdown(self) -> str:
        """The artifact."""
        lines = [f"# {self._mark} {_escape(self.pipeline)} {self.state}", ""]
        rows = [*([("run", self.run)] if self.run else []), *self.facts]
        if rows:
            lines += ["| | |", "| --- | --- |", *(f"| {name} | {_escape(value)} |" for name, value in rows), ""]
        return "\n".join([*lines, f"<{self.link}>", ""] if self.link else lines)


def _facts(state: str, status: dict[str, Any], known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    error = status.get("error") or {}
    if known.get("task"):
        yield "ended in" if known.get("outside") else "failed task", str(known["task"])
    if state != "done" and error.get("message"):
        yield "error", str(error["message"])
    if known.get("watched"):
        yield "watched", f"{known['watched']}: {known.get('watched_reason')}"
    if known.get("blessed") is not None:
        reason = f" ({known['reason']})" if known.get("reason") else ""
        yield "blessed", ("yes" if known["blessed"] else "no") + reason
    pushed = known.get("pushed") or ([known] if known.get("version") is not None else [])
    for each in pushed:
        yield "pushed", f"version {int(each['version'])} to {each.get('destination')}{how_pushed(each)}"
    if not pushed and known.get("blessed") is not None:
        yield "pushed", "nothing"
    if state == ENDED:
        yield "state", "not known here; this server does not tell its exit tasks"


def _line(value: str) -> str:
    line = visible(" ".join(value.split()))
    return line if len(line) <= _LONGEST_ERROR else f"{line[:_LONGEST_ERROR]} \u2026"


def _escape(value: str) -> str:
    """A value that Markdown shows as it is."""
    return re.sub(r"([\\`*_{}\[\]|#])", r"\\\1", html.escape(value, quote=False))
