"""execution.json: what one execution of a stage read and made, as docs/contract.md defines it.

On disk its URIs are relative to the pipeline root, so that the root can be moved, copied or mounted elsewhere; what
`read` returns has them as they hold here and now.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.runtime.stage.artifacts import content_bytes, write_whole
from components.runtime.text.json_text import parse

FILE = "execution.json"

ARTIFACT_PLACE = re.compile(
    r"(?:^|/)(?P<place>artifacts/(?P<pipeline>[^/]+)/(?P<task>[^/]+)/(?P<key>[^/]+)/(?P<output>[^/]+))/?$"
)
"""The end of an artifact's URI, whatever the pipeline root."""


class Unusable(Exception):
    """An execution that cannot stand in for a new one, with the reason in one line."""


def home(record: Mapping[str, Any]) -> str:
    """Where an execution lies, relative to the pipeline root."""
    return f"artifacts/{record['pipeline']}/{record['task']}/{record['key']}"


def read(root: Path, folder: str | Path) -> dict[str, Any] | None:
    """The record of a finished execution; None where there is none, or only what a power cut left of one.

    Args:
      root: the pipeline root.
      folder: the execution's, relative to it.
    """
    try:
        record = parse((root / folder / FILE).read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict) or not all(
        isinstance(record.get(side), dict)
        and all(
            isinstance(each, dict) and isinstance(each.get("uri"), str) and isinstance(each.get("metadata", {}), dict)
            for each in record[side].values()
        )
        for side in ("inputs", "outputs")
    ):
        return None
    return _with_uris(record, lambda uri: absolute_uri(root, uri))


def usable(root: Path, folder: str | Path) -> dict[str, Any]:
    """The record of an execution whose artifacts are all there.

    Args:
      root: the pipeline root.
      folder: the execution's, relative to it.

    Raises:
      Unusable: it has no record, or an artifact is gone or not as large as it was.
    """
    record = read(root, folder)
    if record is None or not {"output_parameters", "seconds", "key"} <= record.keys():
        raise Unusable(f"its {FILE} is missing or damaged")
    for name, artifact in record["outputs"].items():
        path = root / folder / name
        if not path.exists():
            raise Unusable(f"its {name} was removed")
        size = artifact.get("metadata", {}).get("bytes")
        if size is not None and content_bytes(path) != size:
            of = f"{size:,.0f}" if isinstance(size, int | float) else size
            raise Unusable(f"its {name} is not whole: {content_bytes(path):,} bytes of {of}")
    return record


def write(root: Path, folder: Path, record: dict[str, Any]) -> None:
    """Writes the record of an execution into its folder."""
    write_whole(folder / FILE, json.dumps(relative(root, record), indent=1))


def relative(root: Path, record: dict[str, Any]) -> dict[str, Any]:
    """A record as it is on disk."""
    return _with_uris(record, lambda uri: relative_uri(root, uri))


def relative_uri(root: Path, uri: str) -> str:
    """An artifact's URI without the place of the pipeline root: the same wherever the root lies."""
    local = uri.removeprefix("file://")
    for base in (root.absolute(), root.resolve(), root):
        if local.startswith(f"{base}/"):
            return local.removeprefix(f"{base}/")
    return uri


def absolute_uri(root: Path, uri: str) -> str:
    """Where an artifact of a record lies now. Records of earlier versions name the place that the root had then."""
    if "://" in uri:
        return uri
    if not uri.startswith("/"):
        return str(root / uri)
    artifact = ARTIFACT_PLACE.search(uri)
    return str(root / artifact["place"]) if artifact and (root / artifact["place"]).exists() else uri


def _with_uris(record: dict[str, Any], change: Callable[[str], str]) -> dict[str, Any]:
    changed = copy.deepcopy(record)
    for side in ("inputs", "outputs"):
        for artifact in changed.get(side, {}).values():
            artifact["uri"] = change(artifact["uri"])
    return changed
