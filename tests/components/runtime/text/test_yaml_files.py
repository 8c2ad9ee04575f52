"""What is written for Kubernetes is what its reader reads. (How YAML is read: tests/runners/settings.)"""

from __future__ import annotations

import pytest
import yaml

from components.runtime.text import yaml_files

ODD = [
    "1e30",
    "1e-05",
    "1E5",
    "-2e+3",
    "1.5e2",
    ".5e1",
    "0o17",
    "y",
    "N",
    "on",
    "123",
    "0x1F",
    "1_000",
    "12:30",
    "null",
    "~",
]


@pytest.mark.parametrize("text", ODD)
def test_a_text_that_some_reader_takes_for_something_else_is_in_quotes(text: str) -> None:
    written = yaml_files.dump({"key": [text]})
    assert written == f"key:\n- '{text}'\n"
    assert yaml.safe_load(written) == yaml_files.load(written, "here") == {"key": [text]}


@pytest.mark.parametrize("value", ["relu", "e5", "1e", "taxi-1e5", "yes and no", 1e30, 1e-05, 7, True, None, "ä"])
def test_all_else_is_plain(value: object) -> None:
    written = yaml_files.dump({"key": value})
    assert "'" not in written
    assert yaml.safe_load(written) == {"key": value}
