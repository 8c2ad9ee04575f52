"""Recurring runs from files: what each says, and what has to change on the server.

name: taxi-nightly
pipeline: taxi
cron: "0 0 2 * * *"        # second minute hour day month weekday
parameters: {train_steps: 500}
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from components.runtime.errors import InputError, did_you_mean
from components.runtime.text import yaml_files
from runners.settings import plain_values

_FIELDS = (
    ("second", 0, 59, ()),
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of the month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of the week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_CAN_BE_QUESTION = ("day of the month", "day of the week")
_WORDS = {1: "one field", 2: "two fields", 3: "three fields", 4: "four fields", 5: "five fields", 7: "seven fields"}


class Schedule(BaseModel):
    """One recurring run.

    Attributes:
      concurrency: how many of its runs may go on at once.
      catch_up: whether runs that were missed are made up for.
      version: of the pipeline; the newest one when the file is applied, if not named.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str = Field(min_length=1)
    pipeline: str = Field(min_length=1)
    cron: str
    version: str = ""
    description: str = ""
    parameters: dict[str, Any] = {}
    concurrency: int = Field(default=10, ge=1, le=10)
    catch_up: bool = False
    enabled: bool = True
    experiment: str = "Default"
    service_account: str = ""
    pipeline_root: str = ""


def read(files: Iterable[Path]) -> list[tuple[Path, Schedule]]:
    """Reads and checks files of schedules, and those in folders; a file may hold several documents.

    Raises:
      InputError: one of them is wrong, or two have the same name.
    """
    found: list[tuple[Path, Schedule]] = []
    for file in _files(files):
        try:
            content = file.read_bytes()
        except OSError as error:
            raise InputError(f"{file}: {error.strerror}") from None
        documents = [document for document in yaml_files.load_all(content, str(file)) if document is not None]
        if not documents:
            raise InputError(f"{file}: holds no schedule")
        for document in documents:
            found.append((file, _schedule(file, document)))
    names: dict[str, Path] = {}
    for file, schedule in found:
        if schedule.name in names:
            raise InputError(f"{file}: the name {schedule.name!r} is taken already, by {names[schedule.name]}")
        names[schedule.name] = file
    return found


def check_cron(cron: str) -> list[str]:
    """Takes a cron expression of six fields apart, as Kubeflow Pipelines reads it.

    Raises:
      InputError: another number of fields, one that is out of its range, or days that no year has.
    """
    fields = cron.split()
    if len(fields) == 5:
        # Only what would be taken then is advised.
        check_cron(f"0 {cron}")
        raise InputError(
            f"cron {cron!r} has five fields, the seconds are missing at the front: write '0 {cron.strip()}'"
        )
    if len(fields) != 6:
        count = _WORDS.get(len(fields), f"{len(fields)} fields")
        order = ", ".join(name for name, *_ in _FIELDS)
        raise InputError(f"cron {cron!r} has {count}, six are needed: {order}")
    times: list[set[int]] = []
    for value, (name, least, most, words) in zip(fields, _FIELDS, strict=True):
        parts = ["*"] if value == "?" and name in _CAN_BE_QUESTION else value.split(",")
        found = [_part(part, least, most, words) for part in parts]
        if not all(found):
            example = f", or a name as {words[0]}" if words else ""
            raise InputError(
                f"cron {cron!r}: the {name} is {value!r}; it is * or {least} to {most}{example}, with - , and /"
            )
        times.append({time for each in found for time in each})
    # (Where both are named, a day of the week is enough.)
    if fields[5][0] in "*?" and min(times[3]) > max(_DAYS[month - 1] for month in times[4]):
        raise InputError(f"cron {cron!r} never comes: no month of it has a day {min(times[3])}")
    return fields


def whole_minutes(cron: str, where: str) -> str:
    """The same times in five fields, for targets that know no seconds.

    Args:
      cron: six fields.
      where: the target's name.

    Raises:
      InputError: the seconds are not 0.
    """
    second, *rest = check_cron(cron)
    if second != "0":
        raise InputError(
            f"cron {cron!r}: {where} starts runs at whole minutes; the seconds, the first field, must be 0"
        )
    return " ".join("*" if field == "?" else field for field in rest)


def differences(schedule: Schedule, version: Any, experiment_id: str, there: Any) -> list[str]:
    """Names of what is otherwise on the server."""
    trigger = there.trigger.cron_schedule if there.trigger else None
    reference = there.pipeline_version_reference
    config = there.runtime_config
    pairs: list[tuple[str, Any, Any]] = [
        ("cron", schedule.cron, trigger.cron if trigger else None),
        ("version", version.pipeline_version_id, reference.pipeline_version_id if reference else None),
        ("parameters", schedule.parameters, dict((config.parameters if config else None) or {})),
        ("concurrency", schedule.concurrency, int(there.max_concurrency or 0)),
        ("catch_up", schedule.catch_up, not there.no_catchup),
        ("enabled", schedule.enabled, there.mode == "ENABLE" or there.status == "ENABLED"),
        ("experiment", experiment_id, there.experiment_id),
        ("description", schedule.description, there.description or ""),
        ("pipeline_root", schedule.pipeline_root, (config.pipeline_root if config else None) or ""),
    ]
    # A server fills in its own service account where none is named.
    if schedule.service_account:
        pairs.append(("service_account", schedule.service_account, there.service_account or ""))
    return [name for name, wanted, found in pairs if wanted != found]


def _files(paths: Iterable[Path]) -> list[Path]:
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted([*path.glob("*.yaml"), *path.glob("*.yml")])
            inside = [file for file in inside if file.stem != "kustomization"]
            if not inside:
                raise InputError(f"{path}: no schedules (*.yaml) in this folder")
            files += inside
        else:
            files.append(path)
    return files


def _schedule(file: Path, document: Any) -> Schedule:
    if not isinstance(document, dict):
        raise InputError(f"{file}: a schedule is a mapping with name, pipeline and cron")
    try:
        plain_values.refuse(document, str(file), free="parameters")
        schedule = Schedule.model_validate(document)
    except ValidationError as error:
        mistake = error.errors()[0]
        where = ".".join(str(part) for part in mistake["loc"])
        if mistake["type"] == "extra_forbidden":
            raise InputError(f"{file}: {_unknown(where)}") from None
        if mistake["type"] == "missing":
            raise InputError(f"{file}: {where!r} is missing") from None
        raise InputError(f"{file}: {where}: {mistake['msg']}, not {mistake['input']!r}") from None
    try:
        check_cron(schedule.cron)
    except InputError as error:
        raise InputError(f"{file}: {error}") from None
    return schedule


def _unknown(key: str) -> str:
    known = list(Schedule.model_fields)
    return f"unknown key {key!r}{did_you_mean(key, known)}; known are {', '.join(known)}"


def _part(part: str, least: int, most: int, words: Sequence[str]) -> range:
    """The times that one of `*`, `5`, `1-5`, `*/10`, `1-30/5`, `5/10`, `mon-fri` means; none where it is no such."""
    found = re.fullmatch(r"(\*|\w+)(?:-(\w+))?(?:/(\d{1,9}))?", part, re.ASCII)
    if not found or (found[3] is not None and not 0 < int(found[3]) <= most) or (found[1] == "*" and found[2]):
        return range(0)
    begin = least if found[1] == "*" else _value(found[1], words)
    # With a step, one number is the first of them.
    end = _value(found[2], words) if found[2] else most if found[1] == "*" or found[3] else begin
    return range(begin, end + 1, int(found[3] or 1)) if least <= begin and end <= most else range(0)


def _value(text: str, words: Sequence[str]) -> int:
    if text.lower() in words:
        # Months count from 1, days of the week from 0.
        return words.index(text.lower()) + (1 if len(words) == 12 else 0)
    return int(text) if re.fullmatch("[0-9]{1,9}", text) else -1


def document(changes: Mapping[str, str], *, dry_run: bool) -> dict[str, Any]:
    """What was done, or would be, to schedules by name, as a document for programs."""
    return {"dry_run": dry_run, "schedules": [{"schedule": name, "change": what} for name, what in changes.items()]}
