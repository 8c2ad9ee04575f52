"""Warm-up requests of a version: answered before any other, so that no client waits for what the first one costs.

As TensorFlow Serving has them: PredictionLogs in a TFRecord file inside the version.
https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from components.runtime.publish.serving import WARM_UP
from model_server.saved_model import SavedModel

_MOST = 1000


def replay(model: SavedModel, folder: Path) -> int:
    """Answers the warm-up requests of a version.

    Returns:
      how many there are; at most the first thousand, as in TensorFlow Serving.

    Raises:
      RequestError: the model refuses one; a model that does so is not served.
      ValueError: the file holds something else.
    """
    file = folder / WARM_UP
    if not file.is_file():
        return 0
    count = 0
    try:
        for record in tf.data.TFRecordDataset(str(file)).take(_MOST).as_numpy_iterator():
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.WhichOneof("log_type") != "predict_log":
                continue
            request = log.predict_log.request
            given = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
            model.run(model.signature(request.model_spec.signature_name), given, tuple(request.output_filter))
            count += 1
    except (tf.errors.OpError, ValueError) as error:
        raise ValueError(f"{WARM_UP}: {str(error).splitlines()[0]}") from None
    return count
