"""Settings of ingest that concern tables and the sample."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from runners.settings.model import load


def write(folder: Path, ingest: str) -> str:
    folder.mkdir()
    (folder / "settings.yaml").write_text(f"description: x\ningest: {ingest}\n")
    return str(folder)


@pytest.mark.parametrize("format", ["parquet", "avro"])
def test_formats_of_tables_reach_the_stage(format: str, tmp_path: Path) -> None:
    arguments = load(write(tmp_path / "model", f"{{format: {format}, sample_rows: 0}}")).arguments("ingest")
    assert (arguments["format"], arguments["sample_rows"]) == (format, 0)


def test_ten_rows_are_shown_unless_the_settings_say_otherwise(tmp_path: Path) -> None:
    assert load(write(tmp_path / "model", "{}")).arguments("ingest")["sample_rows"] == 10


@pytest.mark.parametrize("rows", ["-1", "101", "many"])
def test_rows_of_the_sample_that_cannot_be(rows: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"settings.yaml: ingest.sample_rows: "):
        load(write(tmp_path / "model", f"{{sample_rows: {rows}}}"))
