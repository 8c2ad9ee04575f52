"""The files of a new model for images: they hold the project's style, and say what is known of the images."""

from __future__ import annotations

import ast
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from components.runtime.errors import InputError
from runners.compiled.pipelines import compiled
from runners.scaffold.model.images.planning import ImagePlan
from runners.scaffold.model.images.profile import Images
from runners.settings import named_files
from runners.settings.model import load
from tests.runners.scaffold.model.images.image_support import FOLDERS, PAIRS, found, masked, plan, written
from tests.runners.scaffold.model.model_support import ruff
from tests.support import ROOT

CASES = {
    "balanced": (found(), FOLDERS),
    "rare class": (found({"a": (100, 50), "b": (20, 10), "c": (16, 9)}), FOLDERS),
    "very rare class": (found({"a": (100, 50), 'the "b"': (3, 0), "größe": (40, 20)}, (300, 500)), FOLDERS),
    "split before": (found(), replace(FOLDERS, split_patterns={"train": "train/**", "eval": "val/**"})),
    "list": (found(), replace(FOLDERS, images={"layout": "list", "list_file": "a, b.csv", "images": "files"})),
    "masks": (masked({0: 5000, 1: 4000}), PAIRS),
    "rare pixels": (masked({0: 9000, 255: 100}), PAIRS),
    "pixels of no class": (masked({0: 5000, 1: 4000, 255: 800}), PAIRS),
    "rare pixels and those of no class": (masked({0: 9000, 1: 90, 2: 10, 255: 800}), PAIRS),
}


@pytest.mark.parametrize("name", CASES)
def test_they_hold_the_style_and_name_each_other(tmp_path: Path, name: str) -> None:
    images, how = CASES[name]
    made = written(tmp_path / "mine", images, how)
    ruff("check", str(tmp_path / "mine"))
    ruff("format", "--check", str(tmp_path / "mine"))
    settings = load(str(tmp_path / "mine"))
    named_files.check(settings, ["schema", "transform", "train", "evaluate"])
    assert (settings.data, settings.ingest.format) == ("/data/of/mine", "images")
    assert settings.ingest.split_patterns == dict(how.split_patterns)
    lines = [line for text in made.values() for line in text.splitlines() if str(tmp_path) not in line]
    assert [line for line in lines if len(line) > 120 and line[:1] not in "|-"] == []


def test_the_settings_compile(tmp_path: Path) -> None:
    written(tmp_path / "mine", *CASES["masks"])
    assert "masks" in compiled(load(str(tmp_path / "mine")))


def test_only_what_is_needed_is_in_the_files(tmp_path: Path) -> None:
    balanced = written(tmp_path / "balanced", *CASES["balanced"])
    rare = written(tmp_path / "rare", *CASES["rare class"])
    very_rare = written(tmp_path / "very_rare", *CASES["very rare class"])
    assert "class_weight" not in balanced["model.py"]
    assert "class_weight=class_weights(" in rare["model.py"]
    assert "num_oov_buckets" not in balanced["preprocessing.py"] + rare["preprocessing.py"]
    assert "num_oov_buckets=1" in very_rare["preprocessing.py"]
    assert "vocabulary_size_by_name(LABEL) + 1" in very_rare["model.py"]
    assert yaml.safe_load(balanced["settings.yaml"])["ingest"] == {"format": "images"}
    assert "LOOK: the class the" in very_rare["settings.yaml"]


def test_rare_classes_are_judged_by_score_others_by_lift(tmp_path: Path) -> None:
    def gated(name: str) -> set[str]:
        text = written(tmp_path / name.replace(" ", "_"), *CASES[name])["evaluation.pbtxt"]
        metrics = [each for each in text.split("metrics {") if "value_threshold" in each]
        return {each.split('class_name: "')[1].split('"')[0] for each in metrics}

    assert gated("balanced") == {"MajorityLift"}
    assert gated("rare class") == {"AUC"}
    # Of a class that is not held out no score is defined.
    assert gated("very rare class") == {"MajorityLift"}
    assert gated("rare pixels") == {"MeanIoULift"}


def test_pixels_of_no_class(tmp_path: Path) -> None:
    made = written(tmp_path / "void", *CASES["pixels of no class"])
    assert "VALUES = (0, 1)" in made["preprocessing.py"]
    assert "IGNORED = 255" in made["preprocessing.py"]
    assert "ignore_class=NO_CLASS" in made["model.py"]
    assert yaml.safe_load(made["settings.yaml"])["ingest"]["images"]["mask_values"] == [0, 1, 255]
    # Of two values 255 is a class: a mask of black and white.
    two = written(tmp_path / "two", *CASES["rare pixels"])
    assert "VALUES = (0, 255)" in two["preprocessing.py"]
    assert "NO_CLASS" not in two["preprocessing.py"] + two["model.py"]


def test_code_is_that_of_the_shipped_models_where_nothing_differs(tmp_path: Path) -> None:
    made = written(tmp_path / "mine", *CASES["masks"])
    shipped = ROOT / "models" / "pets"
    for name in ("unet.py", "augmentation.py"):
        assert made[name] == (shipped / name).read_text(), name


@pytest.mark.parametrize(
    ("size", "grey", "shape", "filters"),
    [
        ((8, 8), True, (8, 8, 1), (32, 64)),
        ((28, 28), True, (28, 28, 1), (16, 32, 64)),
        ((32, 48), False, (32, 48, 3), (16, 32, 64, 128)),
        ((600, 800), False, (48, 64, 3), (16, 32, 64, 128)),
        ((1, 1), True, (4, 4, 1), (32, 64)),
        ((2000, 20), True, (64, 4, 1), (16, 32)),
    ],
)
def test_the_network_suits_the_images(
    tmp_path: Path, size: tuple[int, int], grey: bool, shape: tuple[int, ...], filters: tuple[int, ...]
) -> None:
    result = plan(tmp_path / "mine", replace(found(size=size), is_grey=grey))
    assert (result.shape, result.filters) == (shape, filters)


def test_images_of_many_ratios_are_seen_as_squares(tmp_path: Path) -> None:
    images = replace(found(), sizes=Counter({(300, 200): 60, (200, 300): 60, (250, 250): 60}))
    assert plan(tmp_path / "mine", images).shape[:2] == (64, 64)


def test_a_training_ends_in_minutes_whatever_the_number_of_images(tmp_path: Path) -> None:
    steps = [plan(tmp_path / "mine", found({"a": (n, 9), "b": (n, 9)})).steps for n in (5, 500, 500_000)]
    assert steps[0] == 200
    assert steps[0] < steps[1] <= steps[2] <= 4000
    assert all(each % 100 == 0 for each in steps)


def remarks(folder: Path, images: Images, how: object = FOLDERS) -> list[str]:
    result: ImagePlan = plan(folder, images, how)  # type: ignore[arg-type]
    return list(result.remarks)


def test_what_looks_wrong_is_told(tmp_path: Path) -> None:
    assert remarks(tmp_path, found()) == []
    assert remarks(tmp_path, found({"a": (90, 40), "b": (5, 0)})) == [
        "the class b has 5 images only",
        "no image is held out of: b",
    ]
    assert remarks(tmp_path, replace(found(), twice=2, twice_apart=1, contradictions=[("a/1.png", "b/1.png")])) == [
        "an image is in two classes, such as a/1.png and b/1.png: the same bytes",
        "2 images are there twice, 1 of them in both splits, where they flatter the metrics",
    ]
    sizes = Counter({(20, 30): 1, (2000, 3000): 179})
    assert remarks(tmp_path, replace(found(), sizes=sizes)) == ["sizes differ much: 30x20 to 3000x2000 pixels"]
    slip = masked({0: 5000, 1: 4000, 9: 3}, {0: 90, 1: 90, 9: 1})
    assert remarks(tmp_path, slip, PAIRS) == ["the value 9 is in one mask only (3 pixels): a slip?"]
    shades = masked(dict.fromkeys(range(100), 50))
    assert "are these classes, or shades of grey?" in remarks(tmp_path, shades, PAIRS)[0]


def test_nothing_to_learn_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="all masks hold one value, 3"):
        plan(tmp_path / "mine", masked({3: 100}), PAIRS)
    with pytest.raises(InputError, match="of 2 images none is left to hold out: a model needs more of them"):
        plan(tmp_path / "mine", found({"cat": (1, 0), "dog": (1, 0)}))
    with pytest.raises(InputError, match="one class only, cat"):
        plan(tmp_path / "mine", found({"cat": (9, 9)}))


def test_their_tests_name_every_class(tmp_path: Path) -> None:
    text = written(tmp_path / "mine", *CASES["rare class"])["tests/test_model.py"]
    constants = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id != "MODEL"
    }
    assert constants == {"CLASSES": ["a", "b", "c"], "SHAPE": (40, 40, 1)}
