"""Looks at the weights of the SavedModel that a training wrote, whatever wrote it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from components.runtime.errors import InputError

_NAMED = 3


def check_finite(saved_model: Path, module_file: str) -> None:
    """Looks for NaN and infinity in the weights of a SavedModel.

    Args:
      saved_model: its folder.
      module_file: what it was made by, for the message.

    Raises:
      InputError: there are some; says in which variables, the layer before the slash, and how many.
    """
    if not (saved_model / "variables" / "variables.index").is_file():
        return  # A model without variables, such as one of constants.
    reader = tf.train.load_checkpoint(str(saved_model / "variables" / "variables"))
    graph = trackable_object_graph_pb2.TrackableObjectGraph.FromString(
        reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH")
    )
    names = {each.checkpoint_key: each.full_name for node in graph.nodes for each in node.attributes}
    found = []
    for key, kind in sorted(reader.get_variable_to_dtype_map().items(), key=lambda pair: names.get(pair[0], pair[0])):
        if not (kind.is_floating or kind.is_complex):
            continue
        values = reader.get_tensor(key)
        if count := values.size - int(np.isfinite(values).sum()):
            found.append(f"{names.get(key) or key} ({count:,} of {values.size:,})")
    if found:
        more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
        raise InputError(
            f"{module_file}: weights of the model are NaN or infinite after the training: "
            f"{', '.join(found[:_NAMED])}{more}; lower the learning rate, or look for NaN in the transformed features, "
            "which the report of transform counts"
        )
