"""Compiles a pipeline, and keeps what `run` compiles.

The import of kfp alone takes as long as a whole run out of the cache. A text is kept under a digest of all that it is
made of: the settings, the code and the component specs that compile them, the versions of the libraries, and the
variables that kfp reads.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shlex
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from components.runtime.errors import InputError
from components.runtime.stage.artifacts import write_whole
from runners import PROJECT
from runners.compiled import image_content, images
from runners.compiled.ir import documents
from runners.settings import secret_values
from runners.settings.folders import own_specs, shown
from runners.settings.model import Settings

FOLDER = PROJECT / ".millrace_cache" / "compiled"

_LIBRARIES = ("kfp", "kfp-kubernetes", "kfp-pipeline-spec", "protobuf", "PyYAML")
_MOST = 50
_MARK = "# sha256 of what follows: "


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
    from runners.compiled import definition, fusing, op_functions, own_pipeline

    own = settings.own_pipeline
    watch = pipeline.watch_and_retrain if settings.watch.on_drift == "retrain" else pipeline.watch
    ours: dict[str, Callable[..., None]] = {
        "": pipeline.pipeline,
        "infer": pipeline.infer,
        "watch": watch,
        "feedback": pipeline.feedback,
    }
    define = own_pipeline.load(own) if own else ours[settings.purpose]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "pipeline.yaml"
        find_image = find_image or op_functions.bare_name
        with own_pipeline.told(own):
            build = pipeline.Build(settings, find_image)
            compiler.Compiler().compile(definition.kfp_pipeline(build, define), str(file))
            if own:
                build.check()
        text = fusing.fuse(file.read_text(), settings.cluster.fuse, find_image)
    # The settings were looked through when they were read; this is for what came by another way.
    secret_values.refuse(documents(text), "the compiled pipeline", by_key=False)
    return text


class Images:
    """Gives each image by its digest, and remembers which ones have none, or other models.

    Attributes:
      unpinned: references without a digest.
      others: images of images.lock whose models are known to be others than those asked for.
    """

    def __init__(self, models: Path | None = None, *, with_models: bool = True) -> None:
        """Forgets nothing that it is asked for.

        Args:
          models: what the images have in place of the checkout's `models`, if they have another.
          with_models: whether the models that images have are used.
        """
        self.unpinned: set[str] = set()
        self._pinned: set[str] = set()
        self.others: set[str] = set()
        self._models = models
        self._with_models = with_models

    def __call__(self, name: str, variant: str) -> str:
        """What to start for the name and the variant of an image."""
        reference, pinned = images.reference(name, variant)
        (self._pinned if pinned else self.unpinned).add(reference)
        stage = images.stage_of(name)
        known = (*image_content.image_stages(), images.FUSED)
        if self._with_models and stage in known and image_content.takes_models(stage):
            noted = images.models_of(name, variant)
            if (noted or self._models) and noted != self._wanted:
                self.others.add(stage)
        return reference

    @functools.cached_property
    def _wanted(self) -> str:
        return image_content.models_digest(self._models)

    def refuse_other_models(self) -> None:
        """Holds the images against the models that `--models` names.

        Raises:
          InputError: one was built without them, or with others.
        """
        if self.others and self._models:
            raise InputError(
                f"images.lock has no images of {', '.join(sorted(self.others))} with what is in {self._models} now; "
                f"build them: {_make(self.others, f'--models {shlex.quote(str(self._models))}')}"
            )

    def of(self, reference: str) -> Images:
        """What is remembered of one image alone, by what `__call__` gave for it."""
        alone = Images(self._models, with_models=self._with_models)
        alone.unpinned, alone._pinned = self.unpinned & {reference}, self._pinned & {reference}
        alone.others = self.others & {images.stage_of(reference)}
        return alone

    def warnings(self, verb: str = "compile") -> list[str]:
        """A line about the images without a digest, and one about those with other models than the checkout's.

        Args:
          verb: what the person does again afterwards.
        """
        lines = []
        if self.unpinned:
            lines.append(
                f"warning: not in images.lock, so by tag and not by digest: {', '.join(sorted(self.unpinned))}; "
                f"build them with `{_make(map(images.stage_of, self.unpinned))}` and {verb} again"
            )
        here = {each for each in self._pinned if each.startswith("millrace/")}
        if here and here != self._pinned:
            stages = {images.stage_of(each) for each in here}
            lines.append(
                f"warning: on this machine only, while the others are in a registry: the images of "
                f"{', '.join(sorted(stages))}; send them there with `{_make(stages, '--registry HOST/TEAM --push')}`, "
                f"HOST/TEAM that of the others, and {verb} again"
            )
        if self.others:
            lines.append(
                f"warning: built before models/ was edited, or with other models: the images of "
                f"{', '.join(sorted(self.others))}; build them with `{_make(self.others)}` and {verb} again"
            )
        return lines


def _make(stages: Iterable[str], arguments: str = "") -> str:
    """The command line that builds images: that of all stages is built where it is asked for only."""
    kinds = dict.fromkeys(
        f" STAGE={stage}" if stage == images.FUSED else "" for stage in sorted(stages, key=images.FUSED.__eq__)
    )
    given = f" ARGS={shlex.quote(arguments)}" if arguments else ""
    return " && ".join(f"make images{kind}{given}" for kind in kinds)


def compiled(settings: Settings) -> str:
    """The pipeline for a run on this machine, as `compile_pipeline` gives it without images.

    Args:
      settings: of the model.

    Raises:
      InputError: a secret's value has got into it.
    """
    key = _key(settings)
    file = FOLDER / f"{key}.yaml"
    if kept := _read(file):
        return kept
    text = compile_pipeline(settings)
    if _key(settings) != key:
        # Somebody edited the code meanwhile, before or after it was read.
        return text
    # The checkout may be read-only, or its disk full.
    with contextlib.suppress(OSError):
        FOLDER.mkdir(parents=True, exist_ok=True)
        write_whole(file, f"{_MARK}{_digest(text)}\n{text}")
        for old in sorted(FOLDER.glob("*.yaml"), key=lambda kept: kept.stat().st_mtime, reverse=True)[_MOST:]:
            old.unlink()
    return text


def _read(file: Path) -> str:
    """What a file keeps; empty where there is none, or not as it was written."""
    try:
        first, _, text = file.read_text().partition("\n")
    except (OSError, UnicodeDecodeError):
        return ""
    return text if first == f"{_MARK}{_digest(text)}" else ""


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _key(settings: Settings) -> str:
    digest = hashlib.sha256()
    for part in (
        sys.version,
        *(f"{name} {version(name)}" for name in _LIBRARIES),
        str(PROJECT),
        *(f"{name}={value}" for name, value in sorted(os.environ.items()) if "KFP" in name),
        # A value that is set counts as given even where it is the default.
        settings.model_dump_json(),
        settings.model_dump_json(exclude_unset=True),
    ):
        digest.update(part.encode() + b"\0")
    for file in (*_sources(), *_own_sources(settings)):
        digest.update(f"{shown(file)} {hashlib.sha256(file.read_bytes()).hexdigest()}\0".encode())
    return digest.hexdigest()


def _sources() -> Iterator[Path]:
    yield PROJECT / "pipeline.py"
    for folder, pattern in (
        ("runners", "**/*.py"),
        ("components/runtime", "**/*.py"),
        ("components", "*/component.yaml"),
    ):
        yield from sorted((PROJECT / folder).glob(pattern))


def _own_sources(settings: Settings) -> Iterator[Path]:
    """What a model brings along: its pipeline, and the specs of the stages in it."""
    if settings.own_pipeline:
        yield settings.own_pipeline
        yield from own_specs(settings.folder)
