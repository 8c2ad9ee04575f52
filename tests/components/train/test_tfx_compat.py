"""Module files written for TFX run unchanged."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from components.runtime.errors import InputError
from components.runtime.module_file import loading, tfx_compat
from components.runtime.module_file.fn_args import DataAccessor, FnArgs
from tests.components.train import training_support as support

IMPORTS = """
from tfx import v1 as tfx
from tfx.components.trainer.fn_args_utils import FnArgs, DataAccessor
from tfx.components.trainer.executor import TrainerFnArgs
from tfx.components.tuner.component import TunerFnResult
from tfx.dsl.io import fileio
from tfx.utils import io_utils
from tfx_bsl.public import tfxio
import tfx.v1.components as v1_components

def names():
    assert tfx.components.TunerFnResult is TunerFnResult
    assert tfx.components.FnArgs is FnArgs is TrainerFnArgs is v1_components.FnArgs
    return FnArgs, DataAccessor, TunerFnResult(tuner=1, fit_kwargs={})

def read(path, message):
    assert fileio.exists(path) and fileio.open(path).read()
    return tfx.utils.parse_pbtxt_file(path, message), io_utils.parse_pbtxt_file(path, type(message)())

def unknown():
    return tfx.dsl.Pipeline
"""


@pytest.fixture
def imports(tmp_path: Path) -> str:
    file = tmp_path / "imports.py"
    file.write_text(IMPORTS)
    return str(file)


def test_usual_imports(imports: str) -> None:
    fn_args, accessor, result = loading.call(loading.load_function(imports, "names"))
    assert (fn_args, accessor) == (FnArgs, DataAccessor)
    assert (result.tuner, result.fit_kwargs) == (1, {})


def test_files_and_protos(imports: str, tmp_path: Path) -> None:
    from tensorflow_metadata.proto.v0 import schema_pb2

    (tmp_path / "schema.pbtxt").write_text('feature { name: "fare" }')
    read = loading.load_function(imports, "read")
    for schema in loading.call(read, str(tmp_path / "schema.pbtxt"), schema_pb2.Schema()):
        assert [feature.name for feature in schema.feature] == ["fare"]


def test_what_is_not_provided_says_so(imports: str) -> None:
    with pytest.raises(InputError, match=r"imports.py:\d+: AttributeError: tfx.v1.dsl has no 'Pipeline' here"):
        loading.call(loading.load_function(imports, "unknown"))


def test_modules_of_tfx_that_are_not_provided(tmp_path: Path) -> None:
    file = tmp_path / "other.py"
    file.write_text("from tfx.orchestration import pipeline\ndef run_fn(fn_args): ...\n")
    with pytest.raises(InputError, match=r"other.py:1: ModuleNotFoundError: No module named 'tfx.orchestration'"):
        loading.load_function(str(file), "run_fn")


def test_the_real_package_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "tfx").mkdir()
    (tmp_path / "tfx" / "__init__.py").write_text("REAL = True\n")
    code = "from components.runtime.module_file import tfx_compat; tfx_compat.install(); import tfx; print(tfx.REAL)"
    environment = {"PYTHONPATH": f"{tmp_path}:{support.ROOT}"}
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert result.stdout == "True\n"


def test_installing_twice_changes_nothing() -> None:
    tfx_compat.install()
    before = sys.modules["tfx"]
    tfx_compat.install()
    assert sys.modules["tfx"] is before


@pytest.mark.slow
def test_template_module_is_transformed_trained_and_served(tmp_path: Path) -> None:
    assert "components" not in support.TFX_MODULE.read_text().replace("tfx.components", "")
    prepared = support.tfx_style()
    metadata = support.run_train(tmp_path / "out", prepared, support.TFX_MODULE, train_steps=60, eval_steps=3)
    assert metadata["model"]["signatures"] == ["serving_default"]
    assert metadata["model"]["steps"] == 60
    assert metadata["metrics"]["eval_binary_accuracy"] > 0.8
    assert list((tmp_path / "out" / "model_run" / "train").glob("events.*"))
    model = tf.saved_model.load(str(tmp_path / "out" / "model" / "Format-Serving"))
    answers = model.signatures["serving_default"](examples=tf.constant(prepared.records("eval")))["outputs"].numpy()
    assert answers.shape == (len(prepared.records("eval")), 1)
    assert ((answers >= 0) & (answers <= 1)).all()
    assert answers.std() > 0.05
    assert json.dumps(metadata["metrics"])
