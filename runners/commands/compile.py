"""Compiles a model's pipeline to the files that a cluster runs."""

from __future__ import annotations

import os
from pathlib import Path

import click

from components.runtime.errors import InputError
from runners import in_checkout
from runners.commands import completion
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


@click.command(name="compile")
@click.argument("model", shell_complete=completion.models)
@click.option(
    "--output",
    "place",
    type=click.Path(path_type=Path),
    help="Folder to write to, or the name of the KFP file, ending in .yaml; Argo's is put beside it. "
    "build in the checkout without.",
)
@click.option(
    "--module",
    default="",
    metavar="PLACE",
    help="Where the model's code lies, if not in the images: a gs:// or s3:// URI, or a folder on the volume.",
)
@click.option(
    "--models",
    default=None,
    metavar="FOLDER",
    help="What images that were built with the same option have as their models: a folder of models, or of one.",
)
@click.option(
    "--infer", is_flag=True, help="The pipeline by which a pushed version answers new data, MODEL-infer, in its place."
)
@click.option("--argo/--no-argo", default=True, show_default=True, help="Whether to make the Argo Workflow too.")
@click.option(
    "--watch",
    is_flag=True,
    help="The pipeline that watches the model, MODEL-watch, in its place; and MODEL-retrain, if that begins it.",
)
@click.option("--feedback", is_flag=True, help="The pipeline that makes data of labels, MODEL-feedback, in its place.")
def compile_(
    model: str,
    place: Path | None,
    module: str,
    models: str | None,
    infer: bool,
    argo: bool,
    watch: bool,
    feedback: bool,
) -> Result:
    """Compile a model's pipeline to what a cluster runs: <model>.kfp.yaml and <model>.argo.yaml.

    MODEL is a folder of models/ by its name, or a folder anywhere by its path.
    """
    if module and models is not None:
        raise InputError("--module and --models each say where the model's code lies on the cluster; give one of them")
    carried = None if models is None else folder_of_models(models)
    settings = load_model(model, module, carried)
    if infer + watch + feedback > 1:
        raise InputError("--infer, --watch and --feedback are pipelines of their own; compile one after the other")
    place = place or in_checkout("build")
    if infer:
        wanted = [(purposes.for_inference(settings), "-infer")]
    elif feedback:
        wanted = [(purposes.for_feedback(settings), "-feedback")]
    elif watch:
        wanted = [(purposes.for_watching(settings, begins=True), "-watch")]
        if settings.watch.on_drift == "retrain":
            wanted.append((purposes.for_retraining(settings), "-retrain"))
    else:
        wanted = [(settings, "")]
    files: dict[Path, str] = {}
    warnings: dict[str, None] = {}
    for each, ending in wanted:
        if place.suffix in (".yaml", ".yml"):
            # The other one beside it.
            file = (
                place if each is wanted[0][0] else place.with_name(f"{settings.folder.name}{ending}.kfp{place.suffix}")
            )
        else:
            file = place / f"{settings.folder.name}{ending}.kfp.yaml"
        resolved = Images(carried, with_models=not settings.module)
        text = files[file] = _compiled(each, resolved, argo=argo)
        if argo:
            beside = file.with_name(f"{file.stem.removesuffix('.kfp')}.argo{file.suffix}")
            files[beside] = _workflow(each, text)
        warnings |= dict.fromkeys((*resolved.warnings, *(fusing.warnings(text) if each.cluster.fuse else ())))
    _write(files)
    for warning in warnings:
        output.warn(warning)
    name = wanted[0][0].pipeline_name
    return Result({"pipeline": name, "files": list(files)}, "\n".join(map(str, files)), list(files))


def _compiled(settings: Settings, resolved: Images, *, argo: bool) -> str:
    """The pipeline of settings, once all that it names is known to be there."""
    if not settings.own_pipeline:
        # Before the compilation, which takes seconds.
        named_files.check(settings, _FILES[settings.purpose], here=False)
    text = compile_pipeline(settings, resolved)
    if settings.own_pipeline or settings.purpose:
        ir, _ = documents(text)
        named_files.check(settings, stages(ir), here=False)
        if argo:
            check_launchable(ir)
    resolved.refuse_other_models()
    return text


def _workflow(settings: Settings, text: str) -> str:
    """The same for Argo."""
    from runners.argo.options import for_settings
    from runners.argo.workflow import compile_workflow

    parameters = None
    if settings.own_pipeline or settings.purpose:
        parameters = documents(text)[0]["root"].get("inputDefinitions", {}).get("parameters", {})
    return compile_workflow(text, for_settings(settings, parameters))


def _write(files: dict[Path, str]) -> None:
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
