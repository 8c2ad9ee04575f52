"""What an image is made of: its tag tells the content of everything that its Dockerfile names."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from components.runtime.errors import InputError, did_you_mean
from components.runtime.stage.artifacts import file_digest
from runners import PROJECT
from runners.compiled.images import FUSED, GPU, GPU_STAGES, ON_REQUEST
from runners.settings.folders import IN_IMAGES, carried, is_of_pipeline

BASE_PREFIX = "millrace/base-"
CONTENT_LABEL = "dev.millrace.content"
PYTHON_LABEL = "dev.millrace.python-image"
PYTHON_IMAGE = "python:3.11-slim-bookworm"

_OF_ALL = "all"
"""The base that has the environments of all stages; `all-gpu` with CUDA."""
_NO_STAGES = ("base", *ON_REQUEST)
_ARGUMENT = re.compile(r"^ARG\s+(?P<name>\w+)=(?P<default>\S+)", re.MULTILINE)
_NOT_COPIED = ("__pycache__",)
_TAG_LENGTH = 16


@dataclass(frozen=True)
class Recipe:
    """How one image is built.

    Attributes:
      key: its name in images.lock: the stage, with `-gpu` for that variant; for a base `base-<lock>`.
      name: of the image, without registry.
      tag: digest of everything that goes in.
      dockerfile: relative to the project.
      arguments: of the build.
      base: what it stands on, where that is ours too.
      parts: what a base is put together from, by the argument that names each; empty where it is made of one lock.
      models: digest of the models that it has; empty where it has none.
      files: what goes in, by the path that the Dockerfile copies it from.
    """

    key: str
    name: str
    tag: str
    dockerfile: str
    arguments: dict[str, str] = field(default_factory=dict)
    base: Recipe | None = None
    parts: dict[str, Recipe] = field(default_factory=dict)
    models: str = ""
    files: dict[str, Path] = field(default_factory=dict, repr=False)

    @property
    def reference(self) -> str:
        """Name and tag."""
        return f"{self.name}:{self.tag}"

    @property
    def locks(self) -> list[str]:
        """Paths of the locks of its environments, relative to the project."""
        base = self.base or self
        return [f"images/locks/{part.arguments['LOCK']}.txt" for part in base.parts.values() or (base,)]


def image_stages(project: Path = PROJECT) -> list[str]:
    """Names of the stages that have an image."""
    return sorted(
        file.parent.name for file in project.glob("images/*/Dockerfile") if file.parent.name not in _NO_STAGES
    )


def recipe(
    stage: str,
    variant: str = "",
    python_image: str = PYTHON_IMAGE,
    project: Path = PROJECT,
    models: Path | None = None,
) -> Recipe:
    """Returns how the image of a stage is built.

    Args:
      stage: its name, or that of an image on request.
      variant: "gpu" for the image with CUDA, or empty.
      python_image: what everything stands on.
      project: folder of the project.
      models: what takes the place of the project's `models`: a folder of models, or of one.

    Raises:
      InputError: no such stage, no such variant of it, or a Dockerfile that does not say what it stands on.
    """
    known = image_stages(project)
    if stage not in (*known, *ON_REQUEST):
        hint = did_you_mean(stage, known) or ";"
        raise InputError(f"no image for the stage {stage!r}{hint} the stages are: {', '.join(known)}")
    if variant and (variant != GPU or stage not in (*GPU_STAGES, FUSED)):
        raise InputError(f"no {variant} image of the stage {stage!r}; only {' and '.join(GPU_STAGES)} have one ({GPU})")
    dockerfile = f"images/{stage}/Dockerfile"
    text = (project / dockerfile).read_text()
    defaults = {found["name"]: found["default"] for found in _ARGUMENT.finditer(text)}
    base_name = defaults.get("BASE", "")
    if not base_name.startswith(BASE_PREFIX):
        raise InputError(f"{dockerfile}: `ARG BASE={BASE_PREFIX}<lock>` is missing before FROM; name a base there")
    base = _base(base_name.removeprefix(BASE_PREFIX) + (f"-{variant}" if variant else ""), python_image, project)
    files = _content(project, dockerfile, {}, models)
    return Recipe(
        key=f"{stage}-{variant}" if variant else stage,
        name=f"millrace/{stage}",
        tag=_digest([base.tag], files)[:_TAG_LENGTH],
        dockerfile=dockerfile,
        arguments={"BASE": base.reference},
        base=base,
        models=_models_digest(files),
        files=files,
    )


def takes_models(stage: str, project: Path = PROJECT) -> bool:
    """Whether the image of a stage has models."""
    return IN_IMAGES in _copied((project / f"images/{stage}/Dockerfile").read_text(), {})


def models_digest(models: Path | None = None, project: Path = PROJECT) -> str:
    """Digest of the models, the project's or those in their place, as the recipes of images with them have it."""
    return _models_digest(_taken(project, IN_IMAGES, models))


def _base(lock: str, python_image: str, project: Path) -> Recipe:
    if lock.partition("-")[0] == _OF_ALL:
        return _base_of_all(lock, python_image, project)
    if not (project / "images" / "locks" / f"{lock}.txt").is_file():
        raise InputError(f"no lock images/locks/{lock}.txt for the image {BASE_PREFIX}{lock}; `make lock` compiles it")
    dockerfile = "images/base/Dockerfile"
    arguments = {"PYTHON_IMAGE": python_image, "LOCK": lock}
    files = _content(project, dockerfile, arguments, None)
    return Recipe(
        key=f"base-{lock}",
        name=f"{BASE_PREFIX}{lock}",
        tag=_digest([python_image], files)[:_TAG_LENGTH],
        dockerfile=dockerfile,
        arguments=arguments,
        files=files,
    )


def _base_of_all(lock: str, python_image: str, project: Path) -> Recipe:
    locks = {"ML": lock.replace(_OF_ALL, "ml"), "DATA": "data", "LIGHT": "light"}
    parts = {name: _base(each, python_image, project) for name, each in locks.items()}
    dockerfile = f"images/base/{_OF_ALL}.Dockerfile"
    files = _content(project, dockerfile, {}, None)
    return Recipe(
        key=f"base-{lock}",
        name=f"{BASE_PREFIX}{lock}",
        tag=_digest([part.tag for part in parts.values()], files)[:_TAG_LENGTH],
        dockerfile=dockerfile,
        arguments={name: part.reference for name, part in parts.items()},
        parts=parts,
        files=files,
    )


def _content(project: Path, dockerfile: str, arguments: dict[str, str], models: Path | None) -> dict[str, Path]:
    """The Dockerfile and the files that it copies."""
    files = {name: project / name for name in (dockerfile, ".dockerignore") if (project / name).exists()}
    for source in _copied((project / dockerfile).read_text(), arguments):
        taken = _taken(project, source, models)
        if not taken and not (project / source).exists():
            raise InputError(f"{dockerfile}: COPY {source}: not there")
        files |= taken
    return files


def _taken(project: Path, source: str, models: Path | None) -> dict[str, Path]:
    """The files that a COPY line takes, by their path in the project; of `models` those that stand in its place."""
    if source == IN_IMAGES and models:
        found = {f"{IN_IMAGES}/{name}": file for name, file in carried(models).items()}
    else:
        found = {file.relative_to(project).as_posix(): file for file in _files(project / source)}
    # What settings and pipeline say reaches a stage as its parameters, or is the cluster's: an image needs none of it.
    models_only = {name.removeprefix(f"{IN_IMAGES}/") for name in found}
    return {
        name: file
        for name, file in found.items()
        if source != IN_IMAGES or not is_of_pipeline(name.removeprefix(f"{IN_IMAGES}/"), models_only)
    }


def _models_digest(files: dict[str, Path]) -> str:
    of_models = {name: file for name, file in files.items() if name.startswith(f"{IN_IMAGES}/")}
    return _digest([], of_models) if of_models else ""


def _digest(parts: list[str], files: dict[str, Path]) -> str:
    """Digest over what an image stands on and the files that it is made of."""
    lines = parts + [f"{name} {file_digest(file)}" for name, file in sorted(files.items())]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _copied(text: str, arguments: dict[str, str]) -> Iterator[str]:
    """Sources of the COPY lines that take from the project."""
    for line in text.replace("\\\n", " ").splitlines():
        if line.startswith("COPY ") and "--from=" not in line:
            *sources, _ = [word for word in shlex.split(line)[1:] if not word.startswith("--")]
            for source in sources:
                for name, value in arguments.items():
                    source = source.replace(f"${{{name}}}", value)
                yield source


def _files(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    for file in path.rglob("*"):
        if file.is_file() and not any(part in _NOT_COPIED for part in file.parts) and file.suffix != ".pyc":
            yield file
