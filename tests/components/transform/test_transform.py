"""What the transform stage makes of small data, and what it says to wrong input."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_transform as tft

from components.runtime.data import examples, tfrecord
from components.runtime.data.beam import pipeline
from components.runtime.errors import InputError, TransientError, classify
from components.runtime.stage.artifacts import content_digest
from components.transform.faults import users_fault
from tests.components.transform.transform_support import (
    OUTPUTS,
    read_split,
    run_transform,
    write_examples,
    write_module,
    write_schema,
)
from tests.support import run_stage

TRAIN: list[list[dict[str, Any]]] = [
    [{"x": 1.2, "name": "b", "n": 3}, {"x": 2.99, "name": "a", "n": None}],
    [{"x": 100.0, "name": "b", "n": 5}],
]
EVAL: list[dict[str, Any]] = [{"x": 50.6, "name": "c", "n": 1}, {"x": None, "name": None, "n": None}]

BODY = """x = one(inputs['x'])
return {
    'x_01': tft.scale_to_0_1(x),
    'x_z_bucket': tft.bucketize(tft.scale_to_z_score(x), 2),
    'name_id': tft.compute_and_apply_vocabulary(one(inputs['name']), num_oov_buckets=1, vocab_filename='names'),
    'n': inputs['n'],
    'pair': tf.stack([x, x * 2], axis=1),
    'text': tf.strings.join([one(inputs['name']), '!']),
}"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    folder = tmp_path_factory.mktemp("inputs")
    data = write_examples(folder / "examples", {"train": TRAIN, "eval": EVAL})
    return data, write_schema(folder / "schema", x=float, name=str, n=int), write_module(folder, BODY)


@pytest.fixture(scope="module")
def made(inputs: tuple[Path, Path, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run_transform(tmp_path_factory.mktemp("made"), *inputs)


def test_statistics_come_from_train_alone_and_every_split_is_transformed(made: Path) -> None:
    train, held_out = read_split(made, "train"), read_split(made, "eval")
    assert [row["x_01"][0] for row in train] == pytest.approx([0.0, 0.018117407, 1.0], abs=1e-7)
    assert held_out[0]["x_01"] == pytest.approx([0.5])
    assert [row["name_id"] for row in train + held_out] == [[0], [1], [0], [2], [2]]
    assert [row["x_z_bucket"] for row in train] == [[0], [1], [1]]


def test_shapes_and_kinds_of_outputs_are_kept(made: Path) -> None:
    rows = read_split(made, "train") + read_split(made, "eval")
    assert [row["n"] for row in rows] == [[3], [], [5], [1], []]
    assert rows[0]["pair"] == pytest.approx([1.2, 2.4])
    assert [row["text"] for row in rows] == [[b"b!"], [b"a!"], [b"b!"], [b"c!"], [b"!"]]
    spec = tft.TFTransformOutput(str(made / "transform_graph")).transformed_feature_spec()
    assert spec["x_01"] == tf.io.FixedLenFeature([], tf.float32)
    assert spec["pair"] == tf.io.FixedLenFeature([2], tf.float32)
    assert spec["n"] == tf.io.VarLenFeature(tf.int64)


def test_files_follow_those_of_the_input_and_hold_canonical_examples(made: Path) -> None:
    names = sorted(path.relative_to(made).as_posix() for path in (made / "transformed_examples").rglob("*.gz"))
    assert names == [
        "transformed_examples/Split-eval/transformed_examples-00000-of-00001.gz",
        "transformed_examples/Split-train/transformed_examples-00000-of-00002.gz",
        "transformed_examples/Split-train/transformed_examples-00001-of-00002.gz",
    ]
    for name in names:
        with gzip.open(made / name) as stream:
            assert stream.read(1)
        for record in tfrecord.read(made / name):
            assert record == examples.canonical(record)[0]


def test_the_graph_is_what_tf_transform_output_reads(made: Path, inputs: tuple[Path, Path, str]) -> None:
    graph = made / "transform_graph"
    assert sorted(path.name for path in graph.iterdir()) == ["metadata", "transform_fn", "transformed_metadata"]
    assert (graph / "metadata" / "schema.pbtxt").read_bytes() == (inputs[1] / "schema.pbtxt").read_bytes()
    output = tft.TFTransformOutput(str(graph))
    assert set(output.raw_feature_spec()) == {"x", "name", "n"}
    assert output.vocabulary_by_name("names") == [b"b", b"a"]
    raw = [examples.encode(row) for row in EVAL]
    parsed = tf.io.parse_example(raw, output.raw_feature_spec())
    served = output.transform_features_layer()(parsed)
    stored = read_split(made, "eval")
    np.testing.assert_allclose(served["x_01"].numpy(), [row["x_01"][0] for row in stored])
    np.testing.assert_array_equal(served["name_id"].numpy(), [row["name_id"][0] for row in stored])


def test_the_graph_works_where_it_is_copied_to(made: Path, tmp_path: Path) -> None:
    # Its tables are called after the paths of the vocabularies in the folder where TensorFlow Transform made them.
    graph = shutil.copytree(made / "transform_graph", tmp_path / "elsewhere")
    made.joinpath("transform_graph").rename(tmp_path / "away")
    try:
        output = tft.TFTransformOutput(str(graph))
        parsed = tf.io.parse_example([examples.encode(row) for row in EVAL], output.raw_feature_spec())
        assert output.transform_raw_features(parsed)["name_id"].numpy().tolist() == [2, 2]
        assert all(
            "/" not in name for name in json.loads((graph / "transformed_metadata" / "asset_map").read_text()).values()
        )
    finally:
        (tmp_path / "away").rename(made / "transform_graph")


def test_metadata_counts_rows_and_features(made: Path) -> None:
    output = json.loads((made / "executor_output.json").read_text())["artifacts"]
    graph, transformed = (output[name]["artifacts"][0]["metadata"] for name in OUTPUTS[:2])
    assert graph["features"] == 6
    assert (transformed["rows"], transformed["rows_train"], transformed["rows_eval"]) == (5, 3, 2)
    assert transformed["splits"] == ["eval", "train"]


def test_the_same_input_gives_the_same_bytes(made: Path, inputs: tuple[Path, Path, str], tmp_path: Path) -> None:
    again = run_transform(tmp_path / "again", *inputs)
    assert content_digest(again / "transformed_examples") == content_digest(made / "transformed_examples")
    answers = []
    for folder in (made, again):
        output = tft.TFTransformOutput(str(folder / "transform_graph"))
        parsed = tf.io.parse_example([examples.encode(row) for row in EVAL], output.raw_feature_spec())
        answers.append(output.transform_raw_features(parsed))
    for name in ("x_01", "name_id", "pair", "text"):
        np.testing.assert_array_equal(answers[0][name].numpy(), answers[1][name].numpy())


NOT_FINITE = """x = tf.squeeze(tf.sparse.to_dense(inputs['x'], float('nan')), axis=1)
return {'x': x, 'pair': tf.stack([x, 1 / (x - 1.2)], axis=1), 'sparse': inputs['x'], 'n': inputs['n']}"""


@pytest.mark.parametrize("beam_options", [[], ["--runner=FnApiRunner"]])
def test_values_that_are_not_finite_are_counted(
    inputs: tuple[Path, Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str], beam_options: list[str]
) -> None:
    module = write_module(tmp_path, NOT_FINITE)
    made = run_transform(tmp_path / "out", *inputs[:2], module, beam_options=beam_options)
    metadata = json.loads((made / "executor_output.json").read_text())["artifacts"]["transformed_examples"]
    expected = ["pair: 1 infinite in train, 2 NaN in eval", "x: 1 NaN in eval"]
    assert metadata["artifacts"][0]["metadata"]["not_finite"] == "; ".join(expected)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "not finite" in line] == [
        f"progress: warning: not finite: {line}" for line in expected
    ]
    page = (made / "report").read_text()
    assert "Features with values that are NaN or infinite: 2 of 4" in page


def test_values_that_are_not_finite_end_the_stage_where_asked(inputs: tuple[Path, Path, str], tmp_path: Path) -> None:
    module = write_module(tmp_path, NOT_FINITE)
    words = "NaN or infinite: pair: 1 infinite in train, 2 NaN in eval; x: 1 NaN in eval; replace them in"
    with pytest.raises(InputError, match=words):
        run_transform(tmp_path / "out", *inputs[:2], module, on_not_finite="fail")


def test_custom_config_reaches_the_function(inputs: tuple[Path, Path, str], tmp_path: Path) -> None:
    module = write_module(
        tmp_path,
        "return {'y': one(inputs['x']) * custom_config['factor']}",
        "def preprocessing_fn(inputs, custom_config):",
    )
    made = run_transform(tmp_path / "out", *inputs[:2], module, custom_config={"factor": 10.0})
    assert [row["y"][0] for row in read_split(made, "train")] == pytest.approx([12.0, 29.9, 1000.0])


def test_a_fault_of_the_users_code_names_its_line(inputs: tuple[Path, Path, str], tmp_path: Path) -> None:
    module = write_module(tmp_path, "raise ValueError(f'it is {tf.keras.__version__}')")
    with pytest.raises(InputError, match=rf"^{module}:8: ValueError: it is 3\."):
        run_transform(tmp_path / "out", *inputs[:2], module)


@pytest.mark.slow
def test_tf_keras_is_keras_3_in_the_users_code(inputs: tuple[Path, Path, str], tmp_path: Path) -> None:
    # TensorFlow Transform makes it Keras 2 when it is imported; a process of its own sees that.
    module = write_module(tmp_path, "raise ValueError(f'it is {tf.keras.__version__}')")
    result = run_stage(
        "transform",
        tmp_path / "out",
        parameters={"module_file": module, "custom_config": {}, "beam_options": [], "on_not_finite": "warn"},
        inputs={"examples": inputs[0], "schema": inputs[1]},
        outputs=OUTPUTS,
    )
    assert result.exit_code == 65
    assert "ValueError: it is 3." in result.error
    assert result.error.startswith(f"{module}:8: ")
    assert "Traceback" not in result.stderr.split("error: ")[-1]
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            "return {'y': inputs['nam']}",
            r"preprocessing\.py:8: UnknownFeature: feature 'nam' is not in the schema; "
            r"did you mean 'name'\? it has: n, name, x \(in preprocessing_fn\)",
        ),
        ("return one(inputs['x'])", r"preprocessing\.py:7: preprocessing_fn returned a .*Tensor, expected a dict"),
        ("pass", r"preprocessing\.py:7: preprocessing_fn returned a NoneType, expected a dict"),
        ("return {}", r"preprocessing\.py:7: preprocessing_fn returned no features"),
        ("return {'y': 3}", r"preprocessing\.py:7: preprocessing_fn returned a int for 'y', expected a tensor"),
        ("return {'y': tf.matmul(one(inputs['x']), 2)}", r"preprocessing\.py:8: .*Error: .* \(in preprocessing_fn\)"),
        ("return {'y': 1 / 0}", r"preprocessing\.py:8: ZeroDivisionError: division by zero \(in preprocessing_fn\)"),
        (
            "return {'y': tft.scale_to_z_score(tf.strings.to_number(one(inputs['name'])))}",
            r"analysis of the split 'train' by preprocessing_fn fails: StringToNumberOp could not correctly convert",
        ),
        (
            "return {'y': tf.strings.to_number(one(inputs['name']))}",
            r"00000-of-00002\.gz, rows 1 to 2: the transformation by preprocessing_fn fails: StringToNumberOp",
        ),
    ],
)
def test_faults_of_preprocessing_fn(inputs: tuple[Path, Path, str], tmp_path: Path, body: str, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        run_transform(tmp_path / "out", *inputs[:2], write_module(tmp_path, body))
    assert not list((tmp_path / "out").iterdir())


def test_a_fault_in_a_rare_row_names_the_file(tmp_path: Path) -> None:
    data = write_examples(
        tmp_path / "examples", {"train": [[{"v": "1"}], [{"v": "2"}]], "eval": [{"v": "3"}, {"v": "x"}]}
    )
    module = write_module(tmp_path, "return {'y': tf.strings.to_number(one(inputs['v']))}")
    with pytest.raises(InputError, match=r"Split-eval/data_tfrecord-00000-of-00001\.gz, rows 1 to 2: .* x"):
        run_transform(tmp_path / "out", data, write_schema(tmp_path / "schema", v=str), module)
    assert not list((tmp_path / "out").iterdir())


def test_files_without_rows_among_others_are_kept(tmp_path: Path) -> None:
    data = write_examples(tmp_path / "examples", {"train": [[{"v": 1.0}], [], [{"v": 3.0}]], "eval": []})
    module = write_module(tmp_path, "return {'y': tft.scale_to_z_score(one(inputs['v']))}")
    made = run_transform(tmp_path / "out", data, write_schema(tmp_path / "schema", v=float), module)
    assert [row["y"] for row in read_split(made, "train")] == [[-1.0], [1.0]]
    assert read_split(made, "eval") == []
    assert len(list((made / "transformed_examples" / "Split-train").iterdir())) == 3


def test_schema_that_contradicts_the_data_names_the_record(tmp_path: Path) -> None:
    data = write_examples(tmp_path / "examples", {"train": [{"v": 1.5}, {"v": 2}]})
    module = write_module(tmp_path, "return {'y': tft.scale_to_z_score(one(inputs['v']))}")
    with pytest.raises(InputError, match=r"data_tfrecord-00000-of-00001\.gz: record 2 does not fit the schema: .*v"):
        run_transform(tmp_path / "out", data, write_schema(tmp_path / "schema", v=float), module)


def test_a_row_without_a_value_that_its_shape_needs_is_the_datas_fault(tmp_path: Path) -> None:
    data = write_examples(tmp_path / "examples", {"train": [{"v": 1.5}, {"v": 2.5}], "eval": [{"v": 1.0}, {"w": 1.0}]})
    schema = write_schema(tmp_path / "schema", v=float)
    (schema / "schema.pbtxt").write_text('feature { name: "v" type: FLOAT presence { min_fraction: 1 } shape {} }')
    module = write_module(tmp_path, "return {'y': inputs['v']}")
    fault = (
        r"Split-eval/.*-of-00001\.gz: record 2 does not fit the schema: feature 'v' has no values, but 1 by its shape"
    )
    with pytest.raises(InputError, match=fault):
        run_transform(tmp_path / "out", data, schema, module)


def test_a_schema_without_features_to_transform(tmp_path: Path, inputs: tuple[Path, Path, str]) -> None:
    schema = write_schema(tmp_path / "schema", v=float)
    (schema / "schema.pbtxt").write_text('feature { name: "v" type: FLOAT lifecycle_stage: DEPRECATED }')
    with pytest.raises(
        InputError, match=r"schema\.pbtxt: no features to transform, for those whose lifecycle_stage is"
    ):
        run_transform(tmp_path / "out", inputs[0], schema, inputs[2])


@pytest.mark.parametrize(
    "trace", ["<stack traces unavailable>\n", '  File "a.py", line 5, in f\n\n  File "b.py", in g\n\n']
)
def test_of_a_graphs_fault_the_reason_is_told(trace: str) -> None:
    node = f"Detected at node a/Assert defined at (most recent call last):\n{trace}"
    text = f"Graph execution error:\n\n{node}{node}C TOO LARGE\n\t [[{{{{node a/Assert}}}}]] [Op:__inference_f_46]"
    fault = users_fault(tf.errors.InvalidArgumentError(None, None, text), "it")
    assert str(fault) == "it by preprocessing_fn fails: C TOO LARGE"


def test_what_beam_says_of_the_step_is_left_out_and_brackets_of_the_reason_stay() -> None:
    def fail(value: int) -> None:
        raise ValueError(f"cell [{value}, 2] of [train] is odd")

    with (
        pytest.raises(ValueError, match=r"\[while running 'Decode\[train\]/A\[b c\]'\]") as raised,
        pipeline([]) as run,
    ):
        _ = run | beam.Create([1]) | "Decode[train]/A[b c]" >> beam.Map(fail)
    told = "cell [1, 2] of [train] is odd"
    assert str(users_fault(raised.value, "it")) == f"it by preprocessing_fn fails: {told}"
    twice = ValueError(f"{told} [while running 'A[b]'] [while running 'C']")
    assert str(users_fault(twice, "it")) == f"it by preprocessing_fn fails: {told}"


def test_of_an_operation_outside_of_graphs_the_reason_is_told() -> None:
    with pytest.raises(tf.errors.InvalidArgumentError) as raised:
        tf.strings.to_number("[a]")
    fault = users_fault(raised.value, "it")
    assert str(fault) == "it by preprocessing_fn fails: StringToNumberOp could not correctly convert string: [a]"


def test_corrupt_and_truncated_files(tmp_path: Path) -> None:
    module = write_module(tmp_path, "return {'y': tft.scale_to_z_score(one(inputs['v']))}")
    schema = write_schema(tmp_path / "schema", v=float)
    data = write_examples(tmp_path / "truncated", {"train": [{"v": float(index)} for index in range(50)]})
    file = data / "Split-train" / "data_tfrecord-00000-of-00001.gz"
    file.write_bytes(file.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"data_tfrecord-00000-of-00001\.gz.*truncated or corrupt"):
        run_transform(tmp_path / "out", data, schema, module)
    (tmp_path / "junk" / "Split-train").mkdir(parents=True)
    tfrecord.write(tmp_path / "junk" / "Split-train" / "data.gz", [b"this is no tf.Example"])
    with pytest.raises(InputError, match=r"data\.gz: record 1 does not fit the schema"):
        run_transform(tmp_path / "out", tmp_path / "junk", schema, module)


def test_splits_that_cannot_be_learned_from(tmp_path: Path, inputs: tuple[Path, Path, str]) -> None:
    module = write_module(tmp_path, "return {'y': tft.scale_to_z_score(one(inputs['x']))}")
    data = write_examples(tmp_path / "other", {"eval": EVAL})
    with pytest.raises(InputError, match="no split 'train', it has: eval"):
        run_transform(tmp_path / "out", data, inputs[1], module)
    (tmp_path / "empty" / "Split-train").mkdir(parents=True)
    with pytest.raises(InputError, match="no files in this split"):
        run_transform(tmp_path / "out", tmp_path / "empty", inputs[1], module)
    data = write_examples(tmp_path / "no_rows", {"train": [], "eval": EVAL})
    with pytest.raises(InputError, match="Split-train: no rows to learn from"):
        run_transform(tmp_path / "out", data, inputs[1], module)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["runner=FlinkRunner"], "'runner=FlinkRunner' is not an option"),
        ([3], "3 is not an option"),
        (["--runner=NoSuchRunner"], "NoSuchRunner"),
        (["--direct_num_workers=many"], "argument --direct_num_workers: invalid int value: 'many'"),
        (["--runner=PortableRunner"], "PortableRunner needs --job_endpoint"),
        (["--job_endpoint=localhost:1", "--environment_type=EXTERN"], "'EXTERN'; write one of: DOCKER, EXTERNAL"),
    ],
)
def test_malformed_beam_options(
    inputs: tuple[Path, Path, str], tmp_path: Path, options: list[Any], expected: str
) -> None:
    with pytest.raises(InputError, match=expected):
        run_transform(tmp_path / "out", *inputs, beam_options=options)


def test_a_full_disk_passes_through_beam(
    inputs: tuple[Path, Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # /dev/full refuses every byte as a full disk does.
    monkeypatch.setattr(tfrecord.Writer, "__init__", _full_disk(tfrecord.Writer.__init__))
    module = write_module(tmp_path, "return {'y': one(inputs['x'])}")
    with pytest.raises(Exception, match=r".*") as caught:
        run_transform(tmp_path / "out", *inputs[:2], module)
    known = classify(caught.value)
    assert isinstance(known, TransientError), caught.value
    assert "No space left on device" in str(known)
    assert not list((tmp_path / "out").iterdir())


def _full_disk(original: Any) -> Any:
    def init(self: Any, path: Path, **options: Any) -> None:
        original(self, Path("/dev/full"), **options)

    return init


@pytest.mark.slow
def test_several_workers_give_the_same_data(made: Path, inputs: tuple[Path, Path, str], tmp_path: Path) -> None:
    options = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    again = run_transform(tmp_path / "again", *inputs, beam_options=options)
    assert read_split(again, "train") == read_split(made, "train")


def test_syntax_error_in_the_module(inputs: tuple[Path, Path, str], tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"preprocessing\.py:8: SyntaxError: '\[' was never closed"):
        run_transform(tmp_path / "out", *inputs[:2], write_module(tmp_path, "return inputs['x'"))


@pytest.mark.parametrize("text", [None, "def preprocess(inputs):\n    return inputs\n"])
def test_module_or_function_missing(inputs: tuple[Path, Path, str], tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "user.py"
    if text:
        file.write_text(text)
    expected = "did you mean 'preprocess'" if text else r"user\.py: no such file"
    with pytest.raises(InputError, match=expected):
        run_transform(tmp_path / "out", *inputs[:2], str(file))
