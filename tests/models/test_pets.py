"""The pets model serves what was evaluated, whatever the images are, and its parts do what they say."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.runtime.errors import InputError, TransientError
from components.runtime.module_file import loading
from tests.components.evaluate import evaluation_support
from tests.components.train import training_support as support
from tests.components.train.training_support import Prepared
from tests.models import pets_support as pets

SIZE = 32
STEPS = 3

# In a process that only loads the SavedModel: the images as a client sends them, in one call and one by one.
ASK = """
import sys
import numpy as np
import tensorflow as tf
path, given, to = sys.argv[1:]
given = np.load(given, allow_pickle=True)
model = tf.saved_model.load(path)
serve, images = model.signatures["serving_default"], given["images"].tolist()
answers = {name: value.numpy() for name, value in serve(image=tf.constant(images)).items()}
single = [serve(image=tf.constant([image])) for image in images]
answers |= {"single_" + name: np.concatenate([one[name].numpy() for one in single]) for name in single[0]}
examples = tf.constant(given["examples"].tolist())
answers["raw"] = model.signatures["from_examples"](examples=examples)["outputs"]
np.savez(to, **answers, **model.signatures["transform_features"](examples=examples))
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return pets.prepare(tmp_path_factory.mktemp("pets"), pets.real(pets.names()[::9]) + pets.odd(), SIZE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, prepared: Prepared) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("trained")
    outputs = support.run_train(
        folder, prepared, pets.MODULE, train_steps=STEPS, eval_steps=0, custom_config=pets.SMALL
    )
    return folder, outputs["metrics"]


@pytest.fixture(scope="module")
def answers(trained: tuple[Path, dict[str, Any]], prepared: Prepared) -> dict[str, np.ndarray]:
    folder = trained[0]
    records = prepared.records("eval")
    images = [tf.train.Example.FromString(each).features.feature["image"].bytes_list.value[0] for each in records]
    np.savez(folder / "given.npz", images=np.array(images, object), examples=np.array(records, object))
    serving = folder / "model" / "Format-Serving"
    command = [sys.executable, "-c", ASK, str(serving), str(folder / "given.npz"), str(folder / "answers.npz")]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(np.load(folder / "answers.npz"))


def test_what_is_asked_of_it_has_every_kind_of_image(prepared: Prepared) -> None:
    found = [tf.train.Example.FromString(each).features.feature for each in prepared.records("eval")]
    shapes = [tf.io.decode_image(each["image"].bytes_list.value[0]).shape for each in found]
    assert {shape[-1] for shape in shapes} == {1, 3, 4}
    assert {each["image_format"].bytes_list.value[0] for each in found} == {b"jpeg", b"png"}
    assert any(shape[0] != shape[1] for shape in shapes)


@pytest.mark.slow
def test_served_answers_are_those_of_the_examples(answers: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(answers["raw"].sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_allclose(answers["confidence"], answers["raw"].max(axis=-1), atol=1e-5)
    np.testing.assert_array_equal(answers["mask"], answers["raw"].argmax(axis=-1))
    assert answers["mask"].dtype == np.uint8
    assert answers["mask"].shape == (len(answers["raw"]), SIZE, SIZE)


@pytest.mark.slow
def test_an_image_gets_the_same_answer_alone_and_among_others(answers: dict[str, np.ndarray]) -> None:
    np.testing.assert_allclose(answers["single_confidence"], answers["confidence"], atol=1e-5)
    sure = answers["confidence"] - np.sort(answers["raw"], axis=-1)[..., -2] > 1e-4
    np.testing.assert_array_equal(answers["single_mask"][sure], answers["mask"][sure])


@pytest.mark.slow
def test_evaluated_is_what_is_served(
    trained: tuple[Path, dict[str, Any]], prepared: Prepared, answers: dict[str, np.ndarray], tmp_path: Path
) -> None:
    arguments = evaluation_support.arguments(
        prepared.examples, trained[0] / "model", prepared.schema, pets.FOLDER / "evaluation.pbtxt"
    )
    metrics = evaluation_support.evaluate_in_process(tmp_path / "out", **arguments)["metrics"]
    right = answers["mask"] == answers["mask_xf"]
    assert metrics["example_count"] == len(right)
    assert metrics["pixel_accuracy"] == pytest.approx(right.mean(), abs=1e-5)
    assert metrics["pixel_accuracy"] == pytest.approx(trained[1]["eval_pixel_accuracy"], abs=1e-4)
    assert metrics["mean_iou"] == pytest.approx(trained[1]["eval_mean_iou"], abs=1e-4)


@pytest.mark.slow
def test_the_model_sees_in_service_what_it_was_trained_on(prepared: Prepared, answers: dict[str, np.ndarray]) -> None:
    spec = tft.TFTransformOutput(str(prepared.transform_graph)).transformed_feature_spec()
    files = sorted(str(file) for file in (prepared.transformed_examples / "Split-eval").iterdir())
    parsed = tf.io.parse_example(next(iter(tf.data.TFRecordDataset(files, "GZIP").batch(1000))), spec)
    stored = [tf.io.decode_png(each).numpy() for each in parsed["image_xf"]]
    np.testing.assert_array_equal(stored, answers["image_xf"])
    assert answers["image_xf"].dtype == np.uint8
    # Encoded, and small: no floats are stored.
    assert max(map(len, parsed["image_xf"].numpy().tolist())) < SIZE * SIZE * 3 + 200


@pytest.mark.slow
def test_masks_are_those_of_the_files(prepared: Prepared, answers: dict[str, np.ndarray]) -> None:
    records = prepared.records("eval")
    for example, mask in zip(records, answers["mask_xf"], strict=True):
        content = tf.train.Example.FromString(example).features.feature["mask"].bytes_list.value[0]
        whole = tf.io.decode_png(content).numpy()[..., 0]
        rows, columns = (((np.arange(SIZE) + 0.5) * side / SIZE).astype(int) for side in whole.shape)
        assert np.mean(whole[np.ix_(rows, columns)] - 1 == mask) > 0.97
        assert set(np.unique(mask)) <= {0, 1, 2}


@pytest.mark.slow
def test_exactly_the_steps_asked_for(trained: tuple[Path, dict[str, Any]]) -> None:
    assert (trained[1]["steps"], trained[1]["examples"]) == (STEPS, STEPS * pets.SMALL["batch_size"])


def augmented(images: np.ndarray, masks: np.ndarray, seed: int, **arguments: Any) -> tuple[np.ndarray, np.ndarray]:
    augment = loading.load_function(str(pets.FOLDER / "augmentation.py"), "augment")
    results = augment(tf.constant(images), tf.constant(masks), tf.constant([seed, 7]), **arguments)
    return results[0].numpy(), results[1].numpy()


def scene(count: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """Bright blocks on dark ground, class 1 where it is bright."""
    masks = np.zeros((count, size, size), np.uint8)
    masks[:, 8:40, 16:56] = 1
    masks[:, 40:60, 20:28] = 1
    return np.repeat(np.where(masks, 220, 30).astype(np.uint8)[..., np.newaxis], 3, axis=-1), masks


def test_masks_stay_with_their_images() -> None:
    images, masks = scene(32)
    changed, moved = augmented(images, masks, 1)
    assert changed.shape == images.shape
    assert (changed.dtype, moved.dtype) == (np.uint8, np.uint8)
    grey = changed.astype(float).mean(axis=-1)
    between = (grey.min(axis=(1, 2), keepdims=True) + grey.max(axis=(1, 2), keepdims=True)) / 2
    both = (moved.min(axis=(1, 2)) == 0) & (moved.max(axis=(1, 2)) == 1)
    assert both.sum() > 25
    agreement = ((grey > between) == moved)[both].mean(axis=(1, 2))
    assert agreement.min() > 0.98
    # They were changed at all, and each in its own way.
    assert (moved != masks).any(axis=(1, 2)).sum() > 25
    assert len({mask.tobytes() for mask in moved}) > 25


def test_augmentation_goes_by_its_seed() -> None:
    images, masks = scene(4)
    first, again, other = (augmented(images, masks, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert (first[0] != other[0]).any()


def test_without_cuts_an_image_is_whole_or_mirrored() -> None:
    images, masks = scene(16)
    _, moved = augmented(images, masks, 3, smallest=1.0)
    mirrored = [np.array_equal(each, masks[0][:, ::-1]) for each in moved]
    assert all(flip or np.array_equal(each, masks[0]) for flip, each in zip(mirrored, moved, strict=True))
    assert 2 < sum(mirrored) < 14


@pytest.mark.parametrize(
    ("config", "phrase"),
    [
        ({"network": "fcn"}, "network is 'fcn'; give one of unet, deeplab"),
        ({"alpha": "wide"}, "alpha is 'wide'; give a number from 0.1 to 2"),
        ({"batch_size": 0}, "batch_size is 0; give a whole number"),
        ({"decoder_filters": [8, 8]}, "decoder_filters is [8, 8]; give a list of 5 whole numbers"),
        ({"smallest_cut": 0}, "smallest_cut is 0; give a number from 0.1 to 1"),
        ({"encoder_weights": 3}, "encoder_weights is 3; give a file"),
    ],
)
def test_wrong_settings_of_training_are_told(config: dict[str, Any], phrase: str) -> None:
    check = loading.load_function(str(pets.MODULE), "check")
    with pytest.raises(InputError) as error:
        loading.call(check, check.__globals__["DEFAULTS"] | config)
    assert phrase in str(error.value)


def test_missing_weights_end_the_stage_in_one_line(
    tmp_path: Path, prepared: Prepared, capsys: pytest.CaptureFixture[str]
) -> None:
    config = pets.SMALL | {"encoder_weights": str(tmp_path / "none.weights.h5")}
    line = support.failure(tmp_path / "call", prepared, pets.MODULE, capsys, custom_config=config)
    assert line.endswith("none.weights.h5: no such file; give a .h5 file of weights of MobileNetV2 without its top")


@pytest.mark.parametrize(("config", "phrase"), [({"image_size": 100}, "multiple of 32"), ({"size": 1}, "'size'")])
def test_wrong_settings_of_the_transformation_are_told(config: dict[str, Any], phrase: str) -> None:
    preprocess = loading.load_function(str(pets.FOLDER / "preprocessing.py"), "preprocessing_fn")
    with pytest.raises(InputError, match=phrase):
        loading.call(preprocess, {}, config)


def test_a_mask_with_an_unknown_value_is_not_taken(tmp_path: Path) -> None:
    strange = tf.io.encode_png(np.full((40, 40, 1), 9, np.uint8)).numpy()
    image = tf.io.encode_jpeg(np.zeros((40, 40, 3), np.uint8)).numpy()
    with pytest.raises(InputError, match=r"by preprocessing_fn fails: .*= 8 is not in \[0, 3\)"):
        pets.prepare(tmp_path, [pets.record(str(number), image, "jpeg", strange) for number in range(2)], SIZE)


def build(file: str = "unet.py", **arguments: Any) -> keras.Model:
    function = loading.load_function(str(pets.FOLDER / file), "build")
    given = {"alpha": 0.1, "decoder_filters": [4] * 5, "dropout": 0.0, "momentum": 0.9} | arguments
    model: keras.Model = loading.call(function, (SIZE, SIZE), 3, **given)
    return model


def test_deeplab_gives_each_pixel_its_probabilities() -> None:
    model = build("deeplab.py")
    answers = np.asarray(model({"image_xf": np.random.default_rng(1).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)}))
    assert answers.shape == (2, SIZE, SIZE, 3)
    assert answers.dtype == np.float32
    np.testing.assert_allclose(answers.sum(axis=-1), 1, atol=1e-5)


def test_encoder_starts_from_a_file_of_weights(tmp_path: Path) -> None:
    mobilenet = keras.applications.MobileNetV2((96, 96, 3), alpha=0.1, include_top=False, weights=None)
    mobilenet.save_weights(tmp_path / "encoder.weights.h5")
    model = build(encoder_weights=f"file://{tmp_path}/encoder.weights.h5")
    encoder = model.get_layer("encoder")
    for layer in encoder.layers[1:]:
        for ours, theirs in zip(layer.get_weights(), mobilenet.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    norms = [layer for layer in encoder.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == 50
    # With Keras's 0.999 the means of a short training would still be those of the random weights.
    assert {layer.momentum for layer in norms} == {0.9}
    with pytest.raises(InputError, match=r"not weights of MobileNetV2 without its top at alpha 0.35 .* set alpha"):
        build(alpha=0.35, encoder_weights=str(tmp_path / "encoder.weights.h5"))
    (tmp_path / "damaged.weights.h5").write_bytes(b"not HDF5")
    with pytest.raises(InputError, match=r"damaged\.weights\.h5: not weights of MobileNetV2"):
        build(encoder_weights=str(tmp_path / "damaged.weights.h5"))
    (tmp_path / "weights.ckpt").touch()
    with pytest.raises(InputError, match=r"weights\.ckpt: not a \.h5 file"):
        build(encoder_weights=str(tmp_path / "weights.ckpt"))


def test_weights_that_cannot_be_downloaded_may_be_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = "keras.src.applications.mobilenet_v2.BASE_WEIGHT_PATH"
    monkeypatch.setattr(module, "http://127.0.0.1:9/")  # Where nothing listens.
    monkeypatch.setattr("keras.src.backend.config.keras_home", lambda: str(tmp_path))
    with pytest.raises(TransientError, match=r"Keras's download fails .* name a file that holds them"):
        build(alpha=0.35, encoder_weights="imagenet")
    with pytest.raises(InputError, match=r"alpha 0\.2 and encoder_weights 'imagenet'"):
        build(alpha=0.2, encoder_weights="imagenet")


@pytest.mark.slow
def test_real_pets_beat_the_baseline(tmp_path: Path) -> None:
    """A tenth of the training that docs/models.md tells of, through the stages themselves."""
    prepared = pets.prepare(tmp_path / "prepared", pets.real(pets.names()), 128)
    support.run_train(tmp_path / "train", prepared, pets.MODULE, train_steps=200, eval_steps=0)
    arguments = evaluation_support.arguments(
        prepared.examples, tmp_path / "train" / "model", prepared.schema, pets.FOLDER / "evaluation.pbtxt"
    )
    metrics = evaluation_support.evaluate_in_process(tmp_path / "out", **arguments)["metrics"]
    assert metrics["pixel_accuracy"] > metrics["constant_pixel_accuracy"] + 0.05
    assert metrics["mean_iou"] > metrics["constant_mean_iou"] + 0.15
    assert json.loads((tmp_path / "out" / "blessing" / "blessing.json").read_text())["blessed"] is True
