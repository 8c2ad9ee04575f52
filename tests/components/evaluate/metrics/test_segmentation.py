"""Metrics of models that give every pixel a class, against what is worked out by hand, and the report on them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tensorflow_model_analysis.metrics import metric_types
from tensorflow_model_analysis.proto import config_pb2

from components.evaluate.page import gallery
from components.runtime.evaluation.computation import batches
from components.runtime.evaluation.metrics import segmentation
from tests.components.evaluate import evaluation_support as support
from tests.components.evaluate.computation.test_local import both
from tests.support import ROOT

CONFIG = (ROOT / "models" / "pets" / "evaluation.pbtxt").read_text()
SIDE = 16
IMAGES = 30


class MaskModel(tf.Module):
    """Sees a mask in every example and answers it, but that a share of the columns from the left is background."""

    def __init__(self, blind: float) -> None:
        super().__init__()
        self.blind = tf.Variable(blind)

    def _parse(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        spec = {"mask": tf.io.FixedLenFeature([], tf.string), "number": tf.io.FixedLenFeature([], tf.int64)}
        return tf.io.parse_example(examples, spec)

    def _mask(self, examples: tf.Tensor) -> tf.Tensor:
        masks = tf.io.decode_raw(self._parse(examples)["mask"], tf.uint8, fixed_length=SIDE * SIDE)
        return tf.reshape(masks, [-1, SIDE, SIDE])

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def transform_features(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        masks = self._mask(examples)
        return {"mask_xf": masks, "image_xf": tf.repeat(masks[..., tf.newaxis] * 100, 3, axis=-1)}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="examples")])
    def from_examples(self, examples: tf.Tensor) -> dict[str, tf.Tensor]:
        columns = tf.range(SIDE, dtype=tf.float32) / SIDE
        # The first image is seen best, the last one worst.
        number = tf.cast(self._parse(examples)["number"], tf.float32)[:, tf.newaxis, tf.newaxis]
        seen = columns >= self.blind * (number + 1) / IMAGES
        return {"outputs": tf.one_hot(tf.where(seen, self._mask(examples), 1), 3) * 0.9 + 0.01}


def masks() -> np.ndarray:
    """Pets of several sizes with a border, behind them background."""
    made = np.ones((IMAGES, SIDE, SIDE), np.uint8)
    for number, mask in enumerate(made):
        size = 4 + number % 8
        mask[2 : 2 + size, 2 : 2 + size] = 2
        mask[3 : 1 + size, 3 : 1 + size] = 0
    return made


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("masks") / "examples", masks())


def write(folder: Path, of: np.ndarray) -> Path:
    (folder / "Split-eval").mkdir(parents=True)
    with tf.io.TFRecordWriter(str(folder / "Split-eval" / "data-00000-of-00001.gz"), "GZIP") as writer:
        for number, mask in enumerate(of):
            features = {
                "mask": tf.train.Feature(bytes_list=tf.train.BytesList(value=[mask.tobytes()])),
                "number": support.feature(number),
            }
            writer.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())
    return folder


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Path:
    features = {"mask": schema_pb2.BYTES, "number": schema_pb2.INT}
    return support.write_schema(tmp_path_factory.mktemp("masks") / "schema", features)


def model(folder: Path, blind: float) -> Path:
    return support.save(MaskModel(blind), folder)


def config(folder: Path, text: str = CONFIG) -> Path:
    file = folder / "evaluation.pbtxt"
    file.write_text(text)
    return file


def test_metrics_worked_out_by_hand() -> None:
    truth = np.array([[[0, 0, 1, 1], [2, 2, 1, 1]]])
    answer = np.array([[[0, 1, 1, 1], [2, 0, 0, 1]]])
    table = segmentation.count(truth, np.eye(4)[answer])
    assert table.tolist() == [[1, 1, 0, 0], [1, 3, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert segmentation.accuracy(table) == 5 / 8
    iou = segmentation.class_iou(table)
    assert iou[:3].tolist() == [1 / 4, 3 / 5, 1 / 2]
    assert math.isnan(iou[3])
    # A class that is nowhere does not count.
    assert segmentation.mean_iou(table) == pytest.approx((1 / 4 + 3 / 5 + 1 / 2) / 3)
    constant = segmentation.constant(table)
    assert segmentation.accuracy(constant) == 4 / 8
    assert segmentation.mean_iou(constant) == pytest.approx(4 / 8 / 3)


@pytest.mark.parametrize("answer", range(3))
def test_no_constant_answer_beats_the_baseline(answer: int) -> None:
    truth = masks()
    table = segmentation.count(truth, np.eye(3)[np.full_like(truth, answer)])
    base = segmentation.constant(table)
    for metric in (segmentation.accuracy, segmentation.mean_iou):
        assert metric(table) <= metric(base)
        assert (metric(table) == metric(base)) == (answer == 1)


def test_nothing_counted_is_not_a_number() -> None:
    combiner = segmentation.MeanIoU().computations()[0].combiner
    nothing = combiner.merge_accumulators([combiner.create_accumulator() for _ in range(2)])
    (table,) = combiner.extract_output(nothing).values()
    assert math.isnan(segmentation.accuracy(table))
    assert math.isnan(segmentation.mean_iou(table))


def test_rows_one_by_one_and_weighted_add_up_to_the_batch() -> None:
    truth = masks()
    scores = np.random.default_rng(3).random((*truth.shape, 3))
    key = metric_types.MetricKey("_pixels_by_class", example_weighted=True)
    combiner = segmentation.PixelCombiner(key, None)
    parts = [combiner.create_accumulator(), combiner.create_accumulator()]
    for row in range(IMAGES):
        inputs = metric_types.StandardMetricInputs(
            labels=truth[row], predictions=scores[row], example_weights=np.array([2.0])
        )
        parts[row % 2] = combiner.add_input(parts[row % 2], inputs)
    np.testing.assert_allclose(combiner.merge_accumulators(parts), 2 * segmentation.count(truth, scores))


@pytest.mark.slow
def test_local_and_beam_agree_with_a_baseline(tmp_path: Path, examples: Path, schema: Path) -> None:
    both(tmp_path, CONFIG, examples, schema, model(tmp_path / "a", 0.3), model(tmp_path / "b", 0.6))


@pytest.fixture(scope="module")
def evaluated(
    tmp_path_factory: pytest.TempPathFactory, examples: Path, schema: Path
) -> tuple[Path, dict[str, dict[str, Any]]]:
    folder = tmp_path_factory.mktemp("evaluated")
    arguments = support.arguments(examples, model(folder / "model", 0.5), schema, config(folder))
    return folder / "out", support.evaluate_in_process(folder / "out", **arguments)


def test_the_stage_measures_what_the_model_does(evaluated: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    metrics = evaluated[1]["metrics"]
    truth, answer = masks(), masks()
    for number, mask in enumerate(answer):
        mask[:, np.arange(SIDE) / SIDE < np.float32(0.5) * (number + 1) / IMAGES] = 1
    shares = [
        np.mean((truth == each) & (answer == each)) / np.mean((truth == each) | (answer == each)) for each in range(3)
    ]
    assert metrics["pixel_accuracy"] == pytest.approx(np.mean(truth == answer))
    assert [metrics[f"iou_{name}"] for name in ("pet", "background", "border")] == pytest.approx(shares)
    assert metrics["mean_iou"] == pytest.approx(np.mean(shares))
    background = np.mean(truth == 1)
    assert metrics["constant_pixel_accuracy"] == pytest.approx(background)
    assert metrics["constant_mean_iou"] == pytest.approx(background / 3)
    assert metrics["pixel_accuracy_lift"] == pytest.approx(np.mean(truth == answer) / background)
    assert metrics["mean_iou_lift"] == pytest.approx(np.mean(shares) / (background / 3))
    assert metrics["example_count"] == IMAGES


def test_the_matrix_names_the_classes(evaluated: tuple[Path, dict[str, dict[str, Any]]]) -> None:
    matrix = evaluated[1]["classification"]["confusionMatrix"]
    assert [each["displayName"] for each in matrix["annotationSpecs"]] == ["pet", "background", "border"]
    assert sum(sum(row["row"]) for row in matrix["rows"]) == IMAGES * SIDE * SIDE


def test_the_report_shows_the_best_the_middle_and_the_worst(
    evaluated: tuple[Path, dict[str, dict[str, Any]]], examples: Path, schema: Path, tmp_path: Path
) -> None:
    page = (evaluated[0] / "report").read_text()
    assert page.count("<img ") == 3 * 3 * gallery.OF_EACH_KIND
    assert 'src="http' not in page
    assert len(page) < 1_000_000
    assert [page.index(f"<h3>{kind.capitalize()}</h3>") for kind in gallery.KINDS] == sorted(
        page.index(f"<h3>{kind.capitalize()}</h3>") for kind in gallery.KINDS
    )
    # Deterministic: the same model and rows give the same page.
    arguments = support.arguments(examples, model(tmp_path / "model", 0.5), schema, config(tmp_path))
    support.evaluate_in_process(tmp_path / "out", **arguments)
    assert (tmp_path / "out" / "report").read_text() == page


def test_batches_are_small_where_answers_are_large(tmp_path: Path, examples: Path) -> None:
    """A large batch of images would take gigabytes in a network."""
    spec = text_format.Parse(CONFIG, config_pb2.EvalConfig()).model_specs[0]
    whole = batches.Model(model(tmp_path, 0.5) / "Format-Serving", spec)
    files = [str(file) for file in (examples / "Split-eval").iterdir()]
    # A mask, an image of three bytes and scores of three floats for every pixel.
    assert whole.row_bytes() == SIDE * SIDE * (1 + 3 + 3 * 4)
    assert batches.batch_rows(files, []) == 1024
    assert batches.batch_rows(files, [whole]) == min(1024, (8 << 20) // whole.row_bytes())


@pytest.mark.slow
def test_the_stage_with_beam_gives_the_same(
    tmp_path: Path, examples: Path, schema: Path, evaluated: tuple[Path, dict[str, dict[str, Any]]]
) -> None:
    arguments = support.arguments(
        examples, model(tmp_path / "model", 0.5), schema, config(tmp_path), beam_options=["--runner=FnApiRunner"]
    )
    metrics = support.evaluate_in_process(tmp_path / "out", **arguments)["metrics"]
    assert {name: value for name, value in metrics.items() if isinstance(value, float)} == pytest.approx(
        {name: value for name, value in evaluated[1]["metrics"].items() if isinstance(value, float)}
    )
    assert (tmp_path / "out" / "report").read_text() == (evaluated[0] / "report").read_text()


def test_all_background_is_not_blessed(tmp_path: Path, examples: Path, schema: Path) -> None:
    arguments = support.arguments(examples, model(tmp_path / "model", 1000.0), schema, config(tmp_path))
    support.evaluate_in_process(tmp_path / "out", **arguments)
    blessing = json.loads((tmp_path / "out" / "blessing" / "blessing.json").read_text())
    assert blessing["blessed"] is False
    assert "pixel_accuracy_lift 1 < 1.1" in blessing["reason"]


def test_worse_than_the_last_blessed_model_is_not_blessed(tmp_path: Path, examples: Path, schema: Path) -> None:
    arguments = support.arguments(
        examples, model(tmp_path / "a", 0.3), schema, config(tmp_path), model(tmp_path / "b", 0.1)
    )
    support.evaluate_in_process(tmp_path / "out", **arguments)
    blessing = json.loads((tmp_path / "out" / "blessing" / "blessing.json").read_text())
    assert (blessing["blessed"], blessing["baseline"]) == (False, True)
    assert blessing["reason"].startswith("mean_iou ")


def failure(folder: Path, **arguments: Any) -> str:
    from components.runtime.errors import InputError

    with pytest.raises(InputError) as error:
        support.evaluate_in_process(folder / "out", **arguments)
    assert not (folder / "out" / "blessing").exists()
    return str(error.value)


def test_what_does_not_fit_is_told_in_one_line(tmp_path: Path, examples: Path, schema: Path) -> None:
    other = masks()
    other[7, 0, 0] = 5
    strange = write(tmp_path / "examples", other)
    whole = model(tmp_path / "model", 0.5)
    line = failure(tmp_path, **support.arguments(strange, whole, schema, config(tmp_path)))
    assert "(a pixel has the label … but the model knows the classes … to …)" in line
    text = CONFIG.replace('"class_id": 2', '"class_id": 3')
    line = failure(tmp_path, **support.arguments(examples, whole, schema, config(tmp_path, text)))
    assert "ClassIoU: there is no class 3" in line
    text = CONFIG.replace('label_key: "mask_xf"', 'label_key: "number_xf"')
    line = failure(tmp_path, **support.arguments(examples, whole, schema, config(tmp_path, text)))
    assert "label_key 'number_xf'" in line
    text = CONFIG.replace("PixelAccuracyLift", "PixelAcuracyLift")
    line = failure(tmp_path, **support.arguments(examples, whole, schema, config(tmp_path, text)))
    assert "has no such class; it has: AbsoluteErrorLift, ClassIoU" in line


def test_pixels_without_a_class_are_not_counted() -> None:
    truth = np.array([[[0, 1, -1], [-1, 1, 0]]])
    answer = np.array([[[0, 0, 1], [0, 1, 0]]])
    np.testing.assert_array_equal(segmentation.count(truth, np.eye(2)[answer]), [[2, 0], [1, 1]])
    with pytest.raises(ValueError, match="a pixel has the label -2"):
        segmentation.count(truth - 1, np.eye(2)[answer])
    # As unsigned bytes, in which there is no -1.
    np.testing.assert_array_equal(segmentation.count(answer.astype(np.uint8), np.eye(2)[answer]), [[4, 0], [0, 2]])


def test_pixels_without_a_class_are_black() -> None:
    pixels = gallery._colored(np.array([[-1, 0]]))
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 1].tolist() == [0xEA, 0x58, 0x0C]
