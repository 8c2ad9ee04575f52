"""Workflows for the tests: of models, once in a process, and of a task with what is said about it."""

import functools
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml
from kfp import compiler, dsl

from runners.argo.options import ArgoOptions, for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.settings.model import load
from tests.runners.compiled_models import digest, full

Document = dict[str, Any]

MODELS = ("taxi", "digits", "complaints", "complaints_product", "pets")


@dsl.container_component
def number(value: int, out: dsl.OutputPath(int), word: str = "x"):  # type: ignore[valid-type, no-untyped-def]
    return dsl.ContainerSpec(image="millrace/number:1", command=["python"], args=[value, out, word])


def compiled(function: Any, folder: Path) -> str:
    compiler.Compiler().compile(function, str(folder / "p.yaml"))
    return (folder / "p.yaml").read_text()


@functools.cache
def text_of_model(name: str) -> str:
    with tempfile.TemporaryDirectory() as folder:
        settings = full(Path(folder), name.removeprefix("full-")) if name.startswith("full") else load(name)
        return compile_workflow(compile_pipeline(settings, digest), for_settings(settings))


def of_model(name: str) -> Document:
    document: Document = yaml.safe_load(text_of_model(name))
    return document


def pod_templates(workflow: Document) -> dict[str, Document]:
    """Templates of pods by name."""
    return {each["name"]: each for each in workflow["spec"]["templates"] if "container" in each}


def one_task(folder: Path, change: Callable[[Any], None], **options: Any) -> Document:
    """A Workflow with one task, changed before it was compiled."""

    @dsl.pipeline(name="p")
    def graph() -> None:
        change(number(value=1))

    document: Document = yaml.safe_load(
        compile_workflow(compiled(graph, folder), ArgoOptions(**({"claim": "work"} | options)))
    )
    return document


def one_template(folder: Path, change: Callable[[Any], None], **options: Any) -> Document:
    return pod_templates(one_task(folder, change, **options))["number"]
