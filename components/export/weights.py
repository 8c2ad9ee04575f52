"""Smaller weights of a SavedModel: its graph stays as it is, its checkpoint is written anew.

Pruning is by magnitude, [Han et al. 2015](https://arxiv.org/abs/1506.02626): of each matrix the values nearest 0 become
0. Clustering is that of [Han et al. 2016](https://arxiv.org/abs/1510.00149): k-means of the values of each matrix, from
centres in equal distances. Neither trains anything afterwards: the gates say what that costs.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.python.saved_model import fingerprinting_utils

_ROUNDS = 30


def rewrite(source: Path, target: Path, sparsity: float | None, clusters: int | None) -> int:
    """Copies a SavedModel with other weights: those of every matrix, kernel and table of embeddings.

    Args:
      source: folder of the SavedModel.
      target: of the copy; made.
      sparsity: share of the values of each that becomes 0.
      clusters: how many different values each keeps, besides the zeros of `sparsity`.

    Returns:
      How many matrices were changed; biases and the like stay.
    """
    shutil.copytree(source, target)
    prefix = target / "variables" / "variables"
    reader = tf.train.load_checkpoint(str(prefix))
    tensors = {name: reader.get_tensor(name) for name in sorted(reader.get_variable_to_shape_map())}
    changed = 0
    for name, values in tensors.items():
        if isinstance(values, np.ndarray) and values.ndim >= 2 and values.dtype.kind == "f":
            tensors[name] = smaller(values, sparsity, clusters)
            changed += 1
    for shard in prefix.parent.glob("variables.*"):
        shard.unlink()
    names = list(tensors)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[tf.convert_to_tensor(tensors[name]) for name in names],
    )
    fingerprinting_utils.write_fingerprint(str(target))
    return changed


def smaller(values: np.ndarray[Any, Any], sparsity: float | None, clusters: int | None) -> np.ndarray[Any, Any]:
    """The same array, pruned and then clustered as far as is asked for."""
    made = values.copy()
    if sparsity is not None:
        nearest = np.argsort(np.abs(made), axis=None, kind="stable")[: round(made.size * sparsity)]
        made.reshape(-1)[nearest] = 0
    if clusters is not None:
        kept = made != 0 if sparsity is not None else np.ones_like(made, bool)
        made[kept] = _clustered(made[kept], clusters)
    return made


def _clustered(values: np.ndarray[Any, Any], count: int) -> np.ndarray[Any, Any]:
    if len(np.unique(values)) <= count:
        return values
    centres = np.linspace(values.min(), values.max(), count, dtype=np.float64)
    for _ in range(_ROUNDS):
        nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
        sizes = np.bincount(nearest, minlength=count)
        sums = np.bincount(nearest, weights=values, minlength=count)
        # One that no value is nearest to stays where it is.
        moved = np.where(sizes, sums / np.maximum(sizes, 1), centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    nearest = np.searchsorted((centres[1:] + centres[:-1]) / 2, values)
    return centres[nearest].astype(values.dtype)
