"""`doctor`: what is installed here, what answers, and how to mend what does not; one line each."""

from __future__ import annotations

import functools
import logging
import os
import platform
import shutil
import subprocess
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from components.runtime import VERSION
from components.runtime.errors import StageError
from components.runtime.text.redaction import redact
from runners import PROJECT
from runners.compiled import image_content, images
from runners.local import engine, environments
from runners.terminal import text
from runners.terminal.output import Result

_ENOUGH_BYTES = 5e9
"""A run of the largest sample with all its artifacts takes a tenth of it, the three environments half."""
_TIMEOUT_SECONDS = 5.0
_DEADLINE_SECONDS = 12.0

OK, MISSING, WRONG = ("ok", "green"), ("-", "dim"), ("!", "red")
"""What is well; what is not there, which only some of the work needs; what is there and broken."""


@dataclass(frozen=True)
class Finding:
    """One line.

    Attributes:
      state: OK, MISSING or WRONG.
      name: of what was looked at.
      said: what was found.
      mend: what to do about it; empty where nothing is to be done.
    """

    state: tuple[str, str]
    name: str
    said: str
    mend: str = ""


@click.command()
@click.pass_context
def doctor(context: click.Context) -> Result:
    """Tell what is installed here, which clusters answer, and how to mend what is not well.

    Exit code 1 where something is broken; what is only not there, and not needed by all, changes nothing.
    """
    # Libraries complain by ways of their own of what is a line here.
    logging.disable()
    warnings.simplefilter("ignore")
    checks = {
        "millrace": lambda: [_checkout()],
        "environments": _environments,
        "disk": lambda: _disk(context.obj["root"]),
        "engines": _engines,
        "images": lambda: [_images()],
        **_kubeflow(),
        "kubernetes": _argo,
        "vertex": lambda: [_vertex()],
    }
    # What has to be waited for is asked for at once, and not for ever: a server may answer a byte at a time.
    asked = {name: _Asked(name, check) for name, check in checks.items()}
    deadline = time.monotonic() + _DEADLINE_SECONDS
    findings = [finding for each in asked.values() for finding in each.findings(deadline)]
    wrong = [each for each in findings if each.state == WRONG]
    words = {OK: "ok", MISSING: "missing", WRONG: "wrong"}
    return Result(
        {
            "findings": [
                {"name": each.name, "state": words[each.state], "found": each.said, "mend": each.mend or None}
                for each in findings
            ]
        },
        lambda: text.table(
            ("", "what", "found"),
            [[each.state, each.name, redact("; ".join(filter(None, (each.said, each.mend))))] for each in findings],
        ),
        exit_code=int(bool(wrong)),
        error="; ".join(f"{each.name}: {each.said}" for each in wrong),
    )


class _Asked:
    """A check that goes on in a thread of its own, which ends with the process at the latest."""

    def __init__(self, name: str, check: Callable[[], Iterable[Finding]]) -> None:
        self._name, self._check = name, check
        self._found: list[Finding] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        try:
            self._found = list(self._check())
        except Exception as error:
            # Whatever is odd enough to break a check is what people want to be told of.
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            self._found = [Finding(WRONG, self._name, said, "this check does not know what that means")]

    def findings(self, deadline: float) -> list[Finding]:
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            return [Finding(WRONG, self._name, f"no whole answer within {_DEADLINE_SECONDS:.0f} s", "see what hangs")]
        return self._found


def _checkout() -> Finding:
    answer = subprocess.run(
        ["git", "describe", "--always", "--exclude=*", "--dirty"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    ) if shutil.which("git") else None  # fmt: skip
    commit = f", commit {answer.stdout.strip()}" if answer and answer.returncode == 0 else ""
    return Finding(OK, "millrace", f"{VERSION}{commit}, Python {platform.python_version()}, in {PROJECT}")


def _environments() -> Iterator[Finding]:
    on_request = {
        environments.NOTEBOOK: "./millrace notebook makes it",
        environments.SERVING: "./millrace serve makes it, and a run with infra_validate",
        "export": "a run with the section export makes it",
        "databases": "a run with ingest.query makes it",
    }
    for name in (each for each in environments.names() if each not in on_request):
        what = f"environment {name}"
        if environments.is_made(name):
            yield Finding(OK, what, "made")
        elif not (PROJECT / ".venv" / name).exists():
            yield Finding(MISSING, what, "not made yet", "make setup (a run does it too)")
        else:
            yield Finding(MISSING, what, "half made, or made from older locks", "make setup (a run does it too)")
    for name, mend in on_request.items():
        if environments.is_made(name):
            yield Finding(OK, f"environment {name}", "made")
        else:
            yield Finding(MISSING, f"environment {name}", "not made", mend)
    if not shutil.which("make"):
        yield Finding(WRONG, "make", "not installed, and it makes the environments", "install make")


def _disk(root: Path) -> Iterator[Finding]:
    places = {"pipeline root": root, "checkout": PROJECT, "temporary files": Path(os.environ.get("TMPDIR") or "/tmp")}
    seen = set()
    for name, place in places.items():
        there = next(folder for folder in (place.absolute(), *place.absolute().parents) if folder.is_dir())
        device = there.stat().st_dev
        if device in seen:
            continue
        seen.add(device)
        usage = shutil.disk_usage(there)
        said = f"{text.size(usage.free)} free of {text.size(usage.total)} ({name}: {place})"
        few = usage.free < _ENOUGH_BYTES
        mend = _when(few, f"free some, {text.size(_ENOUGH_BYTES)} are little")
        yield Finding(WRONG if few else OK, "disk", said, mend)


def _engines() -> Iterator[Finding]:
    refusals = {name: engine.refusal(name) for name in engine.BUILDERS}
    # One is enough, and a run without --docker needs none.
    enough = any(not refusals[name] for name in engine.RUNNERS)
    for name, refusal in refusals.items():
        does = "builds and runs images" if name in engine.RUNNERS else "builds images"
        if not refusal:
            yield Finding(OK, name, f"{engine.Engine(name).version()}, {does}")
        elif not shutil.which(name):
            yield Finding(MISSING, name, "not installed", _when(not enough, "only for images and --docker: install it"))
        else:
            said = refusal.removeprefix(f"{name} ")
            yield Finding(MISSING if enough else WRONG, name, said, _when(not enough, f"see what `{name} info` says"))


def _images() -> Finding:
    stages = image_content.image_stages()
    try:
        lock = images.read_lock(images.lock_file())
    except StageError as error:
        return Finding(WRONG, "images", str(error), "make images")
    missing = [stage for stage in stages if stage not in lock]
    said = f"{len(stages) - len(missing)} of {len(stages)} in images.lock"
    return Finding(MISSING if missing else OK, "images", said, _when(bool(missing), "make images"))


def _kubeflow() -> dict[str, Callable[[], Iterable[Finding]]]:
    """A check of each server that a name leads to."""
    from runners.kubeflow import contexts

    try:
        names = contexts.names()
    except StageError as error:
        wrong = Finding(WRONG, "kubeflow", str(error), "mend the file")
        return {"kubeflow": lambda: [wrong]}
    if not names:
        none = Finding(MISSING, "kubeflow", "no server is named", "docs/cluster-commands.md tells how")
        return {"kubeflow": lambda: [none]}
    return {f"kubeflow {name}".strip(): functools.partial(_server, name) for name in names}


def _server(name: str) -> Iterator[Finding]:
    from runners.kubeflow import contexts
    from runners.kubeflow.connection import Connection

    what = f"kubeflow {name}".strip()
    try:
        server = Connection(contexts.find(name), _TIMEOUT_SECONDS)
        yield Finding(OK, what, f"Kubeflow Pipelines {server.version or 'of unknown version'} at {server.where}")
    except StageError as error:
        yield Finding(WRONG, what, _without_option(error), "start it, or mend its context")


def _argo() -> Iterator[Finding]:
    from runners.argo.cluster import ArgoCluster
    from runners.argo.kubeconfig import NoKubeconfig

    try:
        cluster = ArgoCluster(timeout=_TIMEOUT_SECONDS)
    except NoKubeconfig as error:
        yield Finding(MISSING, "kubernetes", str(error), "only for Argo without Kubeflow: docs/deploy.md")
        return
    except StageError as error:
        yield Finding(WRONG, "kubernetes", str(error), "mend it")
        return
    try:
        kubernetes, argo = cluster.versions()
    except StageError as error:
        yield Finding(WRONG, "kubernetes", _without_option(error), "start the cluster, or choose another context")
        return
    yield Finding(OK, "kubernetes", f"{kubernetes} at {cluster.where}, namespace {cluster.namespace}")
    if argo is None:
        yield Finding(MISSING, "argo", f"not installed at {cluster.where}", "only without Kubeflow: docs/deploy.md")
    else:
        yield Finding(OK, "argo", argo or "there, of unknown version (this account may not look)")


def _vertex() -> Finding:
    file = os.environ.get("GOOGLE_APPLICATION_CREDENTIALS", "")
    own = Path("~/.config/gcloud/application_default_credentials.json").expanduser()
    project = os.environ.get("GOOGLE_CLOUD_PROJECT", "")
    if file and not Path(file).is_file():
        return Finding(WRONG, "vertex", f"GOOGLE_APPLICATION_CREDENTIALS names {file}, which is not there", "mend it")
    if not file and not own.is_file():
        return Finding(MISSING, "vertex", "no credentials", "only for Vertex AI: gcloud auth application-default login")
    mend = _when(not project, "set GOOGLE_CLOUD_PROJECT, or give --project")
    return Finding(OK, "vertex", f"credentials in {file or own}, project {project or 'not set'}", mend)


def _without_option(error: StageError) -> str:
    """An error of a server without the advice to give an option that this command does not have."""
    return str(error).replace(", or raise --timeout", "")


def _when(condition: bool, said: str) -> str:
    return said if condition else ""
