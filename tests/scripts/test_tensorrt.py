"""The script that has a TensorRT engine built: what it tells trtexec, which is on no machine of ours."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

SCRIPT = str(ROOT / "scripts" / "tensorrt.sh")


@pytest.fixture
def export(tmp_path: Path) -> Path:
    folder = tmp_path / "onnx"
    folder.mkdir()
    (folder / "model.onnx").touch()
    shapes = {"x": [None], "image": [None, 8, 8, 1]}
    features = [{"feature": name, "input": name, "shape": shape} for name, shape in shapes.items()]
    (folder / "export.json").write_text(json.dumps({"features": features}))
    return folder


def call(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    variables = {"PATH": f"{path}:/usr/local/bin:/usr/bin:/bin", "MILLRACE_TENSORRT_BATCH": "32"}
    return subprocess.run([SCRIPT, *arguments], env=variables, capture_output=True, text=True, check=False)


def test_trtexec_gets_the_shapes_of_one_row_and_of_many(tmp_path: Path, export: Path) -> None:
    program = tmp_path / "trtexec"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    done = call(tmp_path, str(export), "engine.plan", "--fp16")
    assert done.stdout.splitlines() == [
        f"--onnx={export}/model.onnx",
        "--saveEngine=engine.plan",
        "--minShapes=x:1,image:1x8x8x1",
        "--optShapes=x:32,image:32x8x8x1",
        "--maxShapes=x:32,image:32x8x8x1",
        "--fp16",
    ]
    open_shape = (export / "export.json").read_text().replace("8, 8, 1", "null")
    (export / "export.json").write_text(open_shape)
    refused = call(tmp_path, str(export), "engine.plan")
    assert (refused.returncode, refused.stdout) == (65, "")
    assert refused.stderr.startswith("error: image has any number of values in a row")


def test_what_is_missing_is_told_in_a_line(tmp_path: Path, export: Path) -> None:
    assert call(tmp_path, str(export)).returncode == 65
    done = call(tmp_path, str(tmp_path), "engine.plan")
    assert done.stderr == (
        f"error: {tmp_path}: no export of the format onnx; name a folder with model.onnx and export.json\n"
    )
    done = call(tmp_path, str(export), "engine.plan")
    assert (done.returncode, len(done.stderr.splitlines())) == (65, 1)
    assert done.stderr.startswith("error: trtexec is not installed")
