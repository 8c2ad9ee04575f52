"""Images through transform: what comes out, and how much memory a large output takes."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scripts.benchmarks.bench_images import run_stage
from scripts.data import image_samples
from tests.components.transform.transform_support import read_split, run_transform, write_examples, write_module
from tests.support import ROOT

ROWS = {"image": bytes, "mask": bytes}


def examples(folder: Path, counts: dict[str, int], *, distinct: int = 4) -> Path:
    """Splits of generated photographs with masks."""
    made = image_samples.write(folder / "made", distinct)
    images = [file.read_bytes() for file in sorted((made / image_samples.IMAGES).iterdir())]
    masks = [file.read_bytes() for file in sorted((made / image_samples.MASKS).iterdir())]
    rows = [{"image": image, "mask": mask} for image, mask in zip(images, masks, strict=True)]
    splits = {split: [rows[number % distinct] for number in range(count)] for split, count in counts.items()}
    return write_examples(folder / "examples", splits)


def schema(folder: Path) -> Path:
    """As a curated one says it: one value in each row."""
    folder.mkdir(parents=True)
    domain = {"image": "image_domain {}", "mask": "image_domain {}"}
    (folder / "schema.pbtxt").write_text(
        "".join(
            f'feature {{ name: "{name}" type: BYTES {domain[name]} shape {{ dim {{ size: 1 }} }} '
            "presence { min_fraction: 1.0 min_count: 1 } }\n"
            for name in ROWS
        )
    )
    return folder


def test_images_and_masks_are_resized(tmp_path: Path) -> None:
    data = examples(tmp_path, {"train": 40, "eval": 5})
    module = str(ROOT / "tests" / "data" / "image_preprocessing.py")
    out = run_transform(tmp_path / "out", data, schema(tmp_path / "schema"), module)
    rows = read_split(out, "train")
    assert (len(rows), len(read_split(out, "eval"))) == (40, 5)
    assert rows[0] == rows[4] != rows[1], "in the order of the input"
    image = np.asarray(Image.open(io.BytesIO(rows[0]["image_xf"][0])))
    mask = np.asarray(Image.open(io.BytesIO(rows[0]["mask_xf"][0])))
    assert (image.shape, mask.shape) == ((128, 128, 3), (128, 128))
    original = Image.open(tmp_path / "made" / image_samples.IMAGES / "sample_00000.jpg").resize((128, 128))
    assert np.abs(image.astype(int) - np.asarray(original).astype(int)).mean() < 3
    assert set(np.unique(mask)) == {1, 2, 3}
    assert abs(np.mean([row["brightness"][0] for row in rows])) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize("count", [120, 1000], ids=["few", "many"])
def test_decoded_images_do_not_fill_the_memory(tmp_path: Path, count: int) -> None:
    data = examples(tmp_path, {"train": count})
    body = """\
decode = lambda one: tf.cast(tf.io.decode_jpeg(one, channels=3), tf.float32)
images = tf.reshape(inputs["image"], [-1])
pixels = tf.map_fn(decode, images, fn_output_signature=tf.TensorSpec([512, 512, 3]))
return {"brightness": tft.scale_to_z_score(tf.reduce_mean(pixels, axis=[1, 2, 3]))}"""
    parameters = {"module_file": write_module(tmp_path / "module", body), "custom_config": {}, "beam_options": []}
    inputs = {"examples": data, "schema": schema(tmp_path / "schema")}
    stage = run_stage("transform", tmp_path, count, parameters, inputs)
    assert 0.3e9 < stage.peak_memory_bytes < 0.9e9
