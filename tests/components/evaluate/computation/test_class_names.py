"""Classes by the names that the model's own preprocessing gives numbers to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.evaluation.computation import class_names
from components.runtime.evaluation.computation.batches import Model
from components.runtime.evaluation.configuration.reading import read_config, read_schema
from tests.components.evaluate import evaluation_support as support

WORDS = ["Mortgage", "Credit card, prepaid", "Student loan", "Payday loan"]
COLOURS = ["blue", "green", "red"]
FEATURES = {"product": schema_pb2.BYTES, "colour": schema_pb2.BYTES, "code": schema_pb2.INT, "luck": schema_pb2.FLOAT}

EVALUATION = """
model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" label_key: "label_xf" }
slicing_specs {}
slicing_specs { feature_keys: "label_xf" }
metrics_specs {
  metrics { class_name: "ExampleCount" }
  metrics { class_name: "SparseCategoricalAccuracy" }
  metrics { class_name: "MultiClassConfusionMatrixPlot" }
}
metrics_specs {
  binarize { class_ids: { values: [0, 3] } }
  metrics {
    class_name: "AUC" config: '"name": "auc", "num_thresholds": 100'
    per_slice_thresholds { slicing_specs {} threshold { value_threshold { lower_bound { value: 0 } } } }
  }
}
"""


class ProductModel(tf.Module):
    """Numbers products as `number` says, and guesses them: rightly where the row's luck is above 0.2."""

    def __init__(self, folder: Path, number: Callable[..., tf.Tensor], classes: int = 6) -> None:
        super().__init__()
        self.classes = classes
        self.number = number
        self.tables = {
            name: tf.lookup.StaticVocabularyTable(
                tf.lookup.TextFileInitializer(
                    str(_file(folder, name, words)),
                    tf.string,
                    tf.lookup.TextFileIndex.WHOLE_LINE,
                    tf.int64,
                    tf.lookup.TextFileIndex.LINE_NUMBER,
                ),
                num_oov_buckets=1,
            )
            for name, words in (("product", WORDS), ("colour", COLOURS), ("code", ["30", "10", "20"]))
        }

    def _parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        kinds = {"product": tf.string, "colour": tf.string, "code": tf.int64, "luck": tf.float32}
        spec = {name: tf.io.FixedLenFeature([], kind) for name, kind in kinds.items()}
        return tf.io.parse_example(examples, spec)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"label_xf": self.number(self.tables, self._parse(examples))}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        features = self._parse(examples)
        wrong = tf.cast(features["luck"] < 0.2, tf.int64)
        guess = (tf.cast(self.number(self.tables, features), tf.int64) + wrong) % self.classes
        return {"outputs": tf.one_hot(guess, self.classes) * 0.9 + 0.01}


def _file(folder: Path, name: str, words: list[str]) -> Path:
    path = folder / f"{name}_vocabulary"
    path.write_text("".join(f"{word}\n" for word in words))
    return path


def plain(tables: Any, features: Any) -> tf.Tensor:
    return tables["product"].lookup(features["product"])


def shifted(tables: Any, features: Any) -> tf.Tensor:
    return tables["product"].lookup(features["product"]) + 1


def codes(tables: Any, features: Any) -> tf.Tensor:
    return tables["code"].lookup(tf.strings.as_string(features["code"]))


def untold(tables: Any, features: Any) -> tf.Tensor:
    """Without a vocabulary, and refusing what is neither."""
    number = tf.where(features["colour"] == "red", "1", tf.where(features["colour"] == "blue", "0", features["colour"]))
    return tf.strings.to_number(number, tf.int64)


def of_two(tables: Any, features: Any) -> tf.Tensor:
    return tables["product"].lookup(features["product"]) + features["code"] // 30


def itself(tables: Any, features: Any) -> tf.Tensor:
    return features["code"]


def measured(tables: Any, features: Any) -> tf.Tensor:
    return features["luck"]


NAMES: dict[Callable[..., tf.Tensor], list[str]] = {
    plain: [*WORDS, class_names.OTHERS],
    shifted: ["0", *WORDS, class_names.OTHERS],
    codes: ["30", "10", "20", class_names.OTHERS],
    untold: ["blue", "red"],
    of_two: [],
    itself: [str(number) for number in range(31)],
    measured: [],
}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One class of the vocabulary is missing, one is not in the vocabulary."""
    products = [*WORDS[:3], "Gold"]
    rows = [
        {
            "product": products[index % 4],
            "colour": ("blue", "red")[index // 4 % 2],
            "code": (10, 20, 30)[index % 3],
            "luck": (index * 7919 % 1000) / 1000,
        }
        for index in range(240)
    ]
    return support.write_split(tmp_path_factory.mktemp("products") / "examples", "eval", rows)


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return support.write_schema(tmp_path_factory.mktemp("products") / "schema", FEATURES)


@pytest.fixture
def config(tmp_path: Path) -> Path:
    (tmp_path / "evaluation.pbtxt").write_text(EVALUATION)
    return tmp_path / "evaluation.pbtxt"


@pytest.mark.parametrize("number", NAMES, ids=lambda number: number.__name__)
def test_names_are_what_the_preprocessing_makes_of_words(
    tmp_path: Path, examples: Path, schema: Path, config: Path, number: Callable[..., tf.Tensor]
) -> None:
    folder = support.save(ProductModel(tmp_path, number), tmp_path / "model")
    model = Model(folder / "Format-Serving", read_config(str(config)).model_specs[0])
    files = [str(path) for path in (examples / "Split-eval").iterdir()]
    assert class_names.find(files, model, read_schema(schema)) == NAMES[number]


def test_words_of_the_schema_are_asked_too(tmp_path: Path, examples: Path, schema: Path, config: Path) -> None:
    def told(tables: Any, features: Any) -> tf.Tensor:
        return tf.argmax(tf.stack([features["colour"] == word for word in ("none", "blue", "red", "white")]), axis=0)

    folder = support.save(ProductModel(tmp_path, told), tmp_path / "model")
    model = Model(folder / "Format-Serving", read_config(str(config)).model_specs[0])
    files = [str(path) for path in (examples / "Split-eval").iterdir()]
    read = read_schema(schema)
    next(feature for feature in read.feature if feature.name == "colour").domain = "colours"
    read.string_domain.add(name="colours", value=["white", "red"])
    assert class_names.find(files, model, read) == [class_names.OTHERS, "blue", "red", "white"]


@support.BATCHES_AND_SLOW_BEAM
def test_the_report_and_the_artifact_name_the_classes(
    tmp_path: Path, examples: Path, schema: Path, config: Path, beam_options: list[str]
) -> None:
    model = support.save(ProductModel(tmp_path, plain), tmp_path / "model")
    arguments = support.arguments(examples, model, schema, config, beam_options=beam_options)
    metadata = support.evaluate_in_process(tmp_path / "out", **arguments)
    matrix = metadata["classification"]["confusionMatrix"]
    # A sixth class is answered, of which the vocabulary knows nothing.
    names = [*WORDS, class_names.OTHERS, "5"]
    assert [spec["displayName"] for spec in matrix["annotationSpecs"]] == names
    assert metadata["blessing"]["classes"] == NAMES[plain]
    assert sum(matrix["rows"][0]["row"]) == 60
    assert sum(matrix["rows"][3]["row"]) == 0
    page = (tmp_path / "out" / "report").read_text()
    table = page[page.index("<h2>By class</h2>") :].partition("</table>")[0]
    right, wrong = matrix["rows"][1]["row"][1], matrix["rows"][0]["row"][1]
    assert (
        f'<td>Credit card, prepaid</td><td class="number">60</td><td class="number">{right / (right + wrong):.6g}'
        in table
    )
    assert f'<td class="number">{right / 60:.6g}</td>' in table
    assert '<th class="number">auc</th>' in table
    assert "auc class Mortgage" in page
    by_label = page[page.index("<h2>By label_xf</h2>") :]
    # Of a single class no AUC is defined, gate or not: what is defined is drawn.
    assert "sparse_categorical_accuracy" in by_label.partition("<table")[0]
    assert "<td>Credit card, prepaid</td>" in by_label
    assert "<td>(others)</td>" in by_label
