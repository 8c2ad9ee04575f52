"""`new-stage`: a stage that works, in every place that must know it."""

from __future__ import annotations

import click
from click.core import ParameterSource

from components.runtime.errors import InputError
from components.runtime.launch.module_code import PIPELINE_FILE
from runners import PROJECT
from runners.commands import completion
from runners.scaffold import own_stage, stage
from runners.settings import folders
from runners.settings.resources import stages, task_name
from runners.terminal.output import Result

_LEFT_OWN = """
What is left to you: its image, command, inputs and outputs in {file}, and a task of it in
{pipeline}, such as: build.stage("{name}", examples=examples)  # runs call it {task}"""
_LEFT = """
What is left to you:
components/{name}/{name}.py   its work, with component.yaml beside it and tests/components/{name}; then: make fmt
pipeline.py   a task of it, here or beside a model's settings, such as:
    build.stage("{name}", examples=examples)  # runs call it {task}
runners/settings/stages.py   a section, if models shall have settings for it: docs/contributing.md"""


@click.command()
@click.argument("name")
@click.option(
    "--environment",
    type=click.Choice(sorted(set(stages().values()))),
    default="client",
    show_default=True,
    help="That the stage runs in: client has no TensorFlow, data has TFDV, ml has TensorFlow and Keras.",
)
@click.option(
    "--model", default="", shell_complete=completion.models, help="That brings the stage along, with --image."
)
@click.option("--image", default="", metavar="IMAGE", help="Of a stage in any language, in the folder of --model.")
@click.pass_context
def new_stage(context: click.Context, name: str, environment: str, model: str, image: str) -> Result:
    """Make the stage NAME, which works and has tests, and register it everywhere but in pipeline.py.

    With --model and --image it is a component.yaml in the model's folder: any image, any language.
    """
    if bool(model) != bool(image):
        raise InputError("--model and --image go together: whose stage it is, and what it runs in")
    if model:
        if context.get_parameter_source("environment") is not ParameterSource.DEFAULT:
            raise InputError("--environment is of stages in the checkout; --image says what this one runs in")
        folder = folders.find(model)
        file = own_stage.write(name, image, folder)
        pipeline = folders.shown(folder / PIPELINE_FILE)
        left = _LEFT_OWN.format(name=name, file=folders.shown(file), pipeline=pipeline, task=task_name(name))
        return Result(
            {"stage": name, "task": task_name(name), "made": [file], "changed": []},
            f"{'made':<8} {folders.shown(file)}\n{left}",
            [file],
        )
    new = stage.scaffold(name, environment, PROJECT)
    stage.write(new, PROJECT)
    lines = [f"{word:<8} {place}" for word in ("made", "changed") for place in getattr(new, word)]
    return Result(
        {"stage": name, "task": task_name(name), "made": list(new.made), "changed": list(new.changed)},
        "\n".join([*lines, _LEFT.format(name=name, task=task_name(name))]),
        list(new.made),
    )
