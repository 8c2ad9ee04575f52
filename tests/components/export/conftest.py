"""Small models as `signatures.export` makes them, examples of them, and the stage as runners call it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.publish.serving import MODEL_FOLDER
from tests.support import StageResult, run_stage

CONFIG = """
model_specs { signature_name: "from_examples" preprocessing_function_names: "transform_features" label_key: "label_xf" }
slicing_specs {}
metrics_specs {
  metrics { class_name: "AUC" threshold {
    value_threshold { lower_bound { value: 0.9 } }
    change_threshold { direction: HIGHER_IS_BETTER absolute { value: -0.05 } }
  } }
  metrics { class_name: "BinaryAccuracy" }
}
"""
SCHEMA = "\n".join(
    f'feature {{ name: "{name}" type: {kind} }}'
    for name, kind in {"a": "FLOAT", "b": "FLOAT", "code": "INT", "word": "BYTES", "label": "INT"}.items()
)
LARGE = 2**33
"""A code beyond 32 bits, whose remainder by 2 is that of its lower half."""

Export = Callable[..., StageResult]


class Numbers(tf.Module):
    """Whether `a` is above `b`, by a network whose last weights hardly matter; plus a bit for odd codes."""

    inputs: tuple[str, ...] = ("a", "b", "code")

    def __init__(self) -> None:
        super().__init__()
        first = np.random.default_rng(7).normal(0, 0.01, (2, 16)).astype(np.float32)
        first[:, :2] = [[1, -1], [-1, 1]]
        second = np.random.default_rng(8).normal(0, 0.01, (16, 1)).astype(np.float32)
        second[:2, 0] = [4, -4]
        self.first, self.second = tf.Variable(first, name="first"), tf.Variable(second, name="second")
        self.bias = tf.Variable(tf.fill([16], 0.01), name="bias")

    def score(self, features: dict[str, tf.Tensor]) -> tf.Tensor:
        hidden = tf.nn.relu(tf.stack([features["a_xf"], features["b_xf"]], 1) @ self.first + self.bias)
        odd = tf.cast(features["code_xf"] % 2, tf.float32)
        return tf.sigmoid((hidden @ self.second)[:, 0] + 0.001 * odd)

    def prepare(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        filled = {name: tf.where(tf.math.is_nan(raw[name]), 0.0, raw[name]) for name in ("a", "b")}
        return {"a_xf": filled["a"] * 2.0, "b_xf": filled["b"] * 2.0, "code_xf": raw["code"]}

    def parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {name: tf.io.FixedLenFeature([], tf.float32) for name in ("a", "b")}
        spec |= {name: tf.io.FixedLenFeature([], tf.int64) for name in ("code", "label")}
        return tf.io.parse_example(examples, {**spec, "word": tf.io.FixedLenFeature([], tf.string)})

    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self.score(self.prepare(self.parse(examples)))}

    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        raw = self.parse(examples)
        return {**self.prepare(raw), "label_xf": raw["label"]}

    def plain(self, **raw: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"outputs": self.score(self.prepare(raw))}

    def save(self, folder: Path, *, network: bool = True, by_examples: bool = False) -> Path:
        """Writes a model artifact.

        Args:
          folder: of it.
          network: whether it has the function that takes transformed features.
          by_examples: whether `serving_default` takes tf.Examples, as of TFX's module files, and nothing else does.
        """
        examples = tf.TensorSpec([None], tf.string, "examples")
        kinds = {"a": tf.float32, "b": tf.float32, "code": tf.int64, "word": tf.string}
        raw = {name: tf.TensorSpec([None], kinds[name], name) for name in self.inputs}
        made = tf.function(self.from_examples).get_concrete_function(examples)
        plain = made if by_examples else tf.function(self.plain).get_concrete_function(**raw)
        if network:
            self.network = tf.function(self.score)
            floats = {name: tf.TensorSpec([None], tf.float32) for name in ("a_xf", "b_xf")}
            self.network.get_concrete_function({**floats, "code_xf": tf.TensorSpec([None], tf.int64)})
        signatures = {
            "serving_default": plain,
            "transform_features": tf.function(self.transform_features).get_concrete_function(examples),
        } | ({} if by_examples else {"from_examples": made})
        tf.saved_model.save(self, str(folder / MODEL_FOLDER), signatures=signatures)
        return folder


class Words(Numbers):
    """The same with a vocabulary in its preprocessing."""

    inputs = ("a", "b", "code", "word")

    def __init__(self) -> None:
        super().__init__()
        words = tf.lookup.KeyValueTensorInitializer(["yes", "no"], tf.constant([0, 0], tf.int64))
        self.table = tf.lookup.StaticHashTable(words, 0)

    def prepare(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        return {**super().prepare(raw), "code_xf": raw["code"] + self.table.lookup(raw["word"])}


class Hashed(Numbers):
    """The same with an op in its preprocessing that no other format has."""

    inputs = ("a", "b", "code", "word")

    def prepare(self, raw: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        sizes = tf.cast(tf.strings.length(tf.strings.lower(raw["word"])), tf.int64)
        return {**super().prepare(raw), "code_xf": raw["code"] + sizes * 0}


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """Examples whose label says whether `a` is above `b`, but for some near the border."""
    random = np.random.default_rng(seed)
    pairs = random.normal(size=(count, 2))
    labels = pairs[:, 0] + random.normal(0, 0.1, count) > pairs[:, 1]
    return [
        {"a": float(a), "b": float(b), "code": LARGE + number, "word": "yes", "label": int(label)}
        for number, ((a, b), label) in enumerate(zip(pairs, labels, strict=True))
    ]


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Numbers().save(tmp_path_factory.mktemp("numbers"))


@pytest.fixture(scope="session")
def words(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Words().save(tmp_path_factory.mktemp("words"))


@pytest.fixture(scope="session")
def hashed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Hashed().save(tmp_path_factory.mktemp("hashed"))


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for split, made in (("train", rows(50, 1)), ("eval", rows(300, 2)), ("empty", [])):
        (folder / f"Split-{split}").mkdir()
        tfrecord.write(folder / f"Split-{split}" / "data.gz", [tf_examples.encode(row) for row in made], gzip=True)
    return folder


@pytest.fixture
def export(tmp_path: Path, numbers: Path, examples: Path) -> Export:
    """Calls the stage."""
    (tmp_path / "evaluation.pbtxt").write_text(CONFIG)
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").write_text(SCHEMA)

    def call(formats: dict[str, Any], *, model: Path = numbers, blessed: bool = True, **parameters: Any) -> StageResult:
        blessing = tmp_path / "blessing"
        blessing.mkdir()
        (blessing / ("BLESSED" if blessed else "NOT_BLESSED")).touch()
        told = {"blessed": blessed, "reason": "all hold" if blessed else "auc 0.5 < 0.9", "baseline_digest": ""}
        (blessing / "blessing.json").write_text(json.dumps(told))
        values: dict[str, Any] = {
            "eval_config_file": str(tmp_path / "evaluation.pbtxt"), "example_splits": ["eval"], "formats": formats,
            "bounds": {}, "representative_split": "train", "representative_rows": 50,
        }  # fmt: skip
        return run_stage(
            "export",
            tmp_path / "out",
            parameters=values | parameters,
            inputs={"model": model, "blessing": blessing, "examples": examples, "schema": tmp_path / "schema"},
            outputs=["export_blessing", "metrics", "report"],
            output_parameters=["passed"],
        )

    return call
