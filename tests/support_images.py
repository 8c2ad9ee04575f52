"""What tests with the stages' images share: they run where an engine and the images of this checkout are."""

from __future__ import annotations

import functools

import pytest

from components.runtime import VERSION
from components.runtime.errors import InputError
from runners.compiled.image_content import CONTENT_LABEL, recipe
from runners.local import engine as engines


@functools.cache
def _engine() -> engines.Engine | str:
    try:
        return engines.find(engines.RUNNERS)
    except InputError as error:
        return str(error)


def engine() -> engines.Engine:
    """The engine of this machine; skips the test where there is none."""
    found = _engine()
    if isinstance(found, str):
        pytest.skip(found)
    return found


def built_image(stage: str, variant: str = "") -> str:
    """The image of a stage, or a variant of it, of this checkout's code; skips the test where it was not built."""
    made = recipe(stage, variant)
    reference, taken = made.reference, f"{made.name}:{VERSION}{f'-{variant}' if variant else ''}"
    how = f"make images STAGE={stage}{f' ARGS=--{variant}' if variant else ''}"
    if not engine().inspect(reference):
        pytest.skip(f"the image {reference} is not built: {how}")
    # Runs without a lock take this one: an older one, where that above was built for a registry.
    if engine().labels(taken).get(CONTENT_LABEL) != made.tag:
        pytest.skip(f"the image {taken} is of other code: {how}")
    if refusal := _refusal_to_run(reference):
        pytest.skip(f"the engine builds images but runs none here: {refusal}")
    return reference


@functools.cache
def _refusal_to_run(image: str) -> str:
    return engine().refusal(image, ("--network", "none"))
