"""A model's own tests try its code on a few rows: what its preprocessing makes of them, what the export answers."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime import InputError, trial

SCHEMA = """
feature { name: "x" type: FLOAT presence { min_count: 1 } }
feature { name: "y" type: INT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
"""
PREPROCESSING = """
import tensorflow_transform as tft
from components.runtime import columns
def preprocessing_fn(inputs):
    return {"x_xf": tft.scale_to_0_1(columns.number(inputs["x"])), "y_xf": columns.integer(inputs["y"])}
"""
MODEL = """
import keras
import tensorflow_transform as tft
from components.runtime import signatures
def run_fn(fn_args):
    x = keras.Input((), name="x_xf")
    model = keras.Model(x, keras.layers.Rescaling(fn_args.custom_config["factor"], name="times")(x))
    output = tft.TFTransformOutput(fn_args.transform_output)
    signatures.export(model, output, fn_args.serving_model_dir, labels=["y"])
"""


def test_preprocessing_learns_from_all_rows_and_the_export_answers_without_labels(tmp_path: Path) -> None:
    for name, text in {"schema.pbtxt": SCHEMA, "preprocessing.py": PREPROCESSING, "model.py": MODEL}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "out").mkdir()
    rows = [{"x": 2.0, "y": 1}, {"x": 4.0, "y": 0}, {"x": None, "y": 5}]
    tried = trial.run(tmp_path, rows, tmp_path / "out", factor=10)
    assert [(row["x_xf"], row["y_xf"]) for row in tried.transformed] == [(0.5, 1), (1, 0), (0, 5)]
    assert tried.answers([{"x": 3.0}, {}]).tolist() == [7.5, 0]
    (tmp_path / "preprocessing.py").write_text(PREPROCESSING.replace('inputs["x"]', 'inputs["z"]'))
    (tmp_path / "again").mkdir()
    with pytest.raises(InputError, match=r"preprocessing.py:5: KeyError"):
        trial.run(tmp_path, rows, tmp_path / "again", factor=10)
