"""The runners as a person calls them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support import MILLRACE, ROOT


def command(
    *arguments: str, cwd: Path = ROOT, program: str = MILLRACE, **variables: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [program, *arguments], cwd=cwd, capture_output=True, text=True, check=False, env=os.environ | variables
    )
