"""Compiled pipelines, which nearly every test here needs."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

# With each thing that a task is given, kfp asks for the whole stack and the lines of its source, to name a method in an
# error: in a test with pytest's frames a third of the time that compiling takes.
# (The kernels of notebooks have no kfp.)
with contextlib.suppress(ModuleNotFoundError):
    from kfp.dsl import pipeline_task

    pipeline_task.inspect = SimpleNamespace(  # type: ignore[attr-defined]
        stack=lambda: [(None, None, None, sys._getframe(depth).f_code.co_name) for depth in (1, 2)]
    )


@pytest.fixture(autouse=True)
def own_compiled_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name in `build/` is looked for in the test's own folder: the checkout's holds what its user compiled."""
    monkeypatch.setattr("runners.settings.parameters.in_checkout", Path)
