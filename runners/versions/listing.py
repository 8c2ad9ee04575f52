"""What is known of each version of a model: from the records of runs, and from what lies in the serving directory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from components.runtime.data.tfmd import SCHEMA_FILE
from components.runtime.publish import exports, mirror, serving, trained_on
from components.runtime.records import execution_record
from components.runtime.records.execution_record import relative_uri
from runners.history import copied_root
from runners.history.explorer.model import Row, Version
from runners.history.explorer.models import models, pushes
from runners.history.explorer.served import versions
from runners.history.lineage_graph import Graph
from runners.history.records import Run, list_runs
from runners.versions.place import Place


@dataclass(frozen=True)
class Listed:
    """A version, with what the explorer knows of it.

    Attributes:
      damage: why it is not whole, as far as it was looked at; empty where nothing is wrong, or nobody can tell.
      exports: names of the model's other formats beside it.
      verified: how many files were compared with what was pushed, and are the same; None where that was not done, or
        one is not.
    """

    version: Version
    damage: str = ""
    exports: tuple[str, ...] = ()
    verified: int | None = None

    @property
    def number(self) -> int:
        """Its number."""
        return int(self.version.number)


def listing(place: Place, *, verify: bool = False) -> list[Listed]:
    """The versions of a model, the newest first; those that were removed, too, as far as a run tells of them.

    Args:
      place: where it is served from.
      verify: whether every byte is compared with what was pushed; else it is looked whether all files are there.
    """
    rows = list(_rows(place))
    found = versions(rows, place.root, [(place.relative, place.model)])
    ours = [each for each in found if each.destination == place.relative and each.number.isdecimal()]
    # A copy of a cluster's records has none of the models' files.
    folders = {} if copied_root.about(place.root) else dict(serving.numbered(place.folder))
    return [Listed(each, *_seen(int(each.number), folders, verify)) for each in ours]


def schema_by_lineage(place: Place, number: int) -> str:
    """The schema of the data that a version was trained on, as the run that made it recorded it.

    Of versions that were pushed when they did not tell it themselves.

    Returns:
      The path of its file; empty where the version tells it itself, or no record does.
    """
    if trained_on.read(dict(serving.numbered(place.folder))[number]).schema:
        return ""
    artifact = next((each.version.artifact for each in listing(place) if each.number == number), "")
    pushed = execution_record.read(place.root, Path(artifact).parent) if artifact else None
    model = pushed["inputs"].get("model", {}).get("uri", "") if pushed else ""
    made = execution_record.read(place.root, Path(model).parent) if model else None
    schema = made["inputs"].get("schema", {}).get("uri", "") if made else ""
    file = place.root / schema / SCHEMA_FILE
    return str(file) if schema and file.is_file() else ""


def _rows(place: Place) -> Iterator[Row]:
    """Of each run that pushed there: who began it, its models, and what it pushed."""
    for run in list_runs(place.root):
        # Most runs push nothing, or to another place: their records need not be read.
        if any(task.execution and (place.root / task.execution / "pushed_model").exists() for task in run.tasks):
            yield from _row(run, place)


def _row(run: Run, place: Place) -> Iterator[Row]:
    executions = run.executions
    moments = {task: each.finished.isoformat() if each.finished else "" for task, each in executions.items()}

    def shown(where: str) -> str:
        there = relative_uri(place.root, where)
        # Records name the place that a root had which was moved since.
        moved = there.endswith(f"/{place.relative}") and not Path(there).exists()
        return place.relative if moved else there

    if any(each.destination == place.relative for each in pushes(executions, shown, moments)):
        row = Row(run.id, run.id, run.pipeline, run.target, run.state, by=run.by, models=models(executions))
        found = pushes(executions, shown, moments, Graph.of_run(run.root, run.id))
        row.pushes = [each for each in found if each.destination == place.relative]
        yield row


def _seen(number: int, folders: dict[int, Path], verify: bool) -> tuple[str, tuple[str, ...], int | None]:
    """What is damaged of a version, names of its exports, and how many files were compared and are whole."""
    if number not in folders:
        return "", (), None
    try:
        version = serving.read_version(number, folders[number])
        if version is None:
            return "", (), None
        names = tuple(exports.of_version(version))
        if verify:
            serving.verify(version)
            serving.verify_besides(version)
            return "", names, len(version.files) + len(serving.besides(version))
        missing = [name for name in version.files if not mirror.lies_there(version.folder / name)]
        return f"{missing[0]} is missing" if missing else "", names, None
    except serving.DamagedError as error:
        return str(error), (), None
