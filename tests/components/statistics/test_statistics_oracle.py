"""Our statistics against those that a recorded TFX run made of the same tf.Examples."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest
import tensorflow_data_validation as tfdv
from tensorflow_metadata.proto.v0 import statistics_pb2

from components.runtime.data import tfrecord
from tests.support import shared
from tests.support_tfdv import run_statistics

Statistics: TypeAlias = statistics_pb2.DatasetFeatureStatisticsList
RECORDED_RUN = "tfx_testdata/recorded_run"


def by_name(statistics: Statistics) -> dict[str, statistics_pb2.FeatureNameStatistics]:
    # The recorded run is of a TFDV that named features by `name`, not yet by `path`.
    return {feature.name or ".".join(feature.path.step): feature for feature in statistics.datasets[0].features}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("oracle") / "examples"
    # TFX before 1.0 had no `Split-` in the names of folders.
    shutil.copytree(shared(f"{RECORDED_RUN}/CsvExampleGen/examples/train"), folder / "Split-train")
    return folder


@pytest.fixture(scope="module")
def ours(examples: Path) -> Statistics:
    execution = run_statistics(examples, examples.parent / "out")
    assert execution.outputs["statistics"].metadata["rows"] == 9911
    return tfdv.load_stats_binary(str(examples.parent / "out" / "statistics" / "Split-train" / "FeatureStats.pb"))


@pytest.fixture(scope="module")
def recorded() -> Statistics:
    file = shared(f"{RECORDED_RUN}/StatisticsGen/statistics/train/stats_tfrecord")
    return Statistics.FromString(next(tfrecord.read(file)))


def test_same_rows_features_and_types(ours: Statistics, recorded: Statistics) -> None:
    assert ours.datasets[0].num_examples == recorded.datasets[0].num_examples
    types = {name: entry.type for name, entry in by_name(recorded).items()}
    assert {name: entry.type for name, entry in by_name(ours).items()} == types
    assert len(types) == 18


def test_same_counts_and_missing(ours: Statistics, recorded: Statistics) -> None:
    for name, entry in by_name(recorded).items():
        theirs = getattr(entry, entry.WhichOneof("stats")).common_stats
        mine = getattr(by_name(ours)[name], entry.WhichOneof("stats")).common_stats
        for field in ("num_non_missing", "num_missing", "min_num_values", "max_num_values", "tot_num_values"):
            assert getattr(mine, field) == getattr(theirs, field), (name, field)


def test_same_numbers(ours: Statistics, recorded: Statistics) -> None:
    numeric = [name for name, entry in by_name(recorded).items() if entry.HasField("num_stats")]
    assert len(numeric) == 16
    for name in numeric:
        theirs, mine = by_name(recorded)[name].num_stats, by_name(ours)[name].num_stats
        for field in ("min", "max", "num_zeros"):
            assert getattr(mine, field) == getattr(theirs, field), (name, field)
        for field in ("mean", "std_dev"):
            assert getattr(mine, field) == pytest.approx(getattr(theirs, field), rel=1e-5, abs=1e-9), (name, field)


def test_medians_are_within_the_tolerance_of_quantiles(ours: Statistics, recorded: Statistics) -> None:
    # Not equal on purpose: a median is exact to 1 % of the ranks only and depends on the order of the batches, and TFDV
    # kept quantiles as float32 in those days.
    for name, entry in by_name(recorded).items():
        if entry.HasField("num_stats"):
            kinds = {histogram.type: histogram for histogram in entry.num_stats.histograms}
            buckets = kinds[statistics_pb2.Histogram.QUANTILES].buckets
            median = by_name(ours)[name].num_stats.median
            rounding = abs(median) * np.finfo(np.float32).eps
            assert buckets[4].low_value - rounding <= median <= buckets[5].high_value + rounding, name


def test_same_text_values(ours: Statistics, recorded: Statistics) -> None:
    text = [name for name, entry in by_name(recorded).items() if entry.HasField("string_stats")]
    assert sorted(text) == ["company", "payment_type"]
    for name in text:
        theirs, mine = by_name(recorded)[name].string_stats, by_name(ours)[name].string_stats
        assert mine.unique == theirs.unique
        assert mine.avg_length == pytest.approx(theirs.avg_length, rel=1e-5)
        ranks = {bucket.label: bucket.sample_count for bucket in mine.rank_histogram.buckets}
        assert ranks == {bucket.label: bucket.sample_count for bucket in theirs.rank_histogram.buckets}
        # The recorded run may list fewer top values than the 20 that TFX lists today, and breaks ties at will.
        listed = min(len(theirs.top_values), len(mine.top_values))
        assert listed >= min(2, theirs.unique)
        frequencies = [entry.frequency for entry in theirs.top_values][:listed]
        assert [entry.frequency for entry in mine.top_values][:listed] == frequencies
        assert all(ranks[entry.value] == entry.frequency for entry in [*mine.top_values, *theirs.top_values])


def test_beam_and_the_plain_loop_agree(tmp_path: Path, examples: Path, ours: Statistics) -> None:
    run_statistics(examples, tmp_path, beam_options=["--runner=FnApiRunner"])
    beam = tfdv.load_stats_binary(str(tmp_path / "statistics" / "Split-train" / "FeatureStats.pb"))
    assert list(by_name(beam)) == list(by_name(ours))
    for name, entry in by_name(ours).items():
        other = by_name(beam)[name]
        if entry.HasField("string_stats"):
            assert other.string_stats == entry.string_stats
            continue
        assert other.num_stats.common_stats.num_non_missing == entry.num_stats.common_stats.num_non_missing
        for field in ("mean", "std_dev", "min", "max", "num_zeros"):
            expected = getattr(entry.num_stats, field)
            assert getattr(other.num_stats, field) == pytest.approx(expected, rel=1e-9), (name, field)
