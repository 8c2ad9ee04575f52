"""The runners as a person calls them."""

from __future__ import annotations

import subprocess
import sys

from tests.support import ROOT


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runners", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
