"""Masks: what a model answers of every pixel of an image, and what is true of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from components.runtime.data import pictures

Counts: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]


def is_mask(values: pa.Array) -> bool:
    """Whether an output is a whole number for each pixel: a list of lists of these for every row."""
    kind = values.type
    return bool(
        pa.types.is_list(kind) and pa.types.is_list(kind.value_type) and pa.types.is_integer(kind.value_type.value_type)
    )


def shares(values: pa.Array, classes: int) -> dict[str, pa.Array]:
    """Of a mask for each of N rows, the share of the pixels of each class.

    Args:
      values: numbers of classes.
      classes: how many there are.

    Returns:
      N shares by the number of the class.
    """
    counted = np.array([np.bincount(mask.ravel(), minlength=classes)[:classes] for mask in _arrays(values)])
    if not len(counted):
        return {}
    parts = counted / np.maximum(counted.sum(axis=1, keepdims=True), 1)
    return {str(number): pa.array(parts[:, number].astype(np.float32)) for number in range(classes)}


def confusions(prediction: Mapping[str, pa.Array], labels: pa.Array, values: Sequence[int]) -> Counts | None:
    """Counts the pixels of N images by the class that is true and the one that was told.

    A true mask is brought to the size of the answer by its nearest pixels, as the preprocessing of a model does.

    Args:
      prediction: N values by output, of which the first that is a mask counts.
      labels: encoded masks.
      values: what stands in them for each class, by its number; pixels of other values are passed over.

    Returns:
      [N, K, K], what is true first; None where no answer is a mask, or no label can be one.
    """
    told = next((each for each in prediction.values() if is_mask(each)), None)
    if told is None or not (pa.types.is_binary(labels.type) or pa.types.is_large_binary(labels.type)):
        return None
    classes = len(values)
    number_of = np.full(256, -1)
    number_of[list(values)] = np.arange(classes)
    made = np.zeros((len(labels), classes, classes), np.int64)
    for place, (answer, content) in enumerate(zip(_arrays(told), labels.to_pylist(), strict=True)):
        truth = number_of[_resized(pictures.mask_values(content), answer.shape)]
        known = (truth >= 0) & (answer < classes)
        pairs = truth[known] * classes + answer[known]
        made[place] = np.bincount(pairs, minlength=classes * classes).reshape(classes, classes)
    return made


def mean_iou(counts: Counts) -> Floats:
    """Mean intersection over union, over the classes that there are, of each of [N, K, K] counts of pixels."""
    both = np.diagonal(counts, axis1=1, axis2=2)
    either = counts.sum(axis=1) + counts.sum(axis=2) - both
    parts = np.divide(both, either, out=np.full(both.shape, np.nan), where=either > 0)
    return np.asarray(np.nanmean(parts, axis=1), np.float64)


def pixel_accuracy(counts: Counts) -> Floats:
    """The share of the pixels that are right, of each of [N, K, K] counts of pixels."""
    both = np.diagonal(counts, axis1=1, axis2=2).sum(axis=1)
    return np.asarray(both / np.maximum(counts.sum(axis=(1, 2)), 1), np.float64)


def _resized(mask: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> npt.NDArray[np.uint8]:
    """By the pixels whose middle is nearest, as TensorFlow does."""
    places = [((np.arange(size) + 0.5) * of / size).astype(int) for size, of in zip(shape, mask.shape, strict=True)]
    return mask[np.ix_(*places)]


def _arrays(values: pa.Array) -> list[npt.NDArray[np.int64]]:
    """Each row as an array [height, width]."""
    inner = values.flatten()
    flat = np.asarray(inner.flatten().to_numpy(zero_copy_only=False), np.int64)
    heights = pc.list_value_length(values).to_pylist()
    sizes = np.array([height * width for height, width in zip(heights, _widths(values, inner), strict=True)], np.int64)
    parts = np.split(flat, np.cumsum(sizes)[:-1]) if len(sizes) else []
    return [
        part.reshape(height, -1) if height else part.reshape(0, 0) for part, height in zip(parts, heights, strict=True)
    ]


def _widths(values: pa.Array, inner: pa.Array) -> list[int]:
    """Pixels across of each row, of which all lines are as long."""
    lengths = pc.list_value_length(inner).to_pylist()
    first = np.concatenate([[0], np.cumsum(pc.list_value_length(values).to_pylist())]).astype(int)
    return [lengths[place] if place < len(lengths) else 0 for place in first[:-1]]
