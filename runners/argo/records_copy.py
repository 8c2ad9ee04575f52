"""Copies the records of runs from the volume of a Workflow to a folder here, which then is a pipeline root to look at.

A helper prints what is new there into its log, in parts, since a node keeps no more than 10 MB of a log. Examples,
models and whatever else is large stay where they are.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import shutil
import tarfile
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.runtime.errors import InputError, TransientError
from components.runtime.text.json_text import parse
from runners.argo.helpers import closing_container, helper, option
from runners.history import copied_root

_TEMPLATE = "read-records"
_MOST_BYTES = 5_000_000
"""Of a part, packed; as text it is a third longer."""

# What lies in a folder of the volume that was not touched since is here already. A run's folder is touched as long as
# it runs; an execution's appears by one rename, which touches it, with files that may be older.
_READ = """
import base64, io, json, os, stat, sys, tarfile
boundary, root, since, most = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
os.chdir(root)
BULK = {"transform_graph", "model", "serving", "variables", "assets"}
LARGEST = 4_000_000

def folders(*parts):
    found = [""]
    for part in parts:
        found = [os.path.join(each, name) for each in found for name in (listed(each) if part == "*" else [part])]
    return [each for each in found if os.path.isdir(each) and not os.path.islink(each)]

def listed(folder):
    try:
        return [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:
        return []

def files(unit):
    for folder, inside, names in os.walk(unit):
        inside[:] = [each for each in inside if each not in BULK and not each.startswith(("Format-", "."))]
        for name in names:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            bulky = name.endswith((".gz", ".keras", ".h5")) or name.startswith("plots-") or name == "report.html"
            if stat.S_ISREG(about.st_mode) and about.st_size <= LARGEST and not bulky:
                yield path, about.st_ctime_ns

def stamp(unit):
    try:
        own = os.lstat(unit).st_ctime_ns
        return own if unit.startswith("artifacts") else max([own, *(each for _, each in files(unit))])
    except OSError:
        return 0

units = folders("artifacts", "*", "*", "*") + folders("lineage", "*") + folders("runs", "*")
found = sorted((each, unit) for unit in units if (each := stamp(unit)) > since)
packed = io.BytesIO()
done = 0
with tarfile.open(fileobj=packed, mode="w:gz") as archive:
    def add(path):
        try:
            archive.add(path, recursive=False)
        except OSError:
            # Removed meanwhile.
            pass
    for served in folders("serving", "*"):
        add(os.path.join(served, "labels.json"))
    for version in folders("serving", "*", "*"):
        add(version)
        add(os.path.join(version, "assets.extra", "millrace.json"))
    for until, unit in found:
        for path, _ in files(unit):
            add(path)
        done += 1
        since = until
        if packed.tell() > most:
            break
print(boundary, json.dumps({"done": done, "left": len(found) - done, "until": since}), flush=True)
sys.stdout.write(base64.encodebytes(packed.getvalue()).decode())
print(boundary, flush=True)
"""
_AGAIN_NANOSECONDS = 60 * 10**9
"""What was touched so shortly before the last look is copied again: it may have been under way."""


def claim(workflow: Mapping[str, Any]) -> str:
    """The claim of a Workflow's volume, or the bucket in place of it.

    Raises:
      InputError: it has none that stays, or is none of ours.
    """
    helper(workflow, _TEMPLATE, [])
    if bucket := option(closing_container(workflow), "--bucket"):
        return bucket
    volumes = workflow["spec"]["volumes"]
    claims = [str(each["persistentVolumeClaim"]["claimName"]) for each in volumes if "persistentVolumeClaim" in each]
    return claims[0] if claims else "volume"


def copy(
    printed: Callable[[dict[str, Any]], str], workflow: Mapping[str, Any], folder: Path, tell: Callable[[str], None]
) -> None:
    """Brings a copy up to date.

    Args:
      printed: runs a helper, and returns what it printed.
      workflow: of ours, on whose volume the records are; it may be one that was not submitted.
      folder: the copy; what is there already is not copied again.
      tell: is told how far it is, in a line.

    Raises:
      InputError: the Workflow has no volume that stays, or the folder is a copy of another one.
      TransientError: what was printed did not come whole.
      OSError: nothing can be written here.
    """
    arguments = closing_container(workflow)["args"]
    root = arguments[arguments.index("--root") + 1]
    source = {"namespace": workflow["metadata"].get("namespace", ""), "claim": claim(workflow), "root": root}
    folder.mkdir(parents=True, exist_ok=True)
    until, copied, left = _until(folder, source), 0, 1
    begin = max(0, until - _AGAIN_NANOSECONDS)
    while left:
        boundary = uuid.uuid4().hex
        words = [boundary, root, str(begin), str(_MOST_BYTES)]
        about, packed = _parts(printed(helper(workflow, _TEMPLATE, ["python", "-c", _READ], words)), boundary)
        # Versions that are gone there are gone here.
        shutil.rmtree(folder / "serving", ignore_errors=True)
        _unpack(packed, folder)
        copied, left, begin = copied + about["done"], about["left"], about["until"]
        (folder / copied_root.FILE).write_text(json.dumps(source | {"until": begin}))
        if left:
            tell(f"copied {copied:,} of {copied + left:,} runs and executions")


def _until(folder: Path, source: Mapping[str, str]) -> int:
    state = copied_root.about(folder)
    there = {key: state[key] for key in source if key in state}
    if there and there != source:
        raise InputError(f"{folder}: is a copy of {there}; name another folder, or remove it")
    if not state and any((folder / name).exists() for name in ("runs", "artifacts")):
        raise InputError(f"{folder}: holds runs that are no copy from a cluster; name another folder")
    until = state.get("until", 0)
    return until if isinstance(until, int) else 0


def _parts(printed: str, boundary: str) -> tuple[dict[str, int], bytes]:
    parts = printed.split(boundary)
    try:
        _, told, _ = parts
        head, _, text = told.partition("\n")
        return dict(parse(head)), base64.b64decode("".join(text.split()), validate=True)
    except (ValueError, binascii.Error):
        raise TransientError("what the volume's pod printed did not come whole; try again") from None


def _unpack(packed: bytes, folder: Path) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
    except (tarfile.TarError, EOFError) as error:
        raise TransientError(f"what the volume's pod printed cannot be unpacked: {error}; try again") from None
