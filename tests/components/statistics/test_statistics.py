"""The statistics stage: what it writes, what it refuses, and data that is odd but valid."""

from __future__ import annotations

import gzip
import io
import math
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
from PIL import Image
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.runtime.data import records, tfrecord
from components.runtime.data import statistics as compute
from components.runtime.errors import InputError, TransientError, classify
from components.statistics import page, splits
from tests.support import run_stage, shared
from tests.support_tfdv import Row, example, left_behind, run_statistics, write_examples

Features = dict[str, statistics_pb2.FeatureNameStatistics]
FILE = "data_tfrecord-00000-of-00001.gz"


def load(folder: Path, split: str = "train") -> Features:
    loaded = tfdv.load_stats_binary(str(folder / "statistics" / f"Split-{split}" / "FeatureStats.pb"))
    return {".".join(feature.path.step): feature for feature in loaded.datasets[0].features}


def test_every_split_has_statistics_and_metadata(tmp_path: Path) -> None:
    examples = write_examples(
        tmp_path / "examples", {"eval": [{"a": 1}] * 3, "train": [{"a": 2, "b": "x"}, {"a": 0, "b": None}]}, shards=2
    )
    execution = run_statistics(examples, tmp_path / "out")
    metadata = execution.outputs["statistics"].metadata
    assert metadata["splits"] == ["train", "eval"]
    assert metadata["rows"] == 5
    train = load(tmp_path / "out")
    assert (train["a"].num_stats.min, train["a"].num_stats.max, train["a"].num_stats.num_zeros) == (0, 2, 1)
    assert train["b"].string_stats.common_stats.num_missing == 1
    assert [(top.value, top.frequency) for top in train["b"].string_stats.top_values] == [("x", 1)]
    assert "b" not in load(tmp_path / "out", "eval")


def test_same_data_gives_the_same_bytes_in_another_process(tmp_path: Path) -> None:
    rows = [{f"feature {number}": f"{row % 7} {number}" for number in range(20)} for row in range(50)]
    examples = write_examples(tmp_path / "examples", {"train": rows, "eval": rows[:9]})
    execution = run_statistics(examples, tmp_path / "here")
    result = run_stage(
        "statistics",
        tmp_path / "there",
        parameters={"schema_file": "", "beam_options": []},
        inputs={"examples": examples},
        outputs=["statistics", "report"],
    )
    assert result.exit_code == 0, result.stderr
    for output in ("statistics", "report"):
        assert result.metadata(output)["digest"] == execution.outputs[output].metadata["digest"]


def test_processes_give_the_same_bytes_and_the_same_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[Row] = [{"a": number * 0.1, "b": f"word {number % 3}", "c": number % 4} for number in range(500)]
    examples = write_examples(tmp_path / "examples", {"train": rows, "eval": rows[:100]}, shards=3)
    schema = tmp_path / "schema.pbtxt"
    schema.write_text('feature { name: "c" type: INT int_domain { is_categorical: true } }')
    serial = run_statistics(examples, tmp_path / "serial", schema_file=schema)
    assert load(tmp_path / "serial")["c"].string_stats.unique == 4
    monkeypatch.setattr(splits, "PARALLEL_BYTES", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    parallel = run_statistics(examples, tmp_path / "parallel", schema_file=schema)
    for output in ("statistics", "report"):
        assert parallel.outputs[output].metadata["digest"] == serial.outputs[output].metadata["digest"]
    file = next((examples / "Split-eval").glob("*.gz"))
    file.write_bytes(file.read_bytes()[:-5])
    with pytest.raises(InputError, match=file.name):
        run_statistics(examples, tmp_path / "damaged")
    assert left_behind(tmp_path / "damaged") == []


def test_files_of_one_split_are_divided_among_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = write_examples(tmp_path / "examples", {"train": [{"a": number} for number in range(90)]}, shards=3)
    processes = tmp_path / "processes"
    processes.mkdir()

    def noted(file: Path, *rest: Any) -> compute.Collector:
        (processes / str(os.getpid())).touch()
        # Until another process has begun a file: where there is none, it waits for nothing.
        for _ in range(500):
            if len(list(processes.iterdir())) > 1:
                break
            time.sleep(0.01)
        return compute.collect(file, *rest)

    monkeypatch.setattr(splits, "PARALLEL_BYTES", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(splits, "collect", noted)
    run_statistics(examples, tmp_path / "out")
    assert len({file.name for file in processes.iterdir()} - {str(os.getpid())}) == 2
    assert load(tmp_path / "out")["a"].num_stats.common_stats.num_non_missing == 90


@pytest.mark.parametrize("processes", [1, 2])
def test_a_feature_of_another_type_in_another_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    examples = write_examples(tmp_path / "examples", {"train": [{"a": 1}, {"a": 1.5}]}, shards=2)
    monkeypatch.setattr(splits, "PARALLEL_BYTES", 0)
    monkeypatch.setattr("os.cpu_count", lambda: processes)
    with pytest.raises(InputError, match=r"feature 'a' is a float, but an integer in .*, record 1"):
        run_statistics(examples, tmp_path / "out")


def test_a_killed_process_is_worth_another_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = write_examples(tmp_path / "examples", {"train": [{"a": 1}], "eval": [{"a": 1}]})
    monkeypatch.setattr(splits, "PARALLEL_BYTES", 0)
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    monkeypatch.setattr(splits, "collect", lambda *_: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(TransientError, match="killed, most likely for memory"):
        run_statistics(examples, tmp_path / "out")


def test_batches_are_bounded_by_bytes_and_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.gz"
    tfrecord.write(file, [bytes(size) for size in (10, 10, 10, 5000, 10, 10)])
    monkeypatch.setattr(records, "BATCH_BYTES", 1000)
    assert [len(batch) for batch in records.batches([file, file])] == [4, 6, 2]
    monkeypatch.setattr(records, "BATCH_ROWS", 2)
    assert [len(batch) for batch in records.batches([file])] == [2, 2, 2]


def test_a_feature_without_values_in_the_first_batches_gets_its_type_from_later_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(records, "BATCH_ROWS", 10)
    rows = [{"late": None, "never": None, "always": 1}] * 30 + [{"late": 2.5, "never": None, "always": 1}] * 10
    run_statistics(write_examples(tmp_path / "examples", {"train": rows}), tmp_path / "out")
    found = load(tmp_path / "out")
    assert found["late"].type == statistics_pb2.FeatureNameStatistics.FLOAT
    assert found["late"].num_stats.common_stats.num_non_missing == 10
    assert found["never"].string_stats.common_stats.num_missing == 40
    assert "no values at all" in (tmp_path / "out" / "report").read_text()


def test_nan_and_infinite_values(tmp_path: Path) -> None:
    rows = [{"a": math.nan, "b": math.inf}, {"a": 1.0, "b": -math.inf}, {"a": 3.0, "b": 1.0}]
    run_statistics(write_examples(tmp_path / "examples", {"train": rows}), tmp_path / "out")
    found = load(tmp_path / "out")
    assert found["a"].num_stats.histograms[0].num_nan == 1
    assert found["a"].num_stats.mean == 2
    report = (tmp_path / "out" / "report").read_text()
    assert "has NaN" in report
    assert "has infinite values" in report


def test_digits_as_bytes_and_as_floats(tmp_path: Path) -> None:
    table = np.loadtxt(shared("digits/sklearn-digits/digits.csv"), delimiter=",", skiprows=1, max_rows=300)
    pixels, labels = table[:, :64], table[:, -1].astype(int)
    raw = [{"image": _png(row), "label": int(label)} for row, label in zip(pixels, labels, strict=True)]
    ready = [{"image_xf": (row / 16).tolist(), "label": int(label)} for row, label in zip(pixels, labels, strict=True)]
    run_statistics(write_examples(tmp_path / "raw", {"train": raw[:200], "eval": raw[200:]}), tmp_path / "out")
    image = load(tmp_path / "out")["image"].string_stats
    assert image.unique == 200
    assert image.invalid_utf8_count == 200
    run_statistics(write_examples(tmp_path / "xf", {"train": ready[:200], "eval": ready[200:]}), tmp_path / "out_xf")
    common = load(tmp_path / "out_xf")["image_xf"].num_stats.common_stats
    assert (common.min_num_values, common.max_num_values, common.tot_num_values) == (64, 64, 200 * 64)
    assert load(tmp_path / "out_xf")["image_xf"].num_stats.mean == pytest.approx(pixels[:200].mean() / 16, rel=1e-6)
    assert "float × 64" in (tmp_path / "out_xf" / "report").read_text()


def test_large_values_leave_no_trace_in_the_statistics(tmp_path: Path) -> None:
    rows = [{"blob": bytes([255, number]) * 500_000, "essay": "é" * 50_000 + str(number)} for number in range(20)]
    run_statistics(write_examples(tmp_path / "examples", {"train": rows}), tmp_path / "out")
    found = load(tmp_path / "out")
    assert found["blob"].string_stats.unique == 20
    assert found["essay"].string_stats.unique == 20
    assert (tmp_path / "out" / "statistics" / "Split-train" / "FeatureStats.pb").stat().st_size < 20_000
    assert len((tmp_path / "out" / "report").read_bytes()) < 100_000


def test_top_values_are_exact_for_thousands_of_distinct_values(tmp_path: Path) -> None:
    # TFDV's default of 1,024 buckets would only bound these counts.
    rows = [{"a": f"rare {number}"} for number in range(5000)] + [{"a": "often"}] * 3 + [{"a": "twice"}] * 2
    run_statistics(write_examples(tmp_path / "examples", {"train": rows}), tmp_path / "out")
    text = load(tmp_path / "out")["a"].string_stats
    assert text.unique == 5002
    assert [(top.value, top.frequency) for top in text.top_values][:2] == [("often", 3), ("twice", 2)]


def test_more_distinct_values_than_the_sketch_holds_are_estimated_and_said_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "SKETCH_SIZE", 1024)
    monkeypatch.setattr(page, "SKETCH_SIZE", 1024)
    rows: list[Row] = [{"a": f"value {number}"} for number in range(5000)]
    run_statistics(write_examples(tmp_path / "examples", {"train": rows}), tmp_path / "out")
    assert load(tmp_path / "out")["a"].string_stats.unique == pytest.approx(5000, rel=0.1)
    assert "more than 1,024 distinct values are estimates" in (tmp_path / "out" / "report").read_text()


def damaged(tmp_path: Path, content: bytes) -> Path:
    examples = write_examples(tmp_path / "examples", {"train": [{"a": 1}] * 20})
    (examples / "Split-train" / FILE).write_bytes(content)
    return examples


def good_bytes(tmp_path: Path) -> bytes:
    file = tmp_path / "good.gz"
    tfrecord.write(file, [example({"a": number}) for number in range(20)])
    return file.read_bytes()


@pytest.mark.parametrize("damage", ["truncated", "flipped", "text"])
def test_a_damaged_file_is_named(tmp_path: Path, damage: str) -> None:
    good = good_bytes(tmp_path)
    plain = bytearray(gzip.decompress(good))
    plain[40] ^= 1
    content = {"truncated": good[:-12], "flipped": gzip.compress(bytes(plain)), "text": b"a,b\n1,2\n"}[damage]
    with pytest.raises(InputError) as caught:
        run_statistics(damaged(tmp_path, content), tmp_path / "out")
    assert FILE in str(caught.value)
    assert "\n" not in str(caught.value)
    assert left_behind(tmp_path / "out") == []


def test_a_damaged_file_ends_the_process_with_65(tmp_path: Path) -> None:
    examples = damaged(tmp_path, good_bytes(tmp_path)[:-12])
    result = run_stage(
        "statistics",
        tmp_path / "out",
        parameters={"schema_file": "", "beam_options": []},
        inputs={"examples": examples},
        outputs=["statistics", "report"],
    )
    assert result.exit_code == 65
    assert FILE in result.error
    assert "Traceback" not in result.stderr
    assert left_behind(tmp_path / "out") == []


def test_a_record_that_is_no_example_is_named(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", {"train": [{"a": 1}]})
    tfrecord.write(examples / "Split-train" / FILE, [example({"a": 1}), b"nothing of the kind"])
    with pytest.raises(InputError, match=f"{FILE}, record 2: not a tf.Example"):
        run_statistics(examples, tmp_path / "out")


@pytest.mark.parametrize("beam_options", [[], ["--runner=FnApiRunner"]])
def test_a_feature_of_two_types_is_named(tmp_path: Path, beam_options: list[str]) -> None:
    examples = write_examples(tmp_path / "examples", {"train": [{"a": 1}, {"a": None}, {"a": 1.5}]})
    with pytest.raises(Exception, match="feature 'a' is") as caught:
        run_statistics(examples, tmp_path / "out", beam_options)
    # Beam wraps what its workers raise; the executor takes the wrapping off by `classify`.
    error = classify(caught.value)
    assert isinstance(error, InputError)
    assert re.search("record 3: feature 'a' is a float, but an integer in .*record 1", str(error))


def test_a_split_without_rows(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", {"train": [{"a": 1}], "eval": []})
    with pytest.raises(InputError, match="the split 'eval' has no rows"):
        run_statistics(examples, tmp_path / "out")


def test_a_split_without_files(tmp_path: Path) -> None:
    examples = write_examples(tmp_path / "examples", {"train": [{"a": 1}]})
    (examples / "Split-eval").mkdir()
    with pytest.raises(InputError, match=r"Split-eval: no \*.gz files"):
        run_statistics(examples, tmp_path / "out")


def test_examples_without_splits(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    with pytest.raises(InputError, match="no Split-<name> folders"):
        run_statistics(tmp_path / "examples", tmp_path / "out")
    assert left_behind(tmp_path / "out") == []


def _png(row: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray((row.reshape(8, 8) * 15).astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def test_hard_texts_are_counted_whole(tmp_path: Path) -> None:
    texts = ["word, " * 170_000, "", " ", "🙏🏽 日本 ça", "before\0after", 'first\n\n"quoted"', b"caf\xe9"]
    examples = write_examples(tmp_path / "examples", {"train": [{"text": text} for text in [*texts, None]]})
    execution = run_statistics(examples, tmp_path)
    assert execution.outputs["statistics"].metadata["rows"] == 8
    found = load(tmp_path)["text"].string_stats
    assert (found.common_stats.num_missing, found.unique) == (1, 7)
    page_text = (tmp_path / "report").read_text(encoding="utf-8")
    assert "日本" in page_text
    assert len(page_text) < 200_000
