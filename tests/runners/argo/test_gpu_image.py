"""The GPU image of train, started as its pod is, where there is no GPU: it trains all the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from runners.argo.options import for_settings
from runners.argo.workflow import compile_workflow
from runners.commands.compile import compile_pipeline
from runners.compiled import images
from runners.settings.cluster import Gpu, StageResources
from runners.settings.model import load
from scripts.data import taxi_trips
from tests.runners.argo.argo_executor import Ended, Execution, Podman, Subprocesses
from tests.runners.compiled_models import digest
from tests.support_images import built_image

BEFORE = ("ingest", "statistics", "schema", "validate", "transform")
STEPS = 40


class TrainInItsImage(Subprocesses):
    """Runs the pod of train in an image, what comes before it as processes."""

    def __init__(self, image: str) -> None:
        """Takes the image."""
        super().__init__()
        self._image = image
        self.asked: dict[str, Any] = {}

    def __call__(self, container: dict[str, Any], labels: dict[str, str], folders: dict[str, Path]) -> Ended:
        if labels["millrace/task"] != "train":
            return super().__call__(container, labels, folders)
        self.asked = container
        return Podman()(container | {"image": self._image}, labels, folders)


@pytest.mark.slow
@pytest.mark.containers
def test_the_gpu_image_trains_without_a_gpu(tmp_path: Path) -> None:
    image = built_image("train", images.GPU)
    volume = tmp_path / "volume"
    (volume / "data" / "taxi").mkdir(parents=True)
    taxi_trips.write(volume / "data" / "taxi" / "trips.csv", 2000, 1)
    settings = load("taxi")
    settings = settings.model_copy(update={"resources": {"train": StageResources(gpu=Gpu())}})
    # (What was worked out of the resources before.)
    settings.__dict__.pop("_pods", None)
    document = yaml.safe_load(compile_workflow(compile_pipeline(settings, digest), for_settings(settings)))
    graph = document["spec"]["templates"][0]["dag"]
    graph["tasks"] = [each for each in graph["tasks"] if each["name"] in (*BEFORE, "train")]
    del document["spec"]["onExit"]
    pods = TrainInItsImage(image)
    execution = Execution(document, "taxi-1", volume, pods, train_steps=str(STEPS), eval_steps="5")
    assert execution.run() == dict.fromkeys((*BEFORE, "train"), "Succeeded"), execution.nodes["train"].attempts[-1].log
    # It is what such a pod is started from: the image's name is that of the variant, and it asks for a GPU.
    assert pods.asked["image"] == digest("millrace/train", images.GPU)
    assert pods.asked["resources"]["limits"]["nvidia.com/gpu"] == "1"
    (made,) = (volume / "artifacts" / "taxi" / "train").glob("[!.]*")
    record = json.loads((made / "execution.json").read_text())
    assert record["outputs"]["model"]["metadata"]["steps"] == STEPS
    assert (made / "model" / "Format-Serving" / "saved_model.pb").is_file()
