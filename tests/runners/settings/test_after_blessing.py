"""What the settings say of the stages between the blessing and the push."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.runtime.errors import InputError
from tests.runners.compiled_models import model


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("infra_validate: {split: evla}", "no split 'evla', did you mean 'eval'? ingest makes train, eval"),
        ("infra_validate: {}\ningest: {split_patterns: {train: a/*, test: b/*}}", "ingest makes train, test"),
        ("infra_validate: {bounds: {p95_ms: 3}}", "p95_ms"),
        ("infra_validate: {bounds: {p99_ms: 0}}", "p99_ms"),
        ("infra_validate: {server: torch}", "server"),
        ("explain: {split: evla}", "explain.split: no split 'evla', did you mean 'eval'? ingest makes train, eval"),
        ("explain: {tolerance: 2}", "tolerance"),
        ("explain: {group: [age]}", "group"),
        ("model_card: {limits: none}", "limits"),
        ("model_card: {links: [example]}", "links"),
        ("canary: {}", "either route or inference_service"),
        ("canary: {route: a/b/c}", "'a/b/c' does not say where it is; write NAMESPACE/NAME"),
        ("canary: {route: taxi, kubernetes: 'http://127.0.0.1:8001'}", "'taxi' does not say where it is"),
        ("canary: {inference_service: a/b}", "model_uri: say where a version is"),
        ("canary: {route: taxi, steps: [50, 10]}", "steps: expected rising percentages"),
        ("export: {formats: {foo: {}}}", "formats.foo: 'foo' is no format"),
        ("export: {formats: {../x: {format: litert}}}", "the name becomes that of a folder"),
        ("export: {formats: {onnx: {quantise: int8}}}", "there are for ONNX none, dynamic"),
        ("export: {formats: {sm: {format: saved_model}}}", "say sparsity or clusters"),
        ("export: {}", "formats"),
        ("export: {formats: {}}", "formats"),
        ("export: {formats: {phone: {format: tflite}}}", "formats.phone.format"),
        ("export: {formats: {onnx: {quantize: int8}}}", "quantize"),
        ("export: {formats: {onnx: {sparsity: 1.5}}}", "sparsity"),
        ("export: {formats: {onnx: {}}, bounds: {lost: 1}}", "lost"),
        (
            "export: {formats: {litert: {quantise: int8}}, representative_split: trian}",
            "export.representative_split: no split 'trian', did you mean 'train'? ingest makes train, eval; int8 takes",
        ),
        ("train: {distil: {alpha: 2}}", "alpha"),
        ("approve: {approvers: [' ']}", "approvers"),
        ("approve: {timeout_minutes: 2000}", "timeout_minutes"),
    ],
)
def test_what_cannot_be_is_told_before_anything_runs(tmp_path: Path, settings: str, said: str) -> None:
    with pytest.raises(InputError) as error:
        model(tmp_path / "mine", settings)
    assert said in str(error.value)


def test_names_of_approvers_are_taken_without_blanks_around_them(tmp_path: Path) -> None:
    approve = model(tmp_path / "mine", "approve: {approvers: [' anna ']}").approve
    assert approve is not None
    assert approve.approvers == ["anna"]
