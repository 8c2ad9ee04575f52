"""Models with signatures, written byte by byte, and calls of the stage against a server of one's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from components.runtime.stage.artifacts import content_digest
from tests import forked
from tests.components.push.serving_support import make_blessing, make_model
from tests.components.push_hub.hub_server import Hub
from tests.support import ROOT, StageResult, executor_input

METRICS = {"auc": 0.8125, "accuracy": 0.75, "example_count": 3400.0, "digest": "sha256:00", "bytes": 9, "producer": "m"}
CLASSES = ["small", "large | `1`"]
"""What evaluate calls the classes, not without signs that have a power in Markdown."""
EXAMPLES = {"digest": "sha256:feed", "rows": 10000, "splits": ["eval", "train"], "rows_eval": 3400, "rows_train": 6600}
FLOAT, STRING, INTEGER = 1, 7, 9


def field(number: int, content: bytes | int) -> bytes:
    """A field of a message as protobuf writes it."""
    if isinstance(content, int):
        return bytes([number << 3]) + varint(content)
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    found = bytearray()
    while value > 127:
        found.append(value & 127 | 128)
        value >>= 7
    return bytes([*found, value])


def entry(name: str, value: bytes) -> bytes:
    """An entry of a map of messages."""
    return field(1, name.encode()) + field(2, value)


def tensor(dtype: int, *sizes: int) -> bytes:
    shape = b"".join(field(2, field(1, size)) for size in sizes)
    return field(1, b"name:0") + field(2, dtype) + field(3, shape)


def saved_model(inputs: dict[str, bytes], name: str = "serving_default", note: str = "") -> bytes:
    """A SavedModel with a signature and the one of TensorFlow's own."""
    signature = b"".join(field(1, entry(each, value)) for each, value in inputs.items())
    signature += field(2, entry("outputs", tensor(FLOAT, -1, 1))) + field(3, b"tensorflow/serving/predict")
    graph = field(2, field(1, note.encode())) + field(5, entry(name, signature))
    graph += field(5, entry("__saved_model_init_op", b""))
    return field(1, 1) + field(2, graph)


TAXI = {"trip_miles": tensor(FLOAT, -1), "company": tensor(STRING, -1), "hours": tensor(INTEGER, -1, -1)}


def signed_model(
    folder: Path, content: str = "one", inputs: dict[str, bytes] | None = None, extra_bytes: int = 0
) -> Path:
    """A model artifact whose SavedModel has signatures."""
    model = make_model(folder, content, extra_bytes)
    (model / "Format-Serving" / "saved_model.pb").write_bytes(saved_model(inputs or TAXI, note=content))
    (model / "Format-Serving" / "assets" / "empty.txt").touch()
    return model


def arguments(model: Path, blessing: Path, **parameters: Any) -> dict[str, Any]:
    """Arguments of `executor_input`."""
    empty = blessing.parent / "empty"
    empty.mkdir(exist_ok=True)
    given: dict[str, Any] = {
        "repo_id": "team/taxi",
        "private": True,
        "tags": ["taxi"],
        "space": {},
        "license": "apache-2.0",
        "task": "tabular-classification",
        "description": "Will the tip be generous?",
        "pipeline": "taxi",
        "run": "taxi-20261121-1",
    }
    return {
        "inputs": {"model": model, "blessing": blessing, "metrics": empty, "examples": empty},
        "parameters": given | parameters,
        "outputs": ["pushed_model"],
        "output_parameters": ["revision"],
        "metadata": {
            "model": {"digest": content_digest(model), "producer": "millrace/train 0.1.0"},
            "metrics": METRICS,
            "blessing": {"classes": CLASSES},
            "examples": EXAMPLES,
        },
    }


def environment(hub: Hub, **variables: str) -> dict[str, str]:
    """What a stage that pushes to `hub` is given."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return kept | {"HF_ENDPOINT": hub.address, "HF_TOKEN": hub.token} | variables


def request(folder: Path, kwargs: dict[str, Any]) -> Path:
    """Writes what the stage is asked for, beside the folder of its outputs."""
    folder.mkdir(parents=True)
    file = folder.with_name(f"{folder.name}.executor_input.json")
    file.write_text(json.dumps(executor_input(folder, **kwargs)))
    return file


def start(folder: Path, hub: Hub, kwargs: dict[str, Any], **variables: str) -> subprocess.Popen[str]:
    """Starts the stage as a process begun anew, for tests that kill it."""
    file = request(folder, kwargs)
    return subprocess.Popen(
        [sys.executable, "-m", "components.push_hub", "--executor-input", f"@{file}"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(hub, **variables),
    )


def push(
    folder: Path, hub: Hub, model: Path, blessing: Path, env: dict[str, str] | None = None, **parameters: Any
) -> StageResult:
    """Runs the stage to its end; whatever happens, the token stays in the headers of requests."""
    file = request(folder, arguments(model, blessing, **parameters))
    out, err = (folder.with_name(f"{folder.name}.{name}") for name in ("stdout", "stderr"))
    code = forked.stage("push_hub", ["--executor-input", f"@{file}"], out, err, environment(hub, **(env or {})))
    ensure_no_token(folder, hub, out.read_text() + err.read_text())
    return StageResult(code, out.read_text(), err.read_text(), folder)


def ensure_no_token(folder: Path, hub: Hub, log: str) -> None:
    """Fails where a secret is in a log, an output, or what was sent besides the header made for it."""
    written = [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]
    sent = [f"{each.target} {each.body!r}" for each in hub.requests]
    headers = [f"{each.headers | {'authorization': ''}}" for each in hub.requests]
    for text in [log, *written, *sent, *headers]:
        assert hub.token not in text
        assert hub.reader not in text
    assert hub.signature not in log
    for request in hub.asked("PUT", "/storage/"):
        assert "authorization" not in request.headers, "the token went to the storage"


__all__ = ["make_blessing", "push", "signed_model", "start"]
