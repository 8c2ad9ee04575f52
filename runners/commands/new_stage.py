"""`new-stage`: a stage that works, in every place that must know it."""

from __future__ import annotations

import click

from runners import PROJECT
from runners.scaffold import stage
from runners.settings.resources import stages, task_name
from runners.terminal.output import Result

_LEFT = """
What is left to you:
components/{name}/{name}.py   its work, with component.yaml beside it and tests/components/{name}; then: make fmt
pipeline.py   a task of it, in work(), such as: task("{name}", examples=examples)  # runs call it {task}
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
def new_stage(name: str, environment: str) -> Result:
    """Make the stage NAME, which works and has tests, and register it everywhere but in pipeline.py."""
    new = stage.scaffold(name, environment, PROJECT)
    stage.write(new, PROJECT)
    lines = [f"{word:<8} {place}" for word in ("made", "changed") for place in getattr(new, word)]
    return Result(
        {"stage": name, "task": task_name(name), "made": list(new.made), "changed": list(new.changed)},
        "\n".join([*lines, _LEFT.format(name=name, task=task_name(name))]),
        list(new.made),
    )
