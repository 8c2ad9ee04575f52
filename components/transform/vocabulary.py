"""Counts the words of a vocabulary batch by batch.

TensorFlow Transform hands Beam every single word of every row, two microseconds each. Here a batch's words are counted
first, and Beam adds up the counts: the same sums.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import apache_beam as beam
from tensorflow_transform import analyzer_nodes
from tensorflow_transform.beam import analyzer_impls, common

# TensorFlow Transform keeps these names to itself; tests/components/transform/test_vocabulary.py fails without them.
_by_word = analyzer_impls._VocabularyAccumulateImpl
_FREQUENCY = analyzer_impls._VocabOrderingType.FREQUENCY


def count_by_batch() -> None:
    """Has TensorFlow Transform count so in this process."""
    tags = {common.EnvironmentTags.TF_V2_ONLY}
    common.register_ptransform(analyzer_nodes.VocabularyAccumulate, tags)(_CountByBatch)


class _CountByBatch(beam.PTransform):
    """From batches of words to words with their counts; what is ordered by more than counts goes the library's way."""

    def __init__(self, operation: Any, extra_args: Any) -> None:
        super().__init__()
        plain = operation.vocab_ordering_type == _FREQUENCY
        self._other = None if plain else _by_word(operation, extra_args)

    def expand(self, inputs: tuple[beam.PCollection]) -> beam.PCollection:
        if self._other is not None:
            return inputs | self._other
        add_up = beam.CombinePerKey(sum).with_input_types(Any).with_output_types(Any)
        return inputs[0] | "CountInBatch" >> beam.FlatMap(_counts) | "CountPerToken" >> add_up


def _counts(batch: tuple[Any]) -> Iterable[tuple[Any, int]]:
    return Counter(batch[0].tolist()).items()
