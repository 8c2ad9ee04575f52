"""Invalid data is refused before anything is imported that takes time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.support import ROOT, executor_input

# Of transform, where it may run; its work would need all three.
_HEAVY = ("tensorflow", "apache_beam", "pyarrow")


def test_transform_refuses_invalid_data_before_it_imports_anything(tmp_path: Path) -> None:
    verdict = tmp_path / "anomalies" / "verdict.json"
    verdict.parent.mkdir()
    verdict.write_text('{"valid": false, "summary": "train: fare: Expected a number"}')
    request = executor_input(
        tmp_path,
        parameters={"module_file": "x.py", "custom_config": {}, "beam_options": [], "on_not_finite": "warn"},
        inputs={"examples": tmp_path, "schema": tmp_path, "anomalies": verdict.parent},
        outputs=["transform_graph", "transformed_examples", "report"],
    )
    code = (
        "import runpy, sys\n"
        "try:\n"
        "    runpy.run_module('components.transform', run_name='__main__', alter_sys=True)\n"
        "finally:\n"
        f"    print(sorted(set({_HEAVY}) & sys.modules.keys()))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "--executor-input", json.dumps(request)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert ended.returncode == 65, ended.stderr
    assert ended.stderr == (
        "error: the data did not pass validate: train: fare: Expected a number; its report has them: "
        "correct the data or the schema\n"
    )
    assert ended.stdout.splitlines()[-1] == "[]"
