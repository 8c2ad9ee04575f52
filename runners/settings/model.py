"""Reads and checks `models/<name>/settings.yaml`."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, ValidationError, model_validator

from components.runtime.data.span_patterns import is_in_spans
from components.runtime.errors import InputError, did_you_mean
from components.runtime.launch.module_code import PIPELINE_FILE
from components.runtime.module_file.workers import CHECKPOINT_DIRECTORY
from components.runtime.publish.vertex_options import PushVertex
from components.runtime.text import yaml_files
from runners import PROJECT
from runners.settings import candidates as candidates_module
from runners.settings import mistakes, plain_values, secret_values
from runners.settings import resources as resources_module
from runners.settings.candidates import REPEATED, Candidates, Choose
from runners.settings.cluster import Cluster, StageResources
from runners.settings.folders import IN_IMAGES, MODELS, SETTINGS_FILE, above, find, shown
from runners.settings.kubernetes_values import pipeline_name
from runners.settings.sections import Section
from runners.settings.serving import LOGS, Serving
from runners.settings.stages import (
    Approve,
    BulkInfer,
    Canary,
    Evaluate,
    Explain,
    Export,
    InfraValidate,
    Ingest,
    ModelCard,
    Notify,
    Push,
    PushHub,
    Schema,
    Statistics,
    Train,
    Transform,
    Tune,
    Validate,
    execution,
)
from runners.settings.watching import Watch

_NOT_ARGUMENTS = {
    "tune": {"workers", "checkpoint_directory"},
    "train": {"train_steps", "eval_steps", "warm_start", "distil", "workers", "checkpoint_directory"},
    "choose": {"push"},
    "ingest": {"query"},
    "watch": {"on_drift", "spans", "warm_start", "kubeflow"},
}
"""Of a stage's section: what is a parameter of the pipeline, or decides which tasks it has, or what follows."""


SECTIONS = (
    *("ingest", "statistics", "schema", "validate", "transform", "tune", "train", "evaluate", "choose", "push"),
    "watch",
    "bulk_infer",
    "query",
)
"""Of the settings, by stage, as far as they are its arguments."""

OPTIONAL_SECTIONS = (
    *("query", "tune", "explain", "infra_validate", "export", "approve", "model_card"),
    *("canary", "push_hub", "push_vertex", "notify"),
)
"""Those without which a pipeline has no task of the stage."""


def section_of(stage: str) -> str:
    """What the settings call the section of a stage."""
    return "ingest.query" if stage == "query" else stage


PipelineName = Annotated[str, AfterValidator(pipeline_name)]


def _module(place: str) -> str:
    if not place or place.startswith(("/", "gs://", "s3://")):
        return place.rstrip("/")
    raise ValueError("expected a gs:// or s3:// URI, or the absolute path of a folder")


class Settings(Section):
    """Everything about a model's pipeline that does not vary from run to run, and the defaults of what does.

    Files are named relative to the model's folder, or to `module`, where the model's code lies outside of the images.

    Attributes (those that no key of the file sets):
      folder: of the model, under `models/` or anywhere.
      models: what images have in place of the checkout's `models`, a folder of models or of one.
      purpose: `infer`, `watch` or `feedback` where they are those of such a pipeline, as `purposes` makes them.
    """

    model_config = ConfigDict(frozen=True)

    folder: Path
    models: Path | None = None
    purpose: Literal["", "infer", "watch", "feedback"] = ""
    pipeline_name: PipelineName
    description: str = ""
    data: str = ""
    serving_directory: str = ""
    module: Annotated[str, AfterValidator(_module)] = ""
    ingest: Ingest = Ingest()
    statistics: Statistics = Statistics()
    # `schema` is taken by pydantic's own method of that name.
    schema_: Schema = Field(default=Schema(), alias="schema")
    validate_: Validate = Field(default=Validate(), alias="validate")
    transform: Transform = Transform()
    tune: Tune | None = None
    train: Train = Train()
    evaluate: Evaluate = Evaluate()
    candidates: Candidates = Field(default={})
    choose: Choose = Choose()
    push: Push = Push()
    explain: Explain | None = None
    bulk_infer: BulkInfer = BulkInfer()
    infra_validate: InfraValidate | None = None
    export: Export | None = None
    approve: Approve | None = None
    model_card: ModelCard | None = None
    canary: Canary | None = None
    push_hub: PushHub | None = None
    push_vertex: PushVertex | None = None
    notify: Notify | None = None
    serving: Serving = Serving()
    watch: Watch = Watch()
    cluster: Cluster = Cluster()
    resources: dict[str, StageResources] = Field(default={})

    @model_validator(mode="before")
    @classmethod
    def _resources_are_of_stages(cls, content: dict[str, Any]) -> dict[str, Any]:
        given = content.get("resources")
        # What is given for a stage says nothing where there is no such stage. (Which tasks a pipeline of the model's
        # own has is known when it is compiled.)
        if not (Path(content["folder"]) / PIPELINE_FILE).is_file():
            candidates = content.get("candidates")
            others = candidates_module.tasks(candidates if isinstance(candidates, dict) else {})
            resources_module.check_names(given if isinstance(given, dict) else {}, others)
        return content

    @model_validator(mode="after")
    def _fused_tasks_are_known(self) -> Settings:
        tasks = resources_module.tasks() | candidates_module.tasks(self.candidates)
        if self.own_pipeline:
            return self
        for name in (name for group in self.cluster.fuse for name in group):
            if name not in tasks:
                near = did_you_mean(name, list(tasks))
                raise ValueError(f"cluster.fuse: no such task{near}: {name!r}; known here: {', '.join(tasks)}")
        return self

    @model_validator(mode="after")
    def _resources_hold_for_every_task(self) -> Settings:
        for task, given in self._pods.items():
            if self.cluster.mount_path in given.paths:
                raise ValueError(
                    f"resources.{task}: {self.cluster.mount_path} is cluster.mount_path, where the volume is; "
                    "choose another path"
                )
        return self

    @model_validator(mode="after")
    def _hyperparameters_have_one_source(self) -> Settings:
        if self.tune and self.train.hyperparameters_file and not self.candidates:
            raise ValueError("train.hyperparameters_file and tune both say what to train with; leave one of them out")
        return self

    @model_validator(mode="after")
    def _rows_that_are_asked_are_in_a_split(self) -> Settings:
        known = self.ingest.split_patterns or self.ingest.splits
        asking = {"explain": self.explain, "infra_validate": self.infra_validate, "canary": self.canary}
        for section, split in ((name, each.split) for name, each in asking.items() if each):
            if split not in known and not self.own_pipeline:
                near = did_you_mean(split, list(known)) or ";"
                raise ValueError(f"{section}.split: no split {split!r}{near} ingest makes {', '.join(known)}")
        return self

    @model_validator(mode="after")
    def _int8_has_rows_of_a_split(self) -> Settings:
        known = self.ingest.split_patterns or self.ingest.splits
        if self.export is None or self.own_pipeline or self.export.representative_split in known:
            return self
        if any(each.quantise == "int8" for each in self.export.formats.values()):
            split = self.export.representative_split
            near = did_you_mean(split, list(known)) or ";"
            raise ValueError(
                f"export.representative_split: no split {split!r}{near} ingest makes {', '.join(known)}; int8 takes "
                "its ranges from there"
            )
        return self

    @model_validator(mode="after")
    def _candidates_make_a_pipeline(self) -> Settings:
        candidates_module.check(self)
        return self

    @functools.cached_property
    def _pods(self) -> dict[str, StageResources]:
        given = self._resources
        of_candidates = candidates_module.tasks(self.candidates).items()
        return resources_module.resolve(given) | {
            task: resources_module.of_task(given, task, stage) for task, stage in of_candidates
        }

    @property
    def _resources(self) -> dict[str, Any]:
        return {name: section.model_dump(exclude_unset=True) for name, section in self.resources.items()}

    @property
    def is_in_spans(self) -> bool:
        """Whether the settings say that the data is in spans, so that a run may say which it reads."""
        asked = self.ingest
        return not asked.query and is_in_spans(
            self.data, asked.split_patterns.values(), asked.span or "", asked.spans or 0
        )

    @property
    def own_pipeline(self) -> Path | None:
        """The file that defines the model's pipeline, where that is not the default one."""
        file = self.folder / PIPELINE_FILE
        return file if file.is_file() and not self.purpose else None

    def candidate(self, name: str) -> Settings:
        """The settings of a candidate by itself: what it has of its own over what is said for all."""
        own = self.candidates[name]
        return self.model_copy(update={stage: own.over(stage, getattr(self, stage)) for stage in REPEATED})

    def place(self, parameter: Literal["data", "serving_directory", "log"]) -> str:
        """Where something lies on a cluster when a run does not say: on the volume, if any.

        Args:
          parameter: raw data, where served models go, or the log of their predictions.
        """
        folder = {"data": "data", "serving_directory": "serving", "log": LOGS}[parameter]
        on_volume = f"{self.cluster.mount_path}/{folder}/{self.folder.name}" if self.cluster.volume.claim else ""
        return getattr(self, parameter, "") or on_volume

    def pod(self, task: str, stage: str = "") -> StageResources:
        """What the pod of a task is given: defaults, what is said of all, of its stage, and of itself.

        Args:
          task: its name.
          stage: that it runs, where the default pipeline has no such task.

        Raises:
          ValueError: what the settings say of it does not go together.
        """
        name = resources_module.task_name(task)
        if not stage or resources_module.tasks().get(name) == stage:
            return self._pods[name]
        return resources_module.of_task(self._resources, name, stage)

    def has(self, stage: str) -> bool:
        """Whether there is a section for a stage: always, but of those that ask for it."""
        return self._section(stage) is not None

    def _section(self, stage: str) -> Any:
        if stage == "query":
            return self.ingest.query
        return getattr(self, {"schema": "schema_", "validate": "validate_"}.get(stage, stage))

    def arguments(self, stage: str) -> dict[str, Any]:
        """A stage's arguments that are fixed when the pipeline is compiled.

        Files are named relative to the project, the working directory of every stage here and in the images.
        """
        section = self._section(stage)
        arguments = section.model_dump(exclude=_NOT_ARGUMENTS.get(stage), exclude_none=True)
        if stage == "train" and self.train.distil:
            # In what train is given already: a spec of its own would be another in every compiled pipeline.
            said = self.train.distil.model_dump() | {"warm_start": self.train.warm_start}
            arguments["custom_config"] = arguments["custom_config"] | {"distil": said}
        if stage == "query" and "path" in (source := arguments["source"]):
            arguments["source"] = source | {"path": self._place_for_stages(source["path"])}
        if stage in ("train", "tune") and (said := execution(section)):
            # (Where images or the volume have the code, this machine's folders are not meant.)
            if (name := CHECKPOINT_DIRECTORY) in said and not (self.module or self.models):
                said[name] = self._place_for_stages(said[name])
            arguments["custom_config"] = arguments["custom_config"] | {"execution": said}
        for name, value in arguments.items():
            if stage == "tune" and name == "module_file" and not value:
                value = self.train.module_file
            if name.endswith("_file") and value:
                arguments[name] = _beside(self.module, value) if self.module else self._path_for_stages(value)
        return arguments

    def _place_for_stages(self, place: str) -> str:
        """Where data or checkpoints lie that the settings name; the stages run in the checkout."""
        return self.local_place(place) if self.is_elsewhere else os.path.expanduser(place)

    def _path_for_stages(self, file: str) -> str:
        """Relative where the images have the file too, so that the same path holds here and there."""
        if "://" in file:
            return file
        # Another model's files may be named, as ../digits/model.py.
        path = Path(os.path.normpath(self.folder / file))
        if self.models and path.is_relative_to(self.models):
            return (IN_IMAGES / path.relative_to(above(self.models))).as_posix()
        return path.relative_to(PROJECT).as_posix() if path.is_relative_to(PROJECT) else str(path)

    @property
    def is_elsewhere(self) -> bool:
        """Whether the model's folder is none of this checkout."""
        return not self.folder.is_relative_to(PROJECT)

    @property
    def own_data(self) -> Path:
        """Where this model's raw data is looked for on this machine, if nothing else is said."""
        return self.folder / "data" if self.is_elsewhere else PROJECT / "data" / self.folder.name

    def local_place(self, place: str) -> str:
        """A place that the settings name, for a run on this machine: paths are relative to what the model lies in."""
        beside = self.folder if self.is_elsewhere else PROJECT
        return place if "://" in place else str(beside / os.path.expanduser(place))

    def serving_here(self, root: Path) -> str:
        """Where push publishes on this machine when a run does not say.

        Args:
          root: the pipeline root.
        """
        named = self.serving_directory
        return self.local_place(named) if named else str(root / "serving" / self.folder.name)

    @property
    def mounts(self) -> tuple[str, ...]:
        """Folders that pods have from elsewhere: the volume, Vertex's buckets, and what the settings mount besides."""
        return (self.cluster.mount_path, "/gcs", *(path for pod in self._pods.values() for path in pod.paths))

    def on_volume(self, arguments: Any) -> bool:
        """Whether arguments of a stage name something on the volume: model code, earlier statistics, weights."""
        if isinstance(arguments, dict):
            return any(map(self.on_volume, arguments.values()))
        if isinstance(arguments, list):
            return any(map(self.on_volume, arguments))
        return isinstance(arguments, str) and arguments.startswith(f"{self.cluster.mount_path}/")


def load(model: str, module: str = "", models: Path | None = None) -> Settings:
    """Reads the settings of a model.

    Args:
      model: name of a folder under `models/`, or the path of a folder anywhere.
      module: where the model's code lies, in place of what the settings say.
      models: what the images have in place of the checkout's `models`, as `folder_of_models` returns it.

    Raises:
      InputError: no such model, or settings that are wrong: which key, and how to mend it.
    """
    if module:
        try:
            _module(module)
        except ValueError as error:
            raise InputError(f"--module {module}: {error}") from None
    folder = find(model, models)
    file = folder / SETTINGS_FILE
    where = shown(file)
    content = yaml_files.load(file.read_bytes(), str(where))
    if not isinstance(content, dict):
        raise InputError(f"{where}: holds no settings")
    for name in mistakes.NO_KEYS:
        if name in content:
            raise InputError(f"{where}: {mistakes.unknown([name], Settings)}")
    if "pipeline_name" not in content:
        try:
            pipeline_name(_name_of(folder, content))
        except ValueError as error:
            raise InputError(
                f"{where}: the folder's name {folder.name!r} cannot name runs; rename it, or set pipeline_name: {error}"
            ) from None
    secret_values.refuse(content, str(where))
    plain_values.refuse(content, str(where), free="custom_config")
    try:
        return Settings.model_validate(
            content
            | {"pipeline_name": _name_of(folder, content), "folder": folder}
            | ({"models": models} if models else {})
            | ({"module": module} if module else {})
        )
    except ValidationError as error:
        raise InputError(f"{where}: {mistakes.explain(error, Settings)}") from None


def same_name(settings: Settings) -> list[str]:
    """Other models, beside this one or in the project, whose pipeline has the same name."""
    places = {*settings.folder.parent.glob(f"*/{SETTINGS_FILE}"), *MODELS.glob(f"*/{SETTINGS_FILE}")}
    found = []
    for file in sorted(places - {settings.folder / SETTINGS_FILE}):
        try:
            content = yaml_files.load(file.read_bytes(), str(file))
        except (InputError, OSError):
            continue
        if isinstance(content, dict) and _name_of(file.parent, content) == settings.pipeline_name:
            found.append(shown(file.parent))
    return found


def sections_there(settings: Settings) -> set[str]:
    """The keys that a model's file has by now; none where it cannot be read."""
    file = settings.folder / SETTINGS_FILE
    try:
        content = yaml_files.load(file.read_bytes(), str(file))
    except (InputError, OSError):
        return set()
    return set(content) if isinstance(content, dict) else set()


def _name_of(folder: Path, content: dict[str, Any]) -> Any:
    """The name of a model's pipeline: what its settings say, else that of its folder."""
    return content.get("pipeline_name", own_name(folder))


def own_name(folder: Path) -> str:
    """The name of the pipeline of a model whose settings give it none: that of its folder as KFP accepts it."""
    return folder.name.lower().replace("_", "-")


def _beside(module: str, file: str) -> str:
    """A file in the folder of the model's code; what stands behind the path of a URI stays behind it."""
    if "://" in file:
        return file
    folder, question, query = module.partition("?")
    return f"{folder}/{file}{question}{query}"
