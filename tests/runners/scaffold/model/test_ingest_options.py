"""Settings of ingest as options of `new`, and as its messages name them."""

from __future__ import annotations

import pytest

from components.runtime.errors import InputError
from runners.scaffold.model import ingest_options


def test_settings() -> None:
    options = [
        "header=false",
        "column_names=[a, b]",
        "delimiter=;",
        "decimal=,",
        "encoding=cp1252",
        "null_values=['-']",
    ]
    assert ingest_options.parse(options) == {
        "header": False, "column_names": ["a", "b"], "delimiter": ";", "decimal": ",", "encoding": "cp1252",
        "null_values": ["-"],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (["encoding"], "--ingest encoding: expected KEY=VALUE"),
        (["encodin=x"], "--ingest encodin=x: unknown key 'encodin', did you mean 'encoding'"),
        (["header=maybe"], "--ingest header=maybe: header: .*bool.*not 'maybe'"),
        (["decimal=;"], "--ingest decimal=;: decimal: "),
        (["column_names=[a"], "--ingest column_names=.a"),
        (["header=true", "header=false"], "header is given twice"),
    ],
)
def test_what_is_no_setting(options: list[str], line: str) -> None:
    with pytest.raises(InputError, match=line):
        ingest_options.parse(options)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("line 3 is not UTF-8: set encoding, such as cp1252", "such as cp1252; with new: --ingest encoding=cp1252"),
        ('did you mean delimiter: "|"?', """did you mean delimiter: "|"?; with new: --ingest 'delimiter="|"'"""),
        (
            "set header: false and name the columns in column_names",
            "with new: --ingest header=false --ingest 'column_names=[a, b]'",
        ),
        ("a row of 2 cells, the header has 3", "the header has 3"),
        ("correct leave_out_without or the data", "correct --label or the data"),
        ("x: the split 'eval' got none of the 2 rows: give more rows that differ", "too few rows: x: the split 'eval'"),
    ],
)
def test_messages_name_the_option(message: str, told: str) -> None:
    found = ingest_options.in_options(f"ingest: {message}")
    assert told in found
    assert ("--ingest" in found) == ("--ingest" in told)


def test_too_few_rows() -> None:
    message = "schema: no inferred schema fits all splits: train: 1.; write a schema and name it as schema_file"
    told = "too few rows, or splits that differ: no inferred schema fits all splits: train: 1."
    assert ingest_options.in_options(message) == told
