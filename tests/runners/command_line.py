"""The runners as a person calls them."""

from __future__ import annotations

import subprocess

from tests.support import MILLRACE, ROOT


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([MILLRACE, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
