"""What Vertex AI is told of accelerators that were asked for in the words of Kubernetes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from components.runtime.publish.vertex_accelerators import from_gke
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import VERTEX_ANNOTATION, documents
from runners.vertex.jobs import make_job
from tests.runners.cluster_support import call
from tests.runners.compiled_models import model, pods

GKE = "cloud.google.com/gke-accelerator"


def compiled(folder: Path, gpu: str) -> Path:
    file = folder / "taxi.kfp.yaml"
    file.write_text(
        compile_pipeline(model(folder / "mine", f"data: gs://bucket/data\nresources: {{train: {{gpu: {gpu}}}}}"))
    )
    return file


def accelerator(file: Path) -> dict[str, Any]:
    job = make_job(file, {"serving_directory": "gs://bucket/serving"}, "gs://bucket/root")
    found: dict[str, Any] = job.ir["deploymentSpec"]["executors"]["exec-train"]["container"]["resources"]["accelerator"]
    return found


@pytest.mark.parametrize(
    ("gpu", "name"),
    [
        ("{count: 2, vertex: NVIDIA_L4}", "NVIDIA_L4"),
        (f"{{count: 2, node_selector: {{{GKE}: nvidia-tesla-t4}}}}", "NVIDIA_TESLA_T4"),
        (f"{{count: 2, node_selector: {{{GKE}: nvidia-h100-80gb}}}}", "NVIDIA_H100_80GB"),
        (f"{{count: 2, vertex: NVIDIA_L4, node_selector: {{{GKE}: nvidia-tesla-t4}}}}", "NVIDIA_L4"),
        ("{count: 2, resource: NVIDIA_TESLA_V100}", "NVIDIA_TESLA_V100"),
    ],
)
def test_an_accelerator_goes_by_its_name_on_vertex(tmp_path: Path, gpu: str, name: str) -> None:
    assert accelerator(compiled(tmp_path, gpu)) == {
        "count": "2",
        "resourceCount": "2",
        "resourceType": name,
        "type": name,
    }


def test_the_compiled_file_keeps_the_name_of_kubernetes(tmp_path: Path) -> None:
    train = pods(compiled(tmp_path, "{vertex: NVIDIA_L4}").read_text())["train"]
    assert train["resources"]["accelerator"]["resourceType"] == "nvidia.com/gpu"
    assert train["podMetadata"]["annotations"] == {VERTEX_ANNOTATION: "NVIDIA_L4"}


@pytest.mark.parametrize(
    "gpu", ["{count: 1}", f"{{node_selector: {{{GKE}: nvidia-tesla-k80}}}}", "{resource: amd.com/gpu}"]
)
def test_an_accelerator_that_cannot_be_known_is_not_submitted(tmp_path: Path, gpu: str) -> None:
    file = compiled(tmp_path, gpu)
    with pytest.raises(InputError) as error:
        accelerator(file)
    resource = "amd.com/gpu" if "amd" in gpu else "nvidia.com/gpu"
    assert str(error.value).startswith(f"{file}: the task train asks for {resource}, and Vertex AI must be told which")
    assert "give resources.train.gpu.vertex, such as NVIDIA_TESLA_T4" in str(error.value)


def test_the_command_says_so_before_it_looks_for_credentials(tmp_path: Path) -> None:
    file = compiled(tmp_path, "{count: 1}")
    called = call(
        *("vertex", "--project", "my-project", "--region", "europe-west4", "submit", file),
        *("-p", "serving_directory=gs://bucket/serving", "--pipeline-root", "gs://bucket/root"),
    )
    assert called.exit_code == 65
    assert "must be told which accelerator" in called.error


def test_a_pipeline_without_accelerators_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "taxi.kfp.yaml"
    file.write_text(compile_pipeline(model(tmp_path / "mine", "data: gs://bucket/data")))
    job = make_job(file, {"serving_directory": "gs://bucket/serving"}, "gs://bucket/root")
    assert job.ir == documents(file.read_text())[0]


@pytest.mark.parametrize(("name", "hint"), [("nvidia.com/gpu", ""), ("L4", "did you mean 'NVIDIA_L4'")])
def test_a_name_that_vertex_does_not_have_is_refused(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(InputError, match=r"resources\.train\.gpu\.vertex: Vertex AI has no such accelerator") as error:
        compiled(tmp_path, f"{{vertex: {name}}}")
    assert hint in str(error.value)


def test_labels_of_gke() -> None:
    assert from_gke("nvidia-a100-80gb") == "NVIDIA_A100_80GB"
    assert from_gke("nvidia-h100-mega-80gb") == "NVIDIA_H100_MEGA_80GB"
    assert from_gke("") == from_gke("nvidia-tesla-k80") == ""
