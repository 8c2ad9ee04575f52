"""Metrics and reports, from a metadata store on loopback that speaks gRPC-web."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runners.cluster_support import Called, call, write_pipeline
from tests.runners.kubeflow.kfp_server import Kfp, serve


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Kfp]:
    with serve(Kfp()) as state:
        for name, steps in (("left", 100), ("right", 200)):
            given = ("-p", "data=/d", "-p", f"train_steps={steps}", "--name", name, "--wait", "--interval", "0.01")
            assert kubeflow(state, "run", write_pipeline(tmp_path), *given).exit_code == 0
        for identity, auc in zip(state.runs, (0.9, 0.95), strict=True):
            base = f"minio://mlpipeline/v2/artifacts/taxi/{identity}"
            state.artifacts[identity] = [
                ("evaluate", "system.Metrics", f"{base}/evaluate/metrics", {"auc": auc, "bytes": 10.0}),
                ("train", "system.Metrics", f"{base}/train/metrics", {"loss": 0.5, "display_name": "metrics"}),
                ("evaluate", "system.HTML", f"{base}/evaluate/report", {"display_name": "report"}),
                ("statistics", "system.HTML", f"{base}/statistics/report", {}),
                ("train", "system.Model", f"{base}/train/model", {}),
            ]
            for task in ("evaluate", "statistics"):
                state.contents[f"{base}/{task}/report"] = f"<html>{task} of {identity}".encode()
        yield state


def kubeflow(server: Kfp, *arguments: object) -> Called:
    return call("kubeflow", "--host", server.url, *arguments)


def test_two_runs_are_compared(server: Kfp) -> None:
    called = kubeflow(server, "compare", "left", "right")
    assert called.exit_code == 0, called.err
    lines = [line.split() for line in called.lines]
    assert ["*", "auc", "0.9000", "0.9500", "+0.0500"] in lines
    assert ["train.loss", "0.5000", "0.5000"] in lines
    assert ["*", "train_steps", "100", "200"] in lines
    assert "bytes" not in called.out
    assert "parameters: 4 the same (--all shows them)" in called.lines, "data is alike, and defaults"
    everything = kubeflow(server, "compare", "left", "right", "--all").out
    assert "  data " in everything
    assert "  ingest " in everything


def test_without_a_metadata_store_the_rest_is_compared(server: Kfp) -> None:
    server.refusals["/ml_metadata"] = (404, {"message": "Not Found"})
    called = kubeflow(server, "compare", "left", "right")
    assert called.exit_code == 0
    assert "train_steps" in called.out
    assert "metrics: not to be had" in called.err
    assert "behind the address of the dashboard" in called.err


def test_a_folder_that_cannot_be_made(server: Kfp) -> None:
    called = kubeflow(server, "report", "right", "--output", "/proc/1/nope")
    assert called.exit_code == 65
    assert called.error == "/proc/1/nope: cannot be made: No such file or directory; choose another --output"


def test_reports_are_fetched(server: Kfp, tmp_path: Path) -> None:
    called = kubeflow(server, "report", "right", "--output", tmp_path / "pages")
    assert called.exit_code == 0, called.err
    names = ["evaluate-report.html", "statistics-report.html"]
    assert called.lines == [str(tmp_path / "pages" / name) for name in names]
    identity = list(server.runs)[1]
    assert (tmp_path / "pages" / names[0]).read_text() == f"<html>evaluate of {identity}"


@pytest.mark.parametrize(
    ("part", "refusal", "message"),
    [
        ("/ml_metadata", (404, {}), "behind the address of the dashboard, not of the API server"),
        ("/ml_metadata", (200, b"<!doctype html><title>Kubeflow</title>"), "something else answers while asking"),
        ("/artifacts/get", (403, {"message": "not yours"}), "not allowed (403) while fetching minio://"),
    ],
)
def test_reports_that_the_server_does_not_give(
    server: Kfp, tmp_path: Path, part: str, refusal: tuple[int, object], message: str
) -> None:
    server.refusals[part] = refusal
    called = kubeflow(server, "report", "right", "--output", tmp_path / "pages")
    assert called.exit_code == 65
    assert message in called.error
    assert not (tmp_path / "pages").exists(), "nothing is half there"


def test_a_run_without_reports(server: Kfp, tmp_path: Path) -> None:
    server.artifacts[list(server.runs)[1]] = []
    assert "has no report pages" in kubeflow(server, "report", "right").error
    del server.artifacts[list(server.runs)[1]]
    assert "the metadata store knows nothing of the run" in kubeflow(server, "report", "right").error


def test_artifacts_on_a_volume_are_not_read_through_the_server(server: Kfp) -> None:
    server.artifacts[list(server.runs)[1]] = [("evaluate", "system.HTML", "/millrace/report", {})]
    assert "lies where the server cannot read it" in kubeflow(server, "report", "right").error
