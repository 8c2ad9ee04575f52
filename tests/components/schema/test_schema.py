"""The schema stage: inferred schemas accept every split, curated ones are checked and imported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import tensorflow_data_validation as tfdv
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components.runtime.errors import InputError
from tests.support import shared
from tests.support_tfdv import Row, left_behind, run_schema, run_statistics, write_examples

RECORDED_RUN = "tfx_testdata/recorded_run"


def load(folder: Path) -> schema_pb2.Schema:
    return tfdv.load_schema_text(str(folder / "schema" / "schema.pbtxt"))


def features(schema: schema_pb2.Schema) -> dict[str, schema_pb2.Feature]:
    return {feature.name: feature for feature in schema.feature}


def make_statistics(folder: Path, splits: dict[str, list[Row]]) -> Path:
    run_statistics(write_examples(folder / "examples", splits), folder)
    return folder / "statistics"


def domain_of(schema: schema_pb2.Schema, feature: schema_pb2.Feature) -> set[str]:
    named = {domain.name: set(domain.value) for domain in schema.string_domain}
    return named.get(feature.domain, set())


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows: list[Row] = [{"number": 1.5, "word": "yes"}] * 3
    return make_statistics(tmp_path_factory.mktemp("small"), {"train": rows})


def test_the_recorded_schema(tmp_path: Path) -> None:
    shutil.copytree(shared(f"{RECORDED_RUN}/CsvExampleGen/examples/train"), tmp_path / "examples" / "Split-train")
    run_statistics(tmp_path / "examples", tmp_path)
    execution = run_schema(tmp_path / "statistics", tmp_path / "out")
    assert execution.outputs["schema"].metadata["features"] == 18
    assert execution.outputs["schema"].metadata["source"] == "inferred"
    ours = load(tmp_path / "out")
    recorded = tfdv.load_schema_text(str(shared(f"{RECORDED_RUN}/SchemaGen/schema/schema.pbtxt")))
    assert features(ours).keys() == features(recorded).keys()
    for name, theirs in features(recorded).items():
        mine = features(ours)[name]
        assert mine.type == theirs.type, name
        assert mine.presence == theirs.presence, name
        assert domain_of(ours, mine) == domain_of(recorded, theirs), name
        # Differs on purpose, as in TFX since 0.23: a feature that is always there has a shape instead of a count of
        # values, so that Transform gets it as a dense tensor.
        if mine.HasField("shape"):
            assert mine.presence.min_fraction == 1
            assert (theirs.value_count.min, theirs.value_count.max) == (1, 1)
        else:
            assert mine.value_count == theirs.value_count, name
    assert domain_of(ours, features(ours)["payment_type"]) >= {"Cash", "Credit Card"}


@pytest.mark.parametrize(
    ("train", "other"),
    [
        ({"a": 1, "b": "x"}, {"a": None, "b": "x"}),
        ({"a": 1, "b": "x"}, {"b": "x"}),
        ({"a": 1, "b": "x"}, {"a": 1, "b": "x", "c": 2.0}),
        ({"a": 1, "b": "x"}, {"a": [1, 2], "b": ["x", "y", "z"]}),
        ({"a": 1, "b": "x"}, {"a": 1, "b": "new"}),
        ({"a": None, "b": "x"}, {"a": 7, "b": "x"}),
        ({"a": 1, "b": "12"}, {"a": 1, "b": b"\xff\xfe"}),
    ],
    ids=["missing", "no column", "new column", "more values", "new value", "first value", "binary"],
)
def test_an_inferred_schema_accepts_every_split(tmp_path: Path, train: Row, other: Row) -> None:
    statistics = make_statistics(tmp_path, {"train": [train] * 8, "eval": [other] * 5, "test": [train, other]})
    run_schema(statistics, tmp_path / "out")
    schema = load(tmp_path / "out")
    for split in ("train", "eval", "test"):
        loaded = tfdv.load_stats_binary(str(statistics / f"Split-{split}" / "FeatureStats.pb"))
        assert not tfdv.validate_statistics(loaded, schema).anomaly_info
    assert features(schema)["a"].type == schema_pb2.INT


def test_a_shape_is_inferred_for_images(tmp_path: Path) -> None:
    rows: list[Row] = [{"image": [0.0, 0.5, 1.0, number / 9], "label": number} for number in range(10)]
    run_schema(make_statistics(tmp_path, {"train": rows}), tmp_path / "out")
    image = features(load(tmp_path / "out"))["image"]
    assert image.type == schema_pb2.FLOAT
    assert [dim.size for dim in image.shape.dim] == [4]


def test_types_that_differ_between_splits(tmp_path: Path) -> None:
    statistics = make_statistics(tmp_path, {"train": [{"a": 1}] * 3, "eval": [{"a": 0.5}]})
    with pytest.raises(InputError, match="feature 'a' is integer in train but float in eval"):
        run_schema(statistics, tmp_path / "out")
    assert left_behind(tmp_path / "out") == []


def test_a_schema_is_the_same_text_every_time(tmp_path: Path) -> None:
    rows: list[Row] = [{name: f"{name}{number % 5}" for name in "hgfedcba"} for number in range(40)]
    statistics = make_statistics(tmp_path, {"train": rows, "eval": rows[:3]})
    digests = {
        run_schema(statistics, tmp_path / name).outputs["schema"].metadata["digest"] for name in ("one", "two", "three")
    }
    assert len(digests) == 1
    assert [feature.name for feature in load(tmp_path / "one").feature] == list("abcdefgh")


def test_a_curated_schema_is_imported(tmp_path: Path, small: Path) -> None:
    file = shared("tfx_testdata/head/tfx/examples/penguin/schema/user_provided/schema.pbtxt")
    execution = run_schema(small, tmp_path, schema_file=file)
    assert load(tmp_path) == tfdv.load_schema_text(str(file))
    assert execution.outputs["schema"].metadata["source"] == "curated"
    assert execution.outputs["schema"].metadata["features"] == len(load(tmp_path).feature)


def test_comparators_and_unicode_survive_the_import(tmp_path: Path, small: Path) -> None:
    text = """
      # A comment.
      feature { name: "größe" type: FLOAT drift_comparator { jensen_shannon_divergence { threshold: 0.1 } } }
    """
    (tmp_path / "schema.pbtxt").write_text(text, encoding="utf-8")
    run_schema(small, tmp_path / "out", schema_file=tmp_path / "schema.pbtxt")
    assert load(tmp_path / "out") == text_format.Parse(text, schema_pb2.Schema())
    assert "größe" in (tmp_path / "out" / "schema" / "schema.pbtxt").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no features in it"),
        (b"feature {\n  name: 'a'\n  type: STRINGY\n}\n", "schema.pbtxt, line 3: not a tensorflow.metadata.v0.Schema"),
        (b"feature {\n  nom: 'a'\n}\n", "line 2"),
        (b"a,b\n1,2\n", "line 1"),
        (b"\xff\xfe", "not UTF-8 at byte 0"),
        (b"feature { name: 'a' type: INT } feature { name: 'a' type: FLOAT }", "features named more than once: a"),
    ],
    ids=["empty", "enum", "field", "other file", "encoding", "twice"],
)
def test_a_curated_schema_that_is_none(tmp_path: Path, small: Path, content: bytes, message: str) -> None:
    file = tmp_path / "schema.pbtxt"
    file.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        run_schema(small, tmp_path / "out", schema_file=file)
    assert str(file) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path / "out") == []


def test_a_curated_schema_that_is_not_there(tmp_path: Path, small: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere\.pbtxt: no such schema file"):
        run_schema(small, tmp_path / "out", schema_file=tmp_path / "nowhere.pbtxt")


def test_statistics_without_splits_or_damaged(tmp_path: Path, small: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no Split-<name> folders"):
        run_schema(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "gap" / "Split-train").mkdir(parents=True)
    with pytest.raises(InputError, match=r"FeatureStats.pb: not there"):
        run_schema(tmp_path / "gap", tmp_path / "out")
    shutil.copytree(small, tmp_path / "damaged")
    file = tmp_path / "damaged" / "Split-train" / "FeatureStats.pb"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(InputError, match="not a DatasetFeatureStatisticsList"):
        run_schema(tmp_path / "damaged", tmp_path / "out")
    file.write_bytes(b"")
    with pytest.raises(InputError, match="statistics of no examples"):
        run_schema(tmp_path / "damaged", tmp_path / "out")
