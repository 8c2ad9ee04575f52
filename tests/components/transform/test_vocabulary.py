"""Words counted by batch have the counts that TensorFlow Transform counts word by word."""

from __future__ import annotations

from typing import Any

import apache_beam as beam
import numpy as np
import pytest
from apache_beam.testing.util import assert_that, equal_to
from tensorflow_transform import analyzer_nodes
from tensorflow_transform.analyzers import _VocabOrderingType
from tensorflow_transform.beam import analyzer_impls, common

from components.runtime.data.beam import pipeline
from components.transform import vocabulary

WORDS = [np.array([b"a", b"b", b"a"], object), np.array([b"b"], object), np.array([], object)]
NUMBERS = [np.array([3, 1, 3]), np.array([1, 2])]
WEIGHTS = [np.array([0.5, 1.0, 2.0]), np.array([4.0]), np.array([])]


@pytest.mark.parametrize(
    ("ordering", "batches", "counts"),
    [
        (_VocabOrderingType.FREQUENCY, [(words,) for words in WORDS], [(b"a", 2), (b"b", 2)]),
        (_VocabOrderingType.FREQUENCY, [(numbers,) for numbers in NUMBERS], [(3, 2), (1, 2), (2, 1)]),
        (_VocabOrderingType.WEIGHTED_FREQUENCY, list(zip(WORDS, WEIGHTS, strict=True)), [(b"a", 2.5), (b"b", 5.0)]),
    ],
)
def test_counts_are_the_librarys(ordering: int, batches: list[Any], counts: list[Any]) -> None:
    vocabulary.count_by_batch()
    registry = common._PTRANSFORM_BY_OPERATION_DEF_SUBCLASS[analyzer_nodes.VocabularyAccumulate]
    ours, _ = registry.get_ptransform(common.EnvironmentTags.TF_V2_ONLY)
    assert ours is vocabulary._CountByBatch
    operation = analyzer_nodes.VocabularyAccumulate(ordering)
    with pipeline([]) as run:
        given = (run | beam.Create(batches),)
        for kind in (ours, analyzer_impls._VocabularyAccumulateImpl):
            assert_that(given | kind.__name__ >> kind(operation, None), equal_to(counts), label=f"of {kind.__name__}")
