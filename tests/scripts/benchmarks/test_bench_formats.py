from __future__ import annotations

from pathlib import Path

from pyarrow import parquet as pq

from scripts.benchmarks import bench_formats
from scripts.data import taxi_trips


def test_every_format_is_measured_on_the_same_rows(tmp_path: Path) -> None:
    taxi_trips.write(tmp_path / "trips.csv", 120, seed=3)
    measured = bench_formats.measure(tmp_path / "trips.csv", tmp_path)
    assert [(each.format, each.rows) for each in measured] == [("csv", 120), ("parquet", 120), ("avro", 120)]
    assert all(each.seconds > 0 and each.file_bytes > 0 and each.peak_bytes > 20_000_000 for each in measured)
    assert pq.ParquetFile(tmp_path / "formats" / "parquet" / "trips.parquet").metadata.num_rows == 120
    digests = {
        (
            tmp_path / "formats" / f"{each.format}-out" / "examples" / "Split-eval" / "data_tfrecord-00000-of-00001.gz"
        ).read_bytes()
        for each in measured
    }
    assert len(digests) == 1
    text = "\n".join(bench_formats.lines(measured))
    assert "the same 120 generated trips" in text
    assert "| parquet | " in text
