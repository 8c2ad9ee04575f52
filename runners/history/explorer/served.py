"""The versions of each served model: from the pushes of all runs, and from what lies in the serving directories."""

from __future__ import annotations

import itertools
import pwd
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from components.runtime.publish import labels, mirror, serving
from runners.history.explorer.model import Model, Push, Row, Version
from runners.history.releases import Made, releases

_BY_HAND = "put there by hand"
_ELSEWHERE = "pushed by a run that is recorded elsewhere"
_ROLLED_BACK = "rolled back"


@dataclass
class _Pushed:
    """A version by its first push, with the run that made it."""

    row: Row
    push: Push

    @property
    def model(self) -> Model | None:
        """The model of the run that it is."""
        same = [each for each in self.row.models if each.version == self.push.version]
        # Of several candidates each may be version 1 of its own folder.
        return next((each for each in same if each.digest == self.push.digest), same[0] if same else None)


def versions(rows: Sequence[Row], root: Path | None, places: Iterable[tuple[str, str]] = ()) -> list[Version]:
    """All versions, by model; the newest first.

    Args:
      rows: of all runs.
      root: the pipeline root, from which serving directories are named; None where nobody can look into them.
      places: serving directories with their models, to look into whether a run pushed there or not.
    """
    found: dict[tuple[str, str], dict[str, _Pushed]] = {place: {} for place in places}
    for row in rows:
        for push in row.pushes:
            there = found.setdefault((push.destination, push.model), {})
            known = there.get(push.version)
            if known is None or _tells_better(push, known.push):
                there[push.version] = _Pushed(row, push)
    made = []
    for (destination, model), pushed in sorted(found.items(), key=lambda entry: entry[0][::-1]):
        made += _of_model(model, destination, pushed, root)
    return made


def _tells_better(push: Push, known: Push) -> bool:
    """Whether of two pushes under one number this one tells of what lies there."""
    made, known_made = push.created is not False, known.created is not False
    if made is not known_made:
        # A run that finds its model in service tells of a version that another one made.
        return made
    # A number is made twice where the serving directory was emptied between.
    return push.time > known.time if made else push.time < known.time


def _of_model(model: str, destination: str, pushed: dict[str, _Pushed], root: Path | None) -> list[Version]:
    folder = _folder(destination, root)
    there = {str(number): path for number, path in serving.numbered(folder)} if folder else {}
    newest = max(there, key=int, default="")
    labelled = _labels(folder) if folder else {}
    first: dict[str, Version] = {}
    made = []
    for number in sorted({*pushed, *there}, key=_order):
        each = pushed.get(number)
        version = _pushed(each) if each else _by_hand(model, destination, number, there[number], first)
        if folder is None:
            version.state = "unknown"
        elif number in there:
            version.state = "served" if number == newest else "earlier"
        else:
            version.state = "removed"
        version.labels = [label for label, of in labelled.items() if str(of) == number and number in there]
        known = first.setdefault(version.digest, version) if version.digest else version
        if known is not version and version.blessed is None:
            # What was found out about a model holds wherever it is put.
            version.blessed, version.reason, version.blessed_by = known.blessed, known.reason, known.blessed_by
            version.metrics, version.approval = known.metrics, known.approval
        if known is not version:
            version.spans = version.spans or known.spans
        made.append(version)
    told = releases(
        [
            Made(each.number, each.digest, pushed[each.number].push.made_of if each.number in pushed else {})
            for each in made
        ]
    )
    for version in made:
        release = told[version.number]
        version.release, version.change = str(release.number or ""), release.why
    timed = [each for each in made if each.time]
    for earlier, later in itertools.pairwise(timed):
        earlier.until = later.time
    return made[::-1]


def _pushed(each: _Pushed) -> Version:
    judged, push = each.model, each.push
    return Version(
        model=push.model,
        number=push.version,
        destination=push.destination,
        state="",
        how=_ROLLED_BACK if push.same_as else "pushed",
        again=push.same_as,
        by=each.row.by,
        time=push.time,
        run=each.row.id,
        digest=push.digest,
        why=push.why,
        blessed_by=each.row.id if judged and judged.blessed is not None else "",
        metrics=judged.metrics if judged else {},
        blessed=judged.blessed if judged else None,
        reason=judged.reason if judged else "",
        approval=judged.approval if judged else "",
        artifact=push.artifact,
        spans=push.spans,
    )


def _by_hand(model: str, destination: str, number: str, folder: Path, first: dict[str, Version]) -> Version:
    """A version that no run here tells of: of another pipeline root, a copy of an earlier one, or somebody else's."""
    made = Version(model, number, destination, state="", how=_BY_HAND)
    try:
        if moment := mirror.written(folder):
            made.time = moment.isoformat()
        else:
            about = folder.stat()
            made.time = datetime.fromtimestamp(about.st_mtime, UTC).isoformat()
            made.by = pwd.getpwuid(about.st_uid).pw_name
    except (OSError, KeyError):
        # Removed meanwhile, or of a user whom this machine does not know.
        pass
    try:
        known = serving.read_version(int(number), folder)
    except serving.DamagedError:
        known = None
    if known:
        made.digest = known.model_digest
        made.again = first[known.model_digest].number if known.model_digest in first else ""
        made.how = _ROLLED_BACK if made.again else _ELSEWHERE if "producer" in known.about else _BY_HAND
        if reason := known.about.get("blessing"):
            made.blessed, made.reason = True, str(reason)
            made.metrics = dict(known.about.get("metrics") or {})
        said = known.about.get(serving.ROLLED_BACK)
        # (A copy of that version says so too.)
        if isinstance(said, dict) and str(said.get("version")) == number:
            made.how, made.again = _ROLLED_BACK, str(said.get("same_as") or "")
            made.by, made.why = str(said.get("by") or ""), str(said.get("why") or "")
    return made


def _labels(folder: Path) -> dict[str, int]:
    try:
        return labels.read(folder)
    except ValueError:
        # The command that lists them says so.
        return {}


def _folder(destination: str, root: Path | None) -> Path | None:
    """The serving directory, where it is one of this machine and still there, or in a bucket that was looked at."""
    if root is None or not destination:
        return None
    if "://" in destination:
        return mirror.known(destination)
    folder = root / destination
    try:
        return folder if folder.is_dir() else None
    except (OSError, ValueError):
        return None


def _order(number: str) -> tuple[int, str]:
    return (int(number), "") if number.isdecimal() and number.isascii() else (0, number)
