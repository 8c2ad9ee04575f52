"""Pruning and clustering of a SavedModel's weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from components.export import weights


def test_the_smallest_values_become_zero() -> None:
    values = np.array([[0.1, -3.0], [2.0, -0.2]], np.float32)
    np.testing.assert_array_equal(weights.smaller(values, 0.5, None), [[0, -3], [2, 0]])
    assert values[0, 0] == np.float32(0.1), "the array itself stays"


def test_so_many_of_equal_values_become_zero() -> None:
    assert np.count_nonzero(weights.smaller(np.ones((10, 10), np.float32), 0.3, None)) == 70


def test_values_fall_into_clusters_by_nearness() -> None:
    values = np.array([[0.9, 1.1, -2.0], [-2.2, 1.0, -1.8]], np.float32)
    np.testing.assert_allclose(weights.smaller(values, None, 2), [[1, 1, -2], [-2, 1, -2]], atol=1e-6)


def test_clusters_are_besides_the_zeros() -> None:
    made = weights.smaller(np.random.default_rng(1).normal(size=(20, 20)).astype(np.float32), 0.5, 4)
    assert np.count_nonzero(made == 0) == 200
    assert len(np.unique(made)) == 5


def test_few_values_stay_as_they_are() -> None:
    values = np.array([[1, 2], [2, 1]], np.float32)
    np.testing.assert_array_equal(weights.smaller(values, None, 16), values)


def test_the_graph_stays_and_the_matrices_change(tmp_path: Path, numbers: Path) -> None:
    source = numbers / "Format-Serving"
    assert weights.rewrite(source, tmp_path / "m", 0.5, None) == 2
    before, after = tf.saved_model.load(str(source)), tf.saved_model.load(str(tmp_path / "m"))
    assert np.count_nonzero(after.first.numpy()) == 16
    np.testing.assert_array_equal(after.bias.numpy(), before.bias.numpy())
    assert (tmp_path / "m" / "saved_model.pb").read_bytes() == (source / "saved_model.pb").read_bytes()
    assert after.signatures.keys() == before.signatures.keys()
