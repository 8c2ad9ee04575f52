"""Tries metrics on a few examples before all are read: what does not fit is told at once, with the metric's name.

The examples go through TFMA's computations as in its Beam pipeline, without Beam: one by one, and the result is read by
other instances than those that added up, as from another process. A message never holds a value of an example.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis import constants
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2
from tensorflow_model_analysis.slicer import slicer_lib
from tensorflow_model_analysis.utils import util
from tensorflow_model_analysis.utils.keras_lib import tf_keras

from components.runtime.errors import STEP, InputError, StageError
from components.runtime.evaluation.computation import tfma_private
from components.runtime.evaluation.computation.combine import Rows
from components.runtime.evaluation.computation.results import candidate_name
from components.runtime.evaluation.configuration.names import THE_BASELINE

ROWS = 32
"""Enough for shapes, kinds and most values; few enough for metrics that take milliseconds an example."""

_NOISE = re.compile(
    rf"\{{\{{.*?\}}\}}|\[\[.*?\]\]|\[Op:\w*\](?: name:.*)?|{STEP}|"
    r"Name: <unknown>,|, Index: \d+(?=\.)|<[^<>]*>"
)
"""Names of nodes, operations and objects."""

_BEFORE_THE_CAUSE = ("Detected at", "Graph execution error")
_VALUES_OF_CODE = re.compile(r":(?=\s|$)(?!\s+')")
_VALUES_FOLLOW = re.compile(r"(?<!Key)(?<!Feature)(?<!type)(?<!size)(?<!shape):(?=\s|$)|\binputs:")
_LITERAL = re.compile(
    r"""
    (?P<kept>
      (?:Key|Feature):\ .+?(?=[,.]\ |[,.]?$|\ \(data)       # the name of a feature
      | shapes?[:=]?\s*[\[(][\d,\ ?-]*[\])] | \(\d+(?:,\ ?\d+)*,?\) | dim\[\d+\] | dimension\ of\ \d+
      | \[0,\ 1\] | \[\d+,\ \d+\) | >\ 1\b               # a range
      | \d+(?:\ to\ \d+)?\ (?:required|positional|were|was|values)\b | \bat\ \d+
    )
    | (?<!\w)b?(?P<quote>['"])(?P<quoted>.*?)(?P=quote)(?!\w)
    | \w*\(\[.* | \[.*\]
    | (?<!\w)[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:e[-+]?\d+)?(?!\w)
    """,
    re.VERBOSE,
)
_KEYS = {value for name, value in vars(constants).items() if name.endswith("_KEY")}


def check(file: str, config: config_pb2.EvalConfig, rows: dict[str, Rows], schema: schema_pb2.Schema) -> None:
    """Tries each metric by itself.

    Args:
      file: the configuration's, for the message.
      config: as `configuration.reading.with_baseline` leaves it.
      rows: labels and predictions of some examples, by model.
      schema: of the raw examples.

    Raises:
      InputError: a metric does not take them.
    """
    for name, alone in _each(config):
        try:
            _check_shapes(alone.metrics_specs[0], rows)
            measure(alone, extracts(rows), schema)
        except StageError:
            raise
        except Exception as error:
            raise InputError(
                f"{file}: metric {name!r} does not fit the model: {_told(rows)} ({reason(error)}); "
                "docs/metrics.md says which metric suits which task"
            ) from None


def measure(
    config: config_pb2.EvalConfig, examples: Iterable[Any], schema: schema_pb2.Schema | None = None
) -> dict[Any, Any]:
    """Metrics over examples, each TFMA's extracts, as its pipeline computes them.

    Raises:
      Exception: whatever the metrics raise.
    """
    computations = tfma_private.computations(config, schema).non_derived_computations
    preprocessor = tfma_private.Preprocessor(computations)
    preprocessor.setup()
    adding = tfma_private.Computations(computations)
    adding.setup()
    total = adding.create_accumulator()
    for example in examples:
        for element in preprocessor.process(example):
            total = adding.add_input(total, element)
    total = adding.compact(total)
    separated = tfma_private.computations(config, schema)
    reading = tfma_private.Computations(separated.non_derived_computations)
    reading.setup()
    values = reading.extract_output(total)
    for computation in separated.derived_computations:
        values |= computation.result(values)
    return tfma_private.public(values)


def reason(error: BaseException) -> str:
    """What an error comes from, in one line without the values of examples that messages of libraries hold.

    Left of a message are its words, shapes, ranges and what Python says of code: any other number, text in quotes or
    brackets, and all that follows a colon might be a value.
    """
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line.strip() for line in _NOISE.sub("", str(error)).splitlines()]
    # TensorFlow names the function that failed before it says why.
    told = next((line for line in lines if line and not line.startswith(_BEFORE_THE_CAUSE)), "")
    of_code = isinstance(error, TypeError | AttributeError)
    sentences: list[str] = []
    for sentence in re.split(r"(?<=[\w)\]])\.\s+", told):
        words = (_VALUES_OF_CODE if of_code else _VALUES_FOLLOW).split(sentence)
        if len(words) == 1 or not sentences:
            sentences.append(words[0])
        if len(words) > 1:
            break
    masked = _LITERAL.sub(lambda found: found[0] if _is_kept(found, of_code) else "…", ". ".join(sentences))
    return textwrap.shorten(masked.strip(" :,."), 200, placeholder=" …") or type(error).__name__


def _is_kept(found: re.Match[str], of_code: bool) -> bool:
    """Whether a literal of a message is no value of an example."""
    if found["kept"]:
        return True
    quoted = found["quoted"]
    return quoted is not None and (quoted in _KEYS or (of_code and all(map(str.isidentifier, quoted.split(".")))))


def _check_shapes(spec: config_pb2.MetricsSpec, rows: dict[str, Rows]) -> None:
    """NumPy would spread one class number over all scores, and some number come out of it."""
    name = spec.metrics[0].class_name
    if name.startswith("Sparse") or spec.HasField("binarize") or spec.HasField("aggregate"):
        return
    compares = name == "CategoricalCrossEntropy" or (
        not metric_types.is_registered_metric(name) and hasattr(tf_keras.metrics, name)
    )
    for labels, predictions in rows.values():
        if compares and labels.shape[1:] == (1,) and predictions.shape[1:] not in ((1,), ()):
            raise ValueError("it compares labels and predictions one to one; use its Sparse form, or one-hot labels")


def _each(config: config_pb2.EvalConfig) -> Iterator[tuple[str, config_pb2.EvalConfig]]:
    """The configuration with each of its metrics alone; those of queries are left out, which need features."""
    for spec in config.metrics_specs:
        for metric in spec.metrics if not spec.query_key else ():
            alone = config_pb2.EvalConfig()
            alone.CopyFrom(config)
            del alone.metrics_specs[:]
            added = alone.metrics_specs.add()
            added.CopyFrom(spec)
            del added.metrics[:]
            added.metrics.append(metric)
            yield metric.class_name, alone


def extracts(rows: dict[str, Rows]) -> Iterator[util.StandardExtracts]:
    """The examples of a batch as TFMA's pipeline hands them on, without features."""
    single = next(iter(rows.values())) if len(rows) == 1 else None
    count = len(next(iter(rows.values()))[0])
    for index in range(count):
        labels: Any = {name: pair[0][index] for name, pair in rows.items()} if single is None else single[0][index]
        predictions: Any = {name: pair[1][index] for name, pair in rows.items()} if single is None else single[1][index]
        yield util.StandardExtracts(
            {
                constants.LABELS_KEY: labels,
                constants.PREDICTIONS_KEY: predictions,
                constants.SLICE_KEY_TYPES_KEY: slicer_lib.slice_keys_to_numpy_array([()]),
            }
        )


def _told(rows: dict[str, Rows]) -> str:
    """What labels and predictions look like; of the baseline too where it has others than the candidate."""
    kinds = {name: f"labels are {_shown(pair[0])}, predictions {_shown(pair[1])}" for name, pair in rows.items()}
    candidate, baseline = kinds[candidate_name(rows)], kinds.get(constants.BASELINE_KEY)
    return candidate if baseline in (None, candidate) else f"{candidate}; of {THE_BASELINE}, {baseline}"


def _shown(array: np.ndarray) -> str:
    kinds = {"f": "floats", "i": "integers", "u": "integers", "b": "truth values"}
    return f"{kinds.get(array.dtype.kind, 'text')} of shape {list(array.shape[1:])}"
