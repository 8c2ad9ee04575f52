"""Compiles a model's pipeline to the files that a cluster runs."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from components.runtime.errors import InputError
from runners import in_checkout
from runners.commands import completion
from runners.commands.local_path import LocalPath
from runners.commands.models import load_model
from runners.compiled import fusing
from runners.compiled.ir import check_launchable, documents, stages
from runners.compiled.pipelines import Images, compile_pipeline
from runners.settings import named_files, purposes
from runners.settings.folders import folder_of_models
from runners.settings.model import SECTIONS, Settings
from runners.terminal import output
from runners.terminal.output import Result

_FILES: dict[str, tuple[str, ...]] = {"": SECTIONS, "infer": ("schema",), "watch": ("watch",), "feedback": ()}
"""The stages whose files a pipeline of each purpose needs."""


@dataclass(frozen=True)
class Compiled:
    """A model's pipeline, compiled.

    Attributes:
      settings: of the model, for the pipeline's purpose.
      name: what the names of its files begin with.
      text: what kfp's compiler writes.
      warnings: lines for whoever asked.
      images: that it starts.
    """

    settings: Settings
    name: str
    text: str
    warnings: list[str]
    images: Images

    @property
    def declared(self) -> dict[str, Any] | None:
        """The parameters that it declares, where it is not the default pipeline."""
        if not (self.settings.own_pipeline or self.settings.purpose):
            return None
        found: dict[str, Any] = documents(self.text)[0]["root"].get("inputDefinitions", {}).get("parameters", {})
        return found


def of_model(command: Callable[..., Any]) -> Callable[..., Any]:
    """The argument and the options that say which pipeline is compiled, of a command that calls `compiled`."""
    for option in (
        click.option(
            "--feedback",
            is_flag=True,
            help="The pipeline that makes data of labels, MODEL-feedback, in its place.",
        ),
        click.option("--watch", is_flag=True, help="The pipeline that watches the model, MODEL-watch, in its place."),
        click.option(
            "--infer",
            is_flag=True,
            help="The pipeline by which a pushed version answers new data, MODEL-infer, in its place.",
        ),
    ):
        command = option(command)
    return of_training(command)


def of_training(command: Callable[..., Any]) -> Callable[..., Any]:
    """Those of a command that knows no pipeline but the one that trains the model."""
    for option in (
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


def compiled(
    model: str,
    module: str,
    models: str | None,
    *,
    infer: bool = False,
    watch: bool = False,
    feedback: bool = False,
    launched: bool,
    begins: bool,
    verb: str = "compile",
) -> list[Compiled]:
    """Compiles the pipeline that a person named.

    Args:
      model: its folder of models/ by its name, or a folder anywhere by its path.
      module: where the model's code lies, if not in the images.
      models: what images have as their models.
      infer: the pipeline that answers new data.
      watch: the pipeline that watches the model.
      feedback: the pipeline that makes data of labels.
      launched: whether our launcher is to run its tasks in pods.
      begins: whether a look may begin a training there, by a second pipeline.
      verb: what the person does, for messages.

    Raises:
      InputError: settings that are wrong, files that are missing, a task that the launcher cannot run.
    """
    if module and models is not None:
        raise InputError("--module and --models each say where the model's code lies on the cluster; give one of them")
    carried = None if models is None else folder_of_models(models)
    settings = load_model(model, module, carried)
    if infer + watch + feedback > 1:
        raise InputError(f"--infer, --watch and --feedback are pipelines of their own; {verb} one after the other")
    if infer:
        wanted = [(purposes.for_inference(settings), "-infer")]
    elif feedback:
        wanted = [(purposes.for_feedback(settings), "-feedback")]
    elif watch:
        wanted = [(purposes.for_watching(settings, begins=begins), "-watch")]
        if begins and settings.watch.on_drift == "retrain":
            wanted.append((purposes.for_retraining(settings), "-retrain"))
    else:
        wanted = [(settings, "")]
    found = []
    for each, ending in wanted:
        resolved = Images(carried, with_models=not settings.module)
        text = _compiled(each, resolved, launched=launched)
        warnings = [*resolved.warnings(verb), *(fusing.warnings(text) if each.cluster.fuse else ())]
        found.append(Compiled(each, f"{settings.folder.name}{ending}", text, warnings, resolved))
    return found


def _compiled(settings: Settings, resolved: Images, *, launched: bool) -> str:
    """The pipeline of settings, once all that it names is known to be there."""
    if not settings.own_pipeline:
        # Before the compilation, which takes seconds.
        named_files.check(settings, _FILES[settings.purpose], here=False)
    text = compile_pipeline(settings, resolved)
    if settings.own_pipeline or settings.purpose:
        ir, _ = documents(text)
        named_files.check(settings, stages(ir), here=False)
        if launched:
            check_launchable(ir)
    resolved.refuse_other_models()
    return text


@click.command(name="compile")
@of_model
@click.option(
    "--output",
    "place",
    type=LocalPath(),
    help="Folder to write to, or the name of the KFP file, ending in .yaml; Argo's is put beside it, and for --watch "
    "MODEL-retrain, if that begins it. build in the checkout without.",
)
@click.option("--argo/--no-argo", default=True, show_default=True, help="Whether to make the Argo Workflow too.")
def compile_(
    model: str,
    module: str,
    models: str | None,
    infer: bool,
    watch: bool,
    feedback: bool,
    place: Path | None,
    argo: bool,
) -> Result:
    """Compile a model's pipeline to what a cluster runs: <model>.kfp.yaml and <model>.argo.yaml.

    MODEL is a folder of models/ by its name, or a folder anywhere by its path.
    """
    made = compiled(model, module, models, infer=infer, watch=watch, feedback=feedback, launched=argo, begins=True)
    place = place or in_checkout("build")
    files: dict[Path, str] = {}
    for each in made:
        if place.suffix in (".yaml", ".yml"):
            # The other one beside it.
            file = place if each is made[0] else place.with_name(f"{each.name}.kfp{place.suffix}")
        else:
            file = place / f"{each.name}.kfp.yaml"
        files[file] = each.text
        if argo:
            from runners.argo.options import for_settings
            from runners.argo.workflow import compile_workflow

            beside = file.with_name(f"{file.stem.removesuffix('.kfp')}.argo{file.suffix}")
            files[beside] = compile_workflow(each.text, for_settings(each.settings, each.declared))
    write(files)
    for warning in dict.fromkeys(line for each in made for line in each.warnings):
        output.warn(warning)
    name = made[0].settings.pipeline_name
    return Result({"pipeline": name, "files": list(files)}, "\n".join(map(str, files)), list(files))


def write(files: dict[Path, str]) -> None:
    """Writes whole files or none."""
    parts = {str(file.with_name(f".{file.name}.part")): file for file in files}
    try:
        for part, file in parts.items():
            file.parent.mkdir(parents=True, exist_ok=True)
            if file.is_dir():
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(file))
            Path(part).write_text(files[file])
        for part, file in parts.items():
            os.replace(part, file)
    except OSError as error:
        where = parts.get(error.filename, error.filename)
        raise InputError(f"{where}: cannot be written: {error.strerror}; choose another --output") from None
    finally:
        for part in parts:
            with contextlib.suppress(OSError):
                Path(part).unlink(missing_ok=True)
