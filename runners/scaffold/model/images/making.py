"""Makes the plan of a model for images from the place where they lie."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from runners.scaffold.model.images import planning, profile
from runners.scaffold.model.images.layout import Layout
from runners.scaffold.model.ingesting import ingested
from runners.scaffold.model.reading import place_of


def make(root: Path, folder: Path, place: str, layout: Layout, console: Console) -> planning.ImagePlan:
    """Has ingest read the images, looks at each, and plans.

    Args:
      root: the pipeline root.
      folder: that the model will have.
      place: of the images.
      layout: how they lie there.
      console: that the progress is shown on.

    Raises:
      InputError: images that cannot be read, or that nothing can be learned from.
    """
    ingest = {**layout.ingest, "images": {**layout.ingest["images"]}}
    if layout.kind == "masks":
        # Any value: which there are is what is looked for.
        ingest["images"]["mask_values"] = []
    made = ingested(root, folder, place, ingest, console)
    return planning.plan(folder, place_of(place, folder), layout, profile.profile(made.examples, made.rows))
