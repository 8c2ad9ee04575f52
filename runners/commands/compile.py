"""Compiles a model's pipeline to the files that a cluster runs."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError
from runners import in_checkout
from runners.commands import completion
from runners.commands.models import load_model
from runners.compiled import fusing
from runners.compiled.ir import check_launchable, documents, stages
from runners.compiled.pipelines import Images, compile_pipeline
from runners.settings import purposes
from runners.settings.folders import folder_of_models
from runners.settings.model import SECTIONS, Settings
from runners.terminal import output
from runners.terminal.output import Result


@dataclass(frozen=True)
class Compiled:
    """A model's pipeline, compiled.

    Attributes:
      settings: of the model.
      text: what kfp's compiler writes.
      parameters: those that it declares, where it is not the default pipeline.
      warnings: lines for whoever asked.
    """

    settings: Settings
    text: str
    parameters: dict[str, Any] | None
    warnings: list[str]

    @property
    def name(self) -> str:
        """What the names of its files begin with."""
        purpose = self.settings.purpose
        return f"{self.settings.folder.name}{f'-{purpose}' if purpose else ''}"


def of_model(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and the options that say which pipeline is compiled, of a command that calls `compiled`."""
    for option in (
        click.option("--watch", is_flag=True, help="The pipeline that watches the model, MODEL-watch, in its place."),
        click.option(
            "--infer",
            is_flag=True,
            help="The pipeline by which a pushed version answers new data, MODEL-infer, in its place.",
        ),
        click.option(
            "--models",
            default=None,
            metavar="FOLDER",
            help="What images that were built with the same option have as their models: a folder of models, or of "
            "one.",
        ),
        click.option(
            "--module",
            default="",
            metavar="PLACE",
            help="Where the model's code lies, if not in the images: a gs:// or s3:// URI, or a folder on the volume.",
        ),
        click.argument("model", shell_complete=completion.models),
    ):
        command = option(command)
    return command


def compiled(model: str, module: str, models: str | None, infer: bool, watch: bool, *, launched: bool) -> Compiled:
    """Compiles the pipeline that a person named.

    Args:
      model: its folder of models/ by its name, or a folder anywhere by its path.
      module: where the model's code lies, if not in the images.
      models: what images have as their models.
      infer: the pipeline that answers new data.
      watch: the pipeline that watches the model.
      launched: whether our launcher is to run its tasks in pods.

    Raises:
      InputError: settings that are wrong, files that are missing, a task that the launcher cannot run.
    """
    if module and models is not None:
        raise InputError("--module and --models each say where the model's code lies on the cluster; give one of them")
    carried = None if models is None else folder_of_models(models)
    settings = load_model(model, module, carried)
    if infer and watch:
        raise InputError("--infer and --watch are two pipelines; compile one after the other")
    settings = purposes.for_inference(settings) if infer else purposes.for_watching(settings) if watch else settings
    if not settings.own_pipeline:
        # Before the compilation, which takes seconds.
        settings.check_files({"": SECTIONS, "infer": ("schema",), "watch": ("watch",)}[settings.purpose], here=False)
    resolved = Images(carried, with_models=not settings.module)
    text = compile_pipeline(settings, resolved)
    parameters = None
    if settings.own_pipeline or settings.purpose:
        ir, _ = documents(text)
        settings.check_files(stages(ir), here=False)
        if launched:
            check_launchable(ir)
        parameters = ir["root"].get("inputDefinitions", {}).get("parameters", {})
    resolved.refuse_other_models()
    warnings = [*resolved.warnings, *(fusing.warnings(text) if settings.cluster.fuse else ())]
    return Compiled(settings, text, parameters, warnings)


@click.command(name="compile")
@of_model
@click.option(
    "--output",
    "place",
    type=click.Path(path_type=Path),
    help="Folder to write to, or the name of the KFP file, ending in .yaml; Argo's is put beside it. "
    "build in the checkout without.",
)
@click.option("--argo/--no-argo", default=True, show_default=True, help="Whether to make the Argo Workflow too.")
def compile_(
    model: str, module: str, models: str | None, infer: bool, watch: bool, place: Path | None, argo: bool
) -> Result:
    """Compile a model's pipeline to what a cluster runs: <model>.kfp.yaml and <model>.argo.yaml.

    MODEL is a folder of models/ by its name, or a folder anywhere by its path.
    """
    made = compiled(model, module, models, infer, watch, launched=argo)
    place = place or in_checkout("build")
    file = place if place.suffix in (".yaml", ".yml") else place / f"{made.name}.kfp.yaml"
    files = {file: made.text}
    if argo:
        from runners.argo.options import for_settings
        from runners.argo.workflow import compile_workflow

        beside = file.with_name(f"{file.stem.removesuffix('.kfp')}.argo{file.suffix}")
        files[beside] = compile_workflow(made.text, for_settings(made.settings, made.parameters))
    write(files)
    for warning in made.warnings:
        output.warn(warning)
    return Result(
        {"pipeline": made.settings.pipeline_name, "files": list(files)}, "\n".join(map(str, files)), list(files)
    )


def write(files: dict[Path, str]) -> None:
    """Writes whole files or none."""
    parts = []
    try:
        for file, text in files.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            part = file.with_name(f".{file.name}.part")
            parts.append(part)
            part.write_text(text)
        for file in files:
            os.replace(file.with_name(f".{file.name}.part"), file)
    except (FileExistsError, NotADirectoryError, IsADirectoryError, PermissionError) as error:
        raise InputError(f"{error.filename}: cannot be written: {error.strerror}; choose another --output") from None
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
