"""The program that builds and runs containers here: podman, docker, or buildah, which only builds."""

from __future__ import annotations

import difflib
import json
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from components.runtime.errors import InputError

BUILDERS = ("podman", "buildah", "docker")
RUNNERS = ("podman", "docker")

FAULT = 125
"""Exit code of the engine itself: the container did not start, or nobody knows how it ended."""

_LIMIT_SECONDS = 60
# What the engine says of an image: digest of its manifest, and its size in bytes, where it knows them.
_INSPECT = {
    "podman": ["image", "inspect", "--format", "{{.Digest}} {{.Size}}"],
    "docker": ["image", "inspect", "--format", "{{if .RepoDigests}}{{index .RepoDigests 0}}{{else}}-{{end}} {{.Size}}"],
    "buildah": ["inspect", "--type", "image", "--format", "{{.FromImageDigest}} 0"],
}


@dataclass(frozen=True)
class Engine:
    """An engine that answers."""

    name: str

    def call(self, *arguments: str, seconds: float = _LIMIT_SECONDS) -> subprocess.CompletedProcess[str]:
        """Runs a command of the engine that ends within so many seconds."""
        return subprocess.run(
            [self.name, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )

    def version(self) -> str:
        """As the engine tells it: `4.3.1`."""
        words = self.call("--version").stdout.replace(",", " ").split()
        return next((word for word in words if word[:1].isdigit()), "of unknown version")

    def refusal(self, image: str, options: Sequence[str] = ()) -> str:
        """Why the engine cannot start a container of an image that is here; empty where it can."""
        try:
            answer = self.call("run", "--rm", *options, "--entrypoint", "true", image)
        except subprocess.TimeoutExpired:
            return f"a container that does nothing did not end within {_LIMIT_SECONDS} s"
        # 126 is an engine that may not; 127 an image without that program, which is no fault.
        return last_line(answer.stderr) if answer.returncode in (FAULT, 126) else ""

    def inspect(self, image: str) -> tuple[str, int] | None:
        """Digest (empty where the engine knows none) and bytes of an image that is here; None where it is not."""
        answer = self.call(*_INSPECT[self.name], image)
        if answer.returncode != 0:
            return None
        digest, size = answer.stdout.split()
        return digest.rpartition("@")[2].removeprefix("-"), int(size)

    def labels(self, image: str) -> dict[str, str]:
        """Labels of an image that is here; those engines know them that run containers."""
        answer = self.call("image", "inspect", "--format", "{{json .Config.Labels}}", image)
        labels: dict[str, str] | None = json.loads(answer.stdout) if answer.returncode == 0 else None
        return labels or {}


def find(names: Sequence[str], chosen: str = "") -> Engine:
    """Returns the chosen engine, else the first that answers.

    Args:
      names: those that can do what is wanted, the preferred first.
      chosen: name of one of them, or empty.

    Raises:
      InputError: it is none of them, is not installed, or does not answer.
    """
    if chosen and chosen not in names:
        near = difflib.get_close_matches(chosen, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"it has to be one of: {', '.join(names)}"
        raise InputError(f"no engine {chosen!r} for this; {hint}")
    refusals = []
    for name in [chosen] if chosen else names:
        if reason := refusal(name):
            refusals.append(reason)
        else:
            return Engine(name)
    raise InputError(f"no engine for containers: {'; '.join(refusals)}; install podman, or start docker's daemon")


def refusal(name: str) -> str:
    """Why an engine cannot be used; empty when it can."""
    if not shutil.which(name):
        return f"{name} is not installed"
    try:
        answer = Engine(name).call("info")
    except subprocess.TimeoutExpired:
        return f"{name} does not answer"
    if answer.returncode == 0:
        return ""
    return f"{name} does not work ({last_line(answer.stderr)})"


def last_line(text: str) -> str:
    """What an engine complained about."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("See '")]
    line = lines[-1] if lines else "it says nothing"
    return re.sub(r"^(?:Error: |ERROR: |docker: |Error response from daemon: )+", "", line).rstrip(".")
