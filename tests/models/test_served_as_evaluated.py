"""What a pushed model answers is what was evaluated: no skew between training, evaluation and serving.

A model joins with an entry in `CASES`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.push.push import push
from components.runtime.evaluation.computation import batches, slicing
from components.runtime.evaluation.configuration.reading import read_config
from components.runtime.stage.executor import Execution
from tests.components.train import training_support as support
from tests.components.train.training_support import Prepared
from tests.models.served_support import ask, plain_columns, serve
from tests.support import ROOT, executor_input

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5


@dataclass(frozen=True)
class Case:
    """A model of the project.

    Attributes:
      name: of its folder.
      prepared: makes the input of train from real data.
      plain: makes what `serving_default` takes of tf.Examples, for the names and types of its inputs.
      custom_config: of train.
      rows: how many of the held-out rows are asked for.
    """

    name: str
    prepared: Callable[[], Prepared]
    plain: Callable[[list[bytes], dict[str, tf.DType]], dict[str, np.ndarray]] = plain_columns
    custom_config: dict[str, Any] = field(default_factory=dict)
    rows: int = 10_000


CASES = [Case("taxi", support.taxi), Case("digits", support.digits)]


@pytest.fixture(scope="module", params=CASES, ids=["taxi", "digits"])
def case(request: pytest.FixtureRequest) -> Case:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def pushed(case: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a version: a model after a few steps, pushed as a blessed one is."""
    folder, destination = tmp_path_factory.mktemp(case.name), tmp_path_factory.mktemp(f"{case.name}-serving")
    module_file = ROOT / "models" / case.name / "model.py"
    support.run_train(folder, case.prepared(), module_file, train_steps=20, custom_config=case.custom_config)
    blessing = folder / "blessing"
    blessing.mkdir()
    (blessing / "BLESSED").touch()
    (blessing / "blessing.json").write_text(json.dumps({"blessed": True, "reason": "for the test"}))
    call = executor_input(
        folder / "push",
        parameters={"destination": str(destination)},
        inputs={"model": folder / "model", "blessing": blessing},
        outputs=["pushed_model"],
        output_parameters=["version"],
    )
    Execution.parse("push", call).run(push)
    return destination / "1"


@pytest.fixture(scope="module")
def evaluated(case: Case, pushed: Path) -> np.ndarray:
    """Predictions of the held-out rows as evaluate computes them, in the order of the files; [rows, ...]."""
    prepared = case.prepared()
    config = read_config(str(ROOT / "models" / case.name / "evaluation.pbtxt"))
    schema = text_format.Parse((prepared.schema / "schema.pbtxt").read_text(), schema_pb2.Schema())
    files = sorted(str(file) for file in (prepared.examples / "Split-eval").glob("*.gz"))
    models = {"": batches.Model(pushed, config.model_specs[0])}
    found = batches.read(files, models, slicing.Slicer(config, schema))
    return np.concatenate([batch.predictions[""] for batch in found])


def test_served_answers_are_the_evaluated_ones(case: Case, pushed: Path, evaluated: np.ndarray, tmp_path: Path) -> None:
    records = case.prepared().records("eval")
    assert len(evaluated) == len(records) > 100
    records = records[: case.rows]
    signature = tf.saved_model.load(str(pushed)).signatures["serving_default"].structured_input_signature[1]
    plain = case.plain(records, {name: spec.dtype for name, spec in signature.items()})
    answers = ask(tmp_path, pushed, plain, records)
    types = {name: spec.dtype.as_numpy_dtype for name, spec in signature.items()}
    answers["server"] = serve(pushed, {name: plain[name].astype(types[name]) for name in types})["outputs"]
    expected = evaluated[: len(records)]
    for form in ("plain", "raw", "server"):
        served = answers[form].reshape(expected.shape)
        np.testing.assert_allclose(served, expected, rtol=0, atol=TOLERANCE, err_msg=f"{case.name}, {form}")
    assert np.ptp(expected) > 100 * TOLERANCE, "rows that all get the same answer show nothing"


def test_a_row_is_answered_alike_alone_and_among_others(case: Case, pushed: Path, evaluated: np.ndarray) -> None:
    loaded = tf.saved_model.load(str(pushed)).signatures["from_examples"]
    for number, record in enumerate(case.prepared().records("eval")[:5]):
        alone = loaded(examples=tf.constant([record]))["outputs"].numpy()
        np.testing.assert_allclose(alone.reshape(evaluated[number].shape), evaluated[number], rtol=0, atol=TOLERANCE)
