"""Trainings with several workers on Kubeflow Pipelines: what is compiled for them, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from components.runtime.errors import InputError
from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled.ir import dags, documents
from runners.compiled.training_workers import check_on_kubeflow, refuse_several
from runners.settings.model import Settings, load
from runners.settings.stages import Tune
from tests.runners.cluster_support import call
from tests.runners.compiled_models import digest


def settings(workers: int = 2, resources: dict[str, Any] | None = None, **cluster: Any) -> Settings:
    """Those of taxi, with several workers."""
    found = load("taxi")
    document = found.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"folder", "models", "purpose"})
    document |= {"cluster": cluster, "resources": resources or {}}
    document["train"] = document.get("train", {}) | {"workers": workers}
    return Settings.model_validate(document | {"folder": found.folder})


def mounts(text: str) -> list[dict[str, Any]]:
    _, platform = documents(text)
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    found: list[dict[str, Any]] = executors["exec-train"].get("pvcMount", [])
    return found


def test_the_tasks_pod_has_the_volume_and_the_stage_is_told_how_many() -> None:
    text = compile_pipeline(settings(volume={"claim": "shared"}), digest)
    assert [(mount["constant"], mount["mountPath"]) for mount in mounts(text)] == [("shared", "/millrace")]
    ir, platform = documents(text)
    [task] = [dag["tasks"]["train"] for dag in dags(ir) if "train" in dag["tasks"]]
    assert task["inputs"]["parameters"]["custom_config"]["runtimeValue"]["constant"]["execution"] == {"workers": 2}
    check_on_kubeflow(ir, platform)
    alone = compile_pipeline(settings(1, volume={"claim": "shared"}), digest)
    assert mounts(alone) == []
    check_on_kubeflow(*documents(alone))


def test_argo_still_has_one_volume_in_its_pods() -> None:
    given = settings(volume={"claim": "shared"})
    workflow = compile_workflow(compile_pipeline(given, digest), for_settings(given))
    assert workflow.count("claimName: shared") == 1


def test_a_claim_of_trains_own_will_do() -> None:
    resources = {"train": {"mounts": [{"claim": "fast", "path": "/fast"}]}}
    check_on_kubeflow(*documents(compile_pipeline(settings(resources=resources), digest)))


@pytest.mark.parametrize(
    ("resources", "cluster", "said"),
    [
        ({}, {}, r"task train: train\.workers is 2, and on Kubeflow Pipelines the other workers get .* compile again"),
        ({"train": {"mounts": [{"claim": "a", "path": "/a", "read_only": True}]}}, {}, "volume that may be written to"),
        ({}, {"bucket": {"uri": "s3://bucket/x"}}, r"name one, cluster\.volume\.claim or resources\.train\.mounts"),
        (
            {},
            {"volume": {"claim": "shared"}, "fuse": [["train", "resolve", "evaluate"]]},
            r"task train: train\.workers is 2, and cluster\.fuse puts it into the pod 'train-to-evaluate' with others",
        ),
    ],
)
def test_what_its_workers_lack_is_told_before_it_is_uploaded(
    resources: dict[str, Any], cluster: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        check_on_kubeflow(*documents(compile_pipeline(settings(resources=resources, **cluster), digest)))


def test_a_search_is_still_one_pod_there() -> None:
    given = load("taxi").model_copy(update={"tune": Tune(module_file="model.py", workers=2)})
    with pytest.raises(InputError, match=r"tune\.workers is 2, and a task of Kubeflow Pipelines is one pod; .* Argo"):
        check_on_kubeflow(*documents(compile_pipeline(given, digest)))


@pytest.mark.parametrize("command", ["upload", "run"])
def test_a_search_is_refused_before_a_server_is_asked(tmp_path: Path, command: str) -> None:
    given = load("taxi").model_copy(update={"tune": Tune(module_file="model.py", workers=2)})
    (tmp_path / "taxi.kfp.yaml").write_text(compile_pipeline(given, digest))
    refused = call("kubeflow", "--host", "http://kubeflow.invalid", command, tmp_path / "taxi.kfp.yaml")
    assert (refused.exit_code, refused.error[:32]) == (65, "task tune: tune.workers is 2, an")


def test_in_a_pod_with_others_several_workers_are_seen_too() -> None:
    given = settings(volume={"claim": "shared"}, fuse=[["train", "resolve", "evaluate"]])
    with pytest.raises(InputError, match=r"task train: .* a task of Vertex AI is one pod"):
        refuse_several(documents(compile_pipeline(given, digest))[0], "Vertex AI")
