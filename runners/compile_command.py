"""Compiles a model's pipeline."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import click

from runners.settings import Settings, load


def compile_pipeline(settings: Settings) -> str:
    """Returns the pipeline as KFP's IR YAML; the same settings give the same text."""
    # The import takes seconds; a command that needs no compiler does without.
    from kfp import compiler

    import pipeline

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        compiler.Compiler().compile(pipeline.build(settings), str(file))
        return file.read_text()


@click.command(name="compile")
@click.argument("model")
@click.option("--output", type=click.Path(path_type=Path), help="File to write; build/<model>.kfp.yaml by default.")
def compile_(model: str, output: Path | None) -> None:
    """Compile a model's pipeline to KFP's IR YAML."""
    settings = load(model)
    file = output or Path("build") / f"{settings.folder.name}.kfp.yaml"
    text = compile_pipeline(settings)
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.part")
    part.write_text(text)
    os.replace(part, file)
    click.echo(file)
