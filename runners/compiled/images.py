"""The stages' images: what they are called, what each is made of, and which digest was built of it."""

from __future__ import annotations

import functools
import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from components.runtime import VERSION
from components.runtime.errors import InputError
from runners import PROJECT

LOCK = PROJECT / "images" / "images.lock"
LOCK_VARIABLE = "MILLRACE_IMAGES_LOCK"

GPU = "gpu"
GPU_STAGES = ("train", "tune")
"""Stages that have an image with CUDA beside the usual one."""
FUSED = "fused"
"""The image of all stages, for those that the settings make one task of, and for one with Beam that has none."""
OF_ALL = f"millrace/{FUSED}"
"""Its name."""
MODEL_SERVER = "model_server"
"""The image of the model server that is built in; no stage."""
ON_REQUEST = (FUSED, MODEL_SERVER)
"""Images that are built where they are asked for only."""

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Built:
    """An image that was built, as images.lock has it.

    Attributes:
      image: its name, with the registry where it has one.
      digest: of its manifest, `sha256:...`.
      tag: identifies what it was built from, see runners/compiled/image_content.py.
      models: digest of the models that it has; empty where it has none, or nobody noted it.
    """

    image: str
    digest: str
    tag: str
    models: str = ""

    @property
    def reference(self) -> str:
        """Name by digest: what a cluster pulls is what was built."""
        return f"{self.image}@{self.digest}"


def lock_file() -> Path:
    """Where the digests are: images/images.lock, or what the environment variable MILLRACE_IMAGES_LOCK names."""
    return Path(os.environ.get(LOCK_VARIABLE) or LOCK)


def stage_of(image: str) -> str:
    """Name of the stage that an image runs: the last part of its name."""
    return image.rsplit("/", 1)[-1].split("@")[0].split(":")[0]


def is_of_all(image: str) -> bool:
    """Whether it is the image of all stages."""
    return stage_of(image) == FUSED


def reference(image: str, variant: str = "") -> tuple[str, bool]:
    """What a container of a stage is started from.

    Args:
      image: the name in component.yaml, `millrace/<stage>`.
      variant: "gpu" for the image with CUDA.

    Returns:
      `name@sha256:...` and True where images.lock has the image, else `name:version` and False. A name that already
      carries a tag or a digest is somebody's choice and stays.

    Raises:
      InputError: images.lock cannot be read.
    """
    if "@" in image or ":" in image.rsplit("/", 1)[-1]:
        return image, "@" in image
    ending = f"-{variant}" if variant else ""
    built = read_lock(lock_file()).get(stage_of(image) + ending)
    return (built.reference, True) if built else (f"{image}:{VERSION}{ending}", False)


def models_of(image: str, variant: str = "") -> str:
    """Digest of the models that an image was built with; empty where images.lock does not know."""
    built = None if "@" in image else read_lock(lock_file()).get(stage_of(image) + (f"-{variant}" if variant else ""))
    return built.models if built else ""


def read_lock(file: Path) -> dict[str, Built]:
    """Reads images.lock; a file that is not there holds no image.

    Raises:
      InputError: it is not what `make images` writes.
    """
    if not file.is_file():
        return {}
    status = file.stat()
    return _read_lock(file, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=8)
def _read_lock(file: Path, _modified: int, _size: int) -> dict[str, Built]:
    where = file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file
    try:
        content: Any = yaml.safe_load(file.read_text()) or {}
        lock = {str(stage): Built(**entry) for stage, entry in content.items()}
    except (yaml.YAMLError, AttributeError, TypeError, UnicodeDecodeError) as error:
        raise InputError(
            f"{where}: not a lock of images ({' '.join(str(error).split())}); `make images` writes it anew"
        ) from None
    for stage, built in lock.items():
        if not _DIGEST.fullmatch(str(built.digest)):
            raise InputError(
                f"{where}: {stage}: {built.digest!r} is not a digest (sha256:...); `make images STAGE={stage}` mends it"
            )
    return lock


def lock_text(lock: dict[str, Built]) -> str:
    """Text of images.lock: JSON, which is YAML too, one image per line so that changes read well."""
    lines = [f"  {json.dumps(stage)}: {json.dumps(asdict(lock[stage]))}" for stage in sorted(lock)]
    return "{\n" + ",\n".join(lines) + "\n}\n"
