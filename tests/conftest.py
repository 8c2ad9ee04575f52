"""Every test process starts as a stage's process does."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest

# As in runners/environments.py, before anything imports TensorFlow.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "0")
# Figures are drawn without a display.
os.environ.setdefault("MPLBACKEND", "Agg")
# What compiled files say must not depend on the images that somebody built in this checkout.
os.environ["MILLRACE_IMAGES_LOCK"] = os.devnull
# Nobody is told of the runs of tests, whoever is told of those of the person who starts them.
for name in ("MILLRACE_NOTIFY_URL", "MILLRACE_MAIL_USER", "MILLRACE_MAIL_PASSWORD"):
    os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def own_import_path() -> Iterator[None]:
    """A stage may add its model's folder to the import path; its process ends then, that of the tests does not."""
    before = list(sys.path)
    yield
    sys.path[:] = before
