"""Compiles a model's pipeline to the files that a cluster runs."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from components.runtime.errors import InputError
from runners import images, secret_values
from runners.ir import documents, read
from runners.settings import Settings, load, same_name


def compile_pipeline(settings: Settings, find_image: Callable[[str, str], str] | None = None) -> str:
    """Returns the pipeline as KFP's IR YAML and, a second document, its Kubernetes platform spec.

    The same settings and images give the same text.

    Args:
      settings: of the model.
      find_image: says what to start for the name and the variant of an image; without, images go by the bare names of
        their components, which is all that a run on this machine needs.

    Raises:
      InputError: a secret's value has got into it.
    """
    # The import takes seconds; a command that needs no compiler does without.
    from kfp import compiler

    import pipeline

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        built = pipeline.build(settings, find_image) if find_image else pipeline.build(settings)
        compiler.Compiler().compile(built, str(file))
        text = file.read_text()
    # The settings were looked through when they were read; this is for what came by another way.
    secret_values.refuse(documents(text), "the compiled pipeline", by_key=False)
    return text


class Images:
    """Gives each image by its digest, and remembers which ones have none."""

    def __init__(self) -> None:
        self.unpinned: set[str] = set()

    def __call__(self, name: str, variant: str) -> str:
        """What to start for the name and the variant of an image."""
        reference, pinned = images.reference(name, variant)
        if not pinned:
            self.unpinned.add(reference)
        return reference

    @property
    def warning(self) -> str:
        """One line about the images without a digest; empty where all have one."""
        if not self.unpinned:
            return ""
        return (
            f"warning: not in images.lock, so by tag and not by digest: {', '.join(sorted(self.unpinned))}; "
            "build them with `make images` and compile again"
        )


def warn_of_same_name(settings: Settings) -> None:
    """Says where another model's runs and artifacts would lie among those of this one."""
    if others := same_name(settings):
        click.echo(
            f"warning: pipeline_name {settings.pipeline_name!r} is also that of {', '.join(others)}: runs, artifacts "
            "and lineage of both go under one name; leave the key out, and it is the folder's, or write another",
            err=True,
        )


@click.command(name="compile")
@click.argument("model")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    default=Path("build"),
    show_default=True,
    help="Folder to write to, or the name of the KFP file, ending in .yaml; Argo's is put beside it.",
)
@click.option(
    "--module",
    default="",
    metavar="PLACE",
    help="Where the model's code lies, if not in the images: a gs:// or s3:// URI, or a folder on the volume.",
)
@click.option("--argo/--no-argo", default=True, show_default=True, help="Whether to make the Argo Workflow too.")
def compile_(model: str, output: Path, module: str, argo: bool) -> None:
    """Compile a model's pipeline to what a cluster runs: <model>.kfp.yaml and <model>.argo.yaml."""
    settings = load(model, module)
    warn_of_same_name(settings)
    resolved = Images()
    text = compile_pipeline(settings, resolved)
    settings.check_files([task.stage for task in read(documents(text)[0]).tasks.values()], here=False)
    file = output if output.suffix in (".yaml", ".yml") else output / f"{settings.folder.name}.kfp.yaml"
    files = {file: text}
    if argo:
        from runners.argo import compile_workflow, for_settings

        beside = file.with_name(f"{file.stem.removesuffix('.kfp')}.argo{file.suffix}")
        files[beside] = compile_workflow(text, for_settings(settings))
    _write(files)
    if resolved.warning:
        click.echo(resolved.warning, err=True)
    for written in files:
        click.echo(written)


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
