"""Builds the stages' images, those whose content has changed, and writes their digests to images/images.lock.

An image's tag is the digest of what goes in: where the engine has that tag and the lock its digest, nothing is done.
"""

from __future__ import annotations

import argparse
import functools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
# Works as a module and as a file.
sys.path.insert(0, str(PROJECT))

from components.runtime import VERSION  # noqa: E402
from components.runtime.errors import InputError, StageError  # noqa: E402
from runners import engine, image_content, images  # noqa: E402
from runners.image_content import Recipe  # noqa: E402
from scripts import command, sbom  # noqa: E402

LOGS = PROJECT / "build" / "images"

_LAST_LINES = 12
# Files of every build carry this time (1980), so that the same content at the same commit is the same digest.
_TIMESTAMP = "315532800"


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes:
      stages: names; none for all.
      gpu: the images with CUDA of those stages that have one, instead of the usual ones.
      registry: what takes the place of `millrace` in the images' names.
      push: send the images there.
      python_image: what everything stands on.
      pip_conf: settings of the package index during builds; a file, never part of an image.
      force: build even what is there.
    """

    stages: tuple[str, ...] = ()
    gpu: bool = False
    engine: str = ""
    registry: str = ""
    push: bool = False
    python_image: str = image_content.PYTHON_IMAGE
    pip_conf: str = ""
    force: bool = False


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
    builder = Builder(engine.find(engine.BUILDERS, request.engine), request)
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
    print(f"{built} built, {len(recipes) - built} up to date, in {seconds:.0f} s; digests: {command.shown(lock_file)}")


def _write(text: str, part: Path) -> None:
    part.write_text(text)


def _recipes(request: Request) -> list[Recipe]:
    variant = images.GPU if request.gpu else ""
    stages = request.stages or (images.GPU_STAGES if request.gpu else tuple(image_content.image_stages()))
    return [image_content.recipe(stage, variant, request.python_image) for stage in stages]


class Builder:
    """Builds images with one engine."""

    def __init__(self, engine_: engine.Engine, request: Request) -> None:
        """Takes an engine that answers."""
        self._engine = engine_
        self._request = request
        self._forced: set[str] = set()
        self._revision = _revision()

    def image(self, recipe: Recipe, known: images.Built | None) -> tuple[images.Built | None, bool]:
        """Brings one stage's image up to date.

        Args:
          recipe: what to build.
          known: the image that images.lock has.

        Returns:
          Entry for the lock, None where the engine knows no digest, and whether anything was built.
        """
        name = self._name(recipe)
        reference = f"{name}:{recipe.tag}"
        begun = time.monotonic()
        found = None if self._request.force else self._engine.inspect(reference)
        new = found is None
        if new:
            assert recipe.base
            self._base(recipe.base)
            self._build(recipe, reference)
        ending = recipe.key.removeprefix(name.rsplit("/", 1)[-1])
        self._call("tag", reference, f"{name}:{VERSION}{ending}")
        digest, size = self._engine.inspect(reference) or ("", 0)
        if self._request.push and (new or not known or (known.image, known.tag) != (name, recipe.tag)):
            digest = self._push(reference)
            self._push(f"{name}:{VERSION}{ending}")
        elif known and not new and (known.image, known.tag) == (name, recipe.tag):
            # A registry may have compressed it into another digest than the engine knows.
            digest = known.digest
        _say(recipe.key, "built" if new else "up to date", recipe.tag, size, time.monotonic() - begun if new else None)
        if not digest:
            print(
                f"  {recipe.key}: docker knows no digest before a push; until then it goes by {name}:{VERSION}{ending}"
            )
            return None, new
        return images.Built(image=name, digest=digest, tag=recipe.tag), new

    def _name(self, recipe: Recipe) -> str:
        return (
            recipe.name.replace("millrace", self._request.registry.rstrip("/"), 1)
            if self._request.registry
            else recipe.name
        )

    def _base(self, recipe: Recipe) -> None:
        again = self._request.force and recipe.key not in self._forced
        if not again and self._engine.inspect(recipe.reference):
            return
        begun = time.monotonic()
        print(f"{recipe.key:<18} building, from {recipe.lock}", flush=True)
        self._build(recipe, recipe.reference)
        self._forced.add(recipe.key)
        _, size = self._engine.inspect(recipe.reference) or ("", 0)
        _say(recipe.key, "built", recipe.tag, size, time.monotonic() - begun)

    def _build(self, recipe: Recipe, reference: str) -> None:
        arguments = ["build", "--file", recipe.dockerfile, "--tag", reference]
        for name, value in recipe.arguments.items():
            arguments += ["--build-arg", f"{name}={value}"]
        labels = {"org.opencontainers.image.version": VERSION, "dev.millrace.content": recipe.tag}
        if recipe.base:
            # A base serves many revisions; its content tag says all.
            labels |= {"org.opencontainers.image.revision": self._revision, "dev.millrace.base": recipe.base.reference}
        for name, value in labels.items():
            arguments += ["--label", f"{name}={value}"]
        if self._engine.name != "docker":
            # One layer each, and no builder left behind; the bases are the cache.
            arguments += ["--layers=false", "--timestamp", _TIMESTAMP, "--format", "oci"]
            if recipe.base:
                arguments += ["--pull-never" if self._engine.name == "buildah" else "--pull=never"]
        with _pip_settings(self._request.pip_conf) as pip_conf:
            if pip_conf and not recipe.base:
                arguments += ["--secret", f"id=pip,src={pip_conf}"]
            self._logged(recipe, [*arguments, "."])

    def _logged(self, recipe: Recipe, arguments: list[str]) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{recipe.key}.log"
        environment = {**os.environ, "DOCKER_BUILDKIT": "1", "SOURCE_DATE_EPOCH": _TIMESTAMP}
        if self._engine.name != "docker":
            # They would take the time from here too, and refuse two sources for it.
            del environment["SOURCE_DATE_EPOCH"]
        with log.open("w") as stream:
            process = subprocess.run(
                [self._engine.name, *arguments],
                cwd=PROJECT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                check=False,
            )
        if process.returncode != 0:
            lines = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            print("\n".join(f"  {line}" for line in lines[-_LAST_LINES:]), file=sys.stderr)
            raise StageError(
                f"{recipe.key}: {self._engine.name} build ended with exit code {process.returncode}; "
                f"its last lines are above, all of them in {command.shown(log)}"
            )

    def _push(self, reference: str) -> str:
        """Sends an image to its registry; returns the digest there."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "digest"
            options = [] if self._engine.name == "docker" else ["--digestfile", str(file)]
            self._call("push", *options, reference, limit=None)
            if options:
                return file.read_text().strip()
        digest, _ = self._engine.inspect(reference) or ("", 0)
        return digest

    def _call(self, *arguments: str, limit: float | None = 60) -> None:
        answer = subprocess.run(
            [self._engine.name, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=limit,
        )
        if answer.returncode != 0:
            last = (answer.stderr.strip().splitlines() or ["it says nothing"])[-1]
            raise StageError(f"{self._engine.name} {arguments[0]} {arguments[-1]}: {last.removeprefix('Error: ')}")


@contextmanager
def _pip_settings(given: str) -> Iterator[str]:
    """A pip.conf for the build: the one given, else one made of pip's own variables; empty where neither is set."""
    values = {
        name: os.environ[f"PIP_{name.upper().replace('-', '_')}"]
        for name in ("index-url", "extra-index-url")
        if os.environ.get(f"PIP_{name.upper().replace('-', '_')}")
    }
    if given or not values:
        yield os.path.abspath(given) if given else ""
        return
    # Of mode 0600 and gone afterwards: an index's address may carry a password.
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as file:
        file.write("[global]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
        file.flush()
        yield file.name


def _revision() -> str:
    """The commit of this checkout, marked where files differ from it; empty outside git."""
    answer = subprocess.run(
        ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    return answer.stdout.strip()


def _say(key: str, state: str, tag: str, size: int, seconds: float | None) -> None:
    amount = f"{size / 1e6:6.0f} MB" if size else ""
    duration = "" if seconds is None else f"{seconds:5.0f} s"
    print(f"{key:<18} {state:<10} {tag}  {amount}  {duration}".rstrip(), flush=True)


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.build_images", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("stages", nargs="*", metavar="STAGE", help="stages to build images of; all without")
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
    parser.add_argument("--force", action="store_true", help="build what is there already, bases too")
    given = vars(parser.parse_args(argv))
    request = Request(**given | {"stages": tuple(given["stages"])})
    return command.run(lambda: build(request))


if __name__ == "__main__":
    sys.exit(main())
