"""Every test process starts as a stage's process does."""

from __future__ import annotations

import atexit
import os
import re
import signal
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

# What the tests may see of the environment of whoever starts them: programs, where packages and images come from, and
# what numerical libraries need on this machine. Nothing else: no credentials, servers, proxies, locale, terminal.
_KEPT = re.compile(
    r"PATH|USER|LOGNAME|CI|TMPDIR|TMP|TEMP|LD_LIBRARY_PATH|PYENV_\w+|OPENBLAS_\w+|PIP_\w+|UV_\w+|SSL_CERT_\w+"
    r"|CONTAINERS_\w+|DOCKER_\w+|BUILDAH_\w+|XDG_(RUNTIME_DIR|DATA_HOME)|PYTEST_\w+|MILLRACE_(ENGINE|REGENERATE|CLUSTER|LOAD_SECONDS|TRINO)|CUDA_VISIBLE_DEVICES"
    r"|KUBEBUILDER_ASSETS"
)
_ROOT = Path(__file__).parent.parent
_DATA_HOME = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
for _name in [name for name in os.environ if not _KEPT.fullmatch(name)]:
    del os.environ[_name]
# A person's settings, keys and caches lie in the home folder; the images that rootless engines keep there are no such.
_home = tempfile.TemporaryDirectory(prefix="millrace-home-")
atexit.register(_home.cleanup)
os.environ |= {"HOME": _home.name, "XDG_DATA_HOME": _DATA_HOME, "LANG": "C.UTF-8"}
os.umask(0o022)
# A job in the background of a shell ignores Ctrl-C, and so would the runs that tests start to interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Compiled pipelines are long, and the loader in C reads the same ten times as fast.
yaml.SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# As in runners/local/environments.py, before anything imports TensorFlow.
os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_USE_LEGACY_KERAS": "0"}
# Figures are drawn without a display.
os.environ["MPLBACKEND"] = "Agg"
# What compiled files say must not depend on the images that somebody built in this checkout.
os.environ["MILLRACE_IMAGES_LOCK"] = os.devnull


# They begin first: whole runs take long, and of the last file only one process would be left with work.
_LONG = ("tests/e2e", "tests/models")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Brings the longest files to the front, in whatever order the others are."""
    items.sort(key=lambda item: not item.path.relative_to(_ROOT).as_posix().startswith(_LONG))


@pytest.fixture(autouse=True)
def own_folder(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in the folder from which the tests were started is none of their business."""
    monkeypatch.chdir(tmp_path_factory.mktemp("working-folder"))


@pytest.fixture(autouse=True)
def own_import_path() -> Iterator[None]:
    """A stage may add its model's folder to the import path; its process ends then, that of the tests does not."""
    before = list(sys.path)
    yield
    sys.path[:] = before
