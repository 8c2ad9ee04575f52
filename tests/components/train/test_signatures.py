"""What a model serves: the same answers by every way in, in a process that knows nothing of how it was made."""

from __future__ import annotations

import base64
import inspect
import json
import re
import runpy
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.runtime.errors import InputError
from components.runtime.module_file import predictions, signatures
from tests.components.train import training_support as support
from tests.models.served_support import serve
from tests.support import ROOT

SCHEMA = """
feature { name: "required" type: FLOAT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
feature { name: "optional" type: FLOAT value_count { min: 1 max: 1 } }
feature { name: "count" type: INT value_count { min: 1 max: 1 } }
feature { name: "word" type: BYTES value_count { min: 1 max: 1 } }
feature { name: "words" type: BYTES value_count { min: 1 } }
feature { name: "pair" type: INT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 2 } } }
feature { name: "unused" type: FLOAT value_count { min: 1 max: 1 } }
feature { name: "target" type: INT presence { min_fraction: 1 min_count: 1 } shape { dim { size: 1 } } }
"""

PREPROCESSING = """
import tensorflow as tf
import tensorflow_transform as tft

def filled(x, default):
    return tf.squeeze(tf.sparse.to_dense(tf.SparseTensor(x.indices, x.values, [x.dense_shape[0], 1]), default), 1)

def preprocessing_fn(inputs):
    count = filled(inputs["count"], -1)
    lengths = tf.strings.length(inputs["words"].values)
    lengths = tf.SparseTensor(inputs["words"].indices, lengths, inputs["words"].dense_shape)
    words = tf.cast(tf.sparse.reduce_sum(lengths, 1), tf.float32)
    # The column of a value within its row counts as well.
    columns = tf.math.unsorted_segment_sum(
        inputs["words"].indices[:, 1], inputs["words"].indices[:, 0], inputs["words"].dense_shape[0])
    return {
        "required_xf": tft.scale_to_z_score(tf.squeeze(inputs["required"], 1)),
        "optional_xf": filled(inputs["optional"], -5.0),
        "count_xf": tf.cast(count, tf.float32),
        "word_xf": tf.cast(tf.strings.length(filled(inputs["word"], "missing")), tf.float32),
        "words_xf": tf.reshape(words + 0.5 * tf.cast(columns, tf.float32), [-1]),
        "width_xf": tf.cast(tf.fill(tf.shape(count), tf.shape(inputs["optional"])[1]), tf.float32),
        "pair_xf": tf.cast(inputs["pair"], tf.float32),
        "target_xf": tf.squeeze(inputs["target"], 1),
        "leak_xf": tf.cast(tf.squeeze(inputs["target"], 1), tf.float32),
        "words_sparse_xf": inputs["words"],
    }
"""

ROWS: list[dict[str, list[Any]]] = [
    {"required": [1.5], "optional": [2.0], "count": [3], "word": ["abc"], "words": ["a", "bcd"]}
    | {"pair": [1, 2], "target": [0]},
    {"required": [-2.0], "pair": [0, -7], "target": [1]},
    {"required": [0.0], "optional": [0.0], "count": [0], "word": ["ü"], "words": ["xyz"]}
    | {"pair": [5, 5], "target": [1]},
    {"required": [9.0], "count": [-4], "words": ["one", "two", "three"], "pair": [9, 9]}
    | {"unused": [1.0], "target": [0]},
]

ASK = """
import json, sys
import numpy as np
import tensorflow as tf
path, to = sys.argv[1:]
model = tf.saved_model.load(path)
given = np.load(to + "/given.npz", allow_pickle=True)
examples = tf.constant(list(given["examples"]))
plain = {name: tf.constant(json.loads(str(given["plain"]))[name], spec.dtype)
         for name, spec in model.signatures["serving_default"].structured_input_signature[1].items()}
answers = {
    "plain": model.signatures["serving_default"](**plain)["outputs"],
    "raw": model.signatures["from_examples"](examples=examples)["outputs"],
}
transformed = model.signatures["transform_features"](examples=tf.constant(list(given["labelled"])))
np.savez(to + "/answers.npz", **answers, **{"t:" + k: v for k, v in transformed.items()})
print(sorted(model.signatures), "tensorflow_transform" in sys.modules, "keras" in sys.modules)
"""


def example(row: dict[str, list[Any]], *, without: tuple[str, ...] = ()) -> bytes:
    result = tf.train.Example()
    for name, values in row.items():
        if name in without:
            continue
        feature = result.features.feature[name]
        if isinstance(values[0], str):
            feature.bytes_list.value.extend(value.encode() for value in values)
        elif isinstance(values[0], int):
            feature.int64_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return result.SerializeToString()


def ask(
    folder: Path, serving: Path, labelled: list[bytes], unlabelled: list[bytes], plain: dict[str, Any]
) -> dict[str, Any]:
    """Loads the model in a fresh process and asks it by all three signatures."""
    np.savez(
        folder / "given.npz",
        examples=np.array(unlabelled, object),
        labelled=np.array(labelled, object),
        plain=np.array(json.dumps(plain)),
    )
    command = [sys.executable, "-c", ASK, str(serving), str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("['from_examples', 'serving_default', 'transform_features'] False")
    return dict(np.load(folder / "answers.npz", allow_pickle=True))


@pytest.fixture(scope="module")
def every_kind(tmp_path_factory: pytest.TempPathFactory) -> tft.TFTransformOutput:
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "kinds_preprocessing.py").write_text(PREPROCESSING)
    records = [example(row | {"required": [row["required"][0] + shift]}) for shift in range(8) for row in ROWS]
    prepared = support.prepare(folder / "data", records, SCHEMA, folder / "kinds_preprocessing.py", {})
    return tft.TFTransformOutput(str(prepared.transform_graph))


def linear(names: list[str], pairs: tuple[str, ...] = ()) -> keras.Model:
    inputs = {name: keras.Input((2,) if name in pairs else (), name=name) for name in names}
    flat = [keras.ops.reshape(tensor, (-1, 2 if name in pairs else 1)) for name, tensor in inputs.items()]
    dense = keras.layers.Dense(1, kernel_initializer=keras.initializers.RandomNormal(seed=1))
    return keras.Model(inputs, dense(keras.ops.concatenate(flat, -1)))


def test_every_kind_of_feature_by_every_way(tmp_path: Path, every_kind: tft.TFTransformOutput) -> None:
    names = ["required_xf", "optional_xf", "count_xf", "word_xf", "words_xf", "width_xf", "pair_xf"]
    model = linear(names, ("pair_xf",))
    serving = tmp_path / "model"
    signatures.export(model, every_kind, str(serving), labels=["target"])
    smallest = int(np.iinfo(np.int64).min)
    plain = {
        "required": [1.5, -2.0, 0.0, 9.0],
        "optional": [2.0, float("nan"), 0.0, float("nan")],
        "count": [3, smallest, 0, -4],
        "word": ["abc", "", "ü", ""],
        "words": [["a", "bcd", ""], ["", "", ""], ["", "xyz", ""], ["one", "two", "three"]],
        "pair": [[1, 2], [0, -7], [5, 5], [9, 9]],
        "unused": [float("nan")] * 3 + [1.0],
    }
    labelled = [example(row) for row in ROWS]
    got = ask(tmp_path, serving, labelled, [example(row, without=("target",)) for row in ROWS], plain)
    np.testing.assert_array_equal(got["plain"], got["raw"])
    transformed = {name: tf.constant(got[f"t:{name}"]) for name in names}
    np.testing.assert_allclose(model(transformed).numpy(), got["raw"], rtol=1e-6)
    # What exports are made of where another format cannot hold the preprocessing; servers show no signature of it.
    loaded = tf.saved_model.load(str(serving))
    np.testing.assert_allclose(loaded.network(transformed).numpy(), got["raw"], rtol=1e-6)
    assert set(loaded.signatures) == {"serving_default", "from_examples", "transform_features"}
    assert len(set(got["raw"].ravel().tolist())) == 4
    assert got["t:target_xf"].tolist() == [0, 1, 1, 0]
    assert got["t:optional_xf"].tolist() == [2.0, -5.0, 0.0, -5.0]
    assert got["t:words_sparse_xf"].tolist()[3] == [b"one", b"two", b"three"]


def test_rows_as_a_person_gives_them_are_answered_like_examples(
    tmp_path: Path, every_kind: tft.TFTransformOutput
) -> None:
    names = ["required_xf", "optional_xf", "count_xf", "word_xf", "words_xf", "pair_xf"]
    signatures.export(linear(names, ("pair_xf",)), every_kind, str(tmp_path / "model"), labels=["target"])
    model = predictions.ExportedModel(str(tmp_path / "model"))
    raw = tf.saved_model.load(str(tmp_path / "model")).signatures["from_examples"]
    expected = raw(examples=tf.constant([example(row) for row in ROWS]))["outputs"].numpy()
    # The label is no input; one value stands alone or in a list; what is missing is None, NaN or left out.
    rows = [{name: value[0] if len(value) == 1 else value for name, value in row.items()} for row in ROWS]
    rows[1] |= {"optional": float("nan"), "count": None, "words": []}
    rows[3]["count"] = -4.0
    assert list(model.inputs) == ["count", "optional", "pair", "required", "unused", "word", "words"]
    np.testing.assert_allclose(model.predict(rows)["outputs"], expected, rtol=1e-6)
    request = json.dumps({"model": str(tmp_path / "model"), "rows": [{**rows[0], "word": {"base64": "YWJj"}}, rows[2]]})
    output = predictions.answer(json.loads(request))["outputs"]["outputs"]
    answered = np.frombuffer(base64.b64decode(output["base64"]), output["dtype"]).reshape(output["shape"])
    np.testing.assert_allclose(answered, expected[[0, 2]], rtol=1e-6)


def test_rows_that_a_model_does_not_take_are_refused_by_name(tmp_path: Path, every_kind: tft.TFTransformOutput) -> None:
    signatures.export(linear(["required_xf"]), every_kind, str(tmp_path), labels=["target"])
    model = predictions.ExportedModel(str(tmp_path))
    for row, said in (
        ({"required": "much"}, "row 1: required takes a number, not 'much'"),
        ({"required": {"a": 1}}, "row 1: required takes a number, not {'a': 1}"),
        ({"count": 1.5}, "row 1: count takes a whole number, not 1.5"),
        ({"count": 2**70}, "row 1: count takes int64, which"),
        ({"word": ["a", "b"]}, "row 1: word takes one value, not 2"),
        ({"pair": [1, 2, 3]}, "row 1: pair takes 2 values, not 3"),
    ):
        with pytest.raises(InputError, match=re.escape(said)):
            model.predict([ROWS[0], ROWS[0] | row])


def test_a_folder_without_a_model_and_a_model_of_tfx_idiom(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no SavedModel lies here"):
        predictions.ExportedModel(str(tmp_path))
    module = tf.Module()
    spec = {"fare": tf.io.FixedLenFeature([], tf.float32)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def serve_examples(examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"double": 2 * tf.io.parse_example(examples, spec)["fare"]}

    tf.saved_model.save(module, str(tmp_path / "tfx"), signatures={"serving_default": serve_examples})
    model = predictions.ExportedModel(str(tmp_path / "tfx"))
    assert not model.inputs
    assert model.predict([{"fare": 1.5}, {"fare": 4.0}])["double"].tolist() == [3.0, 8.0]
    with pytest.raises(InputError, match=r"the model refuses these rows: .*fare"):
        model.predict([{"miles": 1.5}])


def test_batch_without_any_value(tmp_path: Path, every_kind: tft.TFTransformOutput) -> None:
    model = linear(["optional_xf", "width_xf"])
    signatures.export(model, every_kind, str(tmp_path), labels=["target"])
    loaded = tf.saved_model.load(str(tmp_path))
    raw = loaded.signatures["from_examples"](examples=tf.constant([example(ROWS[1])]))["outputs"]
    plain = loaded.signatures["serving_default"](
        required=tf.constant([-2.0]),
        optional=tf.constant([float("nan")]),
        count=tf.constant([tf.int64.min]),
        word=tf.constant([""]),
        words=tf.constant([[""]]),
        pair=tf.constant([[0, -7]], tf.int64),
        unused=tf.constant([float("nan")]),
    )["outputs"]
    np.testing.assert_array_equal(raw, plain)


def test_served_model_is_without_optimiser(tmp_path: Path, every_kind: tft.TFTransformOutput) -> None:
    model = linear(["optional_xf"])
    model.compile("adam", "mse")
    model.fit({"optional_xf": np.ones(4, "float32")}, np.ones(4, "float32"), verbose=0)
    signatures.export(model, every_kind, str(tmp_path), labels=["target"])
    names = [name for name, _ in tf.train.list_variables(str(tmp_path / "variables" / "variables"))]
    assert not any("optimizer" in name for name in names), names


@pytest.mark.parametrize(
    ("names", "labels", "words"),
    [
        (["optional_xf"], ["tips"], "no feature 'tips' in the schema"),
        (["fare_xf"], ["target"], "the model's input 'fare_xf' is no transformed feature"),
        (["leak_xf"], ["target"], "the model's input 'leak_xf' is made from a label"),
    ],
)
def test_exports_that_cannot_serve(
    tmp_path: Path, every_kind: tft.TFTransformOutput, names: list[str], labels: list[str], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        signatures.export(linear(names), every_kind, str(tmp_path), labels=labels)


def test_transform_features_wants_the_label(tmp_path: Path, every_kind: tft.TFTransformOutput) -> None:
    signatures.export(linear(["optional_xf"]), every_kind, str(tmp_path), labels=["target"])
    transform = tf.saved_model.load(str(tmp_path)).signatures["transform_features"]
    with pytest.raises(tf.errors.InvalidArgumentError, match="target"):
        transform(examples=tf.constant([example(ROWS[0], without=("target",))]))


NAMES = [
    "sepal length (cm)", "od280/od315", "a-b", "a_b", "A_b", "a b", "a_b_1", "_id", "class", "None", "größe", "名前",
    "2nd", " blank ", 'quo"te', "apo's", "dot.ted", "co:lon", "back\\slash", "tab\tname", "x,y", "100%", "#", "<i>",
    "{b}", "x[0]",
    "inputs", "self", "training", "args", "kwargs", "name", "examples", "outputs",
]  # fmt: skip
"""What a CSV file's header may hold; some differ only in what a name of Python cannot have, or in their case."""

# Features come as keyword arguments, so a parameter of ours must not take one that is called like it.
NAMES += sorted(
    {
        parameter
        for function in vars(signatures).values()
        if inspect.isfunction(function)
        for parameter in inspect.signature(function).parameters
    }
    - set(NAMES)
)

NAMES_PREPROCESSING = """
import tensorflow as tf

def preprocessing_fn(inputs):
    dense = {name: tf.sparse.to_dense(values)[:, 0] for name, values in inputs.items()}
    outputs = {f"{name} xf": (1.0 + number) * dense[name] for number, name in enumerate(sorted(set(dense) - {"y"}))}
    return outputs | {"y xf": dense["y"]}
"""


@pytest.fixture(scope="module")
def any_name(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, list[Any]]], np.ndarray]:
    """A model of features of all these names, which sums them up with a weight each; rows, and their answers."""
    folder = tmp_path_factory.mktemp("names")
    (folder / "names_preprocessing.py").write_text(NAMES_PREPROCESSING)
    features = "".join(f"feature {{ name: {json.dumps(name)} type: FLOAT }}\n" for name in NAMES)
    values = np.random.default_rng(1).normal(size=(24, len(NAMES))).astype(np.float32)
    rows: list[dict[str, list[Any]]] = [
        {name: [float(value)] for name, value in zip(sorted(NAMES), row, strict=True)} | {"y": [number % 2]}
        for number, row in enumerate(values)
    ]
    schema = features + 'feature { name: "y" type: INT }'
    module = folder / "names_preprocessing.py"
    prepared = support.prepare(folder / "data", [example(row) for row in rows], schema, module, {})
    # Keras takes no name with a slash; the keys of the dict count.
    inputs = {f"{name} xf": keras.Input((), name=f"{name} xf".replace("/", " per ")) for name in NAMES}
    total = keras.layers.Dense(1, kernel_initializer="ones")(keras.ops.stack(list(inputs.values()), axis=-1))
    transform_output = tft.TFTransformOutput(str(prepared.transform_graph))
    signatures.export(keras.Model(inputs, total[:, 0]), transform_output, str(folder / "model"), labels=["y"])
    return folder / "model", rows, values @ np.arange(1.0, len(NAMES) + 1)


def test_a_server_is_asked_by_any_name(any_name: tuple[Path, list[dict[str, list[Any]]], np.ndarray]) -> None:
    model, rows, expected = any_name
    plain = {name: np.array([row[name][0] for row in rows], np.float32) for name in NAMES}
    np.testing.assert_allclose(serve(model, plain)["outputs"], expected, rtol=1e-4, atol=1e-4)
    examples = np.array([example(row, without=("y",)) for row in rows], object)
    np.testing.assert_allclose(
        serve(model, {"serialized_examples": examples}, "from_examples")["outputs"], expected, rtol=1e-4, atol=1e-4
    )
    labelled = np.array([example(row) for row in rows], object)
    transformed = serve(model, {"serialized_examples": labelled}, "transform_features")
    assert set(transformed) == {f"{name} xf" for name in [*NAMES, "y"]}
    assert transformed["y xf"].tolist() == [number % 2 for number in range(len(rows))]


def test_python_finds_the_argument_of_any_name(any_name: tuple[Path, list[dict[str, list[Any]]], np.ndarray]) -> None:
    model, rows, expected = any_name
    signature = tf.saved_model.load(str(model)).signatures["serving_default"]
    arguments = {spec.name: argument for argument, spec in signature.structured_input_signature[1].items()}
    assert set(arguments) == set(NAMES)
    own = ["A_b", "a_b_1", "inputs", "training", "args", "kwargs", "name", "examples", "outputs"]
    assert [arguments[name] for name in own] == own
    plain = {arguments[name]: tf.constant([row[name][0] for row in rows]) for name in NAMES}
    np.testing.assert_allclose(signature(**plain)["outputs"], expected, rtol=1e-4, atol=1e-4)


def test_the_app_of_a_space_asks_by_any_name(
    any_name: tuple[Path, list[dict[str, list[Any]]], np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, rows, expected = any_name
    hub = types.SimpleNamespace(snapshot_download=lambda repo_id, revision: str(model))
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    app = runpy.run_path(str(ROOT / "components/push_hub/templates/served_model.py"))
    served = app["ServedModel"]("team/model", "commit")
    assert list(served.inputs) == sorted(NAMES)
    answers = [served.row({name: row[name][0] for name in NAMES}) for row in rows[:3]]
    np.testing.assert_allclose(answers, expected[:3], rtol=1e-4, atol=1e-4)
