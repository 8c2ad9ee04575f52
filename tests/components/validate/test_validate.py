"""The validate stage: what it finds, what it does about it, and what it says."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from tensorflow_metadata.proto.v0 import anomalies_pb2

from components.runtime.data import validity
from components.runtime.errors import InputError
from components.runtime.stage.artifacts import InputArtifact
from tests import image_files
from tests.support import shared
from tests.support_tfdv import Row, left_behind, run_schema, run_statistics, run_validate, write_examples

PENGUIN = "tfx_testdata/head/tfx/examples/penguin/data"


def write_schema(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "schema.pbtxt").write_text(text, encoding="utf-8")
    return folder


def make_statistics(folder: Path, splits: dict[str, list[Row]]) -> Path:
    run_statistics(write_examples(folder / "examples", splits), folder)
    return folder / "statistics"


def anomalies(folder: Path, split: str) -> anomalies_pb2.Anomalies:
    return anomalies_pb2.Anomalies.FromString((folder / "anomalies" / f"Split-{split}" / "SchemaDiff.pb").read_bytes())


def valid(folder: Path) -> str:
    return (folder / "parameters" / "valid").read_text()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Statistics whose eval split has a company that train does not know."""
    train: list[Row] = [{"company": "north", "price": 1.0}, {"company": "south", "price": 2.0}] * 5
    other: list[Row] = [{"company": "<b>west</b>", "price": 1.5}, {"company": "north", "price": 1.0}]
    return make_statistics(tmp_path_factory.mktemp("shop"), {"train": train, "eval": other})


STRICT = """
feature { name: "company" type: BYTES domain: "company" presence { min_fraction: 1 } }
feature { name: "price" type: FLOAT presence { min_fraction: 1 } }
string_domain { name: "company" value: "north" value: "south" }
"""


def test_valid_data(tmp_path: Path, shop: Path) -> None:
    run_schema(shop, tmp_path)
    execution = run_validate(shop, tmp_path / "schema", tmp_path / "out")
    metadata = execution.outputs["anomalies"].metadata
    assert {key: metadata[key] for key in ("valid", "anomalies", "errors", "summary")} == {
        "valid": True,
        "anomalies": 0,
        "errors": 0,
        "summary": "no anomalies in train, eval",
    }
    assert valid(tmp_path / "out") == "true"
    assert not anomalies(tmp_path / "out", "eval").anomaly_info
    assert "The data is valid." in (tmp_path / "out" / "report").read_text()


def test_stop_makes_it_invalid_and_says_why(tmp_path: Path, shop: Path) -> None:
    execution = run_validate(shop, write_schema(tmp_path / "schema", STRICT), tmp_path / "out")
    metadata = execution.outputs["anomalies"].metadata
    assert (metadata["valid"], metadata["anomalies"], metadata["errors"]) == (False, 1, 1)
    assert metadata["summary"].startswith("eval: company: Unexpected string values (")
    assert "\n" not in metadata["summary"]
    assert valid(tmp_path / "out") == "false"
    assert list(anomalies(tmp_path / "out", "eval").anomaly_info) == ["company"]
    assert not anomalies(tmp_path / "out", "train").anomaly_info
    report = (tmp_path / "out" / "report").read_text()
    assert "The data is not valid: 1 error." in report
    assert "&lt;b&gt;west&lt;/b&gt;" in report
    assert "<b>west" not in report
    assert "add the values to the feature" in report


def test_warn_goes_on_and_says_so(tmp_path: Path, shop: Path) -> None:
    execution = run_validate(shop, write_schema(tmp_path / "schema", STRICT), tmp_path / "out", on_anomalies="warn")
    metadata = execution.outputs["anomalies"].metadata
    assert (metadata["valid"], metadata["errors"]) == (True, 1)
    assert metadata["summary"].startswith("1 error let through: eval: company: ")
    assert valid(tmp_path / "out") == "true"
    assert "the pipeline goes on since on_anomalies is warn" in (tmp_path / "out" / "report").read_text()


def test_the_verdict_lies_beside_the_anomalies(tmp_path: Path, shop: Path) -> None:
    run_validate(shop, write_schema(tmp_path / "schema", STRICT), tmp_path / "out")
    with pytest.raises(InputError, match=r"the data did not pass validate: eval: company: .*; its report has them"):
        validity.check(InputArtifact("anomalies", str(tmp_path / "out" / "anomalies"), {}))
    for folder in "damaged", "empty":
        (tmp_path / folder).mkdir()
    (tmp_path / "damaged" / validity.VERDICT_FILE).write_text('{"valid": tr')
    for folder in "damaged", "empty":
        with pytest.raises(InputError, match=r"has no verdict .*; run validate again"):
            validity.check(InputArtifact("anomalies", str(tmp_path / folder), {}))
    run_validate(shop, tmp_path / "schema", tmp_path / "let-through", on_anomalies="warn")
    validity.check(InputArtifact("anomalies", str(tmp_path / "let-through" / "anomalies"), {}))


def test_the_summary_lists_the_first_and_counts_the_rest(tmp_path: Path) -> None:
    rows: list[Row] = [{f"feature {number}": 1 for number in range(9)}]
    statistics = make_statistics(tmp_path, {"train": rows})
    schema = write_schema(tmp_path / "schema", 'feature { name: "feature 0" type: INT }')
    metadata = run_validate(statistics, schema, tmp_path / "out").outputs["anomalies"].metadata
    assert metadata["summary"].endswith("; and 5 more")


def test_an_unknown_mode(tmp_path: Path, shop: Path) -> None:
    with pytest.raises(InputError, match="on_anomalies is 'ignore'; write stop or warn"):
        run_validate(shop, write_schema(tmp_path / "schema", STRICT), tmp_path / "out", on_anomalies="ignore")
    assert left_behind(tmp_path / "out") == []


@pytest.mark.parametrize(
    ("schema", "title", "said", "advice"),
    [
        (
            'feature { name: "company" type: INT } feature { name: "price" type: FLOAT }',
            "Unexpected data type",
            "train: company: Expected data of type: INT but got STRING",
            "convert",
        ),
        (
            'feature { name: "company" type: BYTES }',
            "New column",
            "price: New column (column in data but",
            "add the feature to the schema",
        ),
        (
            STRICT + 'feature { name: "tax" type: FLOAT presence { min_fraction: 1 } }',
            "Column dropped",
            "train: tax: Column is completely missing; ",
            "bring the column back",
        ),
        (
            STRICT.replace("type: FLOAT", "type: FLOAT float_domain { max: 1.0 }"),
            "Out-of-range values",
            "train: price: Out-of-range values (Unexpectedly high value",
            "correct the data",
        ),
        (
            STRICT + "dataset_constraints { min_examples_count: 100 }",
            "Low num examples",
            "split: The dataset has 10 examples, which is fewer",
            "give more data",
        ),
    ],
    ids=["type", "new", "dropped", "range", "rows"],
)
def test_a_schema_that_demands_more(
    tmp_path: Path, shop: Path, schema: str, title: str, said: str, advice: str
) -> None:
    execution = run_validate(shop, write_schema(tmp_path / "schema", schema), tmp_path / "out")
    assert valid(tmp_path / "out") == "false"
    assert said in execution.outputs["anomalies"].metadata["summary"]
    report = (tmp_path / "out" / "report").read_text()
    assert title.lower() in report.lower()
    assert advice in report


def test_comparators_of_counts_do_not_compare_splits(tmp_path: Path, shop: Path) -> None:
    schema = """
    feature { name: "company" type: BYTES } feature { name: "price" type: FLOAT drift_comparator { } }
    dataset_constraints { num_examples_drift_comparator { min_fraction_threshold: 0.9 max_fraction_threshold: 1.1 } }
    """
    run_validate(shop, write_schema(tmp_path / "schema", schema), tmp_path / "out")
    assert valid(tmp_path / "out") == "true"


def read_penguins(name: str) -> list[Row]:
    with shared(f"{PENGUIN}/{name}/penguins_processed.csv").open() as stream:
        return [
            {
                key: ("Adelie", "Chinstrap", "Gentoo")[int(value)] if key == "species" else float(value)
                for key, value in row.items()
            }
            for row in csv.DictReader(stream)
        ]


@pytest.fixture(scope="module")
def penguins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Statistics of real penguins: every second in train, the others in eval, and only the Gentoos in later."""
    rows = read_penguins("labelled")
    later = [row for row in rows if row["species"] == "Gentoo"]
    splits = {"train": rows[::2], "eval": rows[1::2], "later": later}
    return make_statistics(tmp_path_factory.mktemp("penguins"), splits)


@pytest.mark.parametrize("comparator", ["drift_comparator", "skew_comparator"])
def test_a_split_that_differs_from_train_is_found(tmp_path: Path, penguins: Path, comparator: str) -> None:
    distance = "jensen_shannon_divergence { threshold: 0.2 }"
    schema = f'feature {{ name: "species" type: BYTES {comparator} {{ infinity_norm {{ threshold: 0.1 }} }} }}'
    for name in ("culmen_length_mm", "culmen_depth_mm", "flipper_length_mm", "body_mass_g"):
        schema += f'feature {{ name: "{name}" type: FLOAT {comparator} {{ {distance} }} }}'
    execution = run_validate(penguins, write_schema(tmp_path / "schema", schema), tmp_path / "out")
    assert valid(tmp_path / "out") == "false"
    assert not anomalies(tmp_path / "out", "train").anomaly_info
    assert not anomalies(tmp_path / "out", "eval").anomaly_info
    assert {"species", "flipper_length_mm", "body_mass_g"} <= set(anomalies(tmp_path / "out", "later").anomaly_info)
    assert (
        "later: body_mass_g: The approximate Jensen-Shannon divergence"
        in execution.outputs["anomalies"].metadata["summary"]
    )
    report = (tmp_path / "out" / "report").read_text()
    assert "Drift and skew" in report
    assert "too far" in report
    assert "within" in report
    assert "raise the comparator&#x27;s threshold" in report


def test_without_comparators_nothing_is_compared(tmp_path: Path, penguins: Path) -> None:
    run_schema(penguins, tmp_path)
    run_validate(penguins, tmp_path / "schema", tmp_path / "out")
    assert not anomalies(tmp_path / "out", "later").drift_skew_info
    assert valid(tmp_path / "out") == "true"


def test_the_one_spoilt_penguin_of_tfx_is_found(tmp_path: Path) -> None:
    # Their copy has one bill of length -1 among 334: no distance of distributions sees it, a domain does.
    statistics = make_statistics(tmp_path, {"train": read_penguins("labelled"), "eval": read_penguins("skewed")})
    run_schema(statistics, tmp_path)
    file = tmp_path / "schema" / "schema.pbtxt"
    text = file.read_text().replace(
        'name: "culmen_length_mm"', 'name: "culmen_length_mm" float_domain { min: 0 max: 1 }'
    )
    file.write_text(text)
    execution = run_validate(statistics, tmp_path / "schema", tmp_path / "out")
    assert execution.outputs["anomalies"].metadata["errors"] == 1
    assert (
        execution.outputs["anomalies"]
        .metadata["summary"]
        .startswith("eval: culmen_length_mm: Unexpectedly low values: -1")
    )


def test_penguins_of_tfx_fit_the_schema_of_tfx(tmp_path: Path) -> None:
    root = "tfx_testdata/head/tfx/components/testdata/penguin"
    run_statistics(shared(f"{root}/data"), tmp_path)
    schema_file = shared(f"{root}/schema/schema.pbtxt")
    run_schema(tmp_path / "statistics", tmp_path, schema_file=schema_file)
    execution = run_validate(tmp_path / "statistics", tmp_path / "schema", tmp_path / "out")
    assert execution.outputs["anomalies"].metadata["summary"] == "no anomalies in train, eval"


def test_same_input_gives_the_same_bytes(tmp_path: Path, shop: Path) -> None:
    schema = write_schema(tmp_path / "schema", 'feature { name: "zebra" type: INT presence { min_count: 1 } }')
    runs = [run_validate(shop, schema, tmp_path / name) for name in ("one", "two")]
    for output in ("anomalies", "report"):
        assert len({run.outputs[output].metadata["digest"] for run in runs}) == 1


def test_hundreds_of_anomalies_stay_a_small_page(tmp_path: Path) -> None:
    rows: list[Row] = [{f"{'long ' * 40}{number}": "v" * 1000 for number in range(700)}]
    statistics = make_statistics(tmp_path, {"train": rows})
    execution = run_validate(
        statistics, write_schema(tmp_path / "schema", 'feature { name: "a" type: INT }'), tmp_path / "out"
    )
    assert execution.outputs["anomalies"].metadata["errors"] == 700
    assert (tmp_path / "out" / "report").stat().st_size < 1_000_000
    assert len(execution.outputs["anomalies"].metadata["summary"]) < 3000


def test_statistics_or_schema_that_are_missing(tmp_path: Path, shop: Path) -> None:
    (tmp_path / "nothing").mkdir()
    schema = write_schema(tmp_path / "schema", STRICT)
    with pytest.raises(InputError, match="no Split-<name> folders"):
        run_validate(tmp_path / "nothing", schema, tmp_path / "out")
    with pytest.raises(InputError, match=r"schema.pbtxt: no such schema file"):
        run_validate(shop, tmp_path / "nothing", tmp_path / "out")


def test_every_kind_of_anomaly_has_advice() -> None:
    from components.validate.findings import findings

    for kind in anomalies_pb2.AnomalyInfo.Type.values():
        message = anomalies_pb2.Anomalies()
        message.anomaly_info["a"].reason.add(type=kind)
        assert all(finding.advice for finding in findings({"train": message}))


IMAGES = """
feature { name: "image" type: BYTES image_domain {} shape { dim { size: 1 } } presence { min_fraction: 1 } }
feature { name: "image_name" type: BYTES shape { dim { size: 1 } } presence { min_fraction: 1 min_count: 1 } }
feature { name: "width" type: INT shape { dim { size: 1 } } presence { min_fraction: 1 min_count: 1 } }
"""


def test_encoded_images_by_an_inferred_and_by_a_curated_schema(tmp_path: Path) -> None:
    rows: list[Row] = [
        {"image": image_files.jpeg(number), "image_name": f"cat/{number}.jpg", "width": 64} for number in range(40)
    ]
    statistics = make_statistics(tmp_path, {"train": rows[:30], "eval": rows[30:]})
    size = (statistics / "Split-train" / "FeatureStats.pb").stat().st_size
    assert size < 20_000, "no image is kept in the statistics"
    run_schema(statistics, tmp_path / "inferred")
    run_validate(statistics, tmp_path / "inferred" / "schema", tmp_path / "1")
    assert valid(tmp_path / "1") == "true"
    run_validate(statistics, write_schema(tmp_path / "curated", IMAGES), tmp_path / "2")
    assert valid(tmp_path / "2") == "true"


ASKED = """
feature { name: "price" type: FLOAT presence { min_fraction: 1 } }
feature { name: "company" type: BYTES presence { min_count: 1 } }
"""
OF_A_VERSION = {"source": "version"}


def test_to_what_a_model_is_asked_other_columns_are_a_warning_and_few_rows_no_fault(tmp_path: Path) -> None:
    statistics = make_statistics(tmp_path / "few", {"all": [{"id": 7, "price": 1.0, "company": None}]})
    schema = write_schema(tmp_path / "schema", ASKED)
    run_validate(statistics, schema, tmp_path / "training")
    assert {name: info.severity for name, info in anomalies(tmp_path / "training", "all").anomaly_info.items()} == {
        "id": anomalies_pb2.AnomalyInfo.ERROR, "company": anomalies_pb2.AnomalyInfo.ERROR,
    }  # fmt: skip
    run_validate(statistics, schema, tmp_path / "asking", schema_metadata=OF_A_VERSION)
    assert {name: info.severity for name, info in anomalies(tmp_path / "asking", "all").anomaly_info.items()} == {
        "id": anomalies_pb2.AnomalyInfo.WARNING,
    }  # fmt: skip
    assert valid(tmp_path / "asking") == "true"


@pytest.mark.parametrize("row", [{"company": "a"}, {"price": 1.0}, {"price": "cheap", "company": "a"}])
def test_what_a_model_is_asked_with_has_to_be_there_and_of_its_type(tmp_path: Path, row: Row) -> None:
    statistics = make_statistics(tmp_path / "data", {"all": [row]})
    run_validate(statistics, write_schema(tmp_path / "schema", ASKED), tmp_path, schema_metadata=OF_A_VERSION)
    assert valid(tmp_path) == "false"


def test_a_warning_is_no_part_of_why_data_is_invalid(tmp_path: Path) -> None:
    statistics = make_statistics(tmp_path / "data", {"all": [{"company": "a", "id": 7}]})
    schema = write_schema(tmp_path / "schema", ASKED)
    for on_anomalies, before in ("stop", ""), ("warn", "1 error let through: "):
        done = run_validate(
            statistics, schema, tmp_path / on_anomalies, on_anomalies=on_anomalies, schema_metadata=OF_A_VERSION
        )
        metadata = done.outputs["anomalies"].metadata
        assert (metadata["anomalies"], metadata["errors"]) == (2, 1)
        assert metadata["summary"] == f"{before}all: price: Column is completely missing"
