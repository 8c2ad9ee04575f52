"""Looks at the weights of the SavedModel that a training wrote, whatever wrote it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import trackable_object_graph_pb2

from components.runtime.errors import InputError

_NAMED = 3


def check_finite(saved_model: Path, module_file: str, not_finite: str = "") -> None:
    """Looks for NaN and infinity in the weights of a SavedModel.

    Args:
      saved_model: its folder.
      module_file: what it was made by, for the message.
      not_finite: the transformed features of which values are not finite, in words; empty where all are.

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
        # (On some processors relu makes 0 of NaN, so that the loss does not show it.)
        cause = (
            f"transformed features are not finite: {not_finite}"
            if not_finite
            else "lower the learning rate or check the features"
        )
        raise InputError(
            f"{module_file}: weights of the model are NaN or infinite after the training: "
            f"{', '.join(found[:_NAMED])}{more}; {cause}"
        )
