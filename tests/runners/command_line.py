"""The runners as a person calls them."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from tests import forked
from tests.support import MILLRACE, ROOT


def command(
    *arguments: str,
    cwd: Path = ROOT,
    program: str = MILLRACE,
    anew: bool = False,
    timeout: float | None = None,
    **variables: str,
) -> subprocess.CompletedProcess[str]:
    """Calls the command and waits for its end; `anew` for what Python or the executable do at the beginning."""
    if anew or program != MILLRACE:
        return subprocess.run(
            [program, *arguments],
            cwd=cwd,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
            env=os.environ | variables,
        )
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        code = forked.command(program, list(arguments), cwd, out, err, os.environ | variables, timeout)
        return subprocess.CompletedProcess([program, *arguments], code, out.read_text(), err.read_text())
