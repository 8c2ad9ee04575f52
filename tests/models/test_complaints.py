"""The complaints model: its features, both labels through the same modules, its text encoders, and what it serves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft
from google.protobuf import text_format
from tensorflow_model_analysis.proto import config_pb2

from components.runtime.data import examples
from components.runtime.module_file.loading import load_function
from scripts.data.complaint_texts import COLUMNS, complaints
from tests.components.train import training_support as support
from tests.components.train.training_support import Prepared
from tests.support import ROOT

FOLDER = ROOT / "models" / "complaints"
PREPROCESSING, MODULE = FOLDER / "preprocessing.py", FOLDER / "model.py"
SCHEMA = (FOLDER / "schema.pbtxt").read_text()
PRODUCT = {"label": "product", "label_is": "classes", "features": ["consumer_complaint_narrative"]}
HARD_TEXTS = [
    b"",
    b" ",
    "🙏🏽 日本 ça".encode(),
    b"before\0after mortgage",
    b"\xff\xfe not UTF-8 \xc3",
    b"word, " * 170_000,
]


def rows(count: int) -> list[dict[str, str]]:
    generator = np.random.default_rng(5)
    return [dict(zip(COLUMNS, values, strict=True)) for values in complaints(count, 1, generator)]


def records(chosen: list[dict[str, str]]) -> list[bytes]:
    return [examples.encode({name: value or None for name, value in row.items()}) for row in chosen]


Trained = tuple[Path, Prepared, dict[str, Any]]


@pytest.fixture(scope="module")
def dispute(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("dispute")
    data = records([row for row in rows(3000) if row["label_disputed"]])
    prepared = support.prepare(folder / "data", data, SCHEMA, PREPROCESSING, {})
    metrics = support.run_train(folder, prepared, MODULE, train_steps=100, eval_steps=0)["metrics"]
    return folder / "model" / "Format-Serving", prepared, metrics


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("product")
    data = records([row for row in rows(4000) if row["consumer_complaint_narrative"]])
    data += [examples.encode({"product": "Mortgage", "consumer_complaint_narrative": text}) for text in HARD_TEXTS]
    prepared = support.prepare(folder / "data", data, SCHEMA, PREPROCESSING, PRODUCT)
    config = {"label": "product", "learning_rate": 0.005}
    metrics = support.run_train(folder, prepared, MODULE, train_steps=40, eval_steps=0, custom_config=config)["metrics"]
    return folder / "model" / "Format-Serving", prepared, metrics


def plain(raw: list[bytes], signature: Any) -> dict[str, tf.Tensor]:
    """Records as a client without tf.Examples sends them; all features are text."""
    decoded = [examples.decode(record) for record in raw]
    names = signature.structured_input_signature[1]
    return {name: tf.constant([(row.get(name) or [b""])[0] for row in decoded]) for name in names}


def lower_bounds(model: str) -> dict[str, float]:
    """The value thresholds of a model's evaluation, by the metric's class."""
    text = (ROOT / "models" / model / "evaluation.pbtxt").read_text()
    config = text_format.Parse(text, config_pb2.EvalConfig())
    return {
        metric.class_name: each.threshold.value_threshold.lower_bound.value
        for specs in config.metrics_specs
        for metric in specs.metrics
        for each in metric.per_slice_thresholds
        if each.threshold.HasField("value_threshold")
    }


def test_a_useless_model_of_disputes_does_not_pass_the_gate() -> None:
    """Scores by chance, on as many complaints and disputes as the smallest of the later months has."""
    gate, count, disputed, draws = lower_bounds("complaints"), 1_854, 351, 5_000
    places = np.random.default_rng(11).permuted(np.tile(np.arange(count) < disputed, (draws, 1)), axis=1)
    # The row's place is its score: the rank-sum form of the AUC (Mann-Whitney), and disputes in the highest tenth.
    ranks = (places * np.arange(1, count + 1)).sum(axis=1)
    auc = (ranks - disputed * (disputed + 1) / 2) / (disputed * (count - disputed))
    lift = places[:, -count // 10 :].mean(axis=1) / (disputed / count)
    assert abs(auc.mean() - 0.5) < 0.01
    assert ((auc >= gate["AUC"]) & (lift >= gate["TopLift"])).mean() < 0.005
    # Any constant answer has an AUC of 0.5 and a lift of 1.
    assert gate["AUC"] > 0.5
    assert gate["TopLift"] > 1


def test_the_gates_are_below_what_later_rows_reached() -> None:
    """The weakest of the figures of docs/models.md, less two standard errors of each."""
    assert lower_bounds("complaints")["AUC"] <= 0.569 - 2 * 0.007
    assert lower_bounds("complaints")["TopLift"] <= 1.31 - 2 * 0.06
    assert 1 < lower_bounds("complaints_product")["MajorityLift"] <= 1.64 - 2 * 0.025


def test_zip_codes() -> None:
    zip_number = load_function(str(PREPROCESSING), "zip_number")
    codes = ["97XXX", "331xx", "97201", "4736", "04736", "97201-1234", "", "none", "XXXXX", " 60601 ", "123456"]
    expected = [97000, 33100, 97201, 4736, 4736, 97201, 0, 0, 0, 60601, 0]
    assert zip_number(tf.constant(codes)[:, None]).numpy().tolist() == expected
    zip_region = load_function(str(PREPROCESSING), "zip_region")
    assert zip_region(tf.constant([["97XXX"], ["4736"], [""]])).numpy().tolist() == [[b"970"], [b"047"], [b"000"]]


def test_labels_are_read_from_words_and_numbers() -> None:
    yes_or_no = load_function(str(PREPROCESSING), "yes_or_no")
    answers = tf.constant([["Yes"], ["no"], ["1"], ["0"], [" TRUE "], ["0.0"]])
    assert yes_or_no(answers, "disputed").numpy().tolist() == [1, 0, 1, 0, 1, 0]
    numbers = tf.SparseTensor([[0, 0], [1, 0]], tf.constant([1, 0], tf.int64), [2, 1])
    assert yes_or_no(numbers, "disputed").numpy().tolist() == [1, 0]
    floats = tf.constant([[1.0], [0.0]])
    assert yes_or_no(floats, "disputed").numpy().tolist() == [1, 0]
    for answer in ("", "maybe"):
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"disputed '{answer}' is neither Yes nor No"):
            yes_or_no(tf.constant([[answer]]), "disputed")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"lable": "product"}, "custom_config has an unknown key 'lable'"),
        ({"features": ["label_disputed"]}, "features has 'label_disputed'; choose from: product"),
        ({"label": "product"}, "the label 'product' is among the features"),
        ({"label_is": "number"}, "label_is is 'number'; write yes_no or classes"),
    ],
)
def test_wrong_custom_config_is_told(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    from components.runtime.errors import InputError

    data = records([row for row in rows(60) if row["label_disputed"]])
    with pytest.raises(InputError, match=message):
        support.prepare(tmp_path, data, SCHEMA, PREPROCESSING, config)


@pytest.mark.slow
def test_answers_are_learned(dispute: Trained) -> None:
    assert dispute[2]["eval_auc"] > 0.6


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dispute", "product"])
def test_served_equals_evaluated(name: str, request: pytest.FixtureRequest) -> None:
    """Same rows, same scores: the transformed examples in the trained graph, tf.Examples, and plain features."""
    folder, prepared, _ = request.getfixturevalue(name)
    model = tf.saved_model.load(str(folder))
    raw = prepared.records("eval")
    assert len(raw) > 200
    evaluated = model.signatures["from_examples"](examples=tf.constant(raw))["outputs"].numpy()
    default = model.signatures["serving_default"]
    served = default(**plain(raw, default))["outputs"].numpy()
    np.testing.assert_allclose(served, evaluated, atol=1e-5)
    assert np.ptp(evaluated) > 0.1
    # Without its label an example is answered alike.
    label = {"dispute": "label_disputed", "product": "product"}[name]
    bare = [examples.encode({key: value for key, value in examples.decode(one).items() if key != label}) for one in raw]
    unlabelled = model.signatures["from_examples"](examples=tf.constant(bare))["outputs"].numpy()
    np.testing.assert_allclose(unlabelled, evaluated, atol=1e-5)
    # One at a time as all together.
    alone = np.concatenate(
        [model.signatures["from_examples"](examples=tf.constant([one]))["outputs"].numpy() for one in raw[:5]]
    )
    np.testing.assert_allclose(alone, evaluated[:5], atol=1e-5)


@pytest.mark.slow
def test_what_is_served_was_transformed_as_in_training(dispute: Trained) -> None:
    folder, prepared, _ = dispute
    transformed = tf.saved_model.load(str(folder)).signatures["transform_features"](
        examples=tf.constant(prepared.records("eval"))
    )
    spec = tft.TFTransformOutput(str(prepared.transform_graph)).transformed_feature_spec()
    files = sorted(str(file) for file in (prepared.transformed_examples / "Split-eval").iterdir())
    stored = tf.io.parse_example(next(iter(tf.data.TFRecordDataset(files, "GZIP").batch(10_000))), spec)
    assert set(stored) == set(transformed)
    for feature, values in stored.items():
        np.testing.assert_array_equal(transformed[feature].numpy(), values.numpy(), err_msg=feature)


@pytest.mark.slow
def test_products_are_told_by_their_words(product: Trained) -> None:
    folder, prepared, metrics = product
    assert metrics["eval_accuracy"] > 0.9
    names = tft.TFTransformOutput(str(prepared.transform_graph)).vocabulary_by_name("label")
    signature = tf.saved_model.load(str(folder)).signatures["serving_default"]
    text = tf.constant(["the escrow of my mortgage and the foreclosure of my house", "a bureau and its report, listed"])
    blank = {key: tf.constant(["", ""]) for key in signature.structured_input_signature[1]}
    scores = signature(**blank | {"consumer_complaint_narrative": text})["outputs"].numpy()
    assert scores.shape == (2, len(names) + 1)
    assert [names[index].decode() for index in scores.argmax(axis=1)] == ["Mortgage", "Credit reporting"]


@pytest.mark.slow
def test_hard_texts_are_transformed_as_they_are(product: Trained) -> None:
    files = sorted(str(file) for file in product[1].transformed_examples.glob("Split-*/*"))
    spec = {"consumer_complaint_narrative_xf": tf.io.FixedLenFeature([], tf.string)}
    stored = tf.io.parse_example(next(iter(tf.data.TFRecordDataset(files, "GZIP").batch(10_000))), spec)
    assert set(HARD_TEXTS) <= set(stored["consumer_complaint_narrative_xf"].numpy())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dispute", "product"])
def test_hard_texts_are_answered(name: str, request: pytest.FixtureRequest) -> None:
    folder, prepared, _ = request.getfixturevalue(name)
    model = tf.saved_model.load(str(folder))
    row = examples.decode(prepared.records("eval")[0])
    raw = [examples.encode(row | {"consumer_complaint_narrative": [text]}) for text in HARD_TEXTS]
    scores = model.signatures["from_examples"](examples=tf.constant(raw))["outputs"].numpy()
    assert np.isfinite(scores).all()
    default = model.signatures["serving_default"]
    np.testing.assert_allclose(default(**plain(raw, default))["outputs"].numpy(), scores, atol=1e-5)
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)


class Sentences(tf.Module):
    """Stands in for a sentence encoder: how often a few words are said."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        words = ["mortgage", "card", "report", "debt", "student", "car", "account"]
        lengths = [tf.strings.length(tf.strings.regex_replace(texts, word, "")) for word in words]
        return tf.cast(tf.strings.length(texts)[:, tf.newaxis] - tf.stack(lengths, axis=1), tf.float32)


@pytest.mark.slow
def test_a_sentence_encoder_from_a_folder(tmp_path: Path, product: Trained) -> None:
    tf.saved_model.save(Sentences(), str(tmp_path / "encoder"))
    _, prepared, _ = product
    config = {
        "label": "product",
        "text_encoder": str(tmp_path / "encoder"),
        "learning_rate": 0.01,
    }
    trained = support.run_train(tmp_path, prepared, MODULE, train_steps=100, eval_steps=0, custom_config=config)
    assert trained["metrics"]["eval_accuracy"] > 0.5
    # The encoder travels with the model.
    (tmp_path / "encoder").rename(tmp_path / "elsewhere")
    model = tf.saved_model.load(str(tmp_path / "model" / "Format-Serving"))
    raw = prepared.records("eval")
    scores = model.signatures["from_examples"](examples=tf.constant(raw))["outputs"].numpy()
    default = model.signatures["serving_default"]
    np.testing.assert_allclose(default(**plain(raw, default))["outputs"].numpy(), scores, atol=1e-5)
    labels = model.signatures["transform_features"](examples=tf.constant(raw))["label_xf"].numpy()
    accuracy = (scores.argmax(axis=1) == labels).mean()
    assert accuracy == pytest.approx(trained["metrics"]["eval_accuracy"], abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "message"),
    [
        ("nowhere", "no saved_model.pb in nowhere"),
        ("https://tfhub.dev/google/universal-sentence-encoder/4", "needs the package tensorflow_hub"),
    ],
)
def test_a_missing_sentence_encoder_is_told(
    encoder: str, message: str, tmp_path: Path, product: Trained, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"label": "product", "text_encoder": encoder}
    line = support.failure(tmp_path, product[1], MODULE, capsys, custom_config=config)
    assert f"text_encoder {encoder}: {message}" in line
