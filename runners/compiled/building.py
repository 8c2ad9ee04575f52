"""The building blocks of a pipeline: tasks of stages, with what the settings say of each, and what runs at its end."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from kfp import components as specs
from kfp import dsl

from components.runtime.launch.fingerprints import names_what_may_change
from runners import PROJECT
from runners.compiled import op_functions
from runners.settings.cluster import FINAL_STATUS_SERVER
from runners.settings.model import OPTIONAL_SECTIONS, SECTIONS
from runners.settings.resources import NEVER_CACHED, task_name

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask
    from kfp.dsl.base_component import BaseComponent

    from runners.settings.cluster import Cluster
    from runners.settings.model import Settings

STAGES = PROJECT / "components"

CANDIDATE = "CANDIDATE"
"""Ends the names of inputs of which a task has one for each candidate, with its name in this place."""


def component(file: Path, cluster: Cluster, given: tuple[str, ...] = ()) -> BaseComponent:
    """Loads the component spec of a stage, as far as the KFP server can run it.

    Args:
      file: the spec.
      cluster: of the server.
      given: names of the inputs that a task gets; an input with CANDIDATE in its name stands for any number of them.
    """
    text = file.read_text()
    return _component(text, cluster.server >= FINAL_STATUS_SERVER, given if CANDIDATE in text else ())


@functools.cache
def _component(text: str, tells_status: bool, given: tuple[str, ...]) -> BaseComponent:
    spec = yaml.safe_load(text)
    inputs = spec.get("inputs", [])
    if not tells_status and any(each["type"] == "PipelineTaskFinalStatus" for each in inputs):
        # The server refuses the whole pipeline. Elsewhere the status can still be given; there it is empty, for a
        # stage that lacks a parameter fails, and would tell nobody.
        for each in inputs:
            if each["type"] == "PipelineTaskFinalStatus":
                each |= {"type": "JsonObject", "default": "{}"}
        text = yaml.safe_dump(spec, sort_keys=False)
    if any(CANDIDATE in each["name"] for each in inputs):
        spec["inputs"] = [one for each in inputs for one in _repeated(each, given)]
        text = yaml.safe_dump(spec, sort_keys=False)
    return specs.load_component_from_text(text)


def _repeated(described: dict[str, Any], given: tuple[str, ...]) -> list[dict[str, Any]]:
    """An input of a spec, or those that it stands for."""
    before, stands_for_many, _ = described["name"].partition(CANDIDATE)
    names = [name for name in given if name.startswith(before)] if stands_for_many else [described["name"]]
    return [described | {"name": name} for name in names]


def input_of(what: str, candidate: str) -> str:
    """The input of choose that gets something of a candidate."""
    return f"{what}_{candidate.replace('-', '_')}"


class Blocks:
    """Makes the tasks of one model's pipeline.

    Attributes:
      settings: the model's.
      ops: the op functions, each of which says one thing about a task's pod: `build.ops.memory(task, "1Gi", "4Gi")`.
    """

    ops = op_functions

    def __init__(self, settings: Settings, find_image: op_functions.FindImage = op_functions.bare_name) -> None:
        """Makes no task yet.

        Args:
          settings: the model's.
          find_image: says what to start for the image that a component names.
        """
        self.settings = settings
        self._find_image = find_image

    def stage(self, stage: str, task: str = "", /, **arguments: Any) -> PipelineTask:
        """A task of a stage: `build.stage("train", "train-wide", transformed_examples=examples, seed=7)`.

        Its inputs are those given, else what the settings say of the stage; its pod is as the settings have it.

        Args:
          stage: its name.
          task: what runs call it; without, as the stage is called.
          arguments: the stage's inputs.
        """
        settings = self.settings
        arguments = self._said_of(stage) | arguments
        created = component(STAGES / stage / "component.yaml", settings.cluster, tuple(arguments))(**arguments)
        name = task or task_name(stage)
        pod = settings.pod(name)
        created.set_display_name(name)
        op_functions.image(created, pod, self._find_image)
        volume = stage in op_functions.VOLUME_STAGES or settings.on_volume(arguments)
        op_functions.configure(created, pod, settings.cluster, volume=volume)
        # (Raw data keeps its name while it grows.)
        may_change = stage == "ingest" or names_what_may_change(arguments)
        if stage in NEVER_CACHED:
            created.set_caching_options(False)
        elif may_change and pod.caching is None:
            op_functions.cached_by_content(created)
        return created

    def exit_handler(self, task: PipelineTask | None = None) -> AbstractContextManager[Any]:
        """What is around all tasks of a pipeline: `with build.exit_handler():`, in it the tasks.

        Args:
          task: runs last, however the others ended; without, that of notify, where the settings have that section.
        """
        if task is None and self.settings.notify:
            task = self.stage(
                "notify",
                pipeline=self.settings.pipeline_name,
                run=dsl.PIPELINE_JOB_NAME_PLACEHOLDER,
                run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
            )
        return contextlib.nullcontext() if task is None else dsl.ExitHandler(task, name="run")

    def _said_of(self, stage: str) -> dict[str, Any]:
        """The inputs of a stage that the settings fix."""
        if stage == "statistics":
            # What the columns are called and hold is said under the schema, and statistics go by it too.
            return self.settings.arguments("schema") | self.settings.arguments("statistics")
        is_said = stage in SECTIONS or stage in OPTIONAL_SECTIONS
        return self.settings.arguments(stage) if is_said and self.settings.has(stage) else {}


def kfp_pipeline(build: Blocks, define: Callable[..., None]) -> BaseComponent:
    """Has a function define a pipeline.

    Args:
      build: the function's first argument.
      define: its other arguments are the parameters of the pipeline: what can vary from run to run. Those that the
        settings have a value for need neither type nor default.
    """
    settings = build.settings
    defaults = {
        "data": settings.place("data"),
        "train_steps": settings.train.train_steps,
        "eval_steps": settings.train.eval_steps,
        "serving_directory": settings.place("serving_directory"),
    }
    _, *others = inspect.signature(define).parameters.values()
    parameters = [
        each.replace(annotation=type(defaults[each.name]), default=defaults[each.name])
        if each.name in defaults and each.default is each.empty
        else each
        for each in others
    ]

    names = [each.name for each in parameters]

    def millrace(*values: Any) -> None:
        define(build, **dict(zip(names, values, strict=True)))

    # By which kfp knows the parameters; it gives their values in this order.
    millrace.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return dsl.pipeline(
        name=settings.pipeline_name,
        description=settings.description,
        pipeline_config=op_functions.run_limits(settings.cluster),
    )(millrace)
