"""Distances that a schema asks for: of integers that are categories, and those that cannot be measured."""

from __future__ import annotations

import math
import random
from collections import Counter
from pathlib import Path

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2, statistics_pb2

from components.runtime.data import statistics as compute_module
from components.runtime.data.statistics import compute
from components.runtime.errors import InputError
from components.statistics.on_beam import compute_with_beam
from components.validate.validate import check
from tests.support_tfdv import Row, run_statistics, run_validate, write_examples

Statistics = dict[str, statistics_pb2.DatasetFeatureStatisticsList]
CATEGORY = "int_domain { is_categorical: true }"


def comparator(measure: str, kind: str = "drift", threshold: float = 0.1) -> str:
    return f"{kind}_comparator {{ {measure} {{ threshold: {threshold} }} }}"


def parsed(text: str) -> schema_pb2.Schema:
    return text_format.Parse(text, schema_pb2.Schema())


def statistics_of(
    folder: Path, splits: dict[str, list[Row]], schema: schema_pb2.Schema | None, *, beam: bool = False
) -> Statistics:
    examples = write_examples(folder / "examples", splits)
    files = {split: list((examples / f"Split-{split}").glob("*.gz")) for split in splits}
    if beam:
        return compute_with_beam(files, [], folder, schema)
    return {split: compute(paths, lambda _: None, schema) for split, paths in files.items()}


def measured(found: anomalies_pb2.Anomalies) -> dict[str, float]:
    return {
        info.path.step[0]: each.value
        for info in found.drift_skew_info
        for each in [*info.drift_measurements, *info.skew_measurements]
    }


@pytest.fixture(scope="module")
def stores() -> dict[str, list[Row]]:
    """Stores 1 to 5 in train and 4 to 9 in eval: half of the first have no counterpart among the second."""
    chance = random.Random(0)
    return {
        "train": [{"store": chance.randint(1, 5), "open": chance.randint(0, 1)} for _ in range(400)],
        "eval": [{"store": chance.randint(4, 9), "open": chance.randint(0, 1)} for _ in range(400)],
    }


@pytest.mark.parametrize("beam", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["batches", "Beam"])
def test_integers_that_are_categories_drift_as_the_same_texts_do(
    tmp_path: Path, stores: dict[str, list[Row]], beam: bool
) -> None:
    schema = parsed(f'feature {{ name: "store" type: INT {CATEGORY} {comparator("infinity_norm")} }}')
    numbers = {split: [{"store": row["store"]} for row in rows] for split, rows in stores.items()}
    found, missing = check(statistics_of(tmp_path / "numbers", numbers, schema, beam=beam), schema)
    texts: dict[str, list[Row]] = {
        split: [{"store": str(row["store"])} for row in rows] for split, rows in stores.items()
    }
    as_text = parsed(f'feature {{ name: "store" type: BYTES {comparator("infinity_norm")} }}')
    expected, _ = check(statistics_of(tmp_path / "texts", texts, None), as_text)
    assert measured(found["eval"]) == measured(expected["eval"])
    assert measured(found["eval"])["store"] > 0.19
    assert not missing
    assert list(found["eval"].anomaly_info) == ["store"]


def true_distances(left: list[Row], right: list[Row]) -> dict[str, float]:
    """From the definitions: the largest difference of a value's share; the divergence in bits; the shares' sum."""
    one, other = (
        {key: n / len(rows) for key, n in Counter(row["id"] for row in rows).items()} for rows in (left, right)
    )
    pairs = [(one.get(key, 0.0), other.get(key, 0.0)) for key in {*one, *other}]

    def half(p: float, q: float) -> float:
        return p * math.log2(2 * p / (p + q)) / 2 if p else 0.0

    return {
        "infinity_norm": max(abs(p - q) for p, q in pairs),
        "jensen_shannon_divergence": sum(half(p, q) + half(q, p) for p, q in pairs),
    }


@pytest.fixture(scope="module")
def many_values() -> dict[str, tuple[list[Row], list[Row]]]:
    """Rows of train and eval: half of them with values of their own, all from one distribution, or none in common."""
    chance = random.Random(1)
    head = [{"id": number} for number in range(1000) for _ in range(3)]
    return {
        "tail replaced": (
            head + [{"id": number} for number in range(10_000, 13_000)],
            head + [{"id": number} for number in range(20_000, 23_000)],
        ),
        "same": (
            [{"id": chance.randrange(3000)} for _ in range(9000)],
            [{"id": chance.randrange(3000)} for _ in range(9000)],
        ),
        "disjoint": ([{"id": number} for number in range(2500)], [{"id": number} for number in range(2500, 5000)]),
    }


@pytest.mark.parametrize("measure", ["infinity_norm", "jensen_shannon_divergence"])
@pytest.mark.parametrize(
    ("case", "kind", "beam"),
    [
        ("tail replaced", "INT", False),
        pytest.param("tail replaced", "BYTES", True, marks=pytest.mark.slow),
        pytest.param("same", "INT", True, marks=pytest.mark.slow),
        ("same", "BYTES", False),
        ("disjoint", "INT", False),
    ],
)
def test_distances_of_thousands_of_values_are_the_true_ones(
    tmp_path: Path,
    many_values: dict[str, tuple[list[Row], list[Row]]],
    measure: str,
    case: str,
    kind: str,
    beam: bool,
) -> None:
    rows = dict(zip(("train", "eval"), many_values[case], strict=True))
    if kind == "BYTES":
        rows = {split: [{"id": f"user {row['id']}"} for row in some] for split, some in rows.items()}
    domain = CATEGORY if kind == "INT" else ""
    schema = parsed(f'feature {{ name: "id" type: {kind} {domain} {comparator(measure)} }}')
    found, missing = check(statistics_of(tmp_path, rows, schema, beam=beam), schema)
    assert not missing
    expected = true_distances(rows["train"], rows["eval"])[measure]
    assert measured(found["eval"])["id"] == pytest.approx(expected, rel=1e-6)
    assert ("id" in found["eval"].anomaly_info) == (expected > 0.1)


def test_features_that_nothing_compares_keep_short_histograms(tmp_path: Path) -> None:
    schema = parsed(f"""
        feature {{ name: "id" type: INT {CATEGORY} {comparator("infinity_norm", "skew")} }}
        feature {{ name: "code" type: INT {CATEGORY} }}
    """)
    rows: list[Row] = [{"id": number, "code": number} for number in range(1500)]
    (found,) = statistics_of(tmp_path, {"train": rows}, schema).values()
    buckets = {each.path.step[0]: each.string_stats.rank_histogram.buckets for each in found.datasets[0].features}
    assert {name: len(some) for name, some in buckets.items()} == {"code": 1000, "id": 1500}


@pytest.mark.parametrize(
    ("measure", "beam"),
    [
        ("infinity_norm", False),
        ("jensen_shannon_divergence", False),
        pytest.param("jensen_shannon_divergence", True, marks=pytest.mark.slow),
    ],
)
def test_of_values_that_are_not_all_counted_no_distance_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measure: str, beam: bool
) -> None:
    monkeypatch.setattr(compute_module, "SKETCH_SIZE", 1024)
    few: list[Row] = [{"id": number} for number in range(900)]
    many: list[Row] = [{"id": number} for number in range(2000)]
    schema = parsed(f'feature {{ name: "id" type: INT {CATEGORY} {comparator(measure)} }}')
    for name, rows in {"split": {"train": few, "eval": many}, "base": {"train": many, "eval": few}}.items():
        found, missing = check(statistics_of(tmp_path / name, rows, schema, beam=beam), schema)
        where = "the split eval" if name == "split" else "train"
        assert [each.why.partition(" has counts of only some of its ")[0] for each in missing] == [where]
        assert measured(found["eval"]) == {}
        assert found["eval"].anomaly_info["id"].severity == anomalies_pb2.AnomalyInfo.ERROR
    # Made without the schema, of text.
    texts: dict[str, list[Row]] = {split: [{"id": f"u{row['id']}"} for row in many] for split in ("train", "eval")}
    _, missing = check(
        statistics_of(tmp_path / "texts", texts, None, beam=beam),
        parsed(f'feature {{ name: "id" type: BYTES {comparator(measure)} }}'),
    )
    assert "named as schema.schema_file in the settings" in missing[0].why


def test_skew_and_the_other_measures_of_categories(tmp_path: Path, stores: dict[str, list[Row]]) -> None:
    text = 'feature { name: "open" type: INT bool_domain {} } feature { name: "store" type: INT %s %s }'
    for measure in ("infinity_norm", "normalized_abs_difference", "jensen_shannon_divergence"):
        schema = parsed(text % (CATEGORY, comparator(measure, "skew", 0.01)))
        found, missing = check(statistics_of(tmp_path / measure, stores, schema), schema)
        assert measured(found["eval"])["store"] > 0.05
        assert not missing
        assert "store" in found["eval"].anomaly_info


def test_counted_numbers_are_held_against_their_domains_all_the_same(tmp_path: Path) -> None:
    rows: list[Row] = [{"store": 1, "open": 0, "size": 1.0}] * 20 + [{"store": 9, "open": 3, "size": 7.0}]
    schema = parsed(
        'feature { name: "store" type: INT int_domain { is_categorical: true min: 1 max: 5 } }'
        'feature { name: "open" type: INT bool_domain {} }'
        'feature { name: "size" type: FLOAT float_domain { is_categorical: true max: 5 } }'
    )
    found, _ = check(statistics_of(tmp_path, {"train": rows}, schema), schema)
    titles = {name: info.short_description for name, info in found["train"].anomaly_info.items()}
    assert titles == dict.fromkeys(["store", "open", "size"], "Out-of-range values")


NUMBERS = [{"a": number} for number in range(20)]
FLOATS = [{"a": number / 7} for number in range(20)]
TEXTS = [{"a": f"{number % 3}"} for number in range(20)]


@pytest.mark.parametrize(
    ("domain", "measure", "train", "other", "why"),
    [
        ("type: INT", "infinity_norm", NUMBERS, NUMBERS, "it compares categories, and these are numbers: if"),
        (
            "type: INT",
            "normalized_abs_difference",
            NUMBERS,
            NUMBERS,
            "it compares categories, and these are numbers: if",
        ),
        ("type: FLOAT", "infinity_norm", FLOATS, FLOATS, "else set a threshold on jensen_shannon_divergence"),
        (f"type: INT {CATEGORY}", "infinity_norm", NUMBERS, [{"b": 1}], "the split eval has no values of it"),
        (f"type: INT {CATEGORY}", "infinity_norm", [{"b": 1}], NUMBERS, "train has no values of it"),
        ("type: BYTES", "jensen_shannon_divergence", TEXTS, [{"a": None}], "the split eval has no values of it"),
        ("type: BYTES", "infinity_norm", [{"a": None}], TEXTS, "train has no values of it"),
        (
            "type: FLOAT",
            "jensen_shannon_divergence",
            FLOATS,
            [{"a": math.nan}],
            "all its values in the split eval are NaN",
        ),
        (
            "type: FLOAT",
            "jensen_shannon_divergence",
            [{"a": math.inf}, *FLOATS],
            FLOATS,
            "train has infinite values of it",
        ),
        (
            "type: BYTES",
            "jensen_shannon_divergence",
            FLOATS,
            TEXTS,
            "train has statistics of numbers and not of categories",
        ),
        ("type: BYTES image_domain {}", "infinity_norm", TEXTS, TEXTS, "have no counts of its values (images, or"),
        (
            "type: BYTES string_domain { is_categorical: CATEGORICAL_NO }",
            "jensen_shannon_divergence",
            TEXTS,
            TEXTS,
            "have no counts of its values (images, or text that is not categorical)",
        ),
    ],
)
@pytest.mark.parametrize("kind", ["drift", "skew"])
def test_what_was_not_measured_is_an_error_that_says_why_and_never_a_number(
    tmp_path: Path, domain: str, measure: str, train: list[Row], other: list[Row], why: str, kind: str
) -> None:
    schema = parsed(f'feature {{ name: "a" {domain} {comparator(measure, kind)} }} feature {{ name: "b" type: INT }}')
    found, missing = check(statistics_of(tmp_path, {"train": train, "eval": other}, schema), schema)
    assert [(each.split, each.base, each.distance.measure) for each in missing] == [("eval", "train", measure)]
    assert why in missing[0].why
    assert measured(found["eval"]) == {}
    info = found["eval"].anomaly_info["a"]
    assert info.severity == anomalies_pb2.AnomalyInfo.ERROR
    assert (
        f"The {kind} from train was not measured ({measure.replace('_', ' ')}, threshold 0.1), because "
        in info.description
    )
    assert why in info.description
    assert "not measured" not in found["train"].anomaly_info["a"].description


def test_the_earlier_run_may_have_had_no_schema(tmp_path: Path, stores: dict[str, list[Row]]) -> None:
    text = f'feature {{ name: "store" type: INT {CATEGORY} {comparator("infinity_norm")} }}'
    text += 'feature { name: "open" type: INT }'
    (tmp_path / "schema").mkdir()
    schema_file = tmp_path / "schema" / "schema.pbtxt"
    schema_file.write_text(text)
    examples = write_examples(tmp_path / "examples", stores)
    run_statistics(examples, tmp_path / "earlier")
    run_statistics(examples, tmp_path / "now", schema_file=schema_file)
    execution = run_validate(
        tmp_path / "now" / "statistics",
        tmp_path / "schema",
        tmp_path / "out",
        previous=tmp_path / "earlier" / "statistics",
    )
    metadata = execution.outputs["anomalies"].metadata
    assert (metadata["valid"], metadata["errors"], metadata["not_measured"]) == (False, 2, 2)
    assert (
        "the earlier run has statistics of numbers and not of categories, made without this schema"
        in metadata["summary"]
    )
    report = (tmp_path / "out" / "report").read_text()
    assert "not measured, because the earlier run has statistics of numbers" in report
    assert "within" not in report


def test_with_nothing_to_compare_a_threshold_is_a_warning(tmp_path: Path, stores: dict[str, list[Row]]) -> None:
    rows = [{"store": row["store"]} for row in stores["train"]]
    schema = parsed(
        f'feature {{ name: "store" type: INT {CATEGORY} {comparator("infinity_norm")} }}'
        "dataset_constraints { num_examples_drift_comparator { min_fraction_threshold: 0.9 }"
        " num_examples_version_comparator { min_fraction_threshold: 0.9 } min_examples_count: 1000 }"
    )
    found, missing = check(statistics_of(tmp_path, {"train": rows}, schema), schema)
    info = found["train"].dataset_anomaly_info
    assert not missing
    assert info.severity == anomalies_pb2.AnomalyInfo.ERROR, "TFDV's own, of the number of rows"
    for words in (
        "drift_comparator of the schema: not measured, because there is no split beside train and no validate.previous",
        "num_examples_drift_comparator of the schema: not measured, because there is no validate.previous_statistics",
        "num_examples_version_comparator of the schema: not measured, because runs have no versions",
    ):
        assert words in info.description
    schema.dataset_constraints.Clear()
    found, _ = check(statistics_of(tmp_path / "again", {"train": rows}, schema), schema)
    assert found["train"].dataset_anomaly_info.severity == anomalies_pb2.AnomalyInfo.WARNING


def test_features_that_the_schema_has_retired_are_not_compared(tmp_path: Path) -> None:
    schema = parsed(f'feature {{ name: "a" type: INT lifecycle_stage: DEPRECATED {comparator("infinity_norm")} }}')
    _, missing = check(statistics_of(tmp_path, {"train": [*NUMBERS], "eval": [*NUMBERS]}, schema), schema)
    assert not missing


def test_a_folder_that_holds_no_statistics_is_named_before_the_schema(
    tmp_path: Path, stores: dict[str, list[Row]]
) -> None:
    (tmp_path / "schema").mkdir()
    (tmp_path / "schema" / "schema.pbtxt").write_text(
        'feature { name: "store" type: INT } feature { name: "open" type: INT }'
    )
    run_statistics(write_examples(tmp_path / "examples", stores), tmp_path)
    with pytest.raises(
        InputError, match=r"previous_statistics .*/schema: holds no statistics, which are Split-<name>/Feat"
    ):
        run_validate(tmp_path / "statistics", tmp_path / "schema", tmp_path / "1", previous=tmp_path / "schema")
    with pytest.raises(
        InputError, match=r"no drift_comparator with a threshold: .* curated schema.* schema\.schema_file"
    ):
        run_validate(tmp_path / "statistics", tmp_path / "schema", tmp_path / "2", previous=tmp_path / "statistics")
