"""Builds the stages' images, those whose content has changed, and writes their digests to images/images.lock.

An image's tag is the digest of what goes in: where the engine has that tag and the lock its digest, nothing is done.
"""

from __future__ import annotations

import argparse
import functools
import os
import sys
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime.errors import InputError  # noqa: E402
from runners.compiled import image_content, images  # noqa: E402
from runners.compiled.image_content import Recipe  # noqa: E402
from runners.local import engine  # noqa: E402
from runners.settings.folders import folder_of_models  # noqa: E402
from scripts import command  # noqa: E402
from scripts.images import sbom  # noqa: E402
from scripts.images.image_builder import Builder, Request  # noqa: E402


def build(request: Request) -> None:
    """Builds what has changed.

    Raises:
      InputError: the request cannot be met, or a Dockerfile is wrong.
      StageError: a build failed.
    """
    recipes = _recipes(request)
    if request.push and not request.registry:
        raise InputError("--push needs --registry: the name under which the images go there, such as HOST/TEAM")
    if request.pip_conf and not Path(request.pip_conf).is_file():
        raise InputError(f"--pip-conf {request.pip_conf}: no such file")
    lock_file = images.lock_file()
    images.read_lock(lock_file)
    found = engine.find(engine.BUILDERS, request.engine)
    builder = Builder(found, request)
    begun = time.monotonic()
    built = 0
    for recipe in recipes:
        command.write_whole(sbom.file_of(recipe), functools.partial(_write, sbom.text(recipe)))
        entry, new = builder.image(recipe, images.read_lock(lock_file).get(recipe.key))
        built += new
        if entry:
            # After every image: an interruption loses none that is done. Read again, others may build meanwhile.
            lock = images.read_lock(lock_file) | {recipe.key: entry}
            command.write_whole(lock_file, functools.partial(_write, images.lock_text(lock)))
    seconds = time.monotonic() - begun
    same = f"{len(recipes) - built} up to date in {found.name}"
    print(f"{built} built, {same}, in {seconds:.0f} s; digests: {command.shown(lock_file)}")


def _write(text: str, part: Path) -> None:
    part.write_text(text)


def _recipes(request: Request) -> list[Recipe]:
    variant = images.GPU if request.gpu else ""
    stages = request.stages or (images.GPU_STAGES if request.gpu else tuple(image_content.image_stages()))
    models = None if request.models is None else folder_of_models(request.models)
    return [image_content.recipe(stage, variant, request.python_image, models=models) for stage in stages]


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.images.build_images", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument(
        "stages", nargs="*", metavar="STAGE", help="stages to build images of, or `fused`; without, all stages"
    )
    parser.add_argument(
        "--engine",
        default=os.environ.get("MILLRACE_ENGINE", ""),
        help="podman, buildah or docker; the first that works without",
    )
    parser.add_argument(
        "--registry",
        default=os.environ.get("MILLRACE_REGISTRY", ""),
        help="takes the place of `millrace` in the images' names",
    )
    parser.add_argument(
        "--push", action="store_true", help="send the images to the registry; the lock takes the digests there"
    )
    parser.add_argument("--gpu", action="store_true", help="the images with CUDA, of the stages that have one")
    parser.add_argument(
        "--python-image",
        default=os.environ.get("MILLRACE_PYTHON_IMAGE", image_content.PYTHON_IMAGE),
        help="what the bases stand on (%(default)s)",
    )
    parser.add_argument(
        "--pip-conf",
        default=os.environ.get("PIP_CONFIG_FILE", ""),
        metavar="FILE",
        help="package index during builds; PIP_INDEX_URL and PIP_EXTRA_INDEX_URL hold too",
    )
    parser.add_argument(
        "--models",
        metavar="FOLDER",
        help="models of yours in place of this checkout's: a folder of models, or of one; compile with the same",
    )
    parser.add_argument("--force", action="store_true", help="build what is there already, bases too")
    given = vars(parser.parse_args(argv))
    request = Request(**given | {"stages": tuple(given["stages"])})
    return command.run(lambda: build(request))


if __name__ == "__main__":
    sys.exit(main())
