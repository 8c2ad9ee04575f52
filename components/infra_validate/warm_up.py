"""Warm-up requests: what a server asks a version before it serves it, as TensorFlow Serving reads them.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tensorflow_serving.apis import prediction_log_pb2

from components.infra_validate.asking import request
from components.infra_validate.requests import Question
from components.runtime.data import tfrecord


def write_warm_up(file: Path, model: str, questions: Sequence[Question], rows: int) -> None:
    """Writes a request of one row for each of the first rows, by every signature, and one of all of these at once.

    Args:
      file: to write; TFRecord without compression, as servers expect it.
      model: the name that the requests carry.
      questions: from which they are made.
      rows: how many of them.
    """
    logs = []
    for question in questions:
        count = min(rows, question.count)
        pieces = [*((row, row + 1) for row in range(count)), (0, count)]
        for start, end in pieces:
            log = prediction_log_pb2.PredictionLog()
            given = {name: values[start:end] for name, values in question.given.items()}
            log.predict_log.request.CopyFrom(request(model, question.signature, given))
            logs.append(log.SerializeToString(deterministic=True))
    tfrecord.write(file, logs, gzip=False)
