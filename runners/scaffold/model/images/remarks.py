"""What looks wrong with images."""

from __future__ import annotations

import math

from runners.scaffold.model.images.profile import Images

_FEW = 20
"""Images of a class."""

_SOME_GREY = 0.1
"""Share of grey images among coloured ones, from which on one should look."""

_WORTH_COMPARING = 10
"""Of fewer masks one value in a single mask says nothing."""


def remarks(images: Images, values: tuple[int, ...]) -> list[str]:
    """What a person should look at.

    Args:
      images: as they were found.
      values: of masks that are classes; none where images have the classes.
    """
    told = []
    few = {name: count for name, count in images.counts.items() if count < _FEW}
    if len(few) == 1:
        ((name, count),) = few.items()
        told.append(f"the class {name} has {count} images only")
    elif few:
        named = ", ".join(f"{name} ({count})" for name, count in list(few.items())[-5:])
        told.append(f"{len(few)} classes have fewer than {_FEW} images, the rarest of them: {named}")
    if missing := [name for name, splits in images.classes.items() if not splits["train"]]:
        told.append(f"no image to train on: {', '.join(sorted(missing)[:5])}")
    if missing := [name for name, splits in images.classes.items() if not splits["eval"]]:
        told.append(f"no image is held out of: {', '.join(sorted(missing)[:5])}")
    if images.contradictions:
        one, other = images.contradictions[0]
        many = f"{len(images.contradictions)} images are" if len(images.contradictions) > 1 else "an image is"
        told.append(f"{many} in two classes, such as {one} and {other}: the same bytes")
    if images.twice:
        apart = (
            f", {images.twice_apart} of them in both splits, where they flatter the metrics"
            if images.twice_apart
            else ""
        )
        told.append(f"{images.twice} images are there twice{apart}")
    if not images.is_grey and images.greys > _SOME_GREY * images.looked_at:
        told.append(
            f"{images.greys} of {images.looked_at} images are grey, the others in colour: "
            "do they come from elsewhere, and do the classes differ by that?"
        )
    areas = sorted(height * width for height, width in images.sizes)
    if areas[-1] > 100 * areas[0]:
        (low, high) = (min(images.sizes, key=math.prod), max(images.sizes, key=math.prod))
        told.append(f"sizes differ much: {low[1]}x{low[0]} to {high[1]}x{high[0]} pixels")
    for value in values:
        if images.masks[value] == 1 and images.count >= _WORTH_COMPARING:
            told.append(f"the value {value} is in one mask only ({images.pixels[value]:,} pixels): a slip?")
    if len(values) > 64:
        told.append(f"masks hold {len(values)} values: are these classes, or shades of grey?")
    return told
