"""What `training` makes of the transformed examples: arguments of `fit`, values of a feature, class weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.data import examples, tfrecord
from components.runtime.module_file import training
from components.runtime.module_file.fn_args import FnArgs

SCHEMA = """
feature { name: "size_xf" type: FLOAT presence { min_fraction: 1 } shape {} }
feature { name: "label_xf" type: INT presence { min_fraction: 1 } shape {} }
feature { name: "text_xf" type: BYTES presence { min_fraction: 1 } shape {} }
"""


@pytest.fixture
def given(tmp_path: Path) -> tuple[FnArgs, tft.TFTransformOutput]:
    """25 rows in two files of train, 7 in eval; the sizes number them."""
    rows = [{"size_xf": float(row), "label_xf": row % 5 // 4, "text_xf": f"word {row}"} for row in range(32)]
    for name, part in (("train-0", rows[:20]), ("train-1", rows[20:25]), ("eval-0", rows[25:])):
        tfrecord.write(tmp_path / f"{name}.gz", [examples.encode(row) for row in part])
    metadata = tmp_path / "graph" / "transformed_metadata"
    metadata.mkdir(parents=True)
    schema = text_format.Parse(SCHEMA, schema_pb2.Schema())
    (metadata / "schema.pbtxt").write_text(text_format.MessageToString(schema))
    fn_args = FnArgs(
        train_files=[f"{tmp_path}/train-*"], eval_files=[f"{tmp_path}/eval-*"], train_steps=12, eval_steps=None
    )
    return fn_args, tft.TFTransformOutput(str(tmp_path / "graph"))


def test_values_are_those_of_the_split_train(given: tuple[FnArgs, tft.TFTransformOutput]) -> None:
    assert sorted(training.train_values(*given, "size_xf").tolist()) == list(range(25))
    assert training.train_values(*given, "text_xf").tolist()[0].startswith(b"word ")
    assert training.train_values(*given, "label_xf", rows=10).shape == (10,)
    beside = training.train_values(*given, ["label_xf", "size_xf"], rows=10)
    assert beside.shape == (10, 2)
    assert beside[:, 1].tolist() == training.train_values(*given, "size_xf", rows=10).tolist()


def test_fit_gets_train_over_and_over_and_the_whole_of_eval(given: tuple[FnArgs, tft.TFTransformOutput]) -> None:
    arguments = training.fit_arguments(*given, "label_xf", batch_size=4, epochs=5)
    assert (arguments["epochs"], arguments["steps_per_epoch"], arguments["shuffle"]) == (4, 3, False)
    seen = np.concatenate([rows["size_xf"].numpy() for rows, _ in arguments["x"].take(25)])
    assert np.unique(seen, return_counts=True)[1].tolist() == [4] * 25
    assert seen[:25].tolist() != sorted(seen[:25].tolist())
    batches = list(arguments["validation_data"])
    assert [len(label) for _, label in batches] == [4, 3]
    assert "label_xf" not in batches[0][0]


def test_so_many_steps_of_eval_as_are_asked_for(given: tuple[FnArgs, tft.TFTransformOutput]) -> None:
    given[0].eval_steps = 1
    assert len(list(training.fit_arguments(*given, "label_xf", batch_size=4, epochs=1)["validation_data"])) == 1


def test_class_weights_make_classes_count_alike() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [2])
    weights = training.class_weights(labels, 3)
    assert weights[1] / weights[0] == pytest.approx(2)
    assert weights[2] / weights[0] == pytest.approx(6)
    assert np.array(weights)[labels].mean() == pytest.approx(1)


def test_neither_a_single_row_nor_a_class_without_any_weighs_more_than_ten() -> None:
    weights = training.class_weights(np.array([0] * 1000 + [1]), 3)
    assert [weights[1] / weights[0], weights[2] / weights[0]] == pytest.approx([10, 10])
