"""Records of runs, copied from a volume by the program that a pod runs there, are a pipeline root here."""

from __future__ import annotations

import ast
import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.runtime.errors import TransientError
from runners.argo import cluster, records_copy
from tests.runners.argo.argo_executor import Subprocesses
from tests.runners.argo.argo_server import Argo
from tests.runners.argo.compiled_workflows import of_model
from tests.runners.cluster_support import call
from tests.runners.history.pipeline_roots import SECOND, taxi_root

BULK = (
    "artifacts/taxi/ingest/k/examples/Split-train/rows.gz",
    "artifacts/taxi/train/k/model/Format-Serving/saved_model.pb",
    "artifacts/taxi/train/k/model/variables",
    "artifacts/taxi/transform/.k-half-written/execution.json",
)


@pytest.fixture
def volume(tmp_path: Path, server: Argo, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "volume"
    taxi_root(folder)
    for file in (*folder.rglob("*.json"), *folder.rglob("*.jsonl")):
        file.write_text(file.read_text().replace("/srv/taxi", "/millrace/serving/taxi"))
    for name in BULK:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("large")
    served = folder / "serving" / "taxi" / "1" / "assets.extra"
    served.mkdir(parents=True)
    (served / "millrace.json").write_text(json.dumps({"files": {"saved_model.pb": "sha256:1"}}))
    (served.parent / "saved_model.pb").write_text("large")

    def read(template: dict[str, Any]) -> str:
        folders = {"/millrace": folder, "/tmp": tmp_path}
        return Subprocesses("client")(template["container"], template["metadata"]["labels"], folders).log

    server.read = read
    monkeypatch.setattr(cluster, "_READING_INTERVAL", 0.01)
    return folder


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("compiled") / "taxi.argo.yaml"
    file.write_text(yaml.safe_dump(of_model("taxi")))
    return file


def _files(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()}


def _copied(root: Path) -> set[str]:
    """What came from the volume, without what the explorer writes."""
    own = ("explorer/", ".copied.json")
    return {name for name in _files(root) if not name.startswith(own) and not name.endswith("report.html")}


def test_a_folder_that_cannot_be_made(server: Argo, volume: Path, compiled: Path) -> None:
    called = call("argo", "explore", compiled, "--write", "--output", "/proc/1/nope")
    assert called.exit_code == 65
    assert called.error == "/proc/1/nope: cannot be made: No such file or directory; choose another --output"


def test_records_are_copied_and_what_is_large_is_not(
    server: Argo, volume: Path, compiled: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    called = call("argo", "explore", compiled, "--write", "--output", copy)
    assert (called.exit_code, called.out) == (0, f"{copy / 'explorer' / 'index.html'}\n"), called.err
    left_out = {*BULK, "serving/taxi/1/saved_model.pb"}
    assert _copied(copy) == {name for name in _files(volume) - left_out if not name.endswith("report.html")}
    text = (copy / "explorer" / "index.js").read_text()
    index = json.loads(ast.literal_eval(text[text.index("(") + 1 : text.rindex(")")]))
    assert SECOND in {row["id"] for row in index["runs"]}
    # The records name the place on the volume.
    assert [(each["destination"], each["state"]) for each in index["versions"]] == [("serving/taxi", "served")]
    assert server.workflows == {}, "what read is removed"
    assert SECOND in call("--root", copy, "runs").out


def test_what_is_there_is_not_copied_again(
    server: Argo, volume: Path, compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy"
    # In a few parts.
    monkeypatch.setattr(records_copy, "_MOST_BYTES", 3_000)
    monkeypatch.setattr(records_copy, "_AGAIN_NANOSECONDS", 0)
    called = call("argo", "explore", compiled, "--write", "--output", copy)
    assert "runs and executions" in called.out + called.err
    whole = _copied(copy)
    assert any(name.startswith("lineage/") for name in whole)
    (copy / "runs" / SECOND / "run.json").unlink()
    (volume / "runs" / "taxi-new").mkdir()
    (volume / "runs" / "taxi-new" / "workflow.json").write_text("{}")
    before = len(server.requests)
    call("argo", "explore", compiled, "--write", "--output", copy)
    assert _copied(copy) == whole - {f"runs/{SECOND}/run.json"} | {"runs/taxi-new/workflow.json"}
    assert sum(method == "POST" for method, *_ in server.requests[before:]) == 1


def test_versions_that_were_removed_are_gone(server: Argo, volume: Path, compiled: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    call("argo", "explore", compiled, "--write", "--output", copy)
    assert (copy / "serving" / "taxi" / "1").is_dir()
    (volume / "serving" / "taxi" / "1").rename(volume / "serving" / "taxi" / "2")
    call("argo", "explore", compiled, "--write", "--output", copy)
    assert os.listdir(copy / "serving" / "taxi") == ["2"]


def test_the_versions_of_a_copy_have_their_labels_and_are_not_taken_for_damaged(
    server: Argo, volume: Path, compiled: Path, tmp_path: Path
) -> None:
    copy, served = tmp_path / "copy", volume / "serving" / "taxi"
    (served / "labels.json").write_text('{"stable": 1}')
    call("argo", "explore", compiled, "--write", "--output", copy)
    called = call("--root", copy, "versions", "taxi", "--json")
    [version] = json.loads(called.out)["versions"]
    assert (version["state"], version["labels"], version["damage"]) == ("served", ["stable"], None)


def test_the_newest_workflow_tells_the_volume(
    server: Argo, volume: Path, compiled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused = call("argo", "explore", "--write", "--output", tmp_path / "copy")
    assert refused.exit_code == 65
    assert "tells which volume has the records; name a compiled pipeline" in refused.error
    call("argo", "submit", compiled)
    called = call("--json", "argo", "explore", "--write", "--output", tmp_path / "copy")
    assert json.loads(called.out)["page"] == str(tmp_path / "copy" / "explorer" / "index.html")


def test_a_folder_of_something_else_is_left_alone(server: Argo, volume: Path, compiled: Path, tmp_path: Path) -> None:
    own = call("argo", "explore", compiled, "--write", "--output", volume)
    assert own.exit_code == 65
    assert "holds runs that are no copy from a cluster" in own.error
    copy = tmp_path / "copy"
    call("argo", "explore", compiled, "--write", "--output", copy)
    (copy / ".copied.json").write_text('{"namespace": "other", "claim": "millrace", "until": 1}')
    other = call("argo", "explore", compiled, "--write", "--output", copy)
    assert other.exit_code == 65
    assert "is a copy of" in other.error


def test_what_did_not_come_whole_is_asked_for_again(server: Argo, volume: Path, compiled: Path, tmp_path: Path) -> None:
    whole = server.read
    assert whole
    for cut in (lambda text: text[300:], lambda text: text[:-300], lambda text: text.replace("\n", "!", 3)):
        server.read = lambda template, cut=cut: cut(whole(template))  # type: ignore[misc]
        called = call("argo", "explore", compiled, "--write", "--output", tmp_path / "copy")
        assert (called.exit_code, called.error) == (
            TransientError.exit_code,
            "what the volume's pod printed did not come whole; try again",
        )
    server.read = whole
    assert call("argo", "explore", compiled, "--write", "--output", tmp_path / "copy").exit_code == 0
