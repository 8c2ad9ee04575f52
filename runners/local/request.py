"""What a person asks of a run on this machine, on the command line or in a notebook: checked before anything begins."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from rich.text import Text

from components.runtime.errors import InputError, StageError, classify
from components.runtime.launch.bucket_root import BucketRoot
from components.runtime.records import execution_record
from components.runtime.text.redaction import HIDDEN, refuse_credentials
from runners.compiled.ir import check_launchable, documents, read
from runners.compiled.tasks import Pipeline
from runners.history.explorer import update as explorer
from runners.history.pages import run_report
from runners.history.records import last_model, load_run
from runners.history.spans_read import late_versions
from runners.local import environments
from runners.local.containers import Containers
from runners.local.recording import Display
from runners.local.run import LocalRun
from runners.local.selection import Selection
from runners.settings import named_files
from runners.settings.folders import MODELS, SETTINGS_FILE
from runners.settings.model import Settings, sections_there
from runners.terminal.model_lines import short
from runners.terminal.summary import summary

_PLACES = ("data", "serving_directory")
"""Parameters that say where something lies."""

Written = Callable[[str], str]
"""What a person writes before the value of a parameter, for messages: `--data `, `train_steps=`."""


def prepare(
    root: Path,
    settings: Settings,
    ir: str,
    read_given: Callable[[Mapping[str, Any]], dict[str, Any]],
    written: Written,
    display: Display,
    *,
    selection: Selection,
    use_cache: bool = True,
    engine: str | None = None,
    after: str = "",
    bucket: str = "",
    warn: Callable[[str], None],
) -> LocalRun:
    """A run that can begin: its parameters, files and data are looked at, environments and sample data are made.

    Args:
      root: the pipeline root.
      settings: of the model.
      ir: its compiled pipeline.
      read_given: the values of parameters that a person gave, in the types that the pipeline declares.
      written: how they wrote them.
      display: shows the run.
      selection: what of the pipeline is run.
      use_cache: whether earlier executions may answer.
      engine: runs the tasks in their images, the first that works where it is empty; None for processes.
      after: the look at a version in service that begins it; empty where a person does.
      bucket: URI of a pipeline root in object storage that the run takes executions from, and sends its own to.
      warn: tells what does not hinder the run.

    Raises:
      InputError: what can be told beforehand not to work.
      StageError: an environment could not be made.
    """
    environments.forget_code()
    compiled_ir, _ = documents(ir)
    pipeline = read(compiled_ir)
    check_launchable(compiled_ir)
    given = read_given(pipeline.parameters)
    arguments = pipeline.values(given | places(root, settings, given, written, pipeline.parameters))
    selected = selection.tasks(pipeline)
    stages = [task.stage for name, task in pipeline.tasks.items() if name in selected]
    if engine is None:
        _check_environments(pipeline, selected)
    named_files.check(settings, stages)
    if "ingest" in stages and "data" in arguments:
        check_data(arguments["data"], settings, written("data"), named="data" in given)
    if told := other_folder(root, settings):
        warn(told)
    shared = BucketRoot(bucket, root) if bucket else None
    if shared:
        shared.check()
    containers = None if engine is None else Containers(engine)
    if not containers:
        environments.prepare(stages)
    run = LocalRun(
        root=root,
        pipeline=pipeline,
        ir=ir,
        arguments=arguments,
        display=display,
        selection=selection,
        use_cache=use_cache,
        containers=containers,
        model=settings.folder,
        given={name: written(name) for name in given},
        after=after,
        bucket=shared,
    )
    if containers and containers.stale:
        warn(
            f"not of this checkout's code: the images of {', '.join(containers.stale)}; `make images` builds them anew"
        )
    for note in run.earlier.notes.values():
        warn(note)
    return run


def _check_environments(pipeline: Pipeline, selected: set[str]) -> None:
    """Refuses tasks that no environment of this machine can stand in for.

    Raises:
      InputError: which one.
    """
    for name, task in pipeline.tasks.items():
        if name in selected and task.foreign:
            raise InputError(
                f"task {name}: the stage {task.stage} runs in its image, {task.container['image']}, and nowhere else; "
                f"give --docker, or leave it out with --until or --only"
            )


def report(run: LocalRun) -> tuple[Path | None, str]:
    """Writes the page of a run that has ended, and what the explorer tells of it.

    Returns:
      The page, if it could be written; and why something could not be, else nothing.
    """
    page: Path | None = None
    try:
        page = run_report.write(run.root, run.id)
        explorer.update(run.root, first=run.id)
    except (OSError, StageError) as error:
        fault = classify(error)
        if fault is None:
            raise
        return page, f"the report could not be written: {fault}"
    return page, ""


def told(run: LocalRun, settings: Settings, width: int | None) -> Text:
    """What came of a run, in a few lines; `width` is that of a terminal."""
    executions = {
        task["name"]: record
        for task in run.record["tasks"]
        if task["execution"] and (record := execution_record.read(run.root, task["execution"]))
    }
    # Where the data is at fault, no setting of the stage that refuses it is.
    settings_file = None if run.invalid_data() else short(settings.folder / SETTINGS_FILE)
    late = late_versions(run.root, load_run(run.root, run.id))
    sections = sections_there(settings)
    return summary(
        short(run.root), run.record, executions, settings=settings_file, sections=sections, late=late, width=width
    )


def check_data(data: str, settings: Settings, written: str, *, named: bool) -> None:
    """Refuses data that is not there before a run begins; what a URI or a pattern leads to is ingest's to find.

    Of the models that come with the project, there is sample data to make.

    Args:
      data: where it is.
      settings: of the model.
      written: what a person writes before it.
      named: whether they did, and not the settings or the model's own folder.
    """
    if settings.ingest.query:
        if named:
            raise InputError(
                f"{written}{short(Path(data))}: the data is what ingest.query in {SETTINGS_FILE} asks for; leave it out"
            )
        return
    place = settings.own_data
    if data == str(place) and settings.folder.parent == MODELS and not (place.is_dir() and any(place.iterdir())):
        environments.make("sample-data", MODEL=settings.folder.name, ARGS="--if-there-is-any")
    if "://" in data or "{" in data or os.path.lexists(data):
        return
    if named:
        raise InputError(f"{written}{short(Path(data))}: there is no such file or folder; name the one with your data")
    if data == str(place):
        raise InputError(f"there is no {short(place)}; put your data there, or name its place: {written}FOLDER")


def other_folder(root: Path, settings: Settings) -> str:
    """What is told where the last run of this name was of a model in another folder; empty where it was not."""
    earlier = last_model(root, settings.pipeline_name)
    if not earlier or earlier == str(settings.folder):
        return ""
    return (
        f"the last run of {settings.pipeline_name!r} was of the model in {earlier}, this one is of "
        f"{settings.folder}: runs, artifacts and served models of both go under one name; if they are two models, "
        f"write pipeline_name into {SETTINGS_FILE}"
    )


def places(
    root: Path, settings: Settings, given: Mapping[str, Any], written: Written, known: Iterable[str]
) -> dict[str, str]:
    """Where data lies and served models go: what was given, else what the settings say, else a folder of our own.

    Local paths are made absolute because stages run elsewhere.

    Args:
      root: the pipeline root.
      settings: of the model.
      given: values of parameters.
      written: what a person writes before one.
      known: the parameters that the pipeline has.

    Raises:
      InputError: one is empty, or an address with credentials, which no other parameter may be either.
    """
    ours = {
        "data": settings.local_place(settings.data) if settings.data else str(settings.own_data),
        "serving_directory": settings.serving_here(root),
    }
    found = {name: given.get(name, place) for name, place in ours.items() if name in known}
    for name, value in (*given.items(), *found.items()):
        option = written(name)
        where = f"{option}{HIDDEN}" if option.endswith(" ") else option.rstrip("=")
        refuse_credentials(value, where, place=name in _PLACES and not os.path.exists(value))
    for name in found:
        # An unset variable of the shell would else mean the folder that one stands in.
        if not found[name].strip():
            raise InputError(f"{written(name).rstrip(' =')} is empty; name a file or folder, or leave it out")
        if "://" not in found[name]:
            found[name] = os.path.abspath(found[name])
    return found
