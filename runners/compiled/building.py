"""The building blocks of a pipeline: tasks of stages, with what the settings say of each, and what runs at its end."""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from kfp import components as specs
from kfp import dsl

from components.runtime.errors import InputError, did_you_mean
from components.runtime.launch.fingerprints import names_what_may_change
from components.runtime.launch.module_code import SPEC, STAGES_FOLDER
from components.runtime.launch.task import BEAM_OPTIONS
from components.runtime.module_file import workers
from runners import PROJECT
from runners.compiled import op_functions
from runners.compiled.ir import stage_command
from runners.settings import resources
from runners.settings.cluster import FINAL_STATUS_SERVER
from runners.settings.folders import own_specs, shown
from runners.settings.model import OPTIONAL_SECTIONS, SECTIONS
from runners.settings.resources import ASKED_AGAIN, NEVER_CACHED, task_name

if TYPE_CHECKING:
    from kfp.dsl import PipelineTask
    from kfp.dsl.base_component import BaseComponent

    from runners.settings.cluster import Cluster
    from runners.settings.model import Settings

STAGES = PROJECT / "components"

CANDIDATE = "CANDIDATE"
"""Ends the names of inputs of which a task has one for each candidate, with its name in this place."""
_ONLY_WHERE_GIVEN = {"ingest": ("table", BEAM_OPTIONS)}
"""Inputs that the component of a stage has where a task gets them: compiled pipelines without are what they were."""
_TASK_NAME = re.compile(r"[a-z]([a-z0-9-]{0,51}[a-z0-9])?")
"""It names pods and folders; Argo's own names for the pods of a task are a little longer."""


def component(file: Path, cluster: Cluster, given: tuple[str, ...] = ()) -> BaseComponent:
    """Loads the component spec of a stage, as far as the KFP server can run it.

    Args:
      file: the spec.
      cluster: of the server.
      given: names of the inputs that a task gets; an input with CANDIDATE in its name stands for any number of them.
    """
    text = file.read_text()
    left_out = tuple(name for name in _ONLY_WHERE_GIVEN.get(file.parent.name, ()) if name not in given)
    return _component(text, cluster.server >= FINAL_STATUS_SERVER, given if CANDIDATE in text else (), left_out)


@functools.cache
def _component(text: str, tells_status: bool, given: tuple[str, ...], left_out: tuple[str, ...]) -> BaseComponent:
    if not tells_status or given or left_out:
        spec = yaml.safe_load(text)
        inputs = [one for each in spec.get("inputs", []) for one in _repeated(each, given)]
        inputs = [each for each in inputs if each["name"] not in left_out]
        for each in inputs:
            if not tells_status and each.get("type") == "PipelineTaskFinalStatus":
                # The server refuses the whole pipeline. Elsewhere the status can still be given; there it is empty,
                # for a stage that lacks a parameter fails, and would tell nobody.
                each |= {"type": "JsonObject", "default": "{}"}
        text = yaml.safe_dump(spec | ({"inputs": inputs} if inputs else {}), sort_keys=False)
    return specs.load_component_from_text(text)


def _repeated(described: dict[str, Any], given: tuple[str, ...]) -> list[dict[str, Any]]:
    """An input of a spec, or those that it stands for."""
    before, stands_for_many, _ = str(described["name"]).partition(CANDIDATE)
    if not stands_for_many or not given:
        return [described]
    return [described | {"name": name} for name in given if name.startswith(before)]


def input_of(what: str, candidate: str) -> str:
    """The input of choose that gets something of a candidate."""
    return f"{what}_{candidate.replace('-', '_')}"


def _has_workers(arguments: Mapping[str, Any]) -> bool:
    """Whether a task is a training by several workers, which on KFP get its inputs by the volume."""
    said = arguments.get("custom_config")
    asked = said.get(workers.KEY) if isinstance(said, dict) and "max_trials" not in arguments else None
    return isinstance(asked, dict) and asked.get("workers", 1) != 1


class _Outputs(dict[str, Any]):
    """The outputs of a task; one that it lacks is told with those that it has."""

    def __init__(self, outputs: Mapping[str, Any], task: str) -> None:
        super().__init__(outputs)
        self._task = task

    def __missing__(self, name: object) -> None:
        raise InputError(
            f"{self._task} has no output {name!r}{did_you_mean(str(name), self)}; it has: {', '.join(self) or 'none'}"
        )


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
        self._stages: dict[str, str] = {}

    def stage(self, stage: str, task: str = "", /, **arguments: Any) -> PipelineTask:
        """A task of a stage: `build.stage("train", "train-wide", transformed_examples=examples, seed=7)`.

        Its inputs are those given, else what the settings say of the stage; its pod is as the settings have it.

        Args:
          stage: its name.
          task: what runs call it; without, as the stage is called.
          arguments: the stage's inputs.
        """
        for given in (stage, task):
            if not isinstance(given, str):
                raise InputError(f"build.stage takes the name of a stage, and one for the task, not {given!r}")
        settings = self.settings
        file = self._spec(stage)
        name = task or task_name(stage)
        self._take(name, stage)
        arguments = self._said_of(stage) | arguments
        created = component(file, settings.cluster, tuple(arguments))(**arguments)
        pod = settings.pod(name, stage)
        created.set_display_name(name)
        created._outputs = _Outputs(created._outputs, name)
        if is_ours := self._is_ours(file, created):
            on_beam = stage in resources.stages_on_beam() and bool(arguments.get(BEAM_OPTIONS))
            op_functions.image(created, pod, self._find_image, of_all=on_beam)
        else:
            op_functions.foreign(created, stage)
        volume = stage in op_functions.VOLUME_STAGES or settings.on_volume(arguments) or _has_workers(arguments)
        op_functions.configure(created, pod, settings.cluster, volume=volume)
        # (Raw data keeps its name while it grows.)
        may_change = stage == "ingest" or names_what_may_change(arguments)
        if is_ours and (stage in NEVER_CACHED or (stage in ASKED_AGAIN and not pod.caching)):
            created.set_caching_options(False)
        elif may_change and pod.caching is None:
            op_functions.cached_by_content(created)
        return created

    def _spec(self, stage: str) -> Path:
        """The component spec of a stage: the model's own, or one of the checkout.

        Raises:
          InputError: there is none, or one in both places.
        """
        own = self.settings.folder / STAGES_FOLDER
        files = [file for file in (STAGES / stage / SPEC, own / stage / SPEC) if file.is_file()]
        if len(files) == 1:
            return files[0]
        if files:
            raise InputError(f"the stage {stage} is in {shown(files[1])} and in {shown(files[0])}; rename the first")
        known = sorted(file.parent.name for file in [*STAGES.glob(f"*/{SPEC}"), *own_specs(self.settings.folder)])
        raise InputError(
            f"no stage {stage!r}{did_you_mean(stage, known)}; it would be in {shown(own / stage / SPEC)}, and those "
            f"there are: {', '.join(known)}"
        )

    def _is_ours(self, file: Path, created: PipelineTask) -> bool:
        """Whether a stage's image is one that we make, with our launcher in it.

        Raises:
          InputError: nobody could say which image a run had.
        """
        container = created.container_spec
        if container is None or not container.command:
            raise InputError(f"{shown(file)}: a stage is a container with an image and a command; it lacks one of them")
        given = {"command": container.command, "args": container.args}
        if file.is_relative_to(STAGES) and given == stage_command(file.parent.name):
            return True
        if "@" not in container.image and ":" not in container.image.rpartition("/")[2]:
            raise InputError(
                f"{shown(file)}: the image {container.image} has neither tag nor digest, so nobody would know what "
                f"ran; write {container.image}:TAG"
            )
        return False

    def _take(self, name: str, stage: str) -> None:
        """Takes a name for a task.

        Raises:
          InputError: another has it, or it names no pod.
        """
        if not _TASK_NAME.fullmatch(name):
            raise InputError(
                f"{name!r} cannot name a task: lower-case letters, digits and '-' can, at most 53, the first a letter"
            )
        if name in self._stages:
            raise InputError(f"there is a task {name!r} already; name this one: build.stage({stage!r}, NAME, ...)")
        self._stages[name] = stage

    def check(self) -> None:
        """Holds the settings against the tasks that were made.

        Raises:
          ValueError: they speak of others.
        """
        made = self._stages
        resources.check_names(self.settings.resources, [*made.values(), *made])
        for name in self.settings.candidates:
            if not any(task.endswith(f"-{name}") for task in made):
                raise ValueError(f"candidates.{name}: there is no task of it; build.compete(...) makes those of all")
        for section in OPTIONAL_SECTIONS:
            if self.settings.has(section) and section not in made.values():
                mend = "with build.exit_handler():" if section == "notify" else f'build.stage("{section}", ...)'
                raise ValueError(f"the settings have {section}, and there is no task of it: {mend} makes one")

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
