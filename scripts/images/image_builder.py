"""Builds one image after the other with an engine: what `scripts/images/build_images.py` is asked for."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from components.runtime import VERSION
from components.runtime.errors import StageError
from runners import PROJECT
from runners.compiled import image_content, images
from runners.compiled.image_content import Recipe
from runners.local import engine
from scripts import command
from scripts.images import registry

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
      models: folder that takes the place of the checkout's `models`, where another is to.
      force: build even what is there.
    """

    stages: tuple[str, ...] = ()
    gpu: bool = False
    engine: str = ""
    registry: str = ""
    push: bool = False
    python_image: str = image_content.PYTHON_IMAGE
    pip_conf: str = ""
    models: str | None = None
    force: bool = False


class Builder:
    """Builds images with one engine."""

    def __init__(self, engine_: engine.Engine, request: Request) -> None:
        """Takes an engine that answers."""
        self._engine = engine_
        self._request = request
        self._forced: set[str] = set()
        # Asked before anything is built.
        self._plain_http = request.push and registry.speaks_plain_http(request.registry)
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
        # By the version go the images of this checkout's code alone.
        version = [] if recipe.models and self._request.models else [f"{name}:{VERSION}{ending}"]
        for tag in version:
            self._call("tag", reference, tag)
        digest, size = self._engine.inspect(reference) or ("", 0)
        if self._request.push and (new or not known or (known.image, known.tag) != (name, recipe.tag)):
            digest = self._push(reference)
            for tag in version:
                self._push(tag)
        elif self._request.registry and known and not new and (known.image, known.tag) == (name, recipe.tag):
            # A registry may have compressed it into another digest than the engine knows.
            digest = known.digest
        _say(recipe.key, "built" if new else "up to date", recipe.tag, size, time.monotonic() - begun if new else None)
        if not digest:
            until = f"until then it goes by {version[0]}" if version else "compile --models needs one"
            print(f"  {recipe.key}: docker knows no digest before a push (--registry HOST/TEAM --push); {until}")
            return None, new
        return images.Built(image=name, digest=digest, tag=recipe.tag, models=recipe.models), new

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
        for part in recipe.parts.values():
            self._base(part)
        begun = time.monotonic()
        print(f"{recipe.key:<18} building, from {', '.join(recipe.locks)}", flush=True)
        self._build(recipe, recipe.reference)
        self._forced.add(recipe.key)
        _, size = self._engine.inspect(recipe.reference) or ("", 0)
        _say(recipe.key, "built", recipe.tag, size, time.monotonic() - begun)

    def _build(self, recipe: Recipe, reference: str) -> None:
        arguments = ["build", "--file", recipe.dockerfile, "--tag", reference]
        for name, value in recipe.arguments.items():
            arguments += ["--build-arg", f"{name}={value}"]
        labels = {"org.opencontainers.image.version": VERSION, image_content.CONTENT_LABEL: recipe.tag}
        if recipe.base:
            # A base serves many revisions; its content tag says all.
            labels |= {
                "org.opencontainers.image.revision": self._revision,
                "org.opencontainers.image.base.name": recipe.base.reference,
                image_content.PYTHON_LABEL: self._request.python_image,
            }
        for name, value in labels.items():
            arguments += ["--label", f"{name}={value}"]
        if self._engine.name != "docker":
            # One layer each, and no builder left behind; the bases are the cache.
            arguments += ["--layers=false", "--timestamp", _TIMESTAMP, "--format", "oci"]
            if recipe.base or recipe.parts:
                arguments += ["--pull-never" if self._engine.name == "buildah" else "--pull=never"]
        with _pip_settings(self._request.pip_conf) as pip_conf, self._context(recipe) as context:
            if pip_conf and not recipe.base:
                arguments += ["--secret", f"id=pip,src={pip_conf}"]
            self._logged(recipe, [*arguments, "."], context)

    @contextmanager
    def _context(self, recipe: Recipe) -> Iterator[Path]:
        """The folder that the Dockerfile copies from: the checkout, or one with other models in their place."""
        if not (recipe.models and self._request.models):
            yield PROJECT
            return
        with tempfile.TemporaryDirectory(prefix="millrace-models-") as folder:
            for name, file in recipe.files.items():
                target = Path(folder) / name
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, target)
            yield Path(folder)

    def _logged(self, recipe: Recipe, arguments: list[str], context: Path) -> None:
        LOGS.mkdir(parents=True, exist_ok=True)
        log = LOGS / f"{recipe.key}.log"
        environment = {**os.environ, "DOCKER_BUILDKIT": "1", "SOURCE_DATE_EPOCH": _TIMESTAMP}
        if self._engine.name != "docker":
            # They would take the time from here too, and refuse two sources for it.
            del environment["SOURCE_DATE_EPOCH"]
        with log.open("w") as stream:
            process = subprocess.run(
                [self._engine.name, *arguments],
                cwd=context,
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
            if options and self._plain_http:
                # (docker takes a registry on this machine for one without TLS by itself.)
                options.append("--tls-verify=false")
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
