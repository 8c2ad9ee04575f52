"""A whole run over columns whose names are no names of Python, of which some differ in nothing else."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from tests.e2e.conftest import run

NAMES = ["sepal length (cm)", "od280/od315", "a-b", "a_b", "A_b", "_id", "class", "größe", "2nd", 'quo"te', "dot.ted"]
NAMES += ["co:lon", "x,y", "<i>", "inputs", "self", "training", "examples", "outputs"]

FILES = {
    "settings.yaml": "pipeline_name: names\ntrain: {train_steps: 1}\n",
    "preprocessing.py": """
def preprocessing_fn(inputs):
    return {f"{name}_xf": values[:, 0] for name, values in inputs.items() if name != "kind/of (thing)"}
""",
    "model.py": """
import keras
import tensorflow_transform as tft
from components.runtime import signatures

def run_fn(fn_args):
    graph = tft.TFTransformOutput(fn_args.transform_output)
    names = sorted(graph.transformed_feature_spec().keys() - {"y_xf"})
    inputs = {name: keras.Input((), name=name.replace("/", "_")) for name in names}
    row = keras.ops.stack(list(inputs.values()), axis=-1)
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(row)[:, 0])
    signatures.export(model, graph, fn_args.serving_model_dir, labels=["y", "kind/of (thing)"])
""",
    "evaluation.pbtxt": """
model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" label_key: "y_xf" }
slicing_specs {}
slicing_specs { feature_keys: "kind/of (thing)" }
metrics_specs { metrics { class_name: "ExampleCount" } metrics { class_name: "BinaryAccuracy" } }
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("beam", [False, True])
def test_every_stage_takes_any_name(tmp_path: Path, beam: bool) -> None:
    model, data = tmp_path / "names", tmp_path / "data"
    model.mkdir()
    data.mkdir()
    for name, text in FILES.items():
        (model / name).write_text(text)
    if beam:
        with (model / "settings.yaml").open("a") as settings:
            settings.write("evaluate: {beam_options: [--runner=FnApiRunner]}\n")
    with (data / "data.csv").open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([*NAMES, "kind/of (thing)", "y"])
        for row in range(60):
            writer.writerow(
                [*(f"0.{(7 * row + 13 * column) % 97}5" for column in range(len(NAMES))), "ab"[row % 2], row % 2]
            )
    done = run(tmp_path / "root", str(model), "--data", str(data))
    assert done.exit_code == 0, done.output
    assert done.metadata("evaluate", "evaluation")["slices"] == 3
    assert (tmp_path / "root" / "serving" / "names" / "1" / "saved_model.pb").is_file()
