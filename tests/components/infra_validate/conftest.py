"""A small model as `signatures.export` makes them, examples to ask it about, and the stage as runners call it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from components.runtime.data import examples as tf_examples
from components.runtime.data import tfrecord
from components.runtime.publish.serving import MODEL_FOLDER
from tests.support import StageResult, run_stage

JPEG = tf.io.encode_jpeg(tf.zeros([8, 8, 3], tf.uint8)).numpy()
ROWS: list[dict[str, Any]] = [{"x": 0.1 * row, "text": f"näh {row}", "image": JPEG} for row in range(40)]
ROWS[3]["x"] = None

Validate = Callable[..., StageResult]


class Exported(tf.Module):
    """Answers a number, a list, a text and bytes; NaN where `x` is missing."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, "image"),
            tf.TensorSpec([None], tf.string, "text"),
            tf.TensorSpec([None], tf.float32, "x"),
        ]
    )
    def plain(self, image: tf.Tensor, text: tf.Tensor, x: tf.Tensor) -> dict[str, tf.Tensor]:
        return {
            "share": tf.sigmoid(x),
            "all": tf.stack([x, tf.cast(tf.strings.length(image), tf.float32)], 1),
            "label": tf.strings.join([text, "!"]),
            "raw": tf.strings.substr(image, 0, 4),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "examples")])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        found = tf.io.parse_example(examples, {"x": tf.io.FixedLenFeature([], tf.float32, -1.0)})
        return {"outputs": tf.sigmoid(found["x"])}


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(tmp_path_factory.mktemp("exported"), ["serving_default", "from_examples"])


def save(folder: Path, signatures: Sequence[str]) -> Path:
    """A model artifact with some of the signatures; `serving_default` by examples where `plain` is not wanted."""
    made = Exported()
    known = {"serving_default": made.plain, "from_examples": made.from_examples, "by_examples": made.from_examples}
    chosen = {("serving_default" if name == "by_examples" else name): known[name] for name in signatures}
    tf.saved_model.save(made, str(folder / MODEL_FOLDER), signatures=chosen)
    return folder


@pytest.fixture(scope="session")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    for split, rows in (("eval", ROWS), ("empty", [])):
        (folder / f"Split-{split}").mkdir()
        tfrecord.write(folder / f"Split-{split}" / "data.gz", [tf_examples.encode(row) for row in rows], gzip=True)
    return folder


@pytest.fixture
def blessing(tmp_path: Path) -> Path:
    folder = tmp_path / "blessing"
    folder.mkdir()
    (folder / "BLESSED").touch()
    (folder / "blessing.json").write_text(json.dumps({"blessed": True, "reason": "good", "baseline_digest": ""}))
    return folder


@pytest.fixture
def validate(tmp_path: Path, model: Path, examples: Path, blessing: Path) -> Validate:
    """Calls the stage, with short measurements."""

    def call(*, candidate: Path = model, **parameters: Any) -> StageResult:
        values: dict[str, Any] = {
            "server": "", "split": "eval", "rows": 40, "tolerance": 1e-5, "seconds": 0.3, "at_once": [1, 4],
            "ready_seconds": 120.0, "warm_up_rows": 2, "bounds": {},
        }  # fmt: skip
        return run_stage(
            "infra_validate",
            tmp_path / "out",
            parameters=values | parameters,
            inputs={"model": candidate, "blessing": blessing, "examples": examples},
            outputs=["infra_blessing", "metrics", "report"],
            output_parameters=["passed"],
        )

    return call
