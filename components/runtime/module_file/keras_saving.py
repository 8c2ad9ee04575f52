"""Writes SavedModels of Keras 3 whose variables TensorFlow Serving finds."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

_EXPORT = "_export_to_saved_model_graph"
"""A method that Keras and TensorFlow keep to themselves, read in Keras 3.15.1 (images/locks/ml.txt).

Guarded by tests that answer from the graph as TensorFlow Serving does: tests/components/train/test_signatures.py:
test_a_server_is_asked_by_any_name, and test_train.py: test_what_a_module_saves_itself_can_be_served.
"""


@contextlib.contextmanager
def servable_variables() -> Iterator[None]:
    """Has `tf.saved_model.save` inside write each variable of a Keras 3 model once.

    Keras 3.15 hands TensorFlow a copy of each variable: the checkpoint is restored to the copies, while the graph reads
    the originals. `tf.saved_model.load` joins the two in Python. TensorFlow Serving, which goes by the graph, answers
    every request with "Could not find variable" (https://github.com/keras-team/keras/issues/20096).
    """
    import keras

    kind: Any = next(kind for kind in keras.Variable.__mro__ if _EXPORT in vars(kind))
    original = vars(kind)[_EXPORT]

    def export(self: Any, object_map: Any, tensor_map: Any, options: Any, **kwargs: Any) -> Any:
        resources = self.value._export_to_saved_model_graph(object_map, tensor_map, options, **kwargs)
        object_map[self] = object_map[self.value]
        return resources

    setattr(kind, _EXPORT, export)
    try:
        yield
    finally:
        setattr(kind, _EXPORT, original)
