"""Has `fit` of Keras 3 work under MultiWorkerMirroredStrategy."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from unittest import mock

_BUILD, _REDUCE = "_maybe_symbolic_build", "reduce_per_replica"
"""Two names that Keras keeps to itself, read in Keras 3.15.1 (images/locks/ml.txt); the tests of
tests/components/train/test_workers.py train by them."""


@contextlib.contextmanager
def fitting() -> Iterator[None]:
    """Mends two places inside.

    Before the first step Keras takes the mean of a batch over the workers, which that strategy has for single tensors
    only, not for a dict of features; and it reduces the metrics of a step, which are scalars, along an axis that they
    do not have (https://github.com/keras-team/keras/issues/20585). Here the dataset says the shapes, and the metrics of
    a step are the mean of those of the workers.
    """
    import tensorflow as tf
    from keras.src.backend.tensorflow import trainer

    reduce_here = getattr(trainer, _REDUCE)
    build_here = getattr(trainer.TensorFlowTrainer, _BUILD)

    def is_shared(strategy: Any) -> bool:
        return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)

    def build(self: Any, iterator: Any = None, data_batch: Any = None) -> None:
        strategy = self.distribute_strategy
        if iterator is None or not is_shared(strategy):
            build_here(self, iterator=iterator, data_batch=data_batch)
            return
        # A batch that is drawn for its shapes would be missing in the first epoch's order.
        batch = tf.nest.map_structure(_nothing, iterator._distributed_dataset.element_spec)
        with strategy.scope():
            self._symbolic_build(data_batch=batch)

    def reduce(values: Any, strategy: Any, reduction: str) -> Any:
        if reduction != "auto" or not is_shared(strategy):
            return reduce_here(values, strategy, reduction)
        return tf.nest.map_structure(lambda value: strategy.reduce("MEAN", value, axis=None), values)

    with mock.patch.object(trainer, _REDUCE, reduce), mock.patch.object(trainer.TensorFlowTrainer, _BUILD, build):
        yield


def _nothing(spec: Any) -> Any:
    """A tensor of the form of a batch: one row of zeros."""
    import tensorflow as tf

    # (Of a worker with several devices, that of the first.)
    spec = getattr(spec, "_value_specs", [spec])[0]
    return tf.zeros([length or 1 for length in spec.shape], spec.dtype)
