"""Pictures for the report of a model that gives every pixel a class: the image, its true mask, and the model's.

Shown are the images on which the model does best, those in the middle and the worst, of the first `LOOKED_AT`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from components.runtime.evaluation.computation.batches import Model, serialised
from components.runtime.evaluation.metrics import segmentation
from components.runtime.stage import report
from components.runtime.stage.report import Html

LOOKED_AT = 256
"""Examples among which the pictures are chosen, the first ones, so that a large split costs no second pass."""

OF_EACH_KIND = 4
KINDS = ("best", "middle", "worst")

CLASS_COLORS = ("#ea580c", "#1e3a5f", "#facc15", "#059669", "#7c3aed", "#0891b2", "#dc2626", "#9ca3af")
"""Of the classes by number; from the start again where there are more."""

NO_CLASS_COLOR = "#000000"
"""Of pixels that are not judged."""

_QUALITY = 85
_DISPLAYED = 128
"""Width of a picture on the page, in CSS pixels."""


@dataclass(frozen=True)
class Picture:
    """An example to show.

    Attributes:
      kind: one of `KINDS`.
      number: of the example, from 1, in the order of the split.
      iou: mean over the classes that are in its true or predicted mask.
      image: uint8, [height, width, 3], what the model saw; None where no transformed feature is one.
      truth: class numbers, [height, width].
      predicted: the same of the model.
    """

    kind: str
    number: int
    iou: float
    image: np.ndarray | None
    truth: np.ndarray
    predicted: np.ndarray


def choose(files: Iterable[str], model: Model) -> list[Picture]:
    """Runs the model over the first examples and chooses those to show.

    Returns:
      `OF_EACH_KIND` of every kind, the best first, or fewer where there are fewer examples; none where the model does
      not give every pixel of an image a class.
    """
    records: list[bytes] = []
    scores: list[float] = []
    for examples in serialised(files, [model]).take(LOOKED_AT):
        labels, predictions, _ = model(examples)
        if not _dense(labels, predictions):
            return []
        tables = (segmentation.count(labels[row : row + 1], predictions[row : row + 1]) for row in range(len(labels)))
        scores += map(segmentation.mean_iou, tables)
        records += examples.numpy().tolist()
        if len(records) >= LOOKED_AT:
            break
    order = sorted((-score, number) for number, score in enumerate(scores[:LOOKED_AT]) if not np.isnan(score))
    chosen = [(kind, number, -score) for kind, (score, number) in _chosen(order)]
    if not chosen:
        return []
    labels, predictions, transformed = model(tf.constant([records[number] for _, number, _ in chosen]))
    images = _images(transformed.values(), labels.shape[1:3])
    return [
        Picture(
            kind=kind,
            number=number + 1,
            iou=score,
            image=None if images is None else images[place],
            truth=labels[place].reshape(labels.shape[1:3]),
            predicted=predictions[place].argmax(axis=-1),
        )
        for place, (kind, number, score) in enumerate(chosen)
    ]


def _chosen(order: Sequence[tuple[float, int]]) -> list[tuple[str, tuple[float, int]]]:
    """Entries of each kind, none twice."""
    each = min(OF_EACH_KIND, -(-len(order) // len(KINDS)))
    middle = (len(order) - each) // 2
    places = {
        "best": range(each),
        "middle": range(middle, middle + each),
        "worst": range(len(order) - each, len(order)),
    }
    taken: dict[int, str] = {}
    for kind, kind_places in places.items():
        for place in kind_places:
            if 0 <= place < len(order):
                taken.setdefault(place, kind)
    return [(kind, order[place]) for place, kind in sorted(taken.items())]


def _dense(labels: np.ndarray, predictions: np.ndarray) -> bool:
    """Whether there is a class number per pixel, and a score per pixel and class."""
    return predictions.ndim == 4 and labels.shape in (predictions.shape[:3], (*predictions.shape[:3], 1))


def _images(features: Iterable[np.ndarray], size: tuple[int, ...]) -> np.ndarray | None:
    """Among the transformed features the one that is RGB or grey images of the masks' size, as RGB."""
    for values in features:
        if values.dtype == np.uint8 and values.ndim == 4 and values.shape[1:3] == size and values.shape[3] in (1, 3):
            return np.broadcast_to(values, (*values.shape[:3], 3))
    return None


def section(pictures: Sequence[Picture], names: Sequence[str]) -> Html:
    """The part of a page that shows them.

    Args:
      pictures: of `choose`.
      names: of the classes by number.
    """
    classes = 1 + max(int(max(each.truth.max(), each.predicted.max())) for each in pictures)
    legend = [
        _sample(_color(number), names[number] if number < len(names) else str(number))
        for number in range(max(classes, len(names)))
    ]
    if any((each.truth == segmentation.NO_CLASS).any() for each in pictures):
        legend.append(_sample(NO_CLASS_COLOR, "not judged"))
    parts: list[Html] = [report.paragraph("Each: the image, its true mask, the model's mask.", *legend)]
    for kind in KINDS:
        shown = [each for each in pictures if each.kind == kind]
        if shown:
            parts += [report.heading(kind.capitalize()), Html("".join(map(_figure, shown)))]
    note = f"chosen by mean IoU of the single image, among the first {LOOKED_AT} examples"
    return report.section("Images", *parts, report.paragraph(report.text(note, "muted")))


def _sample(color: str, name: str) -> Html:
    return Html(
        f'<span style="display:inline-block;width:12px;height:12px;margin:0 5px 0 14px;background:{color}">'
        f"</span>{report.escape(name)}"
    )


def _figure(picture: Picture) -> Html:
    shown = "".join(
        [
            "" if picture.image is None else _img(picture.image, f"image {picture.number}", "JPEG"),
            _img(_colored(picture.truth), f"true mask of image {picture.number}", "PNG"),
            _img(_colored(picture.predicted), f"predicted mask of image {picture.number}", "PNG"),
        ]
    )
    caption = report.text(f"example {picture.number}, mean IoU {picture.iou:.3f}", "muted")
    return Html(f'<div style="display:inline-block;margin:0 24px 14px 0">{shown}<br>{caption}</div>')


def _img(pixels: np.ndarray, description: str, encoding: str) -> Html:
    from PIL import Image

    buffer = io.BytesIO()
    image = Image.fromarray(np.ascontiguousarray(pixels))
    if encoding == "PNG":
        # Few colours: a palette is a fraction of the size.
        image.convert("P", palette=Image.Palette.ADAPTIVE, colors=len(CLASS_COLORS) + 1).save(
            buffer, "PNG", optimize=True
        )
    else:
        image.save(buffer, encoding, quality=_QUALITY)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Html(
        f'<img alt="{report.escape(description)}" width="{_DISPLAYED}" style="margin-right:4px" '
        f'src="data:image/{encoding.lower()};base64,{data}">'
    )


def _colored(mask: np.ndarray) -> np.ndarray:
    """Class numbers as RGB."""
    palette = np.array([_rgb(color) for color in CLASS_COLORS], np.uint8)
    judged = (mask != segmentation.NO_CLASS)[..., np.newaxis]
    return np.where(judged, palette[mask.astype(np.int64) % len(palette)], np.array(_rgb(NO_CLASS_COLOR), np.uint8))


def _rgb(color: str) -> list[int]:
    return [int(color[place : place + 2], 16) for place in (1, 3, 5)]


def _color(number: int) -> str:
    return CLASS_COLORS[number % len(CLASS_COLORS)]
