"""Small models as `signatures.export` makes them, whose answers can be worked out, and the stage as it is called."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.publish.serving import MODEL_FOLDER
from tests.support import StageResult, run_stage

Explain = Callable[..., StageResult]
RANDOM = np.random.default_rng(11)
PEOPLE = 240


def person(number: int) -> dict[str, Any]:
    """Pays for a longer word and a smaller age; groups differ in age."""
    group = "young" if number % 3 else "old"
    age = float(RANDOM.normal(30 if group == "young" else 55, 8))
    word = ["x", "yyyy", "zzzzzzzz"][number % 4 % 3]
    paid = int(RANDOM.random() < 1 / (1 + np.exp(-(0.4 * len(word) - 0.1 * (age - 40)))))
    return {"age": None if number == 7 else age, "word": word, "group": group, "idle": number, "paid": paid}


ROWS = [person(number) for number in range(PEOPLE)]
IMAGES = [RANDOM.integers(0, 255, (4, 4)).astype(np.uint8) for _ in range(20)]
PLAIN = {
    "age": tf.TensorSpec([None], tf.float32, "age"),
    "idle": tf.TensorSpec([None], tf.int64, "idle"),
    "word": tf.TensorSpec([None], tf.string, "word"),
}
_EXAMPLES = tf.TensorSpec([None], tf.string, "examples")


class People(tf.Module):
    """Answers a probability; takes no notice of `idle`, and knows no `group`."""

    def transformed(self, age: tf.Tensor, word: tf.Tensor) -> dict[str, tf.Tensor]:
        years = tf.where(tf.math.is_nan(age), tf.constant(40.0), age)
        return {"age_xf": (years - 40.0) / 10.0, "length": tf.strings.length(word)}

    @tf.function
    def network(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return tf.sigmoid(0.4 * tf.cast(features["length"], tf.float32) - features["age_xf"])

    @tf.function(input_signature=[*PLAIN.values()])
    def plain(self, age: tf.Tensor, idle: tf.Tensor, word: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self.network(self.transformed(age, word))}

    def _parsed(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {
            "age": tf.io.FixedLenFeature([], tf.float32, float("nan")),
            "word": tf.io.FixedLenFeature([], tf.string),
            "paid": tf.io.FixedLenFeature([], tf.int64, 0),
        }
        return tf.io.parse_example(examples, spec)

    @tf.function(input_signature=[_EXAMPLES])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        found = self._parsed(examples)
        return {"outputs": self.network(self.transformed(found["age"], found["word"]))}

    @tf.function(input_signature=[_EXAMPLES])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        found = self._parsed(examples)
        return {**self.transformed(found["age"], found["word"]), "paid_xf": found["paid"]}


class Pictures(tf.Module):
    """Answers three classes by the brightness of parts of an image; the names of classes stand beside."""

    @tf.function
    def network(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        image = features["image_xf"]
        parts = [tf.reduce_mean(image[:, :2], [1, 2, 3]), tf.reduce_mean(image[:, 2:], [1, 2, 3])]
        return tf.nn.softmax(tf.stack([*parts, 0 * parts[0]], 1) * 4)

    @staticmethod
    def decoded(image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image_xf": tf.reshape(tf.cast(tf.io.decode_raw(image, tf.uint8), tf.float32) / 255.0, [-1, 4, 4, 1])}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "image")])
    def plain(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self.network(self.decoded(image))}

    @tf.function(input_signature=[_EXAMPLES])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.io.parse_example(examples, {"image": tf.io.FixedLenFeature([], tf.string)})
        return self.decoded(found["image"])


class Odd(tf.Module):
    """Answers what cannot be explained, or other than others do."""

    @tf.function(input_signature=[*PLAIN.values()])
    def mask(self, age: tf.Tensor, idle: tf.Tensor, word: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"mask": tf.ones([tf.shape(age)[0], 4, 4])}

    @tf.function(input_signature=[*PLAIN.values()])
    def text(self, age: tf.Tensor, idle: tf.Tensor, word: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"told": word}

    @tf.function(input_signature=[*PLAIN.values()])
    def two(self, age: tf.Tensor, idle: tf.Tensor, word: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"low": age - 1.0, "high": age + 1.0}

    @tf.function(input_signature=[*PLAIN.values()])
    def euros(self, age: tf.Tensor, idle: tf.Tensor, word: tf.Tensor) -> dict[str, tf.Tensor]:
        years = tf.where(tf.math.is_nan(age), tf.constant(40.0), age)
        return {"outputs": 100.0 + 3.0 * years[:, None]}


def save(folder: Path, made: tf.Module, **signatures: Any) -> Path:
    """A model artifact."""
    tf.saved_model.save(made, str(folder / MODEL_FOLDER), signatures=signatures)
    return folder


@pytest.fixture(scope="session")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = People()
    return save(
        tmp_path_factory.mktemp("people"),
        made,
        serving_default=made.plain,
        transform_features=made.transform_features,
        from_examples=made.from_examples,
    )


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    images = [{"image": image.tobytes()} for image in IMAGES]
    for split, rows in (("eval", ROWS), ("empty", []), ("images", images)):
        (folder / f"Split-{split}").mkdir()
        tfrecord.write(folder / f"Split-{split}" / "data.gz", [tf_examples.encode(row) for row in rows], gzip=True)
    return folder


def write_blessing(folder: Path, label: str = "paid_xf", by: Sequence[str] = ("group",)) -> Path:
    """A blessing as evaluate writes it, sliced by features."""
    folder.mkdir(parents=True)
    (folder / "BLESSED").touch()
    (folder / "blessing.json").write_text(json.dumps({"blessed": True, "reason": "good", "baseline_digest": ""}))
    slices = [{"slice": {}, "examples": PEOPLE, "metrics": {}}]
    slices += [{"slice": {name: "a"}, "examples": 1, "metrics": {}} for name in by]
    (folder / "slices.json").write_text(json.dumps({"label": label, "slices": slices, "rows": PEOPLE}))
    return folder


@pytest.fixture
def explain(tmp_path: Path, people: Path, examples: Path) -> Explain:
    """Calls the stage, with few rows."""

    def call(
        *, model: Path = people, label: str = "paid_xf", classes: Sequence[str] = (), **parameters: Any
    ) -> StageResult:
        return run(tmp_path / "out", model, examples, label, classes, **parameters)

    return call


def run(
    folder: Path, model: Path, examples: Path, label: str = "paid_xf", classes: Sequence[str] = (), **parameters: Any
) -> StageResult:
    values: dict[str, Any] = {
        "split": "eval", "sample_rows": 1000, "rows": 20, "background": 8, "shown": 4, "evaluations": 1_000_000,
        "minutes": 10.0,
        "steps": 32, "groups": [], "tolerance": 0.05, "output": "", "seed": 42,
    }  # fmt: skip
    return run_stage(
        "explain",
        folder,
        parameters=values | parameters,
        inputs={
            "model": model,
            "blessing": write_blessing(folder.with_name(f"{folder.name}-blessing"), label),
            "examples": examples,
        },
        metadata={"blessing": {"classes": list(classes)}},
        outputs=["explanations", "report"],
    )
