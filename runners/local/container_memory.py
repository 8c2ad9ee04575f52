"""Peak memory of a container."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

from runners.local.engine import Engine


class PeakMemory:
    """Peak memory of a container's main process, as the kernel counts it; helpers that it forks are left out."""

    def __init__(self, engine: Engine, name: str, pid_file: Path) -> None:
        self._engine = engine
        self._name = name
        self._pid_file = pid_file
        self._status: Path | None = None
        self.peak_bytes = 0

    def look(self, *, started: bool) -> None:
        """Reads it anew."""
        if self._status is None:
            pid = self._pid(started=started)
            if not pid:
                return
            self._status = Path("/proc") / pid / "status"
        # Gone between two looks, or of another machine: then what was seen last holds.
        with contextlib.suppress(OSError):
            found = re.search(r"^VmHWM:\s+(\d+) kB", self._status.read_text(), re.MULTILINE)
            self.peak_bytes = max(self.peak_bytes, int(found[1]) * 1024 if found else 0)

    def _pid(self, *, started: bool) -> str:
        if self._engine.name == "podman":
            return self._pid_file.read_text().strip() if self._pid_file.exists() else ""
        if not started:
            return ""
        return self._engine.call("inspect", "--format", "{{.State.Pid}}", self._name).stdout.strip()
