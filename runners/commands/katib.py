"""`katib`: a model's search for hyperparameters as an Experiment of Katib."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError
from components.runtime.module_file.hyperparameters import BEST_FILE
from components.runtime.records import execution_record
from components.runtime.text import yaml_files
from runners import in_checkout
from runners.commands import completion
from runners.commands.compile import compiled, of_training, write
from runners.commands.local_path import LocalPath
from runners.history.records import load_run
from runners.katib import experiment as experiments
from runners.settings.kubernetes_values import check_name
from runners.terminal import output
from runners.terminal.output import Result

_STAGE = "tune"


@click.group()
def katib() -> None:
    """Export searches for hyperparameters to Katib."""


@katib.command()
@of_training
@click.option(
    "--run",
    default="",
    shell_complete=completion.runs,
    help="Of the model on the cluster, whose data the trials take; its newest without.",
)
@click.option("--task", default=_STAGE, show_default=True, help="The pipeline's task of the stage tune.")
@click.option("--name", default="", help="Of the Experiment; the pipeline's with -tune without.")
@click.option("--namespace", default="", help="Of the Experiment; that of kubectl without.")
@click.option(
    "--output",
    "place",
    type=LocalPath(dir_okay=False),
    help="File to write, build/<model>.katib.yaml without.",
)
@click.pass_context
def export(
    context: click.Context,
    model: str,
    module: str,
    models: str | None,
    run: str,
    task: str,
    name: str,
    namespace: str,
    place: Path | None,
) -> Result:
    """Write the search of a model's stage tune as an Experiment of Katib, with trials in pods of that stage.

    MODEL is a folder of models/ by its name, or a folder anywhere by its path. The search space, the objective and the
    data are those of a run that has tuned, all else is what the settings say now; --root is that run's pipeline root.
    """
    check_name(namespace, "--namespace")
    [made] = compiled(model, module, models, launched=True, begins=False, verb="export")

    from runners.compiled.ir import documents, read
    from runners.compiled.platform_spec import read_platform

    ir, platform = documents(made.text)
    tasks = read(ir).tasks
    if task not in tasks or tasks[task].stage != _STAGE:
        there = [name for name, each in tasks.items() if each.stage == _STAGE]
        mend = f"there {'is' if len(there) == 1 else 'are'} {', '.join(there)}" if there else ""
        raise InputError(
            f"{model}: no task {task!r} of the stage tune; {mend or 'put a section tune into its settings'}"
        )
    volume = made.settings.cluster.volume
    if not volume.claim:
        raise InputError(
            f"{model}: the trials read what a run has transformed from the volume; name it in cluster.volume.claim"
        )
    tuned = _tuned(context.obj["root"], run, made.settings.pipeline_name, task)
    target = experiments.Place(
        name or f"{made.settings.pipeline_name}-{_STAGE}", namespace, volume.claim, made.settings.cluster.mount_path
    )
    executors, _ = read_platform(platform, "Katib")
    document = experiments.experiment(tasks[task], executors.get(tasks[task].executor, {}), tuned, target)
    # Its trials start no other.
    for warning in made.images.of(tasks[task].pod_container["image"]).warnings("export"):
        output.warn(warning)
    if tuned.tuner not in experiments.ALGORITHMS:
        output.warn(f"warning: Katib has no search such as {tuned.tuner}: the Experiment is a random one")
    if experiments.asked_for(tasks[task], tuned)["max_minutes"]:
        output.warn("warning: Katib knows no limit of time: max_minutes is not in the Experiment")
    if "maxTrialCount" not in document["spec"]:
        output.warn("warning: the Experiment has no end: max_trials is 0; set it, or delete the Experiment in time")
    file = place or in_checkout("build") / f"{made.name}.katib.yaml"
    write({file: yaml_files.dump(document)})
    return Result({"experiment": target.name, "files": [file]}, str(file), [file])


def _tuned(root: Path, run: str, pipeline: str, task: str) -> experiments.Tuned:
    """What the task tune of a run says of the search.

    Raises:
      InputError: there is no such run, it is another pipeline's, it has not tuned, or what it made is gone.
    """
    found = load_run(root, run or pipeline)
    if found.pipeline != pipeline:
        raise InputError(f"run {found.id} is of the pipeline {found.pipeline}, not of {pipeline}; name one of its own")
    if found.target == "local":
        output.warn(
            f"warning: run {found.id} was made here: its data has to lie on the cluster's volume at the same place"
        )
    execution = next((each.execution for each in found.tasks if each.name == task and each.execution), "")
    if not execution:
        raise InputError(f"run {found.id}: {task} has made nothing in it; name another run with --run")
    try:
        record = execution_record.usable(root, execution)
    except execution_record.Unusable as reason:
        raise InputError(f"run {found.id}: of {task}, {reason}; run it again") from None
    made = {name: Path(artifact["uri"]) for name, artifact in record["outputs"].items()}
    table: dict[str, Any] = json.loads((made["trials"] / "trials.json").read_text())
    best: dict[str, Any] = json.loads((made["best_hyperparameters"] / BEST_FILE).read_text())
    inputs = execution_record.relative(root, record)["inputs"]
    return experiments.Tuned(
        record["parameters"],
        {name: artifact["uri"] for name, artifact in inputs.items()},
        best["space"],
        table["objective"],
        table["direction"],
        table["tuner"],
    )
