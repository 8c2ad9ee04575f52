"""Hyperparameters in files of a user's, and in tune's artifact."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from components.runtime.module_file import hyperparameters
from components.runtime.stage.artifacts import InputArtifact

SPACE = [{"class_name": "Float", "config": {"name": "rate", "default": 0.1, "min_value": 0.0, "max_value": 1.0}}]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ('{"rate": 1e-3, "units": 64}', {"rate": 0.001, "units": 64}),
        ("rate: 1e-3\nunits: 64\nwide: true\nname: relu\n", {"rate": 0.001, "units": 64, "wide": True, "name": "relu"}),
        ("{rate: 0.5}", {"rate": 0.5}),
        ('{\n\t"rate": 5e-1}', {"rate": 0.5}),
        ("name: '1e-3'", {"name": "1e-3"}),
        ('{"space": [], "values": {"rate": 0.5, "tuner/epochs": 3}}', {"rate": 0.5}),
    ],
)
def test_names_and_values_from_json_and_yaml(tmp_path: Path, text: str, values: dict[str, Any]) -> None:
    file = tmp_path / "best.yaml"
    file.write_text(text)
    read = hyperparameters.from_file(str(file))
    assert read.keys() == {"space", "values"}
    assert hyperparameters.values(read) == values


def test_none_are_none() -> None:
    assert hyperparameters.values(None) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "no such file"),
        ("a: [", "not YAML"),
        ("rate: 1\nunits: 2\nrate: 2", "line 3: the key 'rate' a second time, after line 1"),
        ('{"rate": 1, "rate": 2}', "the key 'rate' is there more than once"),
        ("rate: 0100", "line 1: YAML 1.1 and 1.2 read 0100 as different things"),
        ("- rate", "holds no hyperparameters"),
        ("", "holds no hyperparameters"),
        ("rate: [1, 2]", r"'rate' is \[1, 2\]; a hyperparameter is a number"),
        ("rate: .inf", "'rate' is inf; a hyperparameter is a finite number"),
        ('{"rate": NaN}', "'rate' is nan; a hyperparameter is a finite number"),
        ('{"space": [], "values": 3}', "`values` is no mapping"),
        (b"\xff\xfe\x00", "not YAML"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, text: str | bytes | None, message: str) -> None:
    file = tmp_path / "best.yaml"
    if text is not None:
        file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(InputError, match=rf"hyperparameters_file: .*best\.yaml: .*{message}"):
        hyperparameters.from_file(str(file))


def test_an_artifact_without_them_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"hyperparameters: .*best_hyperparameters\.txt: no such file"):
        hyperparameters.from_artifact(InputArtifact("hyperparameters", str(tmp_path), {}))
