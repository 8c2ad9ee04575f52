"""Warm-up requests of a version: answered before any other, so that no client waits for what the first one costs.

As TensorFlow Serving has them: PredictionLogs in a TFRecord file inside the version.
https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import message
from tensorflow_serving.apis import prediction_log_pb2

from components.runtime.publish.serving import WARM_UP
from model_server.errors import RequestError
from model_server.saved_model import SavedModel

Arrays = Mapping[str, np.ndarray[Any, Any]]

_MOST = 1000


def replay(model: SavedModel, folder: Path) -> int:
    """Answers the warm-up requests of a version.

    Returns:
      how many there are; at most the first thousand, as in TensorFlow Serving.

    Raises:
      RequestError: the model refuses one; a model that does so is not served.
      ValueError: the file holds something else.
    """
    count = 0
    for signature, given, outputs in _requests(folder):
        model.run(model.signature(signature), given, outputs)
        count += 1
    return count


def examples(model: SavedModel, folder: Path, most: int) -> list[Arrays]:
    """Rows among the warm-up requests of the signature `serving_default`.

    Args:
      model: of the folder.
      folder: of the version.
      most: so many rows.

    Returns:
      values by input, each a row of one; none where the file is not there or cannot be read any more.
    """
    signature = model.signature("")
    found: list[Arrays] = []
    with contextlib.suppress(ValueError, RequestError):
        for name, given, _ in _requests(folder):
            if name not in ("", signature.name):
                continue
            arrays = signature.arrays(given)
            if all(array.ndim and len(array) == 1 for array in arrays.values()):
                found.append(arrays)
            if len(found) == most:
                break
    return found


def _requests(folder: Path) -> Iterator[tuple[str, Arrays, tuple[str, ...]]]:
    file = folder / WARM_UP
    if not file.is_file():
        return
    try:
        for record in tf.data.TFRecordDataset(str(file)).take(_MOST).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") == "predict_log":
                request = log.predict_log.request
                given = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
                yield request.model_spec.signature_name, given, tuple(request.output_filter)
    except (tf.errors.OpError, message.DecodeError, ValueError) as error:
        raise ValueError(f"{WARM_UP}: {str(error).splitlines()[0]}") from None
